/** The kernels that try the translator run on Debian's Xen and on QEMU's bare machine as they do here. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runMachine } from '../src/native/testing/run.ts';
import { buildNativeKernel, buildXenKernel } from '../src/translator/testing/kernels.ts';
import { runInEngine } from '../src/translator/testing/run.ts';
import { bootOnQemu, bootOnXen, realXen, skipQemu } from './real-xen.ts';

const xen = await realXen();

/** That all lines of `printed` came, in this order; others may stand between. */
function assertSame(lines: readonly string[], printed: string): void {
  const expected = printed.trim().split('\n');
  const known = new Set(expected);
  assert.deepEqual(
    lines.filter((line) => known.has(line)),
    expected,
    `found:\n${lines.join('\n')}`,
  );
}

test('a translated kernel says the same on Debian’s Xen and here', { skip: xen.skip }, async () => {
  const kernel = await buildXenKernel();
  const { printed } = await runInEngine(kernel);
  assertSame(await bootOnXen(xen.files!, kernel), printed);
});

test('a translated kernel says the same on QEMU’s bare machine and here', { skip: skipQemu() }, async () => {
  const kernel = await buildNativeKernel();
  const { output } = await runMachine(kernel);
  assertSame(await bootOnQemu(kernel), output);
});
