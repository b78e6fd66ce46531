/**
 * The boot of ours in its parts. The command's own statistics tell most of them; unpacking the kernel is measured alone, in
 * a process that does nothing else.
 */
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { makeGuestFiles, type Setting } from './peers/peer.ts';
import { bootStatistics, COMMAND } from './peers/ringone.ts';
import type { Figure } from './results.ts';
import { BOOT } from './rows.ts';
import { median } from './statistics.ts';
import { timeMachine } from './stopwatch.ts';

const UNPACK = fileURLToPath(new URL('peers/ringone-unpack.mjs', import.meta.url));
const TIMEOUT_SECONDS = 300;
const MIB = 2 ** 20;

interface Statistics {
  readonly instructions: number;
  readonly wallSeconds: number;
  readonly loadSeconds: number;
  readonly firstOutputSeconds: number;
  readonly rssBytes: number;
}

/** Boots the guest `rounds` times, to a power-off at once, and gives the medians. Raises MachineError. */
export async function bootParts(setting: Setting, rounds: number): Promise<Figure[]> {
  const { kernel, memoryMib, directory, busybox, say } = setting;
  const { ramdisk } = await makeGuestFiles(setting, 'boot-parts', { work: [], bits: 64, busybox });
  const file = bootStatistics(directory, 'auto');
  const guest = [kernel, '--ramdisk', ramdisk, '--memory', `${memoryMib}`, '--no-reboot'];
  const args = [COMMAND, 'run', ...guest, '--stats', file];
  const boots: (Statistics & { initSeconds: number; unpackSeconds: number })[] = [];
  for (let round = 1; round <= rounds; round++) {
    say(`round ${round} of ${rounds}: the boot in its parts`);
    const unpackSeconds = Number(spawnSync(process.execPath, [UNPACK, kernel], { encoding: 'utf8' }).stdout);
    const machine = { command: process.execPath, args, bootRow: BOOT, endsItself: true };
    const run = await timeMachine(machine, TIMEOUT_SECONDS);
    const counted = JSON.parse(await readFile(file, 'utf8')) as Statistics;
    boots.push({ ...counted, initSeconds: run.get(BOOT)!.seconds, unpackSeconds });
  }
  const of = (pick: (boot: (typeof boots)[number]) => number) => median(boots.map(pick));
  return [
    { what: 'process start to the guest’s first instruction', value: of((b) => b.loadSeconds), unit: 's' },
    { what: 'of which unpacking the kernel (measured alone)', value: of((b) => b.unpackSeconds), unit: 's' },
    { what: 'to the kernel’s first line', value: of((b) => b.firstOutputSeconds), unit: 's' },
    { what: 'to the first line of init', value: of((b) => b.initSeconds), unit: 's' },
    { what: 'to power-off', value: of((b) => b.wallSeconds), unit: 's' },
    { what: 'instructions', value: of((b) => b.instructions / 1e6), unit: 'million' },
    {
      what: 'instructions per second of the guest',
      value: of((b) => b.instructions / 1e6 / (b.wallSeconds - b.loadSeconds)),
      unit: 'million',
    },
    {
      what: `most memory resident, beyond the guest’s ${memoryMib} MiB`,
      value: of((b) => b.rssBytes / MIB - memoryMib),
      unit: 'MiB',
    },
  ];
}
