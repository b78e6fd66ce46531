/**
 * The real processor under this machine as the judge: random user programs, single-stepped there and on the interpreter,
 * agree after every instruction, at every fault and in all memory; and what the processor did every engine does.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { compare, contenders } from './differential/comparison.ts';
import { generateNative } from './differential/generator.ts';
import { buildNative, nativeDifference } from './differential/native.ts';
import { describeProgram, reduce, report, shrink } from './differential/shrinking.ts';
import { LENGTH, SEED } from './random.ts';

const BATCHES = LENGTH;
const BATCH = 120;
/** One program in so many runs on the other engines as well. */
const COMPARED = 12;
/** Programs of one seed. */
const PER_SEED = 1_000_000;

const native = buildNative();
after(() => native.remove());

test('random programs do what they do on this processor', { skip: native.skip }, async () => {
  let list = await contenders();
  const first = (SEED - 1) * PER_SEED + 1;
  for (let batch = 0; batch < BATCHES; batch++) {
    // See differential.test.ts.
    if (batch % 8 === 7) list = await contenders();
    const { machine } = list[0]!;
    const programs = Array.from({ length: BATCH }, (_, i) => generateNative(first + batch * BATCH + i));
    const seen = native.run(machine, programs);
    assert.equal(seen.length, BATCH);
    for (const [i, program] of programs.entries()) {
      const fails = async (candidate: typeof program) =>
        nativeDifference(native, machine, candidate) !== undefined;
      if (nativeDifference(native, machine, program, seen[i]) !== undefined) {
        const small = await reduce(program, fails);
        assert.fail(`${nativeDifference(native, machine, small)}\n${describeProgram(small)}`);
      }
      if (program.seed % COMPARED !== 0) continue;
      const difference = await compare(program, list);
      if (difference === undefined) continue;
      const small = await shrink(program, list, difference);
      assert.fail(await report(small.program, list, small.difference));
    }
  }
});
