/**
 * Walking one's own page tables by hand: where the entry of an address stands, and what follows from it.
 *
 * The tables hold machine frames; each is turned into a frame of ours and that into a place of the direct map, where Xen
 * lets us read every table, though not write one.
 */

import { native } from '../machine/memory';
import { HYPERVISOR_update_va_mapping } from './hypercall';
import { mfnToVirt, virtToMachine } from './page';
import { PTE_FRAME_MASK, PTE_PRESENT, PTE_PSE, PTE_WRITE, pteMfn } from './page-entry';
import { Maddr, PAGE_SIZE, Vaddr } from './types';

/** Levels of tables: four, or PAE's three. Entries have 8 bytes in both. */
export const LEVELS: u64 = WORD_BITS === 64 ? 4 : 3;
const INDEX_BITS: u64 = 9;
const INDEX_MASK: u64 = 511;

/** The kernel's root table. */
let root: usize = 0;

/** From now on the tables below `table` are walked. */
export function setRootTable(table: usize): void {
  root = table;
}

export function rootTable(): usize {
  return root;
}

/** The index of an address in its table of `level`, 1 for the last. */
export function tableIndex(va: Vaddr, level: u64): usize {
  return <usize>((va >> (12 + INDEX_BITS * (level - 1))) & INDEX_MASK);
}

/** The entry of `va` in its table of `level` below `table`, or 0 if a table on the way is missing or stands for a page. */
export function findEntry(table: usize, va: Vaddr, level: u64): usize {
  let at = table + tableIndex(va, LEVELS) * 8;
  for (let here = LEVELS; here > level; here--) {
    const entry = load<u64>(at);
    if ((entry & PTE_PRESENT) === 0 || (entry & PTE_PSE) !== 0) return 0;
    at = mfnToVirt(pteMfn(entry)) + tableIndex(va, here - 1) * 8;
  }
  return at;
}

/** The level-1 entry of an address (`lookup_address`), or 0. */
export function lookupAddress(va: Vaddr): usize {
  return findEntry(root, va, 1);
}

/**
 * The machine address of any mapped address (`arbitrary_virt_to_machine`), such as a descriptor table in a mapping of its
 * own. Whoever asks knows that it is mapped; if it is not, the kernel stops.
 */
export function arbitraryVirtToMachine(va: Vaddr): Maddr {
  const entry = lookupAddress(va);
  if (entry === 0 || (load<u64>(entry) & PTE_PRESENT) === 0) unreachable();
  return (load<u64>(entry) & PTE_FRAME_MASK) | (va & (<u64>PAGE_SIZE - 1));
}

/**
 * Takes the direct map's right to write to a page away, which Xen wants before a page becomes a table. Xen refuses the page
 * while any such right is left, so a failure here is a mistake in the kernel and stops it.
 */
export function makeLowmemPageReadonly(page: usize): void {
  setProtection(page, false);
}

/** Gives it back, once the page is no table any more. */
export function makeLowmemPageReadwrite(page: usize): void {
  setProtection(page, true);
}

function setProtection(page: usize, writable: bool): void {
  const va = native(page);
  const at = lookupAddress(va);
  if (at === 0) unreachable();
  const entry = load<u64>(at);
  const changed = writable ? entry | PTE_WRITE : entry & ~PTE_WRITE;
  if (HYPERVISOR_update_va_mapping(va, changed, 0) !== 0) unreachable();
}

/** The machine address of a table's entry, for an update request. */
export function entryMachineAddress(entry: usize): Maddr {
  return virtToMachine(entry);
}
