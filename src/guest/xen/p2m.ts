/**
 * Changing the P2M: an entry for one frame, and the pages that it may take. `p2m-tree.ts` has the picture.
 *
 * A page that everybody shares is never written. A frame below one gets a mid page and a leaf of its own first, prepared in
 * full and then put in the shared one's place by compare-and-swap, so that another processor sees the old state or the new.
 */
import { noteLeaf, noteMid } from './p2m-frame-lists';
import {
  identityFrame,
  initLeaf,
  initMid,
  MAX_P2M_PFN,
  P2M_PER_PAGE,
  p2mIdentity,
  p2mIndex,
  p2mMidIndex,
  p2mMidMissing,
  p2mMissing,
  p2mTop,
  p2mTopIndex,
  pointerAt,
  replace,
  trySetPhysToMachine,
} from './p2m-tree';
import { allocatePage, freePage } from './pages';
import { Pfn, WORD_BYTES } from './types';

/**
 * Sets the entry of a frame, with new pages where needed. Returns false if there were none. Below a missing leaf an
 * identity entry takes a leaf like any other. (The commit hangs p2m_identity there, and so gives 511 neighbours of the frame
 * an identity that nobody asked for.)
 */
export function setPhysToMachine(pfn: Pfn, entry: Word): bool {
  if (trySetPhysToMachine(pfn, entry)) return true;
  return allocateP2m(pfn) && trySetPhysToMachine(pfn, entry);
}

/**
 * Gives a frame a mid page and a leaf of its own. If another processor was faster, our page goes back. Returns false if
 * there was none to be had.
 *
 * A leaf that takes the place of p2m_identity says of its frames what that one said. (In the commit of 2011 it says that
 * they are missing, and 511 neighbours of the frame lose their identity.)
 */
export function allocateP2m(pfn: Pfn): bool {
  if (pfn >= MAX_P2M_PFN) return false;
  const top = p2mTopIndex(pfn);
  if (pointerAt(p2mTop, top) === p2mMidMissing) {
    const page = allocatePage();
    if (page === 0) return false;
    initMid(page);
    if (!replace(p2mTop, top, p2mMidMissing, page)) freePage(page);
  }
  if (!noteMid(top)) return false;
  const mid = pointerAt(p2mTop, top);
  const index = p2mMidIndex(pfn);
  const shared = pointerAt(mid, index);
  if (shared === p2mMissing || shared === p2mIdentity) {
    const page = allocatePage();
    if (page === 0) return false;
    if (shared === p2mIdentity) initIdentityLeaf(page, pfn);
    else initLeaf(page);
    if (!replace(mid, index, shared, page)) freePage(page);
    else noteLeaf(top, index, page);
  }
  return true;
}

/** A leaf of which each frame is its own machine frame, for the leaf that `pfn` belongs to. */
function initIdentityLeaf(page: usize, pfn: Pfn): void {
  const first = pfn - <Pfn>p2mIndex(pfn);
  for (let i: usize = 0; i < P2M_PER_PAGE; i++) {
    store<Word>(page + i * WORD_BYTES, identityFrame(first + <Pfn>i));
  }
}
