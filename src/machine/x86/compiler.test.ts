import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CPU, CPU_BUDGET, CPU_SIZE } from '../layout.ts';
import { PAGE_SIZE } from '../memory.ts';
import { CompileError, compileRun } from './compiler.ts';
import { Status } from './interpreter-emitter.ts';
import { RAX, RBX, RCX, RDX, RSI, RSP } from './registers.ts';
import { exportedSignatures, supportModuleBytes } from './support-imports.ts';
import { PAGE_RO, PAGE_RW, TestMachine } from './testing/machine.ts';

const CODE = 0x400000;
const DATA = 0x600000;

/** Straight lines from every corner of the integer set, and some of SSE and x87; rbx points to data. */
const RUNS: readonly (readonly [title: string, instructions: readonly string[]])[] = [
  [
    'moves and arithmetic of all sizes',
    ['48 01 c8', '00 e0', '66 29 d8', '31 c1', '04 7f', '48 83 d0 01', 'f6 d4', '48 f7 d9'],
  ],
  [
    'memory operands with base, index and displacement',
    ['48 8b 03', '48 03 44 cb 10', '89 44 8b 20', '48 8d 54 8b 05', '0f b6 73 07', '66 ff 43 30', '86 63 11'],
  ],
  [
    'shifts, rotates and double shifts',
    ['48 c1 e0 05', 'd3 e9', '48 d3 ca', 'c0 d4 03', '0f a4 c8 0b', '48 0f ad ca', 'd1 d8'],
  ],
  [
    'bit tests and scans',
    ['48 0f ba e0 21', '0f ab c8', '48 0f bd c2', '0f bc f1', 'f3 48 0f b8 c0', '0f a3 0b'],
  ],
  [
    'multiplication and division',
    ['48 0f af c1', '48 f7 e1', '48 31 d2', '48 83 c9 03', '48 f7 f1', '6b c8 11', 'f7 e9'],
  ],
  [
    'flags that pass from one instruction to another',
    ['48 39 c8', '0f 92 c0', '48 19 d2', 'f5', '48 0f 4c c1', '9c', '9e', '9f', '58'],
  ],
  ['the stack', ['50', '51', '5a', '68 78 56 34 12', '5e', 'c9'].slice(0, 5)],
  [
    'string instructions without repetition',
    ['48 89 de', '48 8d 7b 40', 'a5', '48 a7', 'aa', 'ac', 'fd', 'a4', 'fc'],
  ],
  ['exchange and compare', ['48 0f b1 4b 08', 'f0 48 0f c1 43 10', '87 ca', '48 0f c8', '0f c7 4b 20']],
  [
    'packed integers and doubles',
    [
      'f3 0f 6f 43 10',
      '66 0f fc c8',
      'f2 48 0f 2a d1',
      'f2 0f 58 d0',
      '66 0f 70 d9 1b',
      '0f 11 53 20',
      '66 48 0f 7e c0',
    ],
  ],
  ['the x87 stack', ['d9 e8', 'db 03', 'de c1', 'dd 5b 18', 'df 6b 18']],
  ['a branch that is taken ends the run', ['48 ff c8', '75 40']],
  ['a branch that is not taken goes on', ['48 31 c0', '75 40', '48 ff c1']],
  ['a call', ['50', 'e8 00 01 00 00']],
];

async function machineFor(instructions: readonly string[], seed: number): Promise<TestMachine> {
  const m = await TestMachine.create();
  m.mapNew(CODE, PAGE_RW);
  m.mapNew(DATA, PAGE_RW, 2);
  m.code(CODE, `${instructions.join(' ')} cc`);
  let state = seed;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state ^ (state >>> 15);
  };
  for (let n = 0; n < 16; n++) m.cpu.setReg(n, next(), next());
  for (let i = 0; i < 2 * PAGE_SIZE; i += 4) m.memory.write32(m.physical(DATA) + i, next());
  m.cpu.setRegNumber(RBX, DATA + 0x100);
  m.cpu.setRegNumber(RSP, DATA + 0x1800);
  m.cpu.setRegNumber(RCX, next() & 15);
  m.cpu.rflags = 0x202 | (next() & 0x8d5);
  m.cpu.rip = CODE;
  return m;
}

/** Registers, flags, FPU state and both pages of data; not the words that belong to the engine. */
function everything(m: TestMachine): string {
  const data = m.memory.u8.subarray(m.memory.framesBase + m.physical(DATA)).subarray(0, 2 * PAGE_SIZE);
  const fpu = m.memory.u8.subarray(CPU + 0x300, CPU + CPU_SIZE);
  return `${m.state()} retired=${m.cpu.retired} ${fpu.join()} ${data.join()}`;
}

/** Compiles the run at CODE, which must have been decoded. */
async function compiled(m: TestMachine, count: number): Promise<() => number> {
  const { engine, memory } = m;
  const page = engine.codeCache.page(m.physical(CODE) / PAGE_SIZE, true);
  const record = engine.codeCache.lookup(page, 0);
  const module = compileRun(
    memory.view,
    engine.variants,
    exportedSignatures(supportModuleBytes()),
    memory.wasm.buffer.byteLength / 65536,
    record,
    count,
  );
  return (await engine.link(module)).run as () => number;
}

for (const [title, instructions] of RUNS) {
  test(`compiled from the same definitions: ${title}`, async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const interpreted = await machineFor(instructions, seed);
      interpreted.engine.run(instructions.length);
      const expected = everything(interpreted);
      const m = await machineFor(instructions, seed);
      m.engine.run(0); // decodes, executes nothing
      m.cpu.rip = CODE;
      const run = await compiled(m, instructions.length);
      m.memory.u32[(CPU + CPU_BUDGET) >> 2] = 100;
      assert.equal(run(), Status.Jump);
      assert.equal(everything(m), expected, `seed ${seed}`);
    }
  });
}

test('a fault in the middle of a compiled run leaves what came before it and nothing of what comes after', async () => {
  const instructions = ['48 ff c0', '48 89 03', '48 ff c1', '48 01 06', '48 ff c2']; // the store to [rsi] faults
  const prepare = async (): Promise<TestMachine> => {
    const m = await machineFor(instructions, 5);
    m.mapNew(0x700000, PAGE_RO);
    m.cpu.setRegNumber(RSI, 0x700000);
    return m;
  };
  const interpreted = await prepare();
  const ending = interpreted.run();
  assert.deepEqual(ending, { exit: 'exception', vector: 14, error: 7, address: 0x700000 });
  const expected = everything(interpreted);
  const rax = interpreted.cpu.reg(RAX);
  const rdx = interpreted.cpu.reg(RDX);
  const m = await prepare();
  m.engine.run(0);
  m.cpu.rip = CODE;
  const run = await compiled(m, instructions.length);
  assert.equal(run(), Status.Fault);
  assert.equal(m.cpu.exitVector, 14);
  assert.equal(m.cpu.exitAddress, 0x700000);
  assert.equal(m.cpu.reg(RAX), rax);
  assert.equal(m.cpu.reg(RDX), rdx);
  assert.equal(everything(m), expected);
});

test('a record that is no instruction is refused', async () => {
  const m = await machineFor(['48 ff c0', 'eb 00'], 1);
  m.engine.run(0);
  await assert.rejects(compiled(m, 3), CompileError);
});
