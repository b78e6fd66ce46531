import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as X from '../../abi/xen/numbers/index.ts';
import { CONTINUE } from '../hypercalls/dispatch.ts';
import { mmuextOp } from './mmuext-op.ts';
import { DATA, entry, GUEST_BASE, NX, P, RW, TABLE, TestMachine, USER } from './testing/machine.ts';

const NONE = { low: 0, high: 0 };
/** 0xffff800000000000: the read-only M2P. */
const M2P: number = -0x800000000000;

test('a live root stays a root when it is unpinned, and ceases to be one when it is left', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  assert.equal(guest.extended(X.MMUEXT_UNPIN_TABLE, guest.l4), 0);
  machine.assertSound();
  // Still loaded: its tables are not writable.
  const { gva } = guest.page();
  assert.notEqual(guest.map(gva, entry(guest.l1, DATA)), 0);
  const root = guest.emptyTable();
  machine.write(root, 0, entry(guest.l3, TABLE));
  assert.equal(guest.extended(X.MMUEXT_NEW_BASEPTR, root), 0);
  assert.equal(guest.vcpu.kernelTable, root);
  assert.equal(machine.processor.cpu.cr3, root * 4096);
  machine.assertSound();
  // The old root is nobody's now, and may be anything.
  assert.equal(guest.map(GUEST_BASE, entry(guest.l4, DATA)), 0);
  machine.assertSound();
});

test('only a frame that is a valid root can be loaded', () => {
  const machine = TestMachine.create();
  const other = machine.guest(2);
  const guest = machine.guest(1);
  for (const mfn of [guest.l3, guest.page().mfn, other.l4, 0, 0xfffffff]) {
    assert.equal(guest.extended(X.MMUEXT_NEW_BASEPTR, mfn), -X.XEN_EINVAL);
  }
  assert.equal(guest.vcpu.kernelTable, guest.l4);
  machine.assertSound();
});

test('the user root is checked, counted and can be taken away', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const root = guest.emptyTable();
  assert.equal(guest.extended(X.MMUEXT_NEW_USER_BASEPTR, guest.l1), -X.XEN_EINVAL);
  assert.equal(guest.extended(X.MMUEXT_NEW_USER_BASEPTR, root), 0);
  assert.equal(guest.extended(X.MMUEXT_NEW_USER_BASEPTR, root), 0);
  assert.equal(guest.vcpu.userTable, root);
  machine.assertSound();
  assert.equal(guest.extended(X.MMUEXT_NEW_USER_BASEPTR, 0), 0);
  assert.equal(guest.vcpu.userTable, 0);
  machine.assertSound();
});

test('loading a root shows what has changed in it while it was not loaded', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { gva, mfn, slot } = guest.page();
  const other = guest.page();
  guest.vcpu.guest.write32(gva, 1);
  guest.vcpu.guest.write32(other.gva, 2);
  const root = guest.emptyTable();
  machine.write(root, 0, entry(guest.l3, TABLE));
  assert.equal(guest.extended(X.MMUEXT_NEW_BASEPTR, root), 0);
  assert.equal(guest.update(guest.l1, slot, entry(other.mfn, DATA)), 0);
  assert.equal(guest.extended(X.MMUEXT_NEW_BASEPTR, guest.l4), 0);
  assert.equal(guest.vcpu.guest.read32(gva), 2);
  assert.equal(guest.update(guest.l1, slot, entry(mfn, DATA)), 0);
  assert.equal(guest.extended(X.MMUEXT_NEW_BASEPTR, guest.l4), 0);
  assert.equal(guest.vcpu.guest.read32(gva), 1, 'even if it is the one that is loaded');
  machine.assertSound();
});

test('a frame that was a root and is one again keeps no translations of its first life', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { gva } = guest.page();
  guest.vcpu.guest.write32(gva, 1);
  const root = guest.emptyTable();
  machine.write(root, 0, entry(guest.l3, TABLE));
  assert.equal(guest.extended(X.MMUEXT_NEW_BASEPTR, root), 0);
  guest.vcpu.guest.read32(gva);
  assert.equal(guest.extended(X.MMUEXT_NEW_BASEPTR, guest.l4), 0);
  // `root` has no user left: the guest fills it anew, with an entry for its tables only elsewhere.
  machine.memory.zeroFrame(root);
  machine.write(root, 1, entry(guest.l3, TABLE));
  assert.equal(guest.extended(X.MMUEXT_NEW_BASEPTR, root), 0);
  assert.equal(guest.vcpu.guest.tryHost(gva, false), 0);
  assert.equal(guest.vcpu.guest.read32(gva + 2 ** 39), 1);
});

test('each flush makes changed entries visible, for a bitmap only if it names a vCPU', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const [a, b] = [guest.page(), guest.page()];
  const mask = guest.page().gva;
  guest.vcpu.guest.write32(a.gva, 1);
  guest.vcpu.guest.write32(b.gva, 2);
  guest.vcpu.guest.write64(mask, 1, 0);
  const flushes: [number, number, number][] = [
    [X.MMUEXT_TLB_FLUSH_LOCAL, 0, 0],
    [X.MMUEXT_TLB_FLUSH_ALL, 0, 0],
    [X.MMUEXT_TLB_FLUSH_MULTI, 0, mask],
    [X.MMUEXT_INVLPG_LOCAL, a.gva, 0],
    [X.MMUEXT_INVLPG_ALL, a.gva, 0],
    [X.MMUEXT_INVLPG_MULTI, a.gva, mask],
  ];
  for (const [cmd, arg1, arg2] of flushes) {
    assert.equal(guest.vcpu.guest.read32(a.gva), 1);
    assert.equal(guest.map(a.gva, entry(b.mfn, DATA)), 0);
    assert.equal(guest.extended(cmd, arg1, arg2), 0);
    assert.equal(guest.vcpu.guest.read32(a.gva), 2);
    assert.equal(guest.map(a.gva, entry(a.mfn, DATA)), 0);
    assert.equal(guest.extended(cmd, arg1, arg2), 0);
  }
  assert.equal(
    guest.extended(X.MMUEXT_TLB_FLUSH_MULTI, 0, 0x1000),
    -X.XEN_EINVAL,
    'a bitmap that is not there',
  );
  guest.vcpu.guest.write64(mask, 2, 0);
  assert.equal(guest.vcpu.guest.read32(a.gva), 1);
  assert.equal(guest.map(a.gva, entry(b.mfn, DATA)), 0);
  assert.equal(guest.extended(X.MMUEXT_TLB_FLUSH_MULTI, 0, mask), 0, 'a vCPU that is not there');
  assert.equal(guest.extended(X.MMUEXT_INVLPG_MULTI, a.gva, mask), 0);
  assert.equal(guest.vcpu.guest.read32(a.gva), 1);
});

test('INVLPG drops the translation of one address, a flush all', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const [a, b, c] = [guest.page(), guest.page(), guest.page()];
  const mask = guest.page().gva;
  guest.vcpu.guest.write64(mask, 1, 0);
  const prepare = () => {
    for (const [i, page] of [a, b, c].entries()) {
      assert.equal(guest.map(page.gva, entry(page.mfn, DATA)), 0);
      machine.table.flushLoaded();
      guest.vcpu.guest.write32(page.gva, i);
    }
    for (const page of [a, b]) assert.equal(guest.map(page.gva, entry(c.mfn, DATA)), 0);
  };
  const seen = () => [guest.vcpu.guest.read32(a.gva), guest.vcpu.guest.read32(b.gva)];
  for (const command of [X.MMUEXT_INVLPG_LOCAL, X.MMUEXT_INVLPG_ALL, X.MMUEXT_INVLPG_MULTI]) {
    prepare();
    assert.equal(guest.extended(command, a.gva, mask), 0);
    assert.deepEqual(seen(), [2, 1]);
  }
  for (const command of [X.MMUEXT_TLB_FLUSH_LOCAL, X.MMUEXT_TLB_FLUSH_ALL, X.MMUEXT_TLB_FLUSH_MULTI]) {
    prepare();
    assert.equal(guest.extended(command, 0, mask), 0);
    assert.deepEqual(seen(), [2, 2]);
  }
});

test('a long list of operations stops halfway, and goes on where it stopped when it is issued again', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const pages = [guest.page(), guest.page(), guest.page()];
  const { vcpu } = guest;
  const at = guest.scratch();
  for (const [i, { gva, mfn }] of pages.entries()) {
    vcpu.guest.write32(gva, 1);
    vcpu.guest.write64(at + i * 24, X.MMUEXT_CLEAR_PAGE, 0);
    vcpu.guest.write64(at + i * 24 + 8, mfn, 0);
  }
  const cleared = () => pages.map(({ gva }) => vcpu.guest.read32(gva) === 0);
  vcpu.patience = 1;
  assert.equal(vcpu.call(mmuextOp, at, 3, at + 4088, X.DOMID_SELF), CONTINUE);
  assert.deepEqual(cleared(), [true, true, false]);
  assert.equal(guest.done, 2);
  assert.deepEqual([vcpu.args.gva(0), vcpu.args.u32(1)], [at + 48, 0x80000001]);
  vcpu.patience = 100;
  assert.equal(mmuextOp(vcpu, vcpu.args), 0);
  assert.deepEqual(cleared(), [true, true, true]);
  assert.equal(guest.done, 3);
});

test('operations are read from memory of the guest’s, and the list stops at the first that fails', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { vcpu } = guest;
  const at = guest.scratch();
  assert.equal(vcpu.call(mmuextOp, M2P, 1, 0, X.DOMID_SELF), -X.XEN_EFAULT, 'the M2P is Xen’s');
  assert.equal(vcpu.call(mmuextOp, 0x1000, 1, at + 4088, X.DOMID_SELF), -X.XEN_EFAULT);
  assert.equal(guest.done, 0);
  vcpu.guest.write64(at, X.MMUEXT_TLB_FLUSH_LOCAL, 0);
  vcpu.guest.write64(at + 24, 999, 0);
  assert.equal(vcpu.call(mmuextOp, at, 3, at + 4088, X.DOMID_SELF), -X.XEN_ENOSYS);
  assert.equal(guest.done, 1);
});

test('pages are cleared and copied only if they may be written', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const [a, b] = [guest.page(), guest.page()];
  guest.vcpu.guest.write32(a.gva + 8, 77);
  assert.equal(guest.extended(X.MMUEXT_COPY_PAGE, b.mfn, a.mfn), 0);
  assert.equal(guest.vcpu.guest.read32(b.gva + 8), 77);
  assert.equal(guest.extended(X.MMUEXT_CLEAR_PAGE, a.mfn), 0);
  assert.equal(guest.vcpu.guest.read32(a.gva + 8), 0);
  assert.equal(guest.extended(X.MMUEXT_CLEAR_PAGE, guest.l1), -X.XEN_EINVAL);
  assert.equal(guest.extended(X.MMUEXT_COPY_PAGE, guest.l1, a.mfn), -X.XEN_EINVAL);
  assert.equal(guest.extended(X.MMUEXT_COPY_PAGE, a.mfn, 0xffffff), -X.XEN_EINVAL);
  machine.assertSound();
});

test('an LDT is taken page by page, only from pages fit for descriptors, and given up with the root', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { mm } = guest.domain;
  const { gva, mfn } = guest.page();
  machine.memory.zeroFrame(mfn);
  assert.equal(guest.extended(X.MMUEXT_SET_LDT, gva + 8, 10), -X.XEN_EINVAL, 'not aligned');
  assert.equal(guest.extended(X.MMUEXT_SET_LDT, gva, 8193), -X.XEN_EINVAL, 'too long');
  assert.equal(guest.extended(X.MMUEXT_SET_LDT, M2P, 1), -X.XEN_EINVAL, 'Xen’s');
  assert.equal(guest.extended(X.MMUEXT_SET_LDT, gva, 8192), 0, 'the longest');
  assert.equal(guest.extended(X.MMUEXT_SET_LDT, gva, 600), 0);
  assert.equal(mm.ldtFrame(0, 0), 0, 'the page is mapped writable');
  assert.equal(guest.map(gva, entry(mfn, DATA & ~RW)), 0);
  assert.equal(guest.map(gva, entry(mfn, DATA & ~RW & ~P)), 0);
  assert.equal(mm.ldtFrame(0, 100), 0, 'not present');
  assert.equal(guest.map(gva, entry(mfn, DATA & ~RW)), 0);
  assert.equal(mm.ldtFrame(0, 100), mfn);
  assert.equal(mm.ldtFrame(0, 4088), mfn, 'taken once');
  machine.assertSound();
  assert.equal(guest.extended(X.MMUEXT_SET_LDT, gva, 300), 0);
  assert.equal(mm.ldtFrame(0, 300 * 8), 0, 'beyond the limit');
  assert.equal(mm.ldtFrame(0, 300 * 8 - 1), mfn);
  assert.equal(guest.extended(X.MMUEXT_SET_LDT, gva, 600), 0);
  assert.equal(mm.ldtFrame(0, 100), mfn);
  assert.equal(guest.extended(X.MMUEXT_SET_LDT, gva, 600), 0);
  assert.notEqual(guest.map(gva, entry(mfn, DATA)), 0, 'the same again lets go of nothing');
  assert.equal(guest.extended(X.MMUEXT_SET_LDT, gva + 8, 0), 0, 'where none is does not matter');
  assert.equal(guest.vcpu.ldtBase, 0);
  assert.equal(guest.map(gva, entry(mfn, DATA)), 0);
  machine.assertSound();
});

test('the LDT of a vCPU goes with it', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { gva, mfn } = guest.page();
  machine.memory.zeroFrame(mfn);
  assert.equal(guest.map(gva, entry(mfn, DATA & ~RW)), 0);
  assert.equal(guest.extended(X.MMUEXT_SET_LDT, gva, 512), 0);
  assert.equal(guest.domain.mm.ldtFrame(0, 0), mfn);
  guest.domain.mm.release();
  machine.assertAllFree();
});

test('a new root gives up the LDT, which may lie elsewhere in it', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { gva, mfn } = guest.page();
  machine.memory.zeroFrame(mfn);
  assert.equal(guest.map(gva, entry(mfn, DATA & ~RW)), 0);
  assert.equal(guest.extended(X.MMUEXT_SET_LDT, gva, 512), 0);
  assert.equal(guest.domain.mm.ldtFrame(0, 0), mfn);
  const root = guest.emptyTable();
  machine.write(root, 0, entry(guest.l3, TABLE));
  assert.equal(guest.extended(X.MMUEXT_NEW_BASEPTR, root), 0);
  assert.equal(guest.map(gva, entry(mfn, DATA)), 0, 'the page is no descriptor page any more');
  assert.equal(guest.domain.mm.ldtFrame(0, 0), 0);
  machine.assertSound();
});

test('operations that need devices, that do not exist or that name another domain are refused as Xen refuses them', () => {
  const machine = TestMachine.create();
  machine.guest(2);
  const guest = machine.guest(1);
  assert.equal(guest.extended(X.MMUEXT_FLUSH_CACHE), -X.XEN_EACCES);
  assert.equal(guest.extended(X.MMUEXT_FLUSH_CACHE_GLOBAL), -X.XEN_EINVAL);
  assert.equal(guest.extended(X.MMUEXT_MARK_SUPER), -X.XEN_EOPNOTSUPP);
  assert.equal(guest.extended(X.MMUEXT_UNMARK_SUPER), -X.XEN_EOPNOTSUPP);
  assert.equal(guest.extended(14), -X.XEN_ENOSYS);
  assert.equal(guest.extended(999), -X.XEN_ENOSYS);
  assert.equal(guest.extended(X.MMUEXT_TLB_FLUSH_LOCAL, 0, 0, 2), -X.XEN_EPERM);
  assert.equal(guest.extended(X.MMUEXT_TLB_FLUSH_LOCAL, 0, 0, 3), -X.XEN_ESRCH);
});

test('the M2P can be read by the guest and not written, and its end is not mapped', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { guest: memory } = guest.vcpu;
  for (const [pfn, mfn] of guest.frames.entries()) assert.equal(memory.readNumber64(M2P + mfn * 8), pfn);
  assert.equal(memory.readNumber64(M2P), -1, 'frame 0 is nobody’s');
  assert.equal(memory.readNumber64(M2P + machine.table.m2p.firstFrame * 8), -1);
  assert.equal(memory.tryHost(M2P, true), 0);
  assert.equal(machine.read(guest.l4, 256).high, NX, 'nor executed');
  assert.equal(memory.tryHost(M2P + machine.table.frames * 8, false), 0);
});

test('a vCPU gets both of its first roots or none', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { mm } = guest.domain;
  const root = guest.emptyTable();
  assert.equal(mm.installRoots(guest.vcpu, root), -X.XEN_EPERM, 'it has some');
  mm.releaseVcpu(guest.vcpu);
  assert.equal(mm.installRoots(guest.vcpu, root, guest.l1), -X.XEN_EINVAL);
  assert.deepEqual([guest.vcpu.kernelTable, guest.vcpu.userTable], [0, 0]);
  machine.assertSound();
  assert.equal(mm.installRoots(guest.vcpu, guest.l4, root), 0);
  assert.deepEqual([guest.vcpu.kernelTable, guest.vcpu.userTable], [guest.l4, root]);
  assert.notEqual(machine.read(guest.l4, 256).low, 0, 'the kernel’s shows the M2P');
  machine.assertSound();
  mm.releaseVcpu(guest.vcpu);
  guest.domain.assists.add(X.VMASST_TYPE_m2p_strict);
  assert.equal(mm.installRoots(guest.vcpu, guest.l4, root), 0);
  assert.equal(machine.read(root, 256).low, 0, 'the user’s does not, where the guest is strict');
});

test('a domain that is ending gets no frames, and is forgotten with the last that somebody holds', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { mm } = guest.domain;
  const { mfn } = guest.page();
  assert.equal(mm.getPage(mfn), true);
  mm.release();
  assert.equal(mm.allocatePages(), 0);
  assert.equal(machine.table.domains.has(1), true);
  machine.table.putPage(mfn);
  assert.equal(machine.table.domains.has(1), false);
  machine.assertAllFree();
});

test('a user root shows the M2P unless the guest is strict; then kernel roots show it from the start', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const shown = (root: number) => machine.read(root, 256).low !== 0;
  const [lax, strict] = [guest.emptyTable(), guest.emptyTable()];
  assert.equal(guest.extended(X.MMUEXT_PIN_L4_TABLE, lax), 0);
  assert.equal(shown(lax), false);
  assert.equal(guest.extended(X.MMUEXT_NEW_USER_BASEPTR, lax), 0);
  assert.equal(shown(lax), false);
  guest.domain.assists.add(X.VMASST_TYPE_m2p_strict);
  assert.equal(guest.extended(X.MMUEXT_PIN_L4_TABLE, strict), 0);
  assert.equal(shown(strict), true);
  assert.equal(guest.extended(X.MMUEXT_NEW_USER_BASEPTR, strict), 0);
  assert.equal(shown(strict), false);
  machine.assertSound();
});

test('a root that becomes the user’s in a strict guest shows nothing of the M2P that it showed before', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const root = guest.emptyTable();
  machine.write(root, 0, entry(guest.l3, TABLE));
  assert.equal(guest.extended(X.MMUEXT_NEW_BASEPTR, root), 0);
  assert.notEqual(guest.vcpu.guest.tryHost(M2P, false), 0);
  assert.equal(guest.extended(X.MMUEXT_PIN_L4_TABLE, root), 0);
  assert.equal(guest.extended(X.MMUEXT_NEW_BASEPTR, guest.l4), 0);
  guest.domain.assists.add(X.VMASST_TYPE_m2p_strict);
  assert.equal(guest.extended(X.MMUEXT_NEW_USER_BASEPTR, root), 0);
  machine.processor.loadRoot(root * 4096);
  assert.equal(guest.vcpu.guest.tryHost(M2P, false), 0);
});

test('a page that is mapped after it was given back becomes free with its last mapping', () => {
  const machine = TestMachine.create();
  const guest = machine.guest(1);
  const { gva, mfn } = guest.page();
  assert.equal(guest.domain.mm.removePage(mfn), 0);
  assert.equal(machine.heap.isFree(mfn), false);
  assert.equal(guest.domain.totPages, 64);
  machine.assertSound();
  assert.equal(guest.map(gva, NONE), 0);
  assert.equal(machine.heap.isFree(mfn), true);
  assert.equal(guest.domain.totPages, 63);
  assert.equal(guest.domain.mm.removePage(mfn), -X.XEN_ENXIO);
  machine.assertSound();
  assert.equal(P | USER, 5);
});
