/**
 * The interpreter and the compiler mean the same: random programs run through every engine, cut in many ways, and agree in
 * every exit, register, flag and byte at every instruction at which they can be compared. See `differential/`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compare, contenders } from './differential/comparison.ts';
import { generate } from './differential/generator.ts';
import { report, shrink } from './differential/shrinking.ts';
import { LENGTH, SEED } from './random.ts';

const PROGRAMS = 40 * LENGTH;
/** Programs of one seed; those of the next come after them. */
const PER_SEED = 1_000_000;

/** New engines for so many programs: V8 keeps every module that ever imported a table until the table goes. */
const PER_ENGINE = 80;

test('random programs do the same on every engine, however they are cut', async () => {
  let list = await contenders();
  const first = (SEED - 1) * PER_SEED + 1;
  for (let seed = first; seed < first + PROGRAMS; seed++) {
    if ((seed - first) % PER_ENGINE === PER_ENGINE - 1) list = await contenders();
    const program = generate(seed);
    const difference = await compare(program, list);
    if (difference === undefined) continue;
    const small = await shrink(program, list, difference);
    assert.fail(await report(small.program, list, small.difference));
  }
  for (const { name, machine } of list.slice(1)) {
    assert.ok(machine.engine.tier!.stats.functions > 0, `${name} has compiled code`);
  }
});
