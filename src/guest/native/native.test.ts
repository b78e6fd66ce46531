/** The operations on the bare machine, tried by a kernel of their own that runs there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runMachine } from '../../native/testing/run.ts';
import { crashText } from '../../toolstack/crash-text.ts';
import { buildKernelFrom } from '../testing/build.ts';

/** As many lines begin with "ok". */
const LINES = 42;

const kernel = buildKernelFrom('src/guest/native/testing/kernel.ts', {
  name: 'native-operations',
  version: '1',
  nativeStart: 'nativeStart',
});

for (const engine of ['interpreter', 'compiler'] as const) {
  test(`every operation does on the bare machine what its name says (${engine})`, async () => {
    const { output, exit } = await runMachine(await kernel, {
      engine,
      input: 'abcdefghijklmnopqrst',
      commandLine: 'x',
    });
    assert.equal(exit.reason, 'poweroff', exit.report && crashText(exit.report).join('\n') + output);
    const lines = output.trimEnd().split('\n');
    assert.deepEqual(
      lines.filter((line) => !line.startsWith('ok ')),
      ['done'],
    );
    assert.equal(lines.length, LINES);
  });
}
