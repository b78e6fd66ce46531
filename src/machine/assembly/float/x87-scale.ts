/**
 * The x87 instructions that work on the parts of a number: FRNDINT, FSCALE, FXTRACT, FPREM, FPREM1, FXAM.
 * Intel SDM 2, under those names.
 */

import { setResult, setUnnormalized } from './number';
import { PRECISION, raise, setRoundedUp, stopped, ZERO_DIVIDE } from './state';
import { divide, setWide, wideHigh, wideLow } from './wide';
import {
  BIAS,
  deliver,
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
  raiseDenormal,
  roundToWhole,
  sign,
  significand,
  UNSUPPORTED,
  unpack,
} from './x87-format';
import { C0, C2, C3, setConditions } from './x87-mode';

/** FRNDINT. */
export function f80Round(destination: i32, a: i32): void {
  const kind = unpack(a);
  if (deliverNaN(destination, a, kind)) return;
  if (kind === INFINITY || significand === 0 || exponent >= 63) {
    deliverCopy(destination, a);
    return;
  }
  raiseDenormal(denormal);
  if (stopped()) return;
  roundToWhole();
  if (wideLow !== 0) raise(PRECISION);
  deliverWhole(destination, sign, wideHigh);
}

function deliverWhole(destination: i32, signBit: u32, magnitude: u64): void {
  if (magnitude === 0) {
    deliverZero(destination, signBit);
    return;
  }
  const places = i32(clz(magnitude));
  deliver(destination, signBit, BIAS + 63 - places, magnitude << places);
}

/** No exponent is further from another than this. */
const FAR = 0x10000;

/** FSCALE: a · 2^n, n the whole part of b. */
export function f80Scale(destination: i32, a: i32, b: i32): void {
  const bKind = unpack(b);
  const bSign = sign;
  const bDenormal = denormal;
  const bZero = bKind === FINITE && significand === 0;
  let places = 0;
  if (bKind === FINITE && !bZero && exponent >= 0) {
    places = exponent >= 16 ? FAR : i32(significand >> (63 - exponent));
    if (bSign) places = -places;
  }
  const aKind = unpack(a);
  if (deliverNaNs(destination, a, aKind, b, bKind)) return;
  const aZero = aKind === FINITE && significand === 0;
  if (bKind === INFINITY && (bSign ? aKind === INFINITY : aZero)) {
    deliverInvalid(destination);
    return;
  }
  raiseDenormal(denormal || bDenormal);
  if (stopped()) return;
  if (aKind === INFINITY || aZero) {
    deliverCopy(destination, a);
    return;
  }
  if (bKind === INFINITY) {
    if (bSign) deliverZero(destination, sign);
    else deliverInfinity(destination, sign);
    return;
  }
  setResult(sign, exponent + places, significand, 0);
  deliverResult(destination, 64);
}

/** FXTRACT: the exponent as a number to `high`, what ST0 was; the significand to `low`, the new top. */
export function f80Extract(high: i32, low: i32, a: i32): void {
  const kind = unpack(a);
  const aSign = sign;
  if (kind === INFINITY) {
    deliverInfinity(low, aSign);
    deliverInfinity(high, 0);
    return;
  }
  if (kind === FINITE && significand === 0) {
    raise(ZERO_DIVIDE);
    deliverZero(low, aSign);
    deliverInfinity(high, 1);
    return;
  }
  if (kind !== FINITE) {
    deliverNaN(low, a, kind);
    deliverCopy(high, low);
    return;
  }
  raiseDenormal(denormal);
  deliver(low, aSign, BIAS, significand);
  deliverWhole(high, u32(exponent < 0), u64(exponent < 0 ? -exponent : exponent));
}

/** FPREM: a - b · (quotient towards zero); see `remainder`. */
export function f80Remainder(destination: i32, a: i32, b: i32): void {
  remainder(destination, a, b, false);
}

/** FPREM1: a - b · (quotient to nearest); see `remainder`. */
export function f80RemainderNearest(destination: i32, a: i32, b: i32): void {
  remainder(destination, a, b, true);
}

/**
 * The remainder and the low bits of the quotient in C0, C3, C1, or, when the exponents are 64 or more apart, a
 * partial remainder with C2 set.
 */
function remainder(destination: i32, a: i32, b: i32, nearest: bool): void {
  const aKind = unpack(a);
  let aSign = sign;
  const aExponent = exponent;
  const aSignificand = significand;
  const aDenormal = denormal;
  const bKind = unpack(b);
  // An invalid operation leaves the quotient's bits as they were.
  setConditions(C2, 0);
  if (deliverNaNs(destination, a, aKind, b, bKind)) return;
  if (aKind === INFINITY || (bKind === FINITE && significand === 0)) {
    deliverInvalid(destination);
    return;
  }
  raiseDenormal(aDenormal || denormal);
  if (stopped()) return;
  if (aSignificand === 0) {
    setConditions(C0 | C2 | C3, 0);
    deliverCopy(destination, a);
    return;
  }

  // An infinite divisor is as good as one far too large.
  const distance = bKind === INFINITY ? -FAR : aExponent - exponent;
  if (distance >= 64) {
    const step = partialStep(distance);
    divideShifted(aSignificand, step, significand);
    setUnnormalized(aSign, exponent + distance - step, wideLow, 0);
    setConditions(C0 | C2 | C3, C2);
    deliverResult(destination, 64);
    return;
  }

  let quotient: u64 = 0;
  let rest = aSignificand;
  let restExponent = aExponent;
  if (distance >= 0) {
    quotient = divideShifted(aSignificand, distance, significand);
    rest = wideLow;
    restExponent = exponent;
  }
  if (nearest && distance >= -1) {
    // Twice the rest against b: at distance -1 `rest` counts half units already.
    const other = distance < 0 ? (significand << 1) - rest : significand - rest;
    const compared = distance < 0 ? significand : other;
    if (rest > compared || (rest === compared && (quotient & 1) !== 0)) {
      rest = other;
      aSign ^= 1;
      quotient++;
    }
  }
  if (rest === 0) deliverZero(destination, aSign);
  else {
    setUnnormalized(aSign, restExponent, rest, 0);
    deliverResult(destination, 64);
  }
  setRoundedUp((quotient & 1) !== 0);
  setConditions(C0 | C2 | C3, ((quotient & 4) !== 0 ? C0 : 0) | ((quotient & 2) !== 0 ? C3 : 0));
}

/** How many quotient bits a partial remainder takes off; the manual leaves 32 to 63 to the processor. */
function partialStep(distance: i32): i32 {
  return (distance & 31) | 32;
}

/** (a · 2^places) / b for 0 <= places < 64: the quotient, with the remainder in `wideLow`. */
function divideShifted(a: u64, places: i32, b: u64): u64 {
  if (places !== 0) return divide(a >> (64 - places), a << places, b);
  const whole = a >= b;
  setWide(0, whole ? a - b : a);
  return u64(whole);
}

/** FXAM: C3, C2, C0 by class and C1 by sign, set at the commit. An empty register is the caller's to see. */
export function f80Examine(a: i32): void {
  const kind = unpack(a);
  setRoundedUp(sign !== 0);
  let codes: u32 = C0;
  if (kind === UNSUPPORTED) codes = 0;
  else if (kind === INFINITY) codes = C2 | C0;
  else if (kind === FINITE) codes = denormal ? C3 | C2 : significand === 0 ? C3 : C2;
  setConditions(C3 | C2 | C0, codes);
}
