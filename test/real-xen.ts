/**
 * Debian's own Xen under QEMU, with a kernel of ours as its initial domain: what the project's engine claims to be, to
 * compare with. QEMU loads Xen by the first Multiboot protocol and hands the kernel over as its module.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { gunzipSync } from 'node:zlib';
import { guestImage, type Sought } from './guests.ts';

const QEMU = 'qemu-system-x86_64';
const PATIENCE_MS = 120_000;

/** Xen's image, or why it cannot be run here. */
export async function realXen(): Promise<Sought<string>> {
  if (spawnSync(QEMU, ['--version']).error !== undefined) {
    if (process.env.RINGONE_REQUIRE_GUESTS === '1') throw new Error(`expected ${QEMU} to be installed`);
    return { skip: `${QEMU} is not installed`, files: undefined };
  }
  return guestImage('xen');
}

/**
 * Boots a kernel as Xen's initial domain until it ends. Gives the lines that it printed by console_io; Xen's own, which
 * start with "(XEN)", are left out. Throws with all that was printed when it does not end in time.
 */
export async function bootOnXen(xen: string, kernel: Uint8Array, commandLine = ''): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'ringone-xen-'));
  try {
    const files = { xen: join(folder, 'xen'), kernel: join(folder, 'kernel') };
    await writeFile(files.xen, gunzipSync(await readFile(xen)));
    await writeFile(files.kernel, kernel);
    return await run(files, commandLine);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function run(files: { xen: string; kernel: string }, commandLine: string): Promise<string[]> {
  const qemu = spawn(QEMU, [
    ...['-accel', 'tcg', '-cpu', 'max', '-m', '512', '-nographic', '-no-reboot', '-kernel', files.xen],
    ...['-append', 'console=com1 dom0_mem=64M noreboot'],
    ...['-initrd', `${files.kernel} ${commandLine}`.trim()],
  ]);
  const all: string[] = [];
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      qemu.kill('SIGKILL');
      reject(new Error(`expected the kernel to end within ${PATIENCE_MS} ms, found:\n${all.join('\n')}`));
    }, PATIENCE_MS);
    createInterface({ input: qemu.stdout }).on('line', (line) => {
      all.push(line);
      // "Hardware Dom0 halted", "crashed", "rebooted": the machine is at its end, QEMU is not.
      if (/Dom0 (?:halted|crashed|shutdown)|Domain 0 crashed|Panic on CPU/i.test(line)) qemu.kill('SIGKILL');
    });
    qemu.on('error', reject);
    qemu.on('close', () => {
      clearTimeout(timer);
      const own = all.map((line) => line.replace(/\r$/, '')).filter((line) => !line.startsWith('(XEN)'));
      resolve(own);
    });
  });
}
