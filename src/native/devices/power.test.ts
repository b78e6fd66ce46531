/** The switches: which writes end the machine, and what comes of those to the debug port. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PowerControl } from './power.ts';

function switches() {
  const seen: string[] = [];
  const power = new PowerControl({
    powerOff: () => seen.push('off'),
    reset: () => seen.push('reset'),
    emergencyOutput: (line) => seen.push(new TextDecoder().decode(line)),
  });
  return { power, seen };
}

test('SLP_EN powers off, whatever the sleep type beside it', () => {
  const { power, seen } = switches();
  power.write(0x605, 0x1c);
  assert.deepEqual(seen, []);
  power.write(0x605, 0x3c);
  assert.deepEqual(seen, ['off']);
});

test('the reset control register resets by its bit 2 alone, the keyboard controller by its one command', () => {
  const { power, seen } = switches();
  for (const value of [0x00, 0x02]) power.write(0xcf9, value);
  for (const value of [0xd1, 0xff]) power.write(0x64, value);
  power.write(0x60, 0xfe);
  assert.deepEqual(seen, []);
  power.write(0xcf9, 0x04);
  power.write(0x64, 0xfe);
  assert.deepEqual(seen, ['reset', 'reset']);
});

test('the debug port is known by what it reads; the keyboard controller has nothing, and waits for nothing', () => {
  const { power } = switches();
  assert.deepEqual(
    [0xe9, 0x60, 0x64, 0xcf9, 0x604, 0x605].map((port) => power.read(port)),
    [0xe9, 0x00, 0x00, 0x00, 0xff, 0xff],
  );
});

test('a line that does not end comes in pieces of 1 KiB', () => {
  const { power, seen } = switches();
  for (let i = 0; i < 1024; i++) power.write(0xe9, 0x78);
  assert.deepEqual(seen, ['x'.repeat(1024)]);
  for (const byte of [0x79, 0x0a]) power.write(0xe9, byte);
  power.flush();
  assert.deepEqual(seen.slice(1), ['y\n']);
});
