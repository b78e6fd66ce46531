/**
 * What an exit of the processor means for a PV guest.
 *
 *     SYSCALL      from the kernel: a hypercall. From the user: its kernel's syscall callback.
 *     INT n        what the guest's trap table permits, as if every gate of Xen's own IDT had DPL 0.
 *     exceptions   page faults may be writes to page tables, #GP may be a privileged instruction, #UD the forced CPUID;
 *                  whatever Xen does not deal with goes to the guest's handler.
 *
 * (Xen 4.17, arch/x86/traps.c; arch/x86/x86_64/entry.S: lstar_enter, cstar_enter, sysenter_entry, int80_direct_trap.)
 */
import { VMASST_TYPE_writable_pagetables, x86_64 as wide } from '../abi/xen/numbers/index.ts';
import { CPU_RIP, PF_FETCH, PF_PRESENT, PF_RESERVED, PF_WRITE } from '../machine/layout.ts';
import { Exit } from '../machine/x86/exits.ts';
import { formatGva } from '../machine/x86/guest-memory.ts';
import {
  CS,
  FLAG_DF,
  FLAG_NT,
  R11,
  RCX,
  RSP,
  SS,
  VECTOR_BP,
  VECTOR_DB,
  VECTOR_DF,
  VECTOR_GP,
  VECTOR_NM,
  VECTOR_OF,
  VECTOR_PF,
  VECTOR_UD,
} from '../machine/x86/registers.ts';
import {
  bounce,
  injectDebug,
  injectException,
  injectFault,
  injectInterrupt,
  injectPageFault,
  NO_ERROR_CODE,
} from './bounce.ts';
import { answerCpuid } from './emulate/cpuid.ts';
import { emulateForcedCpuid } from './emulate/invalid-op.ts';
import { emulatePrivileged } from './emulate/privileged.ts';
import { trapIfStepping } from './emulate/retire.ts';
import type { XenVcpu } from './vcpu.ts';

/** Error code of a fault that names an IDT entry. */
const ERROR_IDT = 2;
/** 32-bit guests only: their kernels make hypercalls by it. */
const HYPERCALL_VECTOR = 0x82;
const LEGACY_SYSCALL_VECTOR = 0x80;
const SYSCALL_BYTES = 2;
const INT1_BYTES = 1;
const VECTORS_OF_EXCEPTIONS = 32;

export function handleExit(vcpu: XenVcpu, exit: Exit): void {
  switch (exit) {
    case Exit.Syscall:
      handleSyscall(vcpu);
      break;
    case Exit.Exception:
      handleException(vcpu, vcpu.state.exitVector, vcpu.state.exitError);
      break;
    case Exit.Interrupt:
      handleInterrupt(vcpu, vcpu.state.exitVector, vcpu.state.exitLength);
      break;
    case Exit.Cpuid:
      answerCpuid(vcpu);
      break;
    case Exit.Sysenter:
      handleSysenter(vcpu);
      break;
    case Exit.Vmcall:
      // No hardware virtualization here: to a PV guest these are undefined instructions.
      injectFault(vcpu, VECTOR_UD, 0);
      break;
    case Exit.Budget:
      break;
    default:
      vcpu.crash(`the processor stopped for a reason (${exit}) that ring 3 cannot give`);
  }
}

function handleSyscall(vcpu: XenVcpu): void {
  const { state, domain, callbacks } = vcpu;
  // What the instruction itself does, whoever executes it.
  state.setReg(RCX, vcpu.ripLow(), vcpu.ripHigh());
  state.setReg(R11, state.rflags, 0);
  vcpu.returnsBySysret = true;
  const compat = !state.longMode;
  if (!compat && vcpu.kernelMode) {
    domain.hypercalls.dispatch(vcpu);
    return;
  }
  vcpu.setSelector(CS, compat ? wide.FLAT_USER_CS32 : wide.FLAT_KERNEL_CS64);
  vcpu.setSelector(SS, compat ? wide.FLAT_USER_SS32 : wide.FLAT_KERNEL_SS);
  const { address } = compat ? callbacks.syscall32 : callbacks.syscall;
  if (address === 0) {
    state.rip = state.rip - SYSCALL_BYTES;
    injectException(vcpu, VECTOR_UD, 0);
    return;
  }
  // The events flag is that of the 64-bit callback in both cases, as in Xen.
  bounce(vcpu, address, NO_ERROR_CODE, callbacks.syscall.masksEvents);
  vcpu.clearFlags(FLAG_DF);
}

/** SYSENTER saves nothing, so the frame can say little. */
function handleSysenter(vcpu: XenVcpu): void {
  const { state, callbacks } = vcpu;
  state.set(CPU_RIP, 0, 0);
  state.setReg(RSP, 0, 0);
  vcpu.setSelector(CS, 3);
  vcpu.setSelector(SS, wide.FLAT_USER_SS);
  vcpu.returnsBySysret = true;
  if (callbacks.sysenter.address === 0) {
    injectException(vcpu, VECTOR_GP, 0);
    return;
  }
  bounce(vcpu, callbacks.sysenter.address, NO_ERROR_CODE, callbacks.sysenter.masksEvents);
  vcpu.clearFlags(FLAG_NT);
}

/** INT n, INT3, INTO: RIP is behind the instruction. */
function handleInterrupt(vcpu: XenVcpu, vector: number, length: number): void {
  const { domain, state, traps } = vcpu;
  if (vector === HYPERCALL_VECTOR && !domain.is64 && vcpu.kernelMode) {
    domain.hypercalls.dispatch(vcpu);
    return;
  }
  // The gates of these two can be reached from ring 3, and INT1 asks no gate: the guest's own privilege level for them is not
  // looked at.
  if (vector === VECTOR_BP || vector === VECTOR_OF || (vector === VECTOR_DB && length === INT1_BYTES)) {
    injectException(vcpu, vector, 0);
    return;
  }
  const direct = vector === LEGACY_SYSCALL_VECTOR && !traps.isNull(vector, domain.is64);
  if (direct || traps.dpl(vector) >= (vcpu.kernelMode ? 1 : 3)) {
    injectInterrupt(vcpu, vector);
    return;
  }
  state.rip = state.rip - length;
  injectFault(vcpu, VECTOR_GP, (vector << 3) | ERROR_IDT);
}

function handleException(vcpu: XenVcpu, vector: number, error: number): void {
  const { state, domain } = vcpu;
  domain.host.stats.exceptions.counts[vector % VECTORS_OF_EXCEPTIONS]!++;
  switch (vector) {
    case VECTOR_PF:
      handlePageFault(vcpu, error);
      break;
    case VECTOR_GP:
      // A fault with an error code names a selector: nothing to emulate.
      if (error !== 0 || !emulatePrivileged(vcpu)) injectFault(vcpu, VECTOR_GP, error);
      break;
    case VECTOR_UD:
      if (!emulateForcedCpuid(vcpu)) injectFault(vcpu, VECTOR_UD, 0);
      break;
    case VECTOR_NM:
      injectFault(vcpu, VECTOR_NM, 0);
      vcpu.taskSwitched = false;
      break;
    case VECTOR_DB:
      // The exit's error word carries the conditions as DR6 shows them.
      injectDebug(vcpu, error);
      break;
    case VECTOR_DF:
      vcpu.crash(`double fault at RIP ${formatGva(state.rip)}`);
      break;
    default:
      injectFault(vcpu, vector, error);
  }
}

function handlePageFault(vcpu: XenVcpu, error: number): void {
  const { state, domain } = vcpu;
  const address = state.exitAddress;
  const writesPresent =
    (error & (PF_WRITE | PF_PRESENT | PF_RESERVED | PF_FETCH)) === (PF_WRITE | PF_PRESENT);
  if (
    writesPresent &&
    vcpu.kernelMode &&
    !(address >= wide.HYPERVISOR_VIRT_START && address < wide.HYPERVISOR_VIRT_END) &&
    domain.hasAssist(VMASST_TYPE_writable_pagetables) &&
    domain.mm.handlePageFault(vcpu.id, address, error)
  ) {
    trapIfStepping(vcpu);
    return;
  }
  injectPageFault(vcpu, address, error);
}
