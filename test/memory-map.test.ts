/**
 * Guests that are given a memory map: what lies in its holes is no memory to them, and shows as identity frames in
 * their P2M. The project's own kernel, and Debian's.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { buildKernel } from '../src/guest/testing/build.ts';
import { buildBusyboxInitramfs, type DomainOptions, Host } from '../src/index.ts';
import { pcMemoryMap } from '../src/toolstack/memory-map.ts';
import { guest } from './guests.ts';

const KIB = 1024;
const GIB = 2 ** 30;

interface Run {
  readonly text: string;
  /** The P2M as it was drawn when the guest had said its last word. */
  readonly drawn: readonly string[];
}

/** Runs a guest until its console shows `last`. */
async function run(options: DomainOptions & { readonly memoryMib: number }, last: RegExp): Promise<Run> {
  const host = await Host.create({ memoryMib: options.memoryMib + 64, clock: 'virtual' });
  const domain = await host.createDomain(options);
  const running = host.run();
  let text = '';
  let drawn: readonly string[] = [];
  for await (const bytes of domain.console.readable) {
    text += Buffer.from(bytes).toString('latin1').replaceAll('\r', '');
    if (!last.test(text) || drawn.length > 0) continue;
    drawn = domain.p2m();
    domain.destroy();
  }
  await running;
  return { text, drawn };
}

describe('a guest with a memory map', () => {
  it('has identity frames in the holes, and no memory: the kernel that is built in', async () => {
    const commandLine = 'shell=p2m;free;run hello';
    const memoryMap = [
      { start: 0, bytes: 640 * KIB, type: 1 },
      { start: 640 * KIB, bytes: 384 * KIB, type: 2 },
      { start: 1024 * KIB, bytes: 31 * 1024 * KIB, type: 1 },
      { start: 3 * GIB, bytes: GIB, type: 2 },
    ];
    const { text, drawn } = await run(
      { kernel: await buildKernel('1'), commandLine, memoryMib: 32, memoryMap },
      /hello from a program/,
    );
    assert.match(text, /^0 to 9f +memory, .*\na0 to ff +identity\n100 to 1fff +memory/m);
    const leaves = drawn.map((line) => line.replace(/^.*---> /, '').replace(/ +/g, ' '));
    assert.ok(leaves.includes('160 mfn, 96 IDENTITY, 256 mfn pfn 0x0..0x1ff'), drawn.join('\n'));
    // From the end of memory up to 4 GiB.
    for (const range of ['0x2000..0x3ffff', '0x40000..0x7ffff', '0x80000..0xbffff', '0xc0000..0xfffff'])
      assert.ok(leaves.includes(`p2m_identity pfn ${range}`), drawn.join('\n'));
  });

  it('is refused where it is wrong, and on a bare machine', async () => {
    const host = await Host.create({ memoryMib: 64, clock: 'virtual' });
    const kernel = await buildKernel('1');
    const wrong = [{ start: 0, bytes: 0, type: 1 }];
    await assert.rejects(host.createDomain({ kernel, memoryMib: 16, memoryMap: wrong }), {
      name: 'DomainBuildError',
      message: 'expected entry 0 of the memory map to have a positive number of bytes, found 0',
    });
    const memoryMap = pcMemoryMap(16);
    await assert.rejects(host.createDomain({ kernel, abi: 'native', memoryMib: 16, memoryMap }), {
      name: 'MachineBuildError',
    });
  });

  it("boots as with e820_host: Debian's cloud kernel", async (t) => {
    const { skip, files } = await guest('debian:cloud');
    if (files === undefined) {
      t.skip(skip || 'there is no such guest');
      return;
    }
    const init = '#!/bin/sh\n/bin/busybox dmesg\n/bin/busybox echo the end\n/bin/busybox sleep 9\n';
    const ramdisk = buildBusyboxInitramfs({
      busybox: await readFile(files.busybox),
      init: new TextEncoder().encode(init),
      files: [],
    });
    const kernel = await readFile(files.kernel);
    const memoryMap = pcMemoryMap(256);
    const { text } = await run(
      { kernel, ramdisk, commandLine: 'console=hvc0 quiet', memoryMib: 256, memoryMap },
      /the end/,
    );
    assert.match(text, /Xen: \[mem 0x0000000000000000-0x000000000009ffff\] usable/);
    assert.match(text, /Xen: \[mem 0x00000000c0000000-0x00000000ffffffff\] reserved/);
    assert.match(text, /\nthe end/);
  });
});
