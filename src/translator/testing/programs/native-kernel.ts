/**
 * A kernel that tries the machine it was translated for, in ring 0 without anybody below: its own GDT and IDT, traps with and
 * without error codes, a program in ring 3 that it carries along, system calls from it. A line for each, then it powers off.
 */
import {
  copy,
  EmbeddedFile,
  ENTRY_STUB_BYTES,
  fill,
  filesStart,
  fixException,
  kernelStackTop,
  lgdt,
  lidt,
  load16,
  load32,
  load64,
  load8,
  loadCs,
  loadSs,
  ltr,
  native,
  nativeInterruptReturn,
  outb,
  outw,
  PatchSite,
  patchSitesEnd,
  patchSitesStart,
  probeLoad64,
  rdmsr,
  rdtsc,
  readCr2,
  readCr3,
  readCs,
  readFlags,
  resumeFrame,
  setOperation,
  setOperationAddress,
  store64,
  TrapFrame,
  undefinedInstruction,
  userSelectors,
  VECTOR_SYSTEM_CALL,
  writeCr3,
  writeFlags,
  wrmsr,
} from '../../../guest/machine/index';
import { breakpoint, cli, int80 } from '../../../guest/machine/processor';
import { check, decimal, drainSerialPort, endLine, hexadecimal, serialByte, text, useSerialPort } from './print';

@external("entry.nativeInterrupts", "handleTrap") declare function interruptEntries(): u64;
@external("entry.nativeSystemCall", "handleSystemCall") declare function systemCallEntry(): u64;
@external("operation.slot", "cpu.iret") declare function iretSlot(): usize;
@external("operation.room8", "test.mask") declare function mask(): void;
@external("operation.slot", "test.mask") declare function maskSlot(): usize;

/** The masks of both 8259A. */
const MASTER_MASK = 0x21;
const SLAVE_MASK = 0xa1;
const POWER_PORT = 0x604;
const POWER_OFF = 0x2000;

const KERNEL_CODE: u32 = 0x08;
const KERNEL_DATA: u32 = 0x10;
const USER_DATA: u32 = 0x1b;
const USER_CODE: u32 = 0x23;
const TASK: u32 = 0x28;
const MSR_EFER = 0xc0000080;
const MSR_STAR = 0xc0000081;
const MSR_LSTAR = 0xc0000082;
const MSR_SFMASK = 0xc0000084;
const FLAG_INTERRUPT: u64 = 0x200;

const USER_BIT: u64 = 4;
const LARGE_BIT: u64 = 0x80;
const ADDRESS_BITS: u64 = 0x000ffffffffff000;
/** Where user programs are linked, and the stack of this one; all of it in the machine's third 2 MiB. */
const USER_IMAGE: u64 = 0x400000;
const USER_STACK: u64 = 0x500000;

const gdt = memory.data(64, 8);
const idt = memory.data(256 * 16, 16);
const tss = memory.data(104, 16);
const descriptor = memory.data(16, 8);
const scratch = memory.data(64, 8);
const interruptStack = memory.data(4096, 16);
const kernelStack = memory.data(4096, 16);
const userFrame = memory.data(256, 16);

let traps: u32 = 0;
let lastVector: u64 = 0;
let lastError: u64 = 0;
let lastCs: u64 = 0;

export function handleTrap(frame: usize): void {
  const registers = changetype<TrapFrame>(frame);
  traps++;
  lastVector = registers.vector;
  lastError = registers.error;
  lastCs = registers.cs;
  if (fixException(frame)) return;
  if (registers.vector == 6) registers.rip += 2;
  else if (registers.vector == 3 || registers.vector == 0x80) registers.rax = 0x1234;
  else {
    text('unexpected trap ');
    decimal(registers.vector);
    text(' error ');
    hexadecimal(registers.error);
    text(' at ');
    hexadecimal(registers.rip);
    text(' cr2 ');
    hexadecimal(readCr2());
    endLine();
    powerOff();
  }
}

/** The user's system calls: 1 prints a line from its memory, 2 adds, 3 ends. */
export function handleSystemCall(frame: usize): void {
  const registers = changetype<TrapFrame>(frame);
  const good =
    registers.vector == VECTOR_SYSTEM_CALL && registers.cs == USER_CODE && registers.ss == USER_DATA;
  if (!good) check('a system call', false);
  if (registers.rax == 1) {
    for (let i: u64 = 0; i < registers.rsi; i++) serialByte(load8(registers.rdi + i));
    registers.rax = registers.rsi;
  } else if (registers.rax == 2) {
    registers.rax =
      registers.rdi + registers.rsi + registers.rdx + registers.r10 + registers.r8 + registers.r9;
  } else {
    check('the program is done', registers.rax == 3 && registers.rdi == 7);
    text('done after ');
    decimal(traps);
    text(' traps');
    endLine();
    powerOff();
  }
}

function powerOff(): void {
  drainSerialPort();
  outw(POWER_PORT, POWER_OFF);
  unreachable();
}

function setDescriptors(): void {
  store<u64>(gdt + KERNEL_CODE, 0x00af9b000000ffff);
  store<u64>(gdt + KERNEL_DATA, 0x00cf93000000ffff);
  store<u64>(gdt + (USER_DATA & ~3), 0x00cff3000000ffff);
  store<u64>(gdt + (USER_CODE & ~3), 0x00affb000000ffff);
  const base = native(tss);
  store<u64>(
    gdt + TASK,
    103 | ((base & 0xffffff) << 16) | ((<u64>0x89) << 40) | (((base >> 24) & 0xff) << 56),
  );
  store<u64>(gdt + TASK + 8, base >> 32);
  store<u64>(tss + 4, native(interruptStack + 4096)); // RSP0
  store<u16>(descriptor, 63);
  store<u64>(descriptor + 2, native(gdt));
  lgdt(descriptor);
  loadCs(KERNEL_CODE);
  loadSs(KERNEL_DATA);
  ltr(TASK);
  check('segments', readCs() == KERNEL_CODE);
  for (let vector: u32 = 0; vector < 256; vector++) setGate(vector);
  store<u16>(descriptor, 4095);
  store<u64>(descriptor + 2, native(idt));
  lidt(descriptor);
  setOperationAddress(iretSlot(), nativeInterruptReturn());
}

function setGate(vector: u32): void {
  const entry = interruptEntries() + vector * ENTRY_STUB_BYTES;
  const gate = idt + 16 * vector;
  const type: u64 = vector == 3 || vector == 0x80 ? 0xee : 0x8e;
  store<u64>(gate, (entry & 0xffff) | (KERNEL_CODE << 16) | (type << 40) | (((entry >> 16) & 0xffff) << 48));
  store<u64>(gate + 8, entry >> 32);
}

function trapTests(): void {
  undefinedInstruction();
  check('#UD comes and goes', traps == 1 && lastVector == 6 && lastError == 0);
  breakpoint();
  check('#BP comes and goes', traps == 2 && lastVector == 3 && lastCs == KERNEL_CODE);
  check(
    'a load that faults',
    probeLoad64(0x123456789000, scratch) == 1 && traps == 3 && lastVector == 14 && lastError == 0,
  );
  check('CR2', readCr2() == 0x123456789000);
  // Not canonical: #GP, or #SS, with an error code of its own.
  check(
    'an address that is none',
    probeLoad64(0x8000000000000000, scratch) == 1 && traps == 4 && lastVector == 13,
  );
  int80();
  check('a software interrupt', traps == 5 && lastVector == 0x80);
}

function disable(): void {
  cli();
}

function interruptFlagTests(): void {
  setOperation(maskSlot(), disable.index);
  writeFlags(readFlags() & ~FLAG_INTERRUPT);
  check('interrupts are off', (readFlags() & FLAG_INTERRUPT) == 0);
  let patched: u32 = 0;
  for (let at = patchSitesStart(); at < patchSitesEnd(); at += offsetof<PatchSite>()) {
    const site = changetype<PatchSite>(at);
    if (site.slot != maskSlot() || site.bytes != 8) continue;
    store<u8>(site.address, 0xfa); // CLI
    for (let i: usize = 1; i < 8; i++) store<u8>(site.address + i, 0x90);
    patched++;
  }
  mask();
  check('a patched operation', patched == 1);
  const before = rdtsc();
  check('time passes', rdtsc() > before);
}

/** Lets the user reach the large page of its program: on the way there the bit must stand in every table. */
function openToUser(address: u64): void {
  let table = readCr3() & ADDRESS_BITS;
  for (let level = 3; level > 0; level--) {
    const entry = table + 8 * ((address >> (12 + 9 * level)) & 511);
    const value = load64(entry) | USER_BIT;
    store64(entry, value);
    if ((value & LARGE_BIT) != 0) break;
    table = value & ADDRESS_BITS;
  }
}

/** Copies the segments of the program, an ELF file, to where they belong. Gives its entry. */
function loadProgram(file: EmbeddedFile): u64 {
  const image = native(file.data);
  const headers = image + load64(image + 32);
  for (let i: u32 = 0; i < load16(image + 56); i++) {
    const header = headers + 56 * i;
    if (load32(header) != 1) continue; // PT_LOAD
    const target = load64(header + 16);
    fill(target, 0, load64(header + 40));
    copy(target, image + load64(header + 8), load64(header + 32));
  }
  return load64(image + 24);
}

function runProgram(): void {
  openToUser(USER_IMAGE);
  openToUser(USER_STACK);
  writeCr3(readCr3());
  const entry = loadProgram(changetype<EmbeddedFile>(filesStart()));
  check('the program is linked where it should be', entry >= USER_IMAGE && entry < USER_STACK);
  wrmsr(MSR_EFER, rdmsr(MSR_EFER) | 1);
  wrmsr(MSR_STAR, ((<u64>KERNEL_CODE) << 32) | ((<u64>(USER_DATA - 8)) << 48));
  wrmsr(MSR_LSTAR, systemCallEntry());
  wrmsr(MSR_SFMASK, FLAG_INTERRUPT);
  store<u64>(kernelStackTop(), native(kernelStack + 4096));
  store<u64>(userSelectors(), USER_CODE);
  store<u64>(userSelectors() + 8, USER_DATA);
  const registers = changetype<TrapFrame>(userFrame);
  registers.rip = entry;
  registers.cs = USER_CODE;
  registers.ss = USER_DATA;
  registers.rflags = 0x202;
  registers.rsp = USER_STACK;
  resumeFrame(userFrame);
}

/** The firmware left its timer running; an interrupt of it would come in ring 3, where they are on. */
function maskInterrupts(): void {
  outb(MASTER_MASK, 0xff);
  outb(SLAVE_MASK, 0xff);
}

function run(): void {
  maskInterrupts();
  setDescriptors();
  trapTests();
  interruptFlagTests();
  runProgram();
}

/** By Linux's 64-bit boot protocol. */
export function nativeStart(bootParams: u64): void {
  useSerialPort();
  check('a start', load32(bootParams + 0x202) == 0x53726448);
  run();
}

/** By PVH: hvm_start_info begins with a number of its own. */
export function pvhStart(startInfo: u64): void {
  useSerialPort();
  check('a start', load32(startInfo) == 0x336ec578);
  run();
}
