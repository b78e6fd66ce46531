/** The end that nobody wanted: what happened, where, and who called whom; then the host is told that this kernel crashed. */

import { native } from '../machine/memory';
import { framePointer } from '../machine/stack';
import { symbolAt } from '../machine/symbols';
import { crash, disableInterrupts } from '../paravirt/operations';
import { flush, print, printBytes, printHex, printNumber } from './text';

const MOST_FRAMES: u32 = 16;

/** Does not return. */
export function panic(reason: string): void {
  disableInterrupts();
  print('panic: ');
  print(reason);
  print('\n');
  printCallers(framePointer());
  flush();
  crash();
}

/** The chain of frames that begins at `frame`: the functions that it goes back to. */
export function printCallers(frame: usize): void {
  let at = frame;
  for (let i: u32 = 0; at !== 0 && i < MOST_FRAMES; i++) {
    print('  ');
    printPlace(load<u64>(at, 8));
    print('\n');
    const next = <usize>load<u64>(at);
    // A chain leads up a stack; what does not is none.
    if (next <= at) break;
    at = next;
  }
}

/** An address as function and offset. */
export function printPlace(address: u64): void {
  printHex(address);
  const symbol = symbolAt(address);
  if (symbol === null) return;
  print(' ');
  printBytes(symbol.name, symbol.nameBytes);
  print('+');
  printNumber(address - native(symbol.address));
}
