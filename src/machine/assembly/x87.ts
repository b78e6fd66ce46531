/**
 * The x87 beyond its numbers: stack faults, the control word, and the images that FNSTENV, FNSAVE and their inverses
 * move. What a number is made of lies in `float/`; the instructions themselves in `x86/instructions/x87-*.ts`.
 *
 * Intel SDM 1, 8.1 (the state and its images) and 8.5.1.1 (stack faults).
 */

import {
  CPU,
  CPU_FPU_CONTROL,
  CPU_FPU_DP,
  CPU_FPU_EMPTY,
  CPU_FPU_IP,
  CPU_FPU_OPCODE,
  CPU_FPU_STATUS,
  CPU_FPU_TOP,
  CPU_X87,
} from '../layout';
import { EXCEPTIONS, setRoundedUp } from './float/state';
import { TOP_BIT } from './float/wide';
import { deliverInvalid, FINITE, QUIET_BIT, unpack } from './float/x87-format';
import { C0, C1, C2, C3, setConditions } from './float/x87-mode';
import { x87StackFault } from './float/x87-state';
import { leaves, linear, noteCode, translate } from './paging';

const ERROR_SUMMARY = 1 << 7;
const BUSY = 1 << 15;
/** For `translate`. */
const FETCH = 2;
const TOP_MASK = 7 << 11;

/** Bits of the control word that hold what is loaded; bit 6 always reads as one, the others as zero. */
const CONTROL_MASK = 0x1f3f;
const CONTROL_ONE = 0x0040;
const CONTROL_INITIAL = 0x037f;

// ------------------------------------------------------------------ stack faults

/** A stack fault whose masked response is the real indefinite in `destination`, a register or a slot. */
export function x87FaultTo(destination: i32, overflowed: u32): void {
  x87StackFault(overflowed);
  deliverInvalid(destination);
}

/**
 * A stack fault of a store: the operand to convert instead, written to the slot, gives every format its indefinite.
 * Nothing is stored if the fault is not masked.
 */
export function x87FaultOperand(slot: i32): void {
  x87StackFault(0);
  store<u64>(slot, TOP_BIT | QUIET_BIT);
  store<u16>(slot, 0xffff, 8);
}

/** FPREM, FPREM1, FSIN, FCOS, FSINCOS and FPTAN say by C2 = 0 that they are done, with a stack fault too. */
export function x87Done(): void {
  setConditions(C2, 0);
}

/** FCOMI and FCMOVcc leave C1 alone. */
export function x87KeepC1(): void {
  setRoundedUp((load<u16>(CPU + CPU_FPU_STATUS) & C1) !== 0);
}

/** FXAM of an empty register: its sign is shown all the same. */
export function x87ExamineEmpty(address: i32): void {
  setRoundedUp((load<u16>(address, 8) & 0x8000) !== 0);
  setConditions(C3 | C2 | C0, C3 | C0);
}

// ------------------------------------------------------------------ control and status

/** Loads the control word; an exception that it unmasks becomes pending, one that it masks ceases to be. */
export function x87LoadControl(control: u32): void {
  store<u16>(CPU + CPU_FPU_CONTROL, u16((control & CONTROL_MASK) | CONTROL_ONE));
  loadStatus(load<u16>(CPU + CPU_FPU_STATUS));
}

/** The status word, with the error summary that follows from flags and masks. TOP is kept apart. */
function loadStatus(status: u32): void {
  const waiting = status & ~u32(load<u16>(CPU + CPU_FPU_CONTROL)) & EXCEPTIONS;
  const flags = status & ~(ERROR_SUMMARY | BUSY | TOP_MASK);
  store<u16>(CPU + CPU_FPU_STATUS, u16(waiting !== 0 ? flags | ERROR_SUMMARY | BUSY : flags));
}

/** The status word as FNSTSW shows it. */
export function x87Status(): u32 {
  return u32(load<u16>(CPU + CPU_FPU_STATUS)) | (load<u32>(CPU + CPU_FPU_TOP) << 11);
}

/** FNINIT. The registers keep their contents. */
export function x87Initialize(): void {
  store<u16>(CPU + CPU_FPU_CONTROL, CONTROL_INITIAL);
  store<u16>(CPU + CPU_FPU_STATUS, 0);
  store<u32>(CPU + CPU_FPU_TOP, 0);
  store<u8>(CPU + CPU_FPU_EMPTY, 0xff);
  store<u16>(CPU + CPU_FPU_OPCODE, 0);
  store<u64>(CPU + CPU_FPU_IP, 0);
  store<u64>(CPU + CPU_FPU_DP, 0);
}

/**
 * Keeps the opcode of the instruction at the instruction pointer: the low bits of its first byte, and ModRM. The bytes
 * are fetched again, past the prefixes; they were there a moment ago, so what cannot be fetched now is of no interest.
 */
export function x87NoteOpcode(): void {
  let address = load<i64>(CPU + CPU_FPU_IP);
  let first: u32 = 0;
  for (let n = 0; n < 15; n++) {
    const host = translate(i32(address), i32(address >> 32), FETCH);
    if (host === 0) return;
    const byte = u32(load<u8>(host));
    if (first !== 0) {
      store<u16>(CPU + CPU_FPU_OPCODE, u16(((first & 7) << 8) | byte));
      return;
    }
    if (byte >= 0xd8 && byte <= 0xdf) first = byte;
    address++;
  }
}

/** Two bits for each physical register: 0 valid, 1 zero, 2 special, 3 empty. */
function tagWord(): u32 {
  const empty = u32(load<u8>(CPU + CPU_FPU_EMPTY));
  let tags: u32 = 0;
  for (let i = 7; i >= 0; i--) {
    tags = (tags << 2) | ((empty >> i) & 1 ? 3 : tagOf(CPU + CPU_X87 + i * 16));
  }
  return tags;
}

function tagOf(address: i32): u32 {
  const field = load<u16>(address, 8) & 0x7fff;
  if (unpack(address) !== FINITE) return 2;
  if (field !== 0) return 0;
  return load<u64>(address) === 0 ? 1 : 2;
}

function loadTagWord(tags: u32): void {
  let empty: u32 = 0;
  for (let i = 0; i < 8; i++) if (((tags >> (2 * i)) & 3) === 3) empty |= 1 << i;
  store<u8>(CPU + CPU_FPU_EMPTY, u8(empty));
}

// ------------------------------------------------------------------ images

/** An image on its way to or from the guest: the environment of seven words or doublewords, then ST0 … ST7. */
const image: i32 = i32(memory.data(108, 16));

function put(index: i32, width: i32, value: u32): void {
  if (width === 2) store<u16>(image + index * 2, u16(value));
  else store<u32>(image + index * 4, value);
}

function get(index: i32, width: i32): u32 {
  return width === 2 ? u32(load<u16>(image + index * 2)) : load<u32>(image + index * 4);
}

/**
 * The protected-mode environment; segment selectors are deprecated and read as zero (Intel SDM 1, 8.1.8). The unused
 * halves of the doublewords are ones.
 */
function putEnvironment(width: i32): void {
  const ones: u32 = 0xffff << 16;
  put(0, width, ones | load<u16>(CPU + CPU_FPU_CONTROL));
  put(1, width, ones | x87Status());
  put(2, width, ones | tagWord());
  put(3, width, load<u32>(CPU + CPU_FPU_IP));
  put(4, width, u32(load<u16>(CPU + CPU_FPU_OPCODE)) << 16);
  put(5, width, load<u32>(CPU + CPU_FPU_DP));
  put(6, width, ones);
  if (width === 2) put(6, width, 0);
}

function getEnvironment(width: i32): void {
  const status = get(1, width);
  store<u16>(CPU + CPU_FPU_CONTROL, u16((get(0, width) & CONTROL_MASK) | CONTROL_ONE));
  loadStatus(status);
  store<u32>(CPU + CPU_FPU_TOP, (status >> 11) & 7);
  loadTagWord(get(2, width));
  store<u64>(CPU + CPU_FPU_IP, get(3, width));
  store<u64>(CPU + CPU_FPU_DP, get(5, width));
  // The 16-bit image has no opcode.
  store<u16>(CPU + CPU_FPU_OPCODE, width === 2 ? 0 : u16((get(4, width) >> 16) & 0x7ff));
}

/** Address of ST(i). */
function stackRegister(i: i32): i32 {
  return CPU + CPU_X87 + (((load<u32>(CPU + CPU_FPU_TOP) + i) & 7) << 4);
}

/**
 * Copies the first `size` bytes of the image to (`write` 1) or from (0) the linear address. Both ends are translated
 * before a byte moves; 0 if that faults, the exception being noted. Outside 64-bit mode addresses wrap at 4 GiB.
 */
function transfer(address: i64, size: i32, write: i32): bool {
  if (leaves(address, size)) return false;
  const first = translate(i32(address), i32(address >> 32), write);
  if (first === 0) return false;
  let count = 0x1000 - (i32(address) & 0xfff);
  let second = 0;
  if (count < size) {
    const next = linear(address, count);
    second = translate(i32(next), i32(next >> 32), write);
    if (second === 0) return false;
  } else {
    count = size;
  }
  move(first, 0, count, write);
  if (second !== 0) move(second, count, size - count, write);
  return true;
}

function move(host: i32, offset: i32, count: i32, write: i32): void {
  if (write === 0) {
    memory.copy(image + offset, host, count);
    return;
  }
  memory.copy(host, image + offset, count);
  noteCode(host, count);
}

/** FNSTENV of seven words (`width` 2) or doublewords (4): all exceptions are masked afterwards. 0 after a fault. */
export function x87StoreEnvironment(address: i64, width: i32): i32 {
  putEnvironment(width);
  if (!transfer(address, 7 * width, 1)) return 0;
  x87LoadControl(load<u16>(CPU + CPU_FPU_CONTROL) | EXCEPTIONS);
  return 1;
}

/** FLDENV. 0 after a fault. */
export function x87LoadEnvironment(address: i64, width: i32): i32 {
  if (!transfer(address, 7 * width, 0)) return 0;
  getEnvironment(width);
  return 1;
}

/** FNSAVE: environment and registers, then FNINIT. 0 after a fault. */
export function x87Save(address: i64, width: i32): i32 {
  putEnvironment(width);
  for (let i = 0; i < 8; i++) memory.copy(image + 7 * width + i * 10, stackRegister(i), 10);
  if (!transfer(address, 7 * width + 80, 1)) return 0;
  x87Initialize();
  return 1;
}

/** FRSTOR. 0 after a fault. */
export function x87Restore(address: i64, width: i32): i32 {
  if (!transfer(address, 7 * width + 80, 0)) return 0;
  getEnvironment(width);
  for (let i = 0; i < 8; i++) memory.copy(stackRegister(i), image + 7 * width + i * 10, 10);
  return 1;
}
