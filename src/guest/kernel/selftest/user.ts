/** User mode: entered through a frame, left by SYSCALL, on the stacks that the operations were told of. */
import { native } from '../../machine/memory';
import { prepareStack, switchStack } from '../../machine/stack';
import { resumeFrame, TRAP_FRAME_BYTES, TrapFrame } from '../../machine/trap-frame';
import { onSystemCall } from '../../paravirt/handlers';
import { userCs, userSs } from '../../paravirt/info';
import {
  disableInterrupts,
  enableSystemCalls,
  exitSpace,
  loadSp0,
  pgdFree,
  writeCr3,
  writeFsBase,
} from '../../paravirt/operations';
import { takePage } from './memory';
import { check, checkEqual } from './output';
import { makeSpace, USER_PLACE } from './tables';

const PAGE_BYTES: usize = 4096;
/** A user's stack pointer that nobody uses. */
const USER_STACK: u64 = 0x7ffff000;

const space: usize = memory.data(64, 8);
/** Stack pointers: the self-test's own, and of a system call that nobody comes back to. */
const saved: usize = memory.data(8, 4);

let number: u64 = 0;
let argument: u64 = 0;
let from: u64 = 0;
let userStack: u64 = 0;
let privilege: u64 = 0;
let handlerStack: usize = 0;

/** The first system call is answered; at the second, the self-test goes on. */
function systemCall(frame: usize): void {
  const registers = changetype<TrapFrame>(frame);
  number = registers.rax;
  argument = registers.rdi;
  from = registers.rip;
  userStack = registers.rsp;
  privilege = registers.cs & 3;
  handlerStack = frame;
  registers.rax = 7;
  if (number === 2) switchStack(saved + 4, load<usize>(saved));
}

/** Runs on a stack of its own, whose lower part is free for interrupts on the way. */
function runUser(frame: usize): void {
  resumeFrame(frame);
}

export function testUserMode(): void {
  const code = makeSpace(space, 0);
  // mov eax, 1; mov edi, 5; syscall; mov edi, eax; mov eax, 2; syscall
  memory.copy(code, CODE, CODE_BYTES);
  onSystemCall(systemCall);
  enableSystemCalls();
  const kernelStack = takePage();
  loadSp0(kernelStack + PAGE_BYTES);
  writeCr3(space);
  writeFsBase(0);
  const stack = takePage();
  const frame = stack + PAGE_BYTES - 1024 - TRAP_FRAME_BYTES;
  const registers = changetype<TrapFrame>(frame);
  registers.rip = USER_PLACE + 8;
  registers.cs = userCs | 3;
  registers.rflags = 0x202;
  registers.rsp = USER_STACK;
  registers.ss = userSs | 3;
  disableInterrupts();
  switchStack(saved, prepareStack(stack + PAGE_BYTES, runUser.index, frame));
  disableInterrupts();
  checkEqual('SYSCALL comes from user mode, with its number', number, 2);
  checkEqual('what the first was answered came back with the second', argument, 7);
  checkEqual('it knows where from', from, USER_PLACE + 8 + <u64>CODE_BYTES - 8);
  checkEqual('and the user has its stack pointer', userStack, USER_STACK);
  checkEqual('it comes from ring 3', privilege, 3);
  const top = native(kernelStack + PAGE_BYTES);
  check(
    'its frame stands on the stack that load_sp0 named',
    native(handlerStack) < top && native(handlerStack) >= native(kernelStack),
  );
  exitSpace(space);
  pgdFree(space);
}

/** The first eight bytes are makeSpace's content; then the user's program. */
const CODE: usize = memory.data<u8>([
  0, 0, 0, 0, 0, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0xbf, 5, 0, 0, 0, 0x0f, 0x05, 0x89, 0xc7, 0xb8, 2, 0, 0, 0, 0x0f,
  0x05,
]);
const CODE_BYTES: usize = 29;
