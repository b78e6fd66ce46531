/**
 * Where this library gets pages for itself: from the brk area while the kernel starts, and later from the kernel's own
 * allocator, which it hands over once it has one (`setPageAllocator`).
 */
import { extendBrk } from './brk';
import { PAGE_SIZE } from './types';

/** Table indices of `() => usize`, which returns a page or 0, and `(page: usize) => void`; 0: none yet. */
let allocate: u32 = 0;
let release: u32 = 0;

/** From now on pages come from `allocator` (it returns 0 when there is none) and go back to `releaser`. */
export function setPageAllocator(allocator: () => usize, releaser: (page: usize) => void): void {
  allocate = allocator.index;
  release = releaser.index;
}

/** A page of this module's memory, contents undefined; 0 if there is none left. */
export function allocatePage(): usize {
  return allocate === 0 ? extendBrk(PAGE_SIZE, PAGE_SIZE) : call_indirect<usize>(allocate);
}

/** Gives back a page from `allocatePage`. One that came from the brk area is lost. */
export function freePage(page: usize): void {
  if (release !== 0) call_indirect<void>(release, page);
}
