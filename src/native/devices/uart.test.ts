/** The 16550A: what goes out, what comes in, and when it interrupts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../hypervisor/clock.ts';
import { TimerQueue } from '../../hypervisor/timers.ts';
import { SerialPort } from './uart.ts';

const [DATA, IER, IIR, LCR, MCR, LSR, MSR] = [0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe];

function port() {
  const clock = new VirtualClock();
  const timers = new TimerQueue();
  const seen = { output: '', line: false, drains: 0 };
  const serial = new SerialPort({
    clock,
    timers,
    setLine: (level) => {
      seen.line = level;
    },
    onOutput: (bytes) => {
      seen.output += new TextDecoder().decode(bytes);
    },
    onDrain: () => seen.drains++,
  });
  const send = (text: string) => {
    for (const character of text) serial.write(DATA, character.charCodeAt(0));
  };
  const type = (text: string) => serial.type(new TextEncoder().encode(text));
  return { serial, clock, timers, seen, send, type };
}

test('what is sent comes out a millisecond later, or when there is much of it', () => {
  const { clock, timers, seen, send } = port();
  send('hello');
  assert.equal(seen.output.length, 0);
  clock.advanceIdle(timers.nextNs);
  timers.fireDue(clock.nowNs());
  assert.equal(seen.output, 'hello');
  send('x'.repeat(1024));
  assert.equal(seen.output.length, 5 + 1024);
});

test('what is typed is read byte by byte', () => {
  const { serial, type } = port();
  assert.equal(type('ab'), 2);
  assert.equal(serial.read(LSR) & 1, 1);
  assert.equal(serial.read(DATA), 0x61);
  assert.equal(serial.read(DATA), 0x62);
  assert.equal(serial.read(LSR), 0x60);
  assert.equal(serial.read(DATA), 0);
});

test('it takes 64 KiB ahead, and says when there is room again', () => {
  const { serial, type, seen } = port();
  assert.equal(type('x'.repeat(70_000)), 65536);
  assert.equal(seen.drains, 0);
  serial.read(DATA);
  assert.equal(seen.drains, 1);
  assert.equal(type('yz'), 1);
});

test('received data interrupts: at the trigger, or as a timeout below it', () => {
  const { serial, seen, type } = port();
  serial.write(IIR, 0xc1); // FIFO, trigger 14
  serial.write(MCR, 0x0b);
  serial.write(IER, 0x01);
  type('abc');
  assert.equal(seen.line, true);
  assert.equal(serial.read(IIR), 0xcc);
  type('d'.repeat(20));
  assert.equal(serial.read(IIR), 0xc4);
  for (let i = 0; i < 23; i++) serial.read(DATA);
  assert.equal(seen.line, false);
  assert.equal(serial.read(IIR), 0xc1);
});

test('nothing leaves the port without OUT2', () => {
  const { serial, seen, type } = port();
  serial.write(IER, 0x01);
  type('a');
  assert.equal(serial.read(IIR), 0x04);
  assert.equal(seen.line, false);
  serial.write(MCR, 0x0a);
  assert.equal(seen.line, true);
});

test('an empty transmitter interrupts when that is enabled, and after each byte; reading the identity is the end of it', () => {
  const { serial, seen, send } = port();
  serial.write(MCR, 0x08);
  serial.write(IER, 0x02);
  assert.equal(seen.line, true);
  assert.equal(serial.read(IIR), 0x02);
  assert.equal(seen.line, false);
  assert.equal(serial.read(IIR), 0x01);
  send('a');
  assert.equal(seen.line, true);
});

test('while nobody reads the output the transmitter is full', () => {
  const { serial, seen } = port();
  serial.pauseOutput();
  assert.equal(serial.read(LSR), 0x00);
  serial.write(MCR, 0x08);
  serial.write(IER, 0x02);
  serial.read(IIR);
  serial.resumeOutput();
  assert.equal(serial.read(LSR), 0x60);
  assert.equal(seen.line, true);
});

test('without RTS nothing is sent to the guest, once it has used modem control; a cleared FIFO loses nothing', () => {
  const { serial, type } = port();
  type('abc');
  assert.equal(serial.read(LSR) & 1, 1);
  serial.write(MCR, 0x01);
  assert.equal(serial.read(LSR) & 1, 0);
  serial.write(IIR, 0x07);
  serial.write(MCR, 0x03);
  assert.equal(serial.read(DATA), 0x61);
});

test('under the loop the port hears itself, and modem status is modem control', () => {
  const { serial, seen, send } = port();
  serial.write(MCR, 0x15);
  assert.equal(serial.read(MSR), 0x60);
  serial.write(MCR, 0x1a);
  assert.equal(serial.read(MSR), 0x90);
  send('q');
  send('r');
  assert.equal(serial.read(LSR) & 3, 3, 'one byte, and one that was lost');
  assert.equal(serial.read(DATA), 0x71);
  serial.flush();
  assert.equal(seen.output, '');
});

test('the divisor hides behind its latch bit', () => {
  const { serial, seen } = port();
  serial.write(LCR, 0x83);
  serial.write(DATA, 0x0c);
  serial.write(IER, 0x34);
  assert.equal(serial.read(DATA), 0x0c);
  assert.equal(serial.read(IER), 0x34);
  serial.write(LCR, 0x03);
  assert.equal(serial.read(IER), 0);
  serial.flush();
  assert.equal(seen.output, '');
});

test('registers keep the bits that they have', () => {
  const { serial } = port();
  serial.write(IER, 0xff);
  assert.equal(serial.read(IER), 0x0f);
  serial.write(MCR, 0xef);
  assert.equal(serial.read(MCR), 0x0f);
  serial.write(LCR, 0x5b);
  assert.equal(serial.read(LCR), 0x5b);
  serial.write(0x3ff, 0xa5);
  assert.equal(serial.read(0x3ff), 0xa5);
  serial.write(LCR, 0x80);
  serial.write(IER, 0x34);
  serial.write(DATA, 0x0c);
  assert.equal(serial.read(IER), 0x34, 'the halves of the divisor can be written in any order');
});

test('the FIFO has sixteen bytes, and triggers at 1, 4, 8 or 14', () => {
  for (const [control, trigger] of [
    [0x01, 1],
    [0x41, 4],
    [0x81, 8],
    [0xc1, 14],
  ] as const) {
    const { serial, type } = port();
    serial.write(IIR, control);
    serial.write(IER, 0x01);
    type('x'.repeat(trigger - 1));
    if (trigger > 1) assert.equal(serial.read(IIR), 0xcc, `below ${trigger}`);
    type('x');
    assert.equal(serial.read(IIR), 0xc4, `at ${trigger}`);
  }
  const { serial, send } = port();
  serial.write(IIR, 0x01);
  serial.write(MCR, 0x12);
  send('0123456789abcdefg');
  assert.equal(serial.read(LSR) & 3, 3, 'the seventeenth is lost');
  assert.equal(serial.read(LSR) & 3, 1, 'which is said once');
  assert.equal(serial.read(DATA), 0x30);
});

test('what its trigger is counts only while the FIFO is on, and turning it on or off empties it', () => {
  const { serial, send, type } = port();
  serial.write(IER, 0x01);
  serial.write(IIR, 0xc0);
  type('a');
  assert.equal(serial.read(IIR), 0x04);
  serial.read(DATA);
  serial.write(IIR, 0x01);
  serial.write(MCR, 0x12);
  send('q');
  serial.write(IIR, 0x01);
  assert.equal(serial.read(LSR) & 1, 1);
  serial.write(IIR, 0x00);
  assert.equal(serial.read(LSR) & 1, 0);
});

test('enabling what is enabled tells of no empty transmitter again', () => {
  const { serial } = port();
  serial.write(IER, 0x02);
  assert.equal(serial.read(IIR), 0x02);
  serial.write(IER, 0x02);
  assert.equal(serial.read(IIR), 0x01);
  serial.write(IER, 0x00);
  serial.write(IER, 0x02);
  assert.equal(serial.read(IIR), 0x02);
});

test('a byte that nobody takes leaves the transmitter full, but under the loop it leaves', () => {
  const { serial, send } = port();
  serial.write(IER, 0x02);
  serial.read(IIR);
  serial.pauseOutput();
  send('a');
  assert.equal(serial.read(IIR), 0x01);
  serial.write(MCR, 0x10);
  assert.equal(serial.read(LSR), 0x60);
});

test('under the loop no interrupt leaves the port', () => {
  const { serial, seen, send } = port();
  serial.write(MCR, 0x18);
  serial.write(IER, 0x01);
  send('q');
  assert.equal(serial.read(IIR), 0x04);
  assert.equal(seen.line, false);
});
