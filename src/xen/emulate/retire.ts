/** What is left to do when Xen has emulated an instruction for the guest. */
import { CPU_FLAGS_OTHER } from '../../machine/layout.ts';
import type { Gva } from '../../machine/memory.ts';
import { DR6_STEP, FLAG_RF, FLAG_TF } from '../../machine/x86/registers.ts';
import { injectDebug } from '../bounce.ts';
import type { XenVcpu } from '../vcpu.ts';

/** Moves RIP behind the instruction; if the guest single-steps, it gets its trap. (`pv_emul_instruction_done`) */
export function retireInstruction(vcpu: XenVcpu, next: Gva): void {
  vcpu.state.rip = next;
  vcpu.clearFlags(FLAG_RF);
  trapIfStepping(vcpu);
}

/** The trap behind an emulated instruction, if the guest single-steps; RIP is where it goes on. */
export function trapIfStepping(vcpu: XenVcpu): void {
  const { state } = vcpu;
  if ((state.low(CPU_FLAGS_OTHER) & FLAG_TF) === 0) return;
  injectDebug(vcpu, DR6_STEP);
}
