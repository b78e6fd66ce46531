/**
 * Memory before there is an allocator. The P2M tree is wanted before anybody can say which pages are free, so whoever will
 * need pages that early says how many at most (`reserveBrk`), the kernel sets that much aside behind its image
 * (`openBrk`), pages are taken in turn (`extendBrk`), and what was promised but not taken goes back (`closeBrk`).
 *
 *     | image | taken by extendBrk | promised, not taken | free memory
 *             ^ openBrk            ^ closeBrk            ^ what openBrk returned
 */

let reserved: usize = 0;
let start: usize = 0;
let next: usize = 0;
let end: usize = 0;

/** Promises room for `bytes`. Only before `openBrk`. */
export function reserveBrk(bytes: usize): void {
  if (start !== 0) unreachable();
  reserved += bytes;
}

/** Opens the area at `from`, a page boundary, and returns its end: as much as was promised. */
export function openBrk(from: usize): usize {
  start = from;
  next = from;
  end = from + reserved;
  return end;
}

/** Takes `bytes`, zeroed, at a multiple of `align` (a power of two). Taking more than was promised stops the kernel. */
export function extendBrk(bytes: usize, align: usize): usize {
  const at = (next + align - 1) & ~(align - 1);
  if (start === 0 || at + bytes > end) unreachable();
  next = at + bytes;
  memory.fill(at, 0, bytes);
  return at;
}

/** Ends it: nothing more can be taken. Returns the first byte that was not. */
export function closeBrk(): usize {
  end = next;
  return next;
}

/** Bytes promised. */
export function brkReserved(): usize {
  return reserved;
}

/** Bytes taken so far. */
export function brkUsed(): usize {
  return next - start;
}
