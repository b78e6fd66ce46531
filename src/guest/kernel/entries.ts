/** Page-table entries as this kernel writes and reads them, and the way down the tables to one. */
import { pteVal } from '../paravirt/operations';

export const PAGE: usize = 4096;
/** What one table of the last level maps. */
export const TABLE_REACH: u64 = 0x200000;

export const PRESENT: u64 = 1;
export const WRITE: u64 = 2;
export const USER: u64 = 4;
export const ACCESSED: u64 = 0x20;
export const DIRTY: u64 = 0x40;
export const LARGE: u64 = 0x80;
export const ADDRESS: u64 = 0x000ffffffffff000;
/** An entry of the kernel's own memory; one that leads to a table of the user's. */
export const KERNEL_FLAGS: u64 = PRESENT | WRITE | ACCESSED | DIRTY;
export const TABLE_FLAGS: u64 = KERNEL_FLAGS | USER;

/** The (pseudo-)physical address of a place in the kernel's memory, and back. */
export function physicalOf(pointer: usize): u64 {
  return <u64>(pointer - <usize>KERNEL_BASE);
}
export function virtualOf(physical: u64): usize {
  return <usize>KERNEL_BASE + <usize>physical;
}

/** The page, or table, behind a present entry. */
export function pageBehind(entry: u64): usize {
  return virtualOf(pteVal(entry) & ADDRESS);
}

/** Where the entry of `address` stands in a table of `level`, 4 for the root, 1 for the last. */
export function entryIn(table: usize, address: u64, level: u64): usize {
  return table + <usize>((address >> (3 + 9 * level)) & 511) * 8;
}

/** The entry of `address` in its table of `level` below `root`; 0 if a table on the way is missing or stands for a page. */
export function findEntry(root: usize, address: u64, level: u64): usize {
  let table = root;
  for (let here: u64 = 4; here > level; here--) {
    const entry = load<u64>(entryIn(table, address, here));
    if ((entry & PRESENT) === 0 || (entry & LARGE) !== 0) return 0;
    table = pageBehind(entry);
  }
  return entryIn(table, address, level);
}
