/** The MC146818: the date as its registers show it, and what they keep. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../hypervisor/clock.ts';
import { RealTimeClock } from './rtc.ts';

const INDEX = 0x70;
const DATA = 0x71;

function clockAt(date: string) {
  const clock = new VirtualClock();
  const rtc = new RealTimeClock(clock, Date.parse(date));
  const read = (index: number): number => {
    rtc.write(INDEX, index);
    return rtc.read(DATA);
  };
  const write = (index: number, value: number): void => {
    rtc.write(INDEX, index);
    rtc.write(DATA, value);
  };
  return { clock, rtc, read, write };
}

const SECOND = 0;
const MINUTE = 2;
const HOUR = 4;
const WEEKDAY = 6;
const DAY = 7;
const MONTH = 8;
const YEAR = 9;
const CENTURY = 0x32;

test('the date is in BCD and UTC, months from 1, days of the week from Sunday, which is 1, hours to 23', () => {
  const { read } = clockAt('2038-12-25T23:45:56Z');
  const all = [SECOND, MINUTE, HOUR, WEEKDAY, DAY, MONTH, YEAR, CENTURY].map(read);
  assert.deepEqual(all, [0x56, 0x45, 0x23, 7, 0x25, 0x12, 0x38, 0x20]);
  const earlier = clockAt('1995-01-01T07:08:09Z');
  const others = [SECOND, MINUTE, HOUR, WEEKDAY, DAY, MONTH, YEAR, CENTURY].map(earlier.read);
  assert.deepEqual(others, [0x09, 0x08, 0x07, 1, 0x01, 0x01, 0x95, 0x19]);
});

test('it goes with the clock', () => {
  const { clock, read } = clockAt('2023-12-31T23:59:58Z');
  clock.advanceIdle(2e9 - 1e6);
  assert.equal(read(SECOND), 0x59);
  clock.advanceIdle(2e9);
  assert.deepEqual([SECOND, MINUTE, HOUR, DAY, MONTH, YEAR].map(read), [0, 0, 0, 1, 1, 0x24]);
});

test('its status says: no update in progress, 24 hours and BCD, no interrupt, a good battery', () => {
  const { read } = clockAt('2024-02-29T00:00:00Z');
  assert.deepEqual([10, 11, 12, 13].map(read), [0x26, 0x02, 0x00, 0x80]);
});

test('the date cannot be set; other registers keep what is written', () => {
  const { read, write } = clockAt('2024-02-29T12:00:00Z');
  write(DAY, 0x17);
  assert.equal(read(DAY), 0x29);
  write(0x40, 0xa5);
  write(0x41, 0x5a);
  assert.deepEqual([0x40, 0x41].map(read), [0xa5, 0x5a]);
});

test('bit 7 of the index, which masks NMI, is no part of it; the index cannot be read', () => {
  const { rtc, read } = clockAt('2024-02-29T12:00:00Z');
  assert.equal(read(0x80 | DAY), 0x29);
  assert.equal(rtc.read(INDEX), 0xff);
});
