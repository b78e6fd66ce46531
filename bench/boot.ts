/**
 * The boot of a stock kernel in its parts, by running the command as a person does, with an initramfs that says a word
 * and powers off. Where QEMU is installed it boots the same kernel and initramfs in turn with us, on its own translator.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeInitramfs } from '../src/cli/initramfs.ts';
import { pullDebian } from '../src/cli/pull.ts';
import type { Row } from './main.ts';

const WORD = 'init has the processor';
const INIT = `#!/bin/busybox sh\n/bin/busybox echo ${WORD}\n/bin/busybox poweroff -f\n`;
const MEMORY_MIB = 512;
const TURNS = 3;
const QEMU = 'qemu-system-x86_64';

export async function boot(): Promise<Row[]> {
  const { kernel, busybox } = await pullDebian('cloud');
  const folder = await mkdtemp(join(tmpdir(), 'ringone-bench-'));
  try {
    const [init, ramdisk, stats] = ['init', 'initrd', 'stats.json'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    await writeFile(init, INIT);
    await makeInitramfs({ output: ramdisk, busybox, init });
    const options = ['--ramdisk', ramdisk, '--memory', `${MEMORY_MIB}`, '--stats', stats, '--no-reboot'];
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let turn = 0; turn < TURNS; turn++) {
      ours.push(await firstWord(process.execPath, ['bin/ringone.cjs', 'run', kernel, ...options]));
      if (hasQemu()) theirs.push(await firstWord(QEMU, qemuArguments(kernel, ramdisk)));
    }
    const counted = JSON.parse(await readFile(stats, 'utf8')) as Record<string, number>;
    const running = counted.wallSeconds! - counted.loadSeconds!;
    return [
      { what: 'load, decompress, build', value: counted.loadSeconds!, unit: 's' },
      { what: "kernel's first line", value: counted.firstOutputSeconds!, unit: 's' },
      { what: `init's first line, median of ${TURNS}`, value: median(ours) / 1000, unit: 's' },
      ...(theirs.length === 0
        ? []
        : [
            { what: 'the same under QEMU TCG', value: median(theirs) / 1000, unit: 's' },
            { what: 'ours against QEMU TCG', value: median(ours) / median(theirs), unit: 'times' },
          ]),
      { what: 'to power-off', value: counted.wallSeconds!, unit: 's' },
      { what: 'instructions', value: counted.instructions! / 1e6, unit: 'million' },
      { what: 'instructions per second', value: counted.instructions! / 1e6 / running, unit: 'million' },
      { what: 'resident beyond guest memory', value: counted.rssBytes! / 2 ** 20 - MEMORY_MIB, unit: 'MiB' },
    ];
  } finally {
    await rm(folder, { recursive: true });
  }
}

function hasQemu(): boolean {
  return spawnSync(QEMU, ['--version']).status === 0;
}

function qemuArguments(kernel: string, ramdisk: string): string[] {
  const machine = ['-accel', 'tcg', '-m', `${MEMORY_MIB}`, '-nographic', '-no-reboot', '-nodefaults'];
  return [...machine, '-serial', 'stdio', '-kernel', kernel, '-initrd', ramdisk, '-append', 'console=ttyS0'];
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

/** Milliseconds from the start of a process to the guest's word on its standard output. */
function firstWord(command: string, words: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    let said: number | undefined;
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (said === undefined && text.includes(WORD)) said = performance.now() - start;
    });
    child.on('error', reject);
    child.on('close', (status) => {
      if (status === 0 && said !== undefined) resolve(said);
      else reject(new Error(`${command} ended with status ${status} after:\n${text.slice(-2000)}`));
    });
  });
}
