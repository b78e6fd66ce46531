/** A kernel of AssemblyScript, from its sources to the last line that it prints. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { buildKernelFrom } from '../guest/testing/build.ts';
import { loadKernelImage } from '../toolstack/images/index.ts';
import { runInEngine } from './testing/run.ts';
import { KERNEL_DATA_BASE } from './translate.ts';

const files = [{ name: 'hello', bytes: Uint8Array.of(7, 8, 9) }];
const kernel = await buildKernelFrom('src/translator/testing/programs/xen-kernel.ts', {
  name: 'self-test',
  version: '1',
  xenStart: 'xenStart',
  files,
});

describe('a translated kernel', () => {
  it('finds the machine as promised: traps, probes, events, operations, stacks', async () => {
    const { printed, reason } = await runInEngine(kernel);
    const lines = printed.trimEnd().split('\n');
    assert.deepEqual(
      lines.slice(0, -1).filter((line) => !line.endsWith(': ok')),
      [],
    );
    assert.equal(lines.length, 40);
    assert.equal(lines.at(-1), 'done after 5 traps');
    assert.equal(reason, 'poweroff');
  });

  it('is an image that a domain builder takes, with names for its functions', async () => {
    const image = await loadKernelImage(kernel, 'kernel');
    assert.equal(image.width, 64);
    assert.equal(image.info.virtBase, -0x80000000);
    assert.equal(image.segments[0]!.virtual, KERNEL_DATA_BASE - 2 ** 32);
    assert.equal(image.segments[0]!.physical, 0x100000);
    assert.equal(image.symbols.nearest(image.info.entry!)?.name, 'machine.start_on_xen');
    const trap = image.symbols.addressOf('handleTrap.xenTraps')!;
    assert.equal(image.symbols.nearest(trap + 16 * 14)?.offset, 16 * 14);
  });

  it('comes out the same each time', async () => {
    const again = await buildKernelFrom('src/translator/testing/programs/xen-kernel.ts', {
      name: 'self-test',
      version: '1',
      xenStart: 'xenStart',
      files,
    });
    assert.deepEqual(again, kernel);
  });
});
