import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { Terminal } from './terminal.ts';

test('nothing more is read until the guest has room for what was', async () => {
  const input = new PassThrough();
  const terminal = new Terminal(input, () => {});
  const taken: string[] = [];
  let makeRoom = () => {};
  terminal.onInput = (bytes) => {
    taken.push(String(bytes));
    return new Promise((resolve) => {
      makeRoom = resolve;
    });
  };
  input.write('one');
  await new Promise(setImmediate);
  input.write('two');
  await new Promise(setImmediate);
  assert.deepEqual(taken, ['one']);
  makeRoom();
  await new Promise(setImmediate);
  assert.deepEqual(taken, ['one', 'two']);
  terminal.close();
});
