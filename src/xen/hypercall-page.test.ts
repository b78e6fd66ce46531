import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MachineMemory, PAGE_SIZE } from '../machine/memory.ts';
import { writeHypercallPage } from './hypercall-page.ts';

function stub(number: number, is64: boolean, length: number): number[] {
  const memory = new MachineMemory({ frames: 2, codeCacheBytes: 65536 });
  writeHypercallPage(memory, 1, is64);
  const bytes = new Uint8Array(length);
  memory.readBytes(PAGE_SIZE + number * 32, bytes);
  return [...bytes];
}

test('a 64-bit stub saves what SYSCALL destroys and returns', () => {
  assert.deepEqual(
    stub(29, true, 15),
    [0x51, 0x41, 0x53, 0xb8, 29, 0, 0, 0, 0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3, 0xcc],
  );
});

test('the 64-bit iret stub builds the top of the frame and does not return', () => {
  assert.deepEqual(stub(23, true, 12), [0x51, 0x41, 0x53, 0x50, 0xb8, 23, 0, 0, 0, 0x0f, 0x05, 0xcc]);
});

test('32-bit stubs use INT 0x82', () => {
  assert.deepEqual(stub(1, false, 9), [0xb8, 1, 0, 0, 0, 0xcd, 0x82, 0xc3, 0xcc]);
  assert.deepEqual(stub(23, false, 9), [0x50, 0xb8, 23, 0, 0, 0, 0xcd, 0x82, 0xcc]);
});

test('the last of the 128 stubs is number 127', () => {
  assert.equal(stub(127, true, 5)[4], 127);
});
