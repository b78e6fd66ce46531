/**
 * The other side of generate.c: the same operations, modes and answers, computed by the support module.
 */

import { CPU, CPU_FPU_CONTROL, CPU_FPU_STATUS, CPU_MXCSR, CPU_WIDE } from '../../../layout.ts';
import { type Extended, mix, nameHash, type Operand, Operands } from './operands.ts';

export type Support = Record<string, (...operands: (number | bigint)[]) => number | bigint>;

export const RECORDS = 100;
const ALL_MODES = 32;

/** Operand letters, then the kind of answer, of every SSE operation. */
export const SSE_OPERATIONS: Record<string, string> = Object.fromEntries([
  ...['Add', 'Subtract', 'Multiply', 'Divide', 'Min', 'Max'].flatMap((name) => [
    [`f32${name}`, 'ss>s'],
    [`f64${name}`, 'dd>d'],
  ]),
  ...['Compare', 'CompareQuiet'].flatMap((name) => [
    [`f32${name}`, 'ss>c'],
    [`f64${name}`, 'dd>c'],
  ]),
  ...[0, 1, 2, 3, 4, 5, 6, 7].map((n) => [`f32Predicate${n}`, 'ss>s']),
  ...[1, 4, 6].map((n) => [`f64Predicate${n}`, 'dd>d']),
  ...[0, 1, 4, 10].map((n) => [`f32Round${n}`, 's>s']),
  ...[2, 3, 4, 8].map((n) => [`f64Round${n}`, 'd>d']),
  ...['To', 'TruncateTo'].flatMap((name) => [
    [`f32${name}I32`, 's>i'],
    [`f32${name}I64`, 's>l'],
    [`f64${name}I32`, 'd>i'],
    [`f64${name}I64`, 'd>l'],
  ]),
  ['f32Sqrt', 's>s'],
  ['f64Sqrt', 'd>d'],
  ['f32ToF64', 's>d'],
  ['f64ToF32', 'd>s'],
  ['i32ToF32', 'i>s'],
  ['i64ToF32', 'l>s'],
  ['i32ToF64', 'i>d'],
  ['i64ToF64', 'l>d'],
  ['packedDivide', 'ssss>S'],
]);

function sseMode(mode: number): number {
  if (mode >= ALL_MODES) return 0x1f80 & ~(0x80 << (mode - ALL_MODES));
  return ((mode & 3) << 13) | (mode & 4 ? 0x8000 : 0) | (mode & 8 ? 0x40 : 0) | (mode & 16 ? 0 : 0x1f80);
}

function words(value: number | bigint, kind: string): number[] {
  if (typeof value === 'number') return [value >>> 0];
  const low = Number(BigInt.asUintN(32, value));
  return kind === 's' || kind === 'i' ? [low] : [low, Number(BigInt.asUintN(32, value >> 32n))];
}

/** Calls the function an operation names: a number after `Predicate` or `Round` is its last operand. */
function call(support: Support, name: string, operands: Operand[]): number | bigint {
  const immediate = /^(f(?:32|64)(?:Predicate|Round))(\d+)$/.exec(name);
  const values = operands as (number | bigint)[];
  return immediate ? support[immediate[1]](...values, Number(immediate[2])) : support[name](...values);
}

function sseRecord(
  support: Support,
  view: DataView,
  name: string,
  mode: number,
  operands: Operand[],
): number[] {
  const kind = SSE_OPERATIONS[name].at(-1) as string;
  view.setUint32(CPU + CPU_MXCSR, sseMode(mode), true);
  support.sseBegin();
  const result: number[] = [];
  if (kind === 'S') {
    const lanes = operands as number[];
    result.push(...words(support.f32Divide(lanes[0], lanes[1]), 's'));
    result.push(...words(support.f32Divide(lanes[2], lanes[3]), 's'));
  } else {
    result.push(...words(call(support, name, operands), kind));
  }
  const trapped = support.sseCommit() !== 0;
  const flags = view.getUint32(CPU + CPU_MXCSR, true) & 0x3f;
  return trapped ? [1, flags] : [0, ...result, flags];
}

/** An x87 operation: operand letters, what it leaves, which status bits count, and its calls. */
type X87Operation = {
  letters: string;
  leaves: 'one' | 'two' | 'memory' | 'special';
  status: number;
  run: X87Run;
};
type X87Run = (support: Support, operands: Operand[]) => unknown;

const ARITHMETIC = 0x82ff;
const CODES = 0xc7ff;
const SPECIAL = 0x84ff;
const A = CPU + CPU_WIDE;
const B = A + 16;
const SECOND = A + 32;
const MEMORY = A + 48;

function arithmetic(letters: string, status: number, run: X87Run): X87Operation {
  return { letters, leaves: 'one', status, run };
}

function store(run: X87Run): X87Operation {
  return { letters: 'x', leaves: 'memory', status: ARITHMETIC, run };
}

/** A transcendental function where it is exact: `pushes` if it grows the stack. It gives 0 if it declines. */
function special(letters: string, run: X87Run): X87Operation {
  return { letters, leaves: 'special', status: SPECIAL, run };
}

function relation(support: Support, value: number | bigint): void {
  support.x87SetRelation(value);
}

/** Slot A is ST0 and the destination, B is ST1 or the widened operand. */
export const X87_OPERATIONS: Record<string, X87Operation> = {
  f80Add: arithmetic('xx', ARITHMETIC, (s) => s.f80Add(A, A, B)),
  f80Subtract: arithmetic('xx', ARITHMETIC, (s) => s.f80Subtract(A, A, B)),
  f80Multiply: arithmetic('xx', ARITHMETIC, (s) => s.f80Multiply(A, A, B)),
  f80Divide: arithmetic('xx', ARITHMETIC, (s) => s.f80Divide(A, A, B)),
  f80Sqrt: arithmetic('x', ARITHMETIC, (s) => s.f80Sqrt(A, A)),
  f80Compare: arithmetic('xx', CODES, (s) => relation(s, s.f80Compare(A, B))),
  f80CompareQuiet: arithmetic('xx', CODES, (s) => relation(s, s.f80CompareQuiet(A, B))),
  f80Examine: arithmetic('x', CODES, (s) => s.f80Examine(A)),
  f80Round: arithmetic('x', ARITHMETIC, (s) => s.f80Round(A, A)),
  f80Scale: arithmetic('xx', ARITHMETIC, (s) => s.f80Scale(A, A, B)),
  f80Remainder: arithmetic('xx', CODES, (s) => s.f80Remainder(A, A, B)),
  f80RemainderNearest: arithmetic('xx', CODES, (s) => s.f80RemainderNearest(A, A, B)),
  f80Extract: { letters: 'x', leaves: 'two', status: ARITHMETIC, run: (s) => s.f80Extract(SECOND, A, A) },
  f80FromF32: arithmetic('s', ARITHMETIC, (s, [a]) => s.f80FromF32(A, a as number)),
  f80FromF64: arithmetic('d', ARITHMETIC, (s, [a]) => s.f80FromF64(A, a as bigint)),
  f80AddF32: arithmetic('xs', ARITHMETIC, (s, [, b]) => {
    s.f80WidenF32(B, b as number);
    s.f80Add(A, A, B);
  }),
  f80MultiplyF64: arithmetic('xd', ARITHMETIC, (s, [, b]) => {
    s.f80WidenF64(B, b as bigint);
    s.f80Multiply(A, A, B);
  }),
  f80DivideF32: arithmetic('xs', ARITHMETIC, (s, [, b]) => {
    s.f80WidenF32(B, b as number);
    s.f80Divide(A, A, B);
  }),
  f80CompareF64: arithmetic('xd', CODES, (s, [, b]) => {
    s.f80WidenF64(B, b as bigint);
    relation(s, s.f80Compare(A, B));
  }),
  f80FromI16: arithmetic('w', ARITHMETIC, (s, [a]) => s.f80FromInteger(A, BigInt(a as number))),
  f80FromI32: arithmetic('i', ARITHMETIC, (s, [a]) => s.f80FromInteger(A, BigInt(a as number))),
  f80FromI64: arithmetic('l', ARITHMETIC, (s, [a]) => s.f80FromInteger(A, a as bigint)),
  f80FromBcd: arithmetic('b', ARITHMETIC, (s) => s.f80FromBcd(A, MEMORY)),
  f80ToF32: store((s) => s.f80ToF32(MEMORY, A)),
  f80ToF64: store((s) => s.f80ToF64(MEMORY, A)),
  f80ToI16: store((s) => s.f80ToI16(MEMORY, A, 0)),
  f80ToI32: store((s) => s.f80ToI32(MEMORY, A, 0)),
  f80ToI64: store((s) => s.f80ToI64(MEMORY, A, 0)),
  f80TruncateToI16: store((s) => s.f80ToI16(MEMORY, A, 1)),
  f80TruncateToI32: store((s) => s.f80ToI32(MEMORY, A, 1)),
  f80TruncateToI64: store((s) => s.f80ToI64(MEMORY, A, 1)),
  f80PowerMinus1Special: special('x', (s) => s.f80PowerMinus1(A, A)),
  f80LogarithmSpecial: special('xx', (s) => s.f80Logarithm(A, A, B)),
  f80LogarithmPlus1Special: special('ex', (s) => s.f80LogarithmPlus1(A, A, B)),
  f80ArcTangentSpecial: special('xx', (s) => s.f80ArcTangent(A, A, B)),
  f80SineSpecial: special('a', (s) => s.f80Sine(A, A)),
  f80CosineSpecial: special('a', (s) => s.f80Cosine(A, A)),
  f80SineCosineSpecial: special('a', (s) => s.f80SineCosine(SECOND, A, A)),
  f80TangentSpecial: special('a', (s) => s.f80Tangent(SECOND, A, A)),
  f80ToBcd: store((s) => s.f80ToBcd(MEMORY, A)),
};

const ALL_X87_MODES = 24;

function x87Mode(mode: number): number {
  if (mode >= ALL_X87_MODES) return 0x33f & ~(1 << (mode - ALL_X87_MODES));
  return ((mode & 3) << 10) | [0x300, 0x200, 0x000][(mode >> 2) % 3] | (mode >= 12 ? 0 : 0x3f);
}

export function writeExtended(view: DataView, address: number, value: Extended): void {
  view.setBigUint64(address, value.significand, true);
  view.setUint16(address + 8, value.top, true);
}

function slotWords(view: DataView, address: number): number[] {
  return [
    view.getUint32(address, true),
    view.getUint32(address + 4, true),
    view.getUint16(address + 8, true),
  ];
}

/** A zero, infinity or NaN in full, of another number only the sign. */
function specialWords(view: DataView, address: number): number[] {
  const all = slotWords(view, address);
  const exact = (all[2] & 0x7fff) === 0x7fff || (all[0] | all[1]) === 0;
  return exact ? all : [all[2] >> 15];
}

/** FSINCOS and FPTAN push, unless prevented or out of range; the other functions replace ST0 or pop. */
function specialAnswer(view: DataView, name: string, done: boolean, status: number): number[] {
  const { letters } = X87_OPERATIONS[name];
  const pushes = /SineCosine|80Tangent/.test(name);
  if (!done) return [status, letters.length, ...specialWords(view, A)];
  if (!pushes) return [status, 1, ...specialWords(view, A)];
  return [status, 2, ...specialWords(view, A), ...specialWords(view, SECOND)];
}

function x87Record(
  support: Support,
  view: DataView,
  name: string,
  mode: number,
  operands: Operand[],
): number[] {
  const { letters, leaves, status, run } = X87_OPERATIONS[name];
  for (let i = 0; i < 16; i++) view.setUint8(MEMORY + i, 0x55);
  operands.forEach((operand, i) => {
    if (typeof operand === 'object') writeExtended(view, letters === 'b' ? MEMORY : [A, B][i], operand);
  });
  view.setUint16(CPU + CPU_FPU_CONTROL, x87Mode(mode), true);
  view.setUint16(CPU + CPU_FPU_STATUS, 0, true);
  support.x87Begin();
  const declined = run(support, operands) === 0;
  const prevented = support.x87Commit() !== 0;
  const seen = view.getUint16(CPU + CPU_FPU_STATUS, true) & status;
  if (leaves === 'special') return specialAnswer(view, name, !prevented && !declined, seen);

  const before = letters.startsWith('x') ? (letters === 'xx' ? 2 : 1) : 0;
  const change = leaves === 'memory' ? -1 : before === 0 || leaves === 'two' ? 1 : 0;
  const depth = prevented ? before : before + change;
  const answer = [seen, depth];
  if (leaves === 'memory') {
    for (let i = 0; i < 12; i += 4) answer.push(view.getUint32(MEMORY + i, true));
  } else if (depth > 0) {
    answer.push(...slotWords(view, A));
    if (leaves === 'two' && depth > 1) answer.push(...slotWords(view, SECOND));
  }
  return answer;
}

export type Answer = { operands: Operand[]; answer: number[] };

/** The records of one operation in one mode, as `generate OPERATION MODE COUNT` prints their answers. */
export function* records(
  support: Support,
  view: DataView,
  name: string,
  mode: number,
  count: number,
): Generator<Answer> {
  const draws = new Operands(mix(nameHash(name), mode));
  const x87 = name in X87_OPERATIONS;
  const letters = x87 ? X87_OPERATIONS[name].letters : SSE_OPERATIONS[name].split('>')[0];
  const record = x87 ? x87Record : sseRecord;
  for (let n = 0; n < count; n++) {
    const operands = draws.draw(letters);
    yield { operands, answer: record(support, view, name, mode, operands) };
  }
}

export function hashOf(support: Support, view: DataView, name: string, mode: number): number {
  let hash = 0;
  for (const { answer } of records(support, view, name, mode, RECORDS)) {
    for (const word of answer) hash = mix(hash, word);
  }
  return hash;
}
