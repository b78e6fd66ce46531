/**
 * Control and debug registers: what the processor runs with, and what a PV guest sees of it.
 *
 * A guest decides about CR0.TS and a few bits of CR4, and sees Xen's choice for some others. (Xen 4.17,
 * arch/x86/pv/domain.c: pv_fixup_guest_cr4, pv_make_cr4; arch/x86/pv/misc-hypercalls.c: set_debugreg.)
 */
import { x86_64 as wide, XEN_EINVAL, XEN_ENODEV, XEN_EPERM } from '../abi/xen/numbers/index.ts';
import { CPU_DR } from '../machine/layout.ts';
import { setDebugRegister } from '../machine/x86/breakpoints.ts';
import type { XenVcpu } from './vcpu.ts';

export const CR0_TS = 0x8;
/** PE MP ET NE WP AM PG: what Xen runs with (arch/x86/boot/trampoline.S). */
export const CR0_INITIAL = 0x80050033 | 0;

const CR4_TSD = 0x4;
export const CR4_DE = 0x8;
const CR4_PAE = 0x20;
const CR4_MCE = 0x40;
const CR4_OSFXSR = 0x200;
const CR4_OSXMMEXCPT = 0x400;

/** What a guest sees of the hardware's settings. */
export const CR4_VISIBLE = CR4_PAE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
/** What a guest may choose: our CPU has neither FSGSBASE nor XSAVE. */
const CR4_GUEST = CR4_TSD | CR4_DE;
/** What the processor runs with, whatever the guest chose. */
export const CR4_HARDWARE = CR4_VISIBLE | CR4_DE;

/** SCE LME LMA NXE. */
export const EFER_INITIAL = 0xd01;

export const DR6_INITIAL = 0xffff0ff0 | 0;
export const DR7_INITIAL = 0x400;

const DR6_ZERO = ~0xffffefff;
const DR7_ZERO = ~0xffff27ff;
const DR7_ONE = 0x400;
const DR7_GENERAL_DETECT = 0x2000;
const DR7_ACTIVE = 0xff;
const DR7_IO = 2;

/** MOV to CR4: bits outside the guest's choice are ignored. */
export function writeCr4(vcpu: XenVcpu, value: number): void {
  vcpu.cr4 = (value & CR4_GUEST) | CR4_VISIBLE;
  vcpu.state.cr4 = CR4_HARDWARE | (vcpu.cr4 & CR4_TSD);
}

/** Breakpoints must not watch Xen: canonical addresses outside its range only (`__addr_ok`). */
function breakpointOkay(low: number, high: number): boolean {
  const top = high >> 15;
  if (top === 0) return true;
  if (top !== -1) return false;
  return high * 4294967296 + (low >>> 0) >= wide.HYPERVISOR_VIRT_END;
}

/**
 * set_debugreg, and MOV to a debug register. Returns 0, -ENODEV (the instruction is #UD), or -EINVAL or -EPERM (#GP).
 */
export function writeDebugRegister(vcpu: XenVcpu, register: number, low: number, high: number): number {
  const { state } = vcpu;
  if (register >= 0 && register <= 3) {
    if (!breakpointOkay(low, high)) return -XEN_EPERM;
    setDebugRegister(state, register, low, high, vcpu.domain.host.processor);
    return 0;
  }
  if ((register === 4 || register === 5) && (vcpu.cr4 & CR4_DE) !== 0) return -XEN_ENODEV;
  if (register === 4 || register === 6) {
    if (high !== 0) return -XEN_EINVAL;
    state.set(CPU_DR + 6 * 8, (low & ~DR6_ZERO) | DR6_INITIAL, 0);
    return 0;
  }
  if (register !== 5 && register !== 7) return -XEN_ENODEV;
  if (high !== 0) return -XEN_EINVAL;
  let value = (low & ~DR7_ZERO) | DR7_ONE;
  // GD would let a guest see Xen's own accesses. It is among the bits that Xen does not clear before this test.
  if ((low & DR7_GENERAL_DETECT) !== 0) return -XEN_EPERM;
  let watched = 0;
  if ((value & DR7_ACTIVE) !== 0) {
    for (let bit = 16; bit < 32; bit += 4) {
      if (((value >>> bit) & 3) !== DR7_IO) continue;
      if ((vcpu.cr4 & CR4_DE) === 0) return -XEN_EPERM;
      watched |= value & (3 << ((bit - 16) >>> 1));
    }
    value &= ~watched;
  }
  vcpu.dr7Emulated = watched;
  setDebugRegister(state, 7, value, 0, vcpu.domain.host.processor);
  return 0;
}

/** Low half of a debug register as the guest reads it, or -1 if there is no such register (an unsigned result otherwise). */
export function debugRegisterIndex(vcpu: XenVcpu, register: number): number {
  if (register >= 0 && register <= 3) return register;
  if ((register === 4 || register === 5) && (vcpu.cr4 & CR4_DE) !== 0) return -1;
  if (register === 4 || register === 6) return 6;
  return register === 5 || register === 7 ? 7 : -1;
}

export function debugRegisterLow(vcpu: XenVcpu, index: number): number {
  return vcpu.state.low(CPU_DR + index * 8) | (index === 7 ? vcpu.dr7Emulated : 0);
}
export function debugRegisterHigh(vcpu: XenVcpu, index: number): number {
  return vcpu.state.high(CPU_DR + index * 8);
}
