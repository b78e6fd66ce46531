import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as X from '../../abi/xen/numbers/index.ts';
import { xen_mem_acquire_resource } from '../../abi/xen/structures/memory.ts';
import { shared_info } from '../../abi/xen/structures/shared-info.ts';
import { GuestFault } from '../../machine/x86/guest-memory.ts';
import { CONTINUE } from '../hypercalls/dispatch.ts';
import { memoryMapProblem } from './memory-map.ts';
import { memoryOp } from './memory-op.ts';
import { DATA, entry, type TestGuest, TestMachine } from './testing/machine.ts';

const NONE = { low: 0, high: 0 };

/** Writes an xen_memory_reservation at the scratch page, its list behind it, and issues the call. */
function reserve(
  guest: TestGuest,
  op: number,
  list: number[],
  order = 0,
  domid: number = X.DOMID_SELF,
): number {
  const { guest: memory } = guest.vcpu;
  const at = guest.scratch();
  writeReservation(guest, at, at + 256, list.length, order, domid);
  for (const [i, value] of list.entries())
    memory.write64(at + 256 + i * 8, value, Math.floor(value / 2 ** 32));
  return guest.vcpu.call(memoryOp, op, at);
}
function writeReservation(
  guest: TestGuest,
  at: number,
  list: number,
  count: number,
  order: number,
  domid: number,
): void {
  const { guest: memory } = guest.vcpu;
  memory.write64(at, list, 0);
  memory.write64(at + 8, count, 0);
  memory.write32(at + 16, order);
  memory.write32(at + 20, 0);
  memory.write32(at + 24, domid);
}
function list(guest: TestGuest, count: number): number[] {
  return Array.from({ length: count }, (_, i) =>
    guest.vcpu.guest.readNumber64(guest.scratch() + 256 + i * 8),
  );
}

test('a balloon deflates and inflates: pages come with their numbers in the M2P and go without a trace', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const free = machine.heap.available;
  assert.equal(reserve(guest, X.XENMEM_populate_physmap, [1000, 1001, 1002]), 3);
  const mfns = list(guest, 3);
  for (const [i, mfn] of mfns.entries()) assert.equal(machine.table.m2p.low(mfn), 1000 + i);
  assert.equal(guest.domain.totPages, 67);
  assert.equal(machine.heap.available, free - 3);
  machine.assertSound();
  assert.equal(reserve(guest, X.XENMEM_decrease_reservation, mfns), 3);
  assert.equal(machine.heap.available, free);
  for (const mfn of mfns) assert.equal(machine.table.m2p.isInvalid(mfn), true);
  machine.assertSound();
});

test('the reservation has a limit, and a list that stops short tells how far it came', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1, 16);
  guest.domain.maxPages = 18;
  assert.equal(reserve(guest, X.XENMEM_populate_physmap, [1, 2, 3, 4]), 2);
  assert.equal(reserve(guest, X.XENMEM_increase_reservation, [0, 0]), 0);
  assert.equal(reserve(guest, X.XENMEM_decrease_reservation, [guest.frames[9]!, guest.l1, 0x7fffffff, 5]), 2);
  machine.assertSound();
  guest.domain.mm.release();
  machine.assertAllFree();
});

test('extents of a higher order are neighbours and aligned, up to 2 MiB', () => {
  const machine = TestMachine.create(2048);
  const guest = machine.guest(1);
  guest.domain.maxPages = 2000;
  assert.equal(reserve(guest, X.XENMEM_populate_physmap, [0x1000], 4), 1);
  const [first] = list(guest, 1) as [number];
  assert.equal(first % 16, 0);
  for (let i = 0; i < 16; i++) assert.equal(machine.table.m2p.low(first + i), 0x1000 + i);
  assert.equal(reserve(guest, X.XENMEM_populate_physmap, [0x2000], 9), 1);
  assert.equal(reserve(guest, X.XENMEM_populate_physmap, [0x3000], 10), 0);
  machine.assertSound();
  assert.equal(reserve(guest, X.XENMEM_decrease_reservation, [first], 4), 1);
  machine.assertSound();
});

test('a reservation is adjusted by a list of the guest’s, for itself, and by no more than a command can count', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { guest: memory } = guest.vcpu;
  const at = guest.scratch();
  const call = (op: number) => guest.vcpu.call(memoryOp, op, at);
  const M2P = -0x8000_0000_0000;
  writeReservation(guest, at, 0, 2, 0, X.DOMID_SELF);
  assert.equal(call(X.XENMEM_increase_reservation), 2, 'nobody need be told');
  assert.equal(guest.domain.totPages, 66);
  assert.equal(call(X.XENMEM_decrease_reservation), 0);
  assert.equal(call(X.XENMEM_populate_physmap), 0);
  memory.write64(at, 0, M2P / 2 ** 32);
  assert.equal(call(X.XENMEM_decrease_reservation), 0);
  assert.equal(call(X.XENMEM_increase_reservation), 0);
  writeReservation(guest, at, 0, 0x4000000, 0, X.DOMID_SELF);
  assert.equal(call(X.XENMEM_increase_reservation), 0);
  writeReservation(guest, at, 0, 2, 0, 1);
  assert.equal(call(X.XENMEM_increase_reservation), 2, 'one’s own number');
  machine.guest(2, 8);
  guest.run();
  writeReservation(guest, at, 0, 2, 0, 2);
  assert.equal(call(X.XENMEM_increase_reservation), 0, 'another domain');
  memory.write64(at + 256, 0x700, 0);
  writeReservation(guest, at, at + 256, 1, 0, X.DOMID_SELF);
  memory.write32(at + 20, X.XENMEMF_populate_on_demand);
  assert.equal(call(X.XENMEM_populate_physmap), 0);
  assert.equal(
    guest.vcpu.call(memoryOp, X.XENMEM_populate_physmap + (3 << 6), 0x1000),
    3,
    'an unreadable argument',
  );
  assert.equal(guest.domain.totPages, 68);
  machine.assertSound();
});

test('an extent of many pages is as much work as many extents', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  guest.vcpu.patience = 16;
  assert.equal(reserve(guest, X.XENMEM_populate_physmap, [0x100, 0x110, 0x120], 4), CONTINUE);
  assert.equal(guest.vcpu.args.number(0), X.XENMEM_populate_physmap + (2 << 6));
});

test('exchange trades single pages for neighbours', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const pages = Array.from({ length: 8 }, () => guest.unmapped());
  const { guest: memory } = guest.vcpu;
  const at = guest.scratch();
  writeReservation(guest, at, at + 256, 8, 0, X.DOMID_SELF);
  writeReservation(guest, at + 32, at + 512, 1, 3, X.DOMID_SELF);
  memory.write64(at + 64, 0, 0);
  for (const [i, mfn] of pages.entries()) memory.write64(at + 256 + i * 8, mfn, 0);
  memory.write64(at + 512, 0x500, 0);
  assert.equal(guest.vcpu.call(memoryOp, X.XENMEM_exchange, at), 0);
  assert.equal(memory.readNumber64(at + 64), 8);
  const first = memory.readNumber64(at + 512);
  assert.equal(first % 8, 0);
  for (let i = 0; i < 8; i++) assert.equal(machine.table.m2p.low(first + i), 0x500 + i);
  assert.equal(guest.domain.totPages, 64);
  machine.assertSound();
});

test('exchange leaves everything as it was where a page is in use', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const [a, b] = [guest.unmapped(), guest.page().mfn];
  const { guest: memory } = guest.vcpu;
  const at = guest.scratch();
  writeReservation(guest, at, at + 256, 2, 0, X.DOMID_SELF);
  writeReservation(guest, at + 32, at + 512, 1, 1, X.DOMID_SELF);
  memory.write64(at + 64, 0, 0);
  memory.write64(at + 256, a, 0);
  memory.write64(at + 264, b, 0);
  assert.equal(guest.vcpu.call(memoryOp, X.XENMEM_exchange, at), -X.XEN_EINVAL);
  assert.equal(memory.readNumber64(at + 64), 0);
  machine.assertSound();
  memory.write32(at + 32 + 16, 2);
  assert.equal(guest.vcpu.call(memoryOp, X.XENMEM_exchange, at), -X.XEN_EINVAL, 'lists of different sizes');
  memory.write32(at + 32 + 16, 10);
  assert.equal(guest.vcpu.call(memoryOp, X.XENMEM_exchange, at), -X.XEN_EPERM, 'too large an extent');
});

test('exchange takes no page that somebody still holds, nor one of Xen’s', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { mm } = guest.domain;
  const { mfn } = guest.page();
  assert.equal(mm.removePage(mfn), 0, 'given back, but mapped');
  const { guest: memory } = guest.vcpu;
  const at = guest.scratch();
  writeReservation(guest, at, at + 256, 1, 0, X.DOMID_SELF);
  writeReservation(guest, at + 32, at + 512, 1, 0, X.DOMID_SELF);
  for (const used of [mfn, mm.allocateSharedPage(), guest.l1, machine.table.m2p.firstFrame]) {
    memory.write64(at + 256, used, 0);
    assert.equal(guest.vcpu.call(memoryOp, X.XENMEM_exchange, at), -X.XEN_EINVAL);
  }
  machine.assertSound();
});

/** Lists for an exchange of `mfns`, one by one: at `at`, with the lists behind it. */
function exchangeOneByOne(guest: TestGuest, mfns: readonly number[]): number {
  const { guest: memory } = guest.vcpu;
  const at = guest.scratch();
  writeReservation(guest, at, at + 256, mfns.length, 0, X.DOMID_SELF);
  writeReservation(guest, at + 32, at + 512, mfns.length, 0, X.DOMID_SELF);
  memory.write64(at + 64, 0, 0);
  for (const [i, mfn] of mfns.entries()) {
    memory.write64(at + 256 + i * 8, mfn, 0);
    memory.write64(at + 512 + i * 8, 0x500 + i, 0);
  }
  return at;
}

test('a long exchange stops halfway and goes on; one that fails tells how far it came', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { vcpu } = guest;
  const pages = [guest.unmapped(), guest.unmapped(), guest.unmapped(), guest.unmapped()];
  const at = exchangeOneByOne(guest, pages);
  const exchanged = () => vcpu.guest.readNumber64(at + 64);
  vcpu.patience = 1;
  assert.equal(vcpu.call(memoryOp, X.XENMEM_exchange, at), CONTINUE);
  assert.equal(exchanged(), 2);
  vcpu.patience = 100;
  assert.equal(memoryOp(vcpu, vcpu.args), 0);
  assert.equal(exchanged(), 4);
  const fresh = [0, 1, 2, 3].map((i) => vcpu.guest.readNumber64(at + 512 + i * 8));
  for (const [i, mfn] of fresh.entries()) assert.equal(machine.table.m2p.low(mfn), 0x500 + i);
  machine.assertSound();
  assert.equal(vcpu.call(memoryOp, X.XENMEM_exchange, at), 0, 'there is nothing left to do');
  assert.deepEqual(
    [0, 1, 2, 3].map((i) => vcpu.guest.readNumber64(at + 512 + i * 8)),
    fresh,
  );
  exchangeOneByOne(guest, [fresh[0]!, fresh[1]!, guest.l1, fresh[2]!]);
  assert.equal(vcpu.call(memoryOp, X.XENMEM_exchange, at), -X.XEN_EINVAL);
  assert.equal(exchanged(), 2);
  machine.assertSound();
});

test('exchange wants its two lists to be of one domain, and no more done than there is', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { guest: memory } = guest.vcpu;
  const at = exchangeOneByOne(guest, [guest.unmapped()]);
  const call = () => guest.vcpu.call(memoryOp, X.XENMEM_exchange, at);
  memory.write64(at + 64, 2, 0);
  assert.equal(call(), -X.XEN_EINVAL);
  memory.write64(at + 64, 0, 0);
  memory.write32(at + 32 + 24, 1);
  assert.equal(call(), -X.XEN_EINVAL);
  memory.write32(at + 24, 1);
  assert.equal(call(), 0, 'one’s own number will do');
  assert.equal(guest.vcpu.call(memoryOp, X.XENMEM_exchange + (1 << 6), at), -X.XEN_EINVAL, 'it has no start');
});

test('an exchange for which there is no room leaves the guest its pages, and the machine its own', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { guest: memory } = guest.vcpu;
  const { heap } = machine;
  assert.equal(reserve(guest, X.XENMEM_populate_physmap, [0x100], 3), 1);
  const [first] = list(guest, 1) as [number];
  // Of the rest of the machine four neighbours are left, and eight are wanted.
  const taken = new Set<number>();
  for (let mfn = heap.tryAllocate(); mfn !== 0; mfn = heap.tryAllocate()) taken.add(mfn);
  const isQuad = (mfn: number) => mfn % 4 === 0 && [1, 2, 3].every((i) => taken.has(mfn + i));
  const quad = [...taken].find(isQuad)!;
  for (let i = 0; i < 4; i++) {
    taken.delete(quad + i);
    heap.free(quad + i);
  }
  const at = guest.scratch();
  writeReservation(guest, at, at + 256, 1, 3, X.DOMID_SELF);
  writeReservation(guest, at + 32, at + 512, 2, 2, X.DOMID_SELF);
  memory.write64(at + 64, 0, 0);
  memory.write64(at + 256, first, 0);
  assert.equal(guest.vcpu.call(memoryOp, X.XENMEM_exchange, at), -X.XEN_ENOMEM);
  assert.equal(heap.available, 4);
  for (let i = 0; i < 8; i++) {
    assert.equal(guest.domain.mm.getPage(first + i), true);
    guest.domain.mm.putPage(first + i);
  }
  for (const mfn of taken) heap.free(mfn);
  machine.assertSound();
});

test('questions about reservations are answered for the caller and refused for others', () => {
  const machine = TestMachine.create();
  machine.guest(2);
  const guest = machine.guest(1);
  const ask = (op: number, domid: number) => {
    guest.vcpu.guest.write32(guest.scratch(), domid);
    return guest.vcpu.call(memoryOp, op, guest.scratch());
  };
  for (const domid of [X.DOMID_SELF, 1]) {
    assert.equal(ask(X.XENMEM_current_reservation, domid), 64);
    assert.equal(ask(X.XENMEM_maximum_reservation, domid), 128);
    assert.equal(ask(X.XENMEM_maximum_gpfn, domid), 0);
  }
  const shared = guest.domain.mm.allocateSharedPage();
  guest.domain.sharedInfo = shared * 4096;
  assert.equal(ask(X.XENMEM_maximum_gpfn, 1), 0, 'the guest has said nothing yet');
  machine.memory.write64(guest.domain.sharedInfo + shared_info.x64.offset.arch_max_pfn, 0x1000, 1);
  assert.equal(ask(X.XENMEM_maximum_gpfn, 1), 0x1_0000_0fff);
  assert.equal(ask(X.XENMEM_current_reservation, 2), -X.XEN_EPERM);
  assert.equal(ask(X.XENMEM_current_reservation, 0), -X.XEN_EPERM, 'domain 0 is always there');
  assert.equal(ask(X.XENMEM_current_reservation, 9), -X.XEN_ESRCH);
  assert.equal(ask(X.XENMEM_maximum_ram_page, 0), machine.table.frames);
});

test('the M2P’s place and frames are told', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { guest: memory } = guest.vcpu;
  const at = guest.scratch();
  assert.equal(guest.vcpu.call(memoryOp, X.XENMEM_machphys_mapping, at), 0);
  assert.equal(memory.readNumber64(at), -0x800000000000);
  assert.equal(memory.readNumber64(at + 8), -0x7fc000000000);
  assert.equal(memory.readNumber64(at + 16), 0x7ffffffff);
  memory.write32(at, 16);
  memory.write64(at + 8, at + 256, 0);
  assert.equal(guest.vcpu.call(memoryOp, X.XENMEM_machphys_mfn_list, at), 0);
  assert.equal(memory.read32(at + 16), 1);
  assert.equal(memory.readNumber64(at + 256), machine.table.m2p.firstFrame);
  memory.write32(at, 0);
  memory.write64(at + 256, 77, 0);
  assert.equal(guest.vcpu.call(memoryOp, X.XENMEM_machphys_mfn_list, at), 0);
  assert.deepEqual(
    [memory.read32(at + 16), memory.read32(at + 256)],
    [0, 77],
    'no more than there is room for',
  );
});

test('what a PV domain without privilege may not do is refused as Xen refuses it', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { guest: memory } = guest.vcpu;
  const at = guest.scratch();
  const call = (op: number) => guest.vcpu.call(memoryOp, op, at);
  assert.equal(call(X.XENMEM_memory_map), -X.XEN_ENOSYS);
  memory.write32(at, X.DOMID_SELF);
  memory.write32(at + 4, X.XENMAPSPACE_shared_info);
  assert.equal(call(X.XENMEM_add_to_physmap), -X.XEN_EACCES);
  assert.equal(call(X.XENMEM_remove_from_physmap), -X.XEN_EACCES);
  memory.write32(at + 4, X.XENMAPSPACE_gmfn_foreign);
  assert.equal(call(X.XENMEM_add_to_physmap), -X.XEN_ENOSYS);
  memory.write32(at, 77);
  assert.equal(call(X.XENMEM_remove_from_physmap), -X.XEN_ESRCH);
  for (const op of [X.XENMEM_maximum_ram_page, X.XENMEM_current_reservation, X.XENMEM_get_vnumainfo]) {
    assert.equal(call(op + (1 << 6)), -X.XEN_EINVAL, 'it has no start');
  }
  assert.equal(call(X.XENMEM_machine_memory_map), -X.XEN_EPERM);
  assert.equal(call(8), -X.XEN_ENOSYS);
  assert.equal(reserve(guest, X.XENMEM_populate_physmap, [1], 0, 77), 0, 'a domain that does not exist');
  assert.ok(memory.tryHost(at, true) !== 0);
});

test('no domain gets at the resources of another, nor at its own by that way', () => {
  const machine = TestMachine.create();
  machine.guest(2);
  const guest = machine.guest(1);
  const { guest: memory } = guest.vcpu;
  const at = guest.scratch();
  const acquire = (domid: number, pad = 0, frame: readonly [number, number] = [0, 0]) => {
    const { domid: domidAt, pad: padAt, frame: frameAt, nr_frames } = xen_mem_acquire_resource.x64.offset;
    memory.write32(at + domidAt, domid);
    memory.write32(at + nr_frames, 1);
    memory.write32(at + padAt, pad);
    memory.write64(at + frameAt, frame[0], frame[1]);
    return guest.vcpu.call(memoryOp, X.XENMEM_acquire_resource, at);
  };
  for (const domid of [0, 1, 2]) assert.equal(acquire(domid), -X.XEN_EPERM);
  for (const domid of [99, X.DOMID_SELF]) assert.equal(acquire(domid), -X.XEN_ESRCH);
  assert.equal(acquire(99, 1), -X.XEN_EINVAL);
  assert.equal(acquire(99, 0, [0, 1]), -X.XEN_EINVAL);
  assert.equal(acquire(99, 0, [-1, 0]), -X.XEN_EINVAL, 'more frames than can be counted');
  assert.throws(() => guest.vcpu.call(memoryOp, X.XENMEM_acquire_resource, 0x1000), GuestFault);
});

test('a domain is told the memory map that it was given, as far as it has room', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { guest: memory } = guest.vcpu;
  const at = guest.scratch();
  const call = () => guest.vcpu.call(memoryOp, X.XENMEM_memory_map, at);
  const ask = (entries: number, buffer: number) => {
    memory.write32(at, entries);
    memory.write64(at + 8, buffer, Math.floor(buffer / 2 ** 32));
  };
  ask(8, at + 256);
  assert.equal(call(), -X.XEN_ENOSYS, 'there is none');
  guest.domain.mm.memoryMap = [
    { start: 0, bytes: 0xa0000, type: 1 },
    { start: 0x1_0000_0000, bytes: 0x2_3456_7000, type: 2 },
  ];
  assert.equal(call(), 0);
  assert.equal(memory.read32(at), 2);
  const words = Array.from({ length: 10 }, (_, i) => memory.read32(at + 256 + i * 4));
  assert.deepEqual(words, [0, 0, 0xa0000, 0, 1, 0, 1, 0x3456_7000, 2, 2]);
  memory.write32(at + 256 + 20, 77);
  ask(1, at + 256);
  assert.equal(call(), 0);
  assert.deepEqual(
    [memory.read32(at), memory.read32(at + 256 + 20)],
    [1, 77],
    'no more than there is room for',
  );
  ask(0, at + 256);
  assert.equal(call(), 0);
  assert.equal(memory.read32(at), 0);
  ask(8, -0x8000_0000_0000);
  assert.equal(call(), -X.XEN_EFAULT, 'a buffer of the hypervisor');
  ask(8, 0x1000);
  assert.throws(call, GuestFault, 'a buffer that is not there');
  assert.equal(memory.read32(at), 8);
});

test("a memory map is checked before it is anybody's", () => {
  const ram = { start: 0, bytes: 4096, type: 1 };
  assert.equal(memoryMapProblem([ram, { start: 4096, bytes: 1, type: 5 }]), undefined);
  const many = (count: number) => Array.from({ length: count }, (_, i) => ({ ...ram, start: i * 4096 }));
  assert.equal(memoryMapProblem(many(128)), undefined);
  for (const [map, problem] of [
    [many(129), /at most 128 entries, found 129/],
    [[ram, ram], /entry 1 of the memory map to begin at 4096 or later, found 0/],
    [[{ ...ram, start: -1 }], /begin at 0 or later, found -1/],
    [[{ ...ram, start: 0.5 }], /found 0.5/],
    [[{ ...ram, bytes: 0 }], /positive number of bytes, found 0/],
    [[{ ...ram, start: 2 ** 53 - 1 }], /number of bytes/],
    [[{ ...ram, type: 6 }], /type 1 to 5, found 6/],
  ] as const)
    assert.match(memoryMapProblem(map)!, problem);
});

test('frames shared by Xen outlive their release as long as the guest maps them', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { mm } = guest.domain;
  const [shared, readOnly] = [mm.allocateSharedPage(), mm.allocateSharedPage(true)];
  const { gva } = guest.page();
  assert.notEqual(guest.map(gva, entry(readOnly, DATA)), 0);
  assert.equal(guest.map(gva, entry(readOnly, DATA & ~2)), 0);
  assert.equal(guest.map(gva, entry(shared, DATA)), 0);
  assert.notEqual(mm.pinTable(shared, 1), 0);
  assert.equal(mm.removePage(shared), -X.XEN_EINVAL, 'they are not the guest’s to give back');
  machine.assertSound();
  mm.releaseSharedPage(shared);
  assert.equal(machine.heap.isFree(shared), false);
  assert.equal(guest.map(gva, NONE), 0);
  assert.equal(machine.heap.isFree(shared), true);
  machine.assertSound();
  mm.release();
  machine.assertAllFree();
});

test('long lists of extents stop halfway, and go on where they stopped when the call is issued again', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { vcpu } = guest;
  vcpu.patience = 1;
  assert.equal(reserve(guest, X.XENMEM_populate_physmap, [1, 2, 3, 4]), CONTINUE);
  assert.equal(vcpu.args.number(0), X.XENMEM_populate_physmap + (2 << 6));
  vcpu.patience = 100;
  assert.equal(memoryOp(vcpu, vcpu.args), 4);
  const mfns = list(guest, 4);
  for (const [i, mfn] of mfns.entries()) assert.equal(machine.table.m2p.low(mfn), i + 1);
  vcpu.patience = 2;
  assert.equal(reserve(guest, X.XENMEM_decrease_reservation, mfns), CONTINUE);
  assert.equal(memoryOp(vcpu, vcpu.args), 4);
  assert.equal(guest.domain.totPages, 64);
  machine.assertSound();
});
