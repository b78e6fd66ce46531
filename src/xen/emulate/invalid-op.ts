/**
 * The forced CPUID: UD2, the letters "xen", then CPUID. It faults on every processor, so Xen can answer it.
 * (Xen 4.17, arch/x86/pv/emul-inv-op.c.)
 */
import { GuestFault } from '../../machine/x86/guest-memory.ts';
import { injectPageFault } from '../bounce.ts';
import type { XenVcpu } from '../vcpu.ts';
import { answerCpuid } from './cpuid.ts';
import { retireInstruction } from './retire.ts';

/** UD2 'x' 'e' 'n', then CPUID. */
const SIGNATURE = [0x0f, 0x0b, 0x78, 0x65, 0x6e];
const CPUID = [0x0f, 0xa2];

/** True if the #UD was dealt with. */
export function emulateForcedCpuid(vcpu: XenVcpu): boolean {
  const { rip } = vcpu.state;
  try {
    if (!matches(vcpu, rip, SIGNATURE)) return false;
    if (!matches(vcpu, rip + SIGNATURE.length, CPUID)) return false;
  } catch (error) {
    if (!(error instanceof GuestFault)) throw error;
    injectPageFault(vcpu, error.address, 0);
    return true;
  }
  answerCpuid(vcpu);
  retireInstruction(vcpu, rip + SIGNATURE.length + CPUID.length);
  return true;
}

/** Xen reads all of the bytes before it compares, so a fault comes first. */
function matches(vcpu: XenVcpu, address: number, bytes: readonly number[]): boolean {
  let same = true;
  for (let i = 0; i < bytes.length; i++) {
    if (vcpu.guest.read8(address + i) !== bytes[i]) same = false;
  }
  return same;
}
