/** Lines for test kernels: text and numbers on Xen's emergency console or, on the bare machine, on the serial port. */
import { hypercall3, inb, native, outb } from '../../../guest/machine/index';

const CONSOLE_IO = 18;
const SERIAL_PORT = 0x3f8;
const SERIAL_STATUS = 0x3fd;
const STATUS_EMPTY = 0x20;
const STATUS_IDLE = 0x40;
const LINE_BYTES: u32 = 128;

const line = memory.data(LINE_BYTES);
let length: u32 = 0;
let serial = false;

/** From now on lines go to the serial port. Firmware may have left half a line there. */
export function useSerialPort(): void {
  serial = true;
  endLine();
}

/** Sends a byte once the port takes one: it holds one only, and a second would take its place. */
export function serialByte(byte: u32): void {
  while ((inb(SERIAL_STATUS) & STATUS_EMPTY) == 0) {}
  outb(SERIAL_PORT, byte);
}

/** Waits until all bytes have left the serial port. */
export function drainSerialPort(): void {
  while ((inb(SERIAL_STATUS) & STATUS_IDLE) == 0) {}
}

function character(byte: u32): void {
  if (length < LINE_BYTES) store<u8>(line + length++, byte);
}

export function text(words: string): void {
  for (let i = 0; i < words.length; i++) character(load<u16>(changetype<usize>(words) + 2 * i));
}

export function decimal(value: u64): void {
  if (value >= 10) decimal(value / 10);
  character(48 + <u32>(value % 10));
}

export function hexadecimal(value: u64): void {
  if (value >= 16) hexadecimal(value >> 4);
  const digit = <u32>(value & 15);
  character(digit < 10 ? 48 + digit : 87 + digit);
}

/** Ends the line and prints it. */
export function endLine(): void {
  character(10);
  if (serial) for (let i: u32 = 0; i < length; i++) serialByte(load<u8>(line + i));
  else hypercall3(CONSOLE_IO, 0, length, native(line));
  length = 0;
}

/** A line that says whether something is as it should be. */
export function check(what: string, good: bool): void {
  text(what);
  text(good ? ': ok' : ': FAILED');
  endLine();
}
