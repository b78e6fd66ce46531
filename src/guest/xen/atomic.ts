/** Compare-and-swap on a machine word of this module's memory. */
import { compareExchange32, compareExchange64, native } from '../machine/memory';

/** Puts `desired` where `expected` stands, in one step. Returns whether it stood there. */
export function compareAndSwap(pointer: usize, expected: Word, desired: Word): bool {
  return WORD_BITS === 64
    ? compareExchange64(native(pointer), <u64>expected, <u64>desired) === <u64>expected
    : compareExchange32(native(pointer), <u32>expected, <u32>desired) === <u32>expected;
}
