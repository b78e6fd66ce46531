/**
 * The kernels that people run: Debian's, GRUB, GNU Mach. What they say of themselves is known, so it can be
 * compared.
 */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { guest, guestImage } from '../../../test/guests.ts';
import { loadKernelImage } from './index.ts';

const upperBase = -(2 ** 31); // 0xffffffff80000000

for (const [name, supportedFeatures] of [
  ['debian:6.1', 0x8811],
  ['debian:cloud', 0x8811],
  ['debian:6.12', 0x8801],
] as const) {
  const debian = await guest(name);
  test(`${name} is a 64-bit Xen PV kernel that says what is known of it`, { skip: debian.skip }, async () => {
    const { info, segments, symbols } = await loadKernelImage(await readFile(debian.files!.kernel), name);
    assert.equal(info.width, 64);
    assert.equal(info.source, 'notes');
    assert.equal(info.xenVersion, 'xen-3.0');
    assert.equal(info.guestOs, 'linux');
    assert.equal(info.loader, 'generic');
    assert.equal(info.virtBase, upperBase);
    assert.equal(info.initP2m, 2 ** 39);
    assert.equal(info.hypercallPage, undefined);
    assert.equal(info.pae, 'extended-cr3');
    assert.equal(info.supportedFeatures, supportedFeatures);
    assert.equal(info.requiredFeatures, 1);
    assert.equal(info.modStartPfn, true);
    assert.equal(info.suspendCancel, true);
    assert.deepEqual(info.l1MfnValid, [{ maskLow: 1, maskHigh: 0, valueLow: 1, valueHigh: 0 }]);
    assert.equal(info.virtStart, upperBase + 0x100_0000);
    assert.ok(info.entry > info.virtStart && info.entry < info.virtEnd);
    assert.deepEqual(segments[0].physical, 0x100_0000);
    // What the kernel says of itself in two ways: its symbols here, its notes and its data there.
    assert.ok(symbols.size > 50_000);
    assert.equal(symbols.addressOf('startup_xen'), info.entry);
    assert.deepEqual(symbols.nearest(info.entry + 5), { name: 'startup_xen', offset: 5 });
    const banner = symbols.addressOf('linux_banner')!;
    const holder = segments.find(
      ({ virtual, bytes }) => banner >= virtual && banner < virtual + bytes.length,
    )!;
    const at = banner - holder.virtual;
    assert.equal(Buffer.from(holder.bytes.subarray(at, at + 14)).toString(), 'Linux version ');
    assert.equal(symbols.nearest(0x1000), undefined, 'an offset in the per-CPU area is no place');
    assert.equal(symbols.nearest(-0x3f000000), undefined, 'modules have no names');
  });
}

for (const [name, width, pae] of [
  ['grub:i386', 32, 'extended-cr3'],
  ['grub:x86_64', 64, 'no'],
] as const) {
  const grub = await guestImage(name);
  test(`${name} loads at virtual address 0`, { skip: grub.skip }, async () => {
    const { info } = await loadKernelImage(await readFile(grub.files!), name);
    assert.equal(info.width, width);
    assert.equal(info.pae, pae);
    assert.equal(info.guestOs, 'GRUB');
    assert.equal(info.virtBase, 0);
    assert.equal(info.entry, 0);
    assert.equal(info.virtStart, 0);
  });
}

const mach = await guestImage('gnumach');
test('GNU Mach describes itself in __xen_guest, since its notes are not owned by Xen', {
  skip: mach.skip,
}, async () => {
  const { info, segments } = await loadKernelImage(await readFile(mach.files!), 'gnumach');
  assert.equal(info.source, '__xen_guest');
  assert.equal(info.guestOs, 'GNU Mach');
  assert.equal(info.virtBase, 0x4000_0000);
  assert.equal(info.hypercallPage, 0x4000_2000);
  assert.equal(segments[0].physical, 0);
});
