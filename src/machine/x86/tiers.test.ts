/** Where the tiers once differed, found by running random programs through both tiers: `test/fuzz/differential`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MODE_LONG } from '../layout.ts';
import { PAGE_SIZE } from '../memory.ts';
import { RAX, RBX, RCX, RDI, RDX, RSI, RSP } from './registers.ts';
import { PAGE_RW, TestMachine } from './testing/machine.ts';

const CODE = 0x400000;
const DATA = 0x600000;
const KINDS = ['interpreter', 'compiler'] as const;

test('an absent page 0 faults, whatever the offset: no empty entry of the TLB stands for it', async () => {
  for (const kind of KINDS) {
    const m = await TestMachine.create(kind);
    m.mapNew(CODE, PAGE_RW);
    for (const code of ['8b 00', '89 00', '48 01 00', '66 ff 00', 'f3 0f 7e 00']) {
      m.code(CODE, `${code} cc`);
      for (const offset of [0, 1, 2, 3, 4, 7, 0x19, 0x801, 0xff1]) {
        m.cpu.setRegNumber(0, offset);
        const { vector, address } = m.run(CODE);
        assert.deepEqual({ vector, address }, { vector: 14, address: offset }, `${kind}: ${code}`);
      }
    }
  }
});

test('where two streams of instructions meet, each keeps what it has changed', async () => {
  // test esi, 1 · jz into the last byte of what follows, a NOP · lea rcx, [rsi+7] · mov eax, … · add [rbx+9], rsi · int3
  const code = 'f7 c6 01 00 00 00 74 08 48 8d 4e 07 b8 00 01 00 90 48 01 73 09 cc';
  const outcomes: string[] = [];
  for (const kind of KINDS) {
    const m = await TestMachine.create(kind, 4);
    m.mapNew(CODE, PAGE_RW);
    m.mapNew(DATA, PAGE_RW);
    m.code(CODE, code);
    m.cpu.setRegNumber(RBX, DATA);
    let seen = '';
    for (let i = 0; i < 12; i++) {
      m.cpu.setRegNumber(RAX, 2 * i);
      m.cpu.setRegNumber(RCX, 3 * i);
      m.cpu.setRegNumber(RSI, i);
      m.run(CODE);
      seen += `${m.state()} ${m.bytes(DATA + 8, 16)}\n`;
    }
    outcomes.push(seen);
  }
  assert.equal(outcomes[1], outcomes[0]);
});

test('flags are those of the way that control came, at loops, where ways meet and where they part', async () => {
  for (const [title, code] of [
    // cmp eax, ebx · again: adc edi, 0 · add ecx, edx · dec esi · jnz again · int3
    ['a loop', '39 d8 83 d7 00 01 d1 ff ce 75 f7 cc'],
    // again: cmp eax, ebx · je over · add ecx, edx · over: adc edi, 0 · dec esi · jnz again · int3
    ['ways that meet', '39 d8 74 02 01 d1 83 d7 00 ff ce 75 f3 cc'],
    // again: cmp eax, ebx · je away · adc edi, 0 · inc eax · dec esi · jnz again · int3 · away: or ecx, edx · sbb ebx, edi · int3
    ['ways that part', '39 d8 74 0c 83 d7 00 ff c0 ff ce 75 f3 cc cc cc 09 d1 19 fb cc'],
    // again: cmp eax, ebx · jne over · shl ecx, 1 · over: setc dl · adc edi, ecx · inc eax · dec esi · jnz again · int3
    ['a shift between', '39 d8 75 02 d1 e1 0f 92 c2 11 cf ff c0 ff ce 75 ef cc'],
  ] as const) {
    const outcomes: string[] = [];
    for (const kind of KINDS) {
      const m = await TestMachine.create(kind, 2);
      m.mapNew(CODE, PAGE_RW);
      m.code(CODE, code);
      let seen = '';
      for (let i = 0; i < 24; i++) {
        m.cpu.setRegNumber(RAX, i & 3);
        m.cpu.setRegNumber(RBX, (i >> 2) & 3);
        m.cpu.setReg(RCX, i % 5 === 0 ? -1 : 0x7fffffff, 0);
        m.cpu.setRegNumber(RDX, i % 3);
        m.cpu.setRegNumber(RDI, 0);
        m.cpu.setRegNumber(RSI, 1 + (i % 7));
        m.run(CODE);
        seen += `${m.state()}\n`;
      }
      outcomes.push(seen);
    }
    assert.equal(outcomes[1], outcomes[0], title);
  }
});

test('calls nest as deep as the guest has stack', async () => {
  const DEPTH = 100_000;
  for (const kind of KINDS) {
    const m = await TestMachine.create(kind, 2);
    m.mapNew(CODE, PAGE_RW);
    m.mapNew(DATA, PAGE_RW, 200);
    // call F · int3 · F: dec ecx · jz out · call F · out: inc eax · ret
    m.code(CODE, 'e8 01 00 00 00 cc ff c9 74 05 e8 f7 ff ff ff ff c0 c3');
    m.cpu.setRegNumber(RCX, DEPTH);
    m.cpu.setRegNumber(RSP, DATA + 200 * PAGE_SIZE);
    assert.deepEqual(m.run(CODE, 1e7), { exit: 'interrupt', vector: 3 });
    assert.equal(m.cpu.reg(RAX), DEPTH);
    assert.equal(m.cpu.reg(RSP), DATA + 200 * PAGE_SIZE);
    assert.equal(m.cpu.retired, 2 + 5 * DEPTH - 1);
  }
});

test('a jump to an address that is not canonical is that instruction’s fault, also one that means something to the engine', async () => {
  for (const kind of KINDS) {
    const m = await TestMachine.create(kind);
    m.mapNew(CODE, PAGE_RW);
    m.mapNew(DATA, PAGE_RW);
    // push rax, then: ret · ret 8 · jmp rax · call rax · jmp [rsp] · call [rsp]
    for (const code of ['c3', 'c2 08 00', 'ff e0', 'ff d0', 'ff 24 24', 'ff 14 24']) {
      m.code(CODE, `50 ${code}`);
      for (let i = 0; i < 6; i++) {
        m.cpu.setRegNumber(RSP, DATA + 0x800);
        // Now and then to address 16, which is canonical but not mapped.
        m.cpu.setReg(RAX, i % 3 === 0 ? 16 : 0, i % 3 === 0 ? 0 : i % 3 === 1 ? 0x80000000 | 0 : 0x8000);
        const before = m.cpu.retired;
        assert.equal(m.run(CODE).vector, i % 3 === 0 ? 14 : 13, `${kind}: ${code}`);
        assert.equal(m.cpu.retired - before, i % 3 === 0 ? 2 : 1, `${kind}: ${code}`);
        assert.equal(m.cpu.rip, i % 3 === 0 ? 16 : CODE + 1, `${kind}: ${code}`);
        if (i % 3 !== 0) assert.equal(m.cpu.reg(RSP), DATA + 0x7f8, `${kind}: ${code}`);
      }
    }
  }
});

test('a page is not accessed before an instruction of it is executed', async () => {
  for (const kind of KINDS) {
    const m = await TestMachine.create(kind);
    m.mapNew(CODE, PAGE_RW, 2);
    m.code(CODE, 'e9 fb 0f 00 00');
    m.code(CODE + PAGE_SIZE, '90 cc');
    m.run(CODE);
    for (let i = 0; i < 3; i++) {
      m.map(CODE + PAGE_SIZE, m.physical(CODE + PAGE_SIZE) / PAGE_SIZE, PAGE_RW);
      assert.deepEqual(m.run(CODE, 1), { exit: 'budget' });
      assert.equal(m.used(CODE + PAGE_SIZE), '', kind);
    }
  }
});

test('nor for the end of an instruction that is not executed any more', async () => {
  const at = CODE + PAGE_SIZE - 4;
  for (const heatLimit of [1, 2, 3, 4]) {
    const m = await TestMachine.create('compiler', heatLimit);
    m.mapNew(CODE, PAGE_RW, 2);
    // nop · mov eax, … across the border · int3
    m.code(at, '90 b8 01 02 03 04 cc');
    m.run(at);
    for (let i = 0; i < 8; i++) {
      m.map(CODE + PAGE_SIZE, m.physical(CODE + PAGE_SIZE) / PAGE_SIZE, PAGE_RW);
      assert.deepEqual(m.run(at, 1), { exit: 'budget' });
      assert.equal(m.used(CODE + PAGE_SIZE), '', `heat limit ${heatLimit}`);
    }
  }
});

test('a repeated store that changes its own instruction stops there, however it is cut', async () => {
  // rep stosb, from behind itself downwards: it becomes PAUSE; and upwards, in pieces of a page, onto a rep stosb further on.
  const programs = [
    { code: 'fd f3 aa fc cc cc cc', to: CODE + 4, count: 9 },
    { code: 'f3 aa cc', to: CODE + 0x1e, count: 0x60 },
    { code: 'f3 48 ab cc', to: CODE - 0x100, count: 0x60 },
  ];
  for (const { code, to, count } of programs) {
    const outcomes = new Set<string>();
    for (const [kind, budget] of [
      ...KINDS.map((kind) => [kind, 10_000] as const),
      ['interpreter', 1] as const,
    ]) {
      const m = await TestMachine.create(kind);
      m.mapNew(CODE - PAGE_SIZE, PAGE_RW, 3);
      const at = to === CODE + 0x1e ? CODE + 0x50 : CODE;
      m.code(at, code);
      m.cpu.setReg(RAX, 0x90909090 | 0, 0x90909090 | 0);
      m.cpu.setRegNumber(RCX, count);
      m.cpu.setRegNumber(RDI, to);
      let ending = m.run(at, budget);
      while (ending.exit === 'budget') ending = m.run(m.cpu.rip, budget);
      outcomes.add(`${JSON.stringify(ending)} ${m.state()} ${m.bytes(CODE - PAGE_SIZE, 2 * PAGE_SIZE)}`);
    }
    assert.equal(outcomes.size, 1, code);
  }
});

test('what a repeated instruction takes of the budget is missing behind it', async () => {
  // rep stosb · inc eax · inc eax · inc eax · inc eax · int3
  const code = 'f3 aa ff c0 ff c0 ff c0 ff c0 cc';
  for (const [kind, heatLimit] of [...KINDS.map((kind) => [kind, 2] as const), ['compiler', 1] as const]) {
    const m = await TestMachine.create(kind, heatLimit);
    m.mapNew(CODE, PAGE_RW);
    m.mapNew(DATA, PAGE_RW);
    m.code(CODE, code);
    for (let budget = 1; budget <= 16; budget++) {
      // Compiled with all that is behind it.
      m.cpu.setRegNumber(RCX, 1);
      m.cpu.setRegNumber(RDI, DATA);
      assert.deepEqual(m.run(CODE), { exit: 'interrupt', vector: 3 });
      m.cpu.setRegNumber(RAX, 0);
      m.cpu.setRegNumber(RCX, 10);
      m.cpu.setRegNumber(RDI, DATA);
      const before = m.cpu.retired;
      const ended = budget >= 15;
      const what = `${kind}: budget ${budget}`;
      assert.deepEqual(
        m.run(CODE, budget),
        ended ? { exit: 'interrupt', vector: 3 } : { exit: 'budget' },
        what,
      );
      assert.equal(m.cpu.retired - before, Math.min(budget, 15), what);
      assert.equal(m.cpu.reg(RCX), Math.max(0, 10 - budget), what);
      assert.equal(m.cpu.reg(RAX), Math.min(4, Math.max(0, budget - 10)), what);
    }
  }
});

test('an instruction that is left to others finds its RIP-relative operand from any page', async () => {
  for (const [kind, heatLimit] of [...KINDS.map((kind) => [kind, 3] as const), ['compiler', 1] as const]) {
    const m = await TestMachine.create(kind, heatLimit);
    m.mapNew(CODE, PAGE_RW, 2);
    // inc eax · jmp far [rip+…], and on the other page: inc eax · jmp there
    m.code(CODE, 'ff c0 ff 2d f8 ff 1f 00');
    m.code(CODE + PAGE_SIZE, 'ff c0 e9 f9 ef ff ff');
    for (let i = 0; i < 12; i++) {
      assert.deepEqual(
        m.run(CODE + PAGE_SIZE),
        { exit: 'exception', vector: 14, error: 4, address: DATA },
        kind,
      );
    }
  }
});

test('a repeated move reads its element to the end before it writes, however it is cut', async () => {
  for (const budget of [1, 100]) {
    const m = await TestMachine.create();
    m.mapNew(CODE, PAGE_RW);
    m.mapNew(DATA, PAGE_RW, 2);
    m.code(CODE, 'f3 a5');
    m.cpu.setRegNumber(RCX, 8);
    m.cpu.setRegNumber(RSI, DATA + PAGE_SIZE - 2);
    m.cpu.setRegNumber(RDI, 0x700000);
    assert.deepEqual(m.run(CODE, budget), { exit: 'exception', vector: 14, error: 6, address: 0x700000 });
    assert.equal(m.used(DATA + PAGE_SIZE), 'A', `budget ${budget}`);
  }
});

test('what was compiled from code that is gone is not kept', async () => {
  const m = await TestMachine.create('compiler', 2);
  m.mapNew(CODE, PAGE_RW);
  for (let i = 0; i < 200; i++) {
    // A loop, each time further on: mov ecx, 9 · dec ecx · jnz
    const at = CODE + ((i * 16) & 0xff0);
    m.code(at, `b9 09 00 00 00 ff c9 75 fc ${'90 '.repeat(i % 7)} cc`);
    m.run(at);
  }
  const { tier } = m.engine;
  assert.ok(tier!.stats.functions >= 100);
  assert.ok(tier!.resident <= 2, `${tier!.resident} functions`);
});

test('a direct call gives way when other code stands where it led', async () => {
  const m = await TestMachine.create('auto', 2);
  const { tier, codeCache } = m.engine;
  m.mapNew(CODE, PAGE_RW, 2);
  m.mapNew(DATA, PAGE_RW);
  // Again: call the next page · dec ecx · jnz again · int3
  m.code(CODE, 'e8 fb 0f 00 00 ff c9 75 f7 cc');
  /** Runs the loop until the callee is compiled, which adds a constant, and then once more. */
  const compileAndRun = async (constant: number): Promise<void> => {
    m.code(CODE + PAGE_SIZE, `83 c0 ${constant.toString(16).padStart(2, '0')} c3`);
    const page = codeCache.page(m.physical(CODE + PAGE_SIZE) / PAGE_SIZE, MODE_LONG);
    for (let i = 0; tier!.functionsOf(page).length === 0; i++) {
      assert.ok(i < 2000, 'the callee is not compiled');
      m.cpu.setRegNumber(RCX, 400);
      m.cpu.setRegNumber(RSP, DATA + 0x800);
      m.run(CODE, 100_000);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    m.cpu.setRegNumber(RAX, 0);
    m.cpu.setRegNumber(RCX, 400);
    m.run(CODE, 100_000);
    assert.equal(m.cpu.reg(RAX), 400 * constant);
  };
  for (const constant of [1, 2, 3, 4, 5]) await compileAndRun(constant);
  const caller = codeCache.page(m.physical(CODE) / PAGE_SIZE, MODE_LONG);
  assert.equal(tier!.functionsOf(caller).length > 0, true, 'the caller is still compiled');
});
