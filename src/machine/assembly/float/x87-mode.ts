/**
 * What the x87 files share about the instruction under way, beside `state.ts`: precision control, the condition codes it
 * will set, and which unmasked exceptions keep it from having an effect.
 */

import { begin, EARLY, INVALID, masks, OVERFLOW, pending, UNDERFLOW } from './state';

/** Condition codes in the status word. */
export const C0 = 1 << 8;
export const C1 = 1 << 9;
export const C2 = 1 << 10;
export const C3 = 1 << 14;

/** Significant bits of a sum, difference, product, quotient or root: 24, 53 or 64. */
export let precision: i32 = 64;
/** The condition codes that the instruction sets besides C1, and their values. */
export let conditionMask: u32 = 0;
export let conditions: u32 = 0;
/** Exceptions that, unmasked, keep the instruction from changing registers or memory. */
let preventing: u32 = EARLY;

/** Starts an instruction under this control word. */
export function beginUnder(control: u32): void {
  begin(control, control >> 10, false, false);
  const field = (control >> 8) & 3;
  precision = field === 0 ? 24 : field === 2 ? 53 : 64;
  preventing = EARLY;
  setConditions(0, 0);
}

export function setConditions(mask: u32, values: u32): void {
  conditionMask = mask;
  conditions = values;
}

/** A store to memory does not happen at an unmasked overflow or underflow either (SDM 1, 8.5.4 and 8.5.5). */
export function storing(): void {
  preventing = EARLY | OVERFLOW | UNDERFLOW;
}

/** FLD of an unmasked denormal reports it and loads it all the same. */
export function loading(): void {
  preventing = INVALID;
}

/** The pending unmasked exceptions that prevent the instruction. */
export function prevention(): u32 {
  return pending & ~masks & preventing;
}

export function prevented(): bool {
  return prevention() !== 0;
}
