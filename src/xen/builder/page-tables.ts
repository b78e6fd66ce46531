/**
 * Writes the planned page tables: plain memory as yet, which is checked as any guest's tables are when the root is
 * pinned. (Xen 4.17, tools/libs/guest/xg_dom_x86.c: setup_pgtables_pv, get_pg_prot.)
 */
import { PTE_ACCESSED, PTE_DIRTY, PTE_PRESENT, PTE_USER, PTE_WRITE } from '../../machine/layout.ts';
import type { MachineMemory, Mfn, Pfn } from '../../machine/memory.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import { DomainBuildError } from './errors.ts';
import { bytesPerEntry, type Mapping, type PagingShape } from './mappings.ts';

const ENTRY_BYTES = 8;
/** Of a page. Validation adds the user bit and the mark of a kernel's page. */
const PAGE_FLAGS = PTE_PRESENT | PTE_WRITE | PTE_ACCESSED;
/** Of a table. Linux checks that accessed, dirty and user are there (`pmd_bad`). */
const TABLE_FLAGS = PAGE_FLAGS | PTE_DIRTY | PTE_USER;

/** Fills the tables of all mappings. `p2m` gives the machine frame of each frame of the domain. */
export function writePageTables(
  memory: MachineMemory,
  shape: PagingShape,
  mappings: readonly Mapping[],
  p2m: Uint32Array,
): void {
  for (let level = shape.levels; level >= 1; level--) {
    for (const owner of mappings) {
      const tables = owner.levels[level - 1]!;
      if (tables.tables === 0) continue;
      for (const mapping of mappings) {
        const below = level > 1 ? mapping.levels[level - 2]! : mapping;
        if (level > 1 && below.tables === 0) continue;
        if (below.from > tables.to || below.to < tables.from) continue;
        const span = bytesPerEntry(shape, level);
        const from = Math.max(tables.from, below.from);
        const to = Math.min(tables.to, below.to);
        let slot = Math.floor((from - tables.from) / span);
        const last = Math.floor((to - tables.from) / span);
        let pfn = below.pfn + Math.floor((from - below.from) / span);
        for (; slot <= last; slot++, pfn++) {
          const table = frameAt(p2m, tables.pfn + Math.floor(slot / shape.entriesPerTable));
          const flags = level > 1 ? TABLE_FLAGS : pageFlags(shape, mappings, pfn);
          writeEntry(memory, table, slot % shape.entriesPerTable, frameAt(p2m, pfn), flags);
        }
      }
    }
  }
}

/** The machine frame of the domain's frame `pfn`. Raises DomainBuildError if the domain has no such frame. */
export function frameAt(p2m: Uint32Array, pfn: Pfn): Mfn {
  const mfn = p2m[pfn];
  if (mfn === undefined) {
    throw new DomainBuildError(`expected a frame below the domain's ${p2m.length} pages, found ${pfn}`);
  }
  return mfn;
}

/** Page tables appear in the guest's address space too, but never writable. */
function pageFlags(shape: PagingShape, mappings: readonly Mapping[], pfn: Pfn): number {
  for (const { levels, tables } of mappings) {
    const first = levels[shape.levels - 1]!.pfn;
    if (pfn >= first && pfn < first + tables) return PAGE_FLAGS & ~PTE_WRITE;
  }
  return PAGE_FLAGS;
}

function writeEntry(memory: MachineMemory, table: Mfn, slot: number, mfn: Mfn, flags: number): void {
  memory.write64(table * PAGE_SIZE + slot * ENTRY_BYTES, (mfn << 12) | flags, mfn >>> 20);
}
