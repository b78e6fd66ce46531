/** The same module in Node, as machine code on this computer's processor, and as machine code in our own engine. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compileProgram } from '../guest/testing/build.ts';
import { randomModule } from './testing/random-module.ts';
import { runInEngine, runInNode, runOnProcessor, skipNative } from './testing/run.ts';
import { KERNEL_DATA_BASE, PROGRAM_DATA_BASE, translateKernel, translateProgram } from './translate.ts';

const PROCESSOR_SEEDS = 24;
const ENGINE_SEEDS = 4;

function program(seed: number): Uint8Array {
  return randomModule({ seed, dataBase: PROGRAM_DATA_BASE, host: 'linux' });
}

function kernel(seed: number): Uint8Array {
  const module = randomModule({ seed, dataBase: KERNEL_DATA_BASE, host: 'xen' });
  return translateKernel(module, { target: 'x86-64', name: 'random', version: '0', xenStart: 'main' });
}

it('ordinary programs print the same as WebAssembly and on this processor', {
  skip: skipNative,
}, async () => {
  const module = await compileProgram('src/translator/testing/programs/workload.ts');
  const expected = await runInNode(module);
  assert.equal(expected.split('\n').length, 6);
  assert.equal(expected.split('\n')[2], '000000000000140d'); // 5,133 primes below 50,000
  const elf = translateProgram(module, { target: 'x86-64', start: 'main' });
  assert.equal(await runOnProcessor(elf), expected);
});

describe('random modules print the same', () => {
  it('as WebAssembly and on this processor', { skip: skipNative }, async () => {
    for (let seed = 0; seed < PROCESSOR_SEEDS; seed++) {
      const module = program(seed);
      const expected = await runInNode(module);
      assert.equal(expected.length, 8 * 17);
      const elf = translateProgram(module, { target: 'x86-64', start: 'main' });
      assert.equal(await runOnProcessor(elf), expected, `seed ${seed}`);
    }
  });

  it('as WebAssembly and as a kernel in our engine', async () => {
    for (let seed = 0; seed < ENGINE_SEEDS; seed++) {
      const { printed, reason } = await runInEngine(kernel(seed));
      assert.equal(printed, await runInNode(program(seed)), `seed ${seed}`);
      assert.equal(reason, 'poweroff');
    }
  });
});
