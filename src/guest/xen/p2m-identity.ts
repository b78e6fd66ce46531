/**
 * Ranges of frames that are their own machine frames: what no RAM of the machine stands behind, such as the windows of
 * devices and the tables of the firmware. A domain that may touch these makes page-table entries for them as for memory.
 *
 * Whole leaves share p2m_identity; only where a range begins or ends in the middle of a leaf is a page spent. For the
 * range from 1029 MiB to 2001 MiB, and 512 frames a leaf:
 *
 *     pfn    0x40400     0x40500                                   0x7d000     0x7d100     0x7d200
 *              | missing   | identity | p2m_identity … p2m_identity | identity  | missing    |
 *              \------- own leaf -----/      shared leaves          \------- own leaf -------/
 */
import { XENFEAT_auto_translated_physmap } from '../../abi/xen/numbers/features.ts';
import { XEN_HVM_MEMMAP_TYPE_RAM } from '../../abi/xen/numbers/memory.ts';
import { native } from '../machine/memory';
import { giveFrames } from './balloon';
import { extendBrk } from './brk';
import { feature } from './features';
import { unmapFrame } from './mapping';
import {
  FOREIGN_FRAME_BIT,
  getPhysToMachine,
  IDENTITY_FRAME_BIT,
  INVALID_P2M_ENTRY,
  identityFrame,
  initLeaf,
  initMid,
  leafOf,
  MAX_P2M_PFN,
  P2M_PER_PAGE,
  PFNS_PER_MID,
  p2mIdentity,
  p2mIndex,
  p2mMidIndex,
  p2mMidMissing,
  p2mMissing,
  p2mTop,
  p2mTopIndex,
  pointerAt,
  replace,
  setPointer,
  trySetPhysToMachine,
} from './p2m-tree';
import { virtualOf } from './page';
import { PTE_PRESENT } from './page-entry';
import { lookupAddress } from './page-walk';
import { PAGE_SHIFT, PAGE_SIZE, Paddr, Pfn, WORD_BYTES } from './types';

/**
 * Makes the frames from `start` up to, and not including, `end` identity frames, while the brk area is open: it costs a
 * mid page for each missing one that the range touches, and a leaf for each end that stands within a missing leaf.
 * Returns how many frames were set; 0 if an end lies beyond what the tree can hold.
 */
export function setPhysRangeIdentity(start: Pfn, end: Pfn): Pfn {
  if (start >= MAX_P2M_PFN || end >= MAX_P2M_PFN || start > end) return 0;
  if (feature(XENFEAT_auto_translated_physmap)) return end - start;

  for (let top = p2mTopIndex(start); top < p2mTopIndex(end + PFNS_PER_MID - 1); top++) {
    if (pointerAt(p2mTop, top) !== p2mMidMissing) continue;
    const mid = extendBrk(PAGE_SIZE, PAGE_SIZE);
    initMid(mid);
    setPointer(p2mTop, top, mid);
  }
  splitLeaf(start);
  splitLeaf(end);

  let pfn = start;
  while (pfn < end) {
    const leaf = leafOf(pfn);
    if (leaf === p2mMissing || leaf === p2mIdentity) {
      // Thanks to the two splits, the range has all of a missing leaf or nothing.
      const mid = pointerAt(p2mTop, p2mTopIndex(pfn));
      if (leaf === p2mMissing && !replace(mid, p2mMidIndex(pfn), p2mMissing, p2mIdentity)) break;
      pfn += <Pfn>(P2M_PER_PAGE - p2mIndex(pfn));
    } else {
      store<Word>(leaf + p2mIndex(pfn) * WORD_BYTES, identityFrame(pfn));
      pfn++;
    }
  }
  return (pfn < end ? pfn : end) - start;
}

/** Gives the leaf of `pfn` a page of its own if it is missing and a range begins or ends inside it. */
function splitLeaf(pfn: Pfn): void {
  if (p2mIndex(pfn) === 0 || leafOf(pfn) !== p2mMissing) return;
  const leaf = extendBrk(PAGE_SIZE, PAGE_SIZE);
  initLeaf(leaf);
  setPointer(pointerAt(p2mTop, p2mTopIndex(pfn)), p2mMidIndex(pfn), leaf);
}

/** One entry of the memory map as Xen writes it (XENMEM_memory_map): 64-bit address and size, 32-bit type. */
export const SIZEOF_e820_entry: usize = 20;

/** What lies from KERNEL_BASE up to the end of the address space, and can be mapped there. */
const DIRECT_MAP_FRAMES: u64 = (0x100000000 - <u64>KERNEL_BASE) >> PAGE_SHIFT;

/** A hole is followed no further: 64 GiB. What a map mentions above, such as 12 GiB below 1 TiB, would cost a page for each GiB. */
export const IDENTITY_LIMIT: Pfn = 16 << 20;

/**
 * Sets identity for all that a memory map of `count` entries at `map`, by ascending address, does not call RAM: entries of
 * other types, and the gaps between entries. A page that is RAM only in part counts as none. Returns the frames set.
 *
 * The domain builder knows nothing of the map and has put memory into the holes as well. Its frames go back to Xen. What
 * lies from `usedFrom` up to `usedEnd`, the kernel and what came with it, cannot; if a hole reaches there the kernel stops.
 */
export function setIdentityFromMemoryMap(map: usize, count: usize, usedFrom: Pfn, usedEnd: Pfn): Pfn {
  let set: Pfn = 0;
  /** One past the last byte of RAM so far, and of anything. */
  let ram: Paddr = 0;
  let last: Paddr = 0;
  for (let i: usize = 0; i <= count; i++) {
    const entry = map + i * SIZEOF_e820_entry;
    if (i < count) {
      const to = load<u64>(entry) + load<u64>(entry, 8);
      if (to > last) last = to;
      if (load<u32>(entry, 16) !== XEN_HVM_MEMMAP_TYPE_RAM) continue;
    }
    const start = <Pfn>(ram >> PAGE_SHIFT);
    const end = firstPageFrom(i < count ? load<u64>(entry) : last);
    if (start < end) {
      if (start < usedEnd && end > usedFrom) unreachable();
      releaseFrames(start, end);
      set += setPhysRangeIdentity(start, end);
    }
    if (i < count) ram = load<u64>(entry) + load<u64>(entry, 8);
  }
  return set;
}

function firstPageFrom(address: Paddr): Pfn {
  const pfn = <Pfn>((address + (<u64>PAGE_SIZE - 1)) >> PAGE_SHIFT);
  return pfn < IDENTITY_LIMIT ? pfn : IDENTITY_LIMIT;
}

const FRAMES_AT_ONCE: usize = 128;
const frames: usize = memory.data(128 * 8, 8);

/** Gives the frames from `start` up to, and not including, `end` back to Xen, those that there are. */
function releaseFrames(start: Pfn, end: Pfn): void {
  let count: usize = 0;
  for (let pfn = start; pfn < end; pfn++) {
    const leaf = leafOf(pfn);
    if (leaf === p2mMissing || leaf === p2mIdentity) {
      pfn |= <Pfn>(P2M_PER_PAGE - 1);
      continue;
    }
    const mfn = getPhysToMachine(pfn);
    if ((mfn & (FOREIGN_FRAME_BIT | IDENTITY_FRAME_BIT)) !== 0) continue;
    unmap(pfn);
    trySetPhysToMachine(pfn, INVALID_P2M_ENTRY);
    store<Word>(frames + count * WORD_BYTES, mfn);
    count++;
    if (count === FRAMES_AT_ONCE) {
      giveFrames(frames, count);
      count = 0;
    }
  }
  if (count !== 0) giveFrames(frames, count);
}

/** The builder maps the beginning of memory: a frame that is mapped would stay ours until it is not. */
function unmap(pfn: Pfn): void {
  if (<u64>pfn >= DIRECT_MAP_FRAMES) return;
  const page = virtualOf((<u64>pfn) << PAGE_SHIFT);
  const entry = lookupAddress(native(page));
  if (entry !== 0 && (load<u64>(entry) & PTE_PRESENT) !== 0 && unmapFrame(page) !== 0) unreachable();
}
