/**
 * A host: one machine, its domains, and the loop that runs them.
 *
 *     fire due timers -> pick the next runnable vCPU -> [ prepare -> run -> handle the exit ]* -> give way
 *
 * The loop is the only place where guests make progress. It runs vCPUs in turn, a slice of instructions each, and every
 * few milliseconds of real time lets the surroundings run, so that input, output and compilation proceed. When nobody
 * wants to run it waits for the next timer or for input; under a virtual clock it skips to the timer instead.
 *
 * Nothing here depends on real time except when the loop pauses, so under a virtual clock two runs are alike.
 */
import { CPU_CLOCK_BASE, CPU_CLOCK_VIRTUAL, CPU_SIZE } from '../machine/layout.ts';
import type { HostAddress, MachineMemory } from '../machine/memory.ts';
import { PAGE_SIZE } from '../machine/memory.ts';
import { Exit } from '../machine/x86/exits.ts';
import { VcpuState } from '../machine/x86/state.ts';
import type { Clock } from './clock.ts';
import type { Domain, Vcpu } from './domain.ts';
import { FrameAllocator, NO_FRAME, OutOfFramesError } from './frames.ts';
import type { Processor } from './processor.ts';
import type { Sampler } from './sampler.ts';
import { HostStats } from './stats.ts';
import { TimerQueue } from './timers.ts';
import { Trace } from './trace.ts';

const TWO_32 = 4294967296;

/** What the loop needs of its surroundings: the event loop of Node or of a browser. */
export interface Surroundings {
  /** Monotonic nanoseconds from anywhere: how long the loop has kept the event loop waiting. */
  monotonicNs(): number;
  /** Settles when the event loop has had its turn. Use MessageChannel or setImmediate; setTimeout waits too long. */
  giveWay(): Promise<void>;
  /** Calls `then` after about `ms` milliseconds; returns a function that cancels it. */
  after(ms: number, then: () => void): () => void;
}

export interface HostOptions {
  readonly memory: MachineMemory;
  readonly processor: Processor;
  readonly clock: Clock;
  readonly surroundings: Surroundings;
  /** Instructions in one turn of a vCPU. */
  readonly sliceInstructions?: number;
}

/** About a millisecond of interpreted code: timers under the host clock are at most this late. */
const SLICE_INSTRUCTIONS = 100_000;
/** What an exit costs of a turn, in instructions: about half a microsecond. */
const EXIT_COST = 100;
/**
 * Under a virtual clock: how often a vCPU is looked at that computes without an exit. Where turns end must not show, or
 * their length would change the run; but an upcall that a guest has unmasked, and does not ask for, should come, as it
 * does on Xen with the next interrupt.
 */
const TICK_NS = 1_000_000;
/** Real time after which the event loop gets a turn. */
const GIVE_WAY_NS = 4e6;
/** setTimeout cannot wait longer; the loop merely looks again. */
const LONGEST_WAIT_MS = 60_000;
const STATES_PER_FRAME = PAGE_SIZE / CPU_SIZE;

export class Host {
  readonly memory: MachineMemory;
  readonly processor: Processor;
  readonly clock: Clock;
  readonly frames: FrameAllocator;
  readonly timers = new TimerQueue();
  readonly stats = new HostStats();
  readonly trace = new Trace();
  /** What looks at guests as they run, if anything does. */
  sampler: Sampler | undefined;
  readonly domains = new Map<number, Domain>();
  private readonly surroundings: Surroundings;
  private readonly slice: number;
  private nextDomainId = 1;
  private readonly freeStates: HostAddress[] = [];
  /** Place of a released state that the processor still holds; 0 = none. */
  private abandonedHome: HostAddress = 0;
  private readonly stateHomes = new Map<VcpuState, HostAddress>();
  private current: Vcpu | undefined;
  /** Of the present slice, in instructions: what is left, what was granted last, and CPU_RETIRED at that time. */
  private left = 0;
  private granted = 0;
  private retiredBefore = 0;
  /** Index of the vCPU whose turn was last, among all vCPUs in order of domain and vCPU. */
  private turn = -1;
  private stopping = false;
  private readonly inputs: (() => void)[] = [];
  private alarm: (() => void) | undefined;
  private woken = false;

  constructor(options: HostOptions) {
    this.memory = options.memory;
    this.processor = options.processor;
    this.clock = options.clock;
    this.surroundings = options.surroundings;
    this.slice = options.sliceInstructions ?? SLICE_INSTRUCTIONS;
    const { memory, clock } = this;
    this.frames = new FrameAllocator(memory.frames, (mfn) => memory.zeroFrame(mfn));
    this.processor.clock = { now: () => clock.nowNs() };
    this.processor.onExit = (exit) => this.afterExit(this.current!, exit);
  }

  // -------------------------------------------------------------- domains

  /** The next domain number; numbers are not used twice. */
  takeDomainId(): number {
    return this.nextDomainId++;
  }

  addDomain(domain: Domain): void {
    this.domains.set(domain.id, domain);
    this.wake();
  }

  removeDomain(domain: Domain): void {
    this.domains.delete(domain.id);
    if (this.current?.domain === domain) this.current = undefined;
    this.wake();
  }

  /** A fresh register state, at power-on values, in a place of its own. */
  newVcpuState(): VcpuState {
    let home = this.freeStates.pop();
    if (home === undefined) {
      const mfn = this.frames.tryAllocate();
      if (mfn === NO_FRAME)
        throw new OutOfFramesError('a machine frame for vCPU states wanted, but none is free');
      home = this.memory.host(mfn * PAGE_SIZE);
      for (let i = STATES_PER_FRAME - 1; i > 0; i--) this.freeStates.push(home + i * CPU_SIZE);
    }
    const state = new VcpuState(this.memory, home);
    state.reset();
    this.memory.u32[(home + CPU_CLOCK_VIRTUAL) >> 2] = this.clock.virtual ? 1 : 0;
    this.stateHomes.set(state, home);
    return state;
  }

  /** Gives the place of a state back. */
  releaseVcpuState(state: VcpuState): void {
    const home = this.stateHomes.get(state);
    if (home === undefined) return;
    this.stateHomes.delete(state);
    state.released = true;
    // The processor still holds the registers of the active one, and will copy them home when it gets others.
    if (state.base === home) this.freeStates.push(home);
    else this.abandonedHome = home;
  }

  // -------------------------------------------------------------- waking the loop

  /** Something may have become runnable: the loop looks again if it is waiting. */
  wake(): void {
    this.woken = true;
    const { alarm } = this;
    this.alarm = undefined;
    alarm?.();
  }

  /** Input from outside: `action` runs inside the loop, between two slices, and may wake vCPUs. */
  enterInput(action: () => void): void {
    this.inputs.push(action);
    this.wake();
  }

  /** Makes `run` return after the current slice. */
  stop(): void {
    this.stopping = true;
    this.wake();
  }

  // -------------------------------------------------------------- the loop

  /** Runs until every domain has ended, or `stop` is called. */
  async run(): Promise<void> {
    this.stopping = false;
    let giveWayAt = this.surroundings.monotonicNs() + GIVE_WAY_NS;
    while (!this.stopping && this.anyLeft()) {
      this.woken = false;
      const busy = this.runOnce();
      if (!busy && !this.woken && !this.skipIdle()) {
        await this.wait();
      } else if (this.surroundings.monotonicNs() < giveWayAt) {
        continue;
      } else {
        await this.surroundings.giveWay();
      }
      giveWayAt = this.surroundings.monotonicNs() + GIVE_WAY_NS;
    }
  }

  /** One turn: input, due timers, one slice of one vCPU. False if nobody wanted to run. */
  runOnce(): boolean {
    while (this.inputs.length > 0) this.inputs.shift()!();
    this.timers.fireDue(this.clock.nowNs());
    const vcpu = this.nextRunnable();
    if (vcpu === undefined) return false;
    this.runSlice(vcpu);
    return true;
  }

  /** Makes a vCPU the one that the processor holds: its registers and its address space are loaded. */
  schedule(vcpu: Vcpu): void {
    if (this.current === vcpu) return;
    this.current?.onDescheduled();
    this.current = vcpu;
    vcpu.stirred = true;
    this.processor.activate(vcpu.state);
    if (this.abandonedHome !== 0) this.freeStates.push(this.abandonedHome);
    this.abandonedHome = 0;
    vcpu.onScheduled();
  }

  private anyLeft(): boolean {
    for (const domain of this.domains.values()) {
      if (domain.state === 'running' || domain.state === 'paused') return true;
    }
    return false;
  }

  /** Round robin over all vCPUs of all domains. */
  private nextRunnable(): Vcpu | undefined {
    let index = 0;
    let first: Vcpu | undefined;
    let firstIndex = 0;
    for (const domain of this.domains.values()) {
      for (const vcpu of domain.vcpus) {
        if (vcpu.runnable) {
          if (index > this.turn) {
            this.turn = index;
            return vcpu;
          }
          if (first === undefined) {
            first = vcpu;
            firstIndex = index;
          }
        }
        index++;
      }
    }
    if (first !== undefined) this.turn = firstIndex;
    return first;
  }

  private runSlice(vcpu: Vcpu): void {
    const { processor } = this;
    this.schedule(vcpu);
    this.left = this.slice;
    for (let budget = this.grant(vcpu); budget > 0; ) {
      const exit = processor.run(budget);
      // A vCPU that the processor could hold on to has been through `afterExit` already, perhaps many times.
      budget = exit === Exit.Settled ? 0 : this.afterExit(vcpu, exit);
    }
  }

  /** Before the guest runs: delivers what waits for it. Returns how many instructions it may execute now, 0 for none. */
  private grant(vcpu: Vcpu): number {
    const { clock, sampler, timers } = this;
    if (this.left <= 0 || !vcpu.runnable) return 0;
    if (vcpu.stirred) {
      vcpu.stirred = false;
      vcpu.prepare();
      if (!vcpu.runnable) return 0;
    }
    let budget = Math.min(this.left, vcpu.longestRun);
    if (sampler !== undefined) budget = Math.min(budget, sampler.left);
    const { state } = vcpu;
    if (clock.virtual) {
      const now = clock.nowNs();
      budget = Math.min(budget, Math.max(1, Math.min(timers.nextNs - now, TICK_NS - (now % TICK_NS))));
      this.setClockBase(state, now - state.retired);
    }
    this.granted = budget;
    this.retiredBefore = state.retired;
    return budget;
  }

  /** After the guest ran: accounts for it, does what it asked for, and grants anew. */
  private afterExit(vcpu: Vcpu, exit: Exit): number {
    const { clock, sampler, stats, timers } = this;
    const retired = vcpu.state.retired - this.retiredBefore;
    stats.instructions += retired;
    stats.exits.counts[exit]!++;
    clock.advance(retired);
    this.left -= retired;
    if (sampler !== undefined) {
      sampler.left -= retired;
      if (sampler.left <= 0) sampler.sample(vcpu);
    }
    if (exit !== Exit.Budget || !clock.virtual || clock.nowNs() % TICK_NS < retired) vcpu.stirred = true;
    if (exit !== Exit.Budget) {
      // What the hypervisor does for a guest is part of its turn: one that faults without end, or issues nothing but
      // long hypercalls, gives way as soon as one that computes.
      vcpu.handleExit(exit);
      this.left -= EXIT_COST + vcpu.work;
      vcpu.work = 0;
    } else if (retired < this.granted) {
      // The processor had more to do than to execute: decoding code that changes all the time, say.
      this.left = 0;
    }
    if (clock.virtual) timers.fireDue(clock.nowNs());
    return this.grant(vcpu);
  }

  /** RDTSC under a virtual clock reads this base plus the instructions retired. */
  private setClockBase(state: VcpuState, base: number): void {
    state.set(CPU_CLOCK_BASE, base | 0, Math.floor(base / TWO_32) | 0);
  }

  /** Nobody wants to run: a virtual clock skips to the next timer. False if that is not possible. */
  private skipIdle(): boolean {
    const next = this.timers.nextNs;
    if (!this.clock.virtual || next === Number.POSITIVE_INFINITY) return false;
    this.clock.advanceIdle(next);
    return true;
  }

  /** Waits for `wake`, or for the next timer. */
  private wait(): Promise<void> {
    return new Promise((resolve) => {
      const next = this.timers.nextNs;
      let cancel: (() => void) | undefined;
      this.alarm = () => {
        cancel?.();
        resolve();
      };
      if (next !== Number.POSITIVE_INFINITY) {
        const ms = Math.max(0, Math.ceil((next - this.clock.nowNs()) / 1e6));
        cancel = this.surroundings.after(Math.min(ms, LONGEST_WAIT_MS), () => this.wake());
      }
    });
  }
}
