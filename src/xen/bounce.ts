/**
 * Entering the guest's kernel: the frame that Xen builds on its stack for exceptions, interrupts, system calls and events.
 *
 *     SS                            <- stack, aligned down to 16 bytes
 *     RSP
 *     RFLAGS                        IF = the event mask was clear; IOPL only with architectural_iopl; RF for a fault
 *     CS | saved mask << 32         RPL 0 if the kernel was interrupted, 3 if it was the user
 *     RIP
 *     [error code]                  for the exceptions that have one
 *     R11
 *     RCX                           <- RSP on entry
 *
 * From user mode the frame goes to the stack of stack_switch, behind the kernel's page tables and GS base; from kernel
 * mode it goes below the current RSP. The guest pops RCX and R11 itself, because Xen may enter it by SYSRET, which
 * destroys them. (Xen 4.17, arch/x86/x86_64/entry.S: create_bounce_frame; arch/x86/pv/traps.c: pv_inject_event.)
 */
import { VMASST_TYPE_architectural_iopl, x86_64 as wide } from '../abi/xen/numbers/index.ts';
import { vcpu_info } from '../abi/xen/structures/index.ts';
import { CPU_DR } from '../machine/layout.ts';
import { type Gva, PAGE_SIZE } from '../machine/memory.ts';
import { formatGva } from '../machine/x86/guest-memory.ts';
import {
  CS,
  FLAG_AC,
  FLAG_IF,
  FLAG_IOPL,
  FLAG_NT,
  FLAG_RF,
  FLAG_TF,
  FLAG_VM,
  R11,
  RCX,
  RSP,
  SS,
  VECTOR_AC,
  VECTOR_DB,
  VECTOR_DF,
  VECTOR_GP,
  VECTOR_NP,
  VECTOR_PF,
  VECTOR_SS,
  VECTOR_TS,
} from '../machine/x86/registers.ts';
import type { XenVcpu } from './vcpu.ts';

const MASK_OFFSET = vcpu_info.x64.offset.evtchn_upcall_mask;

/** Error code argument for an entry that pushes none. */
export const NO_ERROR_CODE = -1;

/** Bits of a #PF error code that say who accessed. */
const PFEC_USER = 4;

/** Exceptions that push an error code. */
const HAVE_ERROR_CODE =
  (1 << VECTOR_DF) |
  (1 << VECTOR_TS) |
  (1 << VECTOR_NP) |
  (1 << VECTOR_SS) |
  (1 << VECTOR_GP) |
  (1 << VECTOR_PF) |
  (1 << VECTOR_AC);

/** A page must hold this much more below Xen's range for a frame to fit. */
const FRAME_BYTES_LIMIT = 64;

/** Flags that a trap clears on the way in (Intel SDM 3A, 6.8), and AC, which a kernel does not expect. */
const CLEARED_FLAGS = FLAG_AC | FLAG_VM | FLAG_RF | FLAG_NT | FLAG_TF;

const DR6 = CPU_DR + 6 * 8;

const SS_WORD = 6;
const RSP_WORD = 5;
const FLAGS_WORD = 4;
const CS_WORD = 3;
const RIP_WORD = 2;

/**
 * Builds a frame and points the vCPU at `address` in its kernel. `error` is NO_ERROR_CODE or the error code to push;
 * `masksEvents` sets the event mask after saving it; `resume` is FLAG_RF for a fault, else 0. Crashes the domain where Xen
 * does: no handler, or a stack that cannot be written.
 */
export function bounce(vcpu: XenVcpu, address: Gva, error: number, masksEvents: boolean, resume = 0): void {
  const { state, domain } = vcpu;
  const { memory } = domain.host;
  let cs = state.selector(CS);
  let top: Gva;
  if (vcpu.kernelMode) {
    top = state.reg(RSP);
    cs &= 0xfffc;
  } else {
    vcpu.toggleMode();
    top = vcpu.kernelSp;
  }
  top -= ((top % 16) + 16) % 16;
  if (top > wide.HYPERVISOR_VIRT_START && top < wide.HYPERVISOR_VIRT_END + FRAME_BYTES_LIMIT) {
    vcpu.crash(`the kernel's stack ${formatGva(top)} lies in the hypervisor's part of the address space`);
    return;
  }
  const words = error === NO_ERROR_CODE ? 7 : 8;
  const bottom = top - words * 8;
  // The frame is at most 64 bytes, so it lies in one page or in two.
  const last = vcpu.guest.tryHost(top - 8, true);
  const crosses = ((bottom | 0) & (PAGE_SIZE - 1)) > PAGE_SIZE - words * 8;
  const first = crosses ? vcpu.guest.tryHost(bottom, true) : last - (words - 1) * 8;
  if (last === 0 || first === 0) {
    vcpu.crash(`the kernel's stack ${formatGva(bottom)} is not writable`);
    return;
  }
  const { frame } = vcpu;
  const maskAt = vcpu.vcpuInfoHost + MASK_OFFSET;
  const mask = memory.u8[maskAt]!;
  const flags = state.rflags;
  let pushed = (flags & ~(FLAG_IF | FLAG_IOPL)) | resume;
  if (mask === 0) pushed |= FLAG_IF;
  if (domain.hasAssist(VMASST_TYPE_architectural_iopl)) pushed |= vcpu.iopl << 12;
  // With an error code, what lies below it moves down by one word.
  const shift = words - 7;
  setWord(frame, SS_WORD + shift, state.selector(SS), 0);
  setWord(frame, RSP_WORD + shift, state.regLow(RSP), state.regHigh(RSP));
  setWord(frame, FLAGS_WORD + shift, pushed, 0);
  setWord(frame, CS_WORD + shift, cs, mask);
  setWord(frame, RIP_WORD + shift, vcpu.ripLow(), vcpu.ripHigh());
  if (shift !== 0) setWord(frame, RIP_WORD, error, 0);
  setWord(frame, 1, state.regLow(R11), state.regHigh(R11));
  setWord(frame, 0, state.regLow(RCX), state.regHigh(RCX));
  vcpu.storeFrame(words, bottom, first, last);
  if (masksEvents) memory.u8[maskAt] = mask | 1;

  vcpu.clearFlags(CLEARED_FLAGS);
  vcpu.setSelector(SS, wide.FLAT_KERNEL_SS);
  vcpu.setSelector(CS, wide.FLAT_KERNEL_CS);
  state.setRegNumber(RSP, bottom);
  if (address === 0) {
    vcpu.crash('the kernel was to be entered at an address that it has not registered');
    return;
  }
  state.rip = address;
  vcpu.returnsBySysret = true;
}

function setWord(frame: Int32Array, index: number, low: number, high: number): void {
  frame[index * 2] = low;
  frame[index * 2 + 1] = high;
}

/**
 * Hands a fault of the processor to the guest's kernel, RIP being that of the instruction. Its frame has RF set (Intel SDM
 * 3B, 18.3.1.1), which Xen passes on.
 */
export function injectFault(vcpu: XenVcpu, vector: number, error: number): void {
  injectException(vcpu, vector, error, FLAG_RF);
}

/** Hands a hardware exception to the guest's kernel; RIP is where the frame shall say it happened. `resume`: see `bounce`. */
export function injectException(vcpu: XenVcpu, vector: number, error: number, resume = 0): void {
  const { traps, domain } = vcpu;
  const { trace } = domain.host;
  const code = ((HAVE_ERROR_CODE >>> vector) & 1) !== 0 ? error : NO_ERROR_CODE;
  if (trace.traps) trace.sink.trap(vcpu, vector, code === NO_ERROR_CODE ? 0 : code, 0);
  if (traps.isNull(vector, domain.is64)) {
    vcpu.crash(describeUnhandled(vcpu, vector, error));
    return;
  }
  bounce(vcpu, traps.address[vector]!, code, traps.masksEvents(vector), resume);
}

/** Hands #DB to the guest's kernel, `conditions` being what DR6 shows in addition from now on. */
export function injectDebug(vcpu: XenVcpu, conditions: number): void {
  const { state } = vcpu;
  state.set(DR6, state.low(DR6) | conditions, 0);
  injectException(vcpu, VECTOR_DB, 0);
}

/** Hands a page fault to the guest's kernel: CR2 first, and the user bit as the guest counts modes. */
export function injectPageFault(vcpu: XenVcpu, address: Gva, error: number): void {
  const { traps, domain } = vcpu;
  const { trace } = domain.host;
  const code = vcpu.kernelMode ? error & ~PFEC_USER : error | PFEC_USER;
  vcpu.setCr2(address | 0, Math.floor(address / 4294967296) | 0);
  if (trace.traps) trace.sink.trap(vcpu, VECTOR_PF, code, address);
  if (traps.isNull(VECTOR_PF, domain.is64)) {
    vcpu.crash(`${describeUnhandled(vcpu, VECTOR_PF, code)} at address ${formatGva(address)}`);
    return;
  }
  bounce(vcpu, traps.address[VECTOR_PF]!, code, traps.masksEvents(VECTOR_PF), FLAG_RF);
}

/** INT n that the guest's table permits: no error code, RIP behind the instruction. */
export function injectInterrupt(vcpu: XenVcpu, vector: number): void {
  const { traps, domain } = vcpu;
  const { trace } = domain.host;
  if (trace.traps) trace.sink.trap(vcpu, vector, 0, 0);
  if (traps.isNull(vector, domain.is64)) {
    vcpu.crash(describeUnhandled(vcpu, vector, 0));
    return;
  }
  bounce(vcpu, traps.address[vector]!, NO_ERROR_CODE, traps.masksEvents(vector));
}

const NAMES = '#DE #DB NMI #BP #OF #BR #UD #NM #DF coproc #TS #NP #SS #GP #PF reserved #MF #AC #MC #XM'.split(
  ' ',
);

function describeUnhandled(vcpu: XenVcpu, vector: number, error: number): string {
  const name = NAMES[vector] ?? `interrupt 0x${vector.toString(16)}`;
  const code =
    vector < 32 && ((HAVE_ERROR_CODE >>> vector) & 1) !== 0 ? ` (error code 0x${error.toString(16)})` : '';
  return `unhandled ${name}${code} at RIP ${formatGva(vcpu.state.rip)}: the kernel has no handler for vector ${vector}`;
}
