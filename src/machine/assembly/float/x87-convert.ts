/**
 * Loads and stores of the x87 that convert: single, double, integers and packed BCD from and to the 80-bit format.
 *
 * A load fills a scratch slot; a store writes its bytes at an address, unless an unmasked exception prevents it. The arithmetic
 * instructions with a memory operand widen it instead: exactly, a signaling NaN staying one, because their own rules
 * decide what becomes of it. Intel SDM 1, 4.8.4.2 and 8.5; SDM 2, FLD, FST, FIST, FBSTP.
 */

import { setUnnormalized } from './number';
import {
  indefinite,
  infinityBits,
  INFINITY as PACKED_INFINITY,
  QUIET as PACKED_QUIET,
  SIGNALING as PACKED_SIGNALING,
  pack,
  denormal as packedDenormal,
  exponent as packedExponent,
  sign as packedSign,
  significand as packedSignificand,
  quietBit,
  unpack as unpackFormat,
} from './sse-format';
import { INVALID, PRECISION, raise, setRoundedUp, setRounding, TO_ZERO } from './state';
import { setWide, TOP_BIT, wideHigh, wideLow } from './wide';
import {
  BIAS,
  deliver,
  deliverZero,
  exponent,
  FINITE,
  INFINITY,
  QUIET_BIT,
  raiseDenormal,
  roundToWhole,
  SIGNALING,
  sign,
  significand,
  unpack,
} from './x87-format';
import { loading, prevented, storing } from './x87-mode';

/** Bits of a single or double as a slot; a denormal operand is reported. Gives whether it was a signaling NaN. */
function widen<T>(destination: i32, bits: T): bool {
  const kind = unpackFormat<T>(bits, false);
  let field: u32 = 0x7fff;
  let wide: u64 = TOP_BIT;
  if (kind >= PACKED_QUIET) {
    wide |= (bits as u64) << (sizeof<T>() === 4 ? 40 : 11);
  } else if (kind !== PACKED_INFINITY) {
    raiseDenormal(packedDenormal);
    wide = packedSignificand;
    field = wide === 0 ? 0 : u32(packedExponent + BIAS);
  }
  store<u64>(destination, wide);
  store<u16>(destination, u16((packedSign << 15) | field), 8);
  return kind === PACKED_SIGNALING;
}

function quiet(destination: i32): void {
  raise(INVALID);
  store<u64>(destination, load<u64>(destination) | QUIET_BIT);
}

/** FLD m32fp. `destination` is a scratch slot: written in any case, to be pushed if the commit allows. */
export function f80FromF32(destination: i32, bits: u32): void {
  loading();
  if (widen<u32>(destination, bits)) quiet(destination);
}

/** FLD m64fp, likewise. */
export function f80FromF64(destination: i32, bits: u64): void {
  loading();
  if (widen<u64>(destination, bits)) quiet(destination);
}

/** The m32fp operand of FADD and so on; call between `x87Begin` and the operation. */
export function f80WidenF32(destination: i32, bits: u32): void {
  widen<u32>(destination, bits);
}

/** The m64fp operand of FADD and so on. */
export function f80WidenF64(destination: i32, bits: u64): void {
  widen<u64>(destination, bits);
}

/** FILD and the operands of FIADD and so on: always exact. */
export function f80FromInteger(destination: i32, value: i64): void {
  const magnitude = u64(value < 0 ? -value : value);
  if (magnitude === 0) {
    deliverZero(destination, 0);
    return;
  }
  const places = i32(clz(magnitude));
  deliver(destination, u32(value < 0), BIAS + 63 - places, magnitude << places);
}

/** FBLD of the ten bytes at `source`. */
export function f80FromBcd(destination: i32, source: i32): void {
  let value: u64 = 0;
  for (let i = 8; i >= 0; i--) {
    const pair = u32(load<u8>(source + i));
    value = value * 100 + (pair >> 4) * 10 + (pair & 15);
  }
  f80FromInteger(destination, value);
  if (load<u8>(source, 9) & 0x80) store<u8>(destination, load<u8>(destination, 9) | 0x80, 9);
}

/** The number at `source` as bits of a single or double. */
function narrow<T>(source: i32): T {
  storing();
  const kind = unpack(source);
  const signed = (sign as T) << (sizeof<T>() * 8 - 1);
  if (kind === INFINITY) return (signed | infinityBits<T>()) as T;
  if (kind >= SIGNALING) raise(INVALID);
  if (kind > SIGNALING) return indefinite<T>();
  if (kind !== FINITE) {
    const payload = ((significand & ~TOP_BIT) >> (sizeof<T>() === 4 ? 40 : 11)) as T;
    return (signed | infinityBits<T>() | quietBit<T>() | payload) as T;
  }
  setUnnormalized(sign, exponent, significand, 0);
  return pack<T>();
}

/** FST m32fp, to `destination`. */
export function f80ToF32(destination: i32, source: i32): void {
  const bits = narrow<u32>(source);
  if (!prevented()) store<u32>(destination, bits);
}

/** FST m64fp, to `destination`. */
export function f80ToF64(destination: i32, source: i32): void {
  const bits = narrow<u64>(source);
  if (!prevented()) store<u64>(destination, bits);
}

/** The number as an integer of magnitude at most `limit` (one less if positive and `limit` is a power of two). */
function integerFits(source: i32, limit: u64): bool {
  storing();
  if (unpack(source) === FINITE && exponent <= 62) {
    roundToWhole();
    if (wideHigh <= limit) {
      if (wideLow !== 0) raise(PRECISION);
      return true;
    }
  } else if (isMostNegative(source, limit)) {
    setWide(TOP_BIT, 0);
    return true;
  }
  setRoundedUp(false);
  raise(INVALID);
  return false;
}

/** -2^63: the one number of exponent 63 that an integer can hold. */
function isMostNegative(source: i32, limit: u64): bool {
  return limit >= TOP_BIT - 1 && load<u64>(source) === TOP_BIT && load<u16>(source, 8) === 0x8000 + BIAS + 63;
}

/** FIST with `bits` 16, 32 or 64: the integer, or the indefinite, 1 followed by zeros. */
function toInteger(source: i32, bits: i32): i64 {
  const negative = (load<u16>(source, 8) & 0x8000) !== 0;
  const limit = ((1 as u64) << (bits - 1)) - u64(!negative);
  if (!integerFits(source, limit)) return (-1 as i64) << (bits - 1);
  return negative ? -(wideHigh as i64) : (wideHigh as i64);
}

/** FISTTP rounds towards zero, FIST as the control word says. */
function useTruncation(truncate: u32): void {
  if (truncate !== 0) setRounding(TO_ZERO);
}

/** FIST m16int to `destination`; FISTTP if `truncate` is 1. */
export function f80ToI16(destination: i32, source: i32, truncate: u32): void {
  useTruncation(truncate);
  const value = toInteger(source, 16);
  if (!prevented()) store<u16>(destination, u16(value));
}

export function f80ToI32(destination: i32, source: i32, truncate: u32): void {
  useTruncation(truncate);
  const value = toInteger(source, 32);
  if (!prevented()) store<u32>(destination, u32(value));
}

export function f80ToI64(destination: i32, source: i32, truncate: u32): void {
  useTruncation(truncate);
  const value = toInteger(source, 64);
  if (!prevented()) store<u64>(destination, u64(value));
}

/** FBSTP, ten bytes to `destination`: 18 digits and a sign, or the BCD indefinite. */
export function f80ToBcd(destination: i32, source: i32): void {
  const fits = integerFits(source, (1000000000 as u64) * 1000000000 - 1);
  if (prevented()) return;
  if (!fits) {
    store<u64>(destination, (0xc0 as u64) << 56);
    store<u16>(destination, 0xffff, 8);
    return;
  }
  let rest = wideHigh;
  for (let i = 0; i < 9; i++) {
    const pair = u32(rest % 100);
    rest /= 100;
    store<u8>(destination + i, u8(((pair / 10) << 4) | (pair % 10)));
  }
  store<u8>(destination, u8(load<u16>(source, 8) >> 8) & 0x80, 9);
}
