/**
 * Which pages are tables that Xen watches. A page that is none may be written like any memory, which is how the tables of a
 * new address space are filled; one that is must be changed through Xen. One bit a page.
 */
import { extendBrk } from './brk';
import { physicalOf } from './page';
import { PAGE_SHIFT, PAGE_SIZE, Pfn } from './types';

let bits: usize = 0;

/** Bytes that the bits of `frames` pages take, in whole pages. */
export function tablePagesBytes(frames: Pfn): usize {
  return ((<usize>frames + 7) / 8 + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

/** Begins with no page marked; takes `tablePagesBytes` of the brk area. */
export function setupTablePages(frames: Pfn): void {
  bits = extendBrk(tablePagesBytes(frames), PAGE_SIZE);
}

/** Marks a page, or takes the mark away. */
export function markTable(page: usize, isTable: bool): void {
  const frame = <usize>(physicalOf(page) >> PAGE_SHIFT);
  const at = bits + (frame >> 3);
  const bit: u8 = 1 << (<u8>(frame & 7));
  store<u8>(at, isTable ? load<u8>(at) | bit : load<u8>(at) & ~bit);
}

/** Whether the page that `pointer` points into is marked. */
export function isTablePage(pointer: usize): bool {
  const frame = <usize>(physicalOf(pointer) >> PAGE_SHIFT);
  return (load<u8>(bits + (frame >> 3)) & (1 << (<u8>(frame & 7)))) !== 0;
}
