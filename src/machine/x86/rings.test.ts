/** Segment loads and far returns of ring 0, which the recorded vectors, made by a process, do not have. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CPU_INTERRUPT_SHADOW, CPU_RIP } from '../layout.ts';
import { PAGE_SIZE } from '../memory.ts';
import { CS, DS, ES, FS, GS, RAX, RSP, SS } from './registers.ts';
import { PAGE_RW, TestMachine } from './testing/machine.ts';

const CODE = 0x400000;
const DATA = 0x600000;
const STACK = DATA + 0x800;
const INT3 = { exit: 'interrupt', vector: 3 };
const refused = (error: number) => ({ exit: 'exception', vector: 13, error });

/** A stack in two pages. */
const BORDER = DATA + PAGE_SIZE - 16;
/** High words of descriptors of 4 GiB, by selector without RPL; those at 0x38 and 0x40 have not been accessed yet. */
const DESCRIPTORS = new Map([
  [0x00, 0x00affb00], // what stands here has no name
  [0x08, 0x00af9b00], // ring 0, 64-bit code
  [0x10, 0x00cf9300], // ring 0, data
  [0x18, 0x00cf9b00], // ring 0, 32-bit code
  [0x20, 0x00cffb00], // ring 3, 32-bit code
  [0x28, 0x00cff300], // ring 3, data
  [0x30, 0x00affb00], // ring 3, 64-bit code
  [0x38, 0x00cff200], // ring 3, data
  [0x40, 0x00affa00], // ring 3, 64-bit code
  [0x48, 0x00cf9f00], // ring 0, conforming 32-bit code, readable
  [0x50, 0x00effb00], // ring 3, code of 64 and of 32 bits
]);

/** Ring 0 in 64-bit mode at CODE, with an INT3 at CODE + 0x100, and a stack of 64-bit words. */
async function kernel(code: string, ...stack: number[]): Promise<TestMachine> {
  const m = await TestMachine.create();
  m.mapNew(CODE, PAGE_RW);
  m.mapNew(DATA, PAGE_RW);
  m.code(CODE, code);
  m.code(CODE + 0x100, 'cc');
  m.engine.hooks = {
    readDescriptor(selector) {
      const high = DESCRIPTORS.get(selector & ~7);
      return high === undefined ? undefined : { low: 0xffff, high };
    },
  };
  m.cpu.setSegment(CS, 0x08, 0xa09b, 0xffffffff, 0);
  for (const segment of [SS, DS, ES]) m.cpu.setSegment(segment, 0x10, 0xc093, 0xffffffff, 0);
  m.ring(0);
  m.cpu.setRegNumber(RSP, STACK);
  for (const [i, word] of stack.entries()) m.memory.write64(m.physical(STACK + 8 * i), word, 0);
  return m;
}

const RETF = '48 cb';
const IRET = '48 cf';

test('a return to ring 3 takes away the segments that are not for it, and no others', async () => {
  for (const [code, frame] of [
    [RETF, [CODE + 0x100, 0x33, STACK, 0x2b]],
    [IRET, [CODE + 0x100, 0x33, 0x202, STACK, 0x2b]],
  ] as const) {
    const m = await kernel(code, ...frame);
    m.cpu.setSegment(ES, 0x2b, 0xc0f3, 0xffffffff, 0);
    m.cpu.setSegment(FS, 0x48, 0xc09f, 0xffffffff, 0);
    m.cpu.setSegment(GS, 0x18, 0xc09b, 0xffffffff, 0);
    assert.deepEqual(m.run(CODE), INT3);
    assert.deepEqual(
      [CS, SS, ES, DS, FS, GS].map((segment) => m.cpu.selector(segment)),
      [0x33, 0x2b, 0x2b, 0, 0x48, 0],
    );
    assert.equal(m.cpu.attributes(DS), 0);
    assert.equal(m.cpu.cpl, 3);
  }
});

test('a return to ring 3 that is refused leaves ring 0 as it was', async () => {
  for (const [frame, error] of [
    [[CODE + 0x100, 0x23, 0x202, STACK, 0x10], 0x10], // a stack of ring 0
    [[CODE + 0x100, 0x33, 0x202, STACK, 0x28], 0x28], // a selector that asks for ring 0
    [[CODE + 0x100, 0x23, 0x202, STACK, 0], 0], // no stack
    [[CODE + 0x100, 0x30, 0x202, STACK, 0x2b], 0x30], // code of ring 3 in ring 0
    [[CODE + 0x100, 0x0b, 0x202, STACK, 0x2b], 0x08], // code of ring 0 in ring 3
    [[CODE + 0x100, 0x53, 0x202, STACK, 0x2b], 0x50], // code of two sizes
    [[CODE + 0x100, 0x03, 0x202, STACK, 0x2b], 0], // no code
  ] as const) {
    for (const code of [IRET, RETF]) {
      const m = await kernel(code, ...frame.filter((_, i) => code === IRET || i !== 2));
      const before = m.state();
      assert.deepEqual(m.run(CODE), refused(error), `${code}: ${frame[1]}`);
      assert.equal(m.state(), before.replace(/rip=\w+/, `rip=${CODE.toString(16)}`));
      assert.deepEqual([m.cpu.cpl, m.cpu.selector(CS), m.cpu.selector(SS)], [0, 8, 0x10]);
      assert.equal(m.cpu.longMode, true);
    }
  }
});

test('ring 3 returns to no inner ring', async () => {
  for (const [code, frame] of [
    [RETF, [CODE + 0x100, 0x08, STACK, 0x10]],
    [IRET, [CODE + 0x100, 0x08, 0x202, STACK, 0x10]],
  ] as const) {
    const m = await kernel(code, ...frame);
    m.cpu.setSegment(CS, 0x33, 0xa0fb, 0xffffffff, 0);
    m.ring(3);
    assert.deepEqual(m.run(CODE), refused(0x08));
    assert.deepEqual([m.cpu.cpl, m.cpu.selector(CS)], [3, 0x33]);
  }
});

test('an IRET to the segments that are loaded is one like any other', async () => {
  const frame = [CODE + 0x100, 0x08, 0x202, STACK, 0x10];
  const m = await kernel(IRET, ...frame);
  const original = m.engine.hooks;
  const change = (changed: number, high: number): void => {
    m.engine.hooks = {
      readDescriptor: (selector) =>
        (selector & ~7) === changed ? { low: 0xffff, high } : original.readDescriptor(selector),
    };
  };
  change(0x08, 0x00af1b00);
  assert.deepEqual(m.run(CODE), { exit: 'exception', vector: 11, error: 0x08 }, 'code is absent now');
  change(0x10, 0x00cf1300);
  assert.deepEqual(m.run(CODE), { exit: 'exception', vector: 12, error: 0x10 }, 'the stack is absent now');
  m.engine.hooks = original;
  assert.deepEqual(m.run(CODE), INT3);
  m.memory.write64(m.physical(STACK), CODE, 0x8000);
  assert.deepEqual(m.run(CODE), refused(0), 'to an address that is not canonical');
  assert.equal(m.cpu.rip, CODE);

  // Its frame in two pages, the second of which does not lie behind the first.
  m.mapNew(BORDER + PAGE_SIZE + 16, PAGE_RW);
  m.mapNew(BORDER + 16, PAGE_RW);
  for (const [i, word] of frame.entries()) m.memory.write64(m.physical(BORDER + 8 * i), word, 0);
  m.cpu.setRegNumber(RSP, BORDER);
  assert.deepEqual(m.run(CODE), INT3);
  assert.equal(m.cpu.reg(RSP), STACK);
});

test('an IRET whose frame is not aligned is #AC where alignment is checked', async () => {
  const m = await kernel(IRET, 0, 0, 0, 0, 0, 0);
  for (const [i, word] of [CODE + 0x100, 0x33, 0x40202, STACK, 0x2b].entries()) {
    m.memory.write64(m.physical(STACK + 4 + 8 * i), word, 0);
  }
  m.cpu.setSegment(CS, 0x33, 0xa0fb, 0xffffffff, 0);
  m.cpu.setSegment(SS, 0x2b, 0xc0f3, 0xffffffff, 0);
  m.cpu.cr0 = 0x80050033;
  for (const [flags, ending] of [
    [0x40202, { exit: 'exception', vector: 17, error: 0 }],
    [0x202, INT3],
  ] as const) {
    m.cpu.rflags = flags;
    m.ring(3);
    m.cpu.setRegNumber(RSP, STACK + 4);
    assert.deepEqual(m.run(CODE), ending);
  }
});

test('a far transfer may lead to the last byte of a segment, not behind it', async () => {
  for (const [target, ending] of [
    [CODE + PAGE_SIZE - 1, INT3],
    [CODE + PAGE_SIZE, refused(0)],
  ] as const) {
    const m = await kernel('48 cb', target, 0x58);
    m.code(CODE + PAGE_SIZE - 1, 'cc');
    const { readDescriptor } = m.engine.hooks;
    m.engine.hooks = {
      readDescriptor: (selector) =>
        selector === 0x58 ? { low: CODE / PAGE_SIZE, high: 0x00c09b00 } : readDescriptor(selector),
    };
    assert.deepEqual(m.run(CODE), ending);
    assert.equal(m.cpu.selector(CS), ending === INT3 ? 0x58 : 0x08);
  }
});

test('a call gate is for whom the selector speaks', async () => {
  const m = await kernel('ff 2c 24'); // jmp far [rsp]
  const { readDescriptor } = m.engine.hooks;
  m.engine.hooks = {
    readDescriptor: (selector) =>
      (selector & ~7) === 0x60
        ? { low: 0x00080100, high: CODE | 0x8c00 }
        : selector >> 3 === 0xd
          ? { low: 0, high: 0 }
          : readDescriptor(selector),
  };
  m.memory.write64(m.physical(STACK), 0, 0x63);
  assert.deepEqual(m.run(CODE), refused(0x60));
  m.memory.write64(m.physical(STACK), 0, 0x60);
  assert.deepEqual(m.run(CODE), INT3);
  assert.equal(m.cpu.rip, CODE + 0x101);
});

test('an IRET to an address that is not canonical has not loaded its stack segment', async () => {
  const m = await kernel(IRET, 0, 0x08, 0x202, STACK, 0);
  m.memory.write64(m.physical(STACK), 0, 0x8000);
  assert.deepEqual(m.run(CODE), refused(0));
  assert.deepEqual([m.cpu.selector(SS), m.cpu.attributes(SS), m.cpu.reg(RSP)], [0x10, 0xc093, STACK]);
});

test('RETF drops the parameters from both stacks', async () => {
  // retfq 0x20: four words of parameters lie between the return address and the outer stack pointer
  const m = await kernel('48 ca 20 00', CODE + 0x100, 0x33, 1, 2, 3, 4, STACK + 0x100, 0x2b);
  assert.deepEqual(m.run(CODE), INT3);
  assert.equal(m.cpu.reg(RSP), STACK + 0x120);
});

test('an IRET of ring 0 changes IOPL and IF, one of ring 3 neither', async () => {
  const same = await kernel(IRET, CODE + 0x100, 0x08, 0x3002, STACK, 0x10);
  assert.deepEqual(same.run(CODE), INT3);
  assert.equal(same.cpu.rflags, 0x3002);
  const m = await kernel(IRET, CODE + 0x100, 0x33, 0x3002, STACK, 0x2b);
  m.cpu.setSegment(CS, 0x33, 0xa0fb, 0xffffffff, 0);
  m.cpu.setSegment(SS, 0x2b, 0xc0f3, 0xffffffff, 0);
  m.ring(3);
  assert.deepEqual(m.run(CODE), INT3);
  assert.equal(m.cpu.rflags, 0x202);
});

test('an IRET out of 32-bit code has a stack pointer in its frame only where it leaves the ring', async () => {
  for (const [cs, rsp] of [
    [0x18, STACK + 12],
    [0x23, STACK + 0x100],
  ] as const) {
    const m = await kernel('cf');
    for (const [i, word] of [CODE + 0x100, cs, 0x202, STACK + 0x100, 0x2b].entries()) {
      m.memory.write32(m.physical(STACK + 4 * i), word);
    }
    m.cpu.setSegment(CS, 0x18, 0xc09b, 0xffffffff, 0);
    assert.deepEqual(m.run(CODE), INT3);
    assert.deepEqual([m.cpu.selector(CS), m.cpu.cpl, m.cpu.reg(RSP)], [cs, cs & 3, rsp]);
  }
});

test('ring 0 may have a null stack segment in 64-bit mode, with its own RPL', async () => {
  const m = await kernel('8e d0 cc'); // mov ss, eax
  assert.deepEqual(m.run(CODE), INT3);
  assert.equal(m.cpu.selector(SS), 0);
  for (const rpl of [1, 2, 3]) {
    m.cpu.setRegNumber(RAX, rpl);
    assert.deepEqual(m.run(CODE), refused(0), `RPL ${rpl}`);
  }
});

test('ring 0 that speaks for ring 3 gets no segments of its own', async () => {
  const m = await kernel('8e d8'); // mov ds, eax
  m.cpu.setRegNumber(RAX, 0x13);
  assert.deepEqual(m.run(CODE), refused(0x10));
  assert.equal(m.cpu.selector(DS), 0x10);
  m.code(CODE, 'ff 2c 24'); // jmp far [rsp]
  m.memory.write64(m.physical(STACK), CODE + 0x100, 0x0b);
  assert.deepEqual(m.run(CODE), refused(0x08));
  m.memory.write64(m.physical(STACK), CODE + 0x100, 0x08);
  assert.deepEqual(m.run(CODE), INT3);
});

test('after MOV SS no interrupt comes before the next instruction, after other segments it may', async () => {
  const m = await kernel('8e d0 8e d8 cc'); // mov ss, eax; mov ds, eax
  m.cpu.setRegNumber(RAX, 0x10);
  assert.deepEqual(m.run(CODE), INT3);
  assert.deepEqual([m.cpu.low(CPU_INTERRUPT_SHADOW), m.cpu.high(CPU_INTERRUPT_SHADOW)], [CODE + 2, 0]);
  // In 32-bit code: pop ss; pop ds
  m.code(CODE + 0x80, '17 1f cc');
  m.memory.write64(m.physical(STACK), 0x10, 0x10);
  m.cpu.setSegment(CS, 0x18, 0xc09b, 0xffffffff, 0);
  assert.deepEqual(m.run(CODE + 0x80), INT3);
  assert.equal(m.cpu.low(CPU_INTERRUPT_SHADOW), CODE + 0x81);
});

test('a segment that has not been accessed is reported when it is loaded, data and code', async () => {
  const m = await kernel('8e d8 48 cf', CODE + 0x100, 0x43, 0x202, STACK, 0x3b); // mov ds, eax; iretq
  const seen: number[] = [];
  m.engine.hooks = { ...m.engine.hooks, noteAccessed: (selector) => seen.push(selector) };
  m.cpu.setRegNumber(RAX, 0x28);
  assert.deepEqual(m.run(CODE), INT3);
  assert.deepEqual(seen, [0x43, 0x3b]);
  assert.equal(m.cpu.low(CPU_RIP), CODE + 0x101);
});
