/** Kernels of AssemblyScript, from their sources to the last line that they print. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runMachine } from '../native/testing/run.ts';
import { loadKernelImage } from '../toolstack/images/index.ts';
import { buildNativeKernel, buildXenKernel } from './testing/kernels.ts';
import { runInEngine } from './testing/run.ts';
import { KERNEL_DATA_BASE } from './translate.ts';

/** That each line but the last says "ok"; gives the last. */
function assertAllGood(printed: string, lines: number): string {
  const found = printed.trim().split('\n');
  assert.deepEqual(
    found.slice(0, -1).filter((line) => !line.endsWith(': ok')),
    [],
  );
  assert.equal(found.length, lines);
  return found.at(-1)!;
}

describe('a translated kernel', () => {
  it('finds Xen as promised: traps, probes, events, operations, stacks', async () => {
    const { printed, reason } = await runInEngine(await buildXenKernel());
    assert.equal(assertAllGood(printed, 43), 'done after 5 traps');
    assert.equal(reason, 'poweroff');
  });

  it('finds the bare machine as promised: its own tables, traps, a program in ring 3 and its system calls', async () => {
    const { output, exit } = await runMachine(await buildNativeKernel());
    assert.equal(assertAllGood(output, 16), 'done after 5 traps');
    assert.equal(exit.reason, 'poweroff');
  });

  it('is an image that a domain builder takes, with names for its functions', async () => {
    const image = await loadKernelImage(await buildXenKernel(), 'kernel');
    assert.equal(image.width, 64);
    assert.equal(image.info.virtBase, -0x80000000);
    assert.equal(image.segments[0]!.virtual, KERNEL_DATA_BASE - 2 ** 32);
    assert.equal(image.segments[0]!.physical, 0x100000);
    assert.equal(image.symbols.nearest(image.info.entry!)?.name, 'machine.start_on_xen');
    const trap = image.symbols.addressOf('handleTrap.xenTraps')!;
    assert.equal(image.symbols.nearest(trap + 16 * 14)?.offset, 16 * 14);
  });

  it('comes out the same each time', async () => {
    assert.deepEqual(await buildXenKernel(), await buildXenKernel());
  });
});
