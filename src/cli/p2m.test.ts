/** The command that draws a guest's P2M, with the guest that is built in, which tells nobody of its own. */
import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { Host } from '../index.ts';
import { UsageError } from './errors.ts';
import { p2m } from './p2m.ts';
import type { RunSurroundings } from './run.ts';

function surroundings(output: string[]): RunSurroundings {
  const stdout = new Writable({
    write(chunk, _encoding, done) {
      output.push(String(chunk));
      done();
    },
  });
  return {
    stdout,
    createHost: (options: object) => Host.create(options as never),
  } as unknown as RunSurroundings;
}

test('a guest that tells nothing is said to', async () => {
  const output: string[] = [];
  assert.equal(await p2m(['tiny', 'memory=16'], { after: '0.1' }, surroundings(output)), 0);
  assert.deepEqual(output, ['the guest tells nobody of its P2M\n']);
});

test('a time that is none is a mistake', async () => {
  await assert.rejects(p2m(['tiny'], { after: 'soon' }, surroundings([])), UsageError);
});
