/**
 * Descriptor tables. The processor's IDT is ours, every vector with its entry stub in it; gates of a kernel's table are copied
 * there, except those of interrupts. A GDT is the kernel's, but its first twelve entries are ours, laid out as Linux does:
 *
 *     2  kernel code    4  user code, 32 bits    8, 9    task state
 *     3  kernel data    5  user data             10, 11  LDT
 *                       6  user code             12–14   the user's thread-local storage
 */

import { kernelStackTop, userSelectors } from '../machine/image';
import { native } from '../machine/memory';
import { lgdt, lidt, lldt, loadCs, loadDs, loadEs, loadSs, ltr, rdmsr, wrmsr } from '../machine/processor';
import { ENTRY_STUB_BYTES } from '../machine/trap-frame';
import { GDT_TLS_FIRST, TLS_ENTRIES } from '../paravirt/segments';
import { interruptEntries, systemCallEntry } from './entries';
import { FIRST_VECTOR, IRQS } from './interrupts';

export const KERNEL_CS: u32 = 0x10;
export const KERNEL_SS: u32 = 0x18;
export const USER_CS: u32 = 0x33;
export const USER_SS: u32 = 0x2b;

const TASK: u32 = 0x40;
const LOCAL: u32 = 0x50;
const OUR_ENTRIES: u32 = 12;
const LEAST_ENTRIES: u32 = 16;

const VECTORS: u32 = 256;
const GATE_BYTES: usize = 16;
const GATE_PRESENT: u64 = 0x0000800000000000;
const INTERRUPT_GATE: u64 = 0x8e;
const TASK_BYTES: u32 = 104;
const TASK_RSP0: usize = 4;
const TASK_IO_MAP: usize = 102;
const TASK_ACCESS: u64 = 0x89;
const LOCAL_ACCESS: u64 = 0x82;

const MSR_EFER: u32 = 0xc0000080;
const MSR_STAR: u32 = 0xc0000081;
const MSR_LSTAR: u32 = 0xc0000082;
const MSR_SFMASK: u32 = 0xc0000084;
const MSR_FS_BASE: u32 = 0xc0000100;
const EFER_SCE: u64 = 1;
/** AC, NT, IF, DF, TF: what no system call begins with. */
const SYSTEM_CALL_CLEARS: u64 = 0x44700;
/** SYSRET's selectors are counted from the user's 32-bit code. */
const SYSRET_BASE: u64 = 0x23;

const firstGdt: usize = memory.data(16 * 8, 16);
const idt: usize = memory.data(256 * 16, 16);
const task: usize = memory.data(104, 16);
const register: usize = memory.data(16, 8);

let gdt: usize = 0;

/** The tables that the kernel begins with. Interrupts are off. */
export function startTables(): void {
  for (let vector: u32 = 0; vector < VECTORS; vector++) setOwnGate(vector);
  store<u16>(task, <u16>TASK_BYTES, TASK_IO_MAP);
  nativeLoadGdt(firstGdt, LEAST_ENTRIES);
  nativeLoadTaskRegister();
  loadRegister(idt, VECTORS * <u32>GATE_BYTES);
  lidt(register);
}

function setOwnGate(vector: u32): void {
  const entry = nativeTrapEntry(vector);
  setGate(vector, gateLow(entry, INTERRUPT_GATE), entry >> 32);
}

function gateLow(entry: u64, type: u64): u64 {
  return (entry & 0xffff) | ((<u64>KERNEL_CS) << 16) | (type << 40) | (((entry >> 16) & 0xffff) << 48);
}

function setGate(vector: u32, low: u64, high: u64): void {
  store<u64>(idt + vector * GATE_BYTES, low);
  store<u64>(idt + vector * GATE_BYTES, high, 8);
}

function loadRegister(table: usize, bytes: u32): void {
  store<u16>(register, <u16>(bytes - 1));
  store<u64>(register, native(table), 2);
}

/** A descriptor of the system's, of 16 bytes. */
function setSystemDescriptor(selector: u32, base: u64, bytes: u32, access: u64): void {
  const low = (base & 0xffffff) << 16;
  const high = ((base >> 24) & 0xff) << 56;
  store<u64>(gdt + selector, <u64>(bytes - 1) | low | (access << 40) | high);
  store<u64>(gdt + selector, base >> 32, 8);
}

/** cpu.load_gdt: our entries are put into the table, and the segment registers loaded from it. */
export function nativeLoadGdt(table: usize, entries: u32): void {
  if (entries < LEAST_ENTRIES) unreachable();
  gdt = table;
  for (let i: u32 = 0; i < OUR_ENTRIES; i++) store<u64>(table + i * 8, 0);
  store<u64>(table + KERNEL_CS, 0x00af9b000000ffff);
  store<u64>(table + KERNEL_SS, 0x00cf93000000ffff);
  store<u64>(table + 0x20, 0x00cffb000000ffff);
  store<u64>(table + 0x28, 0x00cff3000000ffff);
  store<u64>(table + 0x30, 0x00affb000000ffff);
  // Busy already, if the task register is loaded: it does not look here again.
  setSystemDescriptor(TASK, native(task), TASK_BYTES, TASK_ACCESS);
  loadRegister(table, entries * 8);
  lgdt(register);
  loadCs(KERNEL_CS);
  loadSs(KERNEL_SS);
  loadDs(KERNEL_SS);
  loadEs(KERNEL_SS);
}

/** cpu.write_gdt_entry, cpu.write_ldt_entry */
export function nativeWriteDescriptor(table: usize, index: u32, descriptor: u64): void {
  store<u64>(table + index * 8, descriptor);
}

/** cpu.set_ldt */
export function nativeSetLdt(table: usize, entries: u32): void {
  if (entries === 0) {
    lldt(0);
    return;
  }
  setSystemDescriptor(LOCAL, native(table), entries * 8, LOCAL_ACCESS);
  lldt(LOCAL);
}

/** cpu.load_tls */
export function nativeLoadTls(tls: usize): void {
  for (let i: u32 = 0; i < TLS_ENTRIES; i++)
    store<u64>(gdt + (GDT_TLS_FIRST + i) * 8, load<u64>(tls + i * 8));
}

/** cpu.load_tr_desc */
export function nativeLoadTaskRegister(): void {
  setSystemDescriptor(TASK, native(task), TASK_BYTES, TASK_ACCESS);
  ltr(TASK);
}

/** cpu.load_sp0: for gates, and for the entry stub of SYSCALL. */
export function nativeLoadSp0(top: usize): void {
  store<u64>(task, native(top), TASK_RSP0);
  store<u64>(kernelStackTop(), native(top));
}

/** cpu.write_fs_base */
export function nativeWriteFsBase(base: u64): void {
  wrmsr(MSR_FS_BASE, base);
}

/** cpu.load_idt: gates that are present take the place of ours, which stand wherever there is none; interrupts' stay. */
export function nativeLoadIdt(table: usize, entries: u32): void {
  for (let vector: u32 = 0; vector < VECTORS; vector++) {
    if (vector < entries) takeGate(table, vector);
    else if (vector - FIRST_VECTOR >= IRQS) setOwnGate(vector);
  }
}

/** cpu.write_idt_entry */
export function nativeWriteIdtEntry(table: usize, vector: u32, low: u64, high: u64): void {
  store<u64>(table + vector * GATE_BYTES, low);
  store<u64>(table + vector * GATE_BYTES, high, 8);
  takeGate(table, vector);
}

function takeGate(table: usize, vector: u32): void {
  if (vector - FIRST_VECTOR < IRQS) return;
  const low = load<u64>(table + vector * GATE_BYTES);
  if ((low & GATE_PRESENT) !== 0) setGate(vector, low, load<u64>(table + vector * GATE_BYTES, 8));
  else setOwnGate(vector);
}

/** cpu.trap_entry */
export function nativeTrapEntry(vector: u32): u64 {
  return interruptEntries() + <u64>vector * ENTRY_STUB_BYTES;
}

/** cpu.enable_syscall */
export function nativeEnableSystemCalls(): void {
  store<u64>(userSelectors(), USER_CS);
  store<u64>(userSelectors(), USER_SS, 8);
  wrmsr(MSR_STAR, (SYSRET_BASE << 48) | ((<u64>KERNEL_CS) << 32));
  wrmsr(MSR_LSTAR, systemCallEntry());
  wrmsr(MSR_SFMASK, SYSTEM_CALL_CLEARS);
  wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
}
