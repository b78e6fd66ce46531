import assert from 'node:assert/strict';
import { it } from 'node:test';
import { withoutZeros } from './layout.ts';

const PAGE = 4096;

function data(bytes: number, ...set: readonly number[]): Uint8Array {
  const whole = new Uint8Array(bytes);
  for (const at of set) whole[at] = 1;
  return whole;
}

function shape(whole: Uint8Array): [start: number, end: number, bytes: number][] {
  return withoutZeros(whole).map(({ start, end, bytes }) => [start, end, bytes.length]);
}

it('zeros at the end of data are not in the file', () => {
  assert.deepEqual(shape(data(10 * PAGE, 5)), [[0, 10 * PAGE, 6]]);
  assert.deepEqual(shape(data(100)), [[0, 100, 0]]);
});

it('a long run of zeros parts data, a short one does not', () => {
  assert.deepEqual(shape(data(12 * PAGE + 7, 0, 9 * PAGE + 1)), [
    [0, 9 * PAGE, 1],
    [9 * PAGE, 12 * PAGE + 7, 2],
  ]);
  assert.deepEqual(shape(data(5 * PAGE, 0, 4 * PAGE)), [[0, 5 * PAGE, 4 * PAGE + 1]]);
});

it('every byte that is not zero is in a stretch, at its place', () => {
  const whole = data(40 * PAGE, 3, PAGE, 6 * PAGE + 4095, 20 * PAGE, 39 * PAGE);
  const again = new Uint8Array(whole.length);
  for (const { start, bytes } of withoutZeros(whole)) again.set(bytes, start);
  assert.deepEqual(again, whole);
});
