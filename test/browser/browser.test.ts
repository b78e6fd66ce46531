/**
 * The library in a browser: one file, a worker of a bare page, Debian's Chromium. It shows that the core
 * needs neither Node nor a page, and that a run under the virtual clock is the same run in both.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { buildBusyboxInitramfs, builtinGuest } from '../../src/index.ts';
import { guest } from '../guests.ts';
import { PROLOGUE } from '../system/guest-script.ts';
import { Chromium, type Page, skipChromium } from './chromium.ts';
import { type Inputs, type Observation, observe } from './observe.ts';
import { bundleLibrary, openSite, type Site } from './site.ts';
import type { Ended } from './worker.ts';

/**
 * What the engine's tables and decoded code take beside a small host's frames, of addresses: pages that
 * nobody touches are not backed.
 */
const ENGINE_MIB = 128;

/** Time, floating point, processes, the keyboard and random numbers. */
const SCRIPT = `${PROLOGUE}
read line
echo "typed: $line"
cat /proc/uptime
seq 1 500 | awk '{ s += 1 / $1 } END { print s }'
head -c 64 /dev/urandom | md5sum
poweroff -f
`;

const skip = skipChromium();
/** Each test has the reason, for a suite that is skipped is not counted. */
const inBrowser = { skip, timeout: 120_000 };
const debian = await guest('debian:cloud');

describe('the library in a browser', () => {
  let site: Site;
  let chromium: Chromium;
  let page: Page;

  before(async () => {
    if (skip !== false) return;
    site = await openSite();
    chromium = await Chromium.start();
    page = await chromium.openPage(site.url);
  });
  after(async () => {
    await chromium?.close();
    await site?.close();
  });

  /**
   * The same inputs in Node, from the sources, and in the browser, from the bundle: what is seen of them is
   * the same.
   */
  async function observeBoth(
    inputs: Inputs,
  ): Promise<{ seen: Omit<Observation, 'compiled'>; compiled: number }> {
    const { kernel, ramdisk, ...rest } = inputs;
    site.files.set('/kernel', kernel);
    if (ramdisk !== undefined) site.files.set('/ramdisk', ramdisk);
    const order = { ...rest, kernel: '/kernel', ...(ramdisk && { ramdisk: '/ramdisk' }) };
    const [fromNode, fromBrowser] = await Promise.all([
      observe(inputs),
      page.evaluate<Observation>(`testPage.observe(${JSON.stringify(order)})`),
    ]);
    const { compiled, ...seen } = fromBrowser;
    const { compiled: _, ...expected } = fromNode;
    // As JSON carries it out of the page.
    assert.deepEqual(seen, JSON.parse(JSON.stringify(expected)));
    return { seen, compiled };
  }

  /** What a command of the guest's shell prints, once there is a prompt behind it. */
  async function answer(command: string): Promise<string> {
    const screen = await page.evaluate<string>(`testPage.shows(/> ${command}\\r\\n[\\s\\S]*> $/)`);
    const [, said] = screen.split(`> ${command}\r\n`);
    return said!.replace(/\r\n> $/, '').replaceAll('\r\n', '\n');
  }

  async function ask(command: string): Promise<string> {
    await page.type(`${command}\n`);
    return answer(command);
  }

  it('is one file that imports nothing', async () => {
    const { content, imports } = await bundleLibrary();
    assert.ok(content.length > 0);
    assert.deepEqual(imports, []);
  });

  it(
    'boots the built-in guest in a worker, and it answers what is typed on the page',
    inBrowser,
    async () => {
      await page.evaluate(`testPage.talk({ commandLine: 'shell=run hello early', memoryMib: 32 })`);
      assert.equal(await answer('run hello early'), 'hello from a program; hello early');
      const greeting = await page.evaluate<string>('testPage.shows(/> $/)');
      assert.match(greeting, /^ringone: a small kernel, paravirtualized above Xen\r\n/);
      const help = await ask('help');
      assert.match(help, /^help +this list\n/);
      assert.match(help, /^run PROGRAM .* hello .*primes/m);
      assert.match(help, /^panic, reboot, halt +ways to leave$/m);
      assert.match(await ask('free'), /^memory +\d{5} KiB\n +free +\d{5} KiB\n/);
      assert.equal(await ask('run hello there'), 'hello from a program; hello there');
      assert.match(await ask('ps'), /^TASK STATE .*\n +0 ready .* idle\n +1 running .* shell$/);
      assert.match(await ask('dance'), /^dance: no such command/);
      await page.type('halt\n');
      const { reason, memoryMib } = await page.evaluate<Ended>('testPage.ended()');
      assert.equal(reason, 'poweroff');
      assert.ok(memoryMib >= 32 && memoryMib <= 32 + ENGINE_MIB, `${memoryMib} MiB`);
    },
  );

  it('runs the built-in guest to the same end as in Node, byte for byte', inBrowser, async () => {
    const { seen, compiled } = await observeBoth({
      kernel: await builtinGuest(),
      commandLine: 'shell=free;ps',
      memoryMib: 32,
      typed: 'help\rrun primes\rrun family\rrun memory 4\rrun fault\ruptime\rhypercalls\rpanic\r',
    });
    assert.equal(seen.reason, 'crash');
    assert.match(seen.console, /> ps\r\nTASK[\s\S]*\r\n2262 primes/);
    assert.match(seen.console, /parent still has: 65\r\n[\s\S]*status 139\r\n[\s\S]*panic: /);
    assert.ok(compiled > 0);
  });

  it("runs Debian's kernel to the same end as in Node, byte for byte", {
    ...inBrowser,
    skip: skip || debian.skip,
  }, async () => {
    const { kernel, busybox } = debian.files!;
    const init = new TextEncoder().encode(SCRIPT);
    const { seen, compiled } = await observeBoth({
      kernel: await readFile(kernel),
      ramdisk: buildBusyboxInitramfs({ busybox: await readFile(busybox), init }),
      commandLine: 'console=hvc0 quiet',
      memoryMib: 96,
      typed: 'early\r',
    });
    assert.equal(seen.reason, 'poweroff');
    assert.match(seen.console, /typed: early\n[\s\S]*6\.7928\d*\n[0-9a-f]{32}/);
    assert.ok(compiled > 0);
  });
});
