/** 128-bit quotients, for DIV and IDIV with 64-bit operands. */
import { CPU, CPU_WIDE } from '../layout.ts';

/**
 * (high:low) / divisor, unsigned, divisor not zero. Leaves the remainder at CPU_WIDE and the quotient at CPU_WIDE + 8;
 * returns 0 where the quotient has more than 64 bits.
 */
export function divideUnsigned(high: u64, low: u64, divisor: u64): i32 {
  if (high >= divisor) return 0;
  if (high == 0) return result(low % divisor, low / divisor);
  // Knuth's algorithm D with two 32-bit digits.
  const shift = clz(divisor);
  const d = divisor << shift;
  const dHigh = d >> 32;
  const dLow = d & 0xffffffff;
  let top = (high << shift) | (shift == 0 ? 0 : low >> (64 - shift));
  const rest = low << shift;
  const q1 = digit(top, rest >> 32, dHigh, dLow);
  top = (top << 32) + (rest >> 32) - q1 * d;
  const q0 = digit(top, rest & 0xffffffff, dHigh, dLow);
  const remainder = ((top << 32) + (rest & 0xffffffff) - q0 * d) >> shift;
  return result(remainder, (q1 << 32) + q0);
}

/** One 32-bit digit of the quotient of (top:next) by (dHigh:dLow). */
function digit(top: u64, next: u64, dHigh: u64, dLow: u64): u64 {
  let q = top / dHigh;
  let r = top - q * dHigh;
  while (q >> 32 != 0 || q * dLow > ((r << 32) | next)) {
    q--;
    r += dHigh;
    if (r >> 32 != 0) break;
  }
  return q;
}

function result(remainder: u64, quotient: u64): i32 {
  store<u64>(CPU + CPU_WIDE, remainder);
  store<u64>(CPU + CPU_WIDE, quotient, 8);
  return 1;
}

/** As `divideUnsigned`, signed, rounding toward zero; the remainder has the dividend's sign. */
export function divideSigned(high: i64, low: u64, divisor: i64): i32 {
  const negative = high < 0;
  let magnitudeHigh = <u64>high;
  let magnitudeLow = low;
  if (negative) {
    magnitudeLow = 0 - low;
    magnitudeHigh = ~magnitudeHigh + (magnitudeLow == 0 ? 1 : 0);
  }
  const by = divisor < 0 ? <u64>0 - <u64>divisor : <u64>divisor;
  if (divideUnsigned(magnitudeHigh, magnitudeLow, by) == 0) return 0;
  const remainder = load<i64>(CPU + CPU_WIDE);
  const quotient = load<u64>(CPU + CPU_WIDE, 8);
  const minus = negative != divisor < 0;
  if (quotient > (minus ? (<u64>1) << 63 : ((<u64>1) << 63) - 1)) return 0;
  return result(<u64>(negative ? -remainder : remainder), minus ? 0 - quotient : quotient);
}
