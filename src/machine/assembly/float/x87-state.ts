/**
 * Around every x87 instruction that computes: `x87Begin`, perhaps the widening of a memory operand, the operation,
 * `x87Commit`. And the stack faults, which an instruction finds out about before it gets here.
 */

import { CPU, CPU_FPU_CONTROL, CPU_FPU_STATUS } from '../../layout';
import {
  EARLY,
  EXCEPTIONS,
  INVALID,
  masks,
  PRECISION,
  pending,
  raise,
  roundedUp,
  setRoundedUp,
} from './state';
import { beginUnder, C0, C1, C2, C3, conditionMask, conditions, prevention, setConditions } from './x87-mode';

const STACK_FAULT = 1 << 6;
const ERROR_SUMMARY = 1 << 7;
const BUSY = 1 << 15;

/** Reads the modes from the control word and forgets pending exceptions. */
export function x87Begin(): void {
  beginUnder(load<u16>(CPU + CPU_FPU_CONTROL));
}

/**
 * Adds the pending exceptions to the status word, with C1 (rounded up, or what the instruction defines) and the other
 * condition codes it sets. Not 0 if an unmasked exception prevents the instruction: it then neither writes its
 * result, which the operation has withheld, nor pushes or pops. The #MF itself waits for the next waiting instruction.
 */
export function x87Commit(): u32 {
  const address = CPU + CPU_FPU_STATUS;
  const prevented = prevention();
  const early = (prevented & EARLY) !== 0;
  // A prevented store reports its overflow or underflow alone: no precision, no C1.
  const late = prevented !== 0 && !early;
  let status = u32(load<u16>(address)) & ~(C1 | conditionMask);
  status |= pending & (early ? EARLY | STACK_FAULT : late ? ~PRECISION : 0xff);
  status |= conditions & conditionMask;
  if (roundedUp && !late) status |= C1;
  if ((status & ~masks & EXCEPTIONS) !== 0) status |= ERROR_SUMMARY | BUSY;
  store<u16>(address, u16(status));
  return prevented;
}

/** A register that should hold a value is empty (0), or one that should be empty is not (1): C1 tells which. */
export function x87StackFault(overflowed: u32): void {
  raise(INVALID | STACK_FAULT);
  setRoundedUp(overflowed !== 0);
}

/** FCOM and its kin: what a compare gave (-1, 0, 1; 2 unordered) as C3, C2 and C0, to be set by the commit. */
export function x87SetRelation(relation: i32): void {
  const codes = relation === 2 ? C3 | C2 | C0 : relation === 0 ? C3 : relation < 0 ? C0 : 0;
  setConditions(C3 | C2 | C0, codes);
}
