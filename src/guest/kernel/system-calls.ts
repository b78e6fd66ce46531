/**
 * The system calls: a handful, with the numbers, registers, results and errors that Linux gives them on x86-64, as far as
 * they go. So a program of ours also runs there. (docs/guest.md has the list, abi/system-calls.ts the numbers.)
 *
 * They are made with interrupts disabled, and only those that wait let others run.
 */
import {
  __NR_clock_gettime,
  __NR_execve,
  __NR_exit,
  __NR_fork,
  __NR_getpid,
  __NR_mmap,
  __NR_munmap,
  __NR_nanosleep,
  __NR_read,
  __NR_sched_yield,
  __NR_wait4,
  __NR_write,
  MAP_PRIVATE_ANONYMOUS,
} from '../abi/system-calls';
import { copy, load8, load64, native, store32, store64 } from '../machine/memory';
import { TRAP_FRAME_BYTES, TrapFrame } from '../machine/trap-frame';
import { schedClock } from '../paravirt/operations';
import { endIfKilled } from './clock';
import { inForeground, readLine } from './console';
import { PAGE } from './entries';
import { ARGUMENT_BYTES, enterUser, findProgram, MOST_ARGUMENTS, replaceProgram } from './programs';
import { addRegion, bringRange, forkSpace, removeRegion, USER_END } from './spaces';
import {
  currentTask,
  endSpace,
  exitTask,
  FOR_TIME,
  loadSpace,
  nameOf,
  newTask,
  renameTask,
  schedule,
  setStart,
  sleepFor,
  switchIfWanted,
  waitForChild,
} from './tasks';
import { flush, put } from './text';

const ENOENT: i64 = -2;
const EINTR: i64 = -4;
const EIO: i64 = -5;
const E2BIG: i64 = -7;
const ENOEXEC: i64 = -8;
const EBADF: i64 = -9;
const ECHILD: i64 = -10;
const ENOMEM: i64 = -12;
const EFAULT: i64 = -14;
const EINVAL: i64 = -22;
const ENOSYS: i64 = -38;

const SECOND: u64 = 1000000000;
/** mmap gives addresses from here on, below the stack. */
const FIRST_MAPPING: u64 = 0x10000000;

export let systemCalls: u64 = 0;

/** LINE_BYTES. */
const lineRoom: usize = memory.data(128);
/** The part of the last line that was typed and not read yet. */
let lineStart: usize = 0;
let lineEnd: usize = 0;
const words: usize = memory.data(1024);
const path: usize = memory.data(64);
const PATH_BYTES: usize = 64;
const status: usize = memory.data(4, 4);

/** The handler of SYSCALL. */
export function systemCall(at: usize): void {
  systemCalls++;
  const frame = changetype<TrapFrame>(at);
  frame.rax = <u64>perform(frame, at);
  switchIfWanted();
  endIfKilled(at);
}

function perform(frame: TrapFrame, at: usize): i64 {
  const number = frame.rax;
  if (number === __NR_read) return read(frame.rdi, frame.rsi, frame.rdx);
  if (number === __NR_write) return write(frame.rdi, frame.rsi, frame.rdx);
  if (number === __NR_mmap) return map(frame.rdi, frame.rsi, frame.r10);
  if (number === __NR_munmap) return removeRegion(currentTask().space, frame.rdi) ? 0 : EINVAL;
  if (number === __NR_sched_yield) {
    schedule();
    return 0;
  }
  if (number === __NR_nanosleep) return sleep(frame.rdi);
  if (number === __NR_getpid) return currentTask().number;
  if (number === __NR_fork) return fork(at);
  if (number === __NR_execve) return execute(frame.rdi, frame.rsi, at);
  if (number === __NR_exit) exitTask(<u32>frame.rdi & 0xff);
  if (number === __NR_wait4) return wait(<i32>frame.rdi, frame.rsi);
  if (number === __NR_clock_gettime) return tellTime(frame.rsi);
  return ENOSYS;
}

function write(file: u64, address: u64, bytes: u64): i64 {
  if (file !== 1 && file !== 2) return EBADF;
  if (!bringRange(currentTask().space, address, bytes, false)) return EFAULT;
  for (let i: u64 = 0; i < bytes; i++) put(load8(address + i));
  flush();
  return <i64>bytes;
}

/** A line at a time, its end included, or as much of it as is asked for. */
function read(file: u64, address: u64, bytes: u64): i64 {
  if (file !== 0) return EBADF;
  // As Linux answers a background program that cannot be stopped: the keys are somebody else's.
  if (!inForeground()) return EIO;
  if (!bringRange(currentTask().space, address, bytes, true)) return EFAULT;
  if (lineStart === lineEnd) {
    const length = readLine(lineRoom);
    if (length < 0) return EINTR;
    store<u8>(lineRoom + <usize>length, 10);
    lineStart = 0;
    lineEnd = <usize>length + 1;
    // Others ran meanwhile, and a page that was brought may be shared again.
    if (!bringRange(currentTask().space, address, bytes, true)) return EFAULT;
  }
  let count = lineEnd - lineStart;
  if (<u64>count > bytes) count = <usize>bytes;
  copyOut(address, lineRoom + lineStart, count);
  lineStart += count;
  return <i64>count;
}

/** To a user's memory that is present, of the space that is loaded. */
function copyOut(address: u64, from: usize, bytes: usize): void {
  copy(address, native(from), <u64>bytes);
}

/** Memory of nobody's file, at an address that we choose if the caller does not. */
function map(wanted: u64, bytes: u64, flags: u64): i64 {
  if (flags !== MAP_PRIVATE_ANONYMOUS || bytes === 0) return EINVAL;
  if (bytes > USER_END) return ENOMEM;
  const space = currentTask().space;
  const size = (bytes + <u64>PAGE - 1) & ~(<u64>PAGE - 1);
  if (wanted !== 0 && addRegion(space, wanted, wanted + size, true, 0, 0)) return <i64>wanted;
  for (let address = FIRST_MAPPING; address + size < USER_END; address += size) {
    if (addRegion(space, address, address + size, true, 0, 0)) return <i64>address;
  }
  return ENOMEM;
}

/** struct timespec: seconds and nanoseconds. */
function sleep(time: u64): i64 {
  if (!bringRange(currentTask().space, time, 16, false)) return EFAULT;
  const seconds = load64(time);
  const nanoseconds = load64(time + 8);
  if (seconds > 1000000000 || nanoseconds >= SECOND) return EINVAL;
  sleepFor(FOR_TIME, schedClock() + seconds * SECOND + nanoseconds);
  return currentTask().killed ? EINTR : 0;
}

/** Any clock is the one since boot. */
function tellTime(time: u64): i64 {
  if (!bringRange(currentTask().space, time, 16, true)) return EFAULT;
  const now = schedClock();
  store64(time, now / SECOND);
  store64(time + 8, now % SECOND);
  return 0;
}

/** The child begins where the parent does, with 0. */
function fork(at: usize): i64 {
  const parent = currentTask();
  const child = newTask(changetype<usize>(parent));
  if (child === null) return ENOMEM;
  const space = forkSpace(parent.space);
  if (space === 0) return ENOMEM;
  child.space = space;
  renameTask(child, nameOf(parent));
  const frame = child.stackTop - TRAP_FRAME_BYTES;
  memory.copy(frame, at, TRAP_FRAME_BYTES);
  changetype<TrapFrame>(frame).rax = 0;
  setStart(child, frame, enterUser, frame);
  return child.number;
}

/** A text of the user's, with its zero. Returns its bytes without it; or less than 0. */
function copyText(address: u64, into: usize, room: usize): i32 {
  for (let i: usize = 0; i < room; i++) {
    if (!bringRange(currentTask().space, address + <u64>i, 1, false)) return <i32>EFAULT;
    const byte = load8(address + <u64>i);
    store<u8>(into + i, <u8>byte);
    if (byte === 0) return <i32>i;
  }
  return <i32>E2BIG;
}

function execute(name: u64, list: u64, at: usize): i64 {
  if (copyText(name, path, PATH_BYTES) < 0) return EFAULT;
  const file = findProgram(path);
  if (file === null) return ENOENT;
  let count: u32 = 0;
  let used: usize = 0;
  for (; ; count++) {
    if (!bringRange(currentTask().space, list + <u64>count * 8, 8, false)) return EFAULT;
    const word = load64(list + <u64>count * 8);
    if (word === 0) break;
    if (count === MOST_ARGUMENTS) return E2BIG;
    const bytes = copyText(word, words + used, ARGUMENT_BYTES - used);
    if (bytes < 0) return bytes;
    used += <usize>bytes + 1;
  }
  const space = replaceProgram(file, words, count, at);
  if (space === 0) return ENOEXEC;
  const task = currentTask();
  const old = task.space;
  task.space = space;
  renameTask(task, path);
  loadSpace(space);
  endSpace(old);
  return 0;
}

/** The status is the exit status times 256, as Linux has it. */
function wait(number: i32, into: u64): i64 {
  if (into !== 0 && !bringRange(currentTask().space, into, 4, true)) return EFAULT;
  const ended = waitForChild(number > 0 ? <u32>number : 0, status);
  if (ended === 0) return currentTask().killed ? EINTR : ECHILD;
  if (into !== 0) {
    if (!bringRange(currentTask().space, into, 4, true)) return EFAULT;
    store32(into, load<u32>(status) << 8);
  }
  return ended;
}
