/**
 * x87 arithmetic on slots in memory: add, subtract, multiply, divide, square root, compare, under the precision and
 * rounding control. The destination may be an operand; it is left alone when an unmasked exception prevents the
 * instruction (`x87-state.ts`). Intel SDM 1, 8.3 and 8.5; SDM 2, FADD and so on.
 */

import { order, product, quotient, root, sum } from './number';
import { DENORMAL, INVALID, raise, retract, stopped, ZERO_DIVIDE } from './state';
import {
  deliverCopy,
  deliverInfinity,
  deliverInvalid,
  deliverNaN,
  deliverNaNs,
  deliverResult,
  deliverZero,
  denormal,
  exponent,
  FINITE,
  INFINITY,
  QUIET,
  raiseDenormal,
  SIGNALING,
  sign,
  significand,
  unpack,
} from './x87-format';
import { precision } from './x87-mode';

/** What a compare gives when an operand is a NaN; the other answers are -1, 0 and 1. */
const UNORDERED = 2;

/** a + b, or a - b with `negate` 1. */
function add(destination: i32, a: i32, b: i32, negate: u32): void {
  const aKind = unpack(a);
  const aSign = sign;
  const aExponent = exponent;
  const aSignificand = significand;
  const aDenormal = denormal;
  const bKind = unpack(b);
  const bSign = sign ^ negate;
  if (deliverNaNs(destination, a, aKind, b, bKind)) return;
  if (aKind === INFINITY && bKind === INFINITY && aSign !== bSign) {
    deliverInvalid(destination);
    return;
  }
  raiseDenormal(aDenormal || denormal);
  if (stopped()) return;
  if (aKind === INFINITY) {
    deliverInfinity(destination, aSign);
    return;
  }
  if (bKind === INFINITY) {
    deliverInfinity(destination, bSign);
    return;
  }
  sum(aSign, aExponent, aSignificand, bSign, exponent, significand);
  deliverResult(destination, precision);
}

export function f80Add(destination: i32, a: i32, b: i32): void {
  add(destination, a, b, 0);
}

/** a - b. */
export function f80Subtract(destination: i32, a: i32, b: i32): void {
  add(destination, a, b, 1);
}

export function f80Multiply(destination: i32, a: i32, b: i32): void {
  const aKind = unpack(a);
  const aSign = sign;
  const aExponent = exponent;
  const aSignificand = significand;
  const aDenormal = denormal;
  const bKind = unpack(b);
  if (deliverNaNs(destination, a, aKind, b, bKind)) return;
  if (aKind === INFINITY || bKind === INFINITY) {
    const zero = (aKind === FINITE && aSignificand === 0) || (bKind === FINITE && significand === 0);
    if (zero) {
      deliverInvalid(destination);
      return;
    }
    raiseDenormal(aDenormal || denormal);
    deliverInfinity(destination, aSign ^ sign);
    return;
  }
  raiseDenormal(aDenormal || denormal);
  if (stopped()) return;
  product(aSign, aExponent, aSignificand, sign, exponent, significand);
  deliverResult(destination, precision);
}

/** a / b. */
export function f80Divide(destination: i32, a: i32, b: i32): void {
  const aKind = unpack(a);
  const aSign = sign;
  const aExponent = exponent;
  const aSignificand = significand;
  const aDenormal = denormal;
  const bKind = unpack(b);
  const negative = aSign ^ sign;
  if (deliverNaNs(destination, a, aKind, b, bKind)) return;
  if (aKind === INFINITY || bKind === INFINITY) {
    if (aKind === bKind) {
      deliverInvalid(destination);
      return;
    }
    raiseDenormal(aDenormal || denormal);
    if (aKind === INFINITY) deliverInfinity(destination, negative);
    else deliverZero(destination, negative);
    return;
  }
  if (significand === 0) {
    if (aSignificand === 0) {
      deliverInvalid(destination);
      return;
    }
    retract(DENORMAL);
    raise(ZERO_DIVIDE);
    deliverInfinity(destination, negative);
    return;
  }
  raiseDenormal(aDenormal || denormal);
  if (stopped()) return;
  quotient(aSign, aExponent, aSignificand, sign, exponent, significand);
  deliverResult(destination, precision);
}

export function f80Sqrt(destination: i32, a: i32): void {
  const kind = unpack(a);
  if (deliverNaN(destination, a, kind)) return;
  if (kind === FINITE && significand === 0) {
    deliverCopy(destination, a);
    return;
  }
  if (sign) {
    deliverInvalid(destination);
    return;
  }
  if (kind === INFINITY) {
    deliverCopy(destination, a);
    return;
  }
  raiseDenormal(denormal);
  if (stopped()) return;
  root(exponent, significand);
  deliverResult(destination, precision);
}

function compare(a: i32, b: i32, quietRaises: u32): i32 {
  const aKind = unpack(a);
  const aSign = sign;
  const aExponent = aKind === INFINITY ? 0x10000 : exponent;
  const aSignificand = significand;
  const aDenormal = denormal;
  const bKind = unpack(b);
  if (aKind >= QUIET || bKind >= QUIET) {
    retract(DENORMAL);
    raise(aKind >= SIGNALING || bKind >= SIGNALING ? INVALID : quietRaises);
    return UNORDERED;
  }
  raiseDenormal(aDenormal || denormal);
  const bExponent = bKind === INFINITY ? 0x10000 : exponent;
  return order(aSign, aExponent, aSignificand, sign, bExponent, significand);
}

/** FCOM, FCOMI: -1 less, 0 equal, 1 greater, 2 unordered; any NaN is invalid. */
export function f80Compare(a: i32, b: i32): i32 {
  return compare(a, b, INVALID);
}

/** FUCOM, FUCOMI: as `f80Compare`, but quiet NaNs are not invalid. */
export function f80CompareQuiet(a: i32, b: i32): i32 {
  return compare(a, b, 0);
}
