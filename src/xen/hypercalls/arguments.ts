/**
 * The arguments of one hypercall, held as halves so that no 64-bit value needs a BigInt.
 *
 * One object serves a vCPU for all its hypercalls, and a second the entries of its multicalls: reading one costs a load.
 */
import type { Gva } from '../../machine/memory.ts';

const TWO_32 = 4294967296;

/** rdi rsi rdx r10 r8 r9 for a 64-bit guest, ebx ecx edx esi edi ebp for a 32-bit one. */
export const ARGUMENT_COUNT = 6;

export class HypercallArguments {
  readonly low = new Int32Array(ARGUMENT_COUNT);
  readonly high = new Int32Array(ARGUMENT_COUNT);

  /** Argument `i` as a signed number: exact within 53 bits. */
  number(i: number): number {
    return this.high[i]! * TWO_32 + (this.low[i]! >>> 0);
  }

  /** Argument `i` as C's `unsigned int`. */
  u32(i: number): number {
    return this.low[i]! >>> 0;
  }

  /** Argument `i` as C's `int`. */
  i32(i: number): number {
    return this.low[i]!;
  }

  /** Argument `i` as a guest handle. */
  gva(i: number): Gva {
    return this.high[i]! * TWO_32 + (this.low[i]! >>> 0);
  }

  /** Whether a guest handle is NULL. */
  isNull(i: number): boolean {
    return (this.low[i]! | this.high[i]!) === 0;
  }

  /** Writes an argument back, for a hypercall that returns `CONTINUE`. */
  set(i: number, value: number): void {
    this.low[i] = value | 0;
    this.high[i] = Math.floor(value / TWO_32) | 0;
  }

  setHalves(i: number, low: number, high: number): void {
    this.low[i] = low;
    this.high[i] = high;
  }
}
