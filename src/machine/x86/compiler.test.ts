import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CPU, CPU_FPU_CONTROL, CPU_WIDE } from '../layout.ts';
import { PAGE_SIZE } from '../memory.ts';
import type { EngineKind } from './engine.ts';
import { RBX, RCX, RSP } from './registers.ts';
import { PAGE_RW, TestMachine } from './testing/machine.ts';

const CODE = 0x400000;
const DATA = 0x600000;

/**
 * Programs that end at INT3, and the budget they may take. Both engines run them; afterwards everything that a guest could
 * see is compared. rbx points to data, rcx is small.
 */
const PROGRAMS: readonly (readonly [title: string, instructions: readonly string[], budget: number])[] = [
  ['a loop that counts down', ['48 01 c8', '48 31 c2', '48 ff c9', '7f f5'], 1000],
  [
    'a loop in a loop',
    ['be 05 00 00 00', 'bf 07 00 00 00', '48 01 f8', 'ff cf', '75 f9', 'ff ce', '75 f0'],
    1000,
  ],
  [
    'a loop with two ways through it',
    ['be 20 00 00 00', 'f7 c6 01 00 00 00', '74 05', '48 01 f0', 'eb 03', '48 29 f0', 'ff ce', '75 ec'],
    1000,
  ],
  ['calls and returns', ['be 0a 00 00 00', 'e8 05 00 00 00', 'ff ce', '75 f7', 'cc', '48 01 f0', 'c3'], 1000],
  [
    'recursion deeper than calls can nest',
    ['be e8 03 00 00', 'e8 01 00 00 00', 'cc', 'ff ce', '74 05', 'e8 f7 ff ff ff', '48 ff c0', 'c3'],
    20000,
  ],
  [
    'a return to somewhere else',
    ['48 8d 35 0b 00 00 00', 'e8 00 00 00 00', '48 89 34 24', 'c3', 'cc', '48 ff c0'],
    100,
  ],
  ['a call through a register', ['48 8d 35 04 00 00 00', 'ff d6', '90', 'cc', '48 ff c0', 'c3'], 100],
  ['a jump through a register', ['48 8d 35 03 00 00 00', 'ff e6', 'cc', '48 ff c0'], 100],
  ['flags that live around a loop', ['be 09 00 00 00', '48 11 c8', '48 11 d2', 'ff ce', '75 f6'], 1000],
  [
    'a carry that INC and DEC keep',
    ['48 01 c8', 'ff c6', '48 11 d2', '48 29 c8', 'ff ce', '48 19 d2', '9c', '5e'],
    100,
  ],
  [
    'a repeated move',
    ['48 89 de', '48 8d bb 00 04 00 00', 'b9 00 01 00 00', 'f3 a4', '48 ff c0', 'f3 aa'],
    3000,
  ],
  [
    'a store to the code that follows',
    ['48 8d 05 09 00 00 00', 'c6 00 c0', '90', '90', '90', '90', '90', '48 ff c1', '48 ff c9'],
    100,
  ],
  ['an entry into the middle of a loop', ['eb 03', '48 ff c0', '48 ff c1', '48 83 f9 40', '7c f4'], 1000],
  [
    'two ways into a loop',
    ['be 06 00 00 00', 'a8 01', '74 03', '48 ff c0', '48 ff c2', 'ff ce', '75 f6'],
    1000,
  ],
];

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

async function machineFor(
  instructions: readonly string[],
  seed: number,
  kind: EngineKind,
  heatLimit?: number,
): Promise<TestMachine> {
  const m = await TestMachine.create(kind, heatLimit);
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
  const fpu = m.memory.u8.subarray(CPU + CPU_FPU_CONTROL, CPU + CPU_WIDE);
  return `${m.state()} retired=${m.cpu.retired} ${fpu.join()} ${data.join()}`;
}

function compare(title: string, instructions: readonly string[], budgets: readonly number[]): void {
  test(`compiled and interpreted alike: ${title}`, async () => {
    for (let seed = 1; seed <= 8; seed++) {
      for (const budget of budgets) {
        const outcomes: string[] = [];
        // Compiled at once, a region is what has just been decoded; later, all ways through it are known.
        for (const [kind, heatLimit] of [['interpreter'], ['compiler'], ['compiler', 3]] as const) {
          const m = await machineFor(instructions, seed, kind, heatLimit);
          const ending = JSON.stringify(m.run(CODE, budget));
          outcomes.push(`${ending} ${everything(m)}`);
          if (kind === 'compiler' && heatLimit === undefined) assert.ok(m.engine.tier!.stats.functions > 0);
        }
        assert.equal(outcomes[1], outcomes[0], `seed ${seed}, budget ${budget}`);
        assert.equal(outcomes[2], outcomes[0], `seed ${seed}, budget ${budget}, compiled late`);
      }
    }
  });
}

for (const [title, instructions] of RUNS) {
  const { length } = instructions;
  compare(title, instructions, [length + 1, length, length - 1, 1000]);
}
for (const [title, instructions, budget] of PROGRAMS) {
  compare(title, instructions, [budget, 1, 7, 20, Math.floor(budget / 3)]);
}
