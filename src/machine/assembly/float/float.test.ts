/**
 * The floating-point reference against a processor: for every operation in every mode, the hash of a hundred answers that
 * `vectors/generate.c` got from one. When a hash differs, `generate OPERATION MODE COUNT` prints what was wanted.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CPU, CPU_FPU_CONTROL, CPU_FPU_STATUS, CPU_MXCSR } from '../../layout.ts';
import { type Extended, Operands } from './vectors/operands.ts';
import { hashOf, RECORDS, records, SSE_OPERATIONS, X87_OPERATIONS } from './vectors/operations.ts';
import { loadSupport } from './vectors/support.ts';

/** Of each operation the first answers of mode 0, as hexadecimal words, and a hash of a hundred answers of each mode. */
type Recorded = { first: string[]; hashes: number[] };
const recorded: Record<string, Recorded> = JSON.parse(
  readFileSync(new URL('./vectors/float.json', import.meta.url), 'utf8'),
);
const { support, view } = loadSupport();

function shown(operand: number | bigint | Extended): string {
  if (typeof operand === 'object') return `${operand.top.toString(16)}:${operand.significand.toString(16)}`;
  return operand.toString(16);
}

function words(answer: number[]): string {
  return answer.map((word) => (word >>> 0).toString(16)).join(' ');
}

/** The first records of a mode whose hash differs, as `generate` prints them, with their operands. */
function diagnosis(name: string, mode: number): string {
  const found = [...records(support, view, name, mode, 5)].map(
    ({ operands, answer }) => `${operands.map(shown).join(', ')} -> ${words(answer)}`,
  );
  return `mode ${mode} differs from the processor; compare \`generate ${name} ${mode} ${RECORDS}\` with\n${found.join('\n')}`;
}

test('the recorded operations are the ones that are replayed', () => {
  const replayed = [...Object.keys(SSE_OPERATIONS), ...Object.keys(X87_OPERATIONS)];
  assert.deepEqual(Object.keys(recorded).sort(), replayed.sort());
});

for (const [name, { first, hashes }] of Object.entries(recorded)) {
  test(`${name} gives the processor's results and flags in all ${hashes.length} modes`, () => {
    for (const { operands, answer } of records(support, view, name, 0, first.length)) {
      assert.equal(words(answer), first.shift(), `${name} ${operands.map(shown).join(', ')}`);
    }
    hashes.forEach((expected, mode) => {
      if (hashOf(support, view, name, mode) !== expected) assert.fail(diagnosis(name, mode));
    });
  });
}

test('an inexact sum rounds as MXCSR says and leaves only the precision flag', () => {
  const third = 0x3eaaaaab;
  const tenth = 0x3dcccccd;
  const sums = [0, 1, 2, 3].map((mode) => {
    view.setUint32(CPU + CPU_MXCSR, 0x1f80 | (mode << 13), true);
    support.sseBegin();
    const bits = Number(support.f32Add(third, tenth)) >>> 0;
    assert.equal(support.sseCommit(), 0);
    assert.equal(view.getUint32(CPU + CPU_MXCSR, true) & 0x3f, 0x20);
    return bits;
  });
  assert.deepEqual(sums, [0x3eddddde, 0x3eddddde, 0x3edddddf, 0x3eddddde]);
});

test('an unmasked early exception in one lane hides the late exceptions of the others', () => {
  view.setUint32(CPU + CPU_MXCSR, 0x1f80 & ~0x200, true); // zero-divide unmasked
  support.sseBegin();
  support.f32Divide(0x3f800000, 0);
  support.f32Divide(0x3f800000, 0x40400000);
  assert.equal(support.sseCommit(), 0x04);
  assert.equal(view.getUint32(CPU + CPU_MXCSR, true) & 0x3f, 0x04);
});

test('a stack fault sets IE, SF and C1, and prevents only if unmasked', () => {
  for (const [control, prevented, status] of [
    [0x37f, 0, 0x0241],
    [0x37e, 1, 0x82c1],
  ]) {
    view.setUint16(CPU + CPU_FPU_CONTROL, control, true);
    view.setUint16(CPU + CPU_FPU_STATUS, 0, true);
    support.x87Begin();
    support.x87StackFault(1);
    assert.equal(support.x87Commit(), prevented);
    assert.equal(view.getUint16(CPU + CPU_FPU_STATUS, true), status);
  }
});

function singleOf(bits: number): number {
  const words = new DataView(new ArrayBuffer(4));
  words.setUint32(0, bits);
  return words.getFloat32(0);
}

test('RCPSS and RSQRTSS err by at most 1.5 · 2^-12', () => {
  const draws = new Operands(1);
  for (let n = 0; n < 20000; n++) {
    const bits = (draws.draw('s')[0] as number) & 0x7fffffff;
    const value = singleOf(bits);
    if (bits < 0x00800000 || bits >= 0x7f800000) continue;
    const root = singleOf(Number(support.f32ReciprocalSqrt(bits)));
    assert.ok(Math.abs(root * Math.sqrt(value) - 1) <= 1.5 * 2 ** -12, `RSQRTSS ${bits.toString(16)}`);
    const reciprocal = singleOf(Number(support.f32Reciprocal(bits)));
    if (1 / value < 2 ** -126) assert.ok(reciprocal === 0 || reciprocal === 2 ** -126);
    else assert.ok(Math.abs(reciprocal * value - 1) <= 1.5 * 2 ** -12, `RCPSS ${bits.toString(16)}`);
  }
});

test('RCPSS and RSQRTSS treat denormals as zeros and quiet a NaN', () => {
  const table: [string, number, number][] = [
    ['f32Reciprocal', 0x00000001, 0x7f800000],
    ['f32Reciprocal', 0x80000000, 0xff800000],
    ['f32Reciprocal', 0xff800000, 0x80000000],
    ['f32Reciprocal', 0x7f800001, 0x7fc00001],
    ['f32Reciprocal', 0x3f800000, 0x3f800000],
    ['f32ReciprocalSqrt', 0x807fffff, 0xff800000],
    ['f32ReciprocalSqrt', 0xbf800000, 0xffc00000],
    ['f32ReciprocalSqrt', 0x7f800000, 0x00000000],
    ['f32ReciprocalSqrt', 0x40800000, 0x3f000000],
  ];
  for (const [name, operand, expected] of table) {
    assert.equal(Number(support[name](operand)) >>> 0, expected, `${name} ${operand.toString(16)}`);
  }
});
