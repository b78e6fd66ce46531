/**
 * What the bare machine's processor and board do, experiment by experiment (`testing/experiments/`): the transcripts were
 * read against the manuals, hold for both ways to execute code, and agree with QEMU's where QEMU is installed.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { VirtualClock } from '../hypervisor/clock.ts';
import { Host } from '../hypervisor/host.ts';
import { MachineMemory } from '../machine/memory.ts';
import { Engine } from '../machine/x86/engine.ts';
import { loadNativeImage } from '../toolstack/images/index.ts';
import { launchNative } from '../toolstack/launch-native.ts';
import { eventLoop } from '../toolstack/surroundings.ts';
import { GROUPS } from './testing/experiments/index.ts';
import { makeKernelImage } from './testing/image.ts';
import { assembleProgram } from './testing/program.ts';
import { runMachine } from './testing/run.ts';

const QEMU = 'qemu-system-x86_64';
const QEMU_MS = 60_000;
/** Control registers that QEMU takes as they come would end its run. */
const NOT_FOR_QEMU = 'forbidden';

/** Where QEMU 7.2's translator does not do what the manuals say: our own transcript is not compared there. */
const QEMU_DIFFERS: Readonly<Record<string, string>> = {
  'a stack that is not canonical': 'it knows no #SS for such an address',
  'LGDT from a stack that is not canonical': 'the same',
  INT1: 'it is undefined there',
  'a store in a single step': 'it reports breakpoint and step one after the other',
  'a gate of no type': 'its error codes of the IDT count 16 for a vector',
  'a gate that is not present': 'the same',
  'a vector beyond the IDT': 'the same',
  'a gate that the limit of the IDT cuts': 'the same',
  'a handler whose address is not canonical': 'it goes there, and faults then',
  'the code segment of a handler is marked as accessed': 'it is not',
  'an undefined instruction whose gate is missing: not a double fault': 'the same, and no EXT bit',
  'a software interrupt that it may not': 'the same',
  'a breakpoint that it may not': 'the same',
  'NX without EFER.NXE is a reserved bit': 'its error code lacks the present bit',
  'a large page of 1 GiB': 'it has them, whatever CPUID says',
  'CR8 of 16': 'it takes the value',
  'an unknown MSR': 'it reads as 0',
  'an FS base that is not canonical': 'it takes the value',
  PAT: 'it takes the value',
  'reserved bits of DR6 and DR7': 'it keeps those of DR7',
  'DR7.GD guards the debug registers': 'it guards nothing',
  'and lets the handler at them': 'the same',
  'a KERNEL_GS base that is not canonical': 'it takes the value',
  'LSTAR that is not canonical': 'it takes the value',
  'CSTAR that is not canonical': 'it takes the value',
  'SFMASK with an upper half': 'it takes the value',
  'TSC_AUX with an upper half': 'it takes the value',
  'RDPMC without a counter': 'it is undefined there',
  'LTR of a null selector': 'it takes the value',
  'SYSRET to an address that is not canonical': 'it faults in ring 3, as AMD’s processors do',
};

function image(group: string): Uint8Array {
  return makeKernelImage(assembleProgram(GROUPS[group]!));
}

function transcript(group: string): string {
  return readFileSync(join(process.cwd(), 'src/native/testing/transcripts', `${group}.txt`), 'utf8');
}

/** The lines of each experiment by its name. */
function experiments(output: string): Map<string, string> {
  const parts = output.split(/^# /m).slice(1);
  return new Map(
    parts.map((part) => [part.slice(0, part.indexOf('\n')), part.slice(part.indexOf('\n') + 1)]),
  );
}

for (const group of Object.keys(GROUPS)) {
  test(`${group}: both ways to execute code print the transcript, in as many instructions`, async () => {
    const runs = [];
    for (const engine of ['interpreter', 'compiler'] as const) {
      const { output, exit, instructions } = await runMachine(image(group), { engine });
      assert.equal(output, transcript(group), engine);
      assert.equal(exit.reason, 'poweroff');
      runs.push(instructions);
    }
    assert.equal(runs[0], runs[1]);
  });
}

test('where turns end does not show', async () => {
  const kernel = await loadNativeImage(image('devices'), 'devices');
  const runs = [];
  for (const sliceInstructions of [100_000, 997]) {
    const memory = new MachineMemory({ frames: 10_000, codeCacheBytes: 4 << 20 });
    const processor = await Engine.create(memory, { kind: 'interpreter' });
    const surroundings = eventLoop;
    const host = new Host({ memory, processor, clock: new VirtualClock(), surroundings, sliceInstructions });
    let output = '';
    const { conclude } = launchNative(host, {
      name: 'guest',
      kernel,
      commandLine: '',
      memoryMib: 32,
      wallClockMs: 0,
      onOutput: (bytes) => (output += new TextDecoder().decode(bytes)),
      onDrain: () => {},
      onEmergencyOutput: () => {},
    });
    await host.run();
    conclude();
    runs.push({ output, instructions: host.stats.instructions, nowNs: host.clock.nowNs() });
  }
  assert.deepEqual(runs[0], runs[1]);
  assert.equal(runs[0]!.output, transcript('devices'));
});

test('the same program prints the same lines every time, in as many instructions', async () => {
  const [first, second] = [await runMachine(image('devices')), await runMachine(image('devices'))];
  assert.equal(first.output, second.output);
  assert.equal(first.instructions, second.instructions);
});

function hasQemu(): boolean {
  try {
    execFileSync(QEMU, ['--version']);
    return true;
  } catch {
    return false;
  }
}

/** What QEMU's serial port says from the first experiment on. It goes to a file: QEMU drops what a pipe does not take at once. */
function runQemu(kernel: string): string {
  const serial = `${kernel}.txt`;
  const machine = ['-accel', 'tcg', '-cpu', 'Nehalem', '-m', '32', '-no-reboot'];
  const surroundings = ['-display', 'none', '-serial', `file:${serial}`, '-monitor', 'none'];
  execFileSync(QEMU, [...machine, ...surroundings, '-kernel', kernel], { timeout: QEMU_MS });
  const output = readFileSync(serial, 'latin1');
  return output.slice(output.indexOf('# ')).replaceAll('\r', '');
}

/** QEMU pushes RFLAGS as they are; processors set RF for faults (Intel SDM 3B, 17.3.1.1). */
function withoutResumeFlag(lines: string): string {
  return lines.replaceAll(/ fl=0001/g, ' fl=0000');
}

test('QEMU prints the same', { skip: hasQemu() ? false : `${QEMU} is not installed` }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'ringone-native-'));
  try {
    let compared = 0;
    for (const group of Object.keys(GROUPS).filter((name) => name !== NOT_FOR_QEMU)) {
      const kernel = join(folder, `${group}.elf`);
      writeFileSync(kernel, image(group));
      const theirs = experiments(runQemu(kernel));
      for (const [name, ours] of experiments(transcript(group))) {
        if (QEMU_DIFFERS[name] !== undefined) continue;
        assert.equal(theirs.get(name), withoutResumeFlag(ours), `${group}: ${name}`);
        compared++;
      }
    }
    assert.ok(compared > 80, `${compared} experiments`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
