import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ImageReader } from './reader.ts';

/** Counts the bytes in which something is looked for. */
class WatchedBytes extends Uint8Array {
  static searched = 0;

  override indexOf(value: number, from = 0): number {
    WatchedBytes.searched += this.length - from;
    return super.indexOf(value, from);
  }
}

test('a string has at most 4 KiB, and no byte behind them is looked at', () => {
  const bytes = new WatchedBytes(100_000).fill(0x61);
  bytes[99_999] = 0;
  const reader = new ImageReader(bytes, 'kernel');
  assert.equal(reader.string(99_999 - 4096), 'a'.repeat(4096));
  WatchedBytes.searched = 0;
  assert.equal(reader.string(99_999 - 4097), undefined);
  assert.equal(reader.string(0), undefined);
  assert.ok(WatchedBytes.searched <= 2 * 4097, `${WatchedBytes.searched} bytes`);
});

test('a string that the end of the file cuts off is none', () => {
  const reader = new ImageReader(Uint8Array.of(0x61, 0, 0x62), 'kernel');
  assert.deepEqual(
    [0, 1, 2, 3].map((at) => reader.string(at)),
    ['a', '', undefined, undefined],
  );
});
