/**
 * The page tables that a kernel finds: all memory at its physical addresses and, for a kernel that is linked in the last
 * 2 GiB, at those; pages of 2 MiB, writable, executable, for the supervisor.
 *
 *     root ── 0   ── 0 … 3  ── one table of 512 large pages for each GiB      identity
 *          └─ 511 ── 510, 511 ── …                                           −2 GiB
 */
import { PTE_ACCESSED, PTE_DIRTY, PTE_PRESENT, PTE_PSE, PTE_WRITE } from '../../machine/layout.ts';
import type { MachineMemory, Maddr } from '../../machine/memory.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import { LARGE_PAGE, type MachinePlan } from './plan.ts';

const ENTRIES = 512;
const GIBIBYTE = LARGE_PAGE * ENTRIES;
const TABLE_FLAGS = PTE_PRESENT | PTE_WRITE | PTE_ACCESSED;
const PAGE_FLAGS = TABLE_FLAGS | PTE_DIRTY | PTE_PSE;
const LAST = ENTRIES - 1;

/** Writes the tables at physical address `at`; the memory there is zero. `base` is the machine address of physical 0. */
export function writePageTables(memory: MachineMemory, base: Maddr, at: number, plan: MachinePlan): void {
  let next = at;
  const newTable = (): number => {
    const table = next;
    next += PAGE_SIZE;
    return table;
  };
  const set = (table: number, index: number, target: number, flags: number): void =>
    memory.write64(base + table + index * 8, target | flags | 0, 0);
  const map = (upper: number, index: number, physical: number, bytes: number): void => {
    for (let done = 0; done < bytes; done += GIBIBYTE) {
      const table = newTable();
      set(upper, index + done / GIBIBYTE, table, TABLE_FLAGS);
      const pages = Math.min(ENTRIES, Math.ceil((bytes - done) / LARGE_PAGE));
      for (let i = 0; i < pages; i++) set(table, i, physical + done + i * LARGE_PAGE, PAGE_FLAGS);
    }
  };
  const root = newTable();
  const low = newTable();
  set(root, 0, low, TABLE_FLAGS);
  map(low, 0, 0, plan.memoryBytes);
  if (plan.window.bytes === 0) return;
  const high = newTable();
  set(root, LAST, high, TABLE_FLAGS);
  map(high, LAST - 1, plan.window.physical, plan.window.bytes);
}
