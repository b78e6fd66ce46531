/**
 * FXSAVE and FXRSTOR: the 512-byte image of the x87, MMX and SSE state (Intel SDM 1, 10.5.1, tables 10-2 and 13-1).
 *
 *     0 control   2 status   4 tags, 1 = valid   6 opcode   8 instruction pointer   16 data pointer
 *     24 MXCSR   28 its mask   32 ST0 … ST7, 16 bytes each   160 XMM0 …   the rest is left alone
 *
 * The image is put together in a buffer of its own, so that a fault on its second page leaves the first as it was.
 */

import {
  CPU,
  CPU_EXIT_ERROR,
  CPU_EXIT_VECTOR,
  CPU_FPU_CONTROL,
  CPU_FPU_DP,
  CPU_FPU_EMPTY,
  CPU_FPU_IP,
  CPU_FPU_OPCODE,
  CPU_FPU_STATUS,
  CPU_FPU_TOP,
  CPU_LONG,
  CPU_MXCSR,
  CPU_X87,
  CPU_XMM,
} from '../layout';
import { leaves, linear, noteCode, translate } from './paging';

/** Bits of MXCSR that exist. */
const MXCSR_MASK: u32 = 0xffff;
const REGISTERS = 32;
const VECTORS = 160;
const SIZE = 512;

const EXCEPTIONS = 0x3f;
const STATUS_SUMMARY = 0x8080;
const VECTOR_GP = 13;

const image = memory.data(512, 16);

/** XMM8 and up exist in 64-bit mode only; elsewhere their place is left alone. */
function vectorBytes(): i32 {
  return load<i32>(CPU + CPU_LONG) != 0 ? 256 : 128;
}

/** Host addresses of the two parts of an area that may cross a page; `second` is 0 where it does not. */
let first: i32 = 0;
let second: i32 = 0;
let firstBytes: i32 = 0;

/** Translates all of the area; false after noting a fault. */
function locate(va: i64, write: i32): bool {
  if (leaves(va, SIZE)) return false;
  firstBytes = min(SIZE, 0x1000 - (<i32>va & 0xfff));
  second = 0;
  first = translate(<i32>va, <i32>(va >> 32), write);
  if (first == 0 || firstBytes == SIZE) return first != 0;
  const next = linear(va, firstBytes);
  second = translate(<i32>next, <i32>(next >> 32), write);
  return second != 0;
}

/** Writes the first `bytes` bytes of the image to the area. */
function write(bytes: i32): void {
  const below = min(bytes, firstBytes);
  memory.copy(first, image, below);
  noteCode(first, below);
  if (below == bytes) return;
  memory.copy(second, image + below, bytes - below);
  noteCode(second, bytes - below);
}

/** Saves to a linear address, a multiple of 16. `wide` (REX.W): 64-bit pointers. 0 if it faults. */
export function saveFpuImage(va: i64, wide: i32): i32 {
  if (!locate(va, 1)) return 0;
  memory.fill(image, 0, SIZE);
  const top = load<u32>(CPU + CPU_FPU_TOP);
  store<u16>(image, load<u16>(CPU + CPU_FPU_CONTROL));
  store<u16>(image, u16((load<u16>(CPU + CPU_FPU_STATUS) & ~0x3800) | (top << 11)), 2);
  store<u8>(image, ~load<u8>(CPU + CPU_FPU_EMPTY), 4);
  store<u16>(image, load<u16>(CPU + CPU_FPU_OPCODE), 6);
  // Without REX.W the upper halves hold segment selectors, which current processors save as zero.
  const ip = load<u64>(CPU + CPU_FPU_IP);
  const dp = load<u64>(CPU + CPU_FPU_DP);
  store<u64>(image, wide != 0 ? ip : ip & 0xffffffff, 8);
  store<u64>(image, wide != 0 ? dp : dp & 0xffffffff, 16);
  store<u32>(image, load<u32>(CPU + CPU_MXCSR), 24);
  store<u32>(image, MXCSR_MASK, 28);
  for (let i: u32 = 0; i < 8; i++) {
    const from = CPU + CPU_X87 + (((top + i) & 7) << 4);
    const to = image + REGISTERS + (i << 4);
    store<u64>(to, load<u64>(from));
    store<u16>(to, load<u16>(from, 8), 8);
  }
  memory.copy(image + VECTORS, CPU + CPU_XMM, vectorBytes());
  write(VECTORS + vectorBytes());
  return 1;
}

/** Restores from a linear address, a multiple of 16. 0 if it faults, be it for a bit of MXCSR that does not exist. */
export function restoreFpuImage(va: i64, wide: i32): i32 {
  if (!locate(va, 0)) return 0;
  memory.copy(image, first, firstBytes);
  if (second != 0) memory.copy(image + firstBytes, second, SIZE - firstBytes);
  const mxcsr = load<u32>(image, 24);
  if ((mxcsr & ~MXCSR_MASK) != 0) {
    store<i32>(CPU + CPU_EXIT_VECTOR, VECTOR_GP);
    store<i32>(CPU + CPU_EXIT_ERROR, 0);
    return 0;
  }
  const control = load<u16>(image);
  const status = load<u16>(image, 2);
  const top = (u32(status) >> 11) & 7;
  // The summary bits follow from the others, whatever the image says.
  const summary = (status & ~control & EXCEPTIONS) != 0 ? STATUS_SUMMARY : 0;
  store<u16>(CPU + CPU_FPU_CONTROL, (control & 0x1f3f) | 0x40);
  store<u16>(CPU + CPU_FPU_STATUS, u16((status & ~(0x3800 | STATUS_SUMMARY)) | summary));
  store<u32>(CPU + CPU_FPU_TOP, top);
  store<u8>(CPU + CPU_FPU_EMPTY, ~load<u8>(image, 4));
  store<u16>(CPU + CPU_FPU_OPCODE, load<u16>(image, 6) & 0x7ff);
  store<u64>(CPU + CPU_FPU_IP, wide != 0 ? load<u64>(image, 8) : load<u32>(image, 8));
  store<u64>(CPU + CPU_FPU_DP, wide != 0 ? load<u64>(image, 16) : load<u32>(image, 16));
  store<u32>(CPU + CPU_MXCSR, mxcsr);
  for (let i: u32 = 0; i < 8; i++) {
    const from = image + REGISTERS + (i << 4);
    const to = CPU + CPU_X87 + (((top + i) & 7) << 4);
    store<u64>(to, load<u64>(from));
    store<u16>(to, load<u16>(from, 8), 8);
  }
  memory.copy(CPU + CPU_XMM, image + VECTORS, vectorBytes());
  return 1;
}
