/** Lines for test kernels: text and numbers on the emergency console. */
import { hypercall3, native } from '../../../guest/machine/index';

const CONSOLE_IO = 18;
const LINE_BYTES: u32 = 128;

const line = memory.data(LINE_BYTES);
let length: u32 = 0;

function put(byte: u32): void {
  if (length < LINE_BYTES) store<u8>(line + length++, byte);
}

export function text(words: string): void {
  for (let i = 0; i < words.length; i++) put(load<u16>(changetype<usize>(words) + 2 * i));
}

export function decimal(value: u64): void {
  if (value >= 10) decimal(value / 10);
  put(48 + <u32>(value % 10));
}

export function hexadecimal(value: u64): void {
  if (value >= 16) hexadecimal(value >> 4);
  const digit = <u32>(value & 15);
  put(digit < 10 ? 48 + digit : 87 + digit);
}

/** Ends the line and prints it. */
export function endLine(): void {
  put(10);
  hypercall3(CONSOLE_IO, 0, length, native(line));
  length = 0;
}

/** A line that says whether something is as it should be. */
export function check(what: string, good: bool): void {
  text(what);
  text(good ? ': ok' : ': FAILED');
  endLine();
}
