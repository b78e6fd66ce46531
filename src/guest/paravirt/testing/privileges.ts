/** What a user's program may do: ports by the IOPL, interrupts by their gates. And the task register. */
import { takePage } from '../../kernel/selftest/memory';
import { check, checkEqual } from '../../kernel/selftest/output';
import { makeSpace, USER_PLACE } from '../../kernel/selftest/tables';
import { unexpectedTrap } from '../../kernel/selftest/traps';
import { readFlags } from '../../machine/processor';
import { prepareStack, switchStack } from '../../machine/stack';
import { resumeFrame, TRAP_FRAME_BYTES, TrapFrame, VECTOR_SYSTEM_CALL } from '../../machine/trap-frame';
import { onOtherTraps, onSystemCall, onTrap } from '../handlers';
import { kernelCs, ON_NATIVE, ON_XEN, platform, userCs, userSs } from '../info';
import {
  disableInterrupts,
  enableSystemCalls,
  loadGdt,
  loadIdt,
  loadSp0,
  loadTaskRegister,
  setIoplMask,
  trapEntry,
  writeCr3,
  writeIdtEntry,
} from '../operations';

const PAGE_BYTES: usize = 4096;
const GATE_PRESENT: u64 = 0x800000000000;
const TRAP_GATE: u64 = 15;
const FOR_USERS: u64 = 0x600000000000;
const GENERAL_PROTECTION: u32 = 13;
/** A vector that no device has, and whose error code QEMU, below Debian's Xen, gets right. */
const VECTOR: u32 = 0x80;
/** An error code: of the IDT, and the vector. */
const VECTOR_ERROR: u64 = (0x80 << 3) | 2;
const IOPL_USER: u32 = 0x3000;
const IOPL_KERNEL: u32 = 0x1000;
const FLAGS: u64 = 0x202;

const space: usize = memory.data(64, 8);
const saved: usize = memory.data(8, 4);
let idt: usize = 0;
let code: usize = 0;
let endVector: u64 = 0;
let endError: u64 = 0;

/** in al, 0x80; syscall */
const READ_PORT: usize = memory.data<u8>([0xe4, 0x80, 0x0f, 0x05]);
/** int 0x80; syscall */
const INTERRUPT: usize = memory.data<u8>([0xcd, 0x80, 0x0f, 0x05]);

function end(frame: usize): void {
  endVector = changetype<TrapFrame>(frame).vector;
  endError = changetype<TrapFrame>(frame).error;
  switchStack(saved + 4, load<usize>(saved));
}

function resume(frame: usize): void {
  resumeFrame(frame);
}

function gateLow(vector: u32, flags: u64): u64 {
  const entry = trapEntry(vector);
  return (entry & 0xffff) | ((<u64>kernelCs) << 16) | flags | ((entry & 0xffff0000) << 32);
}

function setGate(vector: u32, flags: u64): void {
  writeIdtEntry(
    idt,
    vector,
    flags === 0 ? 0 : gateLow(vector, flags),
    flags === 0 ? 0 : trapEntry(vector) >> 32,
  );
}

/** An IDT with the exceptions' gates. */
export function setupTraps(): void {
  idt = takePage();
  for (let vector: u32 = 0; vector < 32; vector++) setGate(vector, GATE_PRESENT | (TRAP_GATE << 40));
  loadIdt(idt, 256);
  onOtherTraps(unexpectedTrap);
}

/** A space for a program, and its way back. */
export function setupUser(): void {
  onTrap(GENERAL_PROTECTION, end);
  onTrap(VECTOR, end);
  onSystemCall(end);
  enableSystemCalls();
  code = makeSpace(space, 0);
  loadSp0(takePage() + PAGE_BYTES);
}

/** Runs a program of four bytes in user mode, to its first trap or system call. `iopl` stands in its flags. */
function runUser(program: usize, iopl: u32): void {
  memory.copy(code, program, 4);
  writeCr3(space);
  const stack = takePage();
  const frame = stack + PAGE_BYTES - 1024 - TRAP_FRAME_BYTES;
  const registers = changetype<TrapFrame>(frame);
  registers.rip = USER_PLACE;
  registers.cs = userCs | 3;
  registers.rflags = FLAGS | <u64>iopl;
  registers.rsp = USER_PLACE + PAGE_BYTES;
  registers.ss = userSs | 3;
  endVector = 0;
  disableInterrupts();
  switchStack(saved, prepareStack(stack + PAGE_BYTES, resume.index, frame));
  disableInterrupts();
}

/** The user's IOPL is in its own flags on the bare machine, and above Xen only where this operation puts it. */
export function testPorts(): void {
  setIoplMask(IOPL_USER);
  if (platform === ON_NATIVE) checkEqual('set_iopl_mask: the flags', readFlags() & 0x3000, IOPL_USER);
  runUser(READ_PORT, IOPL_USER);
  checkEqual('set_iopl_mask: a user reads a port', endVector, VECTOR_SYSTEM_CALL);
  setIoplMask(IOPL_KERNEL);
  runUser(READ_PORT, platform === ON_XEN ? IOPL_USER : IOPL_KERNEL);
  checkEqual('set_iopl_mask: and none of the kernel alone', endVector, GENERAL_PROTECTION);
  setIoplMask(0);
  if (platform === ON_NATIVE) checkEqual('set_iopl_mask: the flags as before', readFlags() & 0x3000, 0);
  runUser(READ_PORT, 0);
  checkEqual('set_iopl_mask: and none of nobody', endVector, GENERAL_PROTECTION);
}

/** A gate of the user's: given, and taken away. */
export function testGates(): void {
  setGate(VECTOR, GATE_PRESENT | (TRAP_GATE << 40) | FOR_USERS);
  runUser(INTERRUPT, 0);
  checkEqual('write_idt_entry: a gate for users', endVector, VECTOR);
  setGate(VECTOR, 0);
  runUser(INTERRUPT, 0);
  checkEqual('write_idt_entry: taken away', endVector, GENERAL_PROTECTION);
  checkEqual('write_idt_entry: which one it was', endError, VECTOR_ERROR);
  setGate(VECTOR, GATE_PRESENT | (TRAP_GATE << 40) | FOR_USERS);
  runUser(INTERRUPT, 0);
  checkEqual('write_idt_entry: and back', endVector, VECTOR);
  const next = takePage();
  memory.copy(next, idt, 32 * 16);
  loadIdt(next, 256);
  idt = next;
  runUser(INTERRUPT, 0);
  checkEqual('load_idt: a gate of the table before', endVector, GENERAL_PROTECTION);
}

/** Busy is what the processor makes of the descriptor that it loads. Above Xen the task register is Xen's. */
export function testTaskRegister(): void {
  const gdt = takePage();
  loadGdt(gdt, 16);
  loadTaskRegister();
  const type = (load<u64>(gdt + 0x40) >> 40) & 15;
  if (platform === ON_NATIVE) checkEqual('load_tr_desc: the descriptor is busy', type, 11);
  else check('load_tr_desc: none of ours', type === 0);
}
