/**
 * How many page tables the initial mapping needs, and where they go.
 *
 * A mapping is a range of virtual addresses onto consecutive pseudo-physical frames. Its tables are consecutive frames
 * too, the highest level first:
 *
 *     | L4 | L3 … | L2 … | L1 … |     tables of the first mapping
 *          | L3 … | L2 … | L1 … |     of the second, as far as the first one's do not serve it as well
 *
 * The tables of one level cover an aligned range; since they are consecutive, entry n of the level is entry n % 512 of
 * its table n / 512. (Xen 4.17, tools/libs/guest/xg_dom_x86.c: count_pgtables.)
 */
import type { Gva, Pfn } from '../../machine/memory.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import { formatGva } from '../../machine/x86/guest-memory.ts';
import { ROOT_PAGETABLE_FIRST_XEN_SLOT, ROOT_PAGETABLE_LAST_XEN_SLOT } from '../mm/page-info.ts';
import { DomainBuildError, TooLittleMemoryError } from './errors.ts';

/** The paging structure of one kind of domain. A 32-bit one has three levels; its tables are not built yet. */
export interface PagingShape {
  readonly levels: number;
  /** Bits of a virtual address that are translated. */
  readonly addressBits: number;
  readonly entriesPerTable: number;
  /** What a guest may map: pieces of the address space, each from its first address to past its last. */
  readonly guestRanges: readonly (readonly [from: Gva, end: Gva])[];
}

/** The lower half, and the upper one above the slots of the root that are Xen's. */
export const PAGING_X86_64: PagingShape = {
  levels: 4,
  addressBits: 48,
  entriesPerTable: 512,
  guestRanges: [
    [0, 2 ** 47],
    [-(2 ** 47) + (ROOT_PAGETABLE_LAST_XEN_SLOT + 1 - ROOT_PAGETABLE_FIRST_XEN_SLOT) * 2 ** 39, 0],
  ],
};

/** The tables of one level of a mapping: index 0 of `Mapping.levels` is level 1. */
export interface MappingLevel {
  /** Addresses (unsigned, `addressBits` wide) that the tables cover, inclusive; from = to = 0: there are none. */
  from: number;
  to: number;
  /** First frame of the tables. */
  pfn: Pfn;
  tables: number;
}

export interface Mapping {
  /** Addresses (unsigned), inclusive. */
  readonly from: number;
  readonly to: number;
  /** The frame at `from`. */
  readonly pfn: Pfn;
  /** Tables of all levels. */
  tables: number;
  readonly levels: readonly MappingLevel[];
}

/** An address without the copies of its top bit. */
export function translatedBits(shape: PagingShape, gva: Gva): number {
  const range = 2 ** shape.addressBits;
  return ((gva % range) + range) % range;
}

/** Bytes that one entry of level `level` (1: a page) maps. */
export function bytesPerEntry(shape: PagingShape, level: number): number {
  return PAGE_SIZE * shape.entriesPerTable ** (level - 1);
}

/**
 * Plans the mapping of [from, to] (inclusive) onto the frames from `pfn` on, with its tables from `tablesPfn` on.
 * `earlier` are the mappings planned before; `pages` is what the domain has. Raises TooLittleMemoryError, or
 * DomainBuildError if the addresses are not a guest's to map or belong to an earlier mapping.
 */
export function planMapping(
  shape: PagingShape,
  earlier: readonly Mapping[],
  from: Gva,
  to: Gva,
  pfn: Pfn,
  tablesPfn: Pfn,
  pages: number,
): Mapping {
  if (!shape.guestRanges.some(([first, end]) => from >= first && to < end)) {
    throw new DomainBuildError(
      `expected addresses that a guest may map, found ${formatGva(from)} to ${formatGva(to)}`,
    );
  }
  if (pfn + Math.floor((to - from) / PAGE_SIZE) >= pages) {
    throw new TooLittleMemoryError(`the initial mapping needs more than the domain's ${pages} pages`);
  }
  const levels: MappingLevel[] = [];
  for (let i = 0; i < shape.levels; i++) levels.push({ from: 0, to: 0, pfn: 0, tables: 0 });
  const mapping: Mapping = {
    from: translatedBits(shape, from),
    to: translatedBits(shape, to),
    pfn,
    tables: 0,
    levels,
  };
  for (const other of earlier) {
    if (mapping.from <= other.to && mapping.to >= other.from) {
      throw new DomainBuildError('the addresses for the P2M list overlap those of the kernel');
    }
  }
  for (let level = shape.levels; level >= 1; level--) {
    const own = levels[level - 1]!;
    own.pfn = tablesPfn + mapping.tables;
    if (level === shape.levels) {
      // There is one root, and it belongs to the first mapping.
      if (earlier.length === 0) {
        own.to = 2 ** shape.addressBits - 1;
        own.tables = 1;
        mapping.tables++;
      }
      continue;
    }
    const span = bytesPerEntry(shape, level + 1);
    own.from = Math.floor(mapping.from / span) * span;
    own.to = Math.floor(mapping.to / span) * span + span - 1;
    for (const other of earlier) leaveOut(own, other.levels[level - 1]!);
    if (own.from < own.to) own.tables = (own.to + 1 - own.from) / span;
    mapping.tables += own.tables;
  }
  return mapping;
}

/** Takes what an earlier mapping's tables cover out of the range, from either end. */
function leaveOut(own: MappingLevel, other: MappingLevel): void {
  if (other.from === other.to || own.from === own.to) return;
  if (own.from >= other.from && own.to <= other.to) {
    own.from = 0;
    own.to = 0;
    return;
  }
  if (own.from >= other.from && own.from <= other.to) own.from = other.to + 1;
  if (own.to >= other.from && own.to <= other.to) own.to = other.from - 1;
}
