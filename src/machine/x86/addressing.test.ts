/** Addresses that no vector can reach on a processor under an operating system: segment bases, 16 bits, wrap-around. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CS, DS, ES, FS, GS, RAX, RBP, RBX, RCX, RDI, RSI, RSP, SS } from './registers.ts';
import { PAGE_RW, TestMachine } from './testing/machine.ts';

const CODE = 0x400000;
const INT3 = { exit: 'interrupt', vector: 3 };

async function machineWithCode(hex: string, long = true): Promise<TestMachine> {
  const m = await TestMachine.create();
  m.mapNew(CODE, PAGE_RW);
  m.code(CODE, hex);
  if (!long) {
    m.cpu.setSegment(CS, 0x23, 0xc0fb, 0xffffffff, 0);
    for (const segment of [ES, SS, DS]) m.cpu.setSegment(segment, 0x2b, 0xc0f3, 0xffffffff, 0);
  }
  return m;
}

/** Stores `value` (32 bits) behind a mapped address. */
function poke(m: TestMachine, gva: number, value: number): void {
  for (let i = 0; i < 4; i++) m.memory.write8(m.physical(gva + i), (value >>> (8 * i)) & 0xff);
}

// ------------------------------------------------------------------ 64-bit mode

test('FS and GS add their 64-bit bases, other segments none', async () => {
  const base = -0x780000000000; // 0xffff880000000000
  const m = await machineWithCode('65 8b 04 25 10 00 00 00 64 8b 4c 9b 04 36 8b 13 cc');
  m.mapNew(base, PAGE_RW);
  m.mapNew(0x500000, PAGE_RW);
  poke(m, base + 0x10, 0x11111111);
  poke(m, base + 0x100 + 5 * 8 + 4, 0x22222222);
  poke(m, 0x500000, 0x33333333);
  m.cpu.setSegmentBase(GS, 0, 0xffff8800 | 0);
  m.cpu.setSegmentBase(FS, 0x100, 0xffff8800 | 0);
  m.cpu.setSegment(SS, 0x2b, 0xc0f3, 0xffffffff, 0x12345000);
  m.cpu.setRegNumber(RBX, 8);
  assert.equal(m.run(CODE, 2).exit, 'budget');
  assert.deepEqual([m.cpu.reg(RAX), m.cpu.reg(RCX)], [0x11111111, 0x22222222]);
  m.cpu.setRegNumber(RBX, 0x500000);
  assert.deepEqual(m.run(), INT3);
  assert.equal(m.cpu.reg(2), 0x33333333);
});

test('an address-size prefix cuts the offset before the base is added', async () => {
  const base = -0x780000000000;
  const m = await machineWithCode('65 67 8b 43 fc cc'); // mov eax, gs:[ebx-4]
  m.mapNew(base + 0xfffff000, PAGE_RW);
  poke(m, base + 0xfffffff0, 0x7654321);
  m.cpu.setSegmentBase(GS, 0, 0xffff8800 | 0);
  m.cpu.setReg(RBX, -12, 0x1234);
  assert.deepEqual(m.run(CODE), INT3);
  assert.equal(m.cpu.reg(RAX), 0x7654321);
});

test('string instructions take the source from FS or GS and the target from a flat ES', async () => {
  const m = await machineWithCode('65 a5 cc'); // movs dword es:[rdi], gs:[rsi]
  m.mapNew(0x500000, PAGE_RW, 2);
  poke(m, 0x500040, 0xabcdef);
  m.cpu.setSegmentBase(GS, 0x500000, 0);
  m.cpu.setSegment(ES, 0x2b, 0xc0f3, 0xffffffff, 0x777000);
  m.cpu.setRegNumber(RSI, 0x40);
  m.cpu.setRegNumber(RDI, 0x501000);
  assert.deepEqual(m.run(CODE), INT3);
  assert.equal(m.bytes(0x501000, 4), 'ef cd ab 00');
});

// ------------------------------------------------------------------ compatibility mode

test('segments have bases in compatibility mode, and addresses wrap at four gibibytes', async () => {
  const m = await machineWithCode('8b 03 8b 4d 00 26 8b 13 cc', false); // eax ← ds:[ebx], ecx ← ss:[ebp], edx ← es:[ebx]
  m.mapNew(0x500000, PAGE_RW, 3);
  poke(m, 0x500010, 1);
  poke(m, 0x501010, 2);
  poke(m, 0x502010, 3);
  m.cpu.setSegment(DS, 0x2b, 0xc0f3, 0xffffffff, 0x10000000);
  m.cpu.setSegment(SS, 0x2b, 0xc0f3, 0xffffffff, 0x10001000);
  m.cpu.setSegment(ES, 0x2b, 0xc0f3, 0xffffffff, 0x10002000);
  m.cpu.setReg(RBX, 0xf0500010 | 0, 0);
  m.cpu.setReg(RBP, 0xf0500010 | 0, 0);
  assert.deepEqual(m.run(CODE), INT3);
  assert.deepEqual([m.cpu.reg(RAX), m.cpu.reg(RCX), m.cpu.reg(2)], [1, 2, 3]);
});

test('an operand may lie across the end of the four gibibytes, where its offset in the segment does not', async () => {
  const m = await machineWithCode('8b 03 89 4b 01 cc', false); // mov eax, [ebx]; mov [ebx+1], ecx
  m.mapNew(0, PAGE_RW);
  m.mapNew(0xfffff000, PAGE_RW);
  m.code(0xfffffffe, '11 22');
  m.code(0, '33 44 55');
  m.cpu.setReg(RCX, 0xddccbbaa | 0, 0);
  m.cpu.setReg(RBX, -2, 0);
  assert.deepEqual(m.run(CODE), { exit: 'exception', vector: 13, error: 0 });
  m.cpu.setSegment(DS, 7, 0xc0f3, 0xffffffff, 16);
  m.cpu.setReg(RBX, -18, 0);
  assert.deepEqual(m.run(CODE), INT3);
  assert.equal(m.cpu.reg(RAX), 0x44332211);
  assert.equal(m.bytes(0xfffffffe, 2), '11 aa');
  assert.equal(m.bytes(0, 4), 'bb cc dd 00');
});

test('16-bit addresses have their own registers, and wrap at 64 KiB', async () => {
  // mov al, [rm] with each of the eight forms; the registers point at distinct bytes.
  const forms: readonly (readonly [string, number])[] = [
    ['67 8a 00', 0x100 + 0x30], // [bx+si]
    ['67 8a 01', 0x100 + 0x40], // [bx+di]
    ['67 8a 02', 0x200 + 0x30], // [bp+si]
    ['67 8a 03', 0x200 + 0x40], // [bp+di]
    ['67 8a 04', 0x30], // [si]
    ['67 8a 05', 0x40], // [di]
    ['67 8a 06 34 02', 0x234], // [0x234]
    ['67 8a 07', 0x100], // [bx]
    ['67 8a 46 10', 0x210], // [bp+16]
    ['67 8a 87 f8 ff', 0xf8], // [bx-8]
    ['67 8a 84 00 f0', 0xf030], // [si+0xf000]
    ['67 8a 80 e0 ff', 0x110], // [bx+si-32]
  ];
  for (const [code, offset] of forms) {
    const m = await machineWithCode(`${code} cc`, false);
    m.mapNew(0x500000, PAGE_RW, 16);
    m.memory.write8(m.physical(0x500000 + offset), 0x77);
    for (const segment of [SS, DS]) m.cpu.setSegment(segment, 0x2b, 0xc0f3, 0xffffffff, 0x500000);
    m.cpu.setReg(RBX, 0x12340100, 0);
    m.cpu.setReg(RBP, 0x56780200, 0);
    m.cpu.setReg(RSI, 0x30, 0);
    m.cpu.setReg(RDI, 0x40, 0);
    m.cpu.setRegNumber(RAX, 0);
    assert.deepEqual(m.run(CODE), INT3, code);
    assert.equal(m.cpu.reg(RAX), 0x77, code);
  }
});

test('string instructions and loops count 16 bits with a 16-bit address size', async () => {
  const m = await machineWithCode('67 f3 a4 67 e3 01 cc 90 b9 02 00 05 00 40 67 e2 fc cc', false);
  // rep movsb with si, di, cx; jcxz over int3; mov ecx, 0x50002; again: inc eax; loop again with cx
  m.mapNew(0x500000, PAGE_RW, 16);
  for (const segment of [ES, DS]) m.cpu.setSegment(segment, 0x2b, 0xc0f3, 0xffffffff, 0x500000);
  m.code(0x50fffe, 'aa bb');
  m.code(0x500000, 'cc');
  m.cpu.setReg(RSI, 0x1234fffe, 0);
  m.cpu.setReg(RDI, 0x43210100, 0);
  m.cpu.setReg(RCX, 0x70003, 0);
  m.cpu.setRegNumber(RAX, 0);
  assert.deepEqual(m.run(CODE), INT3);
  assert.equal(m.bytes(0x500100, 4), 'aa bb cc 00');
  assert.deepEqual([m.cpu.reg(RSI), m.cpu.reg(RDI)], [0x12340001, 0x43210103]);
  assert.deepEqual([m.cpu.reg(RCX), m.cpu.reg(RAX), m.cpu.rip], [0x50000, 2, CODE + 18]);
});

test('a near branch with a 16-bit operand size stays in the first 64 KiB', async () => {
  for (const [code, target] of [
    ['66 e9 fc 0f', 0x3000], // jmp
    ['66 eb 7d', 0x2080], // jmp
    ['66 e8 fc 0f', 0x3000], // call
    ['66 0f 84 fb 0f', 0x3000], // jz
    ['66 ff e3', 0x3000], // jmp bx
    ['66 c3', 0x3000], // ret
  ] as const) {
    const m = await machineWithCode('cc', false);
    m.mapNew(0x2000, PAGE_RW, 2);
    m.code(0x2000, code);
    m.code(target, 'cc');
    m.mapNew(0x500000, PAGE_RW);
    m.code(0x500800, '00 30');
    m.cpu.setReg(RSP, 0x500800, 0);
    m.cpu.setReg(RBX, 0x773000, 0);
    m.cpu.rflags |= 0x40;
    assert.deepEqual(m.run(0x2000), INT3, code);
    assert.equal(m.cpu.rip, target + 1, code);
  }
  // A 16-bit jump out of the upper part of the address space loses its upper half.
  const m = await machineWithCode('66 eb 10', false);
  m.mapNew(0, PAGE_RW);
  m.code(0x13, 'cc');
  assert.deepEqual(m.run(CODE), INT3);
  assert.equal(m.cpu.rip, 0x14);
});

test('the stack pointer has 32 bits in compatibility mode', async () => {
  const m = await machineWithCode('50 59 e8 00 00 00 00 c2 08 00 cc', false); // push eax; pop ecx; call next; ret 8 …
  m.mapNew(0x500000, PAGE_RW);
  m.cpu.setReg(RSP, 0x500100, -1);
  m.cpu.setRegNumber(RAX, 0x5a5a);
  assert.equal(m.run(CODE, 3).exit, 'budget');
  assert.deepEqual([m.cpu.reg(RCX), m.cpu.reg(RSP)], [0x5a5a, 0x5000fc]);
  assert.equal(m.bytes(0x5000fc, 4), '07 00 40 00');
  assert.equal(m.run(undefined, 1).exit, 'budget');
  assert.deepEqual([m.cpu.rip, m.cpu.reg(RSP)], [CODE + 7, 0x500108]);
});
