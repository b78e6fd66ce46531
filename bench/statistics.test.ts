import assert from 'node:assert/strict';
import { test } from 'node:test';
import { geometricMean, median, spread } from './statistics.ts';

test('the median is the middle value, or the mean of the two in the middle', () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([1, 9, 5, 7]), 6);
  assert.equal(median([4]), 4);
  assert.ok(Number.isNaN(median([])));
});

test('the median leaves its argument as it was', () => {
  const values = [3, 1, 2];
  median(values);
  assert.deepEqual(values, [3, 1, 2]);
});

test('the geometric mean of a ratio and its inverse is one', () => {
  assert.ok(Math.abs(geometricMean([4, 0.25]) - 1) < 1e-12);
  assert.ok(Math.abs(geometricMean([2, 8]) - 4) < 1e-12);
  assert.ok(Number.isNaN(geometricMean([])));
});

test('the spread is half the range, as a share of the median', () => {
  assert.equal(spread([9, 10, 11]), 0.1);
  assert.equal(spread([5]), 0);
});
