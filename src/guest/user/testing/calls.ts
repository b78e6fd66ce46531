/**
 * What the system calls answer, right and wrong ones: a line for each. Linux and the small kernel must say the same. No error
 * here ends the program.
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
} from '../../abi/system-calls';
import { load64, store64 } from '../../machine/memory';
import {
  systemCall0,
  systemCall1,
  systemCall2,
  systemCall3,
  systemCall4,
  systemCall6,
} from '../../machine/system-call';
import { print, printNumber } from '../library';

const PAGE: u64 = 4096;
const SECOND: u64 = 1000000000;
const CLOCK_MONOTONIC: u64 = 1;
const MAP_ANONYMOUS: u64 = 0x20;
const READ_WRITE: u64 = 3;
const HINT: u64 = 0x10000000;
/** Addresses where no program has anything. */
const NOWHERE: u64 = 8;
const KERNELS: u64 = 0xffff800000000000;
const LAST_PAGE: u64 = 0xfffffffffffff000;
/** More than any address space has. */
const TOO_MUCH: u64 = 1 << 50;
const NO_FILE: u64 = 99;
const ANY_CHILD: u64 = 0xffffffffffffffff;

const HELLO: usize = memory.data<u8>([0x68, 0x65, 0x6c, 0x6c, 0x6f, 0]);
const NOTHING: usize = memory.data<u8>([0x6e, 0x6f, 0]);
const words: usize = memory.data(16, 8);
const time: usize = memory.data(16, 8);
const status: usize = memory.data(4, 4);

function say(what: string, result: i64): void {
  print(what);
  print(result < 0 ? ': -' : ': ');
  printNumber(<u64>(result < 0 ? -result : result));
  print('\n');
}

function map(hint: u64, bytes: u64, flags: u64): i64 {
  return systemCall6(__NR_mmap, hint, bytes, READ_WRITE, flags, ANY_CHILD, 0);
}

function fork(): i64 {
  return systemCall0(__NR_fork);
}

function exit(result: u64): void {
  systemCall1(__NR_exit, result);
}

function waitFor(child: u64): i64 {
  return systemCall4(__NR_wait4, child, <u64>status, 0, 0);
}

function now(): u64 {
  systemCall2(__NR_clock_gettime, CLOCK_MONOTONIC, <u64>time);
  return load<u64>(time) * SECOND + load<u64>(time, 8);
}

function sleep(seconds: u64, nanoseconds: u64): i64 {
  store<u64>(time, seconds);
  store<u64>(time, nanoseconds, 8);
  return systemCall2(__NR_nanosleep, <u64>time, 0);
}

function testFiles(): void {
  say('write to no file', systemCall3(__NR_write, NO_FILE, <u64>HELLO, 1));
  say('write nothing to 2', systemCall3(__NR_write, 2, <u64>HELLO, 0));
  say('write from nowhere', systemCall3(__NR_write, 1, NOWHERE, 4));
  say("write what is the kernel's", systemCall3(__NR_write, 1, KERNELS, 4));
  say('write from the last page', systemCall3(__NR_write, 1, LAST_PAGE, 2 * PAGE));
  say('read from no file', systemCall3(__NR_read, NO_FILE, <u64>words, 1));
}

function testMemory(): void {
  say('map nothing', map(0, 0, MAP_PRIVATE_ANONYMOUS));
  say('map nobody knows how', map(0, PAGE, MAP_ANONYMOUS));
  say('map too much', map(0, TOO_MUCH, MAP_PRIVATE_ANONYMOUS));
  const first = map(HINT, 3 * PAGE, MAP_PRIVATE_ANONYMOUS);
  say('map where it is wanted', first - <i64>HINT);
  const second = <u64>map(HINT + PAGE, 2 * PAGE, MAP_PRIVATE_ANONYMOUS);
  say('map where something is', second >= HINT + 3 * PAGE || second + 2 * PAGE <= HINT ? 0 : 1);
  const third = <u64>map(0, PAGE + 1, MAP_PRIVATE_ANONYMOUS);
  store64(HINT, 1);
  store64(second + PAGE, 2);
  say('a byte more is a page more', <i64>load64(third + 2 * PAGE - 8));
  say('unmap from the middle of a page', systemCall2(__NR_munmap, HINT + 8, 3 * PAGE));
  say('unmap', systemCall2(__NR_munmap, HINT, 3 * PAGE));
  say('write what was unmapped', systemCall3(__NR_write, 1, HINT, 1));
  say('the others are there', <i64>(load64(second + PAGE) + load64(second) + load64(third)));
  store64(third + PAGE, 3);
  say('and can be written', <i64>load64(third + PAGE));
  say('map there again', map(HINT, 3 * PAGE, MAP_PRIVATE_ANONYMOUS) - <i64>HINT);
  say('zeros', <i64>load64(HINT));
}

/** Three tasks have one page, and each writes to it while the others still have it. */
function testSharing(): void {
  const at = <u64>map(0, PAGE, MAP_PRIVATE_ANONYMOUS);
  store64(at, 5);
  const child = fork();
  if (child === 0) {
    const grandchild = fork();
    if (grandchild === 0) {
      store64(at, load64(at) + 1);
      exit(load64(at));
    }
    waitFor(<u64>grandchild);
    store64(at, load64(at) * 10 + <u64>(load<u32>(status) >> 8));
    exit(load64(at));
  }
  waitFor(<u64>child);
  say('a grandchild adds 1 to 5, a child has both', <i64>(load<u32>(status) >> 8));
  say('and the parent its own', <i64>load64(at));
}

function testChildren(): void {
  say('wait for no child', waitFor(ANY_CHILD));
  const self = systemCall0(__NR_getpid);
  const first = fork();
  if (first === 0) exit(systemCall0(__NR_getpid) === self ? 1 : 0x1fe);
  const second = fork();
  if (second === 0) exit(4);
  say('wait for somebody else', waitFor(1000000));
  say('the second child', waitFor(<u64>second) - second);
  say('its status', load<u32>(status));
  say('any child', waitFor(ANY_CHILD) - first);
  say('its status', load<u32>(status));
  const third = fork();
  if (third === 0) exit(5);
  say('without a place for the status', systemCall4(__NR_wait4, <u64>third, 0, 0, 0) - third);
  say('it is gone', waitFor(<u64>third));
}

function testPrograms(): void {
  store<u64>(words, <u64>HELLO);
  say('a program that is not there', systemCall3(__NR_execve, <u64>NOTHING, <u64>words, 0));
  say('a name that is not there', systemCall3(__NR_execve, NOWHERE, <u64>words, 0));
  say('words that are not there', systemCall3(__NR_execve, <u64>HELLO, NOWHERE, 0));
  store<u64>(words, NOWHERE);
  say('a word that is not there', systemCall3(__NR_execve, <u64>HELLO, <u64>words, 0));
}

function testTime(): void {
  say('sleep a second of nanoseconds', sleep(0, SECOND));
  say('sleep nobody knows how long', systemCall2(__NR_nanosleep, NOWHERE, 0));
  say('time to nowhere', systemCall2(__NR_clock_gettime, CLOCK_MONOTONIC, NOWHERE));
  const before = now();
  say('sleep', sleep(0, 20000000));
  say('not too short', now() - before >= 20000000 ? 0 : 1);
  say('give way', systemCall0(__NR_sched_yield));
  say('an unknown call', systemCall0(999));
}

export function main(stack: u64): void {
  say('the stack is aligned', <i64>(stack % 16));
  say('words', <i64>load64(stack));
  say('and nothing behind them', <i64>load64(stack + 8 + load64(stack) * 8));
  testFiles();
  testMemory();
  testSharing();
  testChildren();
  testPrograms();
  testTime();
  exit(0);
}
