/** The P2M with an allocator, for its test. */
import { setPhysToMachine } from '../p2m';
import { setPageAllocator } from '../pages';
import { PAGE_SIZE, Pfn } from '../types';

export * from '../brk';
export * from '../p2m';
export * from '../p2m-frame-lists';
export * from '../p2m-identity';
export * from '../p2m-tree';

let next: usize = 0;
let end: usize = 0;
/** Pages that came back, each with the address of the one before in its first word. */
let returned: usize = 0;

/** Pages that are out. */
let taken: i32 = 0;
/** What another processor does while a page is looked for: after so many more, it sets an entry of its own. */
let raceAfter: i32 = -1;
let racePfn: Pfn = 0;
let raceEntry: Word = 0;

export function pagesTaken(): i32 {
  return taken;
}

export function race(after: i32, pfn: Pfn, entry: Word): void {
  raceAfter = after;
  racePfn = pfn;
  raceEntry = entry;
}

function allocate(): usize {
  const page = takePage();
  taken++;
  if (raceAfter-- === 0 && !setPhysToMachine(racePfn, raceEntry)) unreachable();
  return page;
}

function takePage(): usize {
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
  taken--;
  store<usize>(page, returned);
  returned = page;
}

/** From now on the library takes its pages from `from` up to `to`. */
export function usePages(from: usize, to: usize): void {
  next = from;
  end = to;
  setPageAllocator(allocate, release);
}
