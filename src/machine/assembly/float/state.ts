/**
 * The mode that floating-point operations run under and the exceptions they raise: what MXCSR and the x87 control and
 * status words say, in one form for both.
 *
 * The six exceptions have the same bit numbers in MXCSR, the status word and the control word (Intel SDM 1, 8.1.3 and
 * 10.2.3), so one word of pending flags serves all. Invalid, denormal and zero-divide are found before computing, and
 * when one of them is unmasked nothing is computed; overflow, underflow and precision come from the result (4.9.1).
 */

export const INVALID = 0x01;
export const DENORMAL = 0x02;
export const ZERO_DIVIDE = 0x04;
export const OVERFLOW = 0x08;
export const UNDERFLOW = 0x10;
export const PRECISION = 0x20;
export const EXCEPTIONS = 0x3f;
/** The exceptions that precede the computation. */
export const EARLY = INVALID | DENORMAL | ZERO_DIVIDE;

/** Rounding modes, as both control words encode them. */
export const NEAREST = 0;
export const DOWN = 1;
export const UP = 2;
export const TO_ZERO = 3;

/** Exceptions raised since the instruction began. */
export let pending: u32 = 0;
/** Exceptions that the mode masks. */
export let masks: u32 = EXCEPTIONS;
export let rounding: u32 = NEAREST;
/** SSE only: results that would be denormal become zero (and underflow is masked). */
export let flushToZero: bool = false;
/** SSE only: denormal operands count as zero. */
export let denormalsAreZero: bool = false;
/** The last rounding increased the magnitude: what the x87 shows in C1. */
export let roundedUp: bool = false;

export function raise(flags: u32): void {
  pending |= flags;
}

/** Takes a flag back: a denormal operand is not reported when another operand decides the result. */
export function retract(flags: u32): void {
  pending &= ~flags;
}

export function setRoundedUp(up: bool): void {
  roundedUp = up;
}

export function setRounding(mode: u32): void {
  rounding = mode;
}

/** Starts an instruction under these modes with no exceptions pending. */
export function begin(maskBits: u32, roundingMode: u32, flush: bool, zeroDenormals: bool): void {
  pending = 0;
  roundedUp = false;
  masks = maskBits & EXCEPTIONS;
  rounding = roundingMode & 3;
  flushToZero = flush;
  denormalsAreZero = zeroDenormals;
}

/** An exception that precedes the computation is pending and not masked: there will be no result. */
export function stopped(): bool {
  return (pending & ~masks & EARLY) !== 0;
}
