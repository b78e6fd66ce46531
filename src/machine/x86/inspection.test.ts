import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PAGE_SIZE } from '../memory.ts';
import type { EngineKind } from './engine.ts';
import type { Inspection } from './inspection.ts';
import { RBX } from './registers.ts';
import { PAGE_RW, TestMachine } from './testing/machine.ts';

const CODE = 0x400000;
const ALIAS = 0x800000;
const DATA = 0x600000;
/** mov ecx, 9; loop: add [rbx], ecx; dec ecx; jnz loop; int3 */
const PROGRAM = 'b9 09 00 00 00 01 0b ff c9 75 fa cc';
const LOOP = CODE + 5;

async function machineThatRan(kind: EngineKind): Promise<TestMachine> {
  const m = await TestMachine.create(kind);
  m.map(ALIAS, m.mapNew(CODE, PAGE_RW), PAGE_RW);
  m.mapNew(DATA, PAGE_RW);
  m.code(CODE, PROGRAM);
  m.cpu.setRegNumber(RBX, DATA);
  m.run(CODE);
  return m;
}

function inspect(m: TestMachine, address: number): Inspection {
  const found = m.engine.inspector.inspect(m.cpu, m.root * PAGE_SIZE, address);
  assert.ok(typeof found !== 'string', `${found}`);
  return found;
}

test('shows the decoded block that holds an address', async () => {
  const m = await machineThatRan('interpreter');
  const { block, compiled, mfn, long } = inspect(m, LOOP + 2);
  assert.equal(mfn, m.physical(CODE) / PAGE_SIZE);
  assert.equal(long, true);
  assert.deepEqual(compiled, []);
  assert.deepEqual(
    block.map(({ offset, mnemonic, bytes }) => [offset, mnemonic, bytes.length]),
    [
      [0, 'MOV', 5],
      [5, 'ADD', 2],
      [7, 'DEC', 2],
      [9, 'JNZ', 2],
      [11, 'INT3', 1],
    ],
  );
  assert.deepEqual(
    block.map(({ run, linked }) => [run, linked]),
    [
      [5, false],
      [4, false],
      [3, false],
      [2, true],
      [1, false],
    ],
  );
});

test('finds the compiled functions that hold an address, wherever the frame is mapped', async () => {
  const m = await machineThatRan('compiler');
  for (const base of [CODE, ALIAS]) {
    const { compiled, functions } = inspect(m, base + 7);
    assert.ok(compiled.length >= 1 && functions >= compiled.length);
    for (const { region, place } of compiled) {
      assert.ok(place > 0);
      assert.ok(region.notes!.some(({ offset }) => offset === 7));
      assert.ok(region.notes!.every(({ at }, i) => i === 0 || at >= region.notes![i - 1]!.at));
    }
  }
  assert.deepEqual(inspect(m, CODE + 100).compiled, []);
});

test('forgets what was compiled of code that has changed', async () => {
  const m = await machineThatRan('compiler');
  m.memory.write8(m.physical(CODE), 0x90);
  const { compiled, functions, block } = inspect(m, LOOP);
  assert.deepEqual([compiled, functions, block], [[], 0, []]);
});

test('says why there is nothing to see', async () => {
  const m = await machineThatRan('compiler');
  const root = m.root * PAGE_SIZE;
  assert.equal(m.engine.inspector.inspect(m.cpu, root, CODE + 2 ** 30), 'unmapped');
  assert.equal(m.engine.inspector.inspect(m.cpu, root, DATA), 'never executed');
});
