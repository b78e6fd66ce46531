import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RAX, RBX, RCX, RDX } from '../machine/x86/registers.ts';
import { CpuidPolicy } from './cpuid.ts';
import { exits } from './testing/fake-processor.ts';
import { handlerOf, hexOf, KERNEL_CODE, XenWorld } from './testing/world.ts';

function query(leaf: number, subleaf = 0, policy = new CpuidPolicy()): number[] {
  policy.query(leaf, subleaf);
  return [...policy.result].map((word) => word >>> 0);
}

function text(words: readonly number[]): string {
  return words
    .map((word) => String.fromCharCode(...[0, 8, 16, 24].map((shift) => (word >>> shift) & 0xff)))
    .join('');
}

const has = (word: number | undefined, bit: number) => ((word! >>> bit) & 1) === 1;

test('the vendor is Intel and the model is 6/0x36', () => {
  const [last, b, c, d] = query(0);
  assert.equal(last, 0x16);
  assert.equal(text([b!, d!, c!]), 'GenuineIntel');
  const [eax] = query(1);
  assert.equal((eax! >> 8) & 0xf, 6);
  assert.equal(((eax! >> 12) & 0xf0) | ((eax! >> 4) & 0xf), 0x36);
});

test('the features are those of x86-64-v2, without XSAVE and AVX', () => {
  const [, , c, d] = query(1);
  const [, , extendedC, extendedD] = query(0x80000001);
  for (const bit of [0, 9, 13, 19, 20, 23, 31]) assert.ok(has(c, bit), `ECX bit ${bit}`);
  for (const bit of [3, 5, 12, 17, 21, 24, 26, 27, 28, 29]) assert.ok(!has(c, bit), `ECX bit ${bit}`);
  for (const bit of [0, 4, 5, 6, 8, 15, 19, 23, 24, 25, 26]) assert.ok(has(d, bit), `EDX bit ${bit}`);
  assert.deepEqual(
    [extendedC, has(extendedD, 11), has(extendedD, 20), has(extendedD, 27), has(extendedD, 29)],
    [1, true, true, true, true],
  );
  assert.deepEqual(query(7), [0, 0, 0, 0]);
  assert.deepEqual(query(0xd), [0, 0, 0, 0]);
});

test('PSE, MTRR, PGE, PSE36, PCID and gigabyte pages are hidden from a PV guest', () => {
  const [, , c, d] = query(1);
  for (const bit of [3, 12, 13, 17]) assert.ok(!has(d, bit), `EDX bit ${bit}`);
  assert.ok(!has(c, 17));
  assert.ok(!has(query(0x80000001)[3], 26));
});

test('the hypervisor leaves say XenVMMXenVMM, version 4.17, PRESERVE_AD and a TSC of nanoseconds', () => {
  const [last, b, c, d] = query(0x40000000);
  assert.equal(last, 0x40000005);
  assert.equal(text([b!, c!, d!]), 'XenVMMXenVMM');
  assert.deepEqual(query(0x40000001), [0x0004_0011, 0, 0, 0]);
  assert.deepEqual(query(0x40000002), [1, 0x40000000, 1, 0]);
  assert.deepEqual(query(0x40000003, 0), [6, 0, 1_000_000, 0]);
  const [, , multiplier, shift] = query(0x40000003, 1);
  assert.equal((2 ** shift! * multiplier!) / 2 ** 32, 1);
  assert.deepEqual(query(0x40000004), [0, 0, 0, 0]);
  assert.deepEqual(query(0x40000006), [0, 0, 0, 0]);
});

test('the PV leaf tells the width of machine addresses', () => {
  assert.equal(query(0x40000005, 0, new CpuidPolicy({ frames: 1 << 17 }))[1], 30);
  assert.equal(query(0x40000005, 1)[1], 0);
});

test('the cache leaf lists three caches and then ends', () => {
  assert.deepEqual(
    [0, 1, 2, 3].map((i) => query(4, i)[0]! & 0x1f),
    [1, 2, 3, 0],
  );
  const [, b, c] = query(4, 2);
  // ways * line * sets
  assert.equal((((b! >>> 22) & 0x3ff) + 1) * ((b! & 0xfff) + 1) * (c! + 1), 1 << 20);
});

test('leaves beyond the last of each range give zeros', () => {
  for (const leaf of [0xb, 0x15, 0x17, 0x20000000, 0x80000009, 0xc0000000, 0xffffffff]) {
    assert.deepEqual(query(leaf), [0, 0, 0, 0]);
  }
});

test('the frequency is told, so that nobody measures it', () => {
  assert.deepEqual(query(0x16), [1000, 1000, 100, 0]);
});

test('the brand string is 48 bytes in three leaves', () => {
  const brand = [2, 3, 4].map((leaf) => text(query(0x80000000 + leaf))).join('');
  assert.match(brand, /^ringone [\x20-\x7e]*\0+$/);
});

test('a native CPUID is answered by the policy, upper halves cleared', () => {
  const world = new XenWorld();
  world.state.setReg(RAX, 0x40000001, -1);
  world.state.setReg(RBX, -1, -1);
  world.state.rip = KERNEL_CODE + 2;
  world.step(exits.cpuid());
  assert.equal(world.register(RAX), hexOf(0x40011));
  assert.equal(world.register(RBX), hexOf(0));
  assert.equal(world.state.rip, KERNEL_CODE + 2);
});

test('the forced CPUID, UD2 and "xen" before it, is answered in either mode', () => {
  const world = new XenWorld();
  world.poke(KERNEL_CODE, 0x0f, 0x0b, 0x78, 0x65, 0x6e, 0x0f, 0xa2);
  world.state.setReg(RAX, 0x40000000, 0);
  world.step(exits.exception(6));
  assert.equal(world.state.rip, KERNEL_CODE + 7);
  assert.equal(
    text([world.state.regLow(RBX), world.state.regLow(RCX), world.state.regLow(RDX)]),
    'XenVMMXenVMM',
  );
});

test('UD2 with anything else behind it is the guest’s', () => {
  for (const bytes of [
    [0x0f, 0x0b, 0x78, 0x65, 0x6f, 0x0f, 0xa2],
    [0x0f, 0x0b, 0x78, 0x65, 0x6e, 0x0f, 0xa3],
  ]) {
    const world = new XenWorld();
    world.setHandlers();
    world.poke(KERNEL_CODE, ...bytes);
    world.step(exits.exception(6));
    assert.equal(world.state.rip, handlerOf(6));
  }
});
