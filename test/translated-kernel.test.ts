/** The kernel that tries the translator runs on Debian's Xen as it does here. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildXenKernel } from '../src/translator/testing/kernels.ts';
import { runInEngine } from '../src/translator/testing/run.ts';
import { bootOnXen, realXen } from './real-xen.ts';

const xen = await realXen();

test('a translated kernel says the same on Debian’s Xen and here', { skip: xen.skip }, async () => {
  const kernel = await buildXenKernel();
  const { printed } = await runInEngine(kernel);
  const expected = printed.trimEnd().split('\n');
  const lines = await bootOnXen(xen.files!, kernel);
  assert.deepEqual(
    lines.filter((line) => expected.includes(line)),
    expected,
  );
});
