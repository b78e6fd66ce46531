/** The arithmetic of emulated stores against a model in BigInt, which follows the Intel SDM's words and shares no code. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeFlags } from '../../machine/x86/flags.ts';
import {
  ARITHMETIC_FLAGS,
  FLAG_AF,
  FLAG_CF,
  FLAG_OF,
  FLAG_PF,
  FLAG_SF,
  FLAG_ZF,
} from '../../machine/x86/registers.ts';
import { StoreResult } from './ptwr-arithmetic.ts';
import { Operation } from './ptwr-instruction.ts';

const INTERESTING = [
  0n,
  1n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0xffffffffffffffffn,
  0x123456789abcdef0n,
];

function low(value: bigint): number {
  return Number(BigInt.asIntN(32, value));
}
function join(lowHalf: number, highHalf: number): bigint {
  return (BigInt.asUintN(32, BigInt(highHalf)) << 32n) | BigInt.asUintN(32, BigInt(lowHalf));
}
function parity(value: bigint): boolean {
  let ones = 0;
  for (let i = 0n; i < 8n; i++) ones += Number((value >> i) & 1n);
  return ones % 2 === 0;
}

/** Flags of a result of so many bits, without CF, OF and AF. */
function resultFlags(result: bigint, bits: bigint): number {
  let flags = result === 0n ? FLAG_ZF : 0;
  if (((result >> (bits - 1n)) & 1n) !== 0n) flags |= FLAG_SF;
  return parity(result) ? flags | FLAG_PF : flags;
}

/** ADD, ADC, SUB, SBB, NEG as the SDM defines them: by the exact sum and by the signed sum. */
function addition(a: bigint, b: bigint, carry: bigint, bits: bigint, sign: 1n | -1n): [bigint, number] {
  const exact = a + sign * (b + carry);
  const result = BigInt.asUintN(Number(bits), exact);
  const signed = (x: bigint) => BigInt.asIntN(Number(bits), x);
  let flags = resultFlags(result, bits);
  if (exact !== result) flags |= FLAG_CF;
  if (signed(a) + sign * (signed(b) + carry) !== signed(result)) flags |= FLAG_OF;
  const nibble = (a & 15n) + sign * ((b & 15n) + carry);
  if (nibble < 0n || nibble > 15n) flags |= FLAG_AF;
  return [result, flags];
}

const ADDITIONS: [
  string,
  Operation,
  (a: bigint, b: bigint, carry: bigint, bits: bigint) => [bigint, number],
][] = [
  ['add', Operation.Add, (a, b, _c, bits) => addition(a, b, 0n, bits, 1n)],
  ['xadd', Operation.Xadd, (a, b, _c, bits) => addition(a, b, 0n, bits, 1n)],
  ['adc', Operation.Adc, (a, b, c, bits) => addition(a, b, c, bits, 1n)],
  ['sub', Operation.Sub, (a, b, _c, bits) => addition(a, b, 0n, bits, -1n)],
  ['sbb', Operation.Sbb, (a, b, c, bits) => addition(a, b, c, bits, -1n)],
  ['neg', Operation.Neg, (a, _b, _c, bits) => addition(0n, a, 0n, bits, -1n)],
  ['or', Operation.Or, (a, b, _c, bits) => [a | b, resultFlags(a | b, bits)]],
  ['and', Operation.And, (a, b, _c, bits) => [a & b, resultFlags(a & b, bits)]],
  ['xor', Operation.Xor, (a, b, _c, bits) => [a ^ b, resultFlags(a ^ b, bits)]],
  ['inc', Operation.Inc, (a, _b, c, bits) => keepCarry(addition(a, 1n, 0n, bits, 1n), c)],
  ['dec', Operation.Dec, (a, _b, c, bits) => keepCarry(addition(a, 1n, 0n, bits, -1n), c)],
];

function keepCarry([result, flags]: [bigint, number], carry: bigint): [bigint, number] {
  return [result, (flags & ~FLAG_CF) | (carry !== 0n ? FLAG_CF : 0)];
}

/** All arithmetic flags after the operation, given CF before it. */
function flagsOf(result: StoreResult, carry: number): number {
  if (result.flags === StoreResult.VECTORS) {
    const { resultLow, resultHigh, carryLow, carryHigh, topBit } = result;
    return decodeFlags(resultLow, resultHigh, carryLow, carryHigh, topBit);
  }
  return (carry & ~result.flags) | (result.flagValues & result.flags);
}

for (const [name, operation, model] of ADDITIONS) {
  test(`${name} gives the SDM's result and flags at every size and place in the entry`, () => {
    const result = new StoreResult();
    for (const size of [1, 2, 4, 8]) {
      const bits = BigInt(size * 8);
      const mask = (1n << bits) - 1n;
      for (const entry of INTERESTING) {
        for (const source of INTERESTING) {
          for (const carry of [0, FLAG_CF]) {
            for (let shift = 0; shift < 64; shift += size * 8) {
              result.sourceLow = low(source);
              result.sourceHigh = low(source >> 32n);
              result.compute(operation, size, shift, low(entry), low(entry >> 32n), carry);
              const operand = (entry >> BigInt(shift)) & mask;
              const [expected, flags] = model(operand, source & mask, BigInt(carry), bits);
              const rest = entry & ~(mask << BigInt(shift));
              const what = `${name} ${size} bytes at bit ${shift}: ${entry.toString(16)}, ${source.toString(16)}`;
              assert.equal(join(result.newLow, result.newHigh), rest | (expected << BigInt(shift)), what);
              assert.equal(flagsOf(result, carry) & ARITHMETIC_FLAGS, flags, what);
            }
          }
        }
      }
    }
  });
}

test('cmpxchg stores only if the accumulator equals the operand, and sets the flags of cmp', () => {
  const result = new StoreResult();
  for (const size of [1, 2, 4, 8]) {
    const bits = BigInt(size * 8);
    const mask = (1n << bits) - 1n;
    for (const entry of INTERESTING) {
      for (const accumulator of INTERESTING) {
        result.sourceLow = 0x55;
        result.sourceHigh = 0;
        result.accumulatorLow = low(accumulator);
        result.accumulatorHigh = low(accumulator >> 32n);
        result.compute(Operation.Cmpxchg, size, 0, low(entry), low(entry >> 32n), 0);
        const [difference, flags] = addition(accumulator & mask, entry & mask, 0n, bits, -1n);
        assert.equal(result.stores, difference === 0n);
        assert.equal(flagsOf(result, 0), flags);
        assert.equal(join(result.newLow, result.newHigh), (entry & ~mask) | 0x55n);
      }
    }
  }
});
