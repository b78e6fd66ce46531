/**
 * The two formats of SSE, single (`u32`) and double (`u64`), packed and unpacked. Everything in the `sse-` files is
 * written once, over the type of the bits.
 */

import { resultExponent, resultHigh, resultSign } from './number';
import { INFINITE, roundResult } from './round';
import { DENORMAL, denormalsAreZero, INVALID, raise } from './state';
import { TOP_BIT } from './wide';

/** Kinds of operand; every NaN is at least QUIET. */
export const FINITE = 0;
export const INFINITY = 1;
export const QUIET = 2;
export const SIGNALING = 3;

/** The operand that `unpack` looked at last. */
export let sign: u32 = 0;
export let exponent: i32 = 0;
export let significand: u64 = 0;
export let denormal: bool = false;

export function fractionBits<T>(): i32 {
  return sizeof<T>() === 4 ? 23 : 52;
}

export function exponentBias<T>(): i32 {
  return sizeof<T>() === 4 ? 127 : 1023;
}

export function signBit<T>(): T {
  return ((1 as T) << (sizeof<T>() * 8 - 1)) as T;
}

export function infinityBits<T>(): T {
  return (((exponentBias<T>() * 2 + 1) as T) << fractionBits<T>()) as T;
}

export function quietBit<T>(): T {
  return ((1 as T) << (fractionBits<T>() - 1)) as T;
}

/** The quiet NaN that a masked invalid operation gives. */
export function indefinite<T>(): T {
  return (signBit<T>() | infinityBits<T>() | quietBit<T>()) as T;
}

export function isNan<T>(bits: T): bool {
  return (bits & ~signBit<T>()) > infinityBits<T>();
}

export function isSignaling<T>(bits: T): bool {
  return isNan<T>(bits) && (bits & quietBit<T>()) === 0;
}

/** Takes a number apart and gives its kind; `sign`, `exponent` and `significand` follow `number.ts`. */
export function unpack<T>(bits: T, zeroDenormals: bool): i32 {
  const fraction = bits & ((((1 as T) << fractionBits<T>()) - 1) as T);
  const biased = i32((bits & ~signBit<T>()) >> fractionBits<T>());
  sign = u32(bits >> (sizeof<T>() * 8 - 1));
  denormal = false;
  if (biased === exponentBias<T>() * 2 + 1) {
    if (fraction === 0) return INFINITY;
    return (fraction & quietBit<T>()) !== 0 ? QUIET : SIGNALING;
  }
  significand = u64(fraction) << (63 - fractionBits<T>());
  if (biased !== 0) {
    significand |= TOP_BIT;
    exponent = biased - exponentBias<T>();
  } else if (fraction !== 0 && !zeroDenormals) {
    const places = i32(clz(significand));
    significand <<= places;
    exponent = 1 - exponentBias<T>() - places;
    denormal = true;
  } else {
    significand = 0;
    exponent = 0;
  }
  return FINITE;
}

/** The result of `number.ts`, rounded to the format. */
export function pack<T>(): T {
  roundResult(fractionBits<T>() + 1, 1 - exponentBias<T>(), exponentBias<T>(), false);
  const signed = (resultSign as T) << (sizeof<T>() * 8 - 1);
  if (resultExponent === INFINITE) return (signed | infinityBits<T>()) as T;
  // The leading bit of a normal number adds one to the exponent field, as it should.
  const field = (resultExponent + exponentBias<T>() - 1) as T;
  return (signed | ((field << fractionBits<T>()) + ((resultHigh >> (63 - fractionBits<T>())) as T))) as T;
}

/** The operand, or zero of its sign if it is a denormal that DAZ hides. */
export function hideDenormal<T>(bits: T): T {
  return denormalsAreZero && (bits & infinityBits<T>()) === 0 ? ((bits & signBit<T>()) as T) : bits;
}

/** The NaN of an operation on a and b, at least one of which is a NaN: the first one, quieted. */
export function propagate<T>(a: T, b: T): T {
  if (isSignaling<T>(a) || isSignaling<T>(b)) raise(INVALID);
  return ((isNan<T>(a) ? a : b) | quietBit<T>()) as T;
}

export function invalid<T>(): T {
  raise(INVALID);
  return indefinite<T>();
}

/** Reports denormal operands, which `denormal` of each operand told about. */
export function raiseDenormal(seen: bool): void {
  if (seen) raise(DENORMAL);
}
