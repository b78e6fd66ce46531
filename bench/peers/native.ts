/** This machine itself, without any guest: the same busybox and the same programs, run directly. It has no boot. */
import { spawnSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { nativeScript } from '../script.ts';
import { compilePrograms, MissingPeer, type PreparedPeer, type Setting } from './peer.ts';

export async function prepareNative(setting: Setting): Promise<PreparedPeer> {
  if (process.arch !== 'x64' || process.platform !== 'linux') {
    throw new MissingPeer(`expected Linux on x86-64, found ${process.platform} on ${process.arch}`);
  }
  const { busyboxPath: busybox, directory } = setting;
  const bin = join(directory, 'bin');
  await mkdir(bin, { recursive: true });
  const { status, stderr } = spawnSync(busybox, ['--install', '-s', bin], { encoding: 'utf8' });
  if (status !== 0) throw new MissingPeer(`busybox cannot run here: ${stderr.trim()}`);
  const compiled = await compilePrograms(setting, 'native', setting.work, 64);
  const script = join(directory, 'native.sh');
  await writeFile(script, nativeScript(compiled.work, { bin, busybox, programs: compiled.directory }));
  return {
    name: 'native',
    title: 'native',
    description: `the same busybox and programs, run directly on Linux ${release()}`,
    processes: [{ command: busybox, args: ['sh', script] }],
    leftOut: compiled.leftOut,
  };
}
