/**
 * The P2M: which machine frame stands behind each pseudo-physical frame of this domain.
 *
 * The domain builder gives a plain list, as long as the domain's memory. Memory has holes, though, and grows, so the list's
 * pages are hung as leaves into a tree of three levels, and whatever has no leaf of its own shares one:
 *
 *     top                mid                  leaf
 *     /-------\          /------------\       /--------------------------\
 *     |   0   |--------->|     0      |------>| mfn, mfn, mfn, …         |  a page of the builder's list
 *     |-------|          |------------|       \--------------------------/
 *     |   1   |---\      |     1      |------>| ~0, IDENTITY | pfn, …    |  a page of its own
 *     |-------|    |     |------------|       \--------------------------/
 *     |   …   |    |     |     2      |------>| ~0, ~0, ~0, …            |  p2m_identity: shared, every
 *     \-------/    |     |------------|       \--------------------------/  frame is its own machine frame
 *                  |     |     …      |------>| ~0, ~0, ~0, …            |  p2m_missing: shared, there
 *                  |     \------------/       \--------------------------/  is nothing
 *                  |     | each entry |            ^
 *                  \---->| missing    |------------/
 *                        \------------/  p2m_mid_missing: shared
 *
 * An entry is a frame number with two flag bits on top: IDENTITY marks a frame that is its own machine frame (a device's,
 * for instance, which is how page-table code tells it from memory), FOREIGN one that belongs to another domain. The shared
 * identity leaf holds ~0 like the missing one, because the toolstack reads these pages and knows nothing else; so a
 * look-up compares the leaf's address before it believes what stands in it.
 *
 * Follows the Linux commit "xen/mmu: Add the notion of identity (1-1) mapping" (2011), with its names for the shared pages.
 * Here is the tree and how to read it; `p2m.ts` changes it, `p2m-identity.ts` sets whole ranges, `p2m-frame-lists.ts` makes
 * the lists for the toolstack.
 */

import { XENFEAT_auto_translated_physmap } from '../../abi/xen/numbers/features.ts';
import { native } from '../machine/memory';
import { compareAndSwap } from './atomic';
import { extendBrk } from './brk';
import { feature } from './features';
import { Mfn, PAGE_SIZE, Pfn, WORD_BYTES } from './types';

/** Entries of a leaf, of a mid page and of the top page: 512, or 1024 for 32 bits. */
export const P2M_PER_PAGE: usize = PAGE_SIZE / WORD_BYTES;
export const P2M_MID_PER_PAGE: usize = PAGE_SIZE / WORD_BYTES;
export const P2M_TOP_PER_PAGE: usize = PAGE_SIZE / WORD_BYTES;

/** Frames below one entry of the top page: 1 GiB of memory, or 4 GiB. */
export const PFNS_PER_MID: Pfn = <Pfn>(P2M_MID_PER_PAGE * P2M_PER_PAGE);
/** One past the last frame that the tree can describe. */
export const MAX_P2M_PFN: Pfn = PFNS_PER_MID * <Pfn>P2M_TOP_PER_PAGE;

export const INVALID_P2M_ENTRY: Word = ~(<Word>0);
export const FOREIGN_FRAME_BIT: Word = (<Word>1) << (<Word>(WORD_BITS - 1));
export const IDENTITY_FRAME_BIT: Word = (<Word>1) << (<Word>(WORD_BITS - 2));

/** The tree's root and its shared pages. */
export let p2mTop: usize = 0;
export let p2mMidMissing: usize = 0;
export let p2mMissing: usize = 0;
export let p2mIdentity: usize = 0;

/** The entry for a frame of another domain. */
export function foreignFrame(mfn: Mfn): Word {
  return mfn | FOREIGN_FRAME_BIT;
}

/** The entry for a frame that is its own machine frame. */
export function identityFrame(pfn: Pfn): Word {
  return pfn | IDENTITY_FRAME_BIT;
}

export function p2mTopIndex(pfn: Pfn): usize {
  return <usize>(pfn / PFNS_PER_MID);
}

export function p2mMidIndex(pfn: Pfn): usize {
  return <usize>(pfn / <Pfn>P2M_PER_PAGE) % P2M_MID_PER_PAGE;
}

export function p2mIndex(pfn: Pfn): usize {
  return <usize>pfn % P2M_PER_PAGE;
}

// Upper pages hold pointers as the processor knows them, so that whoever looks at them from outside can follow.

/** The page that entry `index` of a top or mid page points to. */
export function pointerAt(page: usize, index: usize): usize {
  return <usize>load<Word>(page + index * WORD_BYTES);
}

export function setPointer(page: usize, index: usize, to: usize): void {
  store<Word>(page + index * WORD_BYTES, <Word>native(to));
}

/** The leaf that a frame below MAX_P2M_PFN has; it may be a shared one. */
export function leafOf(pfn: Pfn): usize {
  return pointerAt(pointerAt(p2mTop, p2mTopIndex(pfn)), p2mMidIndex(pfn));
}

/** A mid page without leaves: every entry leads to p2m_missing. */
export function initMid(page: usize): void {
  for (let i: usize = 0; i < P2M_MID_PER_PAGE; i++) setPointer(page, i, p2mMissing);
}

/** A leaf without frames. */
export function initLeaf(page: usize): void {
  memory.fill(page, 0xff, PAGE_SIZE);
}

/**
 * Grows the tree around the builder's list: `mfnList` (a page boundary) has an entry for each of `frames` frames. Takes its
 * pages from the brk area (`p2mBrkPages` says how many).
 */
export function buildPhysToMachine(mfnList: usize, frames: Pfn): void {
  p2mMissing = extendBrk(PAGE_SIZE, PAGE_SIZE);
  initLeaf(p2mMissing);
  p2mIdentity = extendBrk(PAGE_SIZE, PAGE_SIZE);
  initLeaf(p2mIdentity);
  p2mMidMissing = extendBrk(PAGE_SIZE, PAGE_SIZE);
  initMid(p2mMidMissing);
  p2mTop = extendBrk(PAGE_SIZE, PAGE_SIZE);
  for (let i: usize = 0; i < P2M_TOP_PER_PAGE; i++) setPointer(p2mTop, i, p2mMidMissing);

  for (let pfn: Pfn = 0; pfn < frames; pfn += <Pfn>P2M_PER_PAGE) {
    const top = p2mTopIndex(pfn);
    if (pointerAt(p2mTop, top) === p2mMidMissing) {
      const mid = extendBrk(PAGE_SIZE, PAGE_SIZE);
      initMid(mid);
      setPointer(p2mTop, top, mid);
    }
    let leaf = mfnList + <usize>pfn * WORD_BYTES;
    const left = <usize>(frames - pfn);
    if (left < P2M_PER_PAGE) {
      // What stands behind the list's end is not ours to call invalid: the last leaf becomes a page of its own.
      const page = extendBrk(PAGE_SIZE, PAGE_SIZE);
      initLeaf(page);
      memory.copy(page, leaf, left * WORD_BYTES);
      leaf = page;
    }
    setPointer(pointerAt(p2mTop, top), p2mMidIndex(pfn), leaf);
  }
}

/**
 * How many brk pages the tree and its frame lists take at most: `frames` in the builder's list, `end` one past the highest
 * frame that anything is said of before the allocator works, `ranges` calls of setPhysRangeIdentity.
 */
export function p2mBrkPages(frames: Pfn, end: Pfn, ranges: usize): usize {
  const highest = frames > end ? frames : end;
  const mids = <usize>((highest + PFNS_PER_MID - 1) / PFNS_PER_MID);
  // Top, three shared pages, the last leaf; three frame lists; a mid page and its list each; two leaves for each range.
  return 5 + 3 + 2 * mids + 2 * ranges;
}

/** The entry of a frame, flag bits included; INVALID_P2M_ENTRY if there is none. */
export function getPhysToMachine(pfn: Pfn): Word {
  if (pfn >= MAX_P2M_PFN) return INVALID_P2M_ENTRY;
  const leaf = leafOf(pfn);
  if (leaf === p2mIdentity) return identityFrame(pfn);
  return load<Word>(leaf + p2mIndex(pfn) * WORD_BYTES);
}

/** Sets the entry of a frame; returns false, having changed nothing, if that takes a page that the tree does not have. */
export function trySetPhysToMachine(pfn: Pfn, entry: Word): bool {
  if (feature(XENFEAT_auto_translated_physmap)) {
    // Xen translates: there is nothing to set, and only one thing that may be said.
    if (pfn !== entry && entry !== INVALID_P2M_ENTRY) unreachable();
    return true;
  }
  if (pfn >= MAX_P2M_PFN) return entry === INVALID_P2M_ENTRY;
  const leaf = leafOf(pfn);
  if (leaf === p2mMissing) return entry === INVALID_P2M_ENTRY;
  if (leaf === p2mIdentity) return entry === identityFrame(pfn);
  store<Word>(leaf + p2mIndex(pfn) * WORD_BYTES, entry);
  return true;
}

/** Puts `to` into entry `index` of a top or mid page if `from` still stands there. */
export function replace(page: usize, index: usize, from: usize, to: usize): bool {
  return compareAndSwap(page + index * WORD_BYTES, <Word>native(from), <Word>native(to));
}
