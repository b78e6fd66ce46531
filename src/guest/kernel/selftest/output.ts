/** Words of the self-test, on the console: lines of `ok NAME`, `not ok NAME`, and figures. */
import { consoleWrite } from '../../paravirt/operations';

const line: usize = memory.data(256);
let used: usize = 0;

export let passed: u32 = 0;
export let failed: u32 = 0;

/** Adds a text of characters below 128. */
export function say(text: string): void {
  for (let i = 0; i < text.length; i++) {
    if (used < 250) store<u8>(line + used++, load<u16>(changetype<usize>(text) + 2 * i));
  }
}

export function sayNumber(value: u64): void {
  if (value >= 10) sayNumber(value / 10);
  if (used < 250) store<u8>(line + used++, <u8>(0x30 + (value % 10)));
}

export function sayHex(value: u64): void {
  if (value >= 16) sayHex(value >> 4);
  const digit = <u8>(value & 15);
  if (used < 250) store<u8>(line + used++, digit < 10 ? 0x30 + digit : 0x57 + digit);
}

/** Ends the line; waits, without rest, until the console has taken it. */
export function endLine(): void {
  store<u8>(line + used++, 10);
  for (let written: usize = 0; written < used; ) written += consoleWrite(line + written, used - written);
  used = 0;
}

/** A line for a test's result. */
export function check(name: string, passes: bool): void {
  say(passes ? 'ok ' : 'not ok ');
  say(name);
  if (passes) passed++;
  else failed++;
  endLine();
}

/** The same for a number that must be another; a difference is shown. */
export function checkEqual(name: string, actual: u64, expected: u64): void {
  if (actual !== expected) {
    say('# found 0x');
    sayHex(actual);
    say(', expected 0x');
    sayHex(expected);
    endLine();
  }
  check(name, actual === expected);
}

/** A figure that the test outside reads. */
export function figure(name: string, value: u64): void {
  say('# ');
  say(name);
  say(': ');
  sayNumber(value);
  endLine();
}
