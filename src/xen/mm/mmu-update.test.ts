import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  DOMID_IO,
  DOMID_SELF,
  DOMID_XEN,
  MMU_MACHPHYS_UPDATE,
  MMU_PT_UPDATE_NO_TRANSLATE,
  MMU_PT_UPDATE_PRESERVE_AD,
  MMUEXT_INVLPG_LOCAL,
  MMUEXT_PIN_L1_TABLE,
  UVMF_ALL,
  UVMF_INVLPG,
  UVMF_TLB_FLUSH,
  XEN_EBUSY,
  XEN_EFAULT,
  XEN_EINVAL,
  XEN_ENOSYS,
  XEN_EPERM,
  XEN_ESRCH,
} from '../../abi/xen/numbers/index.ts';
import { CONTINUE } from '../hypercalls/dispatch.ts';
import { mmuUpdate } from './mmu-update.ts';
import { PGT_count_mask } from './page-info.ts';
import { A, D, DATA, entry, GUEST_BASE, NX, P, RW, TABLE, TestMachine, USER } from './testing/machine.ts';
import { updateVaMapping, updateVaMappingOtherdomain } from './update-va-mapping.ts';

const NONE = { low: 0, high: 0 };
/** 0xffff800000000000: the read-only M2P. */
const M2P: number = -0x800000000000;

test('a batch stops at the first bad request and tells how many were done', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const [a, b, c] = [guest.page(), guest.page(), guest.page()];
  const good = (page: { slot: number }) => ({ mfn: guest.l1, slot: page.slot, value: NONE });
  const bad = { mfn: guest.l1, slot: b.slot, value: entry(guest.l2, DATA) };
  assert.notEqual(guest.updateMany([good(a), bad, good(c)]), 0);
  assert.equal(guest.done, 1);
  assert.deepEqual(machine.read(guest.l1, a.slot), NONE);
  assert.notDeepEqual(machine.read(guest.l1, c.slot), NONE);
  assert.equal(guest.updateMany([good(a), good(c)]), 0);
  assert.equal(guest.done, 2);
  machine.assertSound();
});

test('requests of which the array cannot be read fail with -EFAULT, after the ones that can', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { gva, mfn, slot } = guest.page();
  const { guest: memory } = guest.vcpu;
  assert.equal(guest.map(gva + 4096, NONE), 0);
  memory.write64(gva + 4080, mfn * 4096, 0);
  memory.write64(gva + 4088, 0, 0);
  assert.equal(guest.domain.mm.pinTable(guest.l1, 1), 0);
  // The request names a page that is mapped writable, so it is a plain store.
  assert.equal(guest.vcpu.call(mmuUpdate, gva + 4080, 2, 0, DOMID_SELF), -XEN_EFAULT);
  assert.equal(guest.vcpu.call(mmuUpdate, M2P, 1, 0, DOMID_SELF), -XEN_EFAULT, 'not a guest’s address');
  assert.ok(slot > 0);
  machine.assertSound();
});

test('a request that crosses a page is read from both', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const [at, target] = [guest.page(), guest.page()];
  guest.page();
  const { guest: memory } = guest.vcpu;
  memory.write64(at.gva + 4092, target.mfn * 4096 + 8, 0);
  memory.write64(at.gva + 4100, 0x11223344, 0x55667788);
  assert.equal(guest.vcpu.call(mmuUpdate, at.gva + 4092, 1, 0, DOMID_SELF), 0);
  assert.deepEqual(machine.read(target.mfn, 1), { low: 0x11223344, high: 0x55667788 });
});

test('a frame that is no page table is written as it is, and what may not be written is not', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const writable = guest.page();
  const unused = guest.unmapped();
  const value = { low: -1, high: -1 };
  assert.equal(guest.update(writable.mfn, 3, value), 0);
  assert.equal(guest.update(unused, 3, value), 0);
  assert.deepEqual(machine.read(writable.mfn, 3), value);
  assert.deepEqual(machine.read(unused, 3), value);
  const descriptors = guest.emptyTable();
  guest.vcpu.gdtFrames[0] = descriptors;
  assert.equal(guest.domain.mm.getPageAndType(descriptors, 5 << 29), true);
  assert.equal(guest.update(descriptors, 3, value), -XEN_EINVAL);
  assert.deepEqual(machine.read(descriptors, 3), NONE);
  machine.assertSound();
});

test('PRESERVE_AD keeps accessed and dirty bits that are set, NORMAL does not', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { mfn, slot } = guest.page();
  const value = entry(mfn, P | RW);
  assert.equal(guest.update(guest.l1, slot, value, MMU_PT_UPDATE_PRESERVE_AD), 0);
  assert.equal(machine.read(guest.l1, slot).low & (A | D), A | D);
  assert.equal(guest.update(guest.l1, slot, value, MMU_PT_UPDATE_NO_TRANSLATE), 0);
  assert.equal(machine.read(guest.l1, slot).low & (A | D), 0);
  machine.assertSound();
});

test('MACHPHYS_UPDATE sets the number of a frame of the caller and of no other', () => {
  const machine = TestMachine.create();
  const other = machine.guest(2);
  const guest = machine.guest(1);
  const { mfn } = guest.page();
  assert.equal(guest.update(mfn, 0, { low: 0x1234, high: 5 }, MMU_MACHPHYS_UPDATE), 0);
  assert.equal(machine.table.m2p.low(mfn), 0x1234);
  assert.equal(machine.table.m2p.high(mfn), 5);
  assert.equal(guest.update(other.l1, 0, NONE, MMU_MACHPHYS_UPDATE), -XEN_EINVAL);
  assert.equal(guest.update(mfn, 0, NONE, 5), -XEN_ENOSYS);
});

test('a domain without privilege can name no other, nor itself by number', () => {
  const machine = TestMachine.create();
  machine.guest(2);
  const guest = machine.guest(1);
  const { slot } = guest.page();
  const request = [{ mfn: guest.l1, slot, value: NONE }];
  assert.equal(guest.updateMany(request, 1), -XEN_ESRCH);
  assert.equal(guest.updateMany(request, 77), -XEN_ESRCH);
  assert.equal(guest.updateMany(request, 0), -XEN_EPERM, 'domain 0 is always there');
  assert.equal(guest.updateMany(request, (1 << 16) | DOMID_SELF), -XEN_EPERM);
  assert.equal(guest.updateMany(request, 2), -XEN_EPERM);
  assert.equal(guest.updateMany(request, DOMID_XEN), -XEN_EPERM);
  assert.equal(guest.updateMany(request, (3 << 16) | DOMID_SELF), -XEN_EPERM, 'tables of domain 2');
  assert.equal(guest.updateMany(request, (78 << 16) | DOMID_SELF), -XEN_ESRCH);
  assert.equal(guest.updateMany(request, (2 << 16) | DOMID_SELF), 0, 'its own tables, by number');
  assert.equal(guest.updateMany(request, DOMID_IO), 0, 'nothing is mapped, so the owner does not matter');
  const ram = [{ mfn: guest.l1, slot, value: entry(guest.frames[slot]!, DATA) }];
  assert.notEqual(guest.updateMany(ram, DOMID_IO), 0, 'memory is no I/O page');
  machine.assertSound();
});

test('who is named is looked up before there is anything to do, and may not act only where something is asked', () => {
  const machine = TestMachine.create();
  machine.guest(2);
  const guest = machine.guest(1);
  const at = guest.scratch();
  const call = (requests: number, count: number, domid: number) =>
    guest.vcpu.call(mmuUpdate, requests, count, at + 4088, domid);
  guest.vcpu.guest.write32(at + 4088, 99);
  assert.equal(call(at, 0, (78 << 16) | DOMID_SELF), -XEN_ESRCH);
  assert.equal(guest.done, 99, 'and nothing is counted');
  assert.equal(call(at, 0, 77), -XEN_ESRCH);
  assert.equal(guest.done, 0);
  assert.equal(call(at, 0, 2), 0);
  assert.equal(call(at, 1, 2), -XEN_EPERM);
  assert.equal(call(0x1000, 1, 2), -XEN_EFAULT, 'the request is read first');
});

test('a request names a frame of this machine, and one for I/O pages no table above level 1', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { slot } = guest.page();
  const at = guest.scratch();
  guest.vcpu.guest.write64(at, guest.l1 * 4096 + slot * 8, 1);
  guest.vcpu.guest.write64(at + 8, 0, 0);
  assert.equal(guest.vcpu.call(mmuUpdate, at, 1, 0, DOMID_SELF), -XEN_EINVAL);
  for (const mfn of [guest.l2, guest.l3, guest.l4]) {
    assert.equal(guest.updateMany([{ mfn, slot: 5, value: NONE }], DOMID_IO), -XEN_EINVAL);
  }
  machine.assertSound();
});

test('a change of a higher level is reported for all addresses, one of level 1 for those of its slot', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { slot } = guest.page();
  const other = guest.emptyTable();
  const slots: (number | undefined)[] = [];
  machine.processor.noteTableChange = (changed?: number) => void slots.push(changed);
  assert.equal(guest.update(guest.l1, slot, NONE), 0);
  assert.equal(guest.update(guest.l2, 5, entry(other, TABLE)), 0);
  assert.equal(guest.update(guest.l2, 5, NONE), 0);
  assert.deepEqual(slots, [slot, undefined]);
});

test('only downgrades are reported to the processor', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { mfn, slot } = guest.page();
  const other = guest.page();
  const changes = (low: number, high = 0, frame = mfn) => {
    const before = machine.processor.changes;
    assert.equal(guest.update(guest.l1, slot, { low: (frame << 12) | low, high }), 0);
    return machine.processor.changes - before;
  };
  assert.equal(changes(P | RW | A | D), 0, 'the same');
  assert.equal(changes(P | RW | A), 1, 'dirty cleared');
  assert.equal(changes(P | RW), 1, 'accessed cleared');
  assert.equal(changes(P | RW, NX), 1, 'NX set');
  assert.equal(changes(P | RW), 0, 'NX cleared');
  assert.equal(changes(P), 1, 'writable cleared');
  assert.equal(changes(P | RW), 0, 'writable set');
  assert.equal(changes(P | RW, 0, other.mfn), 1, 'another frame');
  assert.equal(changes(0), 1, 'cleared');
  assert.equal(changes(P | RW), 0, 'set');
});

test('an entry of a higher level that changes is seen at once', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { mfn } = guest.page();
  const [l1, other] = [guest.emptyTable(), guest.emptyTable()];
  machine.write(l1, 0, entry(mfn, DATA));
  const gva = GUEST_BASE + 5 * 0x200000;
  assert.equal(guest.update(guest.l2, 5, entry(l1, TABLE)), 0);
  guest.vcpu.guest.write32(gva, 42);
  assert.equal(guest.update(guest.l2, 5, entry(other, TABLE)), 0);
  assert.equal(guest.vcpu.guest.tryHost(gva, false), 0);
  machine.assertSound();
});

test('update_va_mapping changes the entry of an address, checked, and drops its translation if asked to', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const [a, b] = [guest.page(), guest.page()];
  guest.vcpu.guest.write32(a.gva, 1);
  guest.vcpu.guest.write32(b.gva, 2);
  for (const flags of [UVMF_INVLPG, UVMF_TLB_FLUSH, UVMF_INVLPG | UVMF_ALL]) {
    assert.equal(guest.vcpu.call(updateVaMapping, a.gva, entry(b.mfn, DATA), flags), 0);
    assert.equal(guest.vcpu.guest.read32(a.gva), 2);
    assert.equal(guest.vcpu.call(updateVaMapping, a.gva, entry(a.mfn, DATA), flags), 0);
    assert.equal(guest.vcpu.guest.read32(a.gva), 1);
  }
  // A bitmap that names this vCPU, and one that cannot be read.
  guest.vcpu.guest.write64(guest.scratch(), 1, 0);
  assert.equal(guest.vcpu.call(updateVaMapping, a.gva, entry(b.mfn, DATA), guest.scratch() | UVMF_INVLPG), 0);
  assert.equal(guest.vcpu.guest.read32(a.gva), 2);
  assert.equal(guest.vcpu.call(updateVaMapping, a.gva, NONE, 0x1000 | UVMF_INVLPG), -XEN_EFAULT);
  // One that names nobody who is there.
  guest.vcpu.guest.write64(guest.scratch(), 2, 0);
  assert.equal(guest.vcpu.guest.read32(b.gva), 2);
  assert.equal(guest.vcpu.call(updateVaMapping, b.gva, entry(a.mfn, DATA), guest.scratch() | UVMF_INVLPG), 0);
  assert.equal(guest.vcpu.guest.read32(b.gva), 2, 'a processor may keep the old translation');
  machine.assertSound();
});

test('update_va_mapping flushes one translation or all of them, and keeps no accessed and dirty bits', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const [a, b, c] = [guest.page(), guest.page(), guest.page()];
  for (const [i, page] of [a, b, c].entries()) guest.vcpu.guest.write32(page.gva, i);
  assert.equal(guest.map(b.gva, entry(c.mfn, P | RW)), 0);
  assert.equal(guest.vcpu.call(updateVaMapping, a.gva, entry(c.mfn, P | RW), UVMF_INVLPG), 0);
  assert.deepEqual([guest.vcpu.guest.read32(a.gva), guest.vcpu.guest.read32(b.gva)], [2, 1]);
  assert.equal(guest.vcpu.call(updateVaMapping, a.gva, entry(c.mfn, P | RW), UVMF_TLB_FLUSH), 0);
  assert.equal(guest.vcpu.guest.read32(b.gva), 2);
  assert.equal(guest.map(c.gva, entry(c.mfn, P | RW)), 0);
  assert.equal(machine.read(guest.l1, c.slot).low & (A | D), 0);
});

test('update_va_mapping finds no entry where there is no table, nor in Xen’s part of the address space', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  for (const gva of [0, 0x7fffffff0000, -4096, -0x800000000000, -0x780000001000, 0x1000000000000]) {
    assert.equal(guest.map(gva, NONE), -XEN_EINVAL);
  }
  machine.assertSound();
});

test('update_va_mapping does not mistake a higher table for a level-1 one behind a linear mapping', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  assert.equal(guest.update(guest.l4, 300, entry(guest.l4, P | USER)), 0);
  // Through slot 300 three times, the L4 stands where an L1 would.
  const slot = 300;
  const gva = slot * 2 ** 39 + slot * 2 ** 30 + slot * 2 ** 21 + slot * 4096 - 2 ** 48;
  assert.equal(guest.map(gva, NONE), -XEN_EINVAL);
  machine.assertSound();
});

test('update_va_mapping_otherdomain obeys the rules for naming domains', () => {
  const machine = TestMachine.create();
  const other = machine.guest(2);
  const guest = machine.guest(1);
  const { gva } = guest.page();
  const call = (domid: number) =>
    guest.vcpu.call(updateVaMappingOtherdomain, gva, entry(other.frames[9]!, DATA), 0, domid);
  assert.equal(call(2), -XEN_EPERM);
  assert.equal(call(1), -XEN_ESRCH);
  assert.equal(call(99), -XEN_ESRCH);
  assert.equal(guest.vcpu.call(updateVaMappingOtherdomain, gva, NONE, 0, DOMID_SELF), 0);
  machine.assertSound();
});

test('INVLPG makes a changed entry visible', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const [a, b] = [guest.page(), guest.page()];
  guest.vcpu.guest.write32(a.gva, 1);
  guest.vcpu.guest.write32(b.gva, 2);
  assert.equal(guest.map(a.gva, entry(b.mfn, DATA)), 0);
  assert.equal(guest.vcpu.guest.read32(a.gva), 1, 'a processor may keep the old translation');
  assert.equal(guest.extended(MMUEXT_INVLPG_LOCAL, a.gva + 123), 0);
  assert.equal(guest.vcpu.guest.read32(a.gva), 2);
  const table = guest.emptyTable();
  assert.equal(guest.extended(MMUEXT_PIN_L1_TABLE, table), 0);
});

test('whoever watches sees each update in words', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { gva, mfn, slot } = guest.page();
  machine.trace.pageTables = true;
  assert.equal(guest.update(guest.l1, slot, entry(mfn, P | RW, NX)), 0);
  assert.equal(guest.update(mfn, 0, { low: 0x77, high: 0 }, MMU_MACHPHYS_UPDATE), 0);
  assert.equal(guest.map(gva, entry(guest.l1, P | RW)), -XEN_EBUSY);
  assert.equal(guest.extended(MMUEXT_INVLPG_LOCAL, gva), 0);
  const hex = (value: number) => value.toString(16);
  assert.deepEqual(machine.traced, [
    `mmu_update l1 ${hex(guest.l1)}[${slot}] = ${hex(mfn)} P RW NX`,
    `mmu_update m2p[${hex(mfn)}] = 77`,
    `update_va_mapping 0x00000000${hex(gva)} = ${hex(guest.l1)} P RW refused: -16`,
    `mmuext_op invlpg_local ${hex(gva)}`,
  ]);
});

test('a long batch stops halfway, and goes on where it stopped when it is issued again', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const pages = [guest.page(), guest.page(), guest.page(), guest.page(), guest.page()];
  const { vcpu } = guest;
  vcpu.patience = 2;
  const requests = pages.map(({ slot }) => ({ mfn: guest.l1, slot, value: NONE }));
  assert.equal(guest.updateMany(requests), CONTINUE);
  assert.equal(guest.done, 3);
  assert.equal(vcpu.args.u32(1), 0x80000002);
  assert.equal(vcpu.args.gva(0), guest.scratch() + 3 * 16);
  vcpu.patience = 100;
  assert.equal(mmuUpdate(vcpu, vcpu.args), 0);
  assert.equal(guest.done, 5);
  for (const { slot } of pages) assert.deepEqual(machine.read(guest.l1, slot), NONE);
  machine.assertSound();
});

test('a table with as many uses as can be counted cannot be changed, and nothing is miscounted', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { typeInfo } = machine.table;
  const before = typeInfo[guest.l2]!;
  const update = { mfn: guest.l2, slot: 7, value: entry(guest.l1, TABLE) };
  typeInfo[guest.l2] = before | PGT_count_mask;
  assert.equal(guest.updateMany([update]), -XEN_EINVAL);
  assert.equal(typeInfo[guest.l2], before | PGT_count_mask);
  typeInfo[guest.l2] = before;
  assert.equal(guest.updateMany([update]), 0);
  machine.assertSound();
});
