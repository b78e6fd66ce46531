/**
 * An 8254 interval timer: three 16-bit counters that count down at 1.193182 MHz. Counter 0 drives IRQ 0; counter 2 is the
 * one that a kernel measures its TSC against: port 0x61 has its gate and its output. Counter 1 counts, and nothing hears it.
 *
 *     port 0x40, 0x41, 0x42   the counters         port 0x43   control word, latch and read-back commands
 *     port 0x61               bit 0 gate of counter 2, bit 1 speaker (kept), bit 5 output of counter 2
 *
 * Counting is a matter of looking at the clock; only counter 0 needs a timer. BCD counting is not offered: the bit is
 * ignored. (Intel 8254 data sheet, order number 231164.)
 */
import type { Clock } from '../../hypervisor/clock.ts';
import { Timer, type TimerQueue } from '../../hypervisor/timers.ts';
import type { PortDevice } from '../ports.ts';

export const PIT_HZ = 1_193_182;
const NS_PER_SECOND = 1e9;
const MODULUS = 0x10000;

const CONTROL_PORT = 0x43;
const SYSTEM_PORT = 0x61;
const SYSTEM_GATE = 0x01;
const SYSTEM_KEPT = 0x03;
const SYSTEM_OUTPUT = 0x20;
const READ_BACK = 3;
const READ_BACK_NO_COUNT = 0x20;
const READ_BACK_NO_STATUS = 0x10;

/** Which bytes of a count are accessed. */
const ACCESS_LATCH = 0;
const ACCESS_LOW = 1;
const ACCESS_HIGH = 2;

class Counter {
  mode = 0;
  /** What is counted down from, 1 to 65536; 0: no count has been written. */
  reload = 0;
  startNs = 0;
  gate = true;
  /** What had been counted, in nanoseconds, when the gate fell. */
  private heldNs = 0;
  private access = 3;
  private written: number | undefined;
  /** Bytes that reads give before they look at the count again. */
  private readonly latched: number[] = [];
  private readsHigh = false;
  private statusLatched: number | undefined;

  control(value: number): void {
    this.access = (value >> 4) & 3;
    // Modes 2 and 3 can be written with the upper bit set.
    this.mode = (value >> 1) & 7;
    if (this.mode > 5) this.mode -= 4;
    this.reload = 0;
    this.written = undefined;
    this.latched.length = 0;
    this.readsHigh = false;
  }

  /** Takes a byte of the count; true once it is complete. */
  write(value: number, nowNs: number): boolean {
    let count: number;
    if (this.access === ACCESS_LOW) count = value;
    else if (this.access === ACCESS_HIGH) count = value << 8;
    else if (this.written === undefined) {
      this.written = value;
      return false;
    } else {
      count = this.written | (value << 8);
      this.written = undefined;
    }
    this.reload = count === 0 ? MODULUS : count;
    this.startNs = nowNs;
    this.heldNs = 0;
    return true;
  }

  read(nowNs: number): number {
    if (this.statusLatched !== undefined) {
      const status = this.statusLatched;
      this.statusLatched = undefined;
      return status;
    }
    const latched = this.latched.shift();
    if (latched !== undefined) return latched;
    const count = this.count(nowNs);
    if (this.access === ACCESS_LOW) return count & 0xff;
    if (this.access === ACCESS_HIGH) return count >> 8;
    this.readsHigh = !this.readsHigh;
    return this.readsHigh ? count & 0xff : count >> 8;
  }

  latchCount(nowNs: number): void {
    if (this.latched.length > 0) return;
    const count = this.count(nowNs);
    if (this.access !== ACCESS_HIGH) this.latched.push(count & 0xff);
    if (this.access !== ACCESS_LOW) this.latched.push(count >> 8);
  }

  latchStatus(nowNs: number): void {
    const output = this.output(nowNs) ? 0x80 : 0;
    this.statusLatched ??= output | (this.reload === 0 ? 0x40 : 0) | (this.access << 4) | (this.mode << 1);
  }

  /** A gate that rises starts the count again, or, in modes 0 and 4, lets it go on. */
  setGate(gate: boolean, nowNs: number): void {
    if (gate === this.gate) return;
    this.gate = gate;
    if (gate) this.startNs = nowNs - this.heldNs;
    else this.heldNs = this.mode === 0 || this.mode === 4 ? nowNs - this.startNs : 0;
  }

  output(nowNs: number): boolean {
    if (this.reload === 0) return this.mode !== 0;
    const ticks = this.ticks(nowNs);
    if (this.mode === 2) return ticks % this.reload !== this.reload - 1;
    if (this.mode === 3) return ticks % this.reload < (this.reload + 1) >> 1;
    return ticks >= this.reload;
  }

  get isPeriodic(): boolean {
    return this.mode === 2 || this.mode === 3;
  }

  /** Ticks since the count began. */
  ticks(nowNs: number): number {
    const counted = this.gate ? nowNs - this.startNs : this.heldNs;
    return Math.floor((counted * PIT_HZ) / NS_PER_SECOND);
  }

  private count(nowNs: number): number {
    if (this.reload === 0) return 0;
    const ticks = this.ticks(nowNs);
    if (this.mode === 2) return (this.reload - (ticks % this.reload)) % MODULUS;
    if (this.mode === 3) return ((this.reload - ((2 * ticks) % this.reload)) % MODULUS) & ~1;
    return (((this.reload - ticks) % MODULUS) + MODULUS) % MODULUS;
  }
}

export interface IntervalTimerOptions {
  readonly clock: Clock;
  readonly timers: TimerQueue;
  /** The level of IRQ 0: low and high again at each period's end, high at the end of a single count. */
  readonly setLine: (level: boolean) => void;
}

export class IntervalTimer implements PortDevice {
  private readonly counters = [new Counter(), new Counter(), new Counter()];
  private readonly options: IntervalTimerOptions;
  private readonly timer: Timer;
  private system = 0;

  constructor(options: IntervalTimerOptions) {
    this.options = options;
    this.timer = new Timer(() => this.expire());
    this.counters[2]!.gate = false;
  }

  read(port: number): number {
    const now = this.options.clock.nowNs();
    if (port === SYSTEM_PORT) {
      return this.system | (this.counters[2]!.output(now) ? SYSTEM_OUTPUT : 0);
    }
    return port === CONTROL_PORT ? 0xff : this.counters[port & 3]!.read(now);
  }

  write(port: number, value: number): void {
    const now = this.options.clock.nowNs();
    if (port === SYSTEM_PORT) {
      this.system = value & SYSTEM_KEPT;
      this.counters[2]!.setGate((value & SYSTEM_GATE) !== 0, now);
    } else if (port === CONTROL_PORT) {
      this.control(value, now);
    } else if (this.counters[port & 3]!.write(value, now) && (port & 3) === 0) {
      this.options.setLine(this.counters[0]!.isPeriodic);
      this.schedule(now);
    }
  }

  /** No more interrupts. */
  release(): void {
    this.options.timers.cancel(this.timer);
  }

  private control(value: number, now: number): void {
    const select = value >> 6;
    if (select === READ_BACK) {
      for (const [i, counter] of this.counters.entries()) {
        if ((value & (2 << i)) === 0) continue;
        if ((value & READ_BACK_NO_COUNT) === 0) counter.latchCount(now);
        if ((value & READ_BACK_NO_STATUS) === 0) counter.latchStatus(now);
      }
      return;
    }
    const counter = this.counters[select]!;
    if (((value >> 4) & 3) === ACCESS_LATCH) {
      counter.latchCount(now);
      return;
    }
    counter.control(value);
    if (select !== 0) return;
    this.options.timers.cancel(this.timer);
    this.options.setLine(counter.mode !== 0);
  }

  /** Sets the timer for the next end of counter 0. Periods that have passed unseen are lost, as on a PC. */
  private schedule(now: number): void {
    const counter = this.counters[0]!;
    const periods = counter.isPeriodic ? Math.floor(counter.ticks(now) / counter.reload) + 1 : 1;
    const deadline = counter.startNs + Math.ceil((periods * counter.reload * NS_PER_SECOND) / PIT_HZ);
    this.options.timers.set(this.timer, deadline);
  }

  private expire(): void {
    const { setLine, clock } = this.options;
    setLine(false);
    setLine(true);
    if (this.counters[0]!.isPeriodic) this.schedule(clock.nowNs());
  }
}
