import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CPU, CPU_CLOCK_BASE, CPU_RETIRED } from '../machine/layout.ts';
import { MachineMemory } from '../machine/memory.ts';
import { Exit } from '../machine/x86/exits.ts';
import { VcpuState } from '../machine/x86/state.ts';
import { type Clock, HostClock, VirtualClock } from './clock.ts';
import { Domain, Vcpu } from './domain.ts';
import { Host } from './host.ts';
import type { Processor } from './processor.ts';
import { Timer } from './timers.ts';

/** What a test vCPU does when it runs, and what it has been asked. */
type Behaviour = (vcpu: TestVcpu, budget: number) => Exit;

class TestVcpu extends Vcpu {
  override readonly domain: TestDomain;
  readonly behave: Behaviour;
  readonly log: string[];
  exitsSeen = 0;
  /** How often it was asked to deliver what waits for it. */
  prepared = 0;

  constructor(domain: TestDomain, id: number, behave: Behaviour, log: string[]) {
    super(id, domain.host.newVcpuState());
    this.domain = domain;
    this.behave = behave;
    this.log = log;
    this.online = true;
  }
  /** Retires instructions, as the engine counts them. */
  retire(count: number): void {
    this.state.set(CPU_RETIRED, this.state.retired + count, 0);
  }
  private note(what: string): void {
    this.log.push(`${this.domain.name}${this.id} ${what}`);
  }
  override onScheduled(): void {
    this.note('on');
  }
  override onDescheduled(): void {
    this.note('off');
  }
  protected override onBlock(): void {
    this.note('block');
  }
  protected override onWake(): void {
    this.note('wake');
  }
  protected override onOnlineChange(): void {}
  override prepare(): void {
    this.prepared++;
  }
  override handleExit(): void {
    this.exitsSeen++;
  }
}

class TestDomain extends Domain {
  override readonly vcpus: TestVcpu[] = [];
  released = false;
  protected override release(): void {
    this.released = true;
    for (const vcpu of this.vcpus) this.host.releaseVcpuState(vcpu.state);
  }
}

/** A processor that asks the active vCPU what to do, and moves states as the engine does. */
class TestProcessor implements Processor {
  readonly cpu: VcpuState;
  hooks = { readDescriptor: () => undefined };
  clock = { now: () => 0 };
  active: VcpuState | undefined;
  behaviours = new Map<VcpuState, (budget: number) => Exit>();
  private readonly memory: MachineMemory;

  constructor(memory: MachineMemory) {
    this.memory = memory;
    this.cpu = new VcpuState(memory, CPU);
  }
  activate(state: VcpuState): void {
    const { u8 } = this.memory;
    if (this.active !== undefined) {
      u8.copyWithin(this.active.home, CPU, CPU + 0x800);
      this.active.base = this.active.home;
    }
    u8.copyWithin(CPU, state.home, state.home + 0x800);
    state.base = CPU;
    this.active = state;
  }
  run(budget: number): Exit {
    return this.behaviours.get(this.active!)!(budget);
  }
  translate(): number {
    return 0;
  }
  loadRoot(): void {}
  invalidatePage(): void {}
  invalidateAll(): void {}
  noteTableChange(): void {}
  forgetRoot(): void {}
  invalidateRegion(): void {}
  instructionAtExit(): undefined {}
  countRetired(): void {}
}

class World {
  readonly memory = new MachineMemory({ frames: 64, codeCacheBytes: 65536 });
  readonly processor = new TestProcessor(this.memory);
  readonly log: string[] = [];
  /** Real time, moved by hand. */
  realNs = 0;
  readonly alarms: { ms: number; then: () => void; cancelled?: boolean }[] = [];
  gaveWay = 0;
  readonly host: Host;
  readonly clock: Clock;

  constructor(clock: 'virtual' | 'host' = 'virtual') {
    this.clock = clock === 'virtual' ? new VirtualClock() : new HostClock(() => this.realNs);
    this.host = new Host({
      memory: this.memory,
      processor: this.processor,
      clock: this.clock,
      sliceInstructions: 1000,
      surroundings: {
        monotonicNs: () => this.realNs,
        giveWay: async () => void this.gaveWay++,
        after: (ms, then) => {
          const alarm = { ms, then, cancelled: false };
          this.alarms.push(alarm);
          return () => {
            alarm.cancelled = true;
          };
        },
      },
    });
  }

  domain(name: string, ...behaviours: Behaviour[]): TestDomain {
    const domain = new TestDomain(this.host, this.host.takeDomainId(), name);
    for (const [id, behave] of behaviours.entries()) {
      const vcpu = new TestVcpu(domain, id, behave, this.log);
      domain.vcpus.push(vcpu);
      this.processor.behaviours.set(vcpu.state, (budget) => behave(vcpu, budget));
    }
    this.host.addDomain(domain);
    return domain;
  }
}

const spend: Behaviour = (vcpu, budget) => {
  vcpu.retire(budget);
  return Exit.Budget;
};

test('vCPUs of all domains take turns, a slice each', () => {
  const world = new World();
  const seen: string[] = [];
  const noting: Behaviour = (vcpu, budget) => {
    seen.push(`${vcpu.domain.name}${vcpu.id}`);
    return spend(vcpu, budget);
  };
  world.domain('a', noting, noting);
  world.domain('b', noting);
  for (let i = 0; i < 6; i++) assert.equal(world.host.runOnce(), true);
  assert.deepEqual(seen, ['a0', 'a1', 'b0', 'a0', 'a1', 'b0']);
  assert.equal(world.host.stats.instructions, 6000);
});

test('a vCPU that faults without progress still gives way', () => {
  const world = new World();
  const { vcpus } = world.domain('a', () => Exit.Exception);
  world.host.runOnce();
  assert.equal(vcpus[0]!.exitsSeen, 10);
  assert.equal(world.clock.nowNs(), 0);
  assert.equal(world.host.stats.exits.toRecord().exception, 10);
});

test('a vCPU that has much done for it has fewer turns to itself', () => {
  const world = new World();
  const { vcpus } = world.domain('a', (vcpu) => {
    vcpu.retire(1);
    vcpu.work += 500;
    return Exit.Syscall;
  });
  world.host.runOnce();
  assert.equal(vcpus[0]!.exitsSeen, 2);
  assert.equal(world.host.stats.instructions, 2);
});

test('a turn ends when the processor gives up before its budget is spent', () => {
  const world = new World();
  const { vcpus } = world.domain('a', (vcpu, budget) => {
    vcpu.retire(budget >> 1);
    return Exit.Budget;
  });
  world.host.runOnce();
  assert.equal(vcpus[0]!.state.retired, 500);
});

test('under the virtual clock a run ends at the next timer, which fires at exactly its instruction', () => {
  const world = new World();
  const budgets: number[] = [];
  world.domain('a', (vcpu, budget) => {
    budgets.push(budget);
    return spend(vcpu, budget);
  });
  const at: number[] = [];
  const timer = new Timer(() => void at.push(world.clock.nowNs()));
  world.host.timers.set(timer, 250);
  world.host.runOnce();
  assert.deepEqual([budgets, at], [[250, 750], [250]]);
});

test('a vCPU whose turn was merely cut in two is not asked again what waits for it', () => {
  const world = new World();
  const { vcpus } = world.domain('a', spend);
  world.host.timers.set(new Timer(() => {}), 250);
  world.host.runOnce();
  assert.equal(vcpus[0]!.prepared, 1);
  vcpus[0]!.wake();
  world.host.runOnce();
  assert.equal(vcpus[0]!.prepared, 2);
});

test('a turn is charged once for what was done for a vCPU', () => {
  const world = new World();
  const { vcpus } = world.domain('a', (vcpu) => {
    if (vcpu.exitsSeen === 0) vcpu.work += 300;
    return Exit.Syscall;
  });
  world.host.runOnce();
  // 400 for the first exit, then 100 each.
  assert.equal(vcpus[0]!.exitsSeen, 7);
});

test('hypercalls of all interfaces are counted, each by its name', () => {
  const { stats } = new World().host;
  for (const [name, index] of [
    ['xen', 1],
    ['lguest', 2],
  ] as const) {
    stats.hypercallsOf(name, 4, (number) => `${name}_${number}`).counts[index]!++;
    stats.hypercallsOf(name, 4, (number) => `${name}_${number}`).counts[index]!++;
  }
  assert.deepEqual(stats.hypercalls(), { xen_1: 2, lguest_2: 2 });
});

test('under the virtual clock a vCPU that only computes is looked at at each full millisecond', () => {
  const world = new World();
  const budgets: number[] = [];
  const { vcpus } = world.domain('a', (vcpu, budget) => {
    budgets.push(budget);
    return spend(vcpu, budget);
  });
  world.clock.advanceIdle(2_999_600);
  world.host.runOnce();
  assert.deepEqual([budgets, vcpus[0]!.prepared], [[400, 600], 2]);
});

test('a vCPU runs no longer than it wants before it is asked again', () => {
  const world = new World();
  const budgets: number[] = [];
  const { vcpus } = world.domain('a', (vcpu, budget) => {
    budgets.push(budget);
    return spend(vcpu, budget);
  });
  vcpus[0]!.longestRun = 600;
  world.host.runOnce();
  assert.deepEqual(budgets, [600, 400]);
});

test('RDTSC’s base makes retired instructions show the virtual time', () => {
  const world = new World();
  world.clock.advanceIdle(5000);
  const { vcpus } = world.domain('a', spend);
  world.host.runOnce();
  assert.equal(vcpus[0]!.state.low(CPU_CLOCK_BASE), 5000);
  world.clock.advanceIdle(10_000);
  world.host.runOnce();
  assert.equal(vcpus[0]!.state.low(CPU_CLOCK_BASE), 9000);
  world.clock.advanceIdle(3 * 2 ** 32 + 7000);
  world.host.runOnce();
  const { state } = vcpus[0]!;
  assert.deepEqual([state.low(CPU_CLOCK_BASE), state.high(CPU_CLOCK_BASE)], [5000, 3]);
});

test('the loop runs until every domain has ended', async () => {
  const world = new World();
  let runs = 0;
  const domain = world.domain('a', (vcpu, budget) => {
    if (++runs === 3) vcpu.domain.shutdown('poweroff');
    return spend(vcpu, budget);
  });
  await world.host.run();
  assert.deepEqual([runs, await domain.exited], [3, { reason: 'poweroff' }]);
});

test('idle virtual time skips to the next timer', async () => {
  const world = new World();
  const domain = world.domain('a', (vcpu) => {
    vcpu.retire(10);
    vcpu.block();
    return Exit.Syscall;
  });
  let wakes = 0;
  const timer = new Timer(() => {
    if (++wakes === 3) domain.shutdown('poweroff');
    else {
      domain.vcpus[0]!.wake();
      world.host.timers.set(timer, world.clock.nowNs() + 1_000_000);
    }
  });
  world.host.timers.set(timer, 1_000_000);
  await world.host.run();
  assert.equal(world.clock.nowNs(), 3_000_000);
  assert.equal(world.host.stats.instructions, 30);
});

test('under the host clock the idle loop waits for the next timer, or for input', async () => {
  const world = new World('host');
  const domain = world.domain('a', (vcpu) => {
    vcpu.retire(1);
    vcpu.block();
    return Exit.Syscall;
  });
  world.host.timers.set(new Timer(() => domain.vcpus[0]!.wake()), 2_500_000);
  const running = world.host.run();
  await Promise.resolve();
  assert.deepEqual(
    world.alarms.map(({ ms }) => ms),
    [3],
  );
  world.realNs = 2_600_000;
  world.alarms[0]!.then();
  await new Promise(setImmediate);
  assert.deepEqual(world.log, ['a0 on', 'a0 block', 'a0 wake', 'a0 block']);
  world.host.enterInput(() => domain.shutdown('reboot'));
  await running;
  assert.deepEqual(await domain.exited, { reason: 'reboot' });
});

test('input that comes before the next timer ends the wait, and calls the timer’s alarm off', async () => {
  const world = new World('host');
  const domain = world.domain('a', (vcpu) => {
    vcpu.block();
    return Exit.Syscall;
  });
  // An hour: longer than the surroundings can wait.
  world.host.timers.set(new Timer(() => {}), 3600e9);
  const running = world.host.run();
  await Promise.resolve();
  world.host.enterInput(() => domain.shutdown('poweroff'));
  await running;
  assert.deepEqual(
    world.alarms.map(({ ms, cancelled }) => [ms, cancelled]),
    [[60_000, true]],
  );
});

test('the event loop gets a turn every few milliseconds of real time', async () => {
  const world = new World();
  let runs = 0;
  world.domain('a', (vcpu, budget) => {
    world.realNs += 1e6;
    if (++runs === 20) vcpu.domain.shutdown('poweroff');
    return spend(vcpu, budget);
  });
  await world.host.run();
  assert.equal(world.gaveWay, 5);
});

test('a paused domain does not run until it has been unpaused as often', () => {
  const world = new World();
  const domain = world.domain('a', spend);
  domain.pause();
  domain.pause();
  domain.unpause();
  assert.equal(world.host.runOnce(), false);
  domain.unpause();
  assert.equal(world.host.runOnce(), true);
  // What was not paused is not unpaused in advance.
  domain.unpause();
  domain.pause();
  assert.equal(world.host.runOnce(), false);
  domain.unpause();
  assert.equal(world.host.runOnce(), true);
});

test('a domain whose kernel gave up has crashed', () => {
  const domain = new World().domain('a', spend);
  domain.shutdown('crash');
  assert.equal(domain.state, 'crashed');
});

test('a domain ends once: what comes later changes nothing', async () => {
  const world = new World();
  const domain = world.domain('a', spend);
  domain.shutdown('suspend');
  domain.shutdown('poweroff');
  domain.pause();
  domain.unpause();
  assert.deepEqual([domain.state, await domain.exited], ['shutdown', { reason: 'suspend' }]);
  domain.destroy();
  domain.destroy();
  assert.deepEqual([domain.state, domain.released, world.host.domains.size], ['destroyed', true, 0]);
});

test('the registers of a destroyed vCPU never overwrite those of its successor', () => {
  const world = new World();
  const first = world.domain('a', spend);
  world.host.runOnce();
  first.destroy();
  const second = world.domain('b', spend, spend);
  for (const vcpu of second.vcpus) vcpu.state.setReg(0, 0x1234 + vcpu.id, 0);
  world.host.runOnce();
  world.host.runOnce();
  assert.deepEqual(
    second.vcpus.map((vcpu) => vcpu.state.regLow(0)),
    [0x1234, 0x1235],
  );
});

test('a domain that is gone is not told that another takes the processor', () => {
  const world = new World();
  const first = world.domain('a', spend);
  world.host.runOnce();
  first.destroy();
  world.domain('b', spend);
  world.host.runOnce();
  assert.deepEqual(world.log, ['a0 on', 'b0 on']);
});

test('a switch of vCPUs tells both of them', () => {
  const world = new World();
  world.domain('a', spend, spend);
  world.host.runOnce();
  world.host.runOnce();
  assert.deepEqual(world.log, ['a0 on', 'a0 off', 'a1 on']);
});

test('stop ends the loop and leaves the domains as they are', async () => {
  const world = new World();
  const domain = world.domain('a', (vcpu, budget) => {
    world.host.stop();
    return spend(vcpu, budget);
  });
  await world.host.run();
  assert.equal(domain.state, 'running');
});
