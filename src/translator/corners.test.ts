/** Single operations at their corners: a function of each, its results as WebAssembly and on this processor. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { ByteWriter } from '../wasm/bytes.ts';
import {
  codeEntry,
  constant,
  constantHalves,
  exported,
  I32,
  I64,
  imported,
  part,
  section,
  signature,
  type Type,
  unsigned,
} from './testing/module-bytes.ts';
import { runInNode, runOnProcessor, skipNative } from './testing/run.ts';
import { PROGRAM_DATA_BASE, translateProgram } from './translate.ts';

/** A function of three i64 that gives one, and what it is called with. */
interface Case {
  readonly name: string;
  readonly locals?: readonly Type[];
  readonly body: readonly number[];
  readonly calls: readonly (readonly [bigint, bigint, bigint])[];
}

const LEAST = -(2n ** 63n);
const A = [0x20, 0];
const B = [0x20, 1];
const C = [0x20, 2];
const RETURN = 0x0f;
const END = 0x0b;
const BLOCK = [0x02, 0x40];
const WRAP = 0xa7;
const EXTEND_U = 0xad;
/** More values than there are registers. */
const MANY = 20;

/** Sets MANY locals from the first parameter, then mixes all of them. `make` and `take`: i64 to the local's type and back. */
function spilled(
  make: readonly number[],
  take: readonly number[],
  between: readonly number[] = [],
): number[] {
  const locals = Array.from({ length: MANY }, (_, i) => 3 + i);
  return [
    ...locals.flatMap((local) => [...A, 0x42, local, 0x85, ...make, 0x21, local]), // a ^ local
    ...between,
    ...[0x42, 0],
    ...locals.flatMap((local) => [0x42, 3, 0x89, 0x20, local, ...take, 0x85]), // rotated by 3, ^ local
  ];
}

const CASES: readonly Case[] = [
  ...[
    [0x7f, 'i64.div_s'],
    [0x80, 'i64.div_u'],
    [0x81, 'i64.rem_s'],
    [0x82, 'i64.rem_u'],
  ].map(([opcode, name]) => ({
    name: `${name} by the parameter that comes where the remainder goes`,
    body: [...A, ...C, opcode as number],
    calls: [
      [100n, 1n, 7n],
      [-100n, 1n, 7n],
    ] as const,
  })),
  {
    name: 'a remainder by the constant -1',
    body: [...A, 0x42, 0x7f, 0x81],
    calls: [
      [LEAST, 0n, 0n],
      [5n, 0n, 0n],
    ],
  },
  {
    name: 'a remainder by a number whose low half is that of -1',
    body: [...A, ...B, 0x81],
    calls: [
      [2n ** 40n + 5n, 0xffffffffn, 0n],
      [LEAST, -1n, 0n],
    ],
  },
  {
    name: 'a difference from the least number of 32 bits',
    body: [...A, 0x42, 0x80, 0x80, 0x80, 0x80, 0x78, 0x7d, ...A, 0x85],
    calls: [
      [0n, 0n, 0n],
      [1n, 0n, 0n],
    ],
  },
  {
    name: 'the low half of a number, and nothing above',
    body: [...A, WRAP, EXTEND_U],
    calls: [
      [-1n, 0n, 0n],
      [0x1_2345_6789n, 0n, 0n],
    ],
  },
  {
    name: 'an address that is the low half of a number',
    body: [...A, WRAP, 0x31, 0, 0], // i64.load8_u
    calls: [[2n ** 40n + BigInt(PROGRAM_DATA_BASE), 0n, 0n]],
  },
  {
    name: 'a choice between a constant zero and a value, either way',
    body: [...[0x42, 0], ...B, ...A, ...C, 0x54, 0x1b, ...B, ...[0x42, 0], ...A, ...C, 0x54, 0x1b, 0x7d],
    calls: [
      [1n, 5n, 2n],
      [2n, 5n, 1n],
    ],
  },
  {
    name: 'numbers of 64 bits that find no register',
    locals: Array<Type>(MANY).fill(I64),
    body: spilled([], []),
    calls: [[-1n, 0n, 0n]],
  },
  {
    name: 'numbers of 32 bits that find none, in memory that held others',
    locals: Array<Type>(MANY).fill(I32),
    body: spilled([WRAP], [EXTEND_U]),
    calls: [
      [-1n, 0n, 0n],
      [7n, 0n, 0n],
    ],
  },
  {
    name: 'values that live across a system call, and find no register',
    locals: Array<Type>(MANY).fill(I64),
    body: spilled([], [], [0x41, 1, 0x42, 1, 0x42, 0, 0x42, 0, 0x10, 0, 0x1a]), // write(1, 0, 0)
    calls: [[LEAST + 12345n, 0n, 0n]],
  },
  {
    name: 'a comparison that is kept, and decides at once',
    locals: [I32],
    body: [
      ...[...A, ...C, 0x54, 0x22, 3], // kept = a < c
      ...[0x04, I64, 0x20, 3, EXTEND_U, 0x05, 0x20, 3, EXTEND_U, 0x42, 5, 0x7c, END],
    ],
    calls: [
      [1n, 0n, 2n],
      [2n, 0n, 1n],
    ],
  },
  {
    name: 'a table of branches that take a value along, by default too',
    body: [...[0x02, I64, 0x02, I64, 0x42, 7, ...A, WRAP, 0x0e, 1, 0, 1, END], ...[0x42, 50, 0x7c, END]],
    calls: [
      [0n, 0n, 0n],
      [1n, 0n, 0n],
    ],
  },
  {
    name: 'memory that never grows',
    body: [...A, WRAP, 0x40, 0, EXTEND_U],
    calls: [[65536n, 0n, 0n]],
  },
  {
    name: 'a table of branches, within it, at its end and beyond',
    body: [
      ...[...BLOCK, ...BLOCK, ...BLOCK, ...BLOCK, ...BLOCK],
      ...[...A, WRAP, 0x0e, 4, 0, 1, 2, 3, 4, END],
      ...[10, 11, 12, 13].flatMap((answer) => [0x42, answer, RETURN, END]),
      ...[0x42, 14],
    ],
    calls: [0n, 1n, 2n, 3n, 4n, 5n, -1n].map((index) => [index, 0n, 0n] as const),
  },
];

const RESULTS = CASES.reduce((total, { calls }) => total + calls.length, 0);

/** A program that writes all results to its output, 8 bytes each. */
function program(): Uint8Array {
  const bytes = new ByteWriter();
  bytes.append(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
  section(bytes, 1, [
    signature([I32, I64, I64, I64], [I64]),
    signature([I64, I64, I64], [I64]),
    signature([I64], []),
    signature([], [I32]),
  ]);
  section(bytes, 2, [imported('systemCall3', 0)]);
  section(
    bytes,
    3,
    [...CASES.map(() => 1), 2, 3].map((type) => unsigned(type)),
  );
  section(bytes, 5, [
    part((w) => {
      w.byte(0);
      w.unsigned(PROGRAM_DATA_BASE / 65536 + 1);
    }),
  ]);
  section(bytes, 7, [
    exported('main', 0, 1 + CASES.length),
    exported('__image_data_end', 0, 2 + CASES.length),
    exported('memory', 2, 0),
  ]);
  section(bytes, 10, [
    ...CASES.map(({ locals = [], body }) => codeEntry(locals, (w) => w.append(Uint8Array.from(body)))),
    codeEntry([], main),
    codeEntry([], (w) => constant(w, I32, PROGRAM_DATA_BASE + 8 * RESULTS)),
  ]);
  return bytes.take();
}

function main(w: ByteWriter): void {
  let at = PROGRAM_DATA_BASE;
  for (const [i, { calls }] of CASES.entries()) {
    for (const operands of calls) {
      constant(w, I32, at);
      for (const operand of operands)
        constantHalves(w, Number(BigInt.asIntN(32, operand)), Number(BigInt.asIntN(32, operand >> 32n)));
      w.byte(0x10);
      w.unsigned(1 + i);
      w.append(Uint8Array.of(0x37, 0, 0)); // i64.store
      at += 8;
    }
  }
  for (const [number, ...operands] of [
    [1, 1, PROGRAM_DATA_BASE, 8 * RESULTS],
    [231, 0, 0, 0],
  ]) {
    constant(w, I32, number!);
    for (const operand of operands) constant(w, I64, operand);
    w.append(Uint8Array.of(0x10, 0, 0x1a));
  }
}

function wordsOf(printed: string): bigint[] {
  const bytes = Buffer.from(printed, 'latin1');
  return Array.from({ length: RESULTS }, (_, i) => bytes.readBigInt64LE(8 * i));
}

describe('a translated function computes as WebAssembly does', { skip: skipNative }, () => {
  let expected: bigint[];
  let found: bigint[];

  before(async () => {
    const module = program();
    expected = wordsOf(await runInNode(module));
    found = wordsOf(await runOnProcessor(translateProgram(module, { target: 'x86-64', start: 'main' })));
  });

  let first = 0;
  for (const { name, calls } of CASES) {
    const start = first;
    const end = start + calls.length;
    first = end;
    it(name, () => assert.deepEqual(found.slice(start, end), expected.slice(start, end)));
  }
});
