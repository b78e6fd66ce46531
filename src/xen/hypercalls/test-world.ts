/**
 * For tests of hypercalls: a host with one domain, whose memory at 0x100000 is a window of ordinary frames of its own.
 * No instruction is executed; the tests call handlers as the dispatcher would.
 */
import { VirtualClock } from '../../hypervisor/clock.ts';
import { Host } from '../../hypervisor/host.ts';
import type { Processor } from '../../hypervisor/processor.ts';
import { CPU } from '../../machine/layout.ts';
import type { Gva, Maddr, Mfn } from '../../machine/memory.ts';
import { MachineMemory, PAGE_SIZE } from '../../machine/memory.ts';
import { Exit } from '../../machine/x86/exits.ts';
import { VcpuState } from '../../machine/x86/state.ts';
import { XenDomain } from '../domain.ts';
import { EventChannels } from '../events/index.ts';
import { type FrameOwner, frameTableOf } from '../mm/frame-table.ts';
import { VcpuClock } from '../time.ts';
import type { XenVcpu } from '../vcpu.ts';
import { HypercallArguments } from './arguments.ts';
import { type HypercallFamily, HypercallTable } from './dispatch.ts';

/** Where the window begins in the guest's address space. */
export const WINDOW: Gva = 0x100000;
/** Pages in the window; the last one cannot be written. */
export const WINDOW_PAGES = 8;

/** Translates the window only, and holds whichever state is activated. */
export class WindowProcessor implements Processor {
  readonly cpu: VcpuState;
  hooks = { readDescriptor: () => undefined };
  clock = { now: () => 0 };
  frames: Mfn[] = [];
  private readonly memory: MachineMemory;

  constructor(memory: MachineMemory) {
    this.memory = memory;
    this.cpu = new VcpuState(memory, CPU);
  }
  translate(low: number, high: number, write: boolean): number {
    const page = high === 0 ? Math.floor(((low >>> 0) - WINDOW) / PAGE_SIZE) : -1;
    const mfn = this.frames[page];
    if (mfn === undefined || (write && page === WINDOW_PAGES - 1)) return 0;
    return this.memory.host(mfn * PAGE_SIZE) + (low & (PAGE_SIZE - 1));
  }
  activate(state: VcpuState): void {
    state.base = CPU;
  }
  run(): Exit {
    return Exit.Budget;
  }
  loadRoot(_root: Maddr): void {}
  invalidatePage(): void {}
  invalidateAll(): void {}
  noteTableChange(): void {}
  forgetRoot(): void {}
  invalidateRegion(): void {}
  instructionAtExit(): undefined {}
  countRetired(): void {}
}

/** A host of `frames` machine frames under a virtual clock, which never waits for anything. */
export function testHost(frames: number): { host: Host; processor: WindowProcessor; clock: VirtualClock } {
  const memory = new MachineMemory({ frames, codeCacheBytes: 65536 });
  const processor = new WindowProcessor(memory);
  const clock = new VirtualClock();
  const surroundings = { monotonicNs: () => 0, giveWay: () => Promise.resolve(), after: () => () => {} };
  return { host: new Host({ memory, processor, clock, surroundings }), processor, clock };
}

export class TestWorld {
  readonly host: Host;
  readonly memory: MachineMemory;
  readonly processor: WindowProcessor;
  readonly clock: VirtualClock;
  readonly domain: XenDomain;
  /** Frames of the window, all the domain's. */
  readonly frames: Mfn[];

  constructor(families: readonly HypercallFamily[], { is64 = true, vcpus = 2 } = {}) {
    const { host, processor, clock } = testHost(1024);
    this.host = host;
    this.memory = host.memory;
    this.processor = processor;
    this.clock = clock;
    this.domain = this.addDomain(families, is64, vcpus);
    const table = frameTableOf(this.host);
    const owner: FrameOwner = { id: this.domain.id, dying: false, m2pStrict: false, frameFreed() {} };
    table.domains.set(owner.id, owner);
    // In an order in which pages that are neighbours are none as frames.
    this.frames = [...this.host.frames.allocate(WINDOW_PAGES)].reverse();
    for (const mfn of this.frames) table.assignPage(mfn, owner);
    this.processor.frames = this.frames;
    this.processor.activate(this.vcpu.state);
  }

  /** A domain with its parts, but without memory. */
  addDomain(families: readonly HypercallFamily[], is64 = true, vcpus = 2): XenDomain {
    const domain = new XenDomain(this.host, {
      name: 'test',
      is64,
      vcpus,
      maxPages: 64,
      hypercalls: new HypercallTable(families),
    });
    const frame = this.host.frames.tryAllocate();
    domain.sharedInfo = frame * PAGE_SIZE;
    const channelsOf = (id: number) =>
      (this.host.domains.get(id) as XenDomain | undefined)?.events as EventChannels | undefined;
    domain.events = new EventChannels(domain, this.memory, { channelsOf });
    for (const vcpu of domain.vcpus) {
      vcpu.vcpuInfo = domain.sharedInfo + vcpu.id * 64;
      vcpu.time = new VcpuClock(vcpu);
    }
    domain.vcpus[0]!.online = true;
    return domain;
  }

  get vcpu(): XenVcpu {
    return this.domain.vcpus[0]!;
  }
  get channels(): EventChannels {
    return this.domain.events as EventChannels;
  }

  /** Issues a hypercall from vCPU 0, or another one. */
  call(number: number, args: readonly number[], vcpu = this.vcpu): number {
    const registers = new HypercallArguments();
    for (const [i, value] of args.entries()) registers.set(i, value);
    return this.domain.hypercalls.call(vcpu, number, registers);
  }

  /** Writes 32-bit words into the window and returns the address of the first. */
  words(...values: number[]): Gva {
    values.forEach((value, i) => {
      this.vcpu.guest.write32(WINDOW + i * 4, value);
    });
    return WINDOW;
  }

  /** Lets time pass, and due timers fire. */
  pass(ns: number): void {
    const until = this.clock.nowNs() + ns;
    for (;;) {
      const next = Math.min(this.host.timers.nextNs, until);
      this.clock.advanceIdle(next);
      this.host.timers.fireDue(this.clock.nowNs());
      if (next >= until) return;
    }
  }
}
