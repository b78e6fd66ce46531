/**
 * Unsigned 128-bit integers for the floating-point reference: the bottom of the folder, read it first.
 *
 * WebAssembly returns one value from a function that AssemblyScript can name, so a function here leaves a 128-bit
 * result in the pair `wideHigh`, `wideLow`; read both before the next call.
 */

export let wideHigh: u64 = 0;
export let wideLow: u64 = 0;

export const TOP_BIT: u64 = (1 as u64) << 63;

export function setWide(high: u64, low: u64): void {
  wideHigh = high;
  wideLow = low;
}

/** a · b, all 128 bits. */
export function multiply(a: u64, b: u64): void {
  const aLow = a & 0xffffffff;
  const aHigh = a >> 32;
  const bLow = b & 0xffffffff;
  const bHigh = b >> 32;
  const low = aLow * bLow;
  const middle = aHigh * bLow + (low >> 32);
  const other = aLow * bHigh + (middle & 0xffffffff);
  wideHigh = aHigh * bHigh + (middle >> 32) + (other >> 32);
  wideLow = (other << 32) | (low & 0xffffffff);
}

/** The high 64 bits of a · b. */
export function multiplyHigh(a: u64, b: u64): u64 {
  multiply(a, b);
  return wideHigh;
}

/**
 * (high, low) / divisor for a divisor whose top bit is set and high < divisor: the quotient is returned, the
 * remainder left in `wideLow`. Two digits of 32 bits by schoolbook division (Knuth, TAOCP 2, 4.3.1, algorithm D).
 */
export function divide(high: u64, low: u64, divisor: u64): u64 {
  const first = digit(high, low >> 32, divisor);
  const second = digit(wideLow, low & 0xffffffff, divisor);
  return (first << 32) | second;
}

/** One 32-bit quotient digit of (rest · 2^32 + next) / divisor, rest < divisor; the new rest goes to `wideLow`. */
function digit(rest: u64, next: u64, divisor: u64): u64 {
  const divisorHigh = divisor >> 32;
  let quotient = rest / divisorHigh;
  let estimateRest = rest - quotient * divisorHigh;
  // The estimate is at most 2 too large.
  while (quotient >> 32 !== 0 || quotient * (divisor & 0xffffffff) > ((estimateRest << 32) | next)) {
    quotient--;
    estimateRest += divisorHigh;
    if (estimateRest >> 32 !== 0) break;
  }
  wideLow = ((rest << 32) | next) - quotient * divisor;
  return quotient;
}

/** (high, low) shifted right; every bit that falls off is kept as "something was there" in bit 0. */
export function shiftRightSticky(high: u64, low: u64, count: i32): void {
  if (count === 0) {
    wideHigh = high;
    wideLow = low;
  } else if (count < 64) {
    wideHigh = high >> count;
    wideLow = (high << (64 - count)) | (low >> count) | u64(low << (64 - count) !== 0);
  } else if (count === 64) {
    wideHigh = 0;
    wideLow = high | u64(low !== 0);
  } else if (count < 128) {
    wideHigh = 0;
    wideLow = (high >> (count - 64)) | u64(((high << (128 - count)) | low) !== 0);
  } else {
    wideHigh = 0;
    wideLow = u64((high | low) !== 0);
  }
}

/** Shifts a nonzero (high, low) left until its top bit is set; gives the number of places. */
export function normalize(high: u64, low: u64): i32 {
  if (high === 0) {
    const places = i32(clz(low));
    wideHigh = low << places;
    wideLow = 0;
    return places + 64;
  }
  const places = i32(clz(high));
  wideHigh = places === 0 ? high : (high << places) | (low >> (64 - places));
  wideLow = low << places;
  return places;
}

/** (aHigh, aLow) + (bHigh, bLow), modulo 2^128; gives the carry. */
export function addWide(aHigh: u64, aLow: u64, bHigh: u64, bLow: u64): bool {
  const low = aLow + bLow;
  const partial = aHigh + bHigh;
  const high = partial + u64(low < aLow);
  const carry = partial < aHigh || high < partial;
  wideHigh = high;
  wideLow = low;
  return carry;
}

/** (aHigh, aLow) - (bHigh, bLow), modulo 2^128. */
export function subtractWide(aHigh: u64, aLow: u64, bHigh: u64, bLow: u64): void {
  wideHigh = aHigh - bHigh - u64(aLow < bLow);
  wideLow = aLow - bLow;
}

export function lessWide(aHigh: u64, aLow: u64, bHigh: u64, bLow: u64): bool {
  return aHigh < bHigh || (aHigh === bHigh && aLow < bLow);
}

/**
 * The floor of the square root of (high, low), high >= 2^62. The remainder, at most twice the root, is left in
 * `wideHigh`, `wideLow`.
 */
export function squareRoot(high: u64, low: u64): u64 {
  // 32 bits of root from the machine's own square root, 32 more from one division, which is never too small
  // (Zimmermann, "Karatsuba Square Root", 1999), so the only correction is downwards.
  let top = u64(sqrt<f64>(f64(high)));
  if (top > 0xffffffff) top = 0xffffffff;
  if (top * top > high) top--;
  const below = (((high - top * top) << 31) | (low >> 33)) / top;
  let root = (top << 32) | (below >> 32 !== 0 ? 0xffffffff : below);
  multiply(root, root);
  while (lessWide(high, low, wideHigh, wideLow)) {
    root--;
    multiply(root, root);
  }
  subtractWide(high, low, wideHigh, wideLow);
  return root;
}
