/** The 8254: what its counters show as time goes by, and when counter 0 interrupts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../hypervisor/clock.ts';
import { TimerQueue } from '../../hypervisor/timers.ts';
import { IntervalTimer, PIT_HZ } from './pit.ts';

function timer() {
  const clock = new VirtualClock();
  const timers = new TimerQueue();
  const edges: number[] = [];
  let level = false;
  const pit = new IntervalTimer({
    clock,
    timers,
    setLine: (now) => {
      if (now && !level) edges.push(clock.nowNs());
      level = now;
    },
  });
  /** Goes on to a time, stopping where a timer is due. */
  const until = (ns: number): void => {
    while (timers.nextNs <= ns) {
      clock.advanceIdle(timers.nextNs);
      timers.fireDue(clock.nowNs());
    }
    clock.advanceIdle(ns);
  };
  const set = (counter: number, mode: number, count: number): void => {
    pit.write(0x43, (counter << 6) | 0x30 | (mode << 1));
    pit.write(0x40 + counter, count & 0xff);
    pit.write(0x40 + counter, count >> 8);
  };
  return { pit, clock, edges, until, set };
}

/** The first nanosecond at which so many ticks have passed. */
function at(ticks: number): number {
  return Math.ceil((ticks * 1e9) / PIT_HZ);
}

test('mode 2 interrupts at the end of each period, without drift', () => {
  const { edges, until, set } = timer();
  set(0, 2, 11932);
  edges.length = 0;
  until(1e9);
  assert.equal(edges.length, 99);
  assert.deepEqual(edges.slice(0, 2), [at(11932), at(2 * 11932)]);
  assert.equal(edges[98], at(99 * 11932));
});

test('a count of 0 is 65536, the slow clock of old', () => {
  const { edges, until, set } = timer();
  set(0, 3, 0);
  edges.length = 0;
  until(1e9);
  assert.equal(edges.length, 18);
});

test('mode 0 interrupts once', () => {
  const { edges, until, set } = timer();
  set(0, 0, 1000);
  until(1e9);
  assert.deepEqual(edges, [at(1000)]);
});

test('a new control word stops the counter', () => {
  const { pit, edges, until, set } = timer();
  set(0, 2, 1000);
  pit.write(0x43, 0x30);
  edges.length = 0;
  until(1e9);
  assert.deepEqual(edges, []);
});

test('a count can be latched, and is read low byte first', () => {
  const { pit, until, set } = timer();
  set(0, 2, 0x1234);
  until(at(0x34));
  pit.write(0x43, 0x00);
  until(at(0x100));
  assert.equal(pit.read(0x40) | (pit.read(0x40) << 8), 0x1200);
  assert.equal(pit.read(0x40) | (pit.read(0x40) << 8), 0x1134, 'then it counts on');
});

test('one byte at a time, where the control word says so', () => {
  const { pit, until } = timer();
  pit.write(0x43, 0x54); // counter 1, low byte, mode 2
  pit.write(0x41, 0x12);
  until(at(2));
  assert.equal(pit.read(0x41), 0x10);
});

test('read-back latches status and count', () => {
  const { pit, until, set } = timer();
  set(0, 2, 0x0100);
  until(at(0x10));
  pit.write(0x43, 0xc2);
  assert.equal(pit.read(0x40), 0xb4, 'output high, both bytes, mode 2');
  assert.equal(pit.read(0x40), 0xf0);
  assert.equal(pit.read(0x40), 0x00);
});

test('the gate of counter 2 starts it, and its output shows the end', () => {
  const { pit, until, set } = timer();
  pit.write(0x61, 0x00);
  set(2, 0, 1193);
  until(5e6);
  assert.equal(pit.read(0x61) & 0x20, 0, 'it does not count with its gate low');
  pit.write(0x61, 0x01);
  until(5e6 + at(1192));
  assert.equal(pit.read(0x61) & 0x20, 0);
  until(5e6 + at(1193));
  assert.equal(pit.read(0x61) & 0x21, 0x21);
});

test('in mode 0 a gate that falls stops the count where it is, and one that rises lets it go on', () => {
  const { pit, until, set } = timer();
  pit.write(0x61, 0x01);
  set(2, 0, 1000);
  const count = () => {
    pit.write(0x43, 0x80);
    return pit.read(0x42) | (pit.read(0x42) << 8);
  };
  until(at(400));
  pit.write(0x61, 0x00);
  until(at(5000));
  assert.equal(count(), 600);
  pit.write(0x61, 0x01);
  until(at(5000) + at(599));
  assert.equal(pit.read(0x61) & 0x20, 0);
  until(at(5000) + at(601));
  assert.equal(pit.read(0x61) & 0x20, 0x20);
  pit.write(0x61, 0x00);
  assert.equal(pit.read(0x61) & 0x20, 0x20, 'the gate has no effect on the output');
});
