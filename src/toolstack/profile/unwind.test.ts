/** Both ways up a stack, on stacks laid out by hand; `test/system/profile.test.ts` compares with Linux's own traces. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PAGE_SIZE } from '../../machine/memory.ts';
import { QuietMemory } from '../../machine/x86/quiet-memory.ts';
import { PAGE_RW, TestMachine } from '../../machine/x86/testing/machine.ts';
import type { SymbolTable } from '../images/index.ts';
import { callerByFramePointer } from './frame-pointers.ts';
import { OrcTables, type Place } from './orc.ts';

const STACK = 0x700000;
const CODE = 0x400000;
/** Where the made-up kernel lies. */
const TEXT = -0x7f000000;
const TABLES = -0x7e000000;

interface Entry {
  readonly at: number;
  readonly spOffset: number;
  readonly bpOffset?: number;
  readonly flags: number;
}

/** A kernel's tables with these entries. */
function tables(entries: readonly Entry[]): OrcTables {
  const bytes = new Uint8Array(entries.length * 10);
  const view = new DataView(bytes.buffer);
  const table = entries.length * 4;
  for (const [i, { at, spOffset, bpOffset = 0, flags }] of entries.entries()) {
    view.setInt32(i * 4, at - (TABLES + i * 4), true);
    view.setInt16(table + i * 6, spOffset, true);
    view.setInt16(table + i * 6 + 2, bpOffset, true);
    view.setUint16(table + i * 6 + 4, flags, true);
  }
  const known: Record<string, number> = {
    __start_orc_unwind_ip: TABLES,
    __stop_orc_unwind_ip: TABLES + table,
    __start_orc_unwind: TABLES + table,
  };
  const symbols: SymbolTable = {
    size: 3,
    addressOf: (name) => known[name],
    nearest: () => undefined,
  };
  const segment = { virtual: TABLES, physical: 0, bytes, memorySize: bytes.length };
  return OrcTables.of({ segments: [segment] }, symbols)!;
}

async function stackOf(words: readonly number[]): Promise<QuietMemory> {
  const m = await TestMachine.create();
  m.mapNew(STACK, PAGE_RW);
  m.mapNew(CODE, PAGE_RW);
  m.code(CODE, '90 90 90 90 90 e8 00 00 00 00 90 90 90 90 90 ff d0 90');
  for (const [i, word] of words.entries()) {
    m.memory.write64(m.physical(STACK) + i * 8, word | 0, Math.floor(word / 2 ** 32) | 0);
  }
  return new QuietMemory(m.cpu);
}

const place = (rip: number, rsp: number, rbp = 0): Place => ({ rip, rsp, rbp, exact: true, user: false });
/** sp_reg, bp_reg, and the kind as each generation of kernels writes it. */
const SP = 5;
const BP = 4;
const PREVIOUS_BP = 1 << 4;
const GENERATIONS = [
  { name: 'Linux 6.1', call: 0, registers: 1 << 8, interrupt: 2 << 8 },
  { name: 'Linux 6.4', call: 2 << 8, registers: 3 << 8, interrupt: 4 << 8 },
] as const;

for (const { name, call, registers, interrupt } of GENERATIONS) {
  const orc = tables([
    { at: TEXT, spOffset: 8, flags: SP | call },
    { at: TEXT + 0x10, spOffset: 24, bpOffset: -16, flags: SP | PREVIOUS_BP | call },
    { at: TEXT + 0x20, spOffset: 16, bpOffset: -16, flags: BP | PREVIOUS_BP | call },
    { at: TEXT + 0x30, spOffset: 0, flags: 0 },
    { at: TEXT + 0x40, spOffset: 0, flags: SP | registers },
    { at: TEXT + 0x50, spOffset: 8, flags: SP | interrupt },
    { at: TEXT + 0x60, spOffset: 8, flags: SP | call },
    { at: TEXT + 0x70, spOffset: 0, flags: 7 | call },
  ]);

  test(`follows the tables of ${name} from a call to its caller`, async () => {
    const memory = await stackOf([0, TEXT + 0x15, 0x111, 0x222, 0x333]);
    const caller = orc.caller(place(TEXT + 5, STACK + 8, 0x99), memory)!;
    assert.deepEqual(caller, { rip: TEXT + 0x15, rsp: STACK + 16, rbp: 0x99, exact: false, user: false });
    const outer = orc.caller(caller, memory)!;
    assert.deepEqual([outer.rip, outer.rsp, outer.rbp], [0x333, STACK + 40, 0x222]);
  });

  test(`the address behind a call belongs to the caller, in ${name}`, async () => {
    // A call at the very end of a function returns to where the next one's entry holds already.
    const memory = await stackOf([1, 2, 3, 4]);
    const returned: Place = { ...place(TEXT + 0x10, STACK), exact: false };
    assert.equal(orc.caller(returned, memory)!.rsp, STACK + 8);
    assert.equal(orc.caller({ ...returned, exact: true }, memory)!.rsp, STACK + 24);
  });

  test(`finds registers that an interrupt saved, in ${name}`, async () => {
    const words = new Array<number>(22).fill(0);
    words[4] = 0xb9;
    words.splice(16, 4, 0x401234, 0xe033, 0x202, 0x7ffe0000);
    const memory = await stackOf(words);
    const user = orc.caller(place(TEXT + 0x45, STACK), memory);
    assert.deepEqual(user, { rip: 0x401234, rsp: 0x7ffe0000, rbp: 0xb9, exact: true, user: true });
    const kernel = await stackOf([0, TEXT, 0xe030, 0x202, STACK + 64]);
    const above = orc.caller(place(TEXT + 0x55, STACK), kernel);
    assert.deepEqual(above, { rip: TEXT, rsp: STACK + 64, rbp: 0, exact: true, user: false });
  });

  test(`a register may hold the caller's stack pointer, in ${name}`, async () => {
    const memory = await stackOf([0, 0, TEXT + 1, 0]);
    const at = { ...place(TEXT + 0x75, STACK), register: (n: number) => (n === 13 ? STACK + 24 : 0) };
    assert.equal(orc.caller(at, memory)!.rip, TEXT + 1);
    assert.equal(orc.caller(place(TEXT + 0x75, STACK), memory), undefined);
  });

  test(`the caller's registers may be where others point, in ${name}`, async () => {
    const memory = await stackOf([0, STACK + 40, 0, 0x777, TEXT + 1, 0]);
    const from = (flags: number, at: Place, spOffset: number, bpOffset = 0) =>
      tables([
        { at: TEXT, spOffset, bpOffset, flags: flags | call },
        { at: TEXT + 0x10, spOffset: 8, flags: SP | call },
        { at: TEXT + 0x20, spOffset: 8, flags: SP | call },
        { at: TEXT + 0x30, spOffset: 0, flags: SP | registers },
        { at: TEXT + 0x40, spOffset: 8, flags: SP | interrupt },
      ]).caller(at, memory);
    const [spIndirect, bpIndirect, bpBased] = [9, 8, BP << 4];
    const found = { rip: TEXT + 1, rsp: STACK + 40, exact: false, user: false };
    assert.deepEqual(from(spIndirect, place(TEXT, STACK + 8, 5), 0), { ...found, rbp: 5 });
    assert.equal(from(spIndirect, place(TEXT, STACK + 8, 5), -32), undefined, 'the same place again');
    assert.deepEqual(from(bpIndirect, place(TEXT, STACK, STACK + 24), -16), { ...found, rbp: STACK + 24 });
    const based = from(SP | bpBased, place(TEXT, STACK, STACK + 40), 40, -16);
    assert.deepEqual(based, { ...found, rbp: 0x777 });
    for (const [register, number] of [
      [2, 2],
      [3, 7],
      [6, 10],
      [7, 13],
    ] as const) {
      const at = { ...place(TEXT, STACK), register: (n: number) => (n === number ? STACK + 40 : 0) };
      assert.deepEqual(from(register, at, 0), { ...found, rbp: 0 }, `${register}`);
    }
    assert.equal(from(15, place(TEXT, STACK), 0), undefined);
  });

  test(`a stack leads upwards, to another one, or to the user's, in ${name}`, async () => {
    const leadsTo = async (rsp: number, cs: number) => {
      const memory = await stackOf([0, TEXT, cs, 0x202, rsp, 0x123]);
      return orc.caller(place(TEXT + 0x55, STACK, 0x77), memory);
    };
    const [kernel, user] = [0xe030, 0xe033];
    assert.deepEqual(await leadsTo(STACK + 8, kernel), {
      rip: TEXT,
      rsp: STACK + 8,
      rbp: 0x77,
      exact: true,
      user: false,
    });
    assert.equal(await leadsTo(STACK, kernel), undefined);
    assert.equal(await leadsTo(STACK - 16383, kernel), undefined);
    assert.equal((await leadsTo(STACK - 16384, kernel))?.rsp, STACK - 16384, 'another stack');
    assert.equal((await leadsTo(STACK - 8, user))?.rsp, STACK - 8, "a user's stack");
  });

  test(`stops where the tables of ${name} say so, and at stacks that lead nowhere`, async () => {
    const memory = await stackOf([TEXT, TEXT, TEXT]);
    assert.equal(orc.caller(place(TEXT + 0x35, STACK), memory), undefined);
    assert.equal(orc.caller(place(TEXT - 1, STACK), memory), undefined);
    assert.equal(orc.caller(place(TEXT, 0x12345678), memory), undefined);
    assert.equal(orc.caller(place(TEXT + 0x25, STACK + 16, STACK - 8), memory), undefined, 'downwards');
    assert.equal(orc.caller(place(TEXT + 0x25, STACK, Number.NaN), memory), undefined);
  });
}

test('a kernel without tables, or with some that are not in its image, has none', () => {
  const symbols: SymbolTable = { size: 0, addressOf: () => -4096, nearest: () => undefined };
  assert.equal(OrcTables.of({ segments: [] }, symbols), undefined);
  assert.equal(
    OrcTables.of({ segments: [] }, { ...symbols, addressOf: (n) => (n[2] === 's' ? -16 : -4096) }),
    undefined,
  );
});

test('frame pointers are followed while there is a call before the address they lead to', async () => {
  const memory = await stackOf([STACK + 32, CODE + 10, 0, 0, STACK + 8, CODE + 17, 0]);
  const user: Place = { ...place(CODE, STACK, STACK), user: true };
  const first = callerByFramePointer(user, memory)!;
  assert.deepEqual(first, { rip: CODE + 10, rsp: STACK + 16, rbp: STACK + 32, exact: false, user: true });
  const second = callerByFramePointer(first, memory)!;
  assert.equal(second.rip, CODE + 17);
  assert.equal(callerByFramePointer(second, memory), undefined, 'downwards');
});

test('a frame pointer of a user leads to no address of the kernel', async () => {
  const m = await TestMachine.create();
  m.mapNew(STACK, PAGE_RW);
  m.mapNew(TEXT, PAGE_RW);
  m.code(TEXT, '90 90 90 90 90 e8 00 00 00 00 90');
  m.memory.write64(m.physical(STACK), STACK + 32, 0);
  m.memory.write64(m.physical(STACK) + 8, (TEXT + 10) | 0, -1);
  const memory = new QuietMemory(m.cpu);
  const at = place(TEXT, STACK, STACK);
  assert.equal(callerByFramePointer(at, memory)?.rip, TEXT + 10);
  assert.equal(callerByFramePointer({ ...at, user: true }, memory), undefined);
});

test('a frame pointer leads no further than a large frame', async () => {
  const memory = await stackOf([STACK + 32, CODE + 10]);
  const at = (rsp: number): Place => ({ ...place(CODE, rsp, STACK), user: true });
  assert.equal(callerByFramePointer(at(STACK - (1 << 20) + 8), memory)?.rip, CODE + 10);
  assert.equal(callerByFramePointer(at(STACK - (1 << 20)), memory), undefined);
});

test('any length of a call stands before an address that is returned to', async () => {
  const calls = [
    'ff d0',
    'ff 50 08',
    'ff 54 24 08',
    'ff 90 00 01 00 00',
    '41 ff 94 24 00 01 00 00',
    'e8 00 00 00 00',
  ];
  const others = ['ff c0', 'ff 60 08', 'eb 10', 'ff 20', 'e9 00 00 00 00'];
  for (const [forms, isCall] of [
    [calls, true],
    [others, false],
  ] as const) {
    for (const form of forms) {
      const m = await TestMachine.create();
      m.mapNew(STACK, PAGE_RW);
      m.mapNew(CODE, PAGE_RW);
      m.code(CODE, `90 90 90 90 90 90 90 90 ${form} 90`);
      const after = CODE + 8 + form.split(' ').length;
      m.memory.write64(m.physical(STACK), STACK + 32, 0);
      m.memory.write64(m.physical(STACK) + 8, after, 0);
      const found = callerByFramePointer(
        { ...place(CODE, STACK, STACK), user: true },
        new QuietMemory(m.cpu),
      );
      assert.equal(found?.rip, isCall ? after : undefined, form);
    }
  }
});

test('a register that is no frame pointer leads nowhere', async () => {
  const memory = await stackOf([STACK + 32, CODE + 9, STACK, 0x12345678, 0, -5]);
  for (const rbp of [
    0,
    STACK + 3,
    STACK,
    STACK + 16,
    STACK + 32,
    STACK + PAGE_SIZE,
    -8,
    Number.NaN,
    2 ** 60,
  ]) {
    assert.equal(
      callerByFramePointer({ ...place(CODE, STACK, rbp), user: true }, memory),
      undefined,
      `${rbp}`,
    );
  }
});
