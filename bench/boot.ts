/**
 * The boot of a stock kernel in its parts, by running the command as a person does: `run debian:cloud` with an initramfs
 * that says a word and powers off.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeInitramfs } from '../src/cli/initramfs.ts';
import { pullDebian } from '../src/cli/pull.ts';
import type { Row } from './main.ts';

const WORD = 'init has the processor';
const INIT = `#!/bin/busybox sh\n/bin/busybox echo ${WORD}\n/bin/busybox poweroff -f\n`;
const MEMORY_MIB = 512;

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
    const start = performance.now();
    const firstWord = await run(['run', kernel, ...options], start);
    const counted = JSON.parse(await readFile(stats, 'utf8')) as Record<string, number>;
    const running = counted.wallSeconds! - counted.loadSeconds!;
    return [
      { what: 'load, decompress, build', value: counted.loadSeconds!, unit: 's' },
      { what: "kernel's first line", value: counted.firstOutputSeconds!, unit: 's' },
      { what: "init's first line", value: firstWord / 1000, unit: 's' },
      { what: 'to power-off', value: counted.wallSeconds!, unit: 's' },
      { what: 'instructions', value: counted.instructions! / 1e6, unit: 'million' },
      { what: 'instructions per second', value: counted.instructions! / 1e6 / running, unit: 'million' },
      { what: 'resident beyond guest memory', value: counted.rssBytes! / 2 ** 20 - MEMORY_MIB, unit: 'MiB' },
    ];
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Milliseconds from `start` to the guest's word. */
function run(args: readonly string[], start: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['bin/ringone.cjs', ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    let said: number | undefined;
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (said === undefined && text.includes(WORD)) said = performance.now() - start;
    });
    child.on('close', (status) => {
      if (status === 0 && said !== undefined) resolve(said);
      else reject(new Error(`the guest ended with status ${status} after:\n${text.slice(-2000)}`));
    });
  });
}
