/**
 * Boots a Linux guest whose init is a script, and gives back what came of it: the console, the end, the counts. The
 * guest's file system is busybox with links for all its commands, plus what the caller adds.
 */
import { readFile } from 'node:fs/promises';
import type { PulledGuest } from '../../src/cli/pull.ts';
import {
  buildBusyboxInitramfs,
  type CpioEntry,
  type Domain,
  type DomainExit,
  Host,
  type HostStatistics,
} from '../../src/index.ts';

export interface GuestScript {
  /** What `/init` does once the usual file systems are mounted. The kernel panics if it just ends. */
  readonly script: string;
  /** More files for the guest. */
  readonly files?: Iterable<CpioEntry>;
  /** Typed before the guest starts. */
  readonly input?: string;
  /** Typed in turn, each text once its cue has appeared on the console after the cue before it. */
  readonly answers?: readonly { readonly cue: string; readonly text: string }[];
  readonly memoryMib?: number;
}

export interface ScriptOutcome {
  /** Every byte of the console, as the character of that number. */
  readonly console: string;
  /** The same for the emergency console. */
  readonly emergency: string;
  readonly exit: DomainExit;
  readonly statistics: HostStatistics;
}

/** A guest that executes more, or takes longer, is ended, as `destroyed`. The scripts of these tests stay far below. */
const MOST_INSTRUCTIONS = 15e9;
const MOST_SECONDS = 270;
const WATCH_MS = 250;

/** How `/init` begins. Keeps kernel messages out of the scripts' output; they stay in the log. */
export const PROLOGUE = `#!/bin/sh
export PATH=/bin:/sbin HOME=/root TZ=UTC LC_ALL=C
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
dmesg -n 1
stty -onlcr
`;

/** Runs under the virtual clock, until the guest ends. */
export async function runScript(guest: PulledGuest, options: GuestScript): Promise<ScriptOutcome> {
  const { memoryMib = 256 } = options;
  const host = await Host.create({ memoryMib, clock: 'virtual' });
  const domain = await host.createDomain({
    kernel: await readFile(guest.kernel),
    kernelName: guest.kernel,
    ramdisk: buildBusyboxInitramfs({
      busybox: await readFile(guest.busybox),
      init: new TextEncoder().encode(PROLOGUE + options.script),
      files: options.files ?? [],
    }),
    commandLine: 'console=hvc0 quiet',
    memoryMib,
  });
  const typing = type(domain, options.input);
  const output = converse(domain, options.answers ?? []);
  const emergency = latin1(domain.emergencyConsole);
  const startedMs = Date.now();
  const watch = setInterval(() => {
    const late = Date.now() - startedMs > MOST_SECONDS * 1000;
    if (late || host.statistics().instructions > MOST_INSTRUCTIONS) domain.destroy();
  }, WATCH_MS);
  try {
    await host.run();
    await typing;
    return {
      console: await output,
      emergency: await emergency,
      exit: await domain.exited,
      statistics: host.statistics(),
    };
  } finally {
    clearInterval(watch);
  }
}

async function type(domain: Domain, text = ''): Promise<void> {
  if (text === '') return;
  const writer = domain.console.writable.getWriter();
  await writer.write(new TextEncoder().encode(text));
  writer.releaseLock();
}

async function converse(domain: Domain, answers: NonNullable<GuestScript['answers']>): Promise<string> {
  let all = '';
  let read = 0;
  const waiting = [...answers];
  for await (const chunk of domain.console.readable) {
    all += Buffer.from(chunk).toString('latin1');
    for (let answer = waiting[0]; answer !== undefined; answer = waiting[0]) {
      const place = all.indexOf(answer.cue, read);
      if (place < 0) break;
      read = place + answer.cue.length;
      waiting.shift();
      await type(domain, answer.text);
    }
  }
  return all;
}

async function latin1(stream: ReadableStream<Uint8Array>): Promise<string> {
  let all = '';
  for await (const chunk of stream) all += Buffer.from(chunk).toString('latin1');
  return all;
}
