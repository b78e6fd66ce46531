/**
 * The whole state of a vCPU in one structure, `vcpu_guest_context`: what the domain builder gives the boot vCPU, and
 * what VCPUOP_initialise gives the others. (Xen 4.17, arch/x86/domain.c: arch_set_info_guest; public/arch-x86/xen.h.)
 */
import {
  FIRST_RESERVED_GDT_ENTRY,
  VGCF_failsafe_disables_events,
  VGCF_I387_VALID,
  VGCF_in_kernel,
  VGCF_online,
  VGCF_syscall_disables_events,
  VMASST_TYPE_4gb_segments,
  VMASST_TYPE_4gb_segments_notify,
  VMASST_TYPE_architectural_iopl,
  VMASST_TYPE_m2p_strict,
  VMASST_TYPE_runstate_update_flag,
  VMASST_TYPE_writable_pagetables,
  XEN_EINVAL,
  XEN_EOPNOTSUPP,
} from '../abi/xen/numbers/index.ts';
import { trap_info, vcpu_guest_context } from '../abi/xen/structures/index.ts';
import { memoryOf, StructureView } from '../abi/xen/view.ts';
import { CPU_DR, CPU_RIP } from '../machine/layout.ts';
import { PAGE_SIZE } from '../machine/memory.ts';
import {
  CS,
  DS,
  ES,
  FLAG_IF,
  FLAG_IOPL,
  FS,
  GS,
  R8,
  R9,
  R10,
  R11,
  R12,
  R13,
  R14,
  R15,
  RAX,
  RBP,
  RBX,
  RCX,
  RDI,
  RDX,
  RSI,
  RSP,
  SS,
} from '../machine/x86/registers.ts';
import { isCanonical } from './canonical.ts';
import { CR0_TS, DR6_INITIAL, DR7_INITIAL, writeCr4, writeDebugRegister } from './control.ts';
import { loadFxsave } from './fpu.ts';
import { DESCRIPTORS_PER_FRAME, fixupSelector } from './segments.ts';
import { TRAP_VECTORS } from './traps.ts';
import type { XenVcpu } from './vcpu.ts';

const CONTEXT = vcpu_guest_context.x64;
const TRAP = trap_info.x64;
const LDT_MAX_ENTRIES = 8192;
const IOPL_SHIFT = 12;

/** The size of a context: what `applyVcpuContext` takes. Fill it with a `StructureView` of `vcpu_guest_context.x64`. */
export const VCPU_CONTEXT_BYTES = CONTEXT.size;

/** Field of user_regs by encoding number of the register. */
const GENERAL = {
  user_regs_rax: RAX,
  user_regs_rcx: RCX,
  user_regs_rdx: RDX,
  user_regs_rbx: RBX,
  user_regs_rsp: RSP,
  user_regs_rbp: RBP,
  user_regs_rsi: RSI,
  user_regs_rdi: RDI,
  user_regs_r8: R8,
  user_regs_r9: R9,
  user_regs_r10: R10,
  user_regs_r11: R11,
  user_regs_r12: R12,
  user_regs_r13: R13,
  user_regs_r14: R14,
  user_regs_r15: R15,
} as const;

const ADDRESSES = [
  'user_regs_rip',
  'user_regs_rsp',
  'kernel_sp',
  'ldt_base',
  'fs_base',
  'gs_base_kernel',
  'gs_base_user',
  'event_callback_eip',
  'syscall_callback_eip',
  'failsafe_callback_eip',
] as const;

/** VM assists that a 64-bit PV domain may have. */
const ASSISTS_LOW =
  (1 << VMASST_TYPE_4gb_segments) |
  (1 << VMASST_TYPE_4gb_segments_notify) |
  (1 << VMASST_TYPE_writable_pagetables) |
  (1 << VMASST_TYPE_architectural_iopl) |
  (1 << VMASST_TYPE_runstate_update_flag);
const ASSISTS_HIGH = 1 << (VMASST_TYPE_m2p_strict - 32);

/**
 * Gives a vCPU that is not running the state in `bytes` (a 64-bit `vcpu_guest_context`). Its roots and GDT frames are
 * checked and get their references. Returns 0 or a negative errno; after an error the vCPU is not initialised.
 */
export function applyVcpuContext(vcpu: XenVcpu, bytes: Uint8Array): number {
  const { domain, state, callbacks } = vcpu;
  // What is left of the state is set once; an initialised vCPU would have to match it, and nobody asks for that.
  if (vcpu.initialised) return -XEN_EOPNOTSUPP;
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const context = new StructureView(CONTEXT, memoryOf(data), 0);
  const number = (at: number) => data.getInt32(at + 4, true) * 4294967296 + data.getUint32(at, true);
  if (ADDRESSES.some((name) => !isCanonical(context.get(name)))) return -XEN_EINVAL;
  for (let i = 0; i < TRAP_VECTORS; i++) {
    if (!isCanonical(number(CONTEXT.offset.trap_ctxt + i * TRAP.size + TRAP.offset.address)))
      return -XEN_EINVAL;
  }
  const ldtEntries = context.get('ldt_ents');
  const gdtEntries = context.get('gdt_ents');
  if (context.get('ldt_base') % PAGE_SIZE !== 0 || ldtEntries > LDT_MAX_ENTRIES) return -XEN_EINVAL;
  if (gdtEntries < 0 || gdtEntries > FIRST_RESERVED_GDT_ENTRY) return -XEN_EINVAL;
  const flags = context.get('flags');
  const inKernel = (flags & VGCF_in_kernel) !== 0;
  const roots = CONTEXT.offset.ctrlreg;
  const kernelRoot = Math.floor(number(roots + 3 * 8) / PAGE_SIZE);
  const userRoot = Math.floor(number(roots + 1 * 8) / PAGE_SIZE);
  if (!inKernel && userRoot === 0) return -XEN_EINVAL;
  const assists = CONTEXT.offset.vm_assist;
  const assistsLow = data.getInt32(assists, true);
  const assistsHigh = data.getInt32(assists + 4, true);
  if (vcpu.id === 0 && ((assistsLow & ~ASSISTS_LOW) | (assistsHigh & ~ASSISTS_HIGH)) !== 0)
    return -XEN_EINVAL;

  if (vcpu.id === 0) {
    domain.vmAssist = assistsLow;
    domain.vmAssistHigh = assistsHigh;
  }
  const gdt: number[] = [];
  for (let i = 0; i < Math.ceil(gdtEntries / DESCRIPTORS_PER_FRAME); i++) {
    gdt.push(number(CONTEXT.offset.gdt_frames + i * 8));
  }
  if (!vcpu.tables.setGdt(gdt, gdtEntries)) return -XEN_EINVAL;
  vcpu.kernelMode = inKernel;
  const error = domain.mm.installRoots(vcpu, kernelRoot, userRoot);
  if (error !== 0) {
    vcpu.tables.releaseGdt();
    return error;
  }

  if ((flags & VGCF_I387_VALID) !== 0) loadFxsave(state, bytes.subarray(0, 512));
  else state.resetFpu();
  for (const [name, register] of Object.entries(GENERAL)) {
    const at = CONTEXT.offset[name as keyof typeof GENERAL];
    state.setReg(register, data.getInt32(at, true), data.getInt32(at + 4, true));
  }
  const rip = CONTEXT.offset.user_regs_rip;
  state.set(CPU_RIP, data.getInt32(rip, true), data.getInt32(rip + 4, true));
  const rflags = context.get('user_regs_rflags');
  vcpu.iopl = (rflags & FLAG_IOPL) >>> IOPL_SHIFT;
  vcpu.setFlags((rflags & ~FLAG_IOPL) | FLAG_IF);
  vcpu.setSelector(CS, fixupSelector(context.get('user_regs_cs'), true));
  vcpu.setSelector(SS, fixupSelector(context.get('user_regs_ss'), true));
  vcpu.setSelector(DS, context.get('user_regs_ds'));
  vcpu.setSelector(ES, context.get('user_regs_es'));
  vcpu.setSelector(FS, context.get('user_regs_fs'));
  vcpu.setSelector(GS, context.get('user_regs_gs'));
  vcpu.dataSegmentsPending = true;
  setBases(vcpu, data, inKernel);

  for (let i = 0; i < TRAP_VECTORS; i++) {
    const at = CONTEXT.offset.trap_ctxt + i * TRAP.size;
    const selector = fixupSelector(data.getUint16(at + TRAP.offset.cs, true), true);
    // The place in the array is the vector; what the entry says of itself is not looked at.
    vcpu.traps.set(i, selector, data.getUint8(at + TRAP.offset.flags), number(at + TRAP.offset.address));
  }
  vcpu.tables.setLdt(ldtEntries === 0 ? 0 : context.get('ldt_base'), ldtEntries);
  vcpu.kernelSs = fixupSelector(context.get('kernel_ss') & 0xffff, true);
  vcpu.kernelSp = context.get('kernel_sp');
  vcpu.taskSwitched = (data.getInt32(roots, true) & CR0_TS) !== 0;
  writeCr4(vcpu, data.getInt32(roots + 4 * 8, true));
  callbacks.event.address = context.get('event_callback_eip');
  callbacks.failsafe.address = context.get('failsafe_callback_eip');
  callbacks.failsafe.masksEvents = (flags & VGCF_failsafe_disables_events) !== 0;
  callbacks.syscall.address = context.get('syscall_callback_eip');
  callbacks.syscall.masksEvents = (flags & VGCF_syscall_disables_events) !== 0;
  setDebugRegisters(vcpu, data);

  vcpu.initialised = true;
  vcpu.setOnline((flags & VGCF_online) !== 0);
  return 0;
}

function setBases(vcpu: XenVcpu, data: DataView, inKernel: boolean): void {
  const { state } = vcpu;
  const { fs_base, gs_base_kernel, gs_base_user } = CONTEXT.offset;
  const active = inKernel ? gs_base_kernel : gs_base_user;
  const inactive = inKernel ? gs_base_user : gs_base_kernel;
  state.setSegmentBase(FS, data.getInt32(fs_base, true), data.getInt32(fs_base + 4, true));
  state.setSegmentBase(GS, data.getInt32(active, true), data.getInt32(active + 4, true));
  vcpu.gsBaseInactiveLow = data.getInt32(inactive, true);
  vcpu.gsBaseInactiveHigh = data.getInt32(inactive + 4, true);
}

/** Values that a guest could not set are passed over, as Xen does. */
function setDebugRegisters(vcpu: XenVcpu, data: DataView): void {
  vcpu.state.set(CPU_DR + 6 * 8, DR6_INITIAL, 0);
  vcpu.state.set(CPU_DR + 7 * 8, DR7_INITIAL, 0);
  for (const register of [0, 1, 2, 3, 6, 7]) {
    const at = CONTEXT.offset.debugreg + register * 8;
    writeDebugRegister(vcpu, register, data.getInt32(at, true), data.getInt32(at + 4, true));
  }
}
