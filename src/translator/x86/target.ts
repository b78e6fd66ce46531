/**
 * What the compiled code of a target agrees upon: registers, calls, and how an address of the module becomes one of the
 * machine. Everything that differs between word sizes, and between a kernel and a program, stands here.
 *
 *     x86-64    System V's convention for integers: parameters in RDI, RSI, RDX, RCX, R8, R9, then on the stack; the
 *               result in RAX; RBX and R12 to R15 survive calls, RBP leads from frame to frame. RAX and R11 are
 *               scratch inside every instruction of the intermediate form and never hold a value between two. No red
 *               zone: an interrupt may come anywhere. An i32 in a register has its upper half zero, always.
 *     kernel    an address of the module lies in the topmost 4 GiB: R15 holds 0xffffffff00000000 and takes part in each
 *               access as its base, so that no access needs an instruction to widen its address.
 *     program   an address of the module is an address of the machine, below 2 GiB. R15 is free.
 */
import { TranslationError } from '../error.ts';
import { type Gpr, R8, R9, R10, R11, R12, R13, R14, R15, RAX, RBX, RCX, RDI, RDX, RSI } from './registers.ts';

export type TargetName = 'x86-64' | 'i386';
export type AddressSpace = 'kernel' | 'program';

export interface Target {
  readonly name: TargetName;
  readonly wordBytes: 4 | 8;
  readonly space: AddressSpace;
  /** Holds what is added to an address of the module; undefined: nothing is. */
  readonly base: Gpr | undefined;
  /** For parameters, in their order; the rest are pushed. */
  readonly parameters: readonly Gpr[];
  readonly result: Gpr;
  /** May be destroyed by a call. */
  readonly callerSaved: readonly Gpr[];
  /** Survive a call, apart from the frame pointer. */
  readonly calleeSaved: readonly Gpr[];
  /** What the allocator may give, the most welcome first. */
  readonly allocatable: readonly Gpr[];
}

/** In a kernel, what R15 holds. */
export const KERNEL_BASE_VALUE = 0xffffffff_00000000n;

/** The second scratch register; the first is the result's. */
export const SCRATCH = R11;

/** A target by name. Raises TranslationError for one whose back end does not exist. */
export function targetOf(name: TargetName, space: AddressSpace): Target {
  if (name === 'i386') {
    throw new TranslationError('expected the target x86-64, found i386, for which there is no back end yet');
  }
  const inKernel = space === 'kernel';
  const callerSaved = [RCX, RDX, RSI, RDI, R8, R9, R10];
  const calleeSaved = [RBX, R12, R13, R14, ...(inKernel ? [] : [R15])];
  return {
    name,
    wordBytes: 8,
    space,
    base: inKernel ? R15 : undefined,
    parameters: [RDI, RSI, RDX, RCX, R8, R9],
    result: RAX,
    callerSaved: [RAX, ...callerSaved, R11],
    calleeSaved,
    // Encodings without REX first, among those that need not be saved; RCX and RDX last, for shifts and divisions want them.
    allocatable: [RSI, RDI, R8, R9, R10, RDX, RCX, ...calleeSaved],
  };
}
