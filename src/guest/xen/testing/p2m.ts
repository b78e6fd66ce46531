/** The P2M with an allocator, for its test. */
import { setPageAllocator } from '../pages';
import { PAGE_SIZE } from '../types';

export * from '../brk';
export * from '../p2m';
export * from '../p2m-frame-lists';
export * from '../p2m-identity';
export * from '../p2m-tree';

let next: usize = 0;
let end: usize = 0;
/** Pages that came back, each with the address of the one before in its first word. */
let returned: usize = 0;

function allocate(): usize {
  const page = returned;
  if (page !== 0) {
    returned = load<usize>(page);
    return page;
  }
  if (next === end) return 0;
  next += PAGE_SIZE;
  return next - PAGE_SIZE;
}

function release(page: usize): void {
  store<usize>(page, returned);
  returned = page;
}

/** From now on the library takes its pages from `from` up to `to`. */
export function usePages(from: usize, to: usize): void {
  next = from;
  end = to;
  setPageAllocator(allocate, release);
}
