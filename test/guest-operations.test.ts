/**
 * The paravirtual operations of the guest library on this host: a kernel of the library's own (src/guest/kernel/selftest)
 * calls each of them and says what it found; and what they cost in hypercalls is counted from outside. The same image
 * says the same on the bare machine, and on Debian's Xen, which nobody here wrote. A second kernel does so for operations
 * whose effect shows in a user's program, in another vCPU, in the TLB or in how the domain ends.
 */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { buildKernelFrom } from '../src/guest/testing/build.ts';
import { VirtualClock } from '../src/hypervisor/clock.ts';
import { Host as Hypervisor } from '../src/hypervisor/host.ts';
import { Host } from '../src/index.ts';
import { MachineMemory } from '../src/machine/memory.ts';
import { Engine } from '../src/machine/x86/engine.ts';
import { runMachine } from '../src/native/testing/run.ts';
import { loadKernelImage } from '../src/toolstack/images/index.ts';
import { eventLoop } from '../src/toolstack/surroundings.ts';
import { xenHypercalls } from '../src/toolstack/xen-hypercalls.ts';
import { buildDomain } from '../src/xen/builder/index.ts';
import { bootOnXen, realXen } from './real-xen.ts';

/** Operations whose effect shows in a user's program, a second vCPU, the TLB, or the domain's end. */
const EFFECTS = 'src/guest/paravirt/testing/effects.ts';
const SELFTEST = 'src/guest/kernel/selftest/main.ts';
/** The kernel marks moments by xen_version with a command that does not exist: 1000 and its number. */
const MARK = /xen_version\(10(\d\d)\b/;
/** What the trace shows of a structure, behind its address. */
const STRUCTURE = / \{[^}]*\}/g;
const HYPERCALL = /^\S+ (\w+)\(([^)]*)\) = /;

interface Run {
  readonly reason: string;
  /** What the kernel wrote, line by line. */
  readonly lines: readonly string[];
  /** Hypercalls in their order, with their arguments; those within a multicall come before it. */
  readonly calls: readonly {
    readonly name: string;
    readonly args: readonly string[];
    readonly mark: number;
  }[];
}

function buildSelftest(): Promise<Uint8Array> {
  const entries = { xenStart: 'xenStart', nativeStart: 'nativeStart' };
  return buildKernelFrom(SELFTEST, { name: 'selftest', version: '1', ...entries });
}

async function runSelftest(engine: 'auto' | 'interpreter' = 'auto', commandLine = ''): Promise<Run> {
  const kernel = await buildSelftest();
  const traced: string[] = [];
  const trace = { kinds: ['hypercalls'] as const, onLine: (line: string) => void traced.push(line) };
  const host = await Host.create({ memoryMib: 64, clock: 'virtual', engine, trace });
  const domain = await host.createDomain({ kernel, memoryMib: 32, name: 'selftest', commandLine });
  let text = '';
  const reading = (async () => {
    for await (const bytes of domain.console.readable) text += Buffer.from(bytes).toString('latin1');
  })();
  const running = host.run();
  const { reason } = await domain.exited;
  await Promise.all([running, reading]);
  const calls = traced.flatMap((line) => {
    const [, name, args] = HYPERCALL.exec(line) ?? [];
    const mark = Number(MARK.exec(line)?.[1] ?? -1);
    return name === undefined ? [] : [{ name, args: args!.replace(STRUCTURE, '').split(', '), mark }];
  });
  return { reason, lines: text.trimEnd().split(/\r?\n/), calls };
}

function buildEffects(): Promise<Uint8Array> {
  return buildKernelFrom(EFFECTS, { name: 'effects', version: '1' });
}

interface Effects {
  readonly reason: string;
  /** Of a crash: why. */
  readonly why: string | undefined;
  readonly lines: readonly string[];
  /** How often the guest was left, by reason, and its last hypercall. */
  readonly exits: Readonly<Record<string, number>>;
  readonly lastCall: string | undefined;
}

async function runEffects(abi: 'xen' | 'native', commandLine = ''): Promise<Effects> {
  let lastCall: string | undefined;
  const onLine = (line: string) => {
    if (HYPERCALL.test(line)) lastCall = line;
  };
  const trace = { kinds: ['hypercalls'] as const, onLine };
  const host = await Host.create({ memoryMib: 64, clock: 'virtual', trace });
  const kernel = await buildEffects();
  const domain = await host.createDomain({ abi, kernel, memoryMib: 32, commandLine });
  let text = '';
  const reading = (async () => {
    for await (const bytes of domain.console.readable) text += Buffer.from(bytes).toString('latin1');
  })();
  const running = host.run();
  const { reason, report } = await domain.exited;
  await Promise.all([running, reading]);
  const { exits } = host.statistics();
  return { reason, why: report?.reason, lines: text.trimEnd().split(/\r?\n/), exits, lastCall };
}

/** Nothing is wrong, the kernel came to its end, and there were at least so many results. */
function assertPassed(lines: readonly string[], least: number): void {
  const wrong = lines.filter((line, i) => /^not ok/.test(line) || /^not ok/.test(lines[i + 1] ?? ''));
  assert.deepEqual(wrong, []);
  const right = lines.filter((line) => line.startsWith('ok ')).length;
  assert.ok(right >= least, `${right} results:\n${lines.join('\n')}`);
  assert.ok(lines.includes(`# passed: ${right}`) && lines.includes('# failed: 0'), lines.join('\n'));
  assert.equal(lines.at(-1), 'done');
}

function figureIn(lines: readonly string[], name: string): number {
  return Number(lines.find((line) => line.startsWith(`# ${name}: `))?.slice(name.length + 4));
}

/** The hot four in place of their calls. A virtual clock counts an instruction as a nanosecond. */
function assertCheaperPatched(lines: readonly string[]): void {
  const rounds = 'nanoseconds for 1000 rounds of save_fl, irq_disable, restore_fl';
  const [called, patched] = [figureIn(lines, `${rounds}, called`), figureIn(lines, `${rounds}, patched`)];
  assert.ok(patched < called * 0.7, `${patched} of ${called}`);
}

describe('the paravirtual operations on this host', () => {
  let run: Run;
  before(async () => {
    run = await runSelftest();
  });

  const figure = (name: string) => figureIn(run.lines, name);
  /** Hypercalls between two marks. */
  const between = (first: number, last: number) => {
    const at = (mark: number) => run.calls.findIndex((call) => call.mark === mark);
    assert.ok(at(first) >= 0 && at(last) > at(first), `marks ${first} and ${last}`);
    return run.calls.slice(at(first) + 1, at(last));
  };

  it('do what they say, each called by a kernel, before and after patching', () => {
    const wrong = run.lines.filter(
      (line, i) => /^not ok/.test(line) || /^not ok/.test(run.lines[i + 1] ?? ''),
    );
    assert.deepEqual(wrong, []);
    const right = run.lines.filter((line) => line.startsWith('ok ')).length;
    assert.ok(right > 100, `${right} results`);
    assert.deepEqual([figure('passed'), figure('failed')], [right, 0]);
    assert.equal(run.lines.at(-1), 'done');
    assert.equal(run.reason, 'poweroff');
  });

  it('end the domain as they are asked to', async () => {
    for (const [commandLine, reason] of [
      ['restart', 'reboot'],
      ['crash', 'crash'],
    ] as const) {
      assert.equal((await runSelftest('auto', commandLine)).reason, reason);
    }
  });

  it('patch every call site of the kernel, which takes fewer instructions then', () => {
    assert.ok(figure('sites patched') > 50);
    assert.equal(figure('sites left'), 0);
    assertCheaperPatched(run.lines);
  });

  it('set 64 page-table entries by 64 hypercalls, or by one in the lazy mode', () => {
    assert.deepEqual(
      between(1, 2).map(({ name, args }) => [name, args[1]]),
      Array.from({ length: 64 }, () => ['mmu_update', '1']),
    );
    assert.deepEqual(
      between(3, 4).map(({ name, args }) => [name, args[1]]),
      [['mmu_update', '64']],
    );
  });

  it('make a batch when it is full, at a flush and at the end of the mode', () => {
    const updates = between(5, 6).filter(({ name }) => name === 'mmu_update');
    assert.deepEqual(
      updates.map(({ args }) => Number(args[1])),
      [10, 64, 26],
    );
  });

  it('switch tasks by a single multicall: stack, TLS, cr3 for kernel and user, FS base and TS', () => {
    const calls = between(7, 8);
    assert.deepEqual(
      calls.filter(({ name }) => name === 'multicall').map(({ args }) => Number(args[1])),
      [calls.length - 1],
    );
    assert.equal(calls.at(-1)!.name, 'multicall');
    const parts = new Set(calls.slice(0, -1).map(({ name }) => name));
    assert.deepEqual(
      [...parts].sort(),
      ['fpu_taskswitch', 'mmuext_op', 'set_segment_base', 'stack_switch', 'update_descriptor'].sort(),
    );
    assert.equal(calls.find(({ name }) => name === 'mmuext_op')!.args[1], '2');
    // Outside such a switch each is made by itself.
    assert.ok(between(9, 10).length > calls.length - 1);
    assert.ok(between(9, 10).filter(({ name }) => name !== 'multicall').length >= 5);
  });

  it('give the same results and hypercalls whoever executes the kernel', async () => {
    const interpreted = await runSelftest('interpreter');
    assert.deepEqual(interpreted.lines, run.lines);
    assert.deepEqual(
      interpreted.calls.map(({ name }) => name),
      run.calls.map(({ name }) => name),
    );
  });
});

/** What thousand calls add to the reasons for which the guest is left. */
async function exitsOf(
  abi: 'xen' | 'native',
  commandLine: string,
): Promise<Readonly<Record<string, number>>> {
  const [{ exits: without }, { exits: within }] = [
    await runEffects(abi, 'nothing'),
    await runEffects(abi, commandLine),
  ];
  const added = Object.entries(within).map(([name, count]) => [name, count - (without[name] ?? 0)] as const);
  return Object.fromEntries(added.filter(([, count]) => Math.abs(count) >= 500));
}

describe('operations whose effect shows elsewhere', () => {
  it('have it on this host', async () => {
    const { lines, reason } = await runEffects('xen');
    assertPassed(lines, 25);
    assert.equal(reason, 'poweroff');
  });

  it('have it on the bare machine', async () => {
    const { lines, reason } = await runEffects('native');
    assertPassed(lines, 15);
    assert.equal(reason, 'poweroff');
  });

  // The library makes domains of one vCPU, and a vCPU alone keeps its segments: only a start gives it some that are not there.
  it('call the failsafe upcall for the segments of a second vCPU, and go on after it', async () => {
    const memory = new MachineMemory({ frames: 64 * 256 });
    const processor = await Engine.create(memory);
    const host = new Hypervisor({ memory, processor, clock: new VirtualClock(), surroundings: eventLoop });
    const kernel = await loadKernelImage(await buildEffects(), 'effects');
    const hypercalls = xenHypercalls();
    const config = { name: 'effects', kernel, memoryMib: 32, hypercalls, vcpus: 2, commandLine: 'vcpus' };
    const { domain } = buildDomain(host, config);
    domain.unpause();
    await host.run();
    assert.equal((await domain.exited).reason, 'poweroff');
  });

  it('stop the processor for good, whatever may still come', async () => {
    const above = await runEffects('xen', 'halt');
    assert.deepEqual([above.reason, above.lines], ['poweroff', ['halting']]);
    assert.match(above.lastCall!, / vcpu_op\(VCPUOP_down/);
    const bare = await runEffects('native', 'halt');
    assert.deepEqual([bare.reason, bare.lines], ['crash', ['halting']]);
    assert.match(bare.why!, /halted with interrupts disabled/);
  });

  it('reach the host where nothing else shows: wbinvd, and io_delay, which Xen has no use for', async () => {
    assert.deepEqual(await exitsOf('xen', 'caches'), { exception: 1000 });
    assert.deepEqual(await exitsOf('native', 'caches'), { system: 1000 });
    assert.deepEqual(await exitsOf('xen', 'delay'), {});
    assert.deepEqual(await exitsOf('native', 'delay'), { system: 1000 });
  });
});

describe('the paravirtual operations on the bare machine', () => {
  it('end it as they are asked to', async () => {
    const { exit } = await runMachine(await buildSelftest(), { commandLine: 'restart' });
    assert.equal(exit.reason, 'reboot');
  });

  it('pass the same self-test, from the same image', async () => {
    const { output, exit } = await runMachine(await buildSelftest(), { engine: 'compiler' });
    const lines = output.trimEnd().split('\n');
    assertPassed(lines, 80);
    assertCheaperPatched(lines);
    assert.equal(exit.reason, 'poweroff');
  });
});

const xen = await realXen();

describe("the paravirtual operations on Debian's Xen", { skip: xen.skip }, () => {
  it('pass the same self-test', async () => {
    assertPassed(await bootOnXen(xen.files!, await buildSelftest()), 100);
  });

  it('have their effects elsewhere', async () => {
    assertPassed(await bootOnXen(xen.files!, await buildEffects()), 25);
  });

  it('stop the processor for good', async () => {
    const lines = await bootOnXen(xen.files!, await buildEffects(), 'halt');
    assert.equal(lines.at(-1), 'halting');
  });
});
