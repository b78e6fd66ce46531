/** Registers, traps and the initial state of a vCPU on x86 (Xen 4.17, public/arch-x86). */
import { array, only32, only64, struct, structPerAbi, u8, u16, u32, u64, ulong } from '../layout.ts';

/** One element of set_trap_table's array; an entry with address 0 ends it. */
export const trap_info = struct('trap_info', {
  vector: u8,
  /** Bits 0..1: privilege from which `int n` may reach it; bit 2: mask events on entry. */
  flags: u8,
  cs: u16,
  address: ulong,
});

/** The frame on the kernel's stack that the iret hypercall returns by. */
export const iret_context = structPerAbi(
  'iret_context',
  struct({}),
  struct({
    /** The three registers that the hypercall itself destroys. */
    rax: u64,
    r11: u64,
    rcx: u64,
    /** VGCF_in_syscall. */
    flags: u64,
    rip: u64,
    cs: u64,
    /** IF becomes the vCPU's event mask, inverted. */
    rflags: u64,
    rsp: u64,
    ss: u64,
  }),
);

/** A vCPU's general registers. */
export const cpu_user_regs = structPerAbi(
  'cpu_user_regs',
  struct({
    ebx: u32,
    ecx: u32,
    edx: u32,
    esi: u32,
    edi: u32,
    ebp: u32,
    eax: u32,
    error_code: u16,
    entry_vector: u16,
    eip: u32,
    cs: u16,
    saved_upcall_mask: u8,
    _pad0: u8,
    eflags: u32,
    esp: u32,
    ss: u16,
    _pad1: u16,
    es: u16,
    _pad2: u16,
    ds: u16,
    _pad3: u16,
    fs: u16,
    _pad4: u16,
    gs: u16,
    _pad5: u16,
  }),
  struct({
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    rbp: u64,
    rbx: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rax: u64,
    rcx: u64,
    rdx: u64,
    rsi: u64,
    rdi: u64,
    error_code: u32,
    entry_vector: u32,
    rip: u64,
    cs: u16,
    _pad0: array(u16, 1),
    saved_upcall_mask: u8,
    _pad1: array(u8, 3),
    rflags: u64,
    rsp: u64,
    ss: u16,
    _pad2: array(u16, 3),
    es: u16,
    _pad3: array(u16, 3),
    ds: u16,
    _pad4: array(u16, 3),
    fs: u16,
    _pad5: array(u16, 3),
    gs: u16,
    _pad6: array(u16, 3),
  }),
);

/** All of a vCPU's state: what VCPUOP_initialise takes, and what a saved domain holds. */
export const vcpu_guest_context = struct('vcpu_guest_context', {
  /** The FXSAVE image. */
  fpu_ctxt: array(u8, 512),
  /** VGCF_*. */
  flags: ulong,
  user_regs: cpu_user_regs,
  /** Elements of trap_info, by vector. */
  trap_ctxt: array(trap_info, 256),
  ldt_base: ulong,
  ldt_ents: ulong,
  /** Machine frames. */
  gdt_frames: array(ulong, 16),
  gdt_ents: ulong,
  kernel_ss: ulong,
  kernel_sp: ulong,
  /** cr0..cr7: [3] is the kernel's root and, in 64-bit mode, [1] the user's, as xen_pfn_to_cr3 gives them. */
  ctrlreg: array(ulong, 8),
  debugreg: array(ulong, 8),
  event_callback_cs: only32(ulong),
  event_callback_eip: ulong,
  failsafe_callback_cs: only32(ulong),
  failsafe_callback_eip: ulong,
  syscall_callback_eip: only64(ulong),
  /** Bits VMASST_TYPE_*. */
  vm_assist: ulong,
  fs_base: only64(u64),
  gs_base_kernel: only64(u64),
  gs_base_user: only64(u64),
});

/** One CPUID leaf, as the toolstack sets it. */
export const xen_cpuid_leaf = struct('xen_cpuid_leaf', {
  leaf: u32,
  /** XEN_CPUID_NO_SUBLEAF if the leaf has none. */
  subleaf: u32,
  a: u32,
  b: u32,
  c: u32,
  d: u32,
});

/** One MSR, as the toolstack sets it. */
export const xen_msr_entry = struct('xen_msr_entry', {
  idx: u32,
  /** Reserved, 0. */
  flags: u32,
  val: u64,
});
