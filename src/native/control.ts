/**
 * Control and debug registers and EFER: which values a processor in long mode takes, and what follows from them for address
 * translation. (Intel SDM 3A, 2.5 and 4.1; 3B, 17.2; 4, table 2-2.)
 *
 * There is no way out of long mode: clearing CR0.PG, CR4.PAE or EFER.LME is #GP(0), as it is for 64-bit code on any
 * processor; a kernel that leaves through compatibility mode gets the same.
 */
import {
  CPU_CR2,
  CPU_DR,
  CPU_EFER,
  CPU_PAGING,
  PAGING_LONG,
  PAGING_NX,
  PAGING_ON,
  PAGING_PAE,
  PAGING_WRITE_PROTECT,
} from '../machine/layout.ts';
import { setDebugRegister } from '../machine/x86/breakpoints.ts';
import { VECTOR_DB, VECTOR_GP, VECTOR_UD } from '../machine/x86/registers.ts';
import { CpuFault } from './fault.ts';
import type { NativeVcpu } from './vcpu.ts';

export const CR0_PE = 0x1;
const CR0_MP = 0x2;
const CR0_EM = 0x4;
export const CR0_TS = 0x8;
const CR0_ET = 0x10;
const CR0_NE = 0x20;
const CR0_WP = 0x10000;
const CR0_AM = 0x40000;
const CR0_NW = 0x20000000;
const CR0_CD = 0x40000000;
const CR0_PG = 0x80000000 | 0;
const CR0_BITS =
  CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG;
/** Protected mode, paging, and the numeric coprocessor that is always there. */
export const CR0_INITIAL = CR0_PE | CR0_ET | CR0_PG;
/** What LMSW reaches. */
const MSW_BITS = CR0_PE | CR0_MP | CR0_EM | CR0_TS;

const CR4_TSD = 0x4;
export const CR4_DE = 0x8;
const CR4_PSE = 0x10;
export const CR4_PAE = 0x20;
const CR4_MCE = 0x40;
const CR4_PGE = 0x80;
const CR4_OSFXSR = 0x200;
const CR4_OSXMMEXCPT = 0x400;
/** As CPUID tells: no VME, SMEP, SMAP, PCID, FSGSBASE, XSAVE, UMIP and the like. */
const CR4_BITS = CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT;

const CR8_BITS = 0xf;
/** Bits 20 and up of the upper half are no address bits: 52 are the most there can be. */
const CR3_HIGH_RESERVED = 0xfff00000 | 0;

export const EFER_SCE = 0x001;
const EFER_LME = 0x100;
const EFER_LMA = 0x400;
const EFER_NXE = 0x800;
export const EFER_INITIAL = EFER_LME | EFER_LMA;

export const DR6_INITIAL = 0xffff0ff0 | 0;
export const DR7_INITIAL = 0x400;
const DR6_ACCESS = 0x2000;
const DR6_WRITABLE = 0xe00f;
const DR7_DETECT = 0x2000;
const DR7_WRITABLE = 0xffff23ff | 0;
const DR7_ONE = 0x400;

/** MOV to CR0. Raises CpuFault for what cannot be. */
export function writeCr0(vcpu: NativeVcpu, low: number, high: number): void {
  const { state } = vcpu;
  const paged = (low & CR0_PG) !== 0 && (low & CR0_PE) !== 0;
  const caching = (low & CR0_NW) === 0 || (low & CR0_CD) !== 0;
  if (high !== 0 || !paged || !caching) throw new CpuFault(VECTOR_GP, 0);
  const changed = low ^ state.cr0;
  state.cr0 = (low & CR0_BITS) | CR0_ET;
  if ((changed & CR0_WP) !== 0) translationChanged(vcpu);
}

/** LMSW: the low four bits, of which PE can be set only. */
export function loadMachineStatus(vcpu: NativeVcpu, value: number): void {
  const { state } = vcpu;
  state.cr0 = (state.cr0 & ~(MSW_BITS & ~CR0_PE)) | (value & MSW_BITS);
}

/** MOV to CR3: the other address space, nothing of it known yet. */
export function writeCr3(vcpu: NativeVcpu, low: number, high: number): void {
  if ((high & CR3_HIGH_RESERVED) !== 0) throw new CpuFault(VECTOR_GP, 0);
  const { processor } = vcpu.domain.host;
  processor.noteTableChange();
  processor.loadRoot(high * 4294967296 + (low >>> 0));
}

export function writeCr4(vcpu: NativeVcpu, low: number, high: number): void {
  const { state } = vcpu;
  if (high !== 0 || (low & ~CR4_BITS) !== 0 || (low & CR4_PAE) === 0) throw new CpuFault(VECTOR_GP, 0);
  const changed = low ^ state.cr4;
  state.cr4 = low;
  if ((changed & (CR4_PSE | CR4_PGE)) !== 0) translationChanged(vcpu);
}

/** CR8, the task priority, holds back nothing: it is the local APIC's, and there is none. */
export function writeCr8(vcpu: NativeVcpu, low: number, high: number): void {
  if (high !== 0 || (low & ~CR8_BITS) !== 0) throw new CpuFault(VECTOR_GP, 0);
  vcpu.taskPriority = low;
}

/** MOV from a control register, the value in `into`. */
export function readControl(vcpu: NativeVcpu, register: number, into: { low: number; high: number }): void {
  const { state } = vcpu;
  into.high = 0;
  if (register === 0) into.low = state.cr0;
  else if (register === 4) into.low = state.cr4;
  else if (register === 8) into.low = vcpu.taskPriority;
  else if (register === 3) {
    into.low = state.cr3 | 0;
    into.high = Math.floor(state.cr3 / 4294967296);
  } else if (register === 2) {
    into.low = state.low(CPU_CR2);
    into.high = state.high(CPU_CR2);
  } else {
    throw new CpuFault(VECTOR_UD, 0);
  }
}

export function writeControl(vcpu: NativeVcpu, register: number, low: number, high: number): void {
  if (register === 0) writeCr0(vcpu, low, high);
  else if (register === 2) vcpu.state.set(CPU_CR2, low, high);
  else if (register === 3) writeCr3(vcpu, low, high);
  else if (register === 4) writeCr4(vcpu, low, high);
  else if (register === 8) writeCr8(vcpu, low, high);
  else throw new CpuFault(VECTOR_UD, 0);
}

/** WRMSR to EFER. Raises CpuFault. */
export function writeEfer(vcpu: NativeVcpu, low: number, high: number): void {
  const { state } = vcpu;
  if (high !== 0 || (low & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)) !== 0)
    throw new CpuFault(VECTOR_GP, 0);
  if ((low & EFER_LME) === 0) throw new CpuFault(VECTOR_GP, 0);
  state.set(CPU_EFER, (low & (EFER_SCE | EFER_NXE)) | EFER_LME | EFER_LMA, 0);
  translationChanged(vcpu);
}

/** CR0.WP, CR4 or EFER.NXE has changed: what the TLB knows was found by other rules. */
export function translationChanged(vcpu: NativeVcpu): void {
  const { processor } = vcpu.domain.host;
  refreshPaging(vcpu);
  processor.noteTableChange();
  processor.loadRoot(vcpu.state.cr3);
}

/** What page walks look at, as CR0 and EFER say. */
export function refreshPaging({ state, domain }: NativeVcpu): void {
  let paging = PAGING_ON | PAGING_PAE | PAGING_LONG;
  if ((state.cr0 & CR0_WP) !== 0) paging |= PAGING_WRITE_PROTECT;
  if ((state.efer & EFER_NXE) !== 0) paging |= PAGING_NX;
  domain.host.memory.i32[(state.base + CPU_PAGING) >>> 2] = paging;
}

/** DR4 and DR5 are other names of DR6 and DR7, unless CR4.DE makes them undefined. Raises CpuFault. */
function debugRegister(vcpu: NativeVcpu, register: number): number {
  const aliased = register === 4 || register === 5;
  if (aliased && (vcpu.state.cr4 & CR4_DE) !== 0) throw new CpuFault(VECTOR_UD, 0);
  const dr7 = CPU_DR + 7 * 8;
  if ((vcpu.state.low(dr7) & DR7_DETECT) !== 0) {
    vcpu.noteDebug(DR6_ACCESS);
    vcpu.state.set(dr7, vcpu.state.low(dr7) & ~DR7_DETECT, 0);
    throw new CpuFault(VECTOR_DB, 0);
  }
  return aliased ? register + 2 : register;
}

export function readDebug(vcpu: NativeVcpu, register: number, into: { low: number; high: number }): void {
  const at = CPU_DR + debugRegister(vcpu, register) * 8;
  into.low = vcpu.state.low(at);
  into.high = vcpu.state.high(at);
}

/** Breakpoints of ports are never hit. */
export function writeDebug(vcpu: NativeVcpu, register: number, low: number, high: number): void {
  const n = debugRegister(vcpu, register);
  if (n >= 4 && high !== 0) throw new CpuFault(VECTOR_GP, 0);
  let value = low;
  if (n === 6) value = (low & DR6_WRITABLE) | DR6_INITIAL;
  else if (n === 7) value = (low & DR7_WRITABLE) | DR7_ONE;
  setDebugRegister(vcpu.state, n, value, high, vcpu.domain.host.processor);
}
