/**
 * From the exact result of `number.ts` to the number that a format can hold: rounding, overflow, underflow.
 *
 * Tininess is detected after rounding, as if the exponent had no bounds (Intel SDM 1, 4.9.1.5). Masked, underflow is
 * reported only if the denormal result is also inexact; unmasked, always.
 */

import { resultExponent, resultHigh, resultLow, resultSign, setResult } from './number';
import {
  DOWN,
  flushToZero,
  masks,
  NEAREST,
  OVERFLOW,
  PRECISION,
  raise,
  rounding,
  setRoundedUp,
  TO_ZERO,
  UNDERFLOW,
  UP,
} from './state';
import { shiftRightSticky, TOP_BIT, wideHigh, wideLow } from './wide';

/** `resultExponent` of an infinite result. */
export const INFINITE = 0x7fffffff;

/** What an unmasked x87 overflow or underflow adds to or takes from the exponent (Intel SDM 1, 8.5.4). */
const WRAP = 24576;

/** Whether rounding goes away from zero: `tail` holds the bits below the last one, top bit worth one half. */
export function roundsUp(sign: u32, odd: bool, tail: u64): bool {
  if (tail === 0 || rounding === TO_ZERO) return false;
  if (rounding === NEAREST) return tail > TOP_BIT || (tail === TOP_BIT && odd);
  return rounding === (sign ? DOWN : UP);
}

/**
 * Rounds the result to `precision` (24, 53 or 64) bits with exponents from `minimum` to `maximum`. Afterwards
 * `resultHigh` holds the bits, left-aligned, its top bit clear for denormals and zero, which have the exponent `minimum`.
 * `wraps` asks for the x87's register response to unmasked overflow and underflow.
 */
export function roundResult(precision: i32, minimum: i32, maximum: i32, wraps: bool): void {
  if (resultHigh === 0) {
    setResult(resultSign, minimum, 0, 0);
    return;
  }
  const unit: u64 = (1 as u64) << (64 - precision);
  let exponent = resultExponent;
  let kept = resultHigh & ~(unit - 1);
  let tail = tailOf(resultHigh, resultLow, precision);
  let up = roundsUp(resultSign, (kept & unit) !== 0, tail);

  if (exponent < minimum) {
    const tiny = !(exponent === minimum - 1 && up && kept + unit === 0);
    if (tiny && (masks & UNDERFLOW) === 0) {
      raise(UNDERFLOW);
      if (!wraps) {
        unmasked(up, tail);
        return;
      }
      exponent += WRAP;
      if (exponent < minimum) {
        beyondWrap(0, minimum);
        return;
      }
    }
    if (exponent < minimum) {
      if (tiny && flushToZero && (masks & UNDERFLOW) !== 0) {
        raise(UNDERFLOW | PRECISION);
        setResult(resultSign, minimum, 0, 0);
        return;
      }
      shiftRightSticky(resultHigh, resultLow, minimum - exponent);
      exponent = minimum;
      kept = wideHigh & ~(unit - 1);
      tail = tailOf(wideHigh, wideLow, precision);
      up = roundsUp(resultSign, (kept & unit) !== 0, tail);
      if (tiny && tail !== 0) raise(UNDERFLOW);
    }
  }

  if (tail !== 0) raise(PRECISION);
  setRoundedUp(up);
  if (up) {
    kept += unit;
    if (kept === 0) {
      kept = TOP_BIT;
      exponent++;
    }
  }
  if (exponent > maximum) {
    overflow(exponent, kept, unit, maximum, wraps);
    return;
  }
  setResult(resultSign, exponent, kept, 0);
}

/** An unmasked exception without the x87's response: there will be no result, only flags. */
function unmasked(up: bool, tail: u64): void {
  if (tail !== 0) raise(PRECISION);
  setRoundedUp(up);
  setResult(resultSign, 0, 0, 0);
}

function tailOf(high: u64, low: u64, precision: i32): u64 {
  return precision === 64 ? low : (high << precision) | u64(low !== 0);
}

function overflow(exponent: i32, kept: u64, unit: u64, maximum: i32, wraps: bool): void {
  raise(OVERFLOW);
  if ((masks & OVERFLOW) === 0 && wraps) {
    if (exponent - WRAP > maximum) {
      beyondWrap(TOP_BIT, INFINITE);
      return;
    }
    setResult(resultSign, exponent - WRAP, kept, 0);
    return;
  }
  const infinite = rounding === NEAREST || rounding === (resultSign ? DOWN : UP);
  if ((masks & OVERFLOW) !== 0) raise(PRECISION);
  setRoundedUp(infinite);
  if (infinite) setResult(resultSign, INFINITE, TOP_BIT, 0);
  else setResult(resultSign, maximum, ~(unit - 1), 0);
}

/** FSCALE can leave the range even of wrapped exponents: zero or infinity, whatever the rounding mode. */
function beyondWrap(high: u64, exponent: i32): void {
  raise(PRECISION);
  setRoundedUp(high !== 0);
  setResult(resultSign, exponent, high, 0);
}
