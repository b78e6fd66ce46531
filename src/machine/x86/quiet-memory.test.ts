import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PAGE_SIZE } from '../memory.ts';
import { QuietMemory } from './quiet-memory.ts';
import { PAGE_NX, PAGE_RO, PAGE_RW, TestMachine } from './testing/machine.ts';

const DATA = 0x600000;
const HIGH = -0x7f000000;
const PSE = 0x80;

/** Two pages that follow one another in the address space only. */
async function machine(): Promise<TestMachine> {
  const m = await TestMachine.create();
  const last = m.frame();
  m.map(DATA, m.frame(), PAGE_RO);
  m.map(DATA + PAGE_SIZE, last, PAGE_RW);
  m.mapNew(HIGH, PAGE_RO | PAGE_NX);
  m.memory.write32(m.physical(DATA) + PAGE_SIZE - 4, 0x11223344);
  m.memory.write32(m.physical(DATA + PAGE_SIZE), 0x7ffffffe);
  return m;
}

test('reads what page tables lead to, across pages and in both halves, and leaves no trace', async () => {
  const m = await machine();
  const { memory } = m;
  memory.write64(m.physical(HIGH), -0x7f000000 | 0, -1);
  const before = memory.u8.slice();
  const quiet = new QuietMemory(m.cpu);
  assert.equal(quiet.host(DATA + 5), memory.host(m.physical(DATA)) + 5);
  assert.equal(quiet.half(DATA + PAGE_SIZE - 1), 0xfe11);
  assert.equal(quiet.word(HIGH), -0x7f000000);
  const bytes = new Uint8Array(6);
  assert.equal(quiet.read(DATA + PAGE_SIZE - 4, bytes), true);
  assert.deepEqual([...bytes], [0x44, 0x33, 0x22, 0x11, 0xfe, 0xff]);
  assert.deepEqual(memory.u8, before);
  assert.equal(m.used(DATA), '');
});

test('says so where nothing is mapped', async () => {
  const m = await machine();
  const quiet = new QuietMemory(m.cpu);
  for (const address of [0, DATA - 1, DATA + 2 * PAGE_SIZE, 2 ** 47, -(2 ** 48), 2 ** 60, Number.NaN]) {
    assert.equal(quiet.host(address), 0, `${address}`);
    assert.equal(quiet.word(address), Number.NaN);
    assert.equal(quiet.half(address), Number.NaN);
    assert.equal(quiet.read(address, new Uint8Array(1)), false);
  }
  assert.equal(quiet.word(DATA + 2 * PAGE_SIZE - 4), Number.NaN, 'half of it is missing');
  assert.equal(quiet.word(DATA + PAGE_SIZE - 4), Number.NaN, 'no 53-bit number');
});

test('large pages are followed, and tables outside of memory are not', async () => {
  const m = await machine();
  const large = 0x40000000;
  m.memory.write64(m.entry(large, 2), 0x200000 | PAGE_RO | PSE, 0);
  m.memory.write32(0x200000 + 0x5678, 77);
  assert.equal(new QuietMemory(m.cpu).half(large + 0x5678), 77);
  m.memory.write64(m.entry(large, 2), 0x200000 | PAGE_RO, 1);
  assert.equal(new QuietMemory(m.cpu).host(large), 0);
  m.memory.write64(m.entry(large, 3), PAGE_RO | PSE, 0);
  assert.equal(new QuietMemory(m.cpu).host(large), 0);
  assert.equal(new QuietMemory(m.cpu, 2 ** 50).host(DATA), 0);
});
