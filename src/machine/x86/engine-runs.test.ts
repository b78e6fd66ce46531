/**
 * Whole runs: the same program must leave the same state however it is cut into budgets, wherever it lies in its pages,
 * however little room there is for decoded code, and whether or not decoded code is kept at all.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PAGE_SIZE } from '../memory.ts';
import { RAX, RBX, RCX, RDI, RSI, RSP } from './registers.ts';
import { type Ending, PAGE_RW, TestMachine } from './testing/machine.ts';
import { lengthOf, numbers, randomProgram, selfModifyingProgram } from './testing/programs.ts';

const CODE = 0x400000;
const DATA = 0x600000;
const TARGET = 0x700100;
const ALIAS = 0x900000;
const INT3 = { exit: 'interrupt', vector: 3 };

/** A machine with a random program at an address, ready to run. */
async function machineWith(program: string, at: number, seed: number): Promise<TestMachine> {
  const m = await TestMachine.create();
  m.mapNew(CODE, PAGE_RW, 3);
  m.mapNew(DATA, PAGE_RW, 2);
  m.mapNew(0x700000, PAGE_RW);
  for (let i = 0; i < 3; i++)
    m.map(ALIAS + i * PAGE_SIZE, m.physical(CODE + i * PAGE_SIZE) / PAGE_SIZE, PAGE_RW);
  m.code(at, program);
  m.cpu.setRegNumber(RAX, seed * 7919);
  m.cpu.setRegNumber(RBX, DATA);
  m.cpu.setRegNumber(RSP, DATA + PAGE_SIZE);
  m.cpu.setRegNumber(RSI, DATA + 0x20);
  m.cpu.setRegNumber(RDI, TARGET);
  m.cpu.rip = at;
  return m;
}

/** Runs to the end, `budget` instructions at a time; `between` is called where a budget ends. */
function runToEnd(m: TestMachine, budget: () => number, between = (): void => {}): void {
  let ending: Ending = { exit: 'budget' };
  for (let runs = 0; ending.exit === 'budget'; runs++) {
    assert.ok(runs < 1e5, 'the program ends');
    const most = budget();
    const before = m.cpu.retired;
    ending = m.run(m.cpu.rip, most);
    if (ending.exit === 'budget') {
      assert.equal(m.cpu.retired - before, most, 'a budget is spent exactly');
      between();
    }
  }
  assert.deepEqual(ending, INT3);
}

const whole = (): number => 1e6;
const single = (): number => 1;

/** What a program left: registers, flags, count, memory. */
const outcome = (m: TestMachine): string => `${m.state()}\n${m.bytes(DATA, 128)}\n${m.bytes(TARGET, 64)}`;

test('however a run is cut into budgets, the state and the count of instructions are the same', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const outcomes: string[] = [];
    for (const way of ['whole', 'single', 'random']) {
      const random = numbers(seed + 77);
      const m = await machineWith(randomProgram(seed), CODE, seed);
      runToEnd(m, way === 'whole' ? whole : way === 'single' ? single : () => 1 + random(9));
      outcomes.push(outcome(m));
    }
    assert.equal(new Set(outcomes).size, 1, `seed ${seed}:\n${outcomes.join('\n')}`);
  }
});

test('a program does the same wherever a page boundary cuts it', async () => {
  const program = randomProgram(21);
  // Return addresses lie on the stack: only what does not depend on the place is compared.
  const results = new Map<string, number>();
  const length = lengthOf(program);
  for (let cut = 0; cut <= length; cut += 1) {
    const m = await machineWith(program, CODE + PAGE_SIZE - cut, 21);
    const random = numbers(cut);
    runToEnd(m, cut % 3 === 0 ? () => 1 + random(5) : whole);
    const state = outcome(m).replace(/rip=\w+/, '');
    results.set(state, cut);
  }
  assert.equal(results.size, 1, [...results].map(([state, cut]) => `cut at ${cut}: ${state}`).join('\n'));
});

test('a program that changes itself does what it does when nothing decoded is kept', async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const program = selfModifyingProgram(seed);
    const outcomes: string[] = [];
    for (const way of ['reference', 'whole', 'single', 'random']) {
      const random = numbers(seed + 5);
      // Every third program lies across two pages.
      const at = seed % 3 === 0 ? CODE + PAGE_SIZE - 90 : CODE + 0x100;
      const m = await machineWith(program, at, seed);
      m.cpu.setRegNumber(RBX, at);
      m.cpu.setRegNumber(12, at - CODE + ALIAS);
      const budget = way === 'whole' ? whole : way === 'random' ? () => 1 + random(9) : single;
      runToEnd(m, budget, () => {
        if (way === 'reference') m.engine.codeCache.flush();
      });
      outcomes.push(`${m.state()}\n${m.bytes(at, lengthOf(program))}`);
    }
    assert.equal(new Set(outcomes).size, 1, `seed ${seed}:\n${outcomes.join('\n')}`);
  }
});

test('a program too large for the room that decoded code has runs all the same', async () => {
  const m = await TestMachine.create();
  // 300 pages, each with a jump to a random place of the next: add eax, imm32; jmp.
  const pages = 300;
  m.mapNew(CODE, PAGE_RW, pages);
  const random = numbers(9);
  let sum = 0;
  let at = CODE;
  const start = at;
  for (let i = 1; i <= pages; i++) {
    const next = i === pages ? start : CODE + i * PAGE_SIZE + random(4000);
    const value = random(1e6);
    sum += value;
    const relative = next - (at + 10);
    const bytes = (n: number): string =>
      [0, 8, 16, 24].map((shift) => ((n >> shift) & 0xff).toString(16)).join(' ');
    m.code(at, `05 ${bytes(value)} e9 ${bytes(relative)}`);
    at = next;
  }
  m.cpu.setRegNumber(RAX, 0);
  const generation = m.engine.codeCache.generation;
  assert.deepEqual(m.run(start, pages * 2 * 3), { exit: 'budget' });
  assert.equal(m.cpu.reg(RAX), sum * 3);
  assert.equal(m.cpu.rip, start);
  assert.ok(m.engine.codeCache.generation > generation, 'the code cache was emptied on the way');
});

test('a repeated instruction of many iterations is cut by the budget and keeps its place', async () => {
  const m = await machineWith('f3 aa cc', CODE, 0); // rep stosb
  m.cpu.setRegNumber(RAX, 0x11);
  m.cpu.setRegNumber(RDI, DATA);
  m.cpu.setRegNumber(RCX, 5000);
  assert.deepEqual(m.run(CODE, 100), { exit: 'budget' });
  assert.deepEqual([m.cpu.rip, m.cpu.reg(RCX), m.cpu.reg(RDI), m.cpu.retired], [CODE, 4900, DATA + 100, 100]);
  assert.deepEqual(m.run(CODE, 1e6), INT3);
  assert.deepEqual([m.cpu.reg(RCX), m.cpu.reg(RDI), m.cpu.retired], [0, DATA + 5000, 5001]);
});

test('what faults does not count', async () => {
  const m = await machineWith('90 90 8b 03 cc', CODE, 0); // nop; nop; mov eax, [rbx]
  m.cpu.setRegNumber(RBX, 0x500000);
  assert.equal(m.run(CODE).vector, 14);
  assert.equal(m.cpu.retired, 2);
  assert.equal(m.run().vector, 14);
  assert.equal(m.cpu.retired, 2);
});
