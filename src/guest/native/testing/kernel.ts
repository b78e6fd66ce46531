/**
 * A kernel that tries the operations on the bare machine, each through its own call site, before and after they are patched;
 * a line for each, then it powers off.
 */

import { probeLoad64 } from '../../machine/memory';
import { breakpoint, int80, readFlags, undefinedInstruction } from '../../machine/processor';
import { TrapFrame } from '../../machine/trap-frame';
import { SIZEOF_AddressSpace } from '../../paravirt/address-space';
import {
  onConsoleInput,
  onInterruptEnd,
  onOtherTraps,
  onSystemCall,
  onTimer,
  onTrap,
} from '../../paravirt/handlers';
import { kernelCs, ON_NATIVE, platform, userCs } from '../../paravirt/info';
import {
  apicRead,
  archSetup,
  clts,
  consoleRead,
  consoleSetup,
  consoleWrite,
  cpuid,
  disableInterrupts,
  enableInterrupts,
  enableSystemCalls,
  endContextSwitch,
  enterLazyMmu,
  flushTlbKernel,
  flushTlbSingle,
  getAndClearPte,
  getTscKhz,
  getWallclock,
  initInterrupts,
  leaveLazyMmu,
  loadGdt,
  loadIdt,
  loadSp0,
  loadTls,
  makePte,
  memorySetup,
  pagetableSetupDone,
  pagetableSetupStart,
  pgdAlloc,
  pgdFree,
  powerOff,
  readCr0,
  readCr2,
  readCr3,
  readMsr,
  restoreFlags,
  safeHalt,
  saveFlags,
  schedClock,
  setFixmap,
  setIoplMask,
  setLdt,
  setNextEvent,
  setPgd,
  setPmd,
  setPte,
  setPud,
  startContextSwitch,
  stopTimer,
  timeInit,
  trapEntry,
  writeCr0,
  writeCr3,
  writeFsBase,
  writeIdtEntry,
} from '../../paravirt/operations';
import { applyPatches, sitesLeft, sitesPatched } from '../../paravirt/patch';
import { commandLine, freeMemoryStart, physicalOf, startNative, virtualOf } from '../index';

// The entry stubs find this by name.
export { handleTrap } from '../../paravirt/handlers';

const MILLISECOND: u64 = 1000000;
const PAGE_SIZE: usize = 4096;
const TABLE: u64 = 0x67;
const PAGE: u64 = 0x63;
/** An address of a user's, in a slot of the root that nothing else is in. */
const USER_ADDRESS: u64 = 0x10000000000;

const line: usize = memory.data(256);
let used: usize = 0;
let failures: u32 = 0;

function say(text: string): void {
  for (let i = 0; i < text.length; i++) store<u8>(line + used++, load<u16>(changetype<usize>(text) + 2 * i));
}

function endLine(): void {
  store<u8>(line + used++, 10);
  for (let written: usize = 0; written < used; ) written += consoleWrite(line + written, used - written);
  used = 0;
}

function check(name: string, passes: bool): void {
  say(passes ? 'ok ' : 'not ok ');
  say(name);
  if (!passes) failures++;
  endLine();
}

let ticks: u32 = 0;
let ends: u32 = 0;
let traps: u32 = 0;
let lastVector: u64 = 0;
let typedBytes: usize = 0;
const typed: usize = memory.data(64);

function tick(): void {
  ticks++;
}
function interruptEnds(_frame: usize): void {
  ends++;
}
function trap(frame: usize): void {
  const registers = changetype<TrapFrame>(frame);
  traps++;
  lastVector = registers.vector;
  if (lastVector === 6) registers.rip += 2;
}
function otherTrap(frame: usize): void {
  trap(frame);
  check('no other trap', false);
  powerOff();
}
function systemCall(_frame: usize): void {}
function input(): void {
  typedBytes += consoleRead(typed + typedBytes, 64 - typedBytes);
}

function testFlags(): void {
  disableInterrupts();
  check('disable, save', saveFlags() === 0);
  enableInterrupts();
  check('enable, save', saveFlags() === 0x200);
  const enabled = saveFlags();
  restoreFlags(0x46);
  check('restore looks at its own bit', saveFlags() === 0);
  restoreFlags(enabled);
  check('restore', saveFlags() === 0x200);
  disableInterrupts();
  setIoplMask(0x3000);
  restoreFlags(0x200);
  check('and leaves IOPL alone', (readFlags() & 0x3200) === 0x3200);
  setIoplMask(0);
  disableInterrupts();
}

function testTraps(): void {
  onOtherTraps(otherTrap);
  onTrap(3, trap);
  onTrap(6, trap);
  onTrap(0x80, trap);
  breakpoint();
  check('a breakpoint', traps === 1 && lastVector === 3);
  undefinedInstruction();
  check('an undefined instruction', traps === 2 && lastVector === 6);
  check('a load that faults', probeLoad64(0x123456789000, line) === 1 && readCr2() === 0x123456789000);
}

const idt: usize = memory.data(8192);
const gdt: usize = memory.data(8192);
const tls: usize = memory.data(24, 8);

function page(room: usize): usize {
  return (room + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

function testTables(): void {
  const gates = page(idt);
  const entry = trapEntry(0x80);
  const low =
    (entry & 0xffff) | ((<u64>kernelCs) << 16) | ((<u64>0xee) << 40) | (((entry >> 16) & 0xffff) << 48);
  loadIdt(gates, 256);
  writeIdtEntry(gates, 0x80, low, entry >> 32);
  int80();
  check('a gate of the kernel', traps === 3 && lastVector === 0x80);
  loadGdt(page(gdt), 32);
  breakpoint();
  check('a table of segments of the kernel', traps === 4);
  store<u64>(tls, 0x00cff3000000ffff, 8);
  loadTls(tls);
  check('thread-local storage', load<u64>(page(gdt) + 13 * 8) === 0x00cff3000000ffff);
  setLdt(page(gdt), 4);
  setLdt(0, 0);
  writeFsBase(0x123456);
  check('the base of FS', readMsr(0xc0000100) === 0x123456);
  loadSp0(page(gdt));
  enableSystemCalls();
  check('SYSCALL', (readMsr(0xc0000080) & 1) === 1 && readMsr(0xc0000081) >> 48 === <u64>userCs - 16);
}

/** Waits for the next tick. Interrupts are disabled before and afterwards. */
function waitForTick(): void {
  for (const before = ticks; ticks === before; ) {
    safeHalt();
    disableInterrupts();
  }
}

function testTimer(): void {
  onTimer(tick);
  onInterruptEnd(interruptEnds);
  timeInit();
  check('the speed of the TSC', getTscKhz() > 1000);
  check('a date after 2020', getWallclock() > <u64>1577836800 * 1000 * MILLISECOND);
  const before = schedClock();
  setNextEvent(2 * MILLISECOND);
  waitForTick();
  const passed = schedClock() - before;
  check('a tick of 2 ms', passed >= 2 * MILLISECOND && passed < 100 * MILLISECOND);
  const start = schedClock();
  setNextEvent(130 * MILLISECOND);
  waitForTick();
  check('one beyond the counter', schedClock() - start >= 130 * MILLISECOND && ticks === 2);
  setNextEvent(MILLISECOND);
  stopTimer();
  const stopped = schedClock();
  enableInterrupts();
  while (schedClock() - stopped < 3 * MILLISECOND) {}
  disableInterrupts();
  check('a timer that was stopped', ticks === 2);
  check('each interrupt has its end', ends >= 4);
}

const record: usize = memory.data(64, 8);

function testPages(): void {
  const free = (freeMemoryStart() + 0x1fffff) & ~0x1fffff;
  const root = free;
  const tables = free + PAGE_SIZE;
  const target = free + 8 * PAGE_SIZE;
  memory.fill(free, 0, 9 * PAGE_SIZE);
  check('the root of the kernel', virtualOf(readCr3()) === pagetableSetupStart());
  pagetableSetupDone();
  check('low addresses are gone', probeLoad64(0x100000, line) === 1);
  check('a new space', SIZEOF_AddressSpace <= 64 && pgdAlloc(record, root) === 0);
  enterLazyMmu();
  setPgd(record, root + <usize>((USER_ADDRESS >> 39) & 511) * 8, makePte(physicalOf(tables) | TABLE));
  setPud(tables, makePte(physicalOf(tables + PAGE_SIZE) | TABLE));
  setPmd(tables + PAGE_SIZE, makePte(physicalOf(tables + 2 * PAGE_SIZE) | TABLE));
  setPte(tables + 2 * PAGE_SIZE, makePte(physicalOf(target) | PAGE));
  leaveLazyMmu();
  store<u64>(target, 0x1122334455667788);
  const before = readCr3();
  writeCr3(record);
  const found = probeLoad64(USER_ADDRESS, line);
  check('a page of it', found === 0 && load<u64>(line) === 0x1122334455667788);
  const entry = getAndClearPte(tables + 2 * PAGE_SIZE);
  flushTlbSingle(USER_ADDRESS);
  check('taken away', (entry & 0x21) === 0x21 && probeLoad64(USER_ADDRESS, line) === 1);
  pgdFree(record);
  check('the root of the kernel again', readCr3() === before);
  const fixed = free + 16 * PAGE_SIZE;
  setFixmap(fixed, physicalOf(target), PAGE);
  check('a page at a fixed address', load<u64>(fixed) === 0x1122334455667788);
  store<u64>(fixed + PAGE_SIZE, 5);
  check('its neighbours stay', load<u64>(fixed + PAGE_SIZE) === 5);
  flushTlbKernel();
  startContextSwitch();
  endContextSwitch();
}

function testRest(): void {
  const map = freeMemoryStart();
  const count = memorySetup(map, 8);
  check('the memory map', count === 3 && load<u32>(map, 16) === 1 && load<u64>(map, 40) === 0x100000);
  check('the command line', load<u8>(commandLine()) === 0x78 && load<u8>(commandLine(), 1) === 0);
  cpuid(0, 0, map);
  check('CPUID', load<u32>(map) > 0);
  writeCr0(readCr0() | 8);
  clts();
  check('CLTS', (readCr0() & 8) === 0);
  check('no APIC', apicRead(0x20) === 0);
}

function testInput(): void {
  onConsoleInput(input);
  consoleSetup();
  while (typedBytes < 20) {
    safeHalt();
    disableInterrupts();
  }
  check('what was typed', load<u8>(typed) === 0x61 && load<u8>(typed, 19) === 0x74);
}

export function nativeStart(bootParams: u64): void {
  startNative(bootParams);
  check('the bare machine', platform === ON_NATIVE);
  onSystemCall(systemCall);
  testTraps();
  initInterrupts();
  archSetup();
  testFlags();
  testTables();
  testTimer();
  testInput();
  testRest();
  testPages();
  applyPatches();
  check('every call site is patched', sitesPatched > 50 && sitesLeft === 0);
  testFlags();
  setNextEvent(MILLISECOND);
  waitForTick();
  check('a tick through patched sites', ticks === 3);
  say(failures === 0 ? 'done' : 'failed');
  endLine();
  powerOff();
}
