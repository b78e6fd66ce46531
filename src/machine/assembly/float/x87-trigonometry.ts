/**
 * FSIN, FCOS, FSINCOS and FPTAN. Deterministic, in integers; see `series.ts` for the error.
 *
 * Arguments below 2^63 are reduced by the true π (256 bits of 2 / π), not by the 66-bit π of Intel's processors: the result is
 * that of the mathematical function everywhere, which the manual's own error bound leaves open (SDM 1, 8.3.8).
 */

import { resultExponent, resultHigh, resultLow, setResult, setUnnormalized } from './number';
import { divideFractions, justBelow, multiplyFractions, powerSeries, squareOf } from './series';
import { stopped } from './state';
import { INVERSE_FACTORIALS, INVERSE_ODDS, PI, TWO_OVER_PI, tableHigh, tableLow } from './tables';
import { addWide, multiply, normalize, shiftRightSticky, TOP_BIT, wideHigh, wideLow } from './wide';
import {
  BIAS,
  deliver,
  deliverCopy,
  deliverInvalid,
  deliverNaN,
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
import { C2, setConditions } from './x87-mode';

/** The reduced argument: |x| = quarters · π/2 + angle, the angle signed and at most π/4, as a 128-bit number. */
let argumentSign: u32 = 0;
let angleSign: u32 = 0;
let angleExponent: i32 = 0;
let angleHigh: u64 = 0;
let angleLow: u64 = 0;
let quarters: u32 = 0;

/** The last operand was 2^63 or more. */
let outOfRange: bool = false;

/** π/4, scaled by 2^64: the significand up to which an argument of exponent -1 needs no reduction. */
const QUARTER_PI: u64 = ((0xc90fdaa2 as u64) << 32) | 0x2168c234;

/** Reduces the operand unpacked last, 0 < |x| < 2^63. */
function reduce(): void {
  argumentSign = sign;
  angleSign = 0;
  angleExponent = exponent;
  angleHigh = significand;
  angleLow = 0;
  quarters = 0;
  if (exponent < -1 || (exponent === -1 && significand <= QUARTER_PI)) return;

  // x · 2/π = p · 2^(exponent + 1 - 320), p five words; the words below the first four only carry.
  multiply(significand, load<u64>(TWO_OVER_PI));
  const _p0 = wideLow;
  let carry = wideHigh;
  multiply(significand, load<u64>(TWO_OVER_PI, 8));
  addWide(wideHigh, wideLow, 0, carry);
  const p1 = wideLow;
  carry = wideHigh;
  multiply(significand, load<u64>(TWO_OVER_PI, 16));
  addWide(wideHigh, wideLow, 0, carry);
  const p2 = wideLow;
  carry = wideHigh;
  multiply(significand, load<u64>(TWO_OVER_PI, 24));
  addWide(wideHigh, wideLow, 0, carry);
  const p3 = wideLow;
  const p4 = wideHigh;

  const up = exponent + 1;
  let turns: u64 = 0;
  let f0 = p4;
  let f1 = p3;
  let f2 = p2;
  if (up > 0) {
    turns = p4 >> (64 - up);
    f0 = (p4 << up) | (p3 >> (64 - up));
    f1 = (p3 << up) | (p2 >> (64 - up));
    f2 = (p2 << up) | (p1 >> (64 - up));
  }
  if (f0 >> 63 !== 0) {
    // Nearer to the next quarter turn: 1 - fraction, short of a unit far below what counts.
    f0 = ~f0;
    f1 = ~f1;
    f2 = ~f2;
    turns++;
    angleSign = 1;
  }
  quarters = u32(turns) & 3;
  // The fraction is never so small that fewer than 128 good bits follow its leading zeros.
  let places = 0;
  if (f0 === 0) {
    f0 = f1;
    f1 = f2;
    f2 = 0;
    places = 64;
  }
  const more = i32(clz(f0));
  if (more !== 0) {
    f0 = (f0 << more) | (f1 >> (64 - more));
    f1 = (f1 << more) | (f2 >> (64 - more));
  }
  multiplyFractions(f0, f1, tableHigh(PI, 0), tableLow(PI, 0));
  const shift = normalize(wideHigh, wideLow);
  angleHigh = wideHigh;
  angleLow = wideLow;
  // fraction / 2^128 · 2^-places · (π/2 = PI / 2^127): the product is scaled by 2^127.
  angleExponent = -places - more - shift;
}

/** The sine of the reduced angle, unsigned, to the result of `number.ts`. */
function sine(): void {
  squareOf(angleHigh, angleLow, angleExponent);
  powerSeries(INVERSE_FACTORIALS, 1, 2, 14, true, wideHigh, wideLow);
  justBelow();
  multiplyFractions(angleHigh, angleLow, wideHigh, wideLow);
  setUnnormalized(0, angleExponent + 1, wideHigh, wideLow | 1);
}

/** The cosine of the reduced angle. */
function cosine(): void {
  squareOf(angleHigh, angleLow, angleExponent);
  powerSeries(INVERSE_FACTORIALS, 0, 2, 15, true, wideHigh, wideLow);
  justBelow();
  setUnnormalized(0, 0, wideHigh, wideLow | 1);
}

/** The tangent of the reduced angle, or its cotangent. */
function tangent(inverse: bool): void {
  if (angleExponent < -32 && !inverse) {
    // r · (1 + r²/3): the next term is below 2^-128, and a quotient could not show that the tangent exceeds r.
    squareOf(angleHigh, angleLow, angleExponent);
    multiplyFractions(wideHigh, wideLow, tableHigh(INVERSE_ODDS, 1), tableLow(INVERSE_ODDS, 1));
    addWide(TOP_BIT, 1, wideHigh, wideLow);
    multiplyFractions(angleHigh, angleLow, wideHigh, wideLow);
    setUnnormalized(0, angleExponent + 1, wideHigh, wideLow | 1);
    return;
  }
  sine();
  const sineExponent = resultExponent;
  const sineHigh = resultHigh;
  const sineLow = resultLow;
  cosine();
  const difference = inverse ? resultExponent - sineExponent : sineExponent - resultExponent;
  if (inverse) {
    shiftRightSticky(resultHigh, resultLow, 1);
    divideFractions(wideHigh, wideLow, sineHigh, sineLow);
  } else {
    shiftRightSticky(sineHigh, sineLow, 1);
    divideFractions(wideHigh, wideLow, resultHigh, resultLow);
  }
  // (n / 2) / d is at most 1, so the quotient's unit is worth twice 2^-128.
  setUnnormalized(0, difference, wideHigh, wideLow | 1);
}

/** What FSIN and its kin do alike before computing: false if there is nothing to compute. */
function begins(destination: i32, a: i32, second: i32): bool {
  const kind = unpack(a);
  setConditions(C2, 0);
  outOfRange = false;
  if (deliverNaN(destination, a, kind) || kind === INFINITY) {
    if (kind === INFINITY) deliverInvalid(destination);
    if (second !== 0) deliverCopy(second, destination);
    return false;
  }
  if (exponent >= 63) {
    outOfRange = true;
    setConditions(C2, C2);
    return false;
  }
  raiseDenormal(denormal);
  return !stopped();
}

function deliverSigned(destination: i32, signBit: u32): void {
  setResult(signBit, resultExponent, resultHigh, resultLow);
  deliverResult(destination, 64);
}

/** With |x| = quarters · π/2 + angle, the signs follow from sin x = sign · sin |x| and cos x = cos |x|. */
function deliverSine(destination: i32): void {
  const odd = (quarters & 1) !== 0;
  if (odd) cosine();
  else sine();
  deliverSigned(destination, argumentSign ^ (odd ? 0 : angleSign) ^ (quarters >> 1));
}

function deliverCosine(destination: i32): void {
  const odd = (quarters & 1) !== 0;
  if (odd) sine();
  else cosine();
  deliverSigned(destination, (odd ? angleSign ^ 1 : 0) ^ (quarters >> 1));
}

/** FSIN. Gives 0 if |a| >= 2^63: then C2 will be set and the destination keeps its value. */
export function f80Sine(destination: i32, a: i32): u32 {
  if (begins(destination, a, 0)) {
    if (significand === 0) {
      deliverZero(destination, sign);
    } else {
      reduce();
      deliverSine(destination);
    }
  }
  return u32(!outOfRange);
}

/** FCOS; see `f80Sine`. */
export function f80Cosine(destination: i32, a: i32): u32 {
  if (begins(destination, a, 0)) {
    if (significand === 0) {
      deliver(destination, 0, BIAS, TOP_BIT);
    } else {
      reduce();
      deliverCosine(destination);
    }
  }
  return u32(!outOfRange);
}

/** FSINCOS: the sine replaces ST0, the cosine is to be pushed, unless it gives 0; see `f80Sine`. */
export function f80SineCosine(sineTo: i32, cosineTo: i32, a: i32): u32 {
  if (begins(sineTo, a, cosineTo)) {
    if (significand === 0) {
      deliverZero(sineTo, sign);
      deliver(cosineTo, 0, BIAS, TOP_BIT);
    } else {
      reduce();
      deliverSine(sineTo);
      deliverCosine(cosineTo);
    }
  }
  return u32(!outOfRange);
}

/** FPTAN: the tangent replaces ST0 and `one` is to be pushed (1, or the NaN), unless it gives 0; see `f80Sine`. */
export function f80Tangent(tangentTo: i32, one: i32, a: i32): u32 {
  if (begins(tangentTo, a, one)) {
    if (significand === 0) {
      deliverZero(tangentTo, sign);
    } else {
      reduce();
      const odd = (quarters & 1) !== 0;
      tangent(odd);
      deliverSigned(tangentTo, argumentSign ^ angleSign ^ u32(odd));
    }
    deliver(one, 0, BIAS, TOP_BIT);
  }
  return u32(!outOfRange);
}
