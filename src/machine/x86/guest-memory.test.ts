/** Writes into guest memory on a guest's behalf: whole or not at all, and seen by code that has run. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PAGE_SIZE } from '../memory.ts';
import { GuestFault, GuestMemory } from './guest-memory.ts';
import { RAX } from './registers.ts';
import { PAGE_RO, PAGE_RW, TestMachine } from './testing/machine.ts';

const CODE = 0x400000;
const INT3 = { exit: 'interrupt', vector: 3 };

async function machine(): Promise<{ m: TestMachine; guest: GuestMemory }> {
  const m = await TestMachine.create();
  // The second page does not lie behind the first.
  m.mapNew(CODE + PAGE_SIZE, PAGE_RW);
  m.mapNew(CODE, PAGE_RW);
  return { m, guest: new GuestMemory(m.memory, m.engine) };
}

test('whatever is written over code that has run is what runs next', async () => {
  for (const [name, write] of [
    ['a byte', (guest: GuestMemory, at: number) => guest.write8(at, 2)],
    ['four bytes', (guest: GuestMemory, at: number) => guest.write32(at, 2)],
    ['eight bytes', (guest: GuestMemory, at: number) => guest.write64(at, 2, 0xcc)],
    ['a few bytes', (guest: GuestMemory, at: number) => guest.writeBytes(at, Uint8Array.of(2, 0, 0))],
  ] as const) {
    // In one page; and in two, with the immediate in both.
    for (const at of [CODE + 0x100, CODE + PAGE_SIZE - 2]) {
      const { m, guest } = await machine();
      m.code(at, 'b8 01 00 00 00 90 90 90 cc'); // mov eax, 1
      assert.deepEqual(m.run(at), INT3);
      write(guest, at + 1);
      assert.deepEqual(m.run(at), INT3);
      assert.equal(m.cpu.reg(RAX), 2, `${name} at ${at.toString(16)}`);
    }
  }
});

test('what lies in two pages is written to both or to none, and read from both', async () => {
  const { m, guest } = await machine();
  const at = CODE + PAGE_SIZE - 3;
  guest.write64(at, 0x33221100, 0x77665544);
  assert.equal(m.bytes(at, 8), '00 11 22 33 44 55 66 77');
  assert.equal(guest.readU32(at), 0x33221100);
  assert.equal(guest.read16(at + 2), 0x3322);
  m.map(CODE + PAGE_SIZE, m.physical(CODE + PAGE_SIZE) / PAGE_SIZE, PAGE_RO);
  for (const write of [
    () => guest.write64(at, -1, -1),
    () => guest.write32(at, -1),
    () => guest.writeBytes(at, new Uint8Array(2 * PAGE_SIZE)),
  ]) {
    assert.throws(write, GuestFault);
    assert.equal(m.bytes(at, 8), '00 11 22 33 44 55 66 77');
  }
});
