/**
 * The frame lists: the P2M as the toolstack reads it, which saves a domain or looks at its dump from outside. It follows
 * machine frames, not the guest's pointers, so beside the tree stand lists of the frames that its pages lie in:
 *
 *     shared_info.arch.pfn_to_mfn_frame_list_list
 *        |
 *        v
 *     p2m_top_mfn: frames of …  --->  the lists of a mid page's leaves: frames of …  --->  leaves
 *
 * The shared leaves stand in the lists like any other, since both hold nothing but ~0.
 */
import { extendBrk } from './brk';
import {
  P2M_MID_PER_PAGE,
  P2M_TOP_PER_PAGE,
  p2mMidMissing,
  p2mMissing,
  p2mTop,
  pointerAt,
  replace,
  setPointer,
} from './p2m-tree';
import { virtToMfn } from './page';
import { allocatePage, freePage } from './pages';
import { Mfn, PAGE_SIZE, WORD_BYTES } from './types';

/** The list of lists: frames, by top index. 0 until it is built. */
export let p2mTopMfn: usize = 0;
/** Pointers to the pages whose frames stand there. */
let p2mTopMfnPointers: usize = 0;
/** The list of a mid page without leaves. */
let p2mMidMissingMfn: usize = 0;

function setFrame(list: usize, index: usize, page: usize): void {
  store<Mfn>(list + index * WORD_BYTES, virtToMfn(page));
}

function fillWithMissing(list: usize): void {
  for (let i: usize = 0; i < P2M_MID_PER_PAGE; i++) setFrame(list, i, p2mMissing);
}

/**
 * Builds the lists, or, after a resume in other frames, writes them anew. Returns the frame for
 * pfn_to_mfn_frame_list_list. The first time it takes pages from the brk area.
 */
export function buildFrameLists(): Mfn {
  if (p2mTopMfn === 0) {
    p2mMidMissingMfn = extendBrk(PAGE_SIZE, PAGE_SIZE);
    p2mTopMfnPointers = extendBrk(PAGE_SIZE, PAGE_SIZE);
    p2mTopMfn = extendBrk(PAGE_SIZE, PAGE_SIZE);
    for (let i: usize = 0; i < P2M_TOP_PER_PAGE; i++) setPointer(p2mTopMfnPointers, i, p2mMidMissingMfn);
  }
  fillWithMissing(p2mMidMissingMfn);
  for (let top: usize = 0; top < P2M_TOP_PER_PAGE; top++) {
    const mid = pointerAt(p2mTop, top);
    let list = p2mMidMissingMfn;
    if (mid !== p2mMidMissing) {
      list = pointerAt(p2mTopMfnPointers, top);
      if (list === p2mMidMissingMfn) list = extendBrk(PAGE_SIZE, PAGE_SIZE);
      for (let i: usize = 0; i < P2M_MID_PER_PAGE; i++) setFrame(list, i, pointerAt(mid, i));
    }
    setPointer(p2mTopMfnPointers, top, list);
    setFrame(p2mTopMfn, top, list);
  }
  return virtToMfn(p2mTopMfn);
}

/** The tree got a mid page: it gets a list too. Returns false if there is no page for it. */
export function noteMid(top: usize): bool {
  if (p2mTopMfn === 0 || pointerAt(p2mTopMfnPointers, top) !== p2mMidMissingMfn) return true;
  const list = allocatePage();
  if (list === 0) return false;
  fillWithMissing(list);
  // Another processor's list may have leaves by now.
  if (replace(p2mTopMfnPointers, top, p2mMidMissingMfn, list)) setFrame(p2mTopMfn, top, list);
  else freePage(list);
  return true;
}

/** The tree got a leaf, at entry `index` of the mid page of `top`. */
export function noteLeaf(top: usize, index: usize, leaf: usize): void {
  if (p2mTopMfn !== 0) setFrame(pointerAt(p2mTopMfnPointers, top), index, leaf);
}
