/**
 * RCPSS and RSQRTSS. The manual bounds their relative error by 1.5 · 2^-12 and leaves the rest to the processor; ours
 * round the exact value to 13 bits, half away from zero, which errs by at most 2^-13 and is the same on every host.
 * No exceptions, no modes: denormals are zeros, and a tiny result is zero (SDM 2, RCPPS, RSQRTPS).
 */

import { indefinite, infinityBits, isNan, quietBit, signBit } from './sse-format';

/** RCPSS: about 1 / a. */
export function f32Reciprocal(a: u32): u32 {
  const sign = a & signBit<u32>();
  const magnitude = a ^ sign;
  if (isNan<u32>(a)) return a | quietBit<u32>();
  if (magnitude === infinityBits<u32>()) return sign;
  const biased = i32(magnitude >> 23);
  if (biased === 0) return sign | infinityBits<u32>();
  // 2^13 / 1.m, in (2^12, 2^13].
  const divisor = (magnitude & 0x7fffff) | 0x800000;
  const digits = u32((((1 as u64) << 36) + (divisor >> 1)) / divisor);
  return place(sign, 253 - biased, digits);
}

/** RSQRTSS: about 1 / sqrt(a). */
export function f32ReciprocalSqrt(a: u32): u32 {
  const sign = a & signBit<u32>();
  const magnitude = a ^ sign;
  if (isNan<u32>(a)) return a | quietBit<u32>();
  const biased = i32(magnitude >> 23);
  if (biased === 0) return sign | infinityBits<u32>();
  if (sign !== 0) return indefinite<u32>();
  if (magnitude === infinityBits<u32>()) return 0;
  // a = d · 2^-23 · 4^half, d in [2^23, 2^25); 2^13 / sqrt(d · 2^-23) = sqrt(2^49 / d), here with one bit more to round.
  const odd = (biased & 1) === 0;
  const divisor = u64((magnitude & 0x7fffff) | 0x800000) << u64(odd);
  const half = (biased - 127 - i32(odd)) >> 1;
  const twice = u32(sqrt<f64>(f64(((1 as u64) << 51) / divisor)));
  return place(0, 126 - half, (twice + 1) >> 1);
}

/** digits · 2^-12 · 2^(biased - 127), for digits from 2^12 to 2^13 inclusive; below the normal numbers, zero. */
function place(sign: u32, biased: i32, digits: u32): u32 {
  const magnitude = (biased << 23) + i32((digits - 0x1000) << 11);
  return magnitude < 0x800000 ? sign : sign | u32(magnitude);
}
