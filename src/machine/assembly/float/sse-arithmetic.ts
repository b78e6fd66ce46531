/**
 * SSE arithmetic on scalars: add, subtract, multiply, divide, square root, minimum, maximum. Operands and results are raw
 * bits; the modes are those that `sseBegin` read, and exceptions wait for `sseCommit` (`sse-state.ts`).
 * Intel SDM 1, 4.8 and 11.5; SDM 2, ADDSS and so on.
 */

import { order, product, quotient, root, sum } from './number';
import {
  denormal,
  exponent,
  hideDenormal,
  INFINITY,
  infinityBits,
  invalid,
  isNan,
  pack,
  propagate,
  QUIET,
  raiseDenormal,
  sign,
  signBit,
  significand,
  unpack,
} from './sse-format';
import { denormalsAreZero, INVALID, raise, stopped, ZERO_DIVIDE } from './state';

/** What a compare gives when an operand is a NaN; the other answers are -1, 0 and 1. */
const UNORDERED = 2;

const ADD = 0;
const MULTIPLY = 1;
const DIVIDE = 2;

function binary<T>(operation: i32, a: T, b: T): T {
  const aKind = unpack<T>(a, denormalsAreZero);
  const aSign = sign;
  const aExponent = exponent;
  const aSignificand = significand;
  const aDenormal = denormal;
  const bKind = unpack<T>(b, denormalsAreZero);
  if (aKind >= QUIET || bKind >= QUIET) return propagate<T>(a, b);
  const seen = aDenormal || denormal;

  if (aKind === INFINITY || bKind === INFINITY) {
    const aZero = aKind !== INFINITY && aSignificand === 0;
    const bZero = bKind !== INFINITY && significand === 0;
    const both = aKind === bKind;
    const negative = ((aSign ^ sign) as T) << (sizeof<T>() * 8 - 1);
    if (operation === ADD) {
      if (both && aSign !== sign) return invalid<T>();
      raiseDenormal(seen);
      return aKind === INFINITY ? a : b;
    }
    if (operation === MULTIPLY) {
      if (aZero || bZero) return invalid<T>();
      raiseDenormal(seen);
      return (negative | infinityBits<T>()) as T;
    }
    if (both) return invalid<T>();
    raiseDenormal(seen);
    return (aKind === INFINITY ? negative | infinityBits<T>() : negative) as T;
  }

  if (operation === DIVIDE && significand === 0) {
    if (aSignificand === 0) return invalid<T>();
    raise(ZERO_DIVIDE);
    return ((((aSign ^ sign) as T) << (sizeof<T>() * 8 - 1)) | infinityBits<T>()) as T;
  }

  raiseDenormal(seen);
  if (stopped()) return a;
  if (operation === ADD) sum(aSign, aExponent, aSignificand, sign, exponent, significand);
  else if (operation === MULTIPLY) product(aSign, aExponent, aSignificand, sign, exponent, significand);
  else quotient(aSign, aExponent, aSignificand, sign, exponent, significand);
  return pack<T>();
}

/** a - b is a + (-b), except that a NaN keeps its sign. */
function subtract<T>(a: T, b: T): T {
  return isNan<T>(b) ? binary<T>(ADD, a, b) : binary<T>(ADD, a, (b ^ signBit<T>()) as T);
}

function squareRoot<T>(a: T): T {
  const kind = unpack<T>(a, denormalsAreZero);
  if (kind >= QUIET) return propagate<T>(a, a);
  if (kind !== INFINITY && significand === 0) return hideDenormal<T>(a);
  if (sign) return invalid<T>();
  if (kind === INFINITY) return a;
  raiseDenormal(denormal);
  if (stopped()) return a;
  root(exponent, significand);
  return pack<T>();
}

/** MINSS and MAXSS: b if either is a NaN or both are zero, and even a quiet NaN is invalid. */
function extreme<T>(a: T, b: T, wanted: i32): T {
  const which = ordered<T>(a, b, INVALID);
  return hideDenormal<T>(which === wanted ? a : b);
}

/** -1, 0, 1 or UNORDERED. `quietRaises` is INVALID if quiet NaNs raise it too, as they do for the ordered compares. */
function ordered<T>(a: T, b: T, quietRaises: u32): i32 {
  const aKind = unpack<T>(a, denormalsAreZero);
  const aSign = sign;
  const aExponent = aKind === INFINITY ? 0x10000 : exponent;
  const aSignificand = aKind === INFINITY ? 1 : significand;
  const aDenormal = denormal;
  const bKind = unpack<T>(b, denormalsAreZero);
  if (aKind >= QUIET || bKind >= QUIET) {
    raise(quietRaises);
    propagate<T>(a, b);
    return UNORDERED;
  }
  raiseDenormal(aDenormal || denormal);
  const bExponent = bKind === INFINITY ? 0x10000 : exponent;
  const bSignificand = bKind === INFINITY ? 1 : significand;
  return order(aSign, aExponent, aSignificand, sign, bExponent, bSignificand);
}

/** The 8 predicates of the SSE immediate (SDM 2, CMPPS, table 3-1). All ones or zero. */
function predicate<T>(a: T, b: T, which: u32): T {
  const kind = which & 3;
  const relation = ordered<T>(a, b, kind === 1 || kind === 2 ? INVALID : 0);
  let holds = relation === UNORDERED;
  if (kind === 0) holds = relation === 0;
  else if (kind === 1) holds = relation === -1;
  else if (kind === 2) holds = relation === -1 || relation === 0;
  return (holds === ((which & 4) === 0) ? ~(0 as T) : 0) as T;
}

export function f32Add(a: u32, b: u32): u32 {
  return binary<u32>(ADD, a, b);
}
export function f32Subtract(a: u32, b: u32): u32 {
  return subtract<u32>(a, b);
}
export function f32Multiply(a: u32, b: u32): u32 {
  return binary<u32>(MULTIPLY, a, b);
}
export function f32Divide(a: u32, b: u32): u32 {
  return binary<u32>(DIVIDE, a, b);
}
export function f32Sqrt(a: u32): u32 {
  return squareRoot<u32>(a);
}
/** MINSS destination = a, source = b. */
export function f32Min(a: u32, b: u32): u32 {
  return extreme<u32>(a, b, -1);
}
export function f32Max(a: u32, b: u32): u32 {
  return extreme<u32>(a, b, 1);
}
/** COMISS: -1 less, 0 equal, 1 greater, 2 unordered; any NaN is invalid. */
export function f32Compare(a: u32, b: u32): i32 {
  return ordered<u32>(a, b, INVALID);
}
/** UCOMISS: as `f32Compare`, but only a signaling NaN is invalid. */
export function f32CompareQuiet(a: u32, b: u32): i32 {
  return ordered<u32>(a, b, 0);
}
/** CMPSS with predicate 0 … 7: all ones or zero. */
export function f32Predicate(a: u32, b: u32, which: u32): u32 {
  return predicate<u32>(a, b, which);
}

export function f64Add(a: u64, b: u64): u64 {
  return binary<u64>(ADD, a, b);
}
export function f64Subtract(a: u64, b: u64): u64 {
  return subtract<u64>(a, b);
}
export function f64Multiply(a: u64, b: u64): u64 {
  return binary<u64>(MULTIPLY, a, b);
}
export function f64Divide(a: u64, b: u64): u64 {
  return binary<u64>(DIVIDE, a, b);
}
export function f64Sqrt(a: u64): u64 {
  return squareRoot<u64>(a);
}
/** MINSD destination = a, source = b. */
export function f64Min(a: u64, b: u64): u64 {
  return extreme<u64>(a, b, -1);
}
export function f64Max(a: u64, b: u64): u64 {
  return extreme<u64>(a, b, 1);
}
/** COMISD: -1 less, 0 equal, 1 greater, 2 unordered; any NaN is invalid. */
export function f64Compare(a: u64, b: u64): i32 {
  return ordered<u64>(a, b, INVALID);
}
/** UCOMISD: as `f64Compare`, but only a signaling NaN is invalid. */
export function f64CompareQuiet(a: u64, b: u64): i32 {
  return ordered<u64>(a, b, 0);
}
/** CMPSD with predicate 0 … 7: all ones or zero. */
export function f64Predicate(a: u64, b: u64, which: u32): u64 {
  return predicate<u64>(a, b, which);
}
