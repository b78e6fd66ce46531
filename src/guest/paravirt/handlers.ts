/**
 * What a kernel wants to be called for: traps, system calls, the timer, input. A kernel registers its functions here; every
 * back end's entries end here.
 */
import { fixException } from '../machine/exception-table';
import { TrapFrame, VECTOR_SYSTEM_CALL } from '../machine/trap-frame';

const VECTORS: usize = 256;
const VECTOR_GENERAL_PROTECTION: u64 = 13;
const VECTOR_PAGE_FAULT: u64 = 14;

/** Table indices of `(frame: usize) => void`, by vector; 0: none. */
const traps: usize = memory.data(256 * 4, 4);
let systemCall: u32 = 0;
let otherwise: u32 = 0;
let timer: u32 = 0;
let consoleInput: u32 = 0;
let interruptEnd: u32 = 0;

/** The handler of a vector. It gets the frame's address and may change what stands there. */
export function onTrap(vector: u32, handler: (frame: usize) => void): void {
  store<u32>(traps + vector * 4, handler.index);
}

/** The handler of vectors that have none. Without it such a trap stops the kernel. */
export function onOtherTraps(handler: (frame: usize) => void): void {
  otherwise = handler.index;
}

/** The handler of SYSCALL. */
export function onSystemCall(handler: (frame: usize) => void): void {
  systemCall = handler.index;
}

/** Called at each timer interrupt, with interrupts disabled. */
export function onTimer(handler: () => void): void {
  timer = handler.index;
}

/** Called when something was typed, with interrupts disabled. */
export function onConsoleInput(handler: () => void): void {
  consoleInput = handler.index;
}

/** Called at the end of each interrupt, its handlers done and interrupts still disabled: the time to switch tasks. */
export function onInterruptEnd(handler: (frame: usize) => void): void {
  interruptEnd = handler.index;
}

/** Where every trap and system call arrives, whatever the back end. The entry stubs know it by its name. */
export function handleTrap(frame: usize): void {
  const vector = changetype<TrapFrame>(frame).vector;
  if (vector === VECTOR_SYSTEM_CALL) {
    call(systemCall, frame);
    return;
  }
  // An access that may fault, and did, goes on with its failure, and the kernel hears nothing of it.
  if (vector === VECTOR_PAGE_FAULT || vector === VECTOR_GENERAL_PROTECTION) {
    if (fixException(frame)) return;
  }
  const handler = vector < <u64>VECTORS ? load<u32>(traps + <usize>vector * 4) : 0;
  call(handler !== 0 ? handler : otherwise, frame);
}

function call(handler: u32, frame: usize): void {
  if (handler === 0) unreachable();
  call_indirect<void>(handler, frame);
}

/** For back ends: the timer's interrupt came. */
export function timerInterrupt(): void {
  if (timer !== 0) call_indirect<void>(timer);
}

/** For back ends: there is input. */
export function consoleInputInterrupt(): void {
  if (consoleInput !== 0) call_indirect<void>(consoleInput);
}

/** For back ends: an interrupt's handlers are done. */
export function afterInterrupt(frame: usize): void {
  if (interruptEnd !== 0) call_indirect<void>(interruptEnd, frame);
}
