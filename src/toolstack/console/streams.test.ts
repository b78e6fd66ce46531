import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { InputStream, OutputStream } from './streams.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

describe('a stream of console output', () => {
  it('gives what was pushed, in order, and ends', async () => {
    const output = new OutputStream();
    output.push(bytes('one '));
    output.push(bytes('two'));
    output.close();
    output.push(bytes('too late'));
    let text = '';
    for await (const chunk of output.readable) text += Buffer.from(chunk).toString();
    assert.equal(text, 'one two');
  });

  it('tells once when its reader is 64 KiB behind, and when it has caught up', async () => {
    const told: string[] = [];
    const output = new OutputStream(
      () => told.push('full'),
      () => told.push('room'),
    );
    output.push(new Uint8Array(65535));
    assert.deepEqual(told, []);
    output.push(new Uint8Array(1));
    output.push(new Uint8Array(1));
    assert.deepEqual(told, ['full']);
    const reader = output.readable.getReader();
    await reader.read();
    await reader.read();
    await reader.read();
    assert.deepEqual(told, ['full', 'room']);
  });

  it('holds nobody back once its reader has gone', async () => {
    const told: string[] = [];
    const output = new OutputStream(
      () => told.push('full'),
      () => told.push('room'),
    );
    output.push(new Uint8Array(70000));
    await output.readable.cancel();
    output.push(new Uint8Array(70000));
    assert.deepEqual(told, ['full', 'room']);
  });
});

describe('a stream of console input', () => {
  it('settles a write when all of it has been taken, and keeps the order', async () => {
    let room = 3;
    let typed = '';
    const input = new InputStream(
      (chunk) => {
        const count = Math.min(room, chunk.length);
        typed += Buffer.from(chunk.subarray(0, count)).toString();
        room -= count;
        return count;
      },
      (action) => action(),
    );
    const writer = input.writable.getWriter();
    let settled = false;
    const first = writer.write(bytes('hello ')).then(() => {
      settled = true;
    });
    const second = writer.write(bytes('world'));
    await Promise.resolve();
    assert.equal(typed, 'hel');
    assert.equal(settled, false);
    room = 100;
    input.drained();
    await first;
    await second;
    assert.equal(typed, 'hello world');
  });

  it('drops what is written after the guest has gone', async () => {
    const input = new InputStream(
      () => 0,
      (action) => action(),
    );
    const writer = input.writable.getWriter();
    const pending = writer.write(bytes('a'));
    await Promise.resolve();
    input.close();
    await pending;
    await writer.write(bytes('b'));
    await writer.close();
  });
});
