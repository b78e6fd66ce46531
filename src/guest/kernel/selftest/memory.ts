/**
 * Memory for the self-test: pages from what is mapped and free, and the way from an address to its entries, by operations
 * alone, so that it is the same on every back end. And a mark that a test outside can see.
 */
import { ON_XEN, platform } from '../../paravirt/info';
import { pteVal } from '../../paravirt/operations';
import { HYPERVISOR_xen_version } from '../../xen/hypercall';

const PAGE_BYTES: usize = 4096;
const FRAME: u64 = 0x000ffffffffff000;
const PRESENT: u64 = 1;
const LARGE: u64 = 0x80;

let next: usize = 0;
/** Pages that came back, each with the address of the one before in its first word. */
let returned: usize = 0;

/** From `start` on there is mapped memory that nobody uses. */
export function setFreeMemory(start: usize): void {
  next = start;
}

/** A page, zeroed. */
export function takePage(): usize {
  let page = returned;
  if (page !== 0) returned = load<usize>(page);
  else {
    page = next;
    next += PAGE_BYTES;
  }
  memory.fill(page, 0, PAGE_BYTES);
  return page;
}

export function returnPage(page: usize): void {
  store<usize>(page, returned);
  returned = page;
}

export function physicalOf(pointer: usize): u64 {
  return <u64>(pointer - <usize>KERNEL_BASE);
}

function virtualOf(physical: u64): usize {
  return <usize>KERNEL_BASE + <usize>physical;
}

/** The entry of `address` in its table of `level` (1 to 4) below `root`; 0 if it has none there. */
export function findEntry(root: usize, address: u64, level: u64): usize {
  let table = root;
  for (let here: u64 = 4; here > level; here--) {
    const entry = load<u64>(entryIn(table, address, here));
    if ((entry & PRESENT) === 0 || (entry & LARGE) !== 0) return 0;
    table = virtualOf(pteVal(entry) & FRAME);
  }
  return entryIn(table, address, level);
}

function entryIn(table: usize, address: u64, level: u64): usize {
  return table + <usize>((address >> (3 + 9 * level)) & 511) * 8;
}

/** Of xen_version, commands that do not exist: who follows hypercalls from outside sees where something begins and ends. */
const FIRST_MARK: i32 = 1000;

export function mark(number: i32): void {
  if (platform === ON_XEN) HYPERVISOR_xen_version(FIRST_MARK + number, 0);
}
