/**
 * Ours, with each of its engines. The boot is the command as a person runs it; the rows run in a process that uses
 * the library, because that one can tell how many instructions each row took.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EngineName } from '../../src/toolstack/api.ts';
import { BOOT } from '../rows.ts';
import type { MachineProcess } from '../stopwatch.ts';
import { makeGuestFiles, type PreparedPeer, type Setting } from './peer.ts';

export const COMMAND = fileURLToPath(new URL('../../bin/ringone.cjs', import.meta.url));
const MACHINE = fileURLToPath(new URL('ringone-machine.mjs', import.meta.url));
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

export async function prepareRingone(setting: Setting, engine: EngineName): Promise<PreparedPeer> {
  const { kernel, memoryMib, directory, busybox } = setting;
  // The interpreter alone would take minutes for some rows.
  const wanted = setting.work.filter(({ interpreted }) => engine !== 'interpreter' || interpreted);
  const bootOnly = await makeGuestFiles(setting, 'boot', { work: [], bits: 64, busybox });
  const { ramdisk, work, leftOut } = await makeGuestFiles(setting, engine, {
    work: wanted,
    bits: 64,
    busybox,
  });
  const bootStatistics = join(directory, `boot-${engine}.json`);
  const boot: MachineProcess = {
    command: process.execPath,
    args: [
      ...[COMMAND, 'run', kernel, '--ramdisk', bootOnly.ramdisk, '--memory', `${memoryMib}`, '--no-reboot'],
      ...['--engine', engine, '--stats', bootStatistics],
    ],
    bootRow: BOOT,
    endsItself: true,
  };
  const rows: MachineProcess = {
    command: process.execPath,
    args: [MACHINE, engine, kernel, ramdisk, `${memoryMib}`],
    counts: true,
    endsItself: true,
  };
  const slow = setting.work.filter((row) => !wanted.includes(row)).map(({ name }) => `${name}: too slow`);
  return {
    name: engine,
    title: `ringone, ${engine}`,
    description: `ringone ${version}, \`--engine ${engine}\`, Node.js ${process.version}; ${setting.kernelVersion}, 64-bit`,
    processes: [...(setting.boot ? [boot] : []), ...(work.length > 0 ? [rows] : [])],
    ...(setting.boot && { bootStatistics }),
    leftOut: [...leftOut, ...slow],
  };
}
