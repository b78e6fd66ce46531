/**
 * popcnt without the instruction of that name, which the first x86-64 processors lack: sums of neighbouring bits, then of
 * pairs, then of nibbles; a multiplication adds the bytes up in the topmost one.
 */
import type { ValueType } from '../wasm/module.ts';
import { constant, type Operand } from './instruction.ts';

type Binary = (operator: 'add' | 'and' | 'mul' | 'shr_u' | 'sub', left: Operand, right: Operand) => Operand;

/** The number of set bits of `x`, by instructions that `binary` emits. */
export function populationCount(x: Operand, type: ValueType, binary: Binary): Operand {
  const bits = type === 'i32' ? 32 : 64;
  /** A byte in each byte of the word. */
  const bytes = (byte: bigint) => constant(type, byte * (type === 'i32' ? 0x01010101n : 0x0101010101010101n));
  const shifted = (value: Operand, by: number) => binary('shr_u', value, constant(type, by));
  const pairs = binary('sub', x, binary('and', shifted(x, 1), bytes(0x55n)));
  const nibbles = binary(
    'add',
    binary('and', pairs, bytes(0x33n)),
    binary('and', shifted(pairs, 2), bytes(0x33n)),
  );
  const sums = binary('and', binary('add', nibbles, shifted(nibbles, 4)), bytes(0x0fn));
  return shifted(binary('mul', sums, bytes(1n)), bits - 8);
}
