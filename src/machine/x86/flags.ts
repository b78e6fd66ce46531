/**
 * Lazy arithmetic flags: the layout both tiers share, and its conversion to RFLAGS bits.
 *
 * An arithmetic instruction leaves three words, and whoever wants a flag computes it without asking what the
 * instruction was:
 *
 * - `result` (i64): the result, sign-extended to 64 bits from the operand size;
 * - `carry` (i64): the vector of carries out of each bit position (borrows, for a subtraction);
 * - `meta` (i32): bits 0–5 the number n of the operand's top bit (7, 15, 31, 63); bit 8 inverts SF, bit 9 inverts PF,
 *   which lets an arbitrary combination be represented (POPF can set ZF and SF together).
 *
 *     CF = carry[n]        OF = carry[n] ^ carry[n-1]     AF = carry[3]
 *     ZF = result == 0     SF = result[63] ^ meta[8]      PF = even parity of result[7:0] ^ meta[9]
 */
import { FLAG_AF, FLAG_CF, FLAG_OF, FLAG_PF, FLAG_SF, FLAG_ZF } from './registers.ts';

export const META_INVERT_SIGN = 0x100;
export const META_INVERT_PARITY = 0x200;

/** Even parity of the low byte: 1 where PF is set. */
function parity(value: number): number {
  let x = value & 0xff;
  x ^= x >> 4;
  return (~(0x6996 >> (x & 15)) & 1) as number;
}

function bit(low: number, high: number, n: number): number {
  return n < 32 ? (low >>> n) & 1 : (high >>> (n - 32)) & 1;
}

/** The arithmetic bits of RFLAGS from the lazy words. */
export function decodeFlags(
  resultLow: number,
  resultHigh: number,
  carryLow: number,
  carryHigh: number,
  meta: number,
): number {
  const top = meta & 63;
  const carry = bit(carryLow, carryHigh, top);
  let flags = carry !== 0 ? FLAG_CF : 0;
  if (carry !== bit(carryLow, carryHigh, top - 1)) flags |= FLAG_OF;
  if ((carryLow & 8) !== 0) flags |= FLAG_AF;
  if ((resultLow | resultHigh) === 0) flags |= FLAG_ZF;
  if (((resultHigh >>> 31) ^ ((meta >> 8) & 1)) !== 0) flags |= FLAG_SF;
  if ((parity(resultLow) ^ ((meta >> 9) & 1)) !== 0) flags |= FLAG_PF;
  return flags;
}

/**
 * Lazy words that stand for the given RFLAGS, as a byte-sized result (n = 7): `result` is 0 or 1, and what its sign and
 * parity would say wrongly, `meta` inverts.
 */
export function encodeResult(flags: number): number {
  return (flags & FLAG_ZF) !== 0 ? 0 : 1;
}
export function encodeCarry(flags: number): number {
  const carry = (flags & FLAG_CF) !== 0 ? 0x80 : 0;
  const overflow = (flags & FLAG_OF) !== 0 ? 0x40 : 0;
  return carry | ((carry >> 1) ^ overflow) | ((flags & FLAG_AF) !== 0 ? 8 : 0);
}
export function encodeMeta(flags: number): number {
  // A result of 0 has PF = 1, a result of 1 has PF = 0; both have SF = 0.
  const evenParity = (flags & FLAG_ZF) !== 0;
  const sign = (flags & FLAG_SF) !== 0 ? META_INVERT_SIGN : 0;
  return 7 | sign | (((flags & FLAG_PF) !== 0) !== evenParity ? META_INVERT_PARITY : 0);
}
