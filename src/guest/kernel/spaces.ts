/**
 * Address spaces: what a user's addresses mean. A space has regions, which say what may be where, and tables, which are
 * filled as addresses are used: a page comes with its first fault. A fork shares all pages, read-only; who writes first gets
 * a copy.
 *
 * Everything here is done with interrupts disabled.
 */
import { AddressSpace } from '../paravirt/address-space';
import {
  allocPmd,
  allocPte,
  allocPud,
  duplicatedSpace,
  enterLazyMmu,
  exitSpace,
  flushTlbSingle,
  flushTlbUser,
  leaveLazyMmu,
  makePte,
  pgdAlloc,
  pgdFree,
  releasePmd,
  releasePte,
  releasePud,
  setPgd,
  setPmd,
  setPte,
  setPteAt,
  setPud,
} from '../paravirt/operations';
import {
  ACCESSED,
  DIRTY,
  entryIn,
  findEntry,
  PAGE,
  PRESENT,
  pageBehind,
  physicalOf,
  TABLE_FLAGS,
  TABLE_REACH,
  USER,
  WRITE,
} from './entries';
import { dropPage, sharePage, takeAnyPage, takePage, usersOf } from './pages';

/** User addresses lie below. */
export const USER_END: u64 = 0x40000000;
const USER_ENTRIES: usize = 256;
const ENTRIES: usize = 512;
const PAGE_MASK: u64 = ~(<u64>PAGE - 1);

/** Addresses from `start` up to `end`, whole pages; the first `fileBytes` come from `file`, zeros follow. */
@unmanaged
export class Region {
  start: u64;
  end: u64;
  fileBytes: u64;
  file: usize;
  writable: bool;
}
const SIZEOF_Region: usize = (offsetof<Region>() + 7) & ~7;

/** A space is a page: this, and its regions behind it. */
@unmanaged
export class Space extends AddressSpace {
  regions: u32;
  /** Pages and tables that it has. */
  pages: u32;
  tables: u32;
}
const FIRST_REGION: usize = (offsetof<Space>() + 7) & ~7;
const MOST_REGIONS: u32 = 64;

/** What became of a fault. */
export const RESOLVED: u32 = 0;
export const FORBIDDEN: u32 = 1;
export const NO_MEMORY: u32 = 2;

/** Page faults by what they were for. */
export let demandFaults: u64 = 0;
export let copyFaults: u64 = 0;

/** An empty space; 0 without memory. */
export function createSpace(): usize {
  const space = takePage();
  const top = takePage();
  if (space !== 0 && top !== 0 && pgdAlloc(space, top) === 0) return space;
  if (space !== 0) dropPage(space);
  if (top !== 0) dropPage(top);
  return 0;
}

export function regionAt(space: usize, index: u32): Region {
  return changetype<Region>(space + FIRST_REGION + index * SIZEOF_Region);
}

/** Adds a region, or returns false: no room, or not a place for it. */
export function addRegion(space: usize, start: u64, end: u64, writable: bool, file: usize, bytes: u64): bool {
  const record = changetype<Space>(space);
  if (record.regions === MOST_REGIONS || start >= end || end > USER_END || (start & ~PAGE_MASK) !== 0)
    return false;
  for (let i: u32 = 0; i < record.regions; i++) {
    const other = regionAt(space, i);
    if (start < other.end && other.start < end) return false;
  }
  const region = regionAt(space, record.regions++);
  region.start = start;
  region.end = (end + <u64>PAGE - 1) & PAGE_MASK;
  region.writable = writable;
  region.file = file;
  region.fileBytes = bytes;
  return true;
}

function findRegion(space: usize, address: u64): Region | null {
  for (let i: u32 = 0; i < changetype<Space>(space).regions; i++) {
    const region = regionAt(space, i);
    if (address >= region.start && address < region.end) return region;
  }
  return null;
}

/** The level-1 entry of a user's address, with tables made on the way; 0 without memory. */
function entryFor(space: usize, address: u64): usize {
  let table = changetype<Space>(space).root;
  for (let level: u64 = 4; level > 1; level--) {
    const at = entryIn(table, address, level);
    const entry = load<u64>(at);
    table = (entry & PRESENT) !== 0 ? pageBehind(entry) : makeTable(space, at, level);
    if (table === 0) return 0;
  }
  return entryIn(table, address, 1);
}

/** A table for the entry at `at`, which stands in a table of `level`. */
function makeTable(space: usize, at: usize, level: u64): usize {
  const table = takePage();
  if (table === 0) return 0;
  changetype<Space>(space).tables++;
  const link = makePte(physicalOf(table) | TABLE_FLAGS);
  if (level === 4) {
    allocPud(space, table);
    setPgd(space, at, link);
  } else if (level === 3) {
    allocPmd(space, table);
    setPud(at, link);
  } else {
    allocPte(space, table);
    setPmd(at, link);
  }
  return table;
}

/**
 * The user touched `address`: lets it go on, with a page where there was none and a copy where a page is shared. FORBIDDEN:
 * it has no business there.
 */
export function resolveFault(space: usize, address: u64, write: bool): u32 {
  const region = findRegion(space, address);
  if (region === null || (write && !region.writable)) return FORBIDDEN;
  const page = address & PAGE_MASK;
  const at = entryFor(space, page);
  if (at === 0) return NO_MEMORY;
  const entry = load<u64>(at);
  if ((entry & PRESENT) === 0) return bringPage(space, region, page, at) ? RESOLVED : NO_MEMORY;
  if (write && (entry & WRITE) === 0) return ownPage(space, page, at, entry) ? RESOLVED : NO_MEMORY;
  // The processor remembered what was true before.
  flushTlbSingle(page);
  return RESOLVED;
}

/** Demand paging: the page's part of the file, zeros behind it. False without memory. */
function bringPage(space: usize, region: Region, address: u64, at: usize): bool {
  const page = takePage();
  if (page === 0) return false;
  const offset = address - region.start;
  if (offset < region.fileBytes) {
    const left = region.fileBytes - offset;
    memory.copy(page, region.file + <usize>offset, left < <u64>PAGE ? <usize>left : PAGE);
  }
  const flags = PRESENT | USER | ACCESSED | (region.writable ? WRITE | DIRTY : 0);
  setPteAt(space, address, at, makePte(physicalOf(page) | flags));
  changetype<Space>(space).pages++;
  demandFaults++;
  return true;
}

/** Copy on write: the last user of a page needs no copy. False without memory. */
function ownPage(space: usize, address: u64, at: usize, entry: u64): bool {
  const shared = pageBehind(entry);
  copyFaults++;
  if (usersOf(shared) === 1) {
    setPteAt(space, address, at, entry | WRITE | DIRTY);
    flushTlbSingle(address);
    return true;
  }
  const page = takeAnyPage();
  if (page === 0) return false;
  memory.copy(page, shared, PAGE);
  setPteAt(space, address, at, makePte(physicalOf(page) | PRESENT | USER | ACCESSED | WRITE | DIRTY));
  flushTlbSingle(address);
  dropPage(shared);
  return true;
}

/** Makes `bytes` from `address` on present for the kernel, writable if it is to write. False: not the user's to give, or no memory. */
export function bringRange(space: usize, address: u64, bytes: u64, write: bool): bool {
  if (bytes === 0) return true;
  if (address >= USER_END || bytes > USER_END - address) return false;
  for (let page = address & PAGE_MASK; page < address + bytes; page += <u64>PAGE) {
    const at = findEntry(changetype<Space>(space).root, page, 1);
    const entry = at === 0 ? 0 : load<u64>(at);
    if ((entry & PRESENT) !== 0 && (!write || (entry & WRITE) !== 0)) continue;
    if (resolveFault(space, page, write) !== RESOLVED) return false;
  }
  return true;
}

/** A fork of `parent`, which is loaded: the same regions, and its pages shared. 0 without memory. */
export function forkSpace(parent: usize): usize {
  const child = createSpace();
  if (child === 0) return 0;
  const regions = changetype<Space>(parent).regions;
  memory.copy(child + FIRST_REGION, parent + FIRST_REGION, regions * SIZEOF_Region);
  changetype<Space>(child).regions = regions;
  // All of the parent's entries that lose the right to write do so in batches.
  enterLazyMmu();
  let complete = true;
  for (let i: u32 = 0; i < regions && complete; i++)
    complete = shareRegion(parent, child, regionAt(parent, i));
  flushTlbUser();
  leaveLazyMmu();
  if (!complete) {
    destroySpace(child);
    return 0;
  }
  duplicatedSpace(child);
  return child;
}

function shareRegion(parent: usize, child: usize, region: Region): bool {
  const root = changetype<Space>(parent).root;
  let address = region.start;
  while (address < region.end) {
    const at = findEntry(root, address, 1);
    if (at === 0) {
      address = (address + TABLE_REACH) & ~(TABLE_REACH - 1);
      continue;
    }
    const entry = load<u64>(at);
    if ((entry & PRESENT) !== 0) {
      const into = entryFor(child, address);
      if (into === 0) return false;
      if ((entry & WRITE) !== 0) setPteAt(parent, address, at, entry & ~WRITE);
      setPte(into, entry & ~WRITE);
      sharePage(pageBehind(entry));
      changetype<Space>(child).pages++;
    }
    address += <u64>PAGE;
  }
  return true;
}

/** Takes a space apart. If it is loaded the kernel's own is loaded in its place. */
export function destroySpace(space: usize): void {
  const root = changetype<Space>(space).root;
  exitSpace(space);
  // From here on its tables are memory like any other.
  for (let i: usize = 0; i < USER_ENTRIES; i++) freeBelow(root + i * 8, 4);
  pgdFree(space);
  dropPage(root);
  dropPage(space);
}

function freeBelow(at: usize, level: u32): void {
  const entry = load<u64>(at);
  if ((entry & PRESENT) === 0) return;
  const page = pageBehind(entry);
  if (level > 1) {
    for (let i: usize = 0; i < ENTRIES; i++) freeBelow(page + i * 8, level - 1);
    if (level === 2) releasePte(page);
    else if (level === 3) releasePmd(page);
    else releasePud(page);
  }
  dropPage(page);
}

/** Takes the region that begins at `start` away, and its pages. The space is loaded. */
export function removeRegion(space: usize, start: u64): bool {
  const record = changetype<Space>(space);
  for (let i: u32 = 0; i < record.regions; i++) {
    const region = regionAt(space, i);
    if (region.start !== start) continue;
    for (let address = region.start; address < region.end; ) address = clearSome(space, address, region.end);
    record.regions--;
    memory.copy(changetype<usize>(region), changetype<usize>(regionAt(space, record.regions)), SIZEOF_Region);
    return true;
  }
  return false;
}

const CLEARED_AT_ONCE: usize = 64;
const cleared: usize = memory.data(64 * 4, 4);

/** Clears up to 64 entries in one batch. A page is given back when nobody can reach it any more. Returns where it stopped. */
function clearSome(space: usize, start: u64, end: u64): u64 {
  let count: usize = 0;
  let address = start;
  enterLazyMmu();
  while (address < end && count < CLEARED_AT_ONCE) {
    const at = findEntry(changetype<Space>(space).root, address, 1);
    if (at === 0) {
      address = (address + TABLE_REACH) & ~(TABLE_REACH - 1);
      continue;
    }
    const entry = load<u64>(at);
    if ((entry & PRESENT) !== 0) {
      store<usize>(cleared + count++ * 4, pageBehind(entry));
      setPteAt(space, address, at, 0);
    }
    address += <u64>PAGE;
  }
  flushTlbUser();
  leaveLazyMmu();
  for (let i: usize = 0; i < count; i++) dropPage(load<usize>(cleared + i * 4));
  changetype<Space>(space).pages -= <u32>count;
  return address;
}

/** The kernel's own place for a byte of a user's page that is present. */
export function kernelPlace(space: usize, address: u64): usize {
  const at = findEntry(changetype<Space>(space).root, address, 1);
  return pageBehind(load<u64>(at)) + <usize>(address & (<u64>PAGE - 1));
}
