/**
 * What is to happen at a time: a queue of deadlines, earliest first, equal ones in the order they were set, so that a
 * virtual clock fires them alike in every run.
 *
 * A binary heap of timer objects. A timer is made once and set many times; setting one allocates nothing.
 */
export class Timer {
  /** Host time in nanoseconds; meaningful while the timer is set. */
  deadlineNs = 0;
  /** Its turn among equal deadlines. */
  order = 0;
  /** Place in the heap, or -1. */
  index = -1;
  readonly fire: () => void;

  /** `fire` is called at the deadline, the timer being idle again by then. */
  constructor(fire: () => void) {
    this.fire = fire;
  }

  get active(): boolean {
    return this.index >= 0;
  }
}

export class TimerQueue {
  private readonly heap: Timer[] = [];
  private orders = 0;

  /** Sets a timer, or moves it if it is set. A deadline in the past fires at the next opportunity. */
  set(timer: Timer, deadlineNs: number): void {
    if (timer.index >= 0) this.cancel(timer);
    timer.deadlineNs = deadlineNs;
    timer.order = this.orders++;
    timer.index = this.heap.length;
    this.heap.push(timer);
    this.up(timer.index);
  }

  /** Harmless for a timer that is not set. */
  cancel(timer: Timer): void {
    const { index } = timer;
    if (index < 0) return;
    timer.index = -1;
    const last = this.heap.pop()!;
    if (last === timer) return;
    this.place(last, index);
    this.up(index);
    this.down(last.index);
  }

  /** The earliest deadline, or Infinity. */
  get nextNs(): number {
    return this.heap.length === 0 ? Number.POSITIVE_INFINITY : this.heap[0]!.deadlineNs;
  }

  /** Fires all that is due at `nowNs`; returns whether there was any. */
  fireDue(nowNs: number): boolean {
    let fired = false;
    while (this.heap.length > 0 && this.heap[0]!.deadlineNs <= nowNs) {
      const timer = this.heap[0]!;
      this.cancel(timer);
      timer.fire();
      fired = true;
    }
    return fired;
  }

  private before(a: Timer, b: Timer): boolean {
    return a.deadlineNs < b.deadlineNs || (a.deadlineNs === b.deadlineNs && a.order < b.order);
  }

  private place(timer: Timer, index: number): void {
    this.heap[index] = timer;
    timer.index = index;
  }

  private up(from: number): void {
    let index = from;
    const timer = this.heap[index]!;
    while (index > 0) {
      const parent = this.heap[(index - 1) >> 1]!;
      if (!this.before(timer, parent)) break;
      this.place(parent, index);
      index = (index - 1) >> 1;
    }
    this.place(timer, index);
  }

  private down(from: number): void {
    let index = from;
    const timer = this.heap[index]!;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= this.heap.length) break;
      if (child + 1 < this.heap.length && this.before(this.heap[child + 1]!, this.heap[child]!)) child++;
      if (!this.before(this.heap[child]!, timer)) break;
      this.place(this.heap[child]!, index);
      index = child;
    }
    this.place(timer, index);
  }
}
