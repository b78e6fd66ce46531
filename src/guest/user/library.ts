/**
 * What programs share: system calls by Linux's numbers, and words on the console. A program is a file beside this one that
 * exports `main(stack)`; there it finds argc, and the addresses of its arguments behind it.
 */
import {
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
import { load8, load64 } from '../machine/memory';
import {
  systemCall0,
  systemCall1,
  systemCall2,
  systemCall3,
  systemCall4,
  systemCall6,
} from '../machine/system-call';

const PROT_READ_WRITE: u64 = 3;
const NO_FILE: u64 = 0xffffffffffffffff;

export function read(into: usize, bytes: usize): i64 {
  return systemCall3(__NR_read, 0, <u64>into, <u64>bytes);
}
export function write(from: usize, bytes: usize): i64 {
  return systemCall3(__NR_write, 1, <u64>from, <u64>bytes);
}
/** Where memory is asked for first: a program's pointers have 32 bits. */
const MAPPINGS: u64 = 0x10000000;
/** Zeroed memory of its own: an address, or an error below 0. */
export function map(bytes: u64): i64 {
  return systemCall6(__NR_mmap, MAPPINGS, bytes, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, NO_FILE, 0);
}
export function unmap(address: u64, bytes: u64): i64 {
  return systemCall2(__NR_munmap, address, bytes);
}
export function giveWay(): void {
  systemCall0(__NR_sched_yield);
}
const time: usize = memory.data(16, 8);
export function sleep(nanoseconds: u64): i64 {
  store<u64>(time, nanoseconds / 1000000000);
  store<u64>(time, nanoseconds % 1000000000, 8);
  return systemCall2(__NR_nanosleep, <u64>time, 0);
}
export function taskNumber(): i64 {
  return systemCall0(__NR_getpid);
}
/** 0 in the child, the child's number in the parent. */
export function fork(): i64 {
  return systemCall0(__NR_fork);
}
const list: usize = memory.data(3 * 8, 8);
/** Runs another program with one argument, both with a zero at their ends. Comes back only with an error. */
export function execute(name: usize, word: usize): i64 {
  store<u64>(list, <u64>name);
  store<u64>(list, <u64>word, 8);
  return systemCall3(__NR_execve, <u64>name, <u64>list, 0);
}
export function exit(status: u32): void {
  systemCall1(__NR_exit, <u64>status);
  unreachable();
}
const status: usize = memory.data(4, 4);
/** Waits for a child's end. Returns its exit status, or an error below 0. */
export function wait(child: i64): i64 {
  const ended = systemCall4(__NR_wait4, <u64>child, <u64>status, 0, 0);
  return ended < 0 ? ended : <i64>((load<u32>(status) >> 8) & 0xff);
}

const room: usize = memory.data(128);
let used: usize = 0;

function put(byte: u32): void {
  store<u8>(room + used++, <u8>byte);
  if (byte !== 10 && used < 128) return;
  write(room, used);
  used = 0;
}

/** Text comes out line by line. */
export function print(text: string): void {
  for (let i = 0; i < text.length; i++) put(load<u16>(changetype<usize>(text) + 2 * i));
}

export function printNumber(value: u64): void {
  if (value >= 10) printNumber(value / 10);
  put(<u32>(0x30 + (value % 10)));
}

/** How many words the program was started with, its name among them. */
export function argumentCount(stack: u64): u64 {
  return load64(stack);
}

export function printArgument(stack: u64, index: u64): void {
  for (let at = load64(stack + 8 + index * 8); load8(at) !== 0; at++) put(load8(at));
}

/** An argument as a decimal number; `otherwise` if it is not there. */
export function numberArgument(stack: u64, index: u64, otherwise: u64): u64 {
  if (index >= load64(stack)) return otherwise;
  let value: u64 = 0;
  for (let at = load64(stack + 8 + index * 8); load8(at) !== 0; at++) value = value * 10 + load8(at) - 0x30;
  return value;
}
