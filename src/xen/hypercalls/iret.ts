/**
 * The iret hypercall: how a kernel returns from an interrupt, and to its user.
 *
 * RSP points to an `iret_context`: RAX R11 RCX flags, then the frame that IRET would pop. A code selector with RPL 3
 * means user mode: the tables and the GS base are switched. IF in the flags image becomes the event mask, inverted. With
 * VGCF_in_syscall the return is by SYSRET, and RCX and R11 are left to it. Selectors are loaded on the way out.
 * (Xen 4.17, arch/x86/pv/iret.c.)
 */
import {
  __HYPERVISOR_iret,
  VMASST_TYPE_architectural_iopl,
  x86_64 as wide,
} from '../../abi/xen/numbers/index.ts';
import { iret_context, vcpu_info } from '../../abi/xen/structures/index.ts';
import { CPU_RIP } from '../../machine/layout.ts';
import { type Gva, PAGE_SIZE } from '../../machine/memory.ts';
import { hasBreakpoints } from '../../machine/x86/breakpoints.ts';
import { formatGva } from '../../machine/x86/guest-memory.ts';
import {
  CS,
  FLAG_IF,
  FLAG_IOPL,
  FLAG_RF,
  FLAG_VM,
  R11,
  RAX,
  RCX,
  RSP,
  SS,
} from '../../machine/x86/registers.ts';
import type { XenVcpu } from '../vcpu.ts';
import { type HypercallFamily, NO_RESULT } from './dispatch.ts';

const MASK_OFFSET = vcpu_info.x64.offset.evtchn_upcall_mask;
const CONTEXT = iret_context.x64;
const WORDS = CONTEXT.size / 4;
const IOPL_SHIFT = 12;

/** 32-bit word of a field in a copy of the frame. */
const AT = {
  rax: CONTEXT.offset.rax / 4,
  r11: CONTEXT.offset.r11 / 4,
  rcx: CONTEXT.offset.rcx / 4,
  flags: CONTEXT.offset.flags / 4,
  rip: CONTEXT.offset.rip / 4,
  cs: CONTEXT.offset.cs / 4,
  rflags: CONTEXT.offset.rflags / 4,
  rsp: CONTEXT.offset.rsp / 4,
  ss: CONTEXT.offset.ss / 4,
} as const;

/** The frame being returned by. */
const frame = new Int32Array(WORDS);

/** Copies the frame; false where the stack cannot be read. One translation for a frame within a page. */
function readFrame(vcpu: XenVcpu, at: Gva): boolean {
  const { guest } = vcpu;
  const { memory } = vcpu.domain.host;
  const offset = (at | 0) & (PAGE_SIZE - 1);
  if ((offset & 3) === 0 && offset + CONTEXT.size <= PAGE_SIZE) {
    const host = guest.tryHost(at, false);
    if (host === 0) return false;
    const start = host >>> 2;
    for (let i = 0; i < WORDS; i++) frame[i] = memory.i32[start + i]!;
    return true;
  }
  if (guest.tryHost(at, false) === 0 || guest.tryHost(at + CONTEXT.size - 1, false) === 0) return false;
  for (let i = 0; i < WORDS; i++) frame[i] = guest.read32(at + i * 4);
  return true;
}

function iret(vcpu: XenVcpu): number {
  const { state, domain } = vcpu;
  const at = state.reg(RSP);
  if (!readFrame(vcpu, at)) {
    vcpu.crash(`the frame of an iret hypercall at ${formatGva(at)} is not readable`);
    return NO_RESULT;
  }
  const cs = frame[AT.cs]! & 0xffff;
  const rflags = frame[AT.rflags]!;
  if ((cs & 3) === 3) {
    if (vcpu.userTable === 0) {
      vcpu.crash('the kernel returned to user mode without having set page tables for it');
      return NO_RESULT;
    }
    vcpu.toggleMode();
  }
  if (domain.hasAssist(VMASST_TYPE_architectural_iopl)) vcpu.iopl = (rflags & FLAG_IOPL) >>> IOPL_SHIFT;
  state.set(CPU_RIP, frame[AT.rip]!, frame[AT.rip + 1]!);
  vcpu.setSelector(CS, cs | 3);
  // RF is gone after one instruction; all it holds off is a breakpoint at that.
  const keep = hasBreakpoints(state) ? rflags : rflags & ~FLAG_RF;
  vcpu.setFlags((keep & ~(FLAG_IOPL | FLAG_VM)) | FLAG_IF);
  state.setReg(RSP, frame[AT.rsp]!, frame[AT.rsp + 1]!);
  vcpu.setSelector(SS, (frame[AT.ss]! & 0xffff) | 3);
  if ((frame[AT.flags]! & wide.VGCF_in_syscall) === 0) {
    vcpu.returnsBySysret = false;
    state.setReg(R11, frame[AT.r11]!, frame[AT.r11 + 1]!);
    state.setReg(RCX, frame[AT.rcx]!, frame[AT.rcx + 1]!);
  }
  domain.host.memory.u8[vcpu.vcpuInfoHost + MASK_OFFSET] = (rflags & FLAG_IF) !== 0 ? 0 : 1;
  vcpu.nmiMasked = false;
  state.setReg(RAX, frame[AT.rax]!, frame[AT.rax + 1]!);
  return NO_RESULT;
}

export const handlers: HypercallFamily = { [__HYPERVISOR_iret]: iret };
