/**
 * Debian's kernels, unmodified, from the first instruction to power-off. Each boots once, and its init runs every script of
 * `commands.sh`, whose output must be that of the same busybox on this machine, and of `kernel.sh`, which says itself what
 * it expects. Each kernel has a test file of its own, so that they can run side by side.
 */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { PulledGuest } from '../../src/cli/pull.ts';
import { type CpioEntry, cpio } from '../../src/index.ts';
import { guest } from '../guests.ts';
import { runScript, type ScriptOutcome } from './guest-script.ts';
import { moduleFiles } from './modules.ts';
import { programFiles } from './programs.ts';
import {
  driver,
  fileNames,
  type Outputs,
  outputsOf,
  readScripts,
  runHere,
  type ScriptFile,
} from './shell-scripts.ts';

const commands = await readScripts('commands.sh');
const kernel = await readScripts('kernel.sh');

/** What `kernel.sh` waits for at the keyboard. */
const answers = [
  { cue: 'type-a-line', text: 'hello from the keyboard\r' },
  { cue: 'type-an-interrupt', text: '\x03' },
  { cue: 'type-an-end', text: 'some text\r\x04' },
];

function scriptFiles(directory: string, file: ScriptFile): CpioEntry[] {
  const scripts = [...fileNames(file.scripts)];
  return [
    cpio.directory(directory),
    ...scripts.map(([name, { text }]) => cpio.file(`${directory}/${name}`, new TextEncoder().encode(text))),
  ];
}

async function runAll(files: PulledGuest): Promise<ScriptOutcome> {
  return runScript(files, {
    files: [
      cpio.file('driver.sh', new TextEncoder().encode(driver)),
      ...scriptFiles('commands', commands),
      ...scriptFiles('kernel', kernel),
      ...programFiles(),
      ...(await moduleFiles(files, ['lib/crc-itu-t'])),
    ],
    script: `mkdir /tmp/commands /tmp/kernel
cd /tmp/commands
${commands.prologue}
sh /driver.sh /commands /bin/busybox
cd /tmp/kernel
${kernel.prologue}
sh /driver.sh /kernel /bin/busybox
poweroff -f
`,
    answers,
  });
}

function assertOutput(actual: string | undefined, expected: readonly (string | RegExp)[]): void {
  const lines = actual?.split('\n') ?? ['(the script did not end)'];
  const matches = lines.map((line, index) => {
    const wanted = expected[index];
    return wanted instanceof RegExp && wanted.test(line) ? wanted : line;
  });
  assert.deepEqual(matches, expected);
}

/** A suite about the kernel that a name such as `debian:6.1` stands for. */
export async function testStockKernel(name: string): Promise<void> {
  const debian = await guest(name);
  describe(`${name}, unmodified`, { skip: debian.skip }, () => {
    let outcome: ScriptOutcome;
    let inGuest: Outputs;
    let here: Outputs;

    before(async () => {
      [outcome, here] = await Promise.all([runAll(debian.files!), runHere(commands, debian.files!.busybox)]);
      inGuest = outputsOf(outcome.console);
    });

    it('boots, runs its scripts, and powers off', () => {
      assert.deepEqual(outcome.exit, { reason: 'poweroff' }, outcome.console.slice(-4000));
    });

    for (const { name: script } of commands.scripts) {
      it(`runs ${script} as this machine does`, () => assert.equal(inGuest.get(script), here.get(script)));
    }

    for (const { name: script, expected = [] } of kernel.scripts) {
      it(`gets ${script} right`, () => assertOutput(inGuest.get(script), [...expected, 'exit status 0']));
    }
  });
}
