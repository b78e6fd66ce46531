/**
 * Around every SSE instruction that computes: `sseBegin`, one call per lane, `sseCommit`.
 *
 * The lanes of a packed instruction share one word of pending exceptions, as they share MXCSR; the destination is
 * written after the commit, and only if it allows.
 */

import { CPU, CPU_MXCSR } from '../../layout';
import { begin, EARLY, EXCEPTIONS, masks, pending } from './state';

const DAZ = 1 << 6;
const MASK_SHIFT = 7;
const ROUNDING_SHIFT = 13;
const FTZ = 1 << 15;

/** Reads the modes from MXCSR and forgets pending exceptions. */
export function sseBegin(): void {
  const mxcsr = load<u32>(CPU + CPU_MXCSR);
  begin(mxcsr >> MASK_SHIFT, mxcsr >> ROUNDING_SHIFT, (mxcsr & FTZ) !== 0, (mxcsr & DAZ) !== 0);
}

/**
 * Adds the pending exceptions to MXCSR and gives those that are unmasked: if not 0, the instruction must write
 * nothing and raise #XM. An unmasked early exception in any lane hides the late ones of all lanes (SDM 1, 11.5.3).
 */
export function sseCommit(): u32 {
  const early = pending & ~masks & EARLY;
  const raised = (early !== 0 ? pending & EARLY : pending) & EXCEPTIONS;
  const address = CPU + CPU_MXCSR;
  store<u32>(address, load<u32>(address) | raised);
  return raised & ~masks;
}
