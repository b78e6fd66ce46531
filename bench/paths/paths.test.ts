import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENGINES, Host } from '../../src/index.ts';
import { buildPathsGuest, RESULT_BYTES } from './guest.ts';
import { KINDS } from './kinds.ts';
import { readPathFigures } from './measure.ts';

/** So much less often does each path go than in a measurement. */
const DIVISOR = 2000;

async function run(engine: (typeof ENGINES)[number]): Promise<{ reason: string; output: Uint8Array }> {
  const host = await Host.create({ memoryMib: 32, engine, clock: 'virtual' });
  const domain = await host.createDomain({ kernel: buildPathsGuest(DIVISOR), memoryMib: 32 });
  const running = host.run();
  const chunks: Uint8Array[] = [];
  for await (const chunk of domain.console.readable) chunks.push(chunk);
  await running;
  return { reason: (await domain.exited).reason, output: Buffer.concat(chunks) };
}

for (const engine of ENGINES) {
  test(`every path of the hypervisor gives what it must, with the engine ${engine}`, async () => {
    const { reason, output } = await run(engine);
    assert.equal(reason, 'poweroff');
    const { answers } = readPathFigures(output, DIVISOR);
    for (const [i, kind] of KINDS.entries()) {
      const expected = 'answer' in kind ? kind.answer : 0;
      if (expected !== undefined) assert.equal(answers[i], expected, kind.title);
    }
  });
}

test("a path's time is its share of the loop, without the empty loop", () => {
  const bytes = new Uint8Array(RESULT_BYTES * (1 + KINDS.length));
  const view = new DataView(bytes.buffer);
  view.setBigInt64(0, 2_000_000n, true); // the empty loop: 2 ns a round
  const batch = KINDS.findIndex(({ parts }) => parts !== undefined && parts > 2);
  const { iterations, parts } = KINDS[batch]!;
  view.setBigInt64(RESULT_BYTES * (batch + 1), BigInt(iterations * (2 + 100 * parts!)), true);
  assert.equal(readPathFigures(bytes).ns[batch], 100);
});

test('output that is cut short is refused', () => {
  assert.throws(() => readPathFigures(new Uint8Array(16)), /expected \d+ bytes of figures, found 16/);
});
