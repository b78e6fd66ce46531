/** Where the tiers once differed, found by running random programs through both tiers: `test/fuzz/differential`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RAX, RBX, RCX, RSI } from './registers.ts';
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
