/**
 * Words for people: text, numbers and columns, on the console. Characters wait in a line's room until a line ends, or until
 * `flush`; the room belongs to everybody, so each call puts its characters in with interrupts disabled.
 */
import { consoleWrite, disableInterrupts, restoreFlags, saveFlags } from '../paravirt/operations';

const ROOM: usize = 256;
const room: usize = memory.data(256);
let used: usize = 0;
/** Characters since the line began, for columns. */
let column: u32 = 0;

/** Gives the console what waits, and does not return before it took it. */
export function flush(): void {
  const state = saveFlags();
  disableInterrupts();
  for (let written: usize = 0; written < used; ) written += consoleWrite(room + written, used - written);
  used = 0;
  restoreFlags(state);
}

function putByte(byte: u32): void {
  if (used === ROOM) flush();
  store<u8>(room + used++, <u8>byte);
}

/** One character. A new line is the two that a terminal wants. */
export function put(byte: u32): void {
  const state = saveFlags();
  disableInterrupts();
  if (byte === 10) putByte(13);
  putByte(byte);
  column = byte === 10 ? 0 : column + 1;
  if (byte === 10) flush();
  restoreFlags(state);
}

/** A text of ASCII characters. */
export function print(text: string): void {
  const state = saveFlags();
  disableInterrupts();
  for (let i = 0; i < text.length; i++) put(load<u16>(changetype<usize>(text) + 2 * i));
  restoreFlags(state);
}

/** `bytes` bytes of memory. */
export function printBytes(at: usize, bytes: usize): void {
  const state = saveFlags();
  disableInterrupts();
  for (let i: usize = 0; i < bytes; i++) put(load<u8>(at + i));
  restoreFlags(state);
}

/** A text with a zero at its end. */
export function printWord(at: usize): void {
  printBytes(at, textBytes(at));
}

/** Bytes before the zero. */
export function textBytes(at: usize): usize {
  let bytes: usize = 0;
  while (load<u8>(at + bytes) !== 0) bytes++;
  return bytes;
}

export function printNumber(value: u64): void {
  if (value >= 10) printNumber(value / 10);
  put(<u32>(0x30 + (value % 10)));
}

export function printHex(value: u64): void {
  if (value >= 16) printHex(value >> 4);
  const digit = <u32>(value & 15);
  put(digit < 10 ? 0x30 + digit : 0x57 + digit);
}

/** A number that ends before column `end`. */
export function printNumberTo(value: u64, end: u32): void {
  let digits: u32 = 1;
  for (let rest = value; rest >= 10; rest /= 10) digits++;
  spaceTo(end - digits);
  printNumber(value);
}

/** Spaces up to a column; one at least, unless the line begins. */
export function spaceTo(target: u32): void {
  if (column > 0) put(0x20);
  while (column < target) put(0x20);
}

/** Milliseconds out of nanoseconds, as seconds with three digits. */
export function printSeconds(nanoseconds: u64): void {
  const milliseconds = nanoseconds / 1000000;
  printNumber(milliseconds / 1000);
  put(0x2e);
  const rest = milliseconds % 1000;
  printNumber(rest / 100);
  printNumber((rest / 10) % 10);
  printNumber(rest % 10);
}

/** Whether the text at `at`, with a zero at its end, is `text`. */
export function isText(at: usize, text: string): bool {
  for (let i = 0; i < text.length; i++) {
    if (<u16>load<u8>(at + i) !== load<u16>(changetype<usize>(text) + 2 * i)) return false;
  }
  return load<u8>(at + text.length) === 0;
}
