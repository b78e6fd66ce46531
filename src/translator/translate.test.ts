/** What the translator refuses, and that what it makes is code from the first byte to the last. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Code, Decoder, DecoderOptions, Mnemonic } from 'iced-x86';
import { loadKernelImage } from '../toolstack/images/index.ts';
import { buildXenKernel } from './testing/kernels.ts';
import { randomModule } from './testing/random-module.ts';
import { runInEngine } from './testing/run.ts';
import {
  KERNEL_DATA_BASE,
  PROGRAM_DATA_BASE,
  TranslationError,
  translateKernel,
  translateProgram,
} from './translate.ts';

const MAGIC = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
/** type () → (), type (i32) → () */
const TYPES = [1, 8, 2, 0x60, 0, 0, 0x60, 1, 0x7f, 0];
const text = (value: string) => [value.length, ...new TextEncoder().encode(value)];
const section = (id: number, ...contents: number[]) => [id, contents.length, ...contents];

/** A module with one function `main(i32)` of this body, named "kernel/main/start". */
function moduleOf(body: readonly number[], imports: readonly number[] = []): Uint8Array {
  const index = imports.length > 0 ? 1 : 0;
  return Uint8Array.from([
    ...MAGIC,
    ...TYPES,
    ...(imports.length > 0 ? section(2, 1, ...imports) : []),
    ...section(3, 1, 1),
    ...section(7, 1, ...text('main'), 0, index),
    ...section(10, 1, body.length + 2, 0, ...body, 0x0b),
    ...section(0, ...text('name'), ...section(1, 1, index, ...text('src/guest/kernel/start'))),
  ]);
}

function translate(module: Uint8Array): Uint8Array {
  return translateKernel(module, { target: 'x86-64', name: 'test', version: '0', xenStart: 'main' });
}

function refuses(module: Uint8Array, message: RegExp): void {
  assert.throws(
    () => translate(module),
    (error: Error) => {
      assert.ok(error instanceof TranslationError, `${error}`);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    },
  );
}

describe('the translator refuses, and says in whose code it is', () => {
  it('floating point', () => {
    refuses(
      moduleOf([0x43, 0, 0, 0, 0, 0x1a]),
      /^kernel\/start: expected integer instructions only, found opcode 0x43$/,
    );
  });

  it('floating point in a local or a signature', () => {
    const module = moduleOf([]);
    const body = module.findIndex((byte, i) => byte === 10 && module[i + 1] === 4 && module[i + 2] === 1);
    const local = [10, 6, 1, 4, 1, 1, 0x7c, 0x0b];
    const withLocal = Uint8Array.from([...module.slice(0, body), ...local, ...module.slice(body + 6)]);
    refuses(withLocal, /kernel\/start: expected integers only, found f64$/);
    const signature = Uint8Array.from(module);
    signature[MAGIC.length + TYPES.length - 2] = 0x7d;
    refuses(signature, /kernel\/start: expected integers only, found f32$/);
  });

  it('a function of the machine that nobody knows', () => {
    const imported = [...text('machine'), ...text('teleport'), 0, 0];
    refuses(moduleOf([0x10, 0], imported), /^kernel\/start: .*found machine\.teleport$/);
  });

  it('an import from elsewhere', () => {
    refuses(moduleOf([0x10, 0], [...text('env'), ...text('seed'), 0, 0]), /found env\.seed$/);
  });

  it('an entry whose handler is not exported', () => {
    const entry = [...text('entry.xenTraps'), ...text('handle'), 0, 0];
    const types = moduleOf([0x41, 0, 0x10, 0, 0x37, 3, 0], entry);
    // type () → i64
    const module = Uint8Array.from([
      ...MAGIC,
      ...section(1, 2, 0x60, 0, 1, 0x7e, 0x60, 1, 0x7f, 0),
      ...types.slice(MAGIC.length + TYPES.length),
    ]);
    refuses(module, /expected an exported function handle for its xenTraps, found none/);
  });

  it('a start that is not there', () => {
    const options = { target: 'x86-64', name: 'test', version: '0', xenStart: 'begin' } as const;
    assert.throws(
      () => translateKernel(moduleOf([]), options),
      /expected an exported function begin to start/,
    );
  });

  it('the target i386, which has no back end yet', () => {
    const options = { target: 'i386', name: 'test', version: '0', xenStart: 'main' } as const;
    assert.throws(
      () => translateKernel(moduleOf([]), options),
      /found i386, for which there is no back end yet/,
    );
  });

  it('data that was compiled for another place', () => {
    const module = randomModule({ seed: 1, dataBase: PROGRAM_DATA_BASE, host: 'linux' });
    const data = Uint8Array.from([...module, ...section(11, 1, 0, 0x41, 0, 0x0b, 1, 7)]);
    assert.throws(
      () => translateProgram(data, { target: 'x86-64', start: 'main' }),
      /expected static data from 0x400000 on, found some at 0x0/,
    );
  });

  it('modules that end anywhere', () => {
    const module = randomModule({ seed: 2, dataBase: KERNEL_DATA_BASE, host: 'xen' });
    for (let length = 0; length < module.length; length += 7) {
      assert.throws(() => translate(module.subarray(0, length)), TranslationError, `${length} bytes`);
    }
  });
});

describe('translated code', () => {
  it('is instructions from each symbol to the next, and branches go to instructions', async () => {
    const image = await loadKernelImage(await buildXenKernel(), 'kernel');
    const text = image.segments[1]!;
    const decoder = new Decoder(64, text.bytes, DecoderOptions.None);
    decoder.ip = BigInt.asUintN(64, BigInt(text.virtual));
    const all = decoder.decodeAll();
    assert.equal(all.filter(({ code }) => code === Code.INVALID).length, 0);
    const starts = new Set(all.map(({ ip }) => ip));
    // The forced CPUID is UD2 and then "xen", which reads like a branch.
    const targets = all
      .filter((_, i) => all[i - 1]?.mnemonic !== Mnemonic.Ud2)
      .map(({ nearBranchTarget }) => nearBranchTarget)
      .filter((target) => target !== 0n);
    assert.ok(targets.length > 100);
    assert.deepEqual(
      targets.filter((target) => !starts.has(target)),
      [],
    );
  });
});

describe('a kernel that stops itself', () => {
  it('is named by the function and the reason', async () => {
    const kernel = translate(moduleOf([0x00]));
    const { reason, report } = await runInEngine(kernel);
    assert.equal(reason, 'crash');
    const { symbols } = await loadKernelImage(kernel, 'kernel');
    assert.deepEqual(symbols.nearest(report!.rip), { name: 'kernel/start: unreachable', offset: 0 });
  });

  it('names an index outside the table', async () => {
    // call_indirect of type () → () at 5 and at 0, where the module has no table entries
    for (const index of [5, 0]) {
      const kernel = translate(moduleOf([0x41, index, 0x11, 0, 0]));
      const { report } = await runInEngine(kernel);
      const { symbols } = await loadKernelImage(kernel, 'kernel');
      assert.equal(symbols.nearest(report!.rip)?.name, 'kernel/start: undefined table element');
    }
  });

  it('names a call through an entry of the table that holds nothing', async () => {
    const whole = moduleOf([0x41, 0, 0x11, 0, 0]);
    const afterFunctions = MAGIC.length + TYPES.length + section(3, 1, 1).length;
    const kernel = translate(
      Uint8Array.from([
        ...whole.slice(0, afterFunctions),
        ...section(4, 1, 0x70, 0, 1),
        ...whole.slice(afterFunctions),
      ]),
    );
    const { report } = await runInEngine(kernel);
    const { symbols } = await loadKernelImage(kernel, 'kernel');
    assert.equal(symbols.nearest(report!.rip)?.name, 'kernel/start: indirect call of another type');
  });
});
