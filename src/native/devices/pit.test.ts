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

test('a gate that is high already changes nothing; in mode 2 one that rises starts the period again', () => {
  const { pit, until, set } = timer();
  pit.write(0x61, 0x01);
  set(2, 2, 1000);
  const count = () => {
    pit.write(0x43, 0x80);
    return pit.read(0x42) | (pit.read(0x42) << 8);
  };
  until(at(400));
  pit.write(0x61, 0x01);
  assert.equal(count(), 600);
  pit.write(0x61, 0x00);
  assert.equal(pit.read(0x61) & 0x20, 0x20, 'its output is high');
  pit.write(0x61, 0x01);
  assert.equal(count(), 1000);
});

test('modes 6 and 7 are 2 and 3', () => {
  const { pit, edges, until, set } = timer();
  set(0, 6, 11932);
  pit.write(0x43, 0xe2);
  assert.equal(pit.read(0x40), 0xb4);
  edges.length = 0;
  until(at(3 * 11932));
  assert.equal(edges.length, 3);
  set(0, 7, 11932);
  pit.write(0x43, 0xe2);
  assert.equal(pit.read(0x40), 0xb6);
});

test('in mode 2 the output is low for the last tick, in mode 3 for the second half, the shorter one', () => {
  const { pit, clock, until, set } = timer();
  pit.write(0x61, 0x01);
  const outputs = (ticks: readonly number[]) => {
    const start = clock.nowNs();
    return ticks.map((tick) => {
      until(start + at(tick));
      return (pit.read(0x61) & 0x20) !== 0;
    });
  };
  set(2, 2, 5);
  assert.deepEqual(outputs([0, 3, 4, 5, 8, 9]), [true, true, false, true, true, false]);
  set(2, 3, 5);
  assert.deepEqual(outputs([0, 2, 3, 4, 5, 7, 8]), [true, true, false, false, true, true, false]);
});

test('in mode 3 the count goes down by two, twice in a period', () => {
  const { pit, until, set } = timer();
  set(0, 3, 1000);
  const count = () => {
    pit.write(0x43, 0x00);
    return pit.read(0x40) | (pit.read(0x40) << 8);
  };
  until(at(100));
  assert.equal(count(), 800);
  until(at(600));
  assert.equal(count(), 800);
  set(0, 3, 999);
  assert.equal(count() % 2, 0);
});

test('in mode 0 the count goes on below zero', () => {
  const { pit, until, set } = timer();
  set(0, 0, 100);
  until(at(101));
  pit.write(0x43, 0x00);
  assert.equal(pit.read(0x40) | (pit.read(0x40) << 8), 0xffff);
});

test('the upper byte alone, where the control word says so', () => {
  const { pit, until } = timer();
  pit.write(0x43, 0x64); // counter 1, upper byte, mode 2
  pit.write(0x41, 0x12);
  until(at(0x101));
  assert.equal(pit.read(0x41), 0x10);
  pit.write(0x43, 0x40);
  until(at(0x201));
  assert.equal(pit.read(0x41), 0x10, 'latched is that byte');
  assert.equal(pit.read(0x41), 0x0f);
  pit.write(0x43, 0x54); // lower byte
  pit.write(0x41, 0x99);
  pit.write(0x43, 0x40);
  pit.read(0x41);
  until(at(0x201 + 9));
  assert.equal(pit.read(0x41), 0x90, 'and here this one');
});

test('a control word forgets half a count, half a read and what was latched', () => {
  const { pit, until, set } = timer();
  set(1, 2, 0x1234);
  assert.equal(pit.read(0x41), 0x34);
  pit.write(0x43, 0x40);
  pit.write(0x43, 0x74);
  pit.write(0x41, 0xff);
  set(1, 2, 0x4567);
  assert.equal(pit.read(0x41) | (pit.read(0x41) << 8), 0x4567);
  assert.equal(pit.read(0x41), 0x67);
  set(1, 2, 0x89ab);
  until(at(1));
  assert.equal(pit.read(0x41), 0xaa);
});

test('what is latched stays until it is read, whoever latches again', () => {
  const { pit, until, set } = timer();
  set(0, 2, 0x1000);
  until(at(1));
  pit.write(0x43, 0xc2);
  until(at(0xfff));
  pit.write(0x43, 0xc2);
  assert.deepEqual([pit.read(0x40), pit.read(0x40), pit.read(0x40)], [0xb4, 0xff, 0x0f]);
});

test('read-back takes status or count alone, and says when a count is still missing', () => {
  const { pit, until, set } = timer();
  pit.write(0x43, 0x34);
  pit.write(0x43, 0xe2);
  assert.equal(pit.read(0x40), 0xf4);
  pit.write(0x43, 0x30);
  pit.write(0x43, 0xe2);
  assert.equal(pit.read(0x40), 0x70, 'in mode 0 the output is low from then on');
  set(0, 2, 0x1000);
  pit.write(0x43, 0xe2);
  until(at(0x10));
  assert.deepEqual([pit.read(0x40), pit.read(0x40)], [0xb4, 0xf0], 'status, and then the count as it is');
  pit.read(0x40);
  pit.write(0x43, 0xd2);
  until(at(0x20));
  assert.deepEqual([pit.read(0x40), pit.read(0x40)], [0xf0, 0x0f], 'the count alone');
});

test('of port 0x61 the gate and the speaker are kept', () => {
  const { pit } = timer();
  pit.write(0x43, 0xb0);
  pit.write(0x61, 0xfe);
  assert.equal(pit.read(0x61), 0x02);
});
