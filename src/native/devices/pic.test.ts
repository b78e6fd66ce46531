/** Two 8259A: priorities, the end of interrupts, the cascade, and words that few kernels use. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InterruptController } from './pic.ts';

const EOI = 0x20;

/** Initialised with vectors 0x20 and 0x28, nothing masked. */
function initialised(icw4 = 0x01): { pic: InterruptController; requests: () => number } {
  let requests = 0;
  const pic = new InterruptController(() => requests++);
  for (const [port, value] of [
    [0x20, 0x11],
    [0x21, 0x20],
    [0x21, 0x04],
    [0x21, icw4],
    [0xa0, 0x11],
    [0xa1, 0x28],
    [0xa1, 0x02],
    [0xa1, icw4],
  ] as const) {
    pic.write(port, value);
  }
  return { pic, requests: () => requests };
}

test('until it is initialised everything is masked', () => {
  const pic = new InterruptController(() => assert.fail('no interrupt was due'));
  for (let irq = 0; irq < 16; irq++) pic.pulse(irq);
  assert.equal(pic.requesting, false);
  assert.equal(pic.read(0x21), 0xff);
});

test('the lowest number comes first, and holds the others back until its end', () => {
  const { pic, requests } = initialised();
  pic.pulse(4);
  pic.pulse(1);
  assert.ok(requests() > 0);
  assert.equal(pic.acknowledge(), 0x21);
  assert.equal(pic.requesting, false);
  pic.pulse(0);
  assert.equal(pic.acknowledge(), 0x20, 'a higher one comes in between');
  pic.write(0x20, EOI);
  assert.equal(pic.requesting, false, 'IRQ 1 is still being served');
  pic.write(0x20, EOI);
  assert.equal(pic.acknowledge(), 0x24);
});

test('an edge that comes while the input is being served is remembered; a level alone is not an edge', () => {
  const { pic } = initialised();
  pic.setLine(3, true);
  assert.equal(pic.acknowledge(), 0x23);
  pic.write(0x20, EOI);
  assert.equal(pic.requesting, false);
  pic.setLine(3, true);
  assert.equal(pic.requesting, false);
  pic.pulse(3);
  assert.equal(pic.acknowledge(), 0x23);
  pic.pulse(3);
  assert.equal(pic.requesting, false);
  pic.write(0x20, EOI);
  assert.equal(pic.acknowledge(), 0x23);
});

test('a masked request waits', () => {
  const { pic } = initialised();
  pic.write(0x21, 0x10);
  pic.pulse(4);
  assert.equal(pic.requesting, false);
  pic.write(0x20, 0x0a);
  assert.equal(pic.read(0x20), 0x10, 'it can be seen in IRR');
  pic.write(0x21, 0x00);
  assert.equal(pic.acknowledge(), 0x24);
  pic.write(0x20, 0x0b);
  assert.equal(pic.read(0x20), 0x10, 'and in ISR');
});

test('the second controller comes through input 2, and both want an end', () => {
  const { pic } = initialised();
  pic.pulse(8);
  pic.pulse(12);
  assert.equal(pic.acknowledge(), 0x28);
  pic.write(0xa0, EOI);
  assert.equal(pic.requesting, false, 'the first one still serves input 2');
  pic.write(0x20, EOI);
  assert.equal(pic.acknowledge(), 0x2c);
  pic.pulse(0);
  assert.equal(pic.acknowledge(), 0x20);
});

test('a specific end ends that one', () => {
  const { pic } = initialised();
  pic.pulse(5);
  pic.acknowledge();
  pic.pulse(1);
  pic.acknowledge();
  pic.write(0x20, 0x65);
  pic.write(0x20, 0x0b);
  assert.equal(pic.read(0x20), 0x02);
});

test('with rotation the one that was served comes last', () => {
  const { pic } = initialised();
  pic.pulse(0);
  pic.acknowledge();
  pic.write(0x20, 0xa0);
  pic.pulse(0);
  pic.pulse(1);
  assert.equal(pic.acknowledge(), 0x21);
});

test('with automatic end nothing is held back', () => {
  const { pic } = initialised(0x03);
  pic.pulse(1);
  assert.equal(pic.acknowledge(), 0x21);
  pic.pulse(4);
  assert.equal(pic.acknowledge(), 0x24);
});

test('a poll takes the request without the processor', () => {
  const { pic } = initialised();
  pic.pulse(6);
  pic.write(0x20, 0x0c);
  assert.equal(pic.read(0x20), 0x86);
  pic.write(0x20, 0x0c);
  assert.equal(pic.read(0x20), 0x00);
});

test('special mask mode lets lower ones through where the served one is masked', () => {
  const { pic } = initialised();
  pic.pulse(1);
  pic.acknowledge();
  pic.write(0x20, 0x68);
  pic.write(0x21, 0x02);
  pic.pulse(5);
  assert.equal(pic.acknowledge(), 0x25);
});

test('without a request an acknowledge is IRQ 7, which is not being served', () => {
  const { pic } = initialised();
  assert.equal(pic.acknowledge(), 0x27);
  pic.write(0x20, 0x0b);
  assert.equal(pic.read(0x20), 0);
});

test('initialised anew it waits for an edge, where a line has stayed high', () => {
  const { pic } = initialised();
  pic.setLine(4, true);
  for (const [port, value] of [
    [0x20, 0x11],
    [0x21, 0x20],
    [0x21, 0x04],
    [0x21, 0x01],
  ] as const) {
    pic.write(port, value);
  }
  pic.setLine(4, true);
  assert.equal(pic.requesting, false);
  pic.pulse(4);
  assert.equal(pic.acknowledge(), 0x24);
});

test('in special mask mode an end that names nobody passes over those that are masked', () => {
  const { pic } = initialised();
  pic.pulse(1);
  pic.acknowledge();
  pic.write(0x20, 0x68);
  pic.write(0x21, 0x02);
  pic.pulse(5);
  pic.acknowledge();
  pic.write(0x20, EOI);
  pic.write(0x20, 0x0b);
  assert.equal(pic.read(0x20), 0x02);
  pic.write(0x20, 0x61);
  assert.equal(pic.read(0x20), 0x00);
});

test('initialised without ICW4 it wants none, and its vectors are a multiple of eight', () => {
  const { pic } = initialised();
  pic.write(0x20, 0x10);
  pic.write(0x21, 0x47);
  pic.write(0x21, 0x04);
  pic.write(0x21, 0xfd);
  assert.equal(pic.read(0x21), 0xfd, 'this was the mask already');
  pic.pulse(1);
  assert.equal(pic.acknowledge(), 0x41);
});

test('a controller that is alone takes no ICW3', () => {
  const { pic } = initialised();
  for (const [icw1, words] of [
    [0x12, [0x20]],
    [0x13, [0x20, 0x01]],
  ] as const) {
    pic.write(0x20, icw1);
    for (const word of words) pic.write(0x21, word);
    pic.write(0x21, 0x5a);
    assert.equal(pic.read(0x21), 0x5a);
  }
});

test('initialised anew it has forgotten requests, priorities, modes and what it served', () => {
  const { pic } = initialised(0x03);
  pic.pulse(3);
  pic.write(0x20, 0xc5); // input 6 first
  pic.write(0x20, 0x68); // special mask mode
  pic.write(0x20, 0x0b); // reads give ISR
  pic.write(0x20, 0x10);
  for (const word of [0x20, 0x04]) pic.write(0x21, word);
  assert.equal(pic.requesting, false);
  pic.pulse(3);
  assert.equal(pic.read(0x20), 0x08, 'reads give IRR');
  pic.acknowledge();
  pic.write(0x20, 0x0b);
  assert.equal(pic.read(0x20), 0x08, 'there is no automatic end');
  pic.write(0x21, 0x08);
  pic.pulse(6);
  assert.equal(pic.requesting, false, 'the mask lets nothing lower through');
  pic.pulse(0);
  assert.equal(pic.acknowledge(), 0x20);
});

test('any input can be made the first, and those behind it follow in a circle', () => {
  const { pic } = initialised();
  pic.write(0x20, 0xc4); // 4 is the last, 5 the first
  for (const irq of [0, 4, 6]) pic.pulse(irq);
  const order = [];
  while (pic.requesting) {
    order.push(pic.acknowledge() & 7);
    pic.write(0x20, EOI);
  }
  assert.deepEqual(order, [6, 0, 4]);
  pic.pulse(7);
  pic.acknowledge();
  pic.pulse(1);
  assert.equal(pic.requesting, false, '7 comes before 1');
  pic.pulse(5);
  assert.equal(pic.acknowledge(), 0x25);
});

test('automatic ends may rotate, too', () => {
  const { pic } = initialised(0x03);
  const pair = () => {
    pic.pulse(1);
    pic.pulse(3);
    return [pic.acknowledge(), pic.acknowledge()];
  };
  assert.deepEqual(pair(), [0x21, 0x23]);
  pic.write(0x20, 0x80);
  pic.pulse(1);
  pic.acknowledge();
  assert.deepEqual(pair(), [0x23, 0x21]);
  pic.write(0x20, 0x00);
  assert.deepEqual(pair(), [0x23, 0x21], 'where it stood it stays');
  assert.deepEqual(pair(), [0x23, 0x21]);
});

test('OCW3 changes what its bits say, and nothing else', () => {
  const { pic } = initialised();
  pic.pulse(1);
  pic.acknowledge();
  pic.pulse(3);
  pic.write(0x20, 0x0b);
  pic.write(0x20, 0x68);
  assert.equal(pic.read(0x20), 0x02, 'ISR as before');
  pic.write(0x20, 0x08);
  pic.write(0x21, 0x02);
  assert.equal(pic.requesting, true, 'special mask mode as before');
  pic.write(0x20, 0x48);
  assert.equal(pic.requesting, false);
});

test('without special mask mode a masked input that is being served still holds others back', () => {
  const { pic } = initialised();
  pic.pulse(1);
  pic.acknowledge();
  pic.write(0x21, 0x02);
  pic.pulse(5);
  assert.equal(pic.requesting, false);
});

test('a request of the second controller that is masked meanwhile is its input 7, which is not being served', () => {
  const { pic } = initialised();
  pic.pulse(10);
  pic.write(0xa1, 0xff);
  assert.equal(pic.acknowledge(), 0x2f);
  pic.write(0xa0, 0x0b);
  assert.equal(pic.read(0xa0), 0x00);
  pic.write(0x20, 0x0b);
  assert.equal(pic.read(0x20), 0x04, 'the first one serves its input 2');
});

test('requests of the second controller are passed on one after the other', () => {
  const { pic } = initialised(0x03);
  pic.pulse(8);
  pic.pulse(9);
  assert.deepEqual([pic.acknowledge(), pic.acknowledge()], [0x28, 0x29]);
  assert.equal(pic.requesting, false);
});

test('a poll is one read, and lets the next request through', () => {
  const { pic, requests } = initialised(0x03);
  pic.pulse(3);
  pic.pulse(6);
  pic.write(0x20, 0x0c);
  const before = requests();
  assert.equal(pic.read(0x20), 0x83);
  assert.ok(requests() > before);
  assert.equal(pic.read(0x20), 0x40);
});
