/**
 * The transcendental functions of the x87 by error bound. `vectors/transcendental.json` holds, for operands that
 * `vectors/operands.ts` repeats, references of 80 bits (from 113-bit arithmetic) and how far a processor is from them in
 * units of the last place (ulp). Exact results and flags are covered by the `…Special` operations of `float.test.ts`.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CPU, CPU_FPU_CONTROL, CPU_FPU_STATUS, CPU_WIDE } from '../../layout.ts';
import { type Extended, nameHash, Operands } from './vectors/operands.ts';
import { writeExtended } from './vectors/operations.ts';
import { loadSupport } from './vectors/support.ts';

const A = CPU + CPU_WIDE;
const B = A + 16;
const ONE = A + 32;
const PRECISION = 0x20;
const ROUNDED_UP = 0x200;
const C2 = 0x400;
const NEAREST = 0;
const DOWN = 1;
const UP = 2;
const TO_ZERO = 3;

type Reference = [string, number];
const references: Record<string, Reference[]> = JSON.parse(
  readFileSync(new URL('./vectors/transcendental.json', import.meta.url), 'utf8'),
);
const { support, view } = loadSupport();

const FUNCTIONS: Record<string, { letters: string; run: () => unknown }> = {
  f80PowerMinus1: { letters: 'u', run: () => support.f80PowerMinus1(A, A) },
  f80Logarithm: { letters: 'pg', run: () => support.f80Logarithm(A, A, B) },
  f80LogarithmPlus1: { letters: 'ng', run: () => support.f80LogarithmPlus1(A, A, B) },
  f80ArcTangent: { letters: 'gg', run: () => support.f80ArcTangent(A, A, B) },
  f80Sine: { letters: 'v', run: () => support.f80Sine(A, A) },
  f80Cosine: { letters: 'v', run: () => support.f80Cosine(A, A) },
  f80Tangent: { letters: 'v', run: () => support.f80Tangent(A, ONE, A) },
};

function begin(mode: number): void {
  view.setUint16(CPU + CPU_FPU_CONTROL, 0x33f | (mode << 10), true);
  view.setUint16(CPU + CPU_FPU_STATUS, 0, true);
  support.x87Begin();
}

function status(): number {
  assert.equal(support.x87Commit(), 0);
  return view.getUint16(CPU + CPU_FPU_STATUS, true);
}

/** Slot A minus the reference, in ulps of the reference, counted away from zero. */
function away(reference: string): number {
  const [top, significand] = reference.split(':').map((digits) => BigInt(`0x${digits}`));
  const exponents = BigInt(view.getUint16(A + 8, true)) - top;
  const mine = view.getBigUint64(A, true) << 16n;
  if (exponents < -1n || exponents > 1n) return Number.POSITIVE_INFINITY;
  const aligned = exponents === 1n ? mine << 1n : exponents === -1n ? mine >> 1n : mine;
  return Number(aligned - significand) / 65536;
}

/** The references are cut off after 16 more bits than the result has. */
const CUT = 2 ** -15;

for (const [name, list] of Object.entries(references)) {
  const { letters, run } = FUNCTIONS[name];
  const operands = new Operands(nameHash(name));
  const cases = list.map(([reference, processor]) => {
    return { reference, processor, slots: operands.draw(letters) as Extended[] };
  });
  // log2(1) is exactly zero: a special case.
  const inexact = cases.filter(({ reference }) => !/^[08]000:/.test(reference));
  const compute = (slots: Extended[], mode: number): number => {
    slots.forEach((slot, i) => {
      writeExtended(view, [A, B][i], slot);
    });
    begin(mode);
    run();
    return status();
  };

  test(`${name} is within half an ulp to nearest, within one otherwise, on the side that the mode asks for`, () => {
    for (const { reference, slots } of inexact) {
      for (const mode of [NEAREST, DOWN, UP, TO_ZERO]) {
        const flags = compute(slots, mode);
        const error = away(reference);
        const negative = reference >= '8';
        const what = `${name} ${slots.map((s) => `${s.top.toString(16)}:${s.significand.toString(16)}`)} mode ${mode}: ${error}`;
        assert.ok(Math.abs(error) <= (mode === NEAREST ? 0.5 : 1) + CUT, what);
        if (mode !== NEAREST) {
          const outwards = mode === (negative ? DOWN : UP);
          assert.ok(outwards ? error >= -CUT : error <= CUT, what);
        }
        assert.ok((flags & PRECISION) !== 0, what);
        if (Math.abs(error) > CUT) assert.equal((flags & ROUNDED_UP) !== 0, error > 0, what);
      }
    }
  });

  test(`${name} is within one ulp of the processor where the processor does not reduce an angle`, () => {
    const reduces = (slots: Extended[]) => letters === 'v' && (slots[0].top & 0x7fff) >= 0x3ffe;
    const comparable = inexact.filter(({ slots }) => !reduces(slots));
    assert.ok(comparable.length > 10);
    for (const { reference, processor, slots } of comparable) {
      compute(slots, NEAREST);
      assert.ok(Math.abs(away(reference) - processor) <= 1.01, `${name} ${reference}`);
    }
  });
}

test('an angle of 2^63 sets C2 and is left alone, and the largest below it is reduced by the true π', () => {
  writeExtended(view, A, { top: 0x403e, significand: 1n << 63n });
  begin(NEAREST);
  assert.equal(support.f80Sine(A, A), 0);
  assert.equal(status() & C2, C2);
  assert.equal(view.getUint16(A + 8, true), 0x403e);

  // sin(2^62) = -0.702922443619209…
  writeExtended(view, A, { top: 0x403d, significand: 1n << 63n });
  begin(NEAREST);
  assert.equal(support.f80Sine(A, A), 1);
  assert.equal(status() & C2, 0);
  assert.equal(view.getUint16(A + 8, true), 0xbffe);
  const sine = Number(view.getBigUint64(A, true)) / 2 ** 64;
  assert.ok(Math.abs(sine - Math.abs(Math.sin(2 ** 62))) < 1e-15, `${sine}`);
});
