/**
 * What time it is for the guests: nanoseconds since the host started, and the TSC, which ticks once per nanosecond.
 *
 * Under the host clock time is real. Under the virtual clock it is a function of the work done: one retired instruction
 * is one nanosecond, and while nobody wants to run it skips to the next timer. The same work then happens at the same
 * times in every run, on every machine.
 */
export interface Clock {
  /** Whether time is a function of retired instructions. */
  readonly virtual: boolean;
  nowNs(): number;
  /** The processor has retired `instructions` more. */
  advance(instructions: number): void;
  /** Nobody wants to run before `untilNs`: a virtual clock skips there, a real one cannot. */
  advanceIdle(untilNs: number): void;
}

/** Real time, from a monotonic clock of the surroundings. */
export class HostClock implements Clock {
  readonly virtual = false;
  private readonly monotonicNs: () => number;
  private readonly startNs: number;

  /** `monotonicNs` counts nanoseconds from anywhere. */
  constructor(monotonicNs: () => number) {
    this.monotonicNs = monotonicNs;
    this.startNs = monotonicNs();
  }

  nowNs(): number {
    return Math.floor(this.monotonicNs() - this.startNs);
  }
  advance(): void {}
  advanceIdle(): void {}
}

/** One instruction, one nanosecond. */
export class VirtualClock implements Clock {
  readonly virtual = true;
  private now = 0;

  nowNs(): number {
    return this.now;
  }
  advance(instructions: number): void {
    this.now += instructions;
  }
  advanceIdle(untilNs: number): void {
    if (untilNs > this.now) this.now = untilNs;
  }
}
