/**
 * Under the virtual clock a run is a function of its inputs. Two runs of the same guest, on different engines, with slices of
 * different lengths between which the host does its own work, must agree in every byte of the consoles, in every count, in the registers at
 * the end, and in all the memory that the guest leaves behind.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { VirtualClock } from '../../src/hypervisor/clock.ts';
import { Host } from '../../src/hypervisor/host.ts';
import { Timer } from '../../src/hypervisor/timers.ts';
import { buildBusyboxInitramfs, buildTinyGuest } from '../../src/index.ts';
import { MachineMemory, PAGE_SIZE } from '../../src/machine/memory.ts';
import { hashFrames } from '../../src/machine/memory-hash.ts';
import { Engine, type EngineKind } from '../../src/machine/x86/engine.ts';
import { loadKernelImage } from '../../src/toolstack/images/index.ts';
import { launch } from '../../src/toolstack/launch.ts';
import { eventLoop } from '../../src/toolstack/surroundings.ts';
import { xenHypercalls } from '../../src/toolstack/xen-hypercalls.ts';
import { Xenstored } from '../../src/toolstack/xenstore/xenstored.ts';
import { guest } from '../guests.ts';
import { PROLOGUE } from './guest-script.ts';

interface Inputs {
  readonly kernel: Uint8Array;
  readonly ramdisk?: Uint8Array | undefined;
  readonly commandLine: string;
  readonly memoryMib: number;
  /** What is typed, each text at its instant: nanoseconds since the host's start. */
  readonly typed: readonly { readonly ns: number; readonly text: string }[];
  /** When to look, if not at the end; nanoseconds since the host's start. */
  readonly untilNs?: number;
}

/** Everything of a run that can be seen from outside. */
async function observe(inputs: Inputs, kind: EngineKind, sliceInstructions: number) {
  const frames = (inputs.memoryMib * 1024 * 1024) / PAGE_SIZE;
  const memory = new MachineMemory({ frames: frames + 4096 });
  const processor = await Engine.create(memory, { kind });
  const clock = new VirtualClock();
  const host = new Host({ memory, processor, clock, surroundings: eventLoop, sliceInstructions });
  let output = '';
  let emergency = '';
  const { domain, console } = launch(host, new Xenstored(), {
    name: 'guest',
    kernel: await loadKernelImage(inputs.kernel, 'kernel'),
    ramdisk: inputs.ramdisk,
    commandLine: inputs.commandLine,
    memoryMib: inputs.memoryMib,
    maxMemoryMib: inputs.memoryMib,
    wallClockMs: 0,
    hypercalls: xenHypercalls(),
    onOutput: (bytes) => (output += Buffer.from(bytes).toString('latin1')),
    onDrain: () => {},
    onEmergencyOutput: (bytes) => (emergency += Buffer.from(bytes).toString('latin1')),
  });
  for (const { ns, text } of inputs.typed) {
    host.timers.set(new Timer(() => console.write(new TextEncoder().encode(text))), ns);
  }
  if (inputs.untilNs !== undefined) host.timers.set(new Timer(() => host.stop()), inputs.untilNs);
  await host.run();
  const exits: Record<string, number> = { ...host.stats.exits.toRecord() };
  // How often a slice ends is the one thing that its length decides.
  delete exits.budget;
  return {
    output,
    emergency,
    exit: inputs.untilNs === undefined ? await domain.exited : undefined,
    instructions: host.stats.instructions,
    hypercalls: host.stats.hypercalls(),
    exits,
    endedAtNs: clock.nowNs(),
    memory: hashFrames(memory),
  };
}

/** Uses time, the keyboard, processes, floating point and what random numbers there are, and ends in a panic. */
const SCRIPT = `${PROLOGUE}
cat /proc/uptime
echo ready
read line
echo "typed: $line"
cat /proc/uptime
sleep 0.3 & seq 1 500 | awk '{ s += 1 / $1 } END { print s }' | md5sum
for i in 1 2 3 4; do (usleep $((i * 997)); head -c 64 /dev/urandom | md5sum) & done
wait
read line
echo "typed: $line"
date
cat /proc/interrupts /proc/self/stat
echo c > /proc/sysrq-trigger
`;

const debian = await guest('debian:cloud');

describe('the virtual clock', () => {
  it('makes runs of the tiny guest alike, whatever the engine and the slice', async () => {
    const inputs: Inputs = {
      kernel: buildTinyGuest(),
      commandLine: 'some arguments',
      memoryMib: 32,
      typed: [
        { ns: 0, text: 'args\r' },
        { ns: 1_000_000, text: 'mem' },
        { ns: 1_000_001, text: 'ory\r' },
        { ns: 70_000_000_000, text: 'crash\r' },
      ],
    };
    const first = await observe(inputs, 'interpreter', 100_000);
    assert.equal(first.exit?.reason, 'crash');
    assert.match(first.output, /some arguments[\s\S]*32 MiB/);
    assert.ok(first.endedAtNs > 70e9);
    for (const kind of ['interpreter', 'compiler', 'auto'] as const) {
      for (const slice of [100_000, 997, 1]) assert.deepEqual(await observe(inputs, kind, slice), first);
    }
  });

  it('makes runs of Linux alike, interpreted or compiled, whatever the slice', {
    skip: debian.skip,
  }, async () => {
    const { kernel, busybox } = debian.files!;
    const inputs: Inputs = {
      kernel: await readFile(kernel),
      ramdisk: buildBusyboxInitramfs({
        busybox: await readFile(busybox),
        init: new TextEncoder().encode(SCRIPT),
      }),
      commandLine: 'console=hvc0',
      memoryMib: 128,
      typed: [
        { ns: 1_234_567_890, text: 'early\r' },
        { ns: 20_000_000_000, text: 'late\r' },
      ],
    };
    const [first, second] = await Promise.all([
      observe(inputs, 'auto', 100_000),
      observe(inputs, 'interpreter', 31_337),
    ]);
    assert.equal(first.exit?.reason, 'crash');
    assert.match(first.output, /typed: early\n[\s\S]*typed: late\n[\s\S]*sysrq triggered crash/);
    assert.deepEqual(second, first);
  });

  // All of Linux compiled at its first entry would take minutes.
  it('makes the beginning of Linux alike where all code is compiled at once', {
    skip: debian.skip,
  }, async () => {
    const inputs: Inputs = {
      kernel: await readFile(debian.files!.kernel),
      commandLine: 'console=hvc0',
      memoryMib: 128,
      typed: [],
      untilNs: 1_420_000_000,
    };
    const first = await observe(inputs, 'compiler', 100_000);
    assert.ok(first.instructions >= 1_420_000_000);
    // The host stops at the end of a slice.
    assert.deepEqual(await observe(inputs, 'auto', 100_000), first);
  });
});
