import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Timer, TimerQueue } from './timers.ts';

function recorder(): { queue: TimerQueue; fired: string[]; timer: (name: string) => Timer } {
  const fired: string[] = [];
  return { queue: new TimerQueue(), fired, timer: (name) => new Timer(() => void fired.push(name)) };
}

test('timers fire in order of deadline, equal ones in the order they were set', () => {
  const { queue, fired, timer } = recorder();
  for (const [name, deadline] of [
    ['c', 30],
    ['a', 10],
    ['b1', 20],
    ['b2', 20],
    ['b3', 20],
    ['d', 40],
  ] as const) {
    queue.set(timer(name), deadline);
  }
  assert.equal(queue.nextNs, 10);
  assert.equal(queue.fireDue(9), false);
  assert.equal(queue.fireDue(30), true);
  assert.deepEqual(fired, ['a', 'b1', 'b2', 'b3', 'c']);
  assert.equal(queue.nextNs, 40);
});

test('a timer can be moved and cancelled, and be set again by its own firing', () => {
  const { queue, fired, timer } = recorder();
  const moved = timer('moved');
  const cancelled = timer('cancelled');
  queue.set(moved, 10);
  queue.set(cancelled, 5);
  queue.set(moved, 20);
  queue.cancel(cancelled);
  queue.cancel(cancelled);
  queue.fireDue(15);
  assert.deepEqual(fired, []);
  let count = 0;
  const again = new Timer(() => {
    if (++count < 3) queue.set(again, again.deadlineNs + 1);
  });
  queue.set(again, 18);
  queue.fireDue(20);
  assert.deepEqual([fired, count, again.active], [['moved'], 3, false]);
  assert.equal(queue.nextNs, Number.POSITIVE_INFINITY);
});

test('many timers set, moved and cancelled come out sorted', () => {
  const { queue, fired, timer } = recorder();
  let seed = 7;
  const random = () => (seed = (seed * 1103515245 + 12345) % 2147483648);
  const timers = Array.from({ length: 300 }, (_, i) => timer(String(i)));
  for (const one of timers) queue.set(one, random() % 50);
  for (let i = 0; i < 300; i += 3) queue.set(timers[i]!, random() % 50);
  for (let i = 0; i < 300; i += 7) queue.cancel(timers[i]!);
  const expected = timers
    .map((one, i) => ({ one, i }))
    .filter(({ one }) => one.active)
    .sort((a, b) => a.one.deadlineNs - b.one.deadlineNs || a.one.order - b.one.order)
    .map(({ i }) => String(i));
  queue.fireDue(50);
  assert.deepEqual(fired, expected);
});
