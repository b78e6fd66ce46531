import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PAGING_LONG, PAGING_NX, PAGING_ON } from '../layout.ts';
import { PAGE_SIZE } from '../memory.ts';
import { RAX, RBP, RBX, RCX, RDI, RSI, RSP } from './registers.ts';
import { PAGE_NX, PAGE_RO, PAGE_RW, PAGE_SUPERVISOR, TestMachine } from './testing/machine.ts';

const CODE = 0x400000;
const DATA = 0x600000;
const INT3 = { exit: 'interrupt', vector: 3 };
const pageFault = (error: number, address: number) => ({ exit: 'exception', vector: 14, error, address });

/** A machine with a page of code and two writable pages of data. */
async function machineWithCode(hex: string): Promise<TestMachine> {
  const machine = await TestMachine.create();
  machine.mapNew(CODE, PAGE_RW, 2);
  machine.mapNew(DATA, PAGE_RW, 2);
  machine.code(CODE, hex);
  machine.cpu.setRegNumber(RBX, DATA);
  machine.cpu.setRegNumber(RSP, DATA + PAGE_SIZE);
  return machine;
}

// ------------------------------------------------------------------ page faults

test('a store that crosses into a missing page leaves nothing behind', async () => {
  const m = await machineWithCode('48 89 43 fc cc'); // mov [rbx-4], rax
  m.unmap(DATA + PAGE_SIZE);
  m.cpu.setRegNumber(RAX, -1);
  m.cpu.setRegNumber(RBX, DATA + PAGE_SIZE);
  assert.deepEqual(m.run(CODE), pageFault(6, DATA + PAGE_SIZE));
  assert.equal(m.cpu.rip, CODE);
  assert.equal(m.bytes(DATA + PAGE_SIZE - 4, 4), '00 00 00 00');
  m.mapNew(DATA + PAGE_SIZE, PAGE_RW);
  assert.deepEqual(m.run(), INT3);
  assert.equal(m.bytes(DATA + PAGE_SIZE - 4, 8), 'ff ff ff ff ff ff ff ff');
});

test('a read-modify-write of a read-only page changes neither memory nor flags nor registers', async () => {
  for (const code of [
    '01 03', // add [rbx], eax
    'f0 0f c1 03', // lock xadd [rbx], eax
    '87 03', // xchg [rbx], eax
    'd1 23', // shl dword [rbx], 1
    'd3 23', // shl dword [rbx], cl, a count of zero
    'f0 0f b1 0b', // lock cmpxchg [rbx], ecx, not equal
    '0f ab 03', // bts [rbx], eax
    'ff 03', // inc dword [rbx]
  ]) {
    const m = await machineWithCode(`${code} cc`);
    m.memory.write32(m.physical(DATA), 0x55);
    m.map(DATA, m.physical(DATA) / PAGE_SIZE, PAGE_RO);
    m.cpu.setRegNumber(RAX, 3);
    m.cpu.setRegNumber(RCX, 0);
    m.cpu.rflags = 0xad7;
    const before = m.state();
    assert.deepEqual(m.run(CODE), pageFault(7, DATA), code);
    assert.equal(m.state(), before.replace(/rip=\w+/, `rip=${CODE.toString(16)}`), code);
    assert.equal(m.bytes(DATA, 4), '55 00 00 00', code);
    assert.equal(m.used(DATA), '', code);
  }
});

test('rep movs stops exactly where the missing page begins and goes on from there', async () => {
  const m = await machineWithCode('f3 48 a5 cc'); // rep movsq
  m.mapNew(0x700000, PAGE_RW, 2);
  m.unmap(0x701000);
  m.memory.fill(m.physical(DATA), 0x5a, PAGE_SIZE);
  m.cpu.setRegNumber(RSI, DATA);
  m.cpu.setRegNumber(RDI, 0x701000 - 24);
  m.cpu.setRegNumber(RCX, 10);
  assert.deepEqual(m.run(CODE), pageFault(6, 0x701000));
  assert.equal(m.cpu.rip, CODE);
  assert.deepEqual([m.cpu.reg(RCX), m.cpu.reg(RSI), m.cpu.reg(RDI)], [7, DATA + 24, 0x701000]);
  m.mapNew(0x701000, PAGE_RW);
  assert.deepEqual(m.run(), INT3);
  assert.deepEqual([m.cpu.reg(RCX), m.cpu.reg(RSI), m.cpu.reg(RDI)], [0, DATA + 80, 0x701000 + 56]);
});

test('an instruction that faults on the stack leaves rsp alone', async () => {
  for (const code of [
    '50', // push rax
    '68 01 00 00 00', // push 1
    '9c', // pushf
    'e8 10 00 00 00', // call
    'ff d3', // call rbx
    'c8 10 00 00', // enter 16, 0
    'c8 10 00 03', // enter 16, 3
    '58', // pop rax
    '8f 03', // pop qword [rbx]
    '9d', // popf
    'c3', // ret
    'c9', // leave
  ]) {
    const m = await machineWithCode(code);
    m.cpu.setRegNumber(RSP, 0x500000);
    m.cpu.setRegNumber(RBP, 0x500800);
    const before = m.state();
    const ending = m.run(CODE);
    assert.equal(ending.vector, 14, code);
    assert.equal(m.state(), before.replace(/rip=\w+/, `rip=${CODE.toString(16)}`), code);
  }
});

test('a pop whose destination cannot be written does not move the stack pointer', async () => {
  const m = await machineWithCode('8f 03'); // pop qword [rbx]
  m.map(DATA, m.physical(DATA) / PAGE_SIZE, PAGE_RO);
  m.cpu.setRegNumber(RSP, DATA + PAGE_SIZE);
  assert.deepEqual(m.run(CODE), pageFault(7, DATA));
  assert.equal(m.cpu.reg(RSP), DATA + PAGE_SIZE);
});

test('error codes tell presence, write, user and fetch', async () => {
  const m = await machineWithCode('8b 03 cc 00 00 00 00 00 89 03 cc'); // mov eax, [rbx]; mov [rbx], eax at +8
  const load = CODE;
  const store = CODE + 8;
  m.cpu.setRegNumber(RBX, 0x500000);
  assert.deepEqual(m.run(load), pageFault(4, 0x500000));
  assert.deepEqual(m.run(store), pageFault(6, 0x500000));
  m.mapNew(0x500000, PAGE_SUPERVISOR);
  assert.deepEqual(m.run(load), pageFault(5, 0x500000));
  assert.deepEqual(m.run(store), pageFault(7, 0x500000));
  assert.deepEqual(m.run(0x500000), pageFault(0x15, 0x500000));
  assert.deepEqual(m.run(0x501000), pageFault(0x14, 0x501000));
  m.map(0x500000, m.physical(0x500000) / PAGE_SIZE, PAGE_RW | PAGE_NX);
  assert.deepEqual(m.run(load), INT3);
  assert.deepEqual(m.run(0x500123), pageFault(0x15, 0x500123));

  m.ring(0);
  m.map(0x500000, m.physical(0x500000) / PAGE_SIZE, PAGE_RO);
  assert.deepEqual(m.run(store), pageFault(3, 0x500000));
  m.paging(PAGING_ON | PAGING_LONG | PAGING_NX);
  assert.deepEqual(m.run(store), INT3, 'without CR0.WP ring 0 writes everywhere');
  m.paging(PAGING_ON | PAGING_LONG);
  m.map(0x500000, m.physical(0x500000) / PAGE_SIZE, PAGE_RW | PAGE_NX);
  assert.deepEqual(m.run(load), pageFault(9, 0x500000), 'without EFER.NXE bit 63 is reserved');
});

test('without EFER.NXE a page fault does not tell a fetch', async () => {
  const m = await machineWithCode('90');
  m.paging(PAGING_ON | PAGING_LONG);
  assert.deepEqual(m.run(0x500000), pageFault(4, 0x500000));
});

test('rights are those of all levels together', async () => {
  const m = await machineWithCode('8b 03 cc 00 00 00 00 00 89 03 cc'); // mov eax, [rbx]; mov [rbx], eax at +8
  for (const level of [2, 3]) {
    // Far enough from the code to have an entry of its own at this level.
    const gva = 0x8000000000 * (level - 1);
    m.mapNew(gva, PAGE_RW);
    m.cpu.setRegNumber(RBX, gva);
    const entry = m.entry(gva, level);
    const table = m.memory.read32(entry) & ~0xfff;
    m.memory.write64(entry, table | PAGE_RO, 0);
    assert.deepEqual(m.run(CODE), INT3);
    assert.deepEqual(m.run(CODE + 8), pageFault(7, gva), `level ${level}`);
    m.memory.write64(entry, table | PAGE_SUPERVISOR, 0);
    m.engine.invalidatePage(gva);
    assert.deepEqual(m.run(CODE), pageFault(5, gva), `level ${level}`);
    m.memory.write64(entry, table | PAGE_RW, 0x80000000 | 0);
    assert.deepEqual(m.run(CODE + 8), INT3);
    assert.deepEqual(m.run(gva), pageFault(0x15, gva), `level ${level}`);
  }
});

test('without CR0.WP ring 3 still writes only where it may', async () => {
  const m = await machineWithCode('89 03'); // mov [rbx], eax
  m.map(DATA, m.physical(DATA) / PAGE_SIZE, PAGE_RO);
  m.paging(PAGING_ON | PAGING_LONG | PAGING_NX);
  assert.deepEqual(m.run(CODE), pageFault(7, DATA));
});

test('a table or a page that begins where memory ends is reserved, at every level', async () => {
  const m = await machineWithCode('8b 03'); // mov eax, [rbx]
  const frames = 512;
  m.cpu.setPhysicalMemory(m.memory.framesBase, frames);
  m.cpu.setRegNumber(RBX, 0x7f8040201000);
  for (const level of [4, 3, 2, 1]) {
    m.map(0x7f8040201000, frames, PAGE_RW, level);
    assert.deepEqual(m.run(CODE), pageFault(0xd, 0x7f8040201000), `level ${level}`);
    assert.equal(m.used(0x7f8040201000, level), '', `level ${level}`);
    m.map(0x7f8040201000, 0, 0, level);
  }
  m.map(0x7f8040201000, frames - 1, PAGE_RW);
  assert.equal(m.run(CODE).exit, 'exception');
  assert.equal(m.used(0x7f8040201000), 'A', 'the last frame is memory');
});

test('there are pages of 2 MiB alone, and they are aligned; their bit 12 is PAT', async () => {
  const m = await machineWithCode('8b 03 cc');
  const LARGE = 0x80;
  const gva = 0x7f8040000000;
  m.cpu.setRegNumber(RBX, gva);
  for (const level of [4, 3]) {
    m.map(gva, 0, PAGE_RW | LARGE, level);
    assert.deepEqual(m.run(CODE), pageFault(0xd, gva), `level ${level}`);
    m.map(gva, 0, 0, level);
  }
  for (let bit = 12; bit <= 20; bit++) {
    m.map(gva, 2 ** (bit - 12), PAGE_RW | LARGE, 2);
    assert.deepEqual(m.run(CODE), bit === 12 ? INT3 : pageFault(0xd, gva), `bit ${bit}`);
  }
});

test('an operand that ends with its page has no part in the next, one that is longer faults there', async () => {
  const m = await machineWithCode('8b 03 cc 00 00 00 00 00 89 03 cc'); // mov eax, [rbx]; mov [rbx], eax at +8
  m.unmap(DATA + PAGE_SIZE);
  m.cpu.setRegNumber(RBX, DATA + PAGE_SIZE - 4);
  for (const at of [CODE, CODE + 8]) assert.deepEqual(m.run(at), INT3);
  for (let i = 3; i > 0; i--) {
    m.cpu.setRegNumber(RBX, DATA + PAGE_SIZE - i);
    assert.deepEqual(m.run(CODE), pageFault(4, DATA + PAGE_SIZE));
    assert.deepEqual(m.run(CODE + 8), pageFault(6, DATA + PAGE_SIZE));
  }
});

test('accessed and dirty bits are set by what an access did, at every level, and not before', async () => {
  const m = await machineWithCode('8b 03 cc 00 00 00 00 00 89 03 cc');
  assert.deepEqual([m.used(CODE), m.used(DATA)], ['', '']);
  m.run(CODE);
  assert.deepEqual([m.used(CODE), m.used(DATA), m.used(DATA + PAGE_SIZE)], ['A', 'A', '']);
  assert.deepEqual(
    [2, 3, 4].map((level) => m.used(DATA, level)),
    ['A', 'A', 'A'],
  );
  m.run(CODE + 8);
  assert.equal(m.used(DATA), 'AD');
  assert.deepEqual(
    [2, 3, 4].map((level) => m.used(DATA, level)),
    ['A', 'A', 'A'],
  );
});

test('a large page maps two mebibytes', async () => {
  const m = await machineWithCode('8b 03 cc');
  m.map(0x40000000, 512, PAGE_RW | 0x80, 2);
  m.memory.write32(513 * PAGE_SIZE + 0x10, 0x1234);
  m.cpu.setRegNumber(RBX, 0x40001010);
  assert.deepEqual(m.run(CODE), INT3);
  assert.equal(m.cpu.reg(RAX), 0x1234);
  assert.equal(m.used(0x40000000, 2), 'A');
});

test('a non-canonical address is #GP(0), and #SS(0) through the stack pointer or the frame pointer', async () => {
  const general = { exit: 'exception', vector: 13, error: 0 };
  const stack = { exit: 'exception', vector: 12, error: 0 };
  for (const [code, ending] of [
    ['8b 03', general], // mov eax, [rbx]
    ['89 03', general], // mov [rbx], eax
    ['a4', general], // movsb
    ['8b 45 00', stack], // mov eax, [rbp]
    ['8b 04 24', stack], // mov eax, [rsp]
    ['42 8b 44 25 00', stack], // mov eax, [rbp+r12]
    ['8b 44 2b 00', general], // mov eax, [rbx+rbp]
    ['41 8b 45 00', general], // mov eax, [r13]
    ['64 8b 45 00', general], // mov eax, fs:[rbp]
    ['50', stack], // push rax
    ['58', stack], // pop rax
    ['c3', stack], // ret
    ['e8 00 00 00 00', stack], // call
    ['9c', stack], // pushf
    ['c9', stack], // leave
  ] as const) {
    const m = await machineWithCode(code);
    for (const n of [RBX, RSP, RBP, RSI, RDI, 13]) m.cpu.setReg(n, 0x1000, 0x8000);
    assert.deepEqual(m.run(CODE), ending, code);
    assert.equal(m.cpu.rip, CODE, code);
  }
});

test('an address that was not canonical once does not turn a later #GP(0) into #SS(0)', async () => {
  // mov eax, [r12] · movaps xmm0, [rsp+1] · and, at +16: ret
  const m = await machineWithCode('41 8b 04 24 0f 28 44 24 01 90 90 90 90 90 90 90 c3');
  m.cpu.setReg(12, 0x1000, 0x8000);
  m.cpu.setRegNumber(RSP, DATA);
  m.memory.write64(m.physical(DATA), 0, 0x8000);
  for (const at of [CODE, CODE + 4, CODE, CODE + 16]) {
    assert.deepEqual(m.run(at), { exit: 'exception', vector: 13, error: 0 });
    assert.equal(m.cpu.rip, at);
  }
});

test('the last instruction of a page may need the next one, and faults at its first byte', async () => {
  const at = CODE + PAGE_SIZE - 2;
  const m = await machineWithCode('90');
  m.code(at, 'b8 78 56 34 12 cc'); // mov eax, 0x12345678
  const second = m.physical(CODE + PAGE_SIZE) / PAGE_SIZE;
  m.unmap(CODE + PAGE_SIZE);
  assert.deepEqual(m.run(at), pageFault(0x14, CODE + PAGE_SIZE));
  assert.equal(m.cpu.rip, at);
  m.map(CODE + PAGE_SIZE, second, PAGE_RW | PAGE_NX);
  assert.deepEqual(m.run(at), pageFault(0x15, CODE + PAGE_SIZE));
  m.map(CODE + PAGE_SIZE, second, PAGE_RW);
  assert.deepEqual(m.run(at), INT3);
  assert.equal(m.cpu.reg(RAX), 0x12345678);
});

test('an instruction across two pages follows the second one when it is mapped anew', async () => {
  const at = CODE + PAGE_SIZE - 2;
  const m = await machineWithCode('90');
  m.code(at, 'b8 78 56 34 12 cc');
  m.mapNew(0x500000, PAGE_RW);
  m.code(0x500000, '99 99 99 cc');
  assert.deepEqual(m.run(at), INT3);
  assert.equal(m.cpu.reg(RAX), 0x12345678);
  m.map(CODE + PAGE_SIZE, m.physical(0x500000) / PAGE_SIZE, PAGE_RW);
  assert.deepEqual(m.run(at), INT3);
  assert.equal(m.cpu.reg(RAX), 0x99999978);
  m.unmap(CODE + PAGE_SIZE);
  assert.deepEqual(m.run(at), pageFault(0x14, CODE + PAGE_SIZE));
  assert.equal(m.cpu.rip, at);
});

// ------------------------------------------------------------------ code that changes

test('a store changes code wherever in its bytes it begins: on the next line, on the next page', async () => {
  for (const [at, size] of [
    [CODE + 0x640, 64],
    [CODE + PAGE_SIZE, PAGE_SIZE],
  ] as const) {
    const m = await machineWithCode('48 89 03 cc'); // mov [rbx], rax
    m.code(at, 'b0 01 cc'); // mov al, 1
    assert.deepEqual(m.run(at), INT3);
    m.cpu.setReg(RAX, -1, 0xcc02b0ff | 0);
    m.cpu.setRegNumber(RBX, at - 5);
    assert.deepEqual(m.run(CODE), INT3);
    assert.deepEqual(m.run(at), INT3);
    assert.equal(m.cpu.regLow(RAX) & 0xff, 2, `across a border of ${size} bytes`);
  }
});

test('what the hypervisor may not write for the guest is not what it has read', async () => {
  const m = await machineWithCode('8b 03 cc'); // mov eax, [rbx]
  m.map(DATA, m.physical(DATA) / PAGE_SIZE, PAGE_RO);
  assert.deepEqual(m.run(CODE), INT3);
  assert.equal(m.engine.translate(DATA, 0, false), m.memory.host(m.physical(DATA)));
  assert.equal(m.engine.translate(DATA, 0, true), 0);
});

test('a store to the very next instruction takes effect', async () => {
  // mov byte [rip+1], 0x2a (the immediate below); mov al, 0; int3
  const m = await machineWithCode('c6 05 01 00 00 00 2a b0 00 cc');
  for (let i = 0; i < 2; i++) {
    m.cpu.setRegNumber(RAX, 0);
    assert.deepEqual(m.run(CODE), INT3);
    assert.equal(m.cpu.reg(RAX), 0x2a);
    m.memory.write8(m.physical(CODE + 8), 0);
  }
});

test('a loop may rewrite its own body', async () => {
  // loop: add eax, 1 (83 c0 01); inc byte [rip-7] (the 01); dec ecx; jnz loop; int3
  const m = await machineWithCode('83 c0 01 fe 05 f9 ff ff ff ff c9 75 f3 cc');
  m.cpu.setRegNumber(RAX, 0);
  m.cpu.setRegNumber(RCX, 5);
  assert.deepEqual(m.run(CODE), INT3);
  assert.equal(m.cpu.reg(RAX), 1 + 2 + 3 + 4 + 5);
});

test('a store elsewhere in the page of the running code reaches it later', async () => {
  // mov byte [rbx+0x801], 7; jmp +0x7f9 → CODE + 0x800: mov al, imm8; int3
  const m = await machineWithCode('c6 83 01 08 00 00 07 e9 f4 07 00 00');
  m.code(CODE + 0x800, 'b0 01 cc');
  m.cpu.setRegNumber(RBX, CODE);
  assert.deepEqual(m.run(CODE + 0x800), INT3);
  assert.equal(m.cpu.regLow(RAX), 1);
  assert.deepEqual(m.run(CODE), INT3);
  assert.equal(m.cpu.regLow(RAX), 7);
});

test('a store to the second page changes an instruction that crosses into it', async () => {
  const at = CODE + PAGE_SIZE - 2;
  const m = await machineWithCode('89 0b e9 f7 0f 00 00'); // mov [rbx], ecx; jmp to it
  m.code(at, 'b8 78 56 34 12 cc');
  assert.deepEqual(m.run(at), INT3);
  m.cpu.setRegNumber(RBX, CODE + PAGE_SIZE);
  m.cpu.setReg(RCX, 0xcc223344 | 0, 0);
  assert.deepEqual(m.run(CODE), INT3);
  assert.equal(m.cpu.regLow(RAX), 0x22334478);
});

test('code that is mapped at two addresses changes at both', async () => {
  const m = await machineWithCode('b0 01 cc');
  m.map(0x500000, m.physical(CODE) / PAGE_SIZE, PAGE_RW);
  m.code(CODE + PAGE_SIZE, 'c6 43 01 09 cc'); // mov byte [rbx+1], 9
  assert.deepEqual(m.run(CODE), INT3);
  assert.deepEqual(m.run(0x500000), INT3);
  assert.equal(m.cpu.regLow(RAX), 1);
  m.cpu.setRegNumber(RBX, 0x500000);
  assert.deepEqual(m.run(CODE + PAGE_SIZE), INT3);
  assert.deepEqual(m.run(CODE), INT3);
  assert.equal(m.cpu.regLow(RAX), 9);
  m.cpu.setRegNumber(RAX, 0);
  assert.deepEqual(m.run(0x500000), INT3);
  assert.equal(m.cpu.regLow(RAX), 9);
});

test('a write from outside the processor changes code that has run', async () => {
  const m = await machineWithCode('b8 01 00 00 00 cc 90 90');
  assert.deepEqual(m.run(CODE), INT3);
  m.memory.write32(m.physical(CODE), 0x00005db8);
  assert.deepEqual(m.run(CODE), INT3);
  assert.equal(m.cpu.regLow(RAX), 0x5d);
});

test('rep movs and rep stos over code that has run change it, wherever in the page they begin', async () => {
  for (const start of [0x000, 0x200, 0x2c0, 0x2f8]) {
    const m = await machineWithCode('f3 48 a5 cc'); // rep movsq
    m.code(CODE + 8, 'f3 48 ab cc'); // rep stosq
    m.mapNew(0x500000, PAGE_RW);
    m.code(0x500300, 'b0 01 cc');
    assert.deepEqual(m.run(0x500300), INT3);
    assert.equal(m.cpu.regLow(RAX), 1);
    m.code(DATA + 0x300, 'b0 02 cc');
    m.cpu.setRegNumber(RSI, DATA + start);
    m.cpu.setRegNumber(RDI, 0x500000 + start);
    m.cpu.setRegNumber(RCX, 0x80);
    assert.deepEqual(m.run(CODE), INT3);
    assert.deepEqual(m.run(0x500300), INT3);
    assert.equal(m.cpu.regLow(RAX), 2, `movs from ${start.toString(16)}`);
    m.cpu.setReg(RAX, 0xcccccccc | 0, 0xcccccccc | 0);
    m.cpu.setRegNumber(RDI, 0x500000 + start);
    m.cpu.setRegNumber(RCX, 0x80);
    assert.deepEqual(m.run(CODE + 8), INT3);
    m.cpu.setRegNumber(RAX, 0);
    assert.deepEqual(m.run(0x500300), INT3);
    assert.equal(m.cpu.regLow(RAX), 0, `stos from ${start.toString(16)}`);
  }
});

test('a string instruction may overwrite what follows it', async () => {
  const m = await machineWithCode('f3 aa b0 01 cc'); // rep stosb; mov al, 1
  m.cpu.setRegNumber(RAX, 0xcc);
  m.cpu.setRegNumber(RDI, CODE + 2);
  m.cpu.setRegNumber(RCX, 16);
  assert.deepEqual(m.run(CODE), INT3);
  assert.equal(m.cpu.regLow(RAX), 0xcc);
  assert.equal(m.cpu.rip, CODE + 3);
});
