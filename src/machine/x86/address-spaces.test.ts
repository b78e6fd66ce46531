/** TLB banks: address spaces that come and go, tables that change, rings and modes that share pages. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TLB_BANK_COUNT } from '../layout.ts';
import { PAGE_SIZE } from '../memory.ts';
import { CS, RAX, RBX } from './registers.ts';
import { PAGE_NX, PAGE_RO, PAGE_RW, PAGE_SUPERVISOR, TestMachine } from './testing/machine.ts';

const CODE = 0x400000;
/** Not in slot 0 of its table: a change there is not one here. */
const DATA = 0x603000;
const INT3 = { exit: 'interrupt', vector: 3 };

/** mov eax, [rbx]; int3 and, at +8, mov [rbx], eax; int3. */
const LOAD = CODE;
const STORE = CODE + 8;
async function machine(): Promise<TestMachine> {
  const m = await TestMachine.create();
  m.mapNew(CODE, PAGE_RW);
  m.mapNew(DATA, PAGE_RW);
  m.code(CODE, '8b 03 cc 90 90 90 90 90 89 03 cc');
  m.cpu.setRegNumber(RBX, DATA);
  return m;
}

/** A root like the machine's, but with a data page of its own that holds `value`. */
function otherRoot(m: TestMachine, value: number): number {
  const data = m.frame();
  m.memory.write32(data * PAGE_SIZE, value);
  const tables = [m.frame(), m.frame(), m.frame(), m.frame()];
  const copy = (from: number, to: number): void => {
    const page = new Uint8Array(PAGE_SIZE);
    m.memory.readBytes(from, page);
    m.memory.writeBytes(to * PAGE_SIZE, page);
  };
  const old = [4, 3, 2, 1].map((level) => Math.floor(m.entry(DATA, level) / PAGE_SIZE) * PAGE_SIZE);
  for (const [i, from] of old.entries()) copy(from, tables[i]!);
  for (let i = 0; i < 3; i++) {
    const at = m.entry(DATA, 4 - i) % PAGE_SIZE;
    m.memory.write64(tables[i]! * PAGE_SIZE + at, (tables[i + 1]! * PAGE_SIZE) | PAGE_RW, 0);
  }
  m.memory.write64(tables[3]! * PAGE_SIZE + (m.entry(DATA) % PAGE_SIZE), (data * PAGE_SIZE) | PAGE_RW, 0);
  // The code lies in another page table, which the copied directory still names.
  return tables[0]!;
}

test('each address space sees its own page, however many there are', async () => {
  const m = await machine();
  const count = TLB_BANK_COUNT + 20;
  const roots = Array.from({ length: count }, (_, i) => otherRoot(m, 1000 + i));
  for (let round = 0; round < 2; round++) {
    for (const [i, root] of roots.entries()) {
      m.engine.loadRoot(root * PAGE_SIZE);
      assert.deepEqual(m.run(LOAD), INT3);
      assert.equal(m.cpu.reg(RAX), 1000 + i + round * 5000);
      m.cpu.setRegNumber(RAX, 6000 + i);
      assert.deepEqual(m.run(STORE), INT3);
    }
  }
});

test('a table change that is noted is seen when the address space is loaded again', async () => {
  const m = await machine();
  const other = otherRoot(m, 7);
  assert.deepEqual(m.run(STORE), INT3);
  m.engine.loadRoot(other * PAGE_SIZE);
  assert.deepEqual(m.run(LOAD), INT3);
  m.memory.write32(m.entry(DATA), m.memory.read32(m.entry(DATA)) & ~2);
  m.engine.noteTableChange();
  m.engine.loadRoot(m.root * PAGE_SIZE);
  assert.deepEqual(m.run(LOAD), INT3);
  assert.deepEqual(m.run(STORE), { exit: 'exception', vector: 14, error: 7, address: DATA });
});

test('a change to one entry of a table leaves what others cached', async () => {
  const m = await machine();
  const slot = (DATA / PAGE_SIZE) % 512;
  const other = otherRoot(m, 7);
  const reload = (): void => {
    m.engine.loadRoot(other * PAGE_SIZE);
    m.engine.loadRoot(m.root * PAGE_SIZE);
  };
  assert.deepEqual(m.run(STORE), INT3);
  m.memory.write32(m.entry(DATA), m.memory.read32(m.entry(DATA)) & ~2);
  for (let i = 0; i < 512; i++) if (i !== slot) m.engine.noteTableChange(i);
  reload();
  assert.deepEqual(m.run(STORE), INT3, 'nobody said that this entry had changed');
  m.engine.noteTableChange(slot);
  reload();
  assert.equal(m.run(STORE).error, 7);
});

test('more changes than are remembered one by one are all seen', async () => {
  const m = await machine();
  const other = otherRoot(m, 7);
  assert.deepEqual(m.run(STORE), INT3);
  m.engine.loadRoot(other * PAGE_SIZE);
  m.memory.write32(m.entry(DATA), m.memory.read32(m.entry(DATA)) & ~2);
  m.engine.noteTableChange((DATA / PAGE_SIZE) % 512);
  for (let i = 0; i < 5000; i++) m.engine.noteTableChange(0);
  m.engine.loadRoot(m.root * PAGE_SIZE);
  assert.equal(m.run(STORE).error, 7);
});

test('of so many changes as are remembered the first is as good as the last', async () => {
  const m = await machine();
  const other = otherRoot(m, 7);
  const slot = (DATA / PAGE_SIZE) % 512;
  for (const between of [1022, 1023, 1024, 1025]) {
    m.map(DATA, m.physical(DATA) / PAGE_SIZE, PAGE_RW);
    assert.deepEqual(m.run(STORE), INT3);
    m.engine.loadRoot(other * PAGE_SIZE);
    m.memory.write32(m.entry(DATA), m.memory.read32(m.entry(DATA)) & ~2);
    m.engine.noteTableChange(slot);
    for (let i = 0; i < between; i++) m.engine.noteTableChange(0);
    m.engine.loadRoot(m.root * PAGE_SIZE);
    assert.equal(m.run(STORE).error, 7, `${between} changes later`);
  }
});

test('a change to the entry of a page of code is seen where it has run', async () => {
  const m = await machine();
  const other = otherRoot(m, 7);
  assert.deepEqual(m.run(LOAD), INT3);
  m.engine.loadRoot(other * PAGE_SIZE);
  m.memory.write64(m.entry(CODE), m.memory.read32(m.entry(CODE)), 0x80000000 | 0);
  m.engine.noteTableChange((CODE / PAGE_SIZE) % 512);
  m.engine.loadRoot(m.root * PAGE_SIZE);
  assert.deepEqual(m.run(LOAD), { exit: 'exception', vector: 14, error: 0x15, address: LOAD });
});

test('a table that ceases to be a root and becomes one again is not taken for its former self', async () => {
  for (const [ring, error] of [
    [3, 7],
    [0, 3],
  ] as const) {
    const m = await machine();
    m.ring(ring);
    const other = otherRoot(m, 7);
    assert.deepEqual(m.run(STORE), INT3);
    m.memory.write32(m.entry(DATA), m.memory.read32(m.entry(DATA)) & ~2);
    m.engine.loadRoot(other * PAGE_SIZE);
    m.engine.forgetRoot(m.root * PAGE_SIZE);
    m.engine.loadRoot(m.root * PAGE_SIZE);
    assert.equal(m.run(STORE).error, error, `ring ${ring}`);
  }
});

test('after a flush of everything no address space knows anything', async () => {
  const m = await machine();
  const other = otherRoot(m, 7);
  for (const root of [m.root, other]) {
    m.engine.loadRoot(root * PAGE_SIZE);
    assert.deepEqual(m.run(STORE), INT3);
  }
  m.memory.write32(m.entry(DATA), m.memory.read32(m.entry(DATA)) & ~2);
  m.engine.loadRoot(m.root * PAGE_SIZE);
  assert.deepEqual(m.run(STORE), INT3, 'nobody has been told');
  m.engine.invalidateAll();
  assert.equal(m.run(STORE).error, 7);
});

test('a root beyond the memory of its guest is not the table of another that lies there', async () => {
  const m = await machine();
  assert.deepEqual(m.run(LOAD), INT3);
  m.cpu.setPhysicalMemory(m.memory.framesBase, m.root);
  m.engine.loadRoot(m.root * PAGE_SIZE);
  assert.deepEqual(m.run(LOAD), { exit: 'exception', vector: 14, error: 0x1d, address: LOAD });
});

test('a new root knows what the present one has cached of a kernel that they share', async () => {
  const KERNEL = -0x780000000000;
  const ACCESSED = 0x20;
  const m = await machine();
  m.mapNew(KERNEL, PAGE_RW);
  m.cpu.setRegNumber(RBX, KERNEL);
  /** Whether loading a root and then reading the kernel's page needs a walk: only a walk sets the accessed bit. */
  const walks = (root: number): boolean => {
    m.engine.loadRoot(m.root * PAGE_SIZE);
    assert.deepEqual(m.run(LOAD), INT3);
    m.memory.write32(m.entry(KERNEL), m.memory.read32(m.entry(KERNEL)) & ~ACCESSED);
    m.engine.loadRoot(root * PAGE_SIZE);
    assert.deepEqual(m.run(LOAD), INT3);
    return (m.memory.read32(m.entry(KERNEL)) & ACCESSED) !== 0;
  };
  assert.deepEqual(m.run(LOAD), INT3);
  assert.equal(walks(otherRoot(m, 1)), false);

  const unlike = otherRoot(m, 2);
  const at = unlike * PAGE_SIZE + (m.entry(KERNEL, 4) % PAGE_SIZE);
  m.memory.write32(at, m.memory.read32(at) & ~ACCESSED);
  assert.equal(walks(unlike), true, 'the entry of the new root is to say that it was used');

  const late = otherRoot(m, 3);
  m.engine.loadRoot(m.root * PAGE_SIZE);
  m.engine.noteTableChange((m.entry(KERNEL) % PAGE_SIZE) / 8);
  m.memory.write32(m.entry(KERNEL), m.memory.read32(m.entry(KERNEL)) & ~ACCESSED);
  m.engine.loadRoot(late * PAGE_SIZE);
  assert.deepEqual(m.run(LOAD), INT3);
  assert.notEqual(m.memory.read32(m.entry(KERNEL)) & ACCESSED, 0, 'what changed meanwhile is not passed on');
});

test('a new root of ring 3 knows nothing of what ring 0 has cached', async () => {
  const KERNEL = -0x780000000000;
  const m = await machine();
  m.mapNew(KERNEL, PAGE_SUPERVISOR);
  m.cpu.setRegNumber(RBX, KERNEL);
  m.ring(0);
  assert.deepEqual(m.run(STORE), INT3);
  const other = otherRoot(m, 1) * PAGE_SIZE;
  m.cpu.cpl = 3;
  m.engine.forgetRoot(other);
  m.engine.loadRoot(other);
  assert.deepEqual(m.run(LOAD), { exit: 'exception', vector: 14, error: 5, address: KERNEL });
});

test('a new root knows nothing of parts of the upper half that it maps otherwise', async () => {
  const [SHARED, OWN] = [-0x780000000000, -0x680000000000];
  const m = await machine();
  for (const page of [SHARED, OWN]) m.mapNew(page, PAGE_RW);
  for (const page of [SHARED, OWN]) {
    m.code(page, 'b8 01 00 00 00 cc'); // mov eax, 1
    m.cpu.setRegNumber(RBX, page);
    assert.deepEqual(m.run(LOAD), INT3);
    assert.deepEqual(m.run(page), INT3);
  }
  const other = otherRoot(m, 1);
  m.memory.write64(other * PAGE_SIZE + (m.entry(OWN, 4) % PAGE_SIZE), 0, 0);
  m.engine.forgetRoot(other * PAGE_SIZE);
  m.engine.loadRoot(other * PAGE_SIZE);
  assert.deepEqual(m.run(LOAD), { exit: 'exception', vector: 14, error: 4, address: OWN });
  assert.deepEqual(m.run(OWN), { exit: 'exception', vector: 14, error: 0x14, address: OWN });
  assert.deepEqual(m.run(SHARED), INT3);
});

test('a new root that a table beyond 4 GiB would tell apart is another', async () => {
  const KERNEL = -0x780000000000;
  const m = await machine();
  m.mapNew(KERNEL, PAGE_RW);
  m.cpu.setRegNumber(RBX, KERNEL);
  assert.deepEqual(m.run(LOAD), INT3);
  const other = otherRoot(m, 1);
  const at = other * PAGE_SIZE + (m.entry(KERNEL, 4) % PAGE_SIZE);
  m.memory.write64(at, m.memory.read32(at), 1);
  m.engine.forgetRoot(other * PAGE_SIZE);
  m.engine.loadRoot(other * PAGE_SIZE);
  assert.deepEqual(m.run(LOAD), { exit: 'exception', vector: 14, error: 0xd, address: KERNEL });
});

test('where page tables are not watched, INVLPG forgets a large page in both rings', async () => {
  const LARGE = 0x80000000;
  const m = await machine();
  const frames = [512, 513].map((mfn, i) => {
    m.memory.write32(mfn * PAGE_SIZE, i);
    return mfn;
  });
  m.map(LARGE, frames[0]!, PAGE_RW | 0x80, 2);
  m.cpu.setRegNumber(RBX, LARGE + PAGE_SIZE);
  for (const ring of [0, 3]) {
    m.ring(ring);
    assert.deepEqual(m.run(LOAD), INT3);
    assert.equal(m.cpu.reg(RAX), 1);
  }
  m.memory.write64(m.entry(LARGE, 2), 0, 0);
  m.engine.invalidateRegion(LARGE + 0x123456);
  for (const ring of [3, 0]) {
    m.ring(ring);
    assert.equal(m.run(LOAD).vector, 14, `ring ${ring}`);
  }
});

test('invlpg makes a change visible in the address space that is active', async () => {
  const m = await machine();
  assert.deepEqual(m.run(STORE), INT3);
  m.map(DATA, m.physical(DATA) / PAGE_SIZE, PAGE_RO);
  assert.equal(m.run(STORE).error, 7);
  m.map(DATA, m.physical(DATA) / PAGE_SIZE, PAGE_RW);
  assert.deepEqual(m.run(STORE), INT3);
  m.map(CODE, m.physical(CODE) / PAGE_SIZE, PAGE_RO | PAGE_NX);
  assert.deepEqual(m.run(LOAD), { exit: 'exception', vector: 14, error: 0x15, address: LOAD });
});

test('what ring 0 has touched is no more open to ring 3', async () => {
  const m = await machine();
  m.map(DATA, m.physical(DATA) / PAGE_SIZE, PAGE_SUPERVISOR);
  m.ring(0);
  assert.deepEqual(m.run(LOAD), INT3);
  assert.deepEqual(m.run(STORE), INT3);
  m.ring(3);
  assert.equal(m.run(LOAD).error, 5);
  assert.equal(m.run(STORE).error, 7);
});

test('a store through one address space changes code that another has run', async () => {
  const m = await machine();
  const other = otherRoot(m, 0);
  m.code(DATA, 'b0 01 cc');
  m.map(0x700000, m.physical(DATA) / PAGE_SIZE, PAGE_RW);
  m.engine.loadRoot(other * PAGE_SIZE);
  // The other space has the page at 0x700000 too, and writes it before it is code anywhere.
  const shared = m.physical(DATA);
  m.map(0x800000, shared / PAGE_SIZE, PAGE_RW);
  m.cpu.setRegNumber(RBX, 0x700ff0);
  m.engine.loadRoot(m.root * PAGE_SIZE);
  assert.deepEqual(m.run(STORE), INT3);
  m.ring(0);
  assert.deepEqual(m.run(DATA), INT3);
  assert.equal(m.cpu.regLow(RAX) & 0xff, 1);
  m.ring(3);
  m.cpu.setRegNumber(RAX, 0xcc09b0);
  m.cpu.setRegNumber(RBX, 0x700000);
  assert.deepEqual(m.run(STORE), INT3);
  m.ring(0);
  assert.deepEqual(m.run(DATA), INT3);
  assert.equal(m.cpu.regLow(RAX) & 0xff, 9);
});

test('the same bytes are other instructions in the other mode', async () => {
  const m = await machine();
  m.code(CODE, '48 40 cc'); // 64-bit: rex.W, rex, int3; compatibility mode: dec eax, inc eax
  m.code(CODE, '48 ff c0 cc'); // inc rax; or dec eax, inc eax
  for (let i = 0; i < 3; i++) {
    m.cpu.setReg(RAX, -1, 0);
    m.cpu.setSegment(CS, 0x33, 0xa0fb, 0xffffffff, 0);
    assert.deepEqual(m.run(CODE), INT3);
    assert.deepEqual([m.cpu.regLow(RAX), m.cpu.regHigh(RAX)], [0, 1]);
    m.cpu.setReg(RAX, -1, 0);
    m.cpu.setSegment(CS, 0x23, 0xc0fb, 0xffffffff, 0);
    assert.deepEqual(m.run(CODE), INT3);
    assert.deepEqual([m.cpu.regLow(RAX), m.cpu.regHigh(RAX)], [-1, 0]);
  }
});
