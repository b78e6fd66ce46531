/** The builder: where things lie, what it refuses, and a kernel that is linked in the upper half. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RAX, RSI } from '../../guest/tiny/assembler.ts';
import { ImageError } from '../../toolstack/images/index.ts';
import { makeKernelImage } from '../testing/image.ts';
import { assembleProgram, Program } from '../testing/program.ts';
import { hostOf, runMachine } from '../testing/run.ts';
import { MachineBuildError } from './errors.ts';
import { type BootableKernel, planMachine, WINDOW } from './plan.ts';

const MEBIBYTE = 1 << 20;

function kernel(change: Partial<BootableKernel> = {}, segment = {}): BootableKernel {
  const bytes = new Uint8Array(100);
  const segments = [{ physical: MEBIBYTE, virtual: MEBIBYTE, bytes, memorySize: 4096, ...segment }];
  return { name: 'k', segments, entry: MEBIBYTE, ...change };
}

function refused(message: string, plan: () => unknown): void {
  assert.throws(plan, (error) => {
    assert.ok(error instanceof MachineBuildError);
    assert.equal(error.message, message);
    return true;
  });
}

test('the RAM disk lies at the end of memory, at the start of a page', () => {
  const plan = planMachine(kernel(), 16 * MEBIBYTE, 5000);
  assert.deepEqual(plan.ramdisk, { start: 16 * MEBIBYTE - 8192, bytes: 5000 });
  assert.equal(plan.kernelEnd, MEBIBYTE + 4096);
  assert.deepEqual(plan.window, { physical: 0, bytes: 0 });
});

test('what just fits is taken', () => {
  const image = planMachine(kernel({}, { memorySize: 15 * MEBIBYTE }), 16 * MEBIBYTE, undefined);
  assert.equal(image.kernelEnd, 16 * MEBIBYTE);
  const ramdisk = 15 * MEBIBYTE - 4096;
  const plan = planMachine(kernel(), 16 * MEBIBYTE, ramdisk);
  assert.deepEqual(plan.ramdisk, { start: MEBIBYTE + 4096, bytes: ramdisk });
});

test('what does not fit is refused in one line', () => {
  refused('k: expected to be loaded at physical address 1 MiB or above, found 0x8000', () =>
    planMachine(kernel({}, { physical: 0x8000 }), 16 * MEBIBYTE, undefined),
  );
  refused('k: too little memory: the image reaches 21 MiB, the machine has 16', () =>
    planMachine(kernel({}, { memorySize: 20 * MEBIBYTE }), 16 * MEBIBYTE, undefined),
  );
  refused('k: too little memory: the kernel and its RAM disk take 17 MiB, the machine has 16', () =>
    planMachine(kernel(), 16 * MEBIBYTE, 15 * MEBIBYTE),
  );
  refused('k: its entry point 0x40000000 is nowhere in its segments', () =>
    planMachine(kernel({ entry: 0x40000000 }), 16 * MEBIBYTE, undefined),
  );
});

test('a kernel that is linked in the last 2 GiB has a window there', () => {
  const high = { physical: 4 * MEBIBYTE, virtual: WINDOW + 2 * MEBIBYTE };
  const plan = planMachine(kernel({ entry: WINDOW + 2 * MEBIBYTE }, high), 16 * MEBIBYTE, undefined);
  assert.deepEqual(plan.window, { physical: 2 * MEBIBYTE, bytes: 14 * MEBIBYTE });
  refused(
    'k: expected a multiple of 2 MiB at the virtual address -2 GiB, the same for all segments, found 0x101000',
    () => planMachine(kernel({}, { physical: 0x101000, virtual: WINDOW }), 16 * MEBIBYTE, undefined),
  );
});

test('such a kernel is entered at its virtual address', async () => {
  const program = new Program();
  program.label('start');
  program.lea(RAX, 'start');
  program.movImmediate(RSI, 0x100000);
  program.add(RSI, RAX); // RSI = RAX + 1 MiB
  program.undefined();
  const image = makeKernelImage(program);
  const view = new DataView(image.buffer);
  // The first segment and the entry point move to -2 GiB + 1 MiB; the physical address stays.
  for (const at of [24, 64 + 16]) view.setBigInt64(at, BigInt(WINDOW + 0x100000), true);
  const { exit } = await runMachine(image);
  assert.equal(exit.report?.rip, WINDOW + 0x100000 + program.size - 2);
  assert.deepEqual(exit.report?.registers[RAX], { low: (WINDOW + 0x100000) | 0, high: -1 });
});

test('images that are no kernels for it are refused by their reader', async () => {
  const host = await hostOf('interpreter');
  const refuses = (kernel: Uint8Array, message: RegExp) =>
    assert.rejects(host.createDomain({ abi: 'native', kernel, kernelName: 'k' }), (error) => {
      assert.ok(error instanceof ImageError);
      assert.match(error.message, message);
      return true;
    });
  const image = makeKernelImage(assembleProgram(() => {}));
  const changed = (at: number, value: number) => {
    const copy = image.slice();
    copy[at] = value;
    return copy;
  };
  await refuses(new TextEncoder().encode('hello, world'), /^k: not a kernel image: expected a bzImage/);
  await refuses(changed(64, 6), /^k: nothing to load: no program header of type LOAD$/);
  await refuses(changed(64 + 24 + 4, 1), /^k: expected physical addresses below 4 GiB/);
  await refuses(image.subarray(0, 5000), /^k: /);
});

test('the command line has a length', async () => {
  const host = await hostOf('interpreter');
  const image = makeKernelImage(assembleProgram(() => {}));
  await assert.rejects(
    host.createDomain({ abi: 'native', kernel: image, memoryMib: 16, commandLine: 'x'.repeat(2048) }),
    { message: 'expected a command line of at most 2047 bytes, found 2048' },
  );
  await assert.rejects(host.createDomain({ abi: 'native', kernel: image, memoryMib: 500 }), {
    message: /^too little memory: the machine wants 500 MiB, but the host has \d+ MiB free$/,
  });
});
