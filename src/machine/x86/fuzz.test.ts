import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PAGE_SIZE } from '../memory.ts';
import { Exit } from './exits.ts';
import { CS, RBX, RCX, RDI, RSI, RSP } from './registers.ts';
import { PAGE_RO, PAGE_RW, TestMachine } from './testing/machine.ts';

const CODE = 0x400000;
const DATA = 0x600000;
const SHOWN = 0x700000;
const PATTERN = 0xa5;
/** A long run is had by setting this to some millions. */
const PROGRAMS = Number(process.env.RINGONE_FUZZ_PROGRAMS ?? 3000);

/** xorshift32: the same programs in every run. */
function random(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Prefixes and escapes that lead to more of the opcode map than plain bytes do. */
const OPENINGS = [
  [],
  [],
  [0x0f],
  [0x66],
  [0xf3],
  [0xf2],
  [0x48],
  [0xf0],
  [0x67],
  [0x66, 0x0f],
  [0xf3, 0x0f],
  [0x0f, 0x38],
  [0x66, 0x0f, 0x3a],
  [0x64],
  [0xf3, 0x48],
];

for (const long of [true, false]) {
  const mode = long ? '64-bit' : 'compatibility';
  test(`random bytes in ${mode} mode end in an exit, and touch no memory but their own`, async () => {
    const next = random(long ? 0x51a7 : 0x9e37);
    const m = await TestMachine.create();
    m.mapNew(CODE, PAGE_RW, 2);
    m.mapNew(DATA, PAGE_RW, 2);
    const shown = m.mapNew(SHOWN, PAGE_RO);
    const secret = m.frame();
    for (const mfn of [shown, secret]) m.memory.fill(mfn * PAGE_SIZE, PATTERN, PAGE_SIZE);
    const tables = m.memory.u8.slice(
      m.memory.host(m.root * PAGE_SIZE),
      m.memory.host(m.root * PAGE_SIZE) + PAGE_SIZE,
    );
    const bytes = new Uint8Array(64);
    for (let program = 0; program < PROGRAMS; program++) {
      for (let i = 0; i < bytes.length; ) {
        for (const byte of OPENINGS[next() % OPENINGS.length]!) if (i < bytes.length) bytes[i++] = byte;
        for (let n = 1 + (next() % 5); n > 0 && i < bytes.length; n--) bytes[i++] = next();
      }
      // Some programs lie across the border of the two code pages.
      const at = CODE + (program % 4 === 0 ? PAGE_SIZE - (next() % 64) : next() % 2048);
      m.memory.writeBytes(m.physical(CODE) + (at - CODE), bytes);
      for (let n = 0; n < 16; n++) m.cpu.setReg(n, next(), long ? next() : 0);
      for (const n of [RBX, RSI, RDI])
        if (next() % 3 !== 0) m.cpu.setRegNumber(n, DATA + (next() % (2 * PAGE_SIZE)));
      if (next() % 4 !== 0) m.cpu.setRegNumber(RSP, DATA + PAGE_SIZE + (next() & 0xff8));
      if (next() % 4 === 0) m.cpu.setRegNumber(RCX, next() % 5000);
      m.cpu.setSegment(CS, 0x33, long ? 0xa0fb : 0xc0fb, 0xffffffff, 0);
      m.cpu.rflags = 0x202 | (next() & 0x400dd5);
      m.cpu.rip = at;
      for (let turn = 0; turn < 4; turn++) {
        const before = m.cpu.retired;
        const budget = 1 + (next() % 300);
        const exit = m.engine.run(budget);
        assert.ok(Object.values(Exit).includes(exit), `program ${program}: exit ${exit}`);
        assert.ok(
          m.cpu.retired - before <= budget,
          `program ${program}: ${m.cpu.retired - before} > ${budget}`,
        );
        if (exit === Exit.Exception) break;
      }
    }
    for (const mfn of [shown, secret]) {
      const host = m.memory.host(mfn * PAGE_SIZE);
      assert.equal(
        m.memory.u8.subarray(host, host + PAGE_SIZE).every((byte) => byte === PATTERN),
        true,
      );
    }
    // The walker may only have set accessed bits in the tables.
    const host = m.memory.host(m.root * PAGE_SIZE);
    for (let i = 0; i < PAGE_SIZE; i++) assert.equal(m.memory.u8[host + i]! & ~0x60, tables[i]! & ~0x60);
  });
}
