/** CPUID, wherever it came from: the answer is the domain's policy. */
import { RAX, RBX, RCX, RDX } from '../../machine/x86/registers.ts';
import type { XenVcpu } from '../vcpu.ts';

/** Puts the policy's answer to leaf EAX, subleaf ECX into the four registers, upper halves cleared. */
export function answerCpuid(vcpu: XenVcpu): void {
  const { state } = vcpu;
  const { cpuid } = vcpu.domain;
  cpuid.query(state.regLow(RAX), state.regLow(RCX));
  state.setReg(RAX, cpuid.result[0]!, 0);
  state.setReg(RBX, cpuid.result[1]!, 0);
  state.setReg(RCX, cpuid.result[2]!, 0);
  state.setReg(RDX, cpuid.result[3]!, 0);
}
