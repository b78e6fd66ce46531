/**
 * F2XM1, FYL2X and FYL2XP1. Deterministic, in integers; see `series.ts` for the error. Special cases follow the tables
 * of Intel SDM 2; outside the documented range F2XM1 gives its operand back, and FYL2XP1 the mathematical value.
 */

import {
  product,
  resultExponent,
  resultHigh,
  resultLow,
  resultSign,
  setResult,
  setUnnormalized,
} from './number';
import { divideFractions, multiplyFractions, powerSeries, squareOf } from './series';
import { PRECISION, raise, stopped, UNDERFLOW, ZERO_DIVIDE } from './state';
import { INVERSE_FACTORIALS, INVERSE_ODDS, LN2, LOG2_E, tableHigh, tableLow } from './tables';
import {
  addWide,
  normalize,
  setWide,
  shiftRightSticky,
  subtractWide,
  TOP_BIT,
  wideHigh,
  wideLow,
} from './wide';
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
  sign,
  significand,
  unpack,
} from './x87-format';

/** F2XM1: 2^a - 1 for -1 <= a <= 1. */
export function f80PowerMinus1(destination: i32, a: i32): void {
  const kind = unpack(a);
  if (deliverNaN(destination, a, kind)) return;
  if (kind === INFINITY) {
    if (sign) deliver(destination, 1, BIAS, TOP_BIT);
    else deliverInfinity(destination, 0);
    return;
  }
  raiseDenormal(denormal);
  if (stopped()) return;
  if (significand === 0) {
    deliverCopy(destination, a);
    return;
  }
  if (exponent >= 0) {
    // Exact, or outside the range, but processors report precision here too.
    raise(PRECISION);
    if (exponent === 0 && significand === TOP_BIT) deliver(destination, sign, BIAS - sign, TOP_BIT);
    else deliverCopy(destination, a);
    return;
  }
  const aSign = sign;

  // With y = a · ln 2: e^y - 1 = y · (1 + y/2! + y²/3! + …).
  multiplyFractions(significand, 0, tableHigh(LN2, 0), tableLow(LN2, 0));
  const places = normalize(wideHigh, wideLow);
  const yHigh = wideHigh;
  const yLow = wideLow;
  const yExponent = exponent - places;
  shiftRightSticky(yHigh, yLow, -yExponent - 1);
  powerSeries(INVERSE_FACTORIALS, 1, 1, 28, aSign !== 0, wideHigh, wideLow);
  multiplyFractions(yHigh, yLow, wideHigh, wideLow);
  setUnnormalized(aSign, yExponent + 1, wideHigh, wideLow | 1);
  deliverResult(destination, 64);
}

/** FYL2X: y · log2(x). */
export function f80Logarithm(destination: i32, x: i32, y: i32): void {
  logarithm(destination, x, y, false);
}

/** FYL2XP1: y · log2(1 + x). */
export function f80LogarithmPlus1(destination: i32, x: i32, y: i32): void {
  logarithm(destination, x, y, true);
}

function logarithm(destination: i32, x: i32, y: i32, plusOne: bool): void {
  const yKind = unpack(y);
  const ySign = sign;
  const yExponent = exponent;
  const ySignificand = significand;
  const yDenormal = denormal;
  const xKind = unpack(x);
  if (deliverNaNs(destination, x, xKind, y, yKind)) return;
  const yZero = yKind === FINITE && ySignificand === 0;

  // The cases in which log2 is not a finite number other than zero.
  const xZero = xKind === FINITE && significand === 0;
  const unit = xKind === FINITE && exponent === 0 && significand === TOP_BIT;
  const atPole = plusOne ? unit && sign !== 0 : xZero;
  const below = plusOne ? sign !== 0 && !unit && (xKind === INFINITY || exponent >= 0) : sign !== 0 && !xZero;
  const nothing = plusOne ? xZero : unit && !sign;
  if (below) {
    deliverInvalid(destination);
    return;
  }
  if (xKind === INFINITY || atPole) {
    if (yZero) {
      deliverInvalid(destination);
      return;
    }
    if (atPole && yKind === FINITE) raise(ZERO_DIVIDE);
    else raiseDenormal(yDenormal || denormal);
    deliverInfinity(destination, ySign ^ u32(atPole));
    return;
  }
  if (nothing) {
    if (yKind === INFINITY) {
      deliverInvalid(destination);
      return;
    }
    raiseDenormal(yDenormal);
    deliverZero(destination, plusOne ? ySign ^ sign : ySign);
    return;
  }
  raiseDenormal(yDenormal || denormal);
  if (stopped()) return;
  const negative = plusOne ? sign : u32(exponent < 0);
  if (yKind === INFINITY) {
    deliverInfinity(destination, ySign ^ negative);
    return;
  }
  if (yZero) {
    deliverZero(destination, ySign ^ negative);
    return;
  }

  if (!plusOne && significand === TOP_BIT) {
    // A power of two: the product is exact, though processors report it as inexact all the same.
    raise(PRECISION);
    setUnnormalized(negative, 63, u64(exponent < 0 ? -exponent : exponent), 0);
    product(resultSign, resultExponent, resultHigh, ySign, yExponent, ySignificand);
    deliverResult(destination, 64);
    if ((resultHigh & TOP_BIT) === 0) raise(UNDERFLOW);
    return;
  }
  if (!plusOne) {
    logOf(exponent, significand, 0);
  } else if (exponent <= -3) {
    logNearOne();
  } else if (exponent >= 64) {
    logOf(exponent, significand, 1);
  } else {
    logOfOnePlus();
  }
  const logSign = resultSign;
  const logExponent = resultExponent;
  multiplyFractions(resultHigh, resultLow, ySignificand, 0);
  setUnnormalized(logSign ^ ySign, logExponent + yExponent + 1, wideHigh, wideLow | 1);
  deliverResult(destination, 64);
}

/** log2(1 + x) for the operand unpacked last, |x| between 1/4 and 2^64. */
function logOfOnePlus(): void {
  const high = significand;
  if (exponent >= 0) {
    shiftRightSticky(TOP_BIT, 0, exponent);
    if (addWide(high, 0, wideHigh, wideLow)) {
      shiftRightSticky(wideHigh, wideLow, 1);
      logOf(exponent + 1, wideHigh | TOP_BIT, wideLow);
      return;
    }
    logOf(exponent, wideHigh, wideLow);
    return;
  }
  shiftRightSticky(high, 0, -exponent);
  if (sign === 0) {
    logOf(0, wideHigh | TOP_BIT, wideLow);
    return;
  }
  subtractWide(TOP_BIT, 0, wideHigh, wideLow);
  const places = normalize(wideHigh, wideLow);
  logOf(-places, wideHigh, wideLow);
}

/** √2, scaled by 2^63: where a significand is nearer to the next power of two. */
const SQRT_2: u64 = (0xb504f333 as u64) << 32;

/**
 * log2 of (high, low) / 2^127 · 2^n, to the result of `number.ts`. With m between √½ and √2,
 * log2(m) = 2 / ln 2 · atanh((m - 1) / (m + 1)).
 */
function logOf(n: i32, high: u64, low: u64): void {
  const upper = high >= SQRT_2;
  // Scales: below √2, m by 2^127 and its denominator by 2^126; above, m / 2 by 2^128 and its denominator by 2^127.
  if (upper) subtractWide(0, 0, high, low);
  else subtractWide(high, low, TOP_BIT, 0);
  const whole = n + i32(upper);
  if ((wideHigh | wideLow) === 0) {
    setUnnormalized(u32(whole < 0), 63, u64(whole < 0 ? -whole : whole), 0);
    return;
  }
  const places = normalize(wideHigh, wideLow);
  shiftRightSticky(wideHigh, wideLow, 1);
  const numeratorHigh = wideHigh;
  const numeratorLow = wideLow;
  shiftRightSticky(high, low, 1);
  addWide(wideHigh, wideLow, upper ? TOP_BIT : TOP_BIT >> 1, 0);
  divideFractions(numeratorHigh, numeratorLow, wideHigh, wideLow);
  hyperbolic(-places);
  addWhole(whole, u32(upper));
}

/** log2(1 + x) for the operand unpacked last, |x| < 1/4: 2 / ln 2 · atanh(x / (2 + x)). */
function logNearOne(): void {
  const aSign = sign;
  shiftRightSticky(significand, 0, -exponent);
  if (aSign) {
    subtractWide(0, 0, wideHigh, wideLow);
  } else {
    shiftRightSticky(wideHigh, wideLow, 1);
    setWide(wideHigh | TOP_BIT, wideLow);
  }
  divideFractions(significand >> 1, significand << 63, wideHigh, wideLow);
  hyperbolic(exponent + i32(aSign));
  setResult(aSign, resultExponent, resultHigh, resultLow);
}

/** 2 / ln 2 · atanh(s) for s = wide / 2^128 · 2^scale, 0 < s < 0.18, to the result of `number.ts`. */
function hyperbolic(scale: i32): void {
  const places = normalize(wideHigh, wideLow);
  const high = wideHigh;
  const low = wideLow;
  const sExponent = scale - places - 1;
  squareOf(high, low, sExponent);
  powerSeries(INVERSE_ODDS, 0, 1, 22, false, wideHigh, wideLow);
  multiplyFractions(high, low, wideHigh, wideLow);
  multiplyFractions(wideHigh, wideLow, tableHigh(LOG2_E, 0), tableLow(LOG2_E, 0));
  setUnnormalized(0, sExponent + 3, wideHigh, wideLow);
}

/** Adds an integer of at most 15 bits to the result, a fraction of at most one half with this sign. */
function addWhole(whole: i32, fractionSign: u32): void {
  if (whole === 0) {
    setResult(fractionSign, resultExponent, resultHigh, resultLow);
    return;
  }
  const wholeSign = u32(whole < 0);
  const wholeHigh = u64(wholeSign ? -whole : whole) << 48;
  shiftRightSticky(resultHigh, resultLow, 15 - resultExponent);
  if (wholeSign === fractionSign) addWide(wholeHigh, 0, wideHigh, wideLow);
  else subtractWide(wholeHigh, 0, wideHigh, wideLow);
  setUnnormalized(wholeSign, 15, wideHigh, wideLow);
}
