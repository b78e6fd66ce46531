/**
 * Kernels of ours on machines that are not: QEMU's, bare or with Debian's own Xen between. They are what the project's engine
 * claims to be, to compare with. QEMU starts a kernel by PVH, and Xen by the first Multiboot protocol with the kernel as its
 * module.
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

/** False where QEMU is installed, else why nothing can be compared, as `node:test` takes it. */
export function skipQemu(): string | false {
  if (spawnSync(QEMU, ['--version']).error === undefined) return false;
  if (process.env.RINGONE_REQUIRE_GUESTS === '1') throw new Error(`expected ${QEMU} to be installed`);
  return `${QEMU} is not installed`;
}

/** Xen's image, or why it cannot be run here. */
export async function realXen(): Promise<Sought<string>> {
  const skip = skipQemu();
  return skip === false ? guestImage('xen') : { skip, files: undefined };
}

/** Boots a kernel on a bare machine until it powers off. Gives the lines that came from its serial port. */
export async function bootOnQemu(kernel: Uint8Array): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'ringone-qemu-'));
  try {
    const file = join(folder, 'kernel');
    await writeFile(file, kernel);
    return await run(['-m', '64', '-kernel', file]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
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
    const lines = await run([
      ...[
        '-m',
        '512',
        '-kernel',
        files.xen,
        '-append',
        'console=com1 dom0_mem=64M dom0_max_vcpus=2 noreboot',
      ],
      ...['-initrd', `${files.kernel} ${commandLine}`.trim()],
    ]);
    return lines.filter((line) => !line.startsWith('(XEN)'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function run(options: readonly string[]): Promise<string[]> {
  const qemu = spawn(QEMU, ['-accel', 'tcg', '-cpu', 'max', '-nographic', '-no-reboot', ...options]);
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
      resolve(all.map((line) => line.replace(/\r$/, '')));
    });
  });
}
