/**
 * v86, the nearest thing to ours: a PC emulated in WebAssembly. It has no 64-bit mode, so its guest is 32-bit; and
 * it ends no process by itself, so ours ends it.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { AptError } from '../../src/cli/apt.ts';
import { PullError } from '../../src/cli/pull.ts';
import { BOOT } from '../rows.ts';
import { pullDebian32 } from './debian-i386.ts';
import { MissingPeer, makeGuestFiles, type PreparedPeer, type Setting } from './peer.ts';

const MACHINE = fileURLToPath(new URL('v86-machine.mjs', import.meta.url));

export async function prepareV86(setting: Setting): Promise<PreparedPeer> {
  const version = installedVersion();
  const guest = await pullDebian32(setting.say).catch((error: Error) => {
    if (error instanceof AptError || error instanceof PullError) throw new MissingPeer(error.message);
    throw error;
  });
  const busybox = await readFile(guest.busybox);
  const { ramdisk, leftOut } = await makeGuestFiles(setting, 'v86', {
    work: setting.work,
    bits: 32,
    busybox,
  });
  const { kernel, bios, vgaBios } = guest;
  return {
    name: 'v86',
    title: 'v86',
    description: `v86 ${version}, Node.js ${process.version}; ${guest.kernelVersion}, 32-bit, with a 32-bit busybox and programs compiled with \`-m32\``,
    processes: [
      {
        command: process.execPath,
        args: [MACHINE, kernel, ramdisk, 'console=ttyS0', `${setting.memoryMib}`, bios, vgaBios],
        ...(setting.boot && { bootRow: BOOT }),
      },
    ],
    leftOut,
  };
}

function installedVersion(): string {
  try {
    return (createRequire(import.meta.url)('v86/package.json') as { version: string }).version;
  } catch {
    throw new MissingPeer('the package v86 is not installed (npm ci installs it)');
  }
}
