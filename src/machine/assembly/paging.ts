/**
 * Address translation: the page walk, the TLB's slow path, and stores that need care.
 *
 * The instruction handlers compare a TLB tag inline and come here when it does not match. A *probe* returns the host
 * address of the operand, or 0 after noting the exception in CPU_EXIT_*. An operand that crosses a page is gathered to
 * a bounce buffer; a store to it is then scattered by `commitStore`. Stores to 64-byte lines that hold decoded code go
 * the same way, so that the code can be dropped before the next instruction.
 *
 * Follows the Intel SDM, volume 3A, chapter 4.
 */
import {
  BREAKPOINT_AHEAD,
  CPU,
  CPU_CODE_SLOT,
  CPU_CPL,
  CPU_CR3,
  CPU_DR,
  CPU_EXIT_ADDRESS,
  CPU_EXIT_ERROR,
  CPU_EXIT_VECTOR,
  CPU_LONG,
  CPU_MODE,
  CPU_PAGING,
  CPU_PENDING_STORE,
  CPU_PHYSICAL_BASE,
  CPU_PHYSICAL_FRAMES,
  CPU_TLB_BANK,
  DR7_ENABLED,
  ENGINE_BREAKPOINTS_MET,
  ENGINE_CODE_LINES,
  ENGINE_CODE_PAGES,
  ENGINE_FRAMES_BASE,
  ENGINE_NOTES_BREAKPOINTS,
  MODE_CHECKED,
  MODE_LONG,
  PAGING_NX,
  PAGING_ON,
  PAGING_WRITE_PROTECT,
  PF_FETCH,
  PF_PRESENT,
  PF_RESERVED,
  PF_USER,
  PF_WRITE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_PSE,
  PTE_USER,
  PTE_WRITE,
  SCRATCH,
  SCRATCH_LIMIT,
  TLB_ADDEND,
  TLB_BANK_SIZE,
  TLB_BANKS,
  TLB_CODE,
  TLB_EMPTY,
  TLB_EXECUTE,
  TLB_INDEX_MASK,
  TLB_INDEX_SHIFT,
  TLB_READ,
  TLB_WRITE,
} from '../layout.ts';

const READ: i32 = 0;
const WRITE: i32 = 1;
const FETCH: i32 = 2;

/** Bounce buffers: a read and a write operand may both cross in one instruction. */
const READ_BUFFER: i32 = SCRATCH;
const WRITE_BUFFER: i32 = SCRATCH + 0x40;

const ADDRESS_MASK: i64 = 0x000ffffffffff000;

/** Tells the engine that the bytes at a host address changed and held decoded code. */
@external("engine", "codeWritten")
declare function codeWritten(host: i32, size: i32): void;

function raise(vector: i32, error: i32, va: i64): i32 {
  store<i32>(CPU + CPU_EXIT_VECTOR, vector);
  store<i32>(CPU + CPU_EXIT_ERROR, error);
  store<i64>(CPU + CPU_EXIT_ADDRESS, va);
  return 0;
}

function pageFault(va: i64, access: i32, present: i32): i32 {
  let error = present;
  if (access == WRITE) error |= PF_WRITE;
  if (access == FETCH && (load<i32>(CPU + CPU_PAGING) & PAGING_NX) != 0) error |= PF_FETCH;
  if (load<i32>(CPU + CPU_CPL) == 3) error |= PF_USER;
  return raise(14, error, va);
}

/** The machine address that `frameOf` found, with the rights of the last walk. */
let walkedWritable: bool = false;
let walkedExecutable: bool = false;
let walkedDirty: bool = false;

/**
 * Walks the four levels for `va`. Returns the host address of its page, or 0 with an exception noted.
 * Sets accessed bits, and the dirty bit of the last level for a write.
 */
function walk(va: i64, access: i32): i32 {
  const framesBase = load<i32>(CPU + CPU_PHYSICAL_BASE);
  const frames = <i64>load<u32>(CPU + CPU_PHYSICAL_FRAMES);
  const paging = load<i32>(CPU + CPU_PAGING);
  if ((paging & PAGING_ON) == 0) {
    const page = va & 0xfffff000;
    if (page >> 12 >= frames) return raise(13, 0, va);
    walkedWritable = true;
    walkedExecutable = true;
    walkedDirty = true;
    return framesBase + <i32>page;
  }
  if ((va << 16) >> 16 != va) return raise(13, 0, va);
  const user = load<i32>(CPU + CPU_CPL) == 3;
  let table = load<i64>(CPU + CPU_CR3) & ADDRESS_MASK;
  let rights: i64 = PTE_WRITE | PTE_USER;
  let nx: i64 = 0;
  let shift: i64 = 39;
  let at0: i32 = 0;
  let at1: i32 = 0;
  let at2: i32 = 0;
  let at: i32 = 0;
  let entry: i64 = 0;
  for (;;) {
    if (table >> 12 >= frames) return pageFault(va, access, PF_PRESENT | PF_RESERVED);
    at = framesBase + <i32>table + ((<i32>(va >> shift) & 511) << 3);
    entry = load<i64>(at);
    if ((entry & PTE_PRESENT) == 0) return pageFault(va, access, 0);
    if ((paging & PAGING_NX) == 0 && entry < 0) return pageFault(va, access, PF_PRESENT | PF_RESERVED);
    rights &= entry;
    nx |= entry;
    if (shift == 12) break;
    if ((entry & PTE_PSE) != 0) {
      // There are no pages of 1 GiB; CPUID says so.
      if (shift >= 30) return pageFault(va, access, PF_PRESENT | PF_RESERVED);
      if ((entry & ((1 << shift) - 1) & 0xfffffffffe000) != 0) {
        return pageFault(va, access, PF_PRESENT | PF_RESERVED);
      }
      break;
    }
    if (shift == 39) at0 = at;
    else if (shift == 30) at1 = at;
    else at2 = at;
    table = entry & ADDRESS_MASK;
    shift -= 9;
  }
  if (user && (rights & PTE_USER) == 0) return pageFault(va, access, PF_PRESENT);
  const writable = (rights & PTE_WRITE) != 0 || (!user && (paging & PAGING_WRITE_PROTECT) == 0);
  if (access == WRITE && !writable) return pageFault(va, access, PF_PRESENT);
  if (access == FETCH && nx < 0) return pageFault(va, access, PF_PRESENT);
  const low = (<i64>1 << shift) - 1;
  const page = (entry & ADDRESS_MASK & ~low) | (va & low & ~0xfff);
  if (page >> 12 >= frames) return pageFault(va, access, PF_PRESENT | PF_RESERVED);

  if (at0 != 0) setBits(at0, PTE_ACCESSED);
  if (at1 != 0) setBits(at1, PTE_ACCESSED);
  if (at2 != 0) setBits(at2, PTE_ACCESSED);
  setBits(at, access == WRITE ? PTE_ACCESSED | PTE_DIRTY : PTE_ACCESSED);
  walkedWritable = writable;
  walkedExecutable = nx >= 0;
  walkedDirty = access == WRITE || (entry & PTE_DIRTY) != 0;
  return framesBase + <i32>page;
}

function setBits(at: i32, bits: i32): void {
  const old = load<i32>(at);
  if ((old & bits) != bits) store<i32>(at, old | bits);
}

function codeLines(page: i32): i64 {
  return load<i64>(load<i32>(ENGINE_CODE_LINES) + (((page - load<i32>(ENGINE_FRAMES_BASE)) >>> 12) << 3));
}

// ------------------------------------------------------------------ breakpoints of data

function hasBreakpoints(): bool {
  return (load<i32>(CPU + CPU_DR, 7 * 8) & DR7_ENABLED) != 0;
}

/** Breakpoints of data that `size` bytes at `va` lie in, as DR6 shows them; those of reading are looked at for any access. */
function watching(va: i64, size: i32, access: i32): i32 {
  const enabled = load<i32>(CPU + CPU_DR, 7 * 8);
  let met = 0;
  for (let n = 0; n < 4; n++) {
    if (((enabled >> (2 * n)) & 3) == 0) continue;
    const kind = (enabled >> (16 + 4 * n)) & 3;
    // 1: when written; 3: when read or written. The others are not of data.
    if (kind != 3 && (kind != 1 || access != WRITE)) continue;
    const code = (enabled >> (18 + 4 * n)) & 3;
    const length: i64 = code == 2 ? 8 : code + 1;
    const from = load<i64>(CPU + CPU_DR + 8 * n) & ~(length - 1);
    if (va < from + length && from < va + size) met |= 1 << n;
  }
  return met;
}

/** True if breakpoints keep the instruction from accessing `size` bytes at `va` now: that is noted like an exception. */
function isHeldUp(va: i64, size: i32, access: i32): bool {
  if (!hasBreakpoints()) return false;
  const met = watching(va, size, access);
  if (met == 0) return false;
  if (load<i32>(ENGINE_NOTES_BREAKPOINTS) == 0) {
    raise(BREAKPOINT_AHEAD, 0, va);
    return true;
  }
  store<i32>(ENGINE_BREAKPOINTS_MET, load<i32>(ENGINE_BREAKPOINTS_MET) | met);
  return false;
}

/** True if a breakpoint watches data of a page. The TLB must not know it, for accesses that it knows are not looked at. */
function isWatched(page: i64): bool {
  return hasBreakpoints() && watching(page, 0x1000, WRITE) != 0;
}

// ------------------------------------------------------------------ the TLB

/** The TLB entry of an address in the active bank. */
function entryOf(va: i64): i32 {
  return load<i32>(CPU + CPU_TLB_BANK) + ((<i32>va >>> TLB_INDEX_SHIFT) & TLB_INDEX_MASK);
}

/** Translates and fills the TLB entry of `va`. Returns the host address of the byte, or 0. */
function fill(va: i64, access: i32): i32 {
  const page = walk(va, access);
  if (page == 0) return 0;
  // What is fetched has a tag of its own, which `setCodePage` writes: reads and writes never evict it, nor it them.
  if (access == FETCH) return page + (<i32>va & 0xfff);
  const entry = entryOf(va);
  const tag = va & ~0xfff;
  const addend = page - <i32>tag;
  if (isWatched(tag)) {
    store<i64>(entry + TLB_READ, TLB_EMPTY);
    store<i64>(entry + TLB_WRITE, TLB_EMPTY);
    return addend + <i32>va;
  }
  store<i64>(entry + TLB_READ, tag);
  store<i32>(entry + TLB_ADDEND, addend);
  store<i64>(entry + TLB_WRITE, walkedWritable && walkedDirty && codeLines(page) == 0 ? tag : TLB_EMPTY);
  return addend + <i32>va;
}

function crosses(va: i64, size: i32): bool {
  return (<i32>va & 0xfff) + size > 0x1000;
}

/** Host address of `size` (at most 16) readable bytes, 0 = fault. */
export function probeRead(va: i64, size: i32): i32 {
  if (isHeldUp(va, size, READ)) return 0;
  if (!crosses(va, size)) return fill(va, READ);
  if (leaves(va, size)) return 0;
  const first = fill(va, READ);
  if (first == 0) return 0;
  const count = 0x1000 - (<i32>va & 0xfff);
  const second = fill(linear(va, count), READ);
  if (second == 0) return 0;
  memory.copy(READ_BUFFER, first, count);
  memory.copy(READ_BUFFER + count, second, size - count);
  return READ_BUFFER;
}

/** The address `count` bytes on: wraps at 4 GiB outside 64-bit mode. */
export function linear(va: i64, count: i32): i64 {
  const next = va + count;
  return load<i32>(CPU + CPU_LONG) != 0 ? next : next & 0xffffffff;
}

/**
 * True where `size` bytes at `va` reach beyond 4 GiB in unchecked code outside 64-bit mode: no segment is longer. Noted as
 * #GP at the first address beyond. Checked code has compared with the limit before, and its segments may have a base: what
 * they hold wraps around.
 */
export function leaves(va: i64, size: i32): bool {
  if (va + size <= 0x100000000) return false;
  if ((load<i32>(CPU + CPU_MODE) & (MODE_LONG | MODE_CHECKED)) != 0) return false;
  raise(13, 0, 0x100000000);
  return true;
}

/** Host address for `size` (at most 16) writable bytes, with their present contents; 0 = fault. */
export function probeWrite(va: i64, size: i32): i32 {
  if (isHeldUp(va, size, WRITE)) return 0;
  if (crosses(va, size) && leaves(va, size)) return 0;
  const first = fill(va, WRITE);
  if (first == 0) return 0;
  if (!crosses(va, size)) {
    const page = first & ~0xfff;
    const lines = codeLines(page);
    if (lines == 0) return first;
    const from = (<i32>va & 0xfff) >> 6;
    const to = ((<i32>va & 0xfff) + size - 1) >> 6;
    if ((((lines >>> from) | (lines >>> to)) & 1) == 0) return first;
    memory.copy(WRITE_BUFFER, first, size);
    pending(size, first, 0, size);
    return WRITE_BUFFER;
  }
  const count = 0x1000 - (<i32>va & 0xfff);
  const second = fill(linear(va, count), WRITE);
  if (second == 0) return 0;
  memory.copy(WRITE_BUFFER, first, count);
  memory.copy(WRITE_BUFFER + count, second, size - count);
  pending(size, first, second, count);
  return WRITE_BUFFER;
}

function pending(size: i32, first: i32, second: i32, count: i32): void {
  store<i32>(CPU + CPU_PENDING_STORE, size);
  store<i32>(CPU + CPU_PENDING_STORE, first, 4);
  store<i32>(CPU + CPU_PENDING_STORE, second, 8);
  store<i32>(CPU + CPU_PENDING_STORE, count, 12);
}

/** After a store to the bounce buffer: puts its bytes where they belong. */
export function commitStore(): void {
  const size = load<i32>(CPU + CPU_PENDING_STORE);
  const first = load<i32>(CPU + CPU_PENDING_STORE, 4);
  const second = load<i32>(CPU + CPU_PENDING_STORE, 8);
  const count = load<i32>(CPU + CPU_PENDING_STORE, 12);
  memory.copy(first, WRITE_BUFFER, count);
  if (second != 0) memory.copy(second, WRITE_BUFFER + count, size - count);
  noteCode(first, count);
  if (second != 0) noteCode(second, size - count);
}

/** Drops decoded code that a write at [host, host + size), within a page, has made stale. */
export function noteCode(host: i32, size: i32): void {
  const lines = codeLines(host & ~0xfff);
  if (lines == 0) return;
  const from = (host & 0xfff) >> 6;
  const to = ((host & 0xfff) + size - 1) >> 6;
  const mask: i64 = (to - from == 63 ? -1 : (<i64>1 << (to - from + 1)) - 1) << from;
  if ((lines & mask) != 0) codeWritten(host, size);
}

/** How many of the bytes from `host` on, within a page, come before a line that holds decoded code; of a bounce buffer, none. */
export function bytesBeforeCode(host: i32, bytes: i32): i32 {
  if (<u32>host < <u32>SCRATCH_LIMIT) return 0;
  const lines = codeLines(host & ~0xfff);
  if (lines == 0 || bytes <= 0) return bytes;
  const last = ((host & 0xfff) + bytes - 1) >> 6;
  for (let line = (host & 0xfff) >> 6; line <= last; line++) {
    if (((lines >> line) & 1) != 0) return max(0, (line << 6) - (host & 0xfff));
  }
  return bytes;
}

/** Host address of the byte to fetch at `va`, 0 = fault. The entry's execute tag is the engine's to set. */
export function probeFetch(va: i64): i32 {
  return fill(va, FETCH);
}

/**
 * The table of the decoded page that is fetched from at `va`, with the execute tag set; 0 if fetching faults or nothing of
 * the page has been decoded yet.
 */
export function fetchPage(va: i64): i32 {
  // Pages with breakpoints of instructions get no execute tag; the engine knows which they are.
  if (hasBreakpoints()) return 0;
  const slot = load<i32>(CPU + CPU_CODE_SLOT);
  if (slot < 0) return 0;
  const host = fill(va, FETCH);
  if (host == 0) return 0;
  const frame = (host - load<i32>(ENGINE_FRAMES_BASE)) >>> 12;
  const codePage = load<i32>(load<i32>(ENGINE_CODE_PAGES) + (frame << 3) + slot);
  if (codePage == 0) return 0;
  const entry = entryOf(va);
  store<i64>(entry + TLB_EXECUTE, va & ~0xfff);
  store<i32>(entry + TLB_CODE, codePage);
  return codePage;
}

// ------------------------------------------------------------------ for TypeScript: addresses as halves

export function translate(low: i32, high: i32, access: i32): i32 {
  const va = (<i64>high << 32) | <i64>(<u32>low);
  const entry = entryOf(va);
  const tag = load<i64>(entry + (access == WRITE ? TLB_WRITE : TLB_READ));
  if (access != FETCH && tag == (va & ~0xfff)) return load<i32>(entry + TLB_ADDEND) + <i32>va;
  return fill(va, access);
}

/** Marks the entry that `translate(…, FETCH)` has filled as executable, with its decoded page. */
export function setCodePage(low: i32, high: i32, codePage: i32): void {
  const va = (<i64>high << 32) | <i64>(<u32>low);
  const entry = entryOf(va);
  store<i64>(entry + TLB_EXECUTE, va & ~0xfff);
  store<i32>(entry + TLB_CODE, codePage);
}

/** Empties the entry of `va` in the active bank. */
export function invalidatePage(low: i32, high: i32): void {
  const va = (<i64>high << 32) | <i64>(<u32>low);
  emptyEntry(entryOf(va));
}

function emptyEntry(entry: i32): void {
  store<i64>(entry + TLB_READ, TLB_EMPTY);
  store<i64>(entry + TLB_WRITE, TLB_EMPTY);
  store<i64>(entry + TLB_EXECUTE, TLB_EMPTY);
}

export function emptyBank(bank: i32): void {
  for (let entry = bank; entry < bank + TLB_BANK_SIZE; entry += 32) emptyEntry(entry);
}

/** Forgets that the page at `page` (a host address) may be written inline: it is about to hold decoded code. */
export function forbidInlineWrites(page: i32, banks: i32): void {
  const end = TLB_BANKS + banks * TLB_BANK_SIZE;
  for (let entry = TLB_BANKS; entry < end; entry += 32) {
    const tag = load<i64>(entry + TLB_WRITE);
    if (tag != TLB_EMPTY && load<i32>(entry + TLB_ADDEND) + <i32>tag == page) {
      store<i64>(entry + TLB_WRITE, TLB_EMPTY);
    }
  }
}

/** Forgets decoded pages: all of them (`codePage` 0) or one. */
export function forgetCode(codePage: i32, banks: i32): void {
  const end = TLB_BANKS + banks * TLB_BANK_SIZE;
  for (let entry = TLB_BANKS; entry < end; entry += 32) {
    if (codePage == 0 || load<i32>(entry + TLB_CODE) == codePage) store<i64>(entry + TLB_EXECUTE, TLB_EMPTY);
  }
}
