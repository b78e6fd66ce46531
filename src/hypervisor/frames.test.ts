import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FrameAllocator, NO_FRAME, OutOfFramesError } from './frames.ts';

function allocator(frames: number, scrub = (_mfn: number) => {}): FrameAllocator {
  return new FrameAllocator(frames, scrub);
}

test('frames are given out lowest first, and never frame 0', () => {
  const frames = allocator(100);
  assert.equal(frames.available, 99);
  assert.deepEqual([...frames.allocate(3)], [1, 2, 3]);
  frames.free(2);
  assert.deepEqual([...frames.allocate(2)], [2, 4]);
  assert.equal(frames.available, 95);
});

test('an allocation is all or nothing', () => {
  const frames = allocator(10);
  assert.throws(() => frames.allocate(10), OutOfFramesError);
  assert.equal(frames.available, 9);
  assert.equal(frames.allocate(9).length, 9);
  assert.equal(frames.tryAllocate(), NO_FRAME);
  frames.free(5);
  assert.equal(frames.tryAllocate(), 5);
});

test('neighbouring frames are found beyond holes, aligned', () => {
  const frames = allocator(200);
  frames.allocate(5);
  frames.free(3);
  assert.equal(frames.tryAllocateContiguous(4, 4), 8);
  assert.equal(frames.tryAllocateContiguous(2), 6);
  assert.equal(frames.tryAllocate(), 3);
  assert.equal(frames.tryAllocateContiguous(128, 64), 64);
  assert.equal(frames.tryAllocateContiguous(64, 64), NO_FRAME);
});

test('freeing a free frame, or one that does not exist, is refused', () => {
  const frames = allocator(10);
  frames.allocate(1);
  frames.free(1);
  for (const mfn of [0, 1, 10, -1]) assert.throws(() => frames.free(mfn), RangeError);
});

test('neighbours may reach to the last frame, and no further', () => {
  assert.equal(allocator(10).tryAllocateContiguous(10), 0);
  assert.equal(allocator(10).tryAllocateContiguous(9), 1);
});

test('a frame that was used before is scrubbed when it is given out again, and not before', () => {
  const scrubbed: number[] = [];
  const frames = allocator(100, (mfn) => scrubbed.push(mfn));
  frames.allocate(6);
  for (const mfn of [2, 4, 5]) frames.free(mfn);
  assert.deepEqual(scrubbed, []);
  assert.equal(frames.tryAllocate(), 2);
  assert.equal(frames.tryAllocateContiguous(2), 4);
  assert.deepEqual(scrubbed, [2, 4, 5]);
  frames.allocate(3);
  assert.deepEqual(scrubbed, [2, 4, 5]);
});
