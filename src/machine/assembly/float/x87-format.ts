/**
 * The 80-bit format in memory, { u64 significand; u16 sign and exponent } in a slot of 16 bytes: taking it apart, putting
 * it together, and the x87's rules for NaNs and for encodings it no longer supports. Intel SDM 1, 4.8.3.5 and 8.2.2.
 */

import { resultExponent, resultHigh, resultSign } from './number';
import { INFINITE, roundResult, roundsUp } from './round';
import { DENORMAL, INVALID, raise, retract, setRoundedUp } from './state';
import { setWide, shiftRightSticky, TOP_BIT, wideHigh, wideLow } from './wide';
import { prevented } from './x87-mode';

/** Kinds of operand: a NaN is QUIET or SIGNALING, and an unnormal, pseudo-NaN or pseudo-infinity is UNSUPPORTED. */
export const FINITE = 0;
export const INFINITY = 1;
export const QUIET = 2;
export const SIGNALING = 3;
export const UNSUPPORTED = 4;

export const BIAS = 16383;
export const QUIET_BIT: u64 = (1 as u64) << 62;
const SPECIAL = 0x7fff;

/** The operand that `unpack` looked at last; `significand` is raw if it is not finite. */
export let sign: u32 = 0;
export let exponent: i32 = 0;
export let significand: u64 = 0;
export let denormal: bool = false;

export function unpack(address: i32): i32 {
  const top = u32(load<u16>(address, 8));
  const field = top & SPECIAL;
  significand = load<u64>(address);
  sign = top >> 15;
  denormal = false;
  const leading = (significand & TOP_BIT) !== 0;
  if (field === SPECIAL) {
    if (!leading) return UNSUPPORTED;
    if (significand === TOP_BIT) return INFINITY;
    return (significand & QUIET_BIT) !== 0 ? QUIET : SIGNALING;
  }
  exponent = i32(field) - BIAS;
  if (field !== 0) return leading ? FINITE : UNSUPPORTED;
  denormal = significand !== 0;
  if (denormal) {
    const places = i32(clz(significand));
    significand <<= places;
    exponent = 1 - BIAS - places;
  }
  return FINITE;
}

/** Writes a register or wide slot, unless an unmasked exception prevents it. */
export function deliver(address: i32, signBit: u32, field: u32, bits: u64): void {
  if (prevented()) return;
  store<u64>(address, bits);
  store<u16>(address, u16((signBit << 15) | field), 8);
}

export function deliverZero(address: i32, signBit: u32): void {
  deliver(address, signBit, 0, 0);
}

export function deliverInfinity(address: i32, signBit: u32): void {
  deliver(address, signBit, SPECIAL, TOP_BIT);
}

export function deliverCopy(address: i32, from: i32): void {
  deliver(address, u32(load<u16>(from, 8)) >> 15, u32(load<u16>(from, 8)) & SPECIAL, load<u64>(from));
}

/** Invalid operation: the real indefinite. No denormal operand is reported along with it. */
export function deliverInvalid(address: i32): void {
  retract(DENORMAL);
  raise(INVALID);
  deliver(address, 1, SPECIAL, TOP_BIT | QUIET_BIT);
}

/** The result of `number.ts`, rounded to `bits` bits of significand. */
export function deliverResult(address: i32, bits: i32): void {
  roundResult(bits, 1 - BIAS, BIAS, true);
  if (resultExponent === INFINITE) {
    deliverInfinity(address, resultSign);
    return;
  }
  const field = (resultHigh & TOP_BIT) !== 0 ? resultExponent + BIAS : 0;
  deliver(address, resultSign, field, resultHigh);
}

/** One operand that is not a number: true if it was, and the answer is delivered. */
export function deliverNaN(address: i32, a: i32, kind: i32): bool {
  if (kind < QUIET) return false;
  if (kind === UNSUPPORTED) deliverInvalid(address);
  else deliverQuieted(address, a, kind === SIGNALING);
  return true;
}

/**
 * Two operands, at least one not a number: true if so. Of two NaNs of one kind the larger significand wins, then the
 * positive sign; a quiet one wins over a signaling one (SDM 1, table 4-7).
 */
export function deliverNaNs(address: i32, a: i32, aKind: i32, b: i32, bKind: i32): bool {
  if (aKind < QUIET && bKind < QUIET) return false;
  if (aKind === UNSUPPORTED || bKind === UNSUPPORTED) {
    deliverInvalid(address);
    return true;
  }
  const signaling = aKind === SIGNALING || bKind === SIGNALING;
  let first = aKind >= QUIET;
  if (first && bKind >= QUIET) {
    const aBits = load<u64>(a);
    const bBits = load<u64>(b);
    if (aKind !== bKind) first = aKind === QUIET;
    else if (aBits !== bBits) first = aBits > bBits;
    else first = load<u16>(a, 8) <= load<u16>(b, 8);
  }
  deliverQuieted(address, first ? a : b, signaling);
  return true;
}

function deliverQuieted(address: i32, from: i32, signaling: bool): void {
  retract(DENORMAL);
  if (signaling) raise(INVALID);
  const top = u32(load<u16>(from, 8));
  deliver(address, top >> 15, top & SPECIAL, load<u64>(from) | QUIET_BIT);
}

export function raiseDenormal(seen: bool): void {
  if (seen) raise(DENORMAL);
}

/**
 * The operand unpacked last as a whole number: the magnitude in `wideHigh`, what was rounded away in `wideLow`.
 * For exponents up to 63.
 */
export function roundToWhole(): void {
  if (significand === 0) {
    setWide(0, 0);
    return;
  }
  shiftRightSticky(significand, 0, 63 - exponent);
  const tail = wideLow;
  const up = roundsUp(sign, (wideHigh & 1) !== 0, tail);
  setRoundedUp(up);
  setWide(wideHigh + u64(up), tail);
}
