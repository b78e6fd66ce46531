/**
 * What the transcendental functions share: multiplication and division of 128-bit fractions, and power series.
 *
 * Their results carry some 110 good bits into a rounding to 64, so they are within 0.5000001 of the last place, and nearly
 * always the correctly rounded value, in every rounding mode.
 */

import { tableHigh, tableLow } from './tables';
import {
  addWide,
  divide,
  lessWide,
  multiply,
  multiplyHigh,
  setWide,
  shiftRightSticky,
  subtractWide,
  wideHigh,
  wideLow,
} from './wide';

/** a · b / 2^128, at most 2 too small. */
export function multiplyFractions(aHigh: u64, aLow: u64, bHigh: u64, bLow: u64): void {
  const first = multiplyHigh(aHigh, bLow);
  const second = multiplyHigh(aLow, bHigh);
  multiply(aHigh, bHigh);
  addWide(wideHigh, wideLow, 0, first);
  addWide(wideHigh, wideLow, 0, second);
}

/** n / d · 2^128 for n < d and d with its top bit set, within a few units. Two digits of 64 bits (Knuth's D). */
export function divideFractions(nHigh: u64, nLow: u64, dHigh: u64, dLow: u64): void {
  const first = fractionDigit(nHigh, nLow, dHigh, dLow);
  const second = fractionDigit(wideHigh, wideLow, dHigh, dLow);
  setWide(first, second);
}

/** One digit of n · 2^64 / d, n < d; the remainder replaces n, in `wideHigh`, `wideLow`. */
function fractionDigit(nHigh: u64, nLow: u64, dHigh: u64, dLow: u64): u64 {
  let digit = ~(0 as u64);
  let tooLarge: bool;
  if (nHigh === dHigh) {
    // n · 2^64 - d · (2^64 - 1) = d - (d - n) · 2^64
    const gap = dLow - nLow;
    tooLarge = dHigh < gap;
    setWide(dHigh - gap, dLow);
  } else {
    digit = divide(nHigh, nLow, dHigh);
    const rest = wideLow;
    multiply(digit, dLow);
    tooLarge = lessWide(rest, 0, wideHigh, wideLow);
    subtractWide(rest, 0, wideHigh, wideLow);
  }
  // The digit is at most 2 too large: the remainder turns positive again when adding d carries.
  while (tooLarge) {
    digit--;
    tooLarge = !addWide(wideHigh, wideLow, dHigh, dLow);
  }
  return digit;
}

/**
 * c(0) ± c(1)·x ± c(2)·x² …, scaled by 2^127, by Horner's rule: c(k) is entry first + k · step of `table`. `x` is scaled
 * by 2^128; `alternate` gives odd terms a minus sign. All partial sums are positive because the terms shrink.
 */
export function powerSeries(
  table: usize,
  first: i32,
  step: i32,
  terms: i32,
  alternate: bool,
  xHigh: u64,
  xLow: u64,
): void {
  let index = first + (terms - 1) * step;
  setWide(tableHigh(table, index), tableLow(table, index));
  while (index > first) {
    index -= step;
    multiplyFractions(xHigh, xLow, wideHigh, wideLow);
    const high = tableHigh(table, index);
    const low = tableLow(table, index);
    if (alternate) subtractWide(high, low, wideHigh, wideLow);
    else addWide(high, low, wideHigh, wideLow);
  }
}

/** The square of (high, low) / 2^127 · 2^exponent, below 1, scaled by 2^128. */
export function squareOf(high: u64, low: u64, exponent: i32): void {
  multiplyFractions(high, low, high, low);
  shiftRightSticky(wideHigh, wideLow, -2 * exponent - 2);
}

/** One unit less: for a series whose true value is below 1 even where 128 bits say 1. */
export function justBelow(): void {
  subtractWide(wideHigh, wideLow, 0, 1);
}
