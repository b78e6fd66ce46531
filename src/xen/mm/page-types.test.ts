import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  MMUEXT_PIN_L1_TABLE,
  MMUEXT_PIN_L2_TABLE,
  MMUEXT_PIN_L3_TABLE,
  MMUEXT_PIN_L4_TABLE,
  MMUEXT_UNPIN_TABLE,
  XEN_EBUSY,
  XEN_EINVAL,
  XEN_EPERM,
} from '../../abi/xen/numbers/index.ts';
import { PGC_count_mask, PGT_count_mask, PGT_l1_page_table, PGT_seg_desc_page } from './page-info.ts';
import { D, DATA, entry, GUEST_BASE, NX, P, RW, TABLE, TestMachine, USER } from './testing/machine.ts';

const NONE = { low: 0, high: 0 };

test('a guest with a pinned root is sound, and all its frames are free after its end', () => {
  const machine = TestMachine.create();
  const { domain } = machine.guest(1);
  machine.assertSound();
  domain.mm.release();
  machine.assertAllFree();
});

test('a present level-1 entry of the kernel gains the user bit and bit 52, one of the user the global bit', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const kernel = guest.page();
  const user = guest.page();
  assert.equal(guest.update(guest.l1, kernel.slot, entry(kernel.mfn, DATA)), 0);
  assert.equal(guest.update(guest.l1, user.slot, entry(user.mfn, DATA | USER)), 0);
  assert.deepEqual(machine.read(guest.l1, kernel.slot), entry(kernel.mfn, DATA | USER, 1 << 20));
  assert.deepEqual(machine.read(guest.l1, user.slot), entry(user.mfn, DATA | USER | 0x100));
  machine.assertSound();
});

test('a page table cannot be mapped writable', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { gva } = guest.page();
  for (const table of [guest.l4, guest.l3, guest.l2, guest.l1]) {
    assert.equal(guest.map(gva, entry(table, DATA)), -XEN_EBUSY);
    assert.equal(guest.map(gva, entry(table, DATA & ~RW)), 0);
  }
  // Nor made writable where it is mapped read-only.
  assert.equal(guest.map(GUEST_BASE + 3 * 4096, entry(guest.l1, DATA)), -XEN_EBUSY);
  machine.assertSound();
});

test('a page that is mapped writable cannot become a page table', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { mfn, gva } = guest.page();
  machine.memory.zeroFrame(mfn);
  for (let level = 1; level <= 4; level++) assert.equal(guest.domain.mm.pinTable(mfn, level), -XEN_EINVAL);
  assert.equal(guest.map(gva, entry(mfn, DATA & ~RW)), 0);
  assert.equal(guest.extended(MMUEXT_PIN_L1_TABLE, mfn), 0);
  machine.assertSound();
});

test('a frame cannot be a table of two levels at once', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const mfn = guest.emptyTable();
  assert.equal(guest.extended(MMUEXT_PIN_L1_TABLE, mfn), 0);
  assert.equal(guest.extended(MMUEXT_PIN_L2_TABLE, mfn), -XEN_EINVAL);
  assert.equal(guest.extended(MMUEXT_PIN_L1_TABLE, mfn), -XEN_EINVAL, 'pinned already');
  assert.equal(guest.extended(MMUEXT_UNPIN_TABLE, mfn), 0);
  assert.equal(guest.extended(MMUEXT_UNPIN_TABLE, mfn), -XEN_EINVAL, 'not pinned');
  assert.equal(guest.extended(MMUEXT_PIN_L3_TABLE, mfn), 0);
  machine.assertSound();
});

test('entries with forbidden flags are refused at every level', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { gva, mfn } = guest.page();
  for (const flag of [0x008, 0x010, 0x080]) {
    assert.equal(guest.map(gva, entry(mfn, DATA | flag)), -XEN_EINVAL);
  }
  assert.equal(guest.map(gva, entry(mfn, DATA | 0x100)), 0, 'global is allowed in level 1');
  assert.equal(
    guest.map(gva, entry(mfn, DATA | 0xe00, NX | 0x7ff00000)),
    0,
    'available bits and NX are the guest’s',
  );
  const table = guest.emptyTable();
  for (const flag of [0x008, 0x010, 0x080, 0x100]) {
    assert.equal(guest.update(guest.l2, 5, entry(table, TABLE | flag)), -XEN_EINVAL);
    assert.equal(guest.update(guest.l3, 5, entry(table, TABLE | flag)), -XEN_EINVAL);
    assert.equal(guest.update(guest.l4, 5, entry(table, TABLE | flag)), -XEN_EINVAL);
  }
  machine.assertSound();
});

test('frames that the machine does not have are I/O space, which no guest may map', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { gva } = guest.page();
  assert.equal(guest.map(gva, entry(machine.table.frames, DATA)), -XEN_EPERM);
  assert.equal(guest.map(gva, { low: DATA, high: 1 }), -XEN_EPERM, 'bits beyond the physical address width');
  assert.equal(guest.map(gva, { low: 0xfffff000 | DATA, high: 0xfffff }), -XEN_EINVAL, 'INVALID_MFN');
  machine.assertSound();
});

test('frames of another domain, of Xen and free ones cannot be mapped or used as tables', () => {
  const machine = TestMachine.create();
  const other = machine.guest(2);
  const guest = machine.guest(1);
  const { gva } = guest.page();
  const free = machine.table.frames - 1;
  for (const mfn of [other.frames[10]!, other.l1, machine.table.m2p.firstFrame, free, 0]) {
    assert.equal(guest.map(gva, entry(mfn, DATA)), -XEN_EBUSY);
    assert.equal(guest.map(gva, entry(mfn, DATA & ~RW)), -XEN_EBUSY);
    assert.equal(guest.update(guest.l2, 5, entry(mfn, TABLE)), -XEN_EINVAL);
    assert.equal(guest.extended(MMUEXT_PIN_L1_TABLE, mfn), -XEN_EINVAL);
    assert.equal(guest.update(mfn, 0, NONE), -XEN_EINVAL);
  }
  machine.assertSound();
});

test('a tree with one bad entry is refused as a whole, and nothing of it keeps a type', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const [l4, l3, l2, l1] = [guest.emptyTable(), guest.emptyTable(), guest.emptyTable(), guest.emptyTable()];
  const data = guest.unmapped();
  machine.write(l1, 0, entry(data, DATA));
  machine.write(l1, 511, entry(guest.l1, DATA));
  machine.write(l2, 0, entry(l1, TABLE));
  machine.write(l3, 0, entry(l2, TABLE));
  machine.write(l4, 0, entry(l3, TABLE));
  assert.equal(guest.extended(MMUEXT_PIN_L4_TABLE, l4), -XEN_EBUSY);
  machine.assertSound();
  machine.write(l1, 511, entry(guest.l1, DATA & ~RW));
  assert.equal(guest.extended(MMUEXT_PIN_L4_TABLE, l4), 0);
  machine.assertSound();
  assert.equal(guest.extended(MMUEXT_UNPIN_TABLE, l4), 0);
  machine.assertSound();
  assert.equal(
    guest.domain.mm.getPageAndType(data, PGT_seg_desc_page),
    true,
    'the data page is unused again',
  );
  guest.domain.mm.putPageAndType(data);
});

test('a table that maps itself writable is refused while it is being checked', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const l1 = guest.emptyTable();
  machine.write(l1, 7, entry(l1, DATA));
  assert.equal(guest.extended(MMUEXT_PIN_L1_TABLE, l1), -XEN_EBUSY);
  machine.write(l1, 7, entry(l1, DATA & ~RW));
  assert.equal(guest.extended(MMUEXT_PIN_L1_TABLE, l1), 0);
  machine.assertSound();
});

test('tables that contain each other in a circle are refused', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const [a, b] = [guest.emptyTable(), guest.emptyTable()];
  machine.write(a, 0, entry(b, TABLE));
  machine.write(b, 0, entry(a, TABLE));
  for (let level = 2; level <= 4; level++) assert.notEqual(guest.domain.mm.pinTable(a, level), 0);
  machine.assertSound();
});

test('a root may map itself read-only, and not writable', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  assert.equal(guest.update(guest.l4, 300, entry(guest.l4, TABLE)), -XEN_EINVAL);
  assert.equal(guest.update(guest.l4, 300, entry(guest.l4, P | USER)), 0);
  machine.assertSound();
  assert.equal(guest.update(guest.l4, 300, NONE), 0);
  machine.assertSound();
});

test('linear page tables are counted, do not chain, and go away with their users', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const [a, b] = [guest.emptyTable(), guest.emptyTable()];
  assert.equal(guest.update(guest.l4, 300, entry(a, P | USER)), 0, 'an empty frame becomes an L3 there');
  assert.equal(guest.update(guest.l4, 300, NONE), 0);
  assert.equal(guest.extended(MMUEXT_PIN_L4_TABLE, a), 0);
  assert.equal(guest.extended(MMUEXT_PIN_L4_TABLE, b), 0);
  assert.equal(guest.update(a, 300, entry(b, TABLE)), -XEN_EINVAL, 'a linear entry is read-only');
  assert.equal(guest.update(a, 300, entry(b, P | USER)), 0);
  machine.assertSound();
  assert.equal(
    guest.update(b, 300, entry(guest.l4, P | USER)),
    -XEN_EINVAL,
    'b is used by another, so it may use none',
  );
  assert.equal(
    guest.update(guest.l4, 300, entry(a, P | USER)),
    -XEN_EINVAL,
    'a uses another, so nobody may use it',
  );
  assert.equal(guest.extended(MMUEXT_UNPIN_TABLE, b), 0, 'a still uses it');
  machine.assertSound();
  assert.equal(guest.extended(MMUEXT_UNPIN_TABLE, a), 0);
  machine.assertSound();
});

test('domains with circles of linear page tables are taken apart completely', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const [a, b] = [guest.emptyTable(), guest.emptyTable()];
  machine.write(a, 3, entry(a, P | USER));
  assert.equal(guest.extended(MMUEXT_PIN_L4_TABLE, a), 0);
  machine.write(b, 3, entry(a, P | USER));
  assert.equal(guest.extended(MMUEXT_PIN_L4_TABLE, b), 0);
  assert.equal(guest.update(guest.l4, 400, entry(guest.l4, P | USER)), 0);
  machine.assertSound();
  guest.domain.mm.release();
  machine.assertAllFree();
});

test('slots 256 to 271 of a root are Xen’s: a guest cannot write them, and what it left there is gone', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const l3 = guest.emptyTable();
  for (let slot = 256; slot <= 271; slot++) {
    assert.equal(guest.update(guest.l4, slot, entry(l3, TABLE)), -XEN_EINVAL);
    assert.equal(guest.update(guest.l4, slot, NONE), -XEN_EINVAL);
  }
  assert.equal(guest.update(guest.l4, 255, entry(l3, TABLE)), 0);
  assert.equal(guest.update(guest.l4, 272, entry(l3, TABLE)), 0);
  const root = guest.emptyTable();
  for (let slot = 256; slot <= 271; slot++) machine.write(root, slot, entry(guest.l1, TABLE));
  assert.equal(guest.extended(MMUEXT_PIN_L4_TABLE, root), 0);
  for (let slot = 256; slot <= 271; slot++) assert.deepEqual(machine.read(root, slot), NONE);
  machine.assertSound();
});

test('descriptor pages hold no descriptor that raises privilege, and cannot be mapped writable', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { mm } = guest.domain;
  const page = guest.emptyTable();
  // A 64-bit code segment of ring 0: its DPL is brought down.
  machine.write(page, 1, { low: 0x0000ffff, high: 0x00af9b00 });
  assert.equal(mm.getPageAndType(page, PGT_seg_desc_page), true);
  assert.deepEqual(machine.read(page, 1), { low: 0x0000ffff, high: 0x00affb00 });
  const { gva } = guest.page();
  assert.equal(guest.map(gva, entry(page, DATA)), -XEN_EBUSY);
  assert.equal(mm.getPageAndType(page, PGT_l1_page_table), false);
  mm.putPageAndType(page);
  assert.equal(guest.map(gva, entry(page, DATA)), 0);
  assert.equal(guest.map(gva, NONE), 0);
  // An interrupt gate and a task-state segment are refused.
  for (const high of [0x00008e00, 0x00008900]) {
    machine.write(page, 2, { low: 0x00080000, high });
    assert.equal(mm.getPageAndType(page, PGT_seg_desc_page), false);
  }
  machine.assertSound();
});

test('a cached writable translation does not survive the frame becoming a page table', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { gva, mfn } = guest.page();
  guest.vcpu.guest.write32(gva, 0);
  machine.memory.zeroFrame(mfn);
  // No flush is asked for, so the processor may still hold the writable translation...
  assert.equal(guest.map(gva, entry(mfn, DATA & ~RW & ~D)), 0);
  assert.notEqual(guest.vcpu.guest.tryHost(gva, true), 0);
  // ...until the frame becomes a table.
  assert.equal(guest.extended(MMUEXT_PIN_L1_TABLE, mfn), 0);
  assert.equal(guest.vcpu.guest.tryHost(gva, true), 0);
  assert.notEqual(guest.vcpu.guest.tryHost(gva, false), 0);
});

test('a cached translation does not survive the frame being freed', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { gva, mfn } = guest.page();
  guest.vcpu.guest.write32(gva, 0x1234);
  assert.equal(guest.map(gva, NONE), 0);
  assert.equal(guest.domain.mm.removePage(mfn), 0);
  assert.equal(guest.vcpu.guest.tryHost(gva, false), 0);
  assert.equal(guest.domain.mm.allocatePages(), mfn);
  assert.equal(machine.memory.read32(mfn * 4096), 0, 'it is scrubbed');
  machine.assertSound();
});

test('a count that would overflow refuses the next use instead', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { table } = machine;
  const { mfn, gva } = guest.page();
  const other = guest.page();
  const info = table.typeInfo[mfn]!;
  table.typeInfo[mfn] = info | PGT_count_mask;
  assert.equal(guest.map(other.gva, entry(mfn, DATA)), -XEN_EBUSY);
  table.typeInfo[mfn] = info;
  const count = table.countInfo[mfn]!;
  table.countInfo[mfn] = count | (PGC_count_mask - 1);
  assert.equal(guest.domain.mm.getPage(mfn), false);
  assert.equal(guest.map(other.gva, entry(mfn, DATA & ~RW)), -XEN_EBUSY);
  table.countInfo[mfn] = count;
  assert.equal(guest.map(gva, NONE), 0);
  machine.assertSound();
});
