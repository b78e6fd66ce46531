/**
 * How guests end, and what becomes of them then: `ringone run` with Debian's cloud kernel, whose init does what is typed.
 * A boot is expensive, so each of the two runs goes through several.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { type RunOptions, run } from '../../src/cli/run.ts';
import { buildBusyboxInitramfs, Host } from '../../src/index.ts';
import { guest } from '../guests.ts';

const READY = 'what shall I do?';
const INIT = `#!/bin/sh
export PATH=/bin
/bin/busybox --install -s
mount -t proc proc /proc
echo '${READY}'
read line
eval "$line"
sleep 60
`;
/** Far more than a boot and its end take. */
const MOST_SECONDS = '250';

interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** How often the guest was ready. */
  readonly boots: number;
}

const debian = await guest('debian:cloud');

describe('a guest that ends', { skip: debian.skip }, () => {
  let scratch: string;
  let ramdisk: string;

  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'ringone-endings-'));
    ramdisk = join(scratch, 'initrd');
    const busybox = await readFile(debian.files!.busybox);
    await writeFile(ramdisk, buildBusyboxInitramfs({ busybox, init: new TextEncoder().encode(INIT) }));
  });
  after(() => rm(scratch, { recursive: true }));

  /** Runs the guest; each of its lives is told one of the commands. */
  async function runGuest(
    commands: readonly string[],
    settings: readonly string[],
    options: RunOptions = {},
  ): Promise<Outcome> {
    const texts = { stdout: '', stderr: '' };
    const stdin = new PassThrough();
    let boots = 0;
    const output = (name: keyof typeof texts) =>
      new PassThrough().on('data', (chunk: Buffer) => {
        texts[name] += chunk.toString('latin1');
        if (texts.stdout.split(READY).length - 1 > boots)
          stdin.write(`${commands[boots++] ?? 'poweroff -f'}\r`);
      });
    const status = await run(
      ['memory=128', `ramdisk=${ramdisk}`, 'cmdline=console=hvc0 quiet', ...settings],
      { kernel: debian.files!.kernel, timeout: MOST_SECONDS, ...options },
      {
        stdin,
        stdout: output('stdout'),
        stderr: output('stderr'),
        createHost: (hostOptions) => Host.create(hostOptions),
        onSignal: () => () => {},
        seconds: () => 0,
      },
    );
    return { status, boots, ...texts };
  }

  it('by rebooting is started again; by a panic leaves a report, and status 1', async () => {
    const { status, stdout, stderr, boots } = await runGuest(
      ['reboot -f', 'echo c > /proc/sysrq-trigger'],
      ['on_reboot=restart', 'on_crash=destroy'],
    );
    assert.deepEqual([status, boots], [1, 2], stdout + stderr);
    assert.match(stdout, /Kernel panic - not syncing: sysrq triggered crash/);
    const lines = stderr.split('\n');
    const reason = 'the kernel reports that it has crashed (SHUTDOWN_crash)';
    assert.ok(lines.includes(`ringone: d2 (guest) crashed: ${reason}`), stderr);
    assert.match(stderr, /^ringone: {3}rax [0-9a-f]{16} {3}rbx [0-9a-f]{16} {3}rcx [0-9a-f]{16}$/m);
    assert.match(stderr, /^ringone: stack at ffff[0-9a-f]{12}:$/m);
    // It stands behind the hypercall, in the hypercall page.
    assert.match(stderr, /^ringone: {4}ffffffff[0-9a-f]{8} {2}0f 05 +syscall/m);
    assert.match(stderr, /^ringone: => ffffffff[0-9a-f]{8} /m);
    assert.match(stderr, /^ringone: {3}sched_op\(SCHEDOP_shutdown, /m);
  });

  it('by halting is started again if its configuration says so, after a panic too, but not under --no-reboot', async () => {
    const { status, stdout, stderr, boots } = await runGuest(
      ['halt -f', 'echo c > /proc/sysrq-trigger', 'reboot -f'],
      ['on_poweroff=restart', 'on_crash=restart', 'on_reboot=restart'],
      { reboot: false },
    );
    assert.deepEqual([status, boots], [0, 3], stdout + stderr);
    assert.match(stderr, /^ringone: d2 \(guest\) crashed: /m);
    assert.doesNotMatch(stderr, /d[13] \(guest\)/);
  });
});
