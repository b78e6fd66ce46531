/**
 * Physical memory, page by page. All of it has a place above KERNEL_BASE, but above Xen only the image's surroundings are
 * mapped there at first; the rest is mapped when it is first needed, 2 MiB at a time, so that a start costs the same
 * whatever the memory.
 *
 *     image, builder's pages │ given out …  … given out │ mapped, never given out yet │ not mapped yet
 *     ───────────────────────┴──────────────────────────┴─────────────────────────────┴───────────────
 *                                                       next                          mappedEnd      memoryEnd
 *
 * Pages that came back form a list, each with the address of the one before it in its first word. A page has a count of who
 * uses it, since a fork shares pages until somebody writes.
 */
import { native } from '../machine/memory';
import { LAZY_MMU, lazyMode } from '../paravirt/lazy';
import {
  allocPte,
  disableInterrupts,
  enterLazyMmu,
  flushLazyMmu,
  leaveLazyMmu,
  makePte,
  memorySetup,
  restoreFlags,
  saveFlags,
  setPmd,
  setPte,
} from '../paravirt/operations';
import {
  entryIn,
  findEntry,
  KERNEL_FLAGS,
  LARGE,
  PAGE,
  PRESENT,
  pageBehind,
  physicalOf,
  TABLE_REACH,
  virtualOf,
} from './entries';

/** No more than this much memory has a place above KERNEL_BASE. */
const MOST_MEMORY: u64 = 0x40000000;
const RAM: u32 = 1;
const MOST_ENTRIES: u32 = 32;
const map: usize = memory.data(20 * 32, 8);

let root: usize = 0;
let next: usize = 0;
let mappedEnd: usize = 0;
let memoryEnd: usize = 0;
let returned: usize = 0;
/** A u16 for each page of memory: how many use it. */
let counts: usize = 0;

/** All pages that the kernel began with, and those that nobody has. */
export let totalPages: u32 = 0;
export let freePages: u32 = 0;
/** Tables that the mapping of memory has taken since. */
export let mappingTables: u32 = 0;

/**
 * From `start` on memory is ours, to the end of the piece of RAM that it lies in, or to `limit` (physical; 0: none). `tables`
 * is the root of the kernel's tables.
 */
export function startPages(start: usize, limit: u64, tables: usize): void {
  root = tables;
  next = start;
  let end = endOfRam(physicalOf(start));
  if (limit !== 0 && end > limit) end = limit;
  if (end > MOST_MEMORY) end = MOST_MEMORY;
  memoryEnd = virtualOf(end & ~(<u64>PAGE - 1));
  mappedEnd = start;
  for (let reach = mappedFrom(start); reach > 0 && mappedEnd < memoryEnd; reach = mappedFrom(mappedEnd))
    mappedEnd += reach;
  if (mappedEnd > memoryEnd) mappedEnd = memoryEnd;
  counts = takeFresh((<usize>(end / <u64>PAGE) * 2 + PAGE - 1) / PAGE);
  if (counts === 0) unreachable();
  memory.fill(counts, 0, <usize>(end / <u64>PAGE) * 2);
  totalPages = <u32>((memoryEnd - next) / PAGE);
  freePages = totalPages;
}

function endOfRam(physical: u64): u64 {
  const entries = memorySetup(map, MOST_ENTRIES);
  for (let i: u32 = 0; i < entries; i++) {
    const entry = map + i * 20;
    const first = load<u64>(entry);
    const end = first + load<u64>(entry, 8);
    if (load<u32>(entry, 16) === RAM && physical >= first && physical < end) return end;
  }
  return unreachable();
}

/** How many bytes from `page` on the entry that maps it reaches; 0: there is none. */
function mappedFrom(page: usize): usize {
  const pmd = findEntry(root, native(page), 2);
  if (pmd === 0) return 0;
  const entry = load<u64>(pmd);
  if ((entry & PRESENT) === 0) return 0;
  const reach = <usize>TABLE_REACH;
  if ((entry & LARGE) !== 0) return reach - (page & (reach - 1));
  return (load<u64>(entryIn(pageBehind(entry), native(page), 1)) & PRESENT) !== 0 ? PAGE : 0;
}

/** Maps what lies between `mappedEnd` and the next boundary of 2 MiB. Takes a page for the table if there is none. */
function mapMore(): bool {
  if (mappedEnd >= memoryEnd) return false;
  const reach = <usize>TABLE_REACH;
  let end = (mappedEnd + reach) & ~(reach - 1);
  if (end > memoryEnd) end = memoryEnd;
  const pmd = findEntry(root, native(mappedEnd), 2);
  if (pmd === 0) return false;
  const entry = load<u64>(pmd);
  if ((entry & PRESENT) === 0) linkTable(pmd, end);
  else if ((entry & LARGE) === 0) completeTable(pageBehind(entry), end);
  mappedEnd = end;
  return true;
}

/** A new table is filled while it is a page like others, so nobody is asked for its entries one by one. */
function linkTable(pmd: usize, end: usize): void {
  const table = next;
  next += PAGE;
  freePages--;
  mappingTables++;
  memory.fill(table, 0, PAGE);
  for (let page = mappedEnd; page < end; page += PAGE) {
    store<u64>(entryIn(table, native(page), 1), makePte(physicalOf(page) | KERNEL_FLAGS));
  }
  allocPte(0, table);
  setPmd(pmd, makePte(physicalOf(table) | KERNEL_FLAGS));
  // Whoever asked may be in the middle of lazy updates, and wants the page now.
  if (lazyMode() === LAZY_MMU) flushLazyMmu();
}

function completeTable(table: usize, end: usize): void {
  const lazy = lazyMode() === LAZY_MMU;
  if (!lazy) enterLazyMmu();
  for (let page = mappedEnd; page < end; page += PAGE)
    setPte(entryIn(table, native(page), 1), makePte(physicalOf(page) | KERNEL_FLAGS));
  if (lazy) flushLazyMmu();
  else leaveLazyMmu();
}

/** So many pages side by side that nobody ever had; 0: there are none. */
function takeFresh(pages: usize): usize {
  // The last mapped page is kept for the table that maps more.
  while (next + (pages + 1) * PAGE > mappedEnd) {
    if (!mapMore()) break;
  }
  if (next + pages * PAGE > mappedEnd) return 0;
  const first = next;
  next += pages * PAGE;
  return first;
}

/** As many pages as are asked for, side by side, contents undefined; never to be given back. 0: there are none. */
export function takePages(pages: usize): usize {
  const state = saveFlags();
  disableInterrupts();
  const first = takeFresh(pages);
  if (first !== 0) freePages -= <u32>pages;
  restoreFlags(state);
  return first;
}

/** A page, contents undefined, with one user; 0: there is none. */
export function takeAnyPage(): usize {
  const state = saveFlags();
  disableInterrupts();
  let page = returned;
  if (page !== 0) returned = load<usize>(page);
  else page = takeFresh(1);
  if (page !== 0) {
    freePages--;
    setUsers(page, 1);
  }
  restoreFlags(state);
  return page;
}

/** A page of zeros; 0: there is none. */
export function takePage(): usize {
  const page = takeAnyPage();
  if (page !== 0) memory.fill(page, 0, PAGE);
  return page;
}

function setUsers(page: usize, users: u32): void {
  store<u16>(counts + <usize>(physicalOf(page) / <u64>PAGE) * 2, <u16>users);
}

/** How many use a page. */
export function usersOf(page: usize): u32 {
  return load<u16>(counts + <usize>(physicalOf(page) / <u64>PAGE) * 2);
}

/** One more uses a page. */
export function sharePage(page: usize): void {
  setUsers(page, usersOf(page) + 1);
}

/** One less. A page that nobody uses is free. */
export function dropPage(page: usize): void {
  const state = saveFlags();
  disableInterrupts();
  const users = usersOf(page);
  if (users === 0) unreachable();
  setUsers(page, users - 1);
  if (users === 1) {
    store<usize>(page, returned);
    returned = page;
    freePages++;
  }
  restoreFlags(state);
}
