import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkDescriptor } from './descriptors.ts';

/** The descriptor as it may be stored, or undefined if it is refused. */
function checked(low: number, high: number): [number, number] | undefined {
  const descriptor = { low: low | 0, high: high | 0 };
  return checkDescriptor(descriptor) ? [descriptor.low >>> 0, descriptor.high >>> 0] : undefined;
}

test('a descriptor that is not present may hold anything', () => {
  assert.deepEqual(checked(0x12345678, 0x00000e00), [0x12345678, 0x00000e00]);
  assert.deepEqual(checked(0, 0), [0, 0]);
});

test('code and data come down to ring 3, whatever their base and limit', () => {
  assert.deepEqual(checked(0xffff, 0x00af9b00), [0xffff, 0x00affb00]);
  assert.deepEqual(checked(0xffff, 0x00cf9300), [0xffff, 0x00cff300]);
  assert.deepEqual(checked(0x56781234, 0x9acfb39a), [0x56781234, 0x9acff39a]);
  assert.deepEqual(checked(0xffff, 0x00cff300), [0xffff, 0x00cff300]);
});

test('task states, LDTs, interrupt and trap gates and task gates are refused', () => {
  for (const type of [0x1, 0x2, 0x3, 0x5, 0x6, 0x7, 0x9, 0xb, 0xe, 0xf]) {
    assert.equal(checked(0x00080000, 0x8000 | (type << 8)), undefined, `type ${type}`);
  }
});

test('a call gate loses its DPL, and keeps it in the selector', () => {
  assert.deepEqual(checked(0x00100123, 0xffff8c00), [0x00130123, 0xffff8c00]);
  assert.deepEqual(checked(0xe0330123, 0xffffec00), [0xe0330123, 0xffff8c00], 'to FLAT_KERNEL_CS');
  for (const selector of [0xe000, 0xe008]) {
    assert.equal(checked((selector << 16) | 0x123, 0xffff8c00), undefined, 'into Xen’s part of the GDT');
  }
  assert.deepEqual(checked(0xdff80123, 0xffff8c00), [0xdffb0123, 0xffff8c00], 'the guest’s last');
  assert.deepEqual(checked(0xffff0123, 0xffff8c00), [0xffff0123, 0xffff8c00], 'into the LDT');
  assert.equal(checked(0x00100123, 0xffff8c01), undefined, 'reserved bits');
});

test('type 0 is the upper half of a call gate, and harmless', () => {
  assert.deepEqual(checked(0xffffffff, 0x00008000), [0xffffffff, 0x00008000]);
});
