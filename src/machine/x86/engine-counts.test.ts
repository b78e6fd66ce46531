import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PAGE_SIZE } from '../memory.ts';
import type { EngineCounts, EngineKind } from './engine.ts';
import { RAX, RBX, RDI, RDX, RSI, RSP } from './registers.ts';
import { PAGE_RW, TestMachine } from './testing/machine.ts';

const CODE = 0x400000;
const DATA = 0x600000;

/** A loop of ROUNDS rounds with a call, a `rep movsb` of 5 bytes and a load of DS with the null selector. */
const PROGRAM = [
  'b8 e8 03 00 00', // mov eax, ROUNDS
  'be 00 00 60 00 bf 80 00 60 00', // mov esi, DATA; mov edi, DATA + 128
  'b9 05 00 00 00 f3 a4', // mov ecx, 5; rep movsb
  'e8 05 00 00 00', // call what stands behind the int3
  'ff c8 75 e6', // dec eax; jnz to the second instruction
  'cc',
  '01 03 8e da c3', // add [rbx], eax; mov ds, edx; ret
].join(' ');

interface Outcome {
  readonly machine: TestMachine;
  readonly retired: number;
  /** What one run added. */
  readonly counts: EngineCounts;
}

async function runProgram(kind: EngineKind, budget: number): Promise<Outcome> {
  const machine = await TestMachine.create(kind);
  machine.mapNew(CODE, PAGE_RW);
  machine.mapNew(DATA, PAGE_RW);
  machine.code(CODE, PROGRAM);
  const { cpu, engine } = machine;
  for (const [register, value] of [
    [RAX, 0],
    [RBX, DATA],
    [RSP, DATA + PAGE_SIZE],
    [RSI, DATA],
    [RDI, DATA],
  ] as const) {
    cpu.setRegNumber(register, value);
  }
  cpu.setRegNumber(RDX, 0);
  const before = engine.counts();
  cpu.rip = CODE;
  for (let runs = 0; machine.run(cpu.rip, budget).exit !== 'interrupt'; runs++) assert.ok(runs < 1e5);
  const after = engine.counts();
  const counts = {
    ...after,
    interpreted: after.interpreted - before.interpreted,
    system: after.system - before.system,
  };
  return { machine, retired: cpu.retired, counts };
}

const ROUNDS = 1000;

test('the interpreter alone retires everything but what the engine executes itself', async () => {
  for (const budget of [1, 7, 1e6]) {
    const { retired, counts } = await runProgram('interpreter', budget);
    assert.equal(counts.interpreted + counts.system, retired, `budget ${budget}`);
    assert.equal(counts.tier, undefined);
  }
});

test('what compiled code retires is in no other count', async () => {
  const { retired: all } = await runProgram('interpreter', 1e6);
  for (const budget of [30, 1e6]) {
    const { retired, counts } = await runProgram('compiler', budget);
    assert.equal(retired, all);
    assert.equal(counts.system, (await runProgram('interpreter', 1e6)).counts.system);
    const compiled = retired - counts.interpreted - counts.system;
    assert.ok(compiled > 0.2 * retired && counts.interpreted >= 0, `${compiled} of ${retired}`);
    assert.ok(compiled >= ROUNDS);
  }
});

test('regions are counted when they are asked for, compiled, invalidated and evicted', async () => {
  const { machine } = await runProgram('compiler', 1e6);
  const { engine, memory } = machine;
  const tier = engine.tier!;
  const first = { ...tier.stats };
  assert.ok(first.requested >= first.functions && first.functions >= first.modules);
  assert.ok(first.bytes > first.functions * 50 && first.milliseconds > 0);

  memory.write8(machine.physical(CODE) + 1, 0xe7);
  assert.ok(tier.stats.invalidated > first.invalidated);
  assert.equal(tier.stats.evicted, first.evicted);

  await runProgram('compiler', 1e6);
  const second = { ...tier.stats };
  assert.ok(second.functions > first.functions);
  engine.codeCache.flush();
  assert.ok(tier.stats.evicted > second.evicted);
  assert.equal(tier.stats.invalidated, second.invalidated);
});

test('what only compiled code goes to becomes hot, too', async () => {
  const machine = await TestMachine.create('compiler', 3);
  const { cpu, engine } = machine;
  for (const page of [CODE, DATA, DATA + PAGE_SIZE]) machine.mapNew(page, PAGE_RW);
  // A loop of 1,000 rounds, which is compiled first, and a function in another page that it calls.
  machine.code(CODE, 'be e8 03 00 00 ff d3 ff ce 75 fa cc');
  machine.code(DATA, `${'48 ff c0 '.repeat(20)} c3`);
  cpu.setRegNumber(RBX, DATA);
  cpu.setRegNumber(RSP, DATA + 2 * PAGE_SIZE);
  const before = engine.counts().interpreted;
  assert.equal(machine.run(CODE, 1e6).exit, 'interrupt');
  assert.equal(cpu.reg(RAX), 20000);
  const interpreted = engine.counts().interpreted - before;
  assert.ok(interpreted < 500, `${interpreted} of 24,000 instructions were interpreted`);
});
