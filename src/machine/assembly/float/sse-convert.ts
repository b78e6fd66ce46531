/**
 * SSE conversions: between the formats, to and from integers, and to an integral value (ROUNDSS and ROUNDSD).
 * Modes and exceptions as in `sse-arithmetic.ts`. Intel SDM 1, 4.8.4.2 and table 4-10; SDM 2, CVTSS2SI and so on.
 */

import { setUnnormalized } from './number';
import { roundsUp } from './round';
import {
  denormal,
  exponent,
  FINITE,
  fractionBits,
  hideDenormal,
  INFINITY,
  infinityBits,
  pack,
  propagate,
  QUIET,
  quietBit,
  raiseDenormal,
  SIGNALING,
  sign,
  significand,
  unpack,
} from './sse-format';
import {
  denormalsAreZero,
  INVALID,
  PRECISION,
  raise,
  rounding,
  setRounding,
  stopped,
  TO_ZERO,
} from './state';
import { setWide, shiftRightSticky, TOP_BIT, wideHigh, wideLow } from './wide';

/** The integer in the rounding mode, as a magnitude in `wideHigh`; `wideLow` keeps what was rounded away. */
function roundMagnitude(): void {
  // At exponent 63 the significand is the integer itself; callers exclude larger ones.
  if (significand === 0) {
    setWide(0, 0);
    return;
  }
  shiftRightSticky(significand, 0, 63 - exponent);
  const tail = wideLow;
  const up = roundsUp(sign, (wideHigh & 1) !== 0, tail);
  setWide(wideHigh + u64(up), tail);
}

/** To a signed integer of `bits` bits; what does not fit gives the integer indefinite, 1 followed by zeros. */
function toInteger<T>(a: T, bits: i32, mode: u32): i64 {
  const indefinite: i64 = (-1 as i64) << (bits - 1);
  const kind = unpack<T>(a, denormalsAreZero);
  if (kind !== FINITE || exponent > 62) {
    // -2^63 is the one number of exponent 63 that fits, and it is what the indefinite looks like.
    if (kind === FINITE && bits === 64 && exponent === 63 && sign && significand === TOP_BIT)
      return indefinite;
    raise(INVALID);
    return indefinite;
  }
  const saved = rounding;
  setRounding(mode);
  roundMagnitude();
  setRounding(saved);
  const limit = ((1 as u64) << (bits - 1)) - u64(sign === 0);
  if (wideHigh > limit) {
    raise(INVALID);
    return indefinite;
  }
  if (wideLow !== 0) raise(PRECISION);
  return sign ? -(wideHigh as i64) : (wideHigh as i64);
}

function fromInteger<T>(a: i64): T {
  const negative = a < 0;
  setUnnormalized(u32(negative), 63, u64(negative ? -a : a), 0);
  return pack<T>();
}

/** ROUNDSS: bits 0-1 of the immediate are the mode, bit 2 takes MXCSR's, bit 3 hides the precision exception. */
function toIntegral<T>(a: T, immediate: u32): T {
  const kind = unpack<T>(a, denormalsAreZero);
  if (kind >= QUIET) return propagate<T>(a, a);
  if (kind === INFINITY || exponent >= fractionBits<T>()) return a;
  if (significand === 0) return hideDenormal<T>(a);
  const saved = rounding;
  if ((immediate & 4) === 0) setRounding(immediate & 3);
  roundMagnitude();
  setRounding(saved);
  if (wideLow !== 0 && (immediate & 8) === 0) raise(PRECISION);
  setUnnormalized(sign, 63, wideHigh, 0);
  return pack<T>();
}

/** CVTSS2SD. */
export function f32ToF64(a: u32): u64 {
  const kind = unpack<u32>(a, denormalsAreZero);
  const signed = u64(sign) << 63;
  if (kind === SIGNALING) raise(INVALID);
  if (kind >= QUIET) return signed | infinityBits<u64>() | quietBit<u64>() | (u64(a & 0x7fffff) << 29);
  if (kind === INFINITY) return signed | infinityBits<u64>();
  raiseDenormal(denormal);
  if (stopped()) return 0;
  setUnnormalized(sign, exponent, significand, 0);
  return pack<u64>();
}

/** CVTSD2SS. */
export function f64ToF32(a: u64): u32 {
  const kind = unpack<u64>(a, denormalsAreZero);
  const signed = sign << 31;
  if (kind === SIGNALING) raise(INVALID);
  if (kind >= QUIET) return signed | infinityBits<u32>() | quietBit<u32>() | (u32(a >> 29) & 0x7fffff);
  if (kind === INFINITY) return signed | infinityBits<u32>();
  raiseDenormal(denormal);
  if (stopped()) return 0;
  setUnnormalized(sign, exponent, significand, 0);
  return pack<u32>();
}

/** CVTSI2SS and the 32-bit lanes of CVTDQ2PS, CVTPI2PS. */
export function i32ToF32(a: i32): u32 {
  return fromInteger<u32>(i64(a));
}
export function i64ToF32(a: i64): u32 {
  return fromInteger<u32>(a);
}
export function i32ToF64(a: i32): u64 {
  return fromInteger<u64>(i64(a));
}
export function i64ToF64(a: i64): u64 {
  return fromInteger<u64>(a);
}

/** CVTSS2SI, in the rounding mode of MXCSR. */
export function f32ToI32(a: u32): i32 {
  return i32(toInteger<u32>(a, 32, rounding));
}
export function f32ToI64(a: u32): i64 {
  return toInteger<u32>(a, 64, rounding);
}
export function f64ToI32(a: u64): i32 {
  return i32(toInteger<u64>(a, 32, rounding));
}
export function f64ToI64(a: u64): i64 {
  return toInteger<u64>(a, 64, rounding);
}

/** CVTTSS2SI, towards zero. */
export function f32TruncateToI32(a: u32): i32 {
  return i32(toInteger<u32>(a, 32, TO_ZERO));
}
export function f32TruncateToI64(a: u32): i64 {
  return toInteger<u32>(a, 64, TO_ZERO);
}
export function f64TruncateToI32(a: u64): i32 {
  return i32(toInteger<u64>(a, 32, TO_ZERO));
}
export function f64TruncateToI64(a: u64): i64 {
  return toInteger<u64>(a, 64, TO_ZERO);
}

/** ROUNDSS with its immediate. */
export function f32Round(a: u32, immediate: u32): u32 {
  return toIntegral<u32>(a, immediate);
}
/** ROUNDSD with its immediate. */
export function f64Round(a: u64, immediate: u32): u64 {
  return toIntegral<u64>(a, immediate);
}
