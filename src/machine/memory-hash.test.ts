import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MachineMemory } from './memory.ts';
import { hashFrames, hashWords } from './memory-hash.ts';

test('every bit of every frame counts, and where it is', () => {
  const memory = new MachineMemory({ frames: 3, codeCacheBytes: 1 << 16 });
  const seen = new Set([hashFrames(memory)]);
  for (const maddr of [0, 1, 4, 8, 12, 16, 4095, 4096, 3 * 4096 - 1]) {
    for (const bit of [1, 0x80]) {
      memory.write8(maddr, bit);
      seen.add(hashFrames(memory));
      memory.write8(maddr, 0);
    }
  }
  assert.equal(seen.size, 19);
  assert.equal(hashFrames(memory), [...seen][0]);
});

test('the length counts, and what lies outside the frames does not', () => {
  assert.notEqual(hashWords(new Int32Array(4)), hashWords(new Int32Array(8)));
  const memory = new MachineMemory({ frames: 1, codeCacheBytes: 1 << 16 });
  const before = hashFrames(memory);
  memory.u8[memory.framesBase - 1] = 1;
  assert.equal(hashFrames(memory), before);
  assert.match(before, /^[0-9a-f]{32}$/);
});
