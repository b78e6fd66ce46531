/** What functions that execute instructions for the processor have in common: see `privileged.ts`. */
import type { InstructionView } from '../machine/x86/instruction-view.ts';
import type { NativeVcpu } from './vcpu.ts';

/** How RIP goes on. */
export const Next = {
  /** Behind the instruction. */
  Instruction: 0,
  /** Where the instruction has set it. */
  Elsewhere: 1,
  /** It stays: a repeated instruction has iterations left. */
  Again: 2,
} as const;
export type Next = (typeof Next)[keyof typeof Next];

/** Executes an instruction, or raises CpuFault or GuestFault before anything is changed. */
export type Execute = (vcpu: NativeVcpu, instruction: InstructionView) => Next;
