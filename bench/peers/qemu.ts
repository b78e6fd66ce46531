/**
 * QEMU's translator, written in C with a native code generator: the same kernel and initramfs as ours, on a whole
 * PC.
 */
import { spawnSync } from 'node:child_process';
import { BOOT } from '../rows.ts';
import { MissingPeer, makeGuestFiles, type PreparedPeer, type Setting } from './peer.ts';

const QEMU = 'qemu-system-x86_64';

export async function prepareQemu(setting: Setting): Promise<PreparedPeer> {
  const { status, stdout } = spawnSync(QEMU, ['--version'], { encoding: 'utf8' });
  if (status !== 0) throw new MissingPeer(`no ${QEMU} on this machine (Debian: qemu-system-x86)`);
  const { kernel, memoryMib, busybox } = setting;
  const { ramdisk, leftOut } = await makeGuestFiles(setting, 'qemu', {
    work: setting.work,
    bits: 64,
    busybox,
  });
  const machine = [
    '-accel',
    'tcg',
    '-m',
    `${memoryMib}`,
    '-smp',
    '1',
    '-nographic',
    '-no-reboot',
    '-nodefaults',
  ];
  const guest = ['-serial', 'stdio', '-kernel', kernel, '-initrd', ramdisk, '-append', 'console=ttyS0'];
  return {
    name: 'qemu',
    title: 'QEMU TCG',
    description: `${stdout.split('\n')[0]}, \`-accel tcg -m ${memoryMib} -smp 1\`; ${setting.kernelVersion}, 64-bit`,
    processes: [{ command: QEMU, args: [...machine, ...guest], ...(setting.boot && { bootRow: BOOT }) }],
    leftOut,
  };
}
