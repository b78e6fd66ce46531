/**
 * Arithmetic on unpacked finite numbers, for every format at once.
 *
 * An operand is a sign (0 or 1), an exponent and a 64-bit significand whose top bit is set: ± significand / 2^63 ·
 * 2^exponent. Zero has significand 0. A result, before rounding, is the same with a 128-bit significand, in the module's
 * `result…` variables; bit 0 also stands for all that lies below it. `round.ts` makes a number of some format of it.
 */

import { DOWN, rounding } from './state';
import {
  addWide,
  divide,
  lessWide,
  multiply,
  normalize,
  shiftRightSticky,
  squareRoot,
  subtractWide,
  TOP_BIT,
  wideHigh,
  wideLow,
} from './wide';

export let resultSign: u32 = 0;
export let resultExponent: i32 = 0;
export let resultHigh: u64 = 0;
export let resultLow: u64 = 0;

export function setResult(sign: u32, exponent: i32, high: u64, low: u64): void {
  resultSign = sign;
  resultExponent = exponent;
  resultHigh = high;
  resultLow = low;
}

/** As `setResult`, for a 128-bit significand in any position. */
export function setUnnormalized(sign: u32, exponent: i32, high: u64, low: u64): void {
  if ((high | low) === 0) {
    setResult(sign, 0, 0, 0);
    return;
  }
  const places = normalize(high, low);
  setResult(sign, exponent - places, wideHigh, wideLow);
}

/** a + b. An exact zero from nonzero or unlike operands is -0 when rounding down, else +0. */
export function sum(aSign: u32, aExponent: i32, a: u64, bSign: u32, bExponent: i32, b: u64): void {
  if (a === 0 && b === 0) {
    setResult(aSign === bSign ? aSign : u32(rounding === DOWN), 0, 0, 0);
  } else if (b === 0) {
    setResult(aSign, aExponent, a, 0);
  } else if (a === 0) {
    setResult(bSign, bExponent, b, 0);
  } else if (aExponent < bExponent || (aExponent === bExponent && a < b)) {
    sumOrdered(bSign, bExponent, b, aSign, aExponent, a);
  } else {
    sumOrdered(aSign, aExponent, a, bSign, bExponent, b);
  }
}

/** As `sum`, with |a| >= |b| > 0. */
function sumOrdered(aSign: u32, aExponent: i32, a: u64, bSign: u32, bExponent: i32, b: u64): void {
  shiftRightSticky(b, 0, aExponent - bExponent);
  if (aSign === bSign) {
    if (!addWide(a, 0, wideHigh, wideLow)) {
      setResult(aSign, aExponent, wideHigh, wideLow);
      return;
    }
    shiftRightSticky(wideHigh, wideLow, 1);
    setResult(aSign, aExponent + 1, wideHigh | TOP_BIT, wideLow);
    return;
  }
  subtractWide(a, 0, wideHigh, wideLow);
  const exactZero = (wideHigh | wideLow) === 0;
  setUnnormalized(exactZero ? u32(rounding === DOWN) : aSign, aExponent, wideHigh, wideLow);
}

export function product(aSign: u32, aExponent: i32, a: u64, bSign: u32, bExponent: i32, b: u64): void {
  multiply(a, b);
  setUnnormalized(aSign ^ bSign, aExponent + bExponent + 1, wideHigh, wideLow);
}

/** a / b for nonzero b. */
export function quotient(aSign: u32, aExponent: i32, a: u64, bSign: u32, bExponent: i32, b: u64): void {
  const sign = aSign ^ bSign;
  if (a === 0) {
    setResult(sign, 0, 0, 0);
    return;
  }
  const smaller = a < b;
  const digits = smaller ? divide(a, 0, b) : divide(a >> 1, a << 63, b);
  // One more bit of quotient and a sticky one are all that rounding to 64 bits can ask for.
  const remainder = wideLow;
  const half = remainder >= b - remainder;
  const rest = half ? remainder - (b - remainder) : remainder;
  const low = (u64(half) << 63) | u64(rest !== 0);
  setResult(sign, aExponent - bExponent - i32(smaller), digits, low);
}

/** The square root of a number that is not negative. */
export function root(exponent: i32, significand: u64): void {
  if (significand === 0) {
    setResult(0, 0, 0, 0);
    return;
  }
  const odd = (exponent & 1) !== 0;
  const digits = odd ? squareRoot(significand, 0) : squareRoot(significand >> 1, significand << 63);
  // The remainder exceeds the root exactly when the next bit of the root is 1; a root never ends in just that bit.
  const half = lessWide(0, digits, wideHigh, wideLow);
  setResult(0, exponent >> 1, digits, (u64(half) << 63) | u64((wideHigh | wideLow) !== 0));
}

/** Orders finite numbers: -1, 0 or 1. Zeros of both signs are equal. */
export function order(aSign: u32, aExponent: i32, a: u64, bSign: u32, bExponent: i32, b: u64): i32 {
  if (a === 0 && b === 0) return 0;
  if (a === 0) return bSign ? 1 : -1;
  if (b === 0 || aSign !== bSign) return aSign ? -1 : 1;
  if (aExponent === bExponent && a === b) return 0;
  const smaller = aExponent < bExponent || (aExponent === bExponent && a < b);
  return smaller === (aSign !== 0) ? 1 : -1;
}
