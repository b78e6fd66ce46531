/**
 * Debian's cloud kernel on the bare machine, as it is: it takes the machine for an old PC without ACPI, and its processor,
 * interrupt controllers, timer, serial port and clock for what they claim to be.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { buildBusyboxInitramfs, crashText, Host } from '../../src/index.ts';
import { guest } from '../guests.ts';

const COMMAND_LINE = 'console=ttyS0 nokaslr noapic nolapic acpi=off pci=off quiet';
const MEBIBYTES = 4;
const MEMORY_MIB = 256;
/** The date of the virtual clock's start. */
const DATE = 'Mon Jan  1 00:00';

const INIT = `#!/bin/sh
export PATH=/bin
/bin/busybox --install -s
mount -t proc proc /proc; mount -t devtmpfs dev /dev
cat /proc/interrupts
date
dd if=/dev/zero bs=1M count=${MEBIBYTES} 2>/dev/null | sha256sum
i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i + 1)); done; echo "$i forks"
sleep 1
read line
echo "typed: $line"
reboot -f
`;

const debian = await guest('debian:cloud');

describe('Linux on the bare machine', { skip: debian.skip }, () => {
  it('boots, forks, takes interrupts, knows the date, reads its console, and resets', async () => {
    const [kernel, busybox] = await Promise.all([
      readFile(debian.files!.kernel),
      readFile(debian.files!.busybox),
    ]);
    const host = await Host.create({ memoryMib: MEMORY_MIB, clock: 'virtual' });
    const domain = await host.createDomain({
      abi: 'native',
      kernel,
      memoryMib: MEMORY_MIB,
      commandLine: COMMAND_LINE,
      ramdisk: buildBusyboxInitramfs({ busybox, init: new TextEncoder().encode(INIT) }),
    });
    const output = new Response(domain.console.readable).text();
    const writer = domain.console.writable.getWriter();
    void writer.write(new TextEncoder().encode('ahead of time\n')).catch(() => {});
    await host.run();
    const { reason, report } = await domain.exited;
    domain.destroy();
    const text = await output;
    assert.equal(reason, 'reboot', report && crashText(report, domain.symbols).join('\n'));
    assert.match(text, /^ +0: +\d+ +XT-PIC +timer/m);
    assert.match(text, /^ +4: +\d+ +XT-PIC +ttyS0/m);
    assert.ok(text.includes(DATE), text);
    const zeros = createHash('sha256')
      .update(new Uint8Array(MEBIBYTES << 20))
      .digest('hex');
    assert.ok(text.includes(zeros), text);
    assert.match(text, /200 forks/);
    assert.match(text, /typed: ahead of time/);
  });
});
