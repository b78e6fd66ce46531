/**
 * The processor without its privileged instructions. The frequent have hypercalls (or need none), the rare are executed
 * as they are: Xen catches the fault and does what is allowed.
 */
import { SEGBASE_FS, SEGBASE_GS_USER } from '../../abi/xen/numbers/arch-x86_64.ts';
import { PHYSDEVOP_set_iopl } from '../../abi/xen/numbers/physdev.ts';
import { physdev_set_iopl_iopl, SIZEOF_physdev_set_iopl } from '../abi/structures';
import { forcedCpuid } from '../machine/hypercall';
import { rdmsr, rdtsc, readCr0, readCr4, wbinvd, writeCr4, wrmsr } from '../machine/processor';
import { enterLazyCpuMode, LAZY_CPU, leaveLazyCpuMode, leftLazyMmu } from '../paravirt/lazy';
import { HYPERVISOR_get_debugreg, HYPERVISOR_set_debugreg, HYPERVISOR_set_segment_base } from './hypercall';
import { HYPERVISOR_physdev_op } from './hypercall-compat';
import { mcFlushBefore } from './mmu-entries';
import { MULTI_fpu_taskswitch } from './multi';
import { mcBatch, mcEntry, mcIssue } from './multicall';

const CR0_TASK_SWITCHED: u64 = 8;
const CR4_PSE: u64 = 0x10;
const CR4_PGE: u64 = 0x80;
const MSR_FS_BASE: u32 = 0xc0000100;
const MSR_KERNEL_GS_BASE: u32 = 0xc0000102;

// CPUID leaf 1. ACPI and APIC are what a kernel must not start to drive here; large and global pages Xen does not grant,
// MTRRs and machine checks are Xen's own.
const LEAF1_EDX_HIDDEN: u32 =
  (1 << 3) | (1 << 7) | (1 << 9) | (1 << 12) | (1 << 13) | (1 << 14) | (1 << 17) | (1 << 22) | (1 << 29);
/** MONITOR, PCID, x2APIC. */
const LEAF1_ECX_HIDDEN: u32 = (1 << 3) | (1 << 17) | (1 << 21);
/** Leaf 0x80000001: the same in AMD's copy of EDX, and pages of 1 GiB. */
const EXTENDED_EDX_HIDDEN: u32 =
  (1 << 3) | (1 << 7) | (1 << 9) | (1 << 12) | (1 << 13) | (1 << 14) | (1 << 17) | (1 << 26);

/** cpu.cpuid: the forced form, so that Xen answers even where the processor does not fault. */
export function xenCpuid(leaf: u32, subleaf: u32, into: usize): void {
  forcedCpuid(leaf, subleaf, into);
  if (leaf === 1) {
    store<u32>(into, load<u32>(into, 8) & ~LEAF1_ECX_HIDDEN, 8);
    store<u32>(into, load<u32>(into, 12) & ~LEAF1_EDX_HIDDEN, 12);
  } else if (leaf === 0x80000001) {
    store<u32>(into, load<u32>(into, 12) & ~EXTENDED_EDX_HIDDEN, 12);
  }
}

/** What we believe of CR0: Xen changes none of it behind our back. 0: not read yet. */
let cr0: u64 = 0;

/** cpu.read_cr0 */
export function xenReadCr0(): u64 {
  if (cr0 === 0) cr0 = readCr0();
  return cr0;
}

/** cpu.write_cr0: only TS is ours to change. */
export function xenWriteCr0(value: u64): void {
  const before = xenReadCr0();
  cr0 = (before & ~CR0_TASK_SWITCHED) | (value & CR0_TASK_SWITCHED);
  if (cr0 === before) return;
  mcBatch();
  MULTI_fpu_taskswitch(mcEntry(0), (value & CR0_TASK_SWITCHED) !== 0 ? 1 : 0);
  mcIssue(LAZY_CPU);
}

/** cpu.clts */
export function xenClts(): void {
  xenWriteCr0(xenReadCr0() & ~CR0_TASK_SWITCHED);
}

/** cpu.read_cr4 */
export function xenReadCr4(): u64 {
  return readCr4();
}

/** cpu.write_cr4: large and global pages are not to be had. */
export function xenWriteCr4(value: u64): void {
  writeCr4(value & ~(CR4_PSE | CR4_PGE));
}

/** cpu.get_debugreg */
export function xenGetDebugRegister(index: u32): u64 {
  return <u64>HYPERVISOR_get_debugreg(index);
}

/** cpu.set_debugreg */
export function xenSetDebugRegister(index: u32, value: u64): void {
  HYPERVISOR_set_debugreg(index, <Word>value);
}

/** cpu.read_msr */
export function xenReadMsr(register: u32): u64 {
  return rdmsr(register);
}

/** cpu.write_msr: bases of segments have a hypercall. */
export function xenWriteMsr(register: u32, value: u64): void {
  if (register === MSR_FS_BASE) HYPERVISOR_set_segment_base(SEGBASE_FS, value);
  else if (register === MSR_KERNEL_GS_BASE) HYPERVISOR_set_segment_base(SEGBASE_GS_USER, value);
  else wrmsr(register, value);
}

/** cpu.read_tsc */
export function xenReadTsc(): u64 {
  return rdtsc();
}

/** cpu.wbinvd */
export function xenWriteBackCaches(): void {
  wbinvd();
}

/** cpu.io_delay: there is no slow device. */
export function xenIoDelay(): void {}

const iopl: usize = memory.data(SIZEOF_physdev_set_iopl, 4);

/** cpu.set_iopl_mask */
export function xenSetIoplMask(mask: u32): void {
  store<u32>(iopl, (mask >> 12) & 3, physdev_set_iopl_iopl);
  HYPERVISOR_physdev_op(PHYSDEVOP_set_iopl, iopl);
}

/** cpu.start_context_switch: the task that is left may have kept updates back, which are made as it would want them. */
export function xenStartContextSwitch(): void {
  mcFlushBefore();
  enterLazyCpuMode();
}

/** cpu.end_context_switch: the one multicall. */
export function xenEndContextSwitch(): void {
  mcFlushBefore();
  leaveLazyCpuMode(leftLazyMmu());
}
