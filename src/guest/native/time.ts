/**
 * Time: the TSC is the clock, at the speed that CPUID tells or an 8254's counter 2 shows; counter 0 interrupts once, when it is
 * wanted; the date comes from the MC146818.
 */
import { cpuid, inb, multiplyHigh, outb, rdtsc } from '../machine/processor';
import { timerInterrupt } from '../paravirt/handlers';
import { nativeDisableInterrupts, nativeRestoreInterrupts, nativeSaveInterrupts } from './flags';
import { onInterrupt } from './interrupts';

const NANOSECONDS: u64 = 1000000000;
const TIMER_IRQ: u32 = 0;
const PIT_HZ: u64 = 1193182;
const PIT_COUNTER_0: u32 = 0x40;
const PIT_COUNTER_2: u32 = 0x42;
const PIT_CONTROL: u32 = 0x43;
const SYSTEM_PORT: u32 = 0x61;
const GATE_2: u32 = 1;
const OUTPUT_2: u32 = 0x20;
/** Counter 0 and counter 2, both bytes, mode 0: the output rises at the end of the count. */
const ONE_SHOT_0: u32 = 0x30;
const ONE_SHOT_2: u32 = 0xb0;
const MOST_TICKS: u64 = 0xffff;
/** How long the TSC is measured: 10 ms. */
const MEASURED_TICKS: u32 = 11932;
const RTC_INDEX: u32 = 0x70;
const RTC_DATA: u32 = 0x71;
const RTC_CENTURY: u32 = 0x32;
const RTC_UPDATING: u32 = 0x80;

const leaf: usize = memory.data(16, 4);
let khz: u32 = 0;
/** Nanoseconds of a tick of the TSC, times 2^32. */
let factor: u64 = 0;
let tscAtStart: u64 = 0;
/** The date at `schedClock` 0. */
let dateAtStart: u64 = 0;
/** When the next timer interrupt is wanted; 0: never. */
let deadline: u64 = 0;

/** Starts the clock. Takes 10 ms where CPUID does not know the TSC's speed. */
export function startClock(): void {
  khz = khzFromCpuid();
  if (khz === 0) khz = measuredKhz();
  factor = ((<u64>1000000) << 32) / khz;
  tscAtStart = rdtsc();
  dateAtStart = readDate();
}

/** Leaf 0x15: crystal, numerator and denominator; 0x16: MHz. */
function khzFromCpuid(): u32 {
  cpuid(0, 0, leaf);
  const last = load<u32>(leaf);
  if (last >= 0x15) {
    cpuid(0x15, 0, leaf);
    const denominator = <u64>load<u32>(leaf);
    const crystal = <u64>load<u32>(leaf, 8);
    if (denominator !== 0 && crystal !== 0) return <u32>((crystal * load<u32>(leaf, 4)) / denominator / 1000);
  }
  if (last < 0x16) return 0;
  cpuid(0x16, 0, leaf);
  return (load<u32>(leaf) & 0xffff) * 1000;
}

function measuredKhz(): u32 {
  outb(SYSTEM_PORT, (inb(SYSTEM_PORT) & ~2) | GATE_2);
  outb(PIT_CONTROL, ONE_SHOT_2);
  outb(PIT_COUNTER_2, MEASURED_TICKS & 0xff);
  outb(PIT_COUNTER_2, MEASURED_TICKS >> 8);
  const before = rdtsc();
  while ((inb(SYSTEM_PORT) & OUTPUT_2) === 0) {}
  return <u32>(((rdtsc() - before) * PIT_HZ) / MEASURED_TICKS / 1000);
}

/** time.sched_clock: nanoseconds since `startClock`. */
export function nativeSchedClock(): u64 {
  const ticks = rdtsc() - tscAtStart;
  return (multiplyHigh(ticks, factor) << 32) | ((ticks * factor) >> 32);
}

/** time.get_tsc_khz */
export function nativeGetTscKhz(): u32 {
  return khz;
}

/** time.get_wallclock */
export function nativeGetWallclock(): u64 {
  return dateAtStart + nativeSchedClock();
}

/** time.set_wallclock: for us; the clock on the board keeps its own. */
export function nativeSetWallclock(nanoseconds: u64): i32 {
  dateAtStart = nanoseconds - nativeSchedClock();
  return 0;
}

function rtc(index: u32): u32 {
  outb(RTC_INDEX, index);
  return inb(RTC_DATA);
}

function rtcDecimal(index: u32): u64 {
  const value = rtc(index);
  return <u64>((value >> 4) * 10 + (value & 15));
}

/** Nanoseconds since 1970, to the second. */
function readDate(): u64 {
  while ((rtc(10) & RTC_UPDATING) !== 0) {}
  const year = rtcDecimal(RTC_CENTURY) * 100 + rtcDecimal(9);
  const days = daysBefore(year, rtcDecimal(8)) + rtcDecimal(7) - 1;
  return (((days * 24 + rtcDecimal(4)) * 60 + rtcDecimal(2)) * 60 + rtcDecimal(0)) * NANOSECONDS;
}

/** Days from 1970 to the first of a month (1 to 12): years begin in March here, so that leap days come last. */
function daysBefore(year: u64, month: u64): u64 {
  const y = month > 2 ? year : year - 1;
  const m = month > 2 ? month - 3 : month + 9;
  return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 - 719468;
}

/** time.set_next_event */
export function nativeSetNextEvent(nanoseconds: u64): void {
  const state = nativeSaveInterrupts();
  nativeDisableInterrupts();
  deadline = nativeSchedClock() + nanoseconds;
  arm();
  nativeRestoreInterrupts(state);
}

/** Counter 0 counts 55 ms at most; a deadline beyond is come to in several steps. */
function arm(): void {
  const now = nativeSchedClock();
  const left = deadline > now ? deadline - now : 0;
  let ticks = left > NANOSECONDS ? MOST_TICKS : (left * PIT_HZ) / NANOSECONDS + 1;
  if (ticks > MOST_TICKS) ticks = MOST_TICKS;
  outb(PIT_CONTROL, ONE_SHOT_0);
  outb(PIT_COUNTER_0, <u32>ticks & 0xff);
  outb(PIT_COUNTER_0, <u32>ticks >> 8);
}

/** time.shutdown: a counter that has a control word but no count does nothing. */
export function nativeStopTimer(): void {
  deadline = 0;
  outb(PIT_CONTROL, ONE_SHOT_0);
}

function tick(): void {
  if (deadline === 0) return;
  if (nativeSchedClock() < deadline) {
    arm();
    return;
  }
  deadline = 0;
  timerInterrupt();
}

/** time.time_init */
export function nativeTimeInit(): void {
  nativeStopTimer();
  onInterrupt(TIMER_IRQ, tick);
}
