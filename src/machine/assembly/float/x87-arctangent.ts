/**
 * FPATAN, by a table of 16 arc tangents and a short series; see `series.ts` for the error. Special cases follow the table of
 * Intel SDM 2, FPATAN.
 */

import { resultExponent, resultHigh, resultLow, setResult, setUnnormalized } from './number';
import { divideFractions, justBelow, multiplyFractions, powerSeries, squareOf } from './series';
import { stopped } from './state';
import { ARC_TANGENTS, INVERSE_ODDS, PI, tableHigh, tableLow } from './tables';
import {
  addWide,
  divide,
  multiply,
  normalize,
  setWide,
  shiftRightSticky,
  subtractWide,
  TOP_BIT,
  wideHigh,
  wideLow,
} from './wide';
import {
  deliverNaNs,
  deliverResult,
  deliverZero,
  denormal,
  exponent,
  INFINITY,
  raiseDenormal,
  sign,
  significand,
  unpack,
} from './x87-format';

/** Beyond every finite exponent. */
const INFINITE_EXPONENT = 0x10000;

/** FPATAN: the angle of the point (x, y), between -π and π. */
export function f80ArcTangent(destination: i32, x: i32, y: i32): void {
  const yKind = unpack(y);
  const ySign = sign;
  const yExponent = yKind === INFINITY ? INFINITE_EXPONENT : exponent;
  const ySignificand = yKind === INFINITY ? TOP_BIT : significand;
  const yDenormal = denormal;
  const xKind = unpack(x);
  const xSign = sign;
  const xExponent = xKind === INFINITY ? INFINITE_EXPONENT : exponent;
  const xSignificand = xKind === INFINITY ? TOP_BIT : significand;
  if (deliverNaNs(destination, x, xKind, y, yKind)) return;
  raiseDenormal(yDenormal || denormal);
  if (stopped()) return;

  const yNothing = ySignificand === 0 || (xKind === INFINITY && yKind !== INFINITY);
  const xNothing = xSignificand === 0 || (yKind === INFINITY && xKind !== INFINITY);
  if (yNothing) {
    if (!xSign) {
      deliverZero(destination, ySign);
      return;
    }
    setWide(0, 0);
    deliverAngle(destination, ySign, false, true);
    return;
  }
  if (xNothing) {
    setWide(0, 0);
    deliverAngle(destination, ySign, true, false);
    return;
  }
  const steep = yExponent > xExponent || (yExponent === xExponent && ySignificand > xSignificand);
  const distance = steep ? yExponent - xExponent : xExponent - yExponent;
  const small = steep ? xSignificand : ySignificand;
  const large = steep ? ySignificand : xSignificand;
  const straight = !steep && !xSign;
  arcTangent(small, large, distance, straight);
  if (straight) {
    setResult(ySign, resultExponent, resultHigh, resultLow);
    deliverResult(destination, 64);
    return;
  }
  deliverAngle(destination, ySign, steep, xSign !== 0);
}

/** The angle wide / 2^126, mirrored into its octant: (π/2 - it) if steep, then (π - that) if backwards. */
function deliverAngle(destination: i32, signBit: u32, steep: bool, backwards: bool): void {
  const piHigh = tableHigh(PI, 0);
  const piLow = tableLow(PI, 0);
  if (steep) {
    subtractWide(piHigh >> 1, (piHigh << 63) | (piLow >> 1), wideHigh, wideLow);
  }
  if (backwards) subtractWide(piHigh, piLow, wideHigh, wideLow);
  setUnnormalized(signBit, 1, wideHigh, wideLow | 1);
  deliverResult(destination, 64);
}

/**
 * atan(t) for t = a / b · 2^-distance <= 1. With c = k / 16 nearest t: atan(t) = atan(c) + atan((t - c) / (1 + t·c)), whose
 * argument is at most 1/32. In `wide`, scaled by 2^126, or if `floating`, for its small values, as the result of `number.ts`.
 */
function arcTangent(a: u64, b: u64, distance: i32, floating: bool): void {
  let k: i32 = 0;
  let below = false;
  let scale: i32 = -distance;
  if (distance > 5) {
    // t < 1/32: no table value is nearer than 0.
    divideFractions(a >> 1, a << 63, b, 0);
    scale++;
  } else {
    // 32·t rounded down, then halved upwards. a / 2 is below b, which has its top bit set.
    const thirtyseconds = divide(a >> 1, a << 63, b) >> (58 + distance);
    k = i32(thirtyseconds + 1) >> 1;
    // (16·a - k·b·2^distance) / (16·b·2^distance + k·a)
    multiply(b, u64(k) << distance);
    const cHigh = wideHigh;
    const cLow = wideLow;
    below = a >> 60 < cHigh || (a >> 60 === cHigh && a << 4 < cLow);
    if (below) subtractWide(cHigh, cLow, a >> 60, a << 4);
    else subtractWide(a >> 60, a << 4, cHigh, cLow);
    const nHigh = wideHigh;
    const nLow = wideLow;
    multiply(b, (16 as u64) << distance);
    const dHigh = wideHigh;
    const dLow = wideLow;
    multiply(a, u64(k));
    addWide(dHigh, dLow, wideHigh, wideLow);
    const dPlaces = normalize(wideHigh, wideLow);
    const denominatorHigh = wideHigh;
    const denominatorLow = wideLow;
    if ((nHigh | nLow) === 0) {
      setWide(0, 0);
      scale = 0;
    } else {
      const nPlaces = normalize(nHigh, nLow);
      shiftRightSticky(wideHigh, wideLow, 1);
      divideFractions(wideHigh, wideLow, denominatorHigh, denominatorLow);
      scale = dPlaces - nPlaces + 1;
    }
  }
  smallArcTangent(scale);
  if (k === 0 && floating) return;
  // The result is high / 2^127 · 2^exponent; the table is scaled by 2^126.
  shiftRightSticky(resultHigh, resultLow, 1 - resultExponent);
  const high = wideHigh;
  const low = wideLow;
  if (below) subtractWide(tableHigh(ARC_TANGENTS, k), tableLow(ARC_TANGENTS, k), high, low);
  else addWide(tableHigh(ARC_TANGENTS, k), tableLow(ARC_TANGENTS, k), high, low);
  if (floating) setUnnormalized(0, 1, wideHigh, wideLow | 1);
}

/** atan(s) for s = wide / 2^128 · 2^scale at most 1/32, to the result of `number.ts`. */
function smallArcTangent(scale: i32): void {
  if ((wideHigh | wideLow) === 0) {
    setResult(0, 0, 0, 0);
    return;
  }
  const places = normalize(wideHigh, wideLow);
  const high = wideHigh;
  const low = wideLow;
  const sExponent = scale - places - 1;
  squareOf(high, low, sExponent);
  powerSeries(INVERSE_ODDS, 0, 1, 13, true, wideHigh, wideLow);
  justBelow();
  multiplyFractions(high, low, wideHigh, wideLow);
  setUnnormalized(0, sExponent + 1, wideHigh, wideLow | 1);
}
