/** The I/O ports: wide accesses, and those where nothing is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoPorts } from './ports.ts';

function board() {
  const ports = new IoPorts();
  const written: [port: number, value: number][] = [];
  const device = {
    read: (port: number) => port & 0xff,
    write: (port: number, value: number) => void written.push([port, value]),
  };
  return { ports, device, written };
}

test('a wide access is one for each byte, lowest first', () => {
  const { ports, device, written } = board();
  ports.connect(device, 0x10, 4);
  assert.equal(ports.read(0x10, 4), 0x13121110);
  assert.equal(ports.read(0x12, 2), 0x1312);
  ports.write(0x10, 4, 0xaabbccdd);
  assert.deepEqual(written.splice(0), [
    [0x10, 0xdd],
    [0x11, 0xcc],
    [0x12, 0xbb],
    [0x13, 0xaa],
  ]);
  ports.write(0x11, 1, 0x1ff);
  assert.deepEqual(written, [[0x11, 0xff]]);
});

test('where nothing answers reads give ones, unsigned, and writes are lost', () => {
  const { ports, device, written } = board();
  assert.equal(ports.read(0x5000, 4), 0xffffffff);
  ports.connect(device, 0x11, 2);
  assert.equal(ports.read(0x10, 4), 0xff1211ff);
  ports.write(0x10, 4, 0x44332211);
  assert.deepEqual(written, [
    [0x11, 0x22],
    [0x12, 0x33],
  ]);
});
