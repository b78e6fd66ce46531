/**
 * SYSCALL and SYSRET: the flat segments that STAR names, without a look at the descriptor tables. (Intel SDM 2B; AMD APM 2,
 * 6.1.1.) A return to an address that is not canonical faults here, in ring 0, as on Intel's processors.
 */
import { CS, FLAG_RF, R11, RCX, SS, VECTOR_GP, VECTOR_UD } from '../machine/x86/registers.ts';
import { EFER_SCE } from './control.ts';
import { CpuFault, isCanonicalHigh } from './fault.ts';
import type { NativeVcpu } from './vcpu.ts';

const FLAT_LIMIT = 0xffffffff;
/** Attributes of flat segments, accessed and present. */
const CODE64 = 0xa09b;
const CODE32 = 0xc09b;
const DATA = 0xc093;
const DPL3 = 0x60;
/** From the selector of STAR for SYSRET to those that it loads. */
const TO_CODE64 = 16;
const TO_STACK = 8;
const RETURN_FLAGS = 0x3c7fd7;

/** SYSCALL; RIP is behind it. False if it is undefined. */
export function systemCall(vcpu: NativeVcpu): boolean {
  const { state, msrs } = vcpu;
  if ((state.efer & EFER_SCE) === 0) return false;
  const { rflags } = state;
  const target = state.longMode ? msrs.lstar : msrs.cstar;
  const selector = msrs.star.high & 0xfffc;
  state.setReg(RCX, vcpu.ripLow(), vcpu.ripHigh());
  state.setReg(R11, rflags & ~FLAG_RF, 0);
  state.rflags = rflags & ~(msrs.sfmask.low | FLAG_RF);
  state.setSegment(CS, selector, CODE64, FLAT_LIMIT, 0);
  state.setSegment(SS, selector + TO_STACK, DATA, FLAT_LIMIT, 0);
  vcpu.setRip(target.low, target.high);
  vcpu.setPrivilege(0);
  return true;
}

/** SYSRET to 64-bit code or, with an operand size below 8, to compatibility mode. Raises CpuFault. */
export function systemReturn(vcpu: NativeVcpu, size: number): void {
  const { state, msrs } = vcpu;
  if ((state.efer & EFER_SCE) === 0) throw new CpuFault(VECTOR_UD, 0);
  const low = state.regLow(RCX);
  const high = state.regHigh(RCX);
  const long = size === 8;
  if (long && !isCanonicalHigh(high)) throw new CpuFault(VECTOR_GP, 0);
  const selector = msrs.star.high >>> 16;
  const code = long ? selector + TO_CODE64 : selector;
  state.rflags = (state.regLow(R11) & RETURN_FLAGS) | 2;
  state.setSegment(CS, (code | 3) & 0xffff, (long ? CODE64 : CODE32) | DPL3, FLAT_LIMIT, 0);
  state.setSegment(SS, ((selector + TO_STACK) | 3) & 0xffff, DATA | DPL3, FLAT_LIMIT, 0);
  vcpu.setRip(low, long ? high : 0);
  vcpu.setPrivilege(3);
}
