import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  decodeNumber,
  decodeOneString,
  decodeStrings,
  encodeMessage,
  encodeStrings,
  MessageReader,
  MessageType,
  PAYLOAD_MAX,
  ProtocolError,
  textToBytes,
  XenstoreError,
} from './wire.ts';

const message = { type: MessageType.READ, requestId: 7, transactionId: 9, payload: encodeStrings(['/a']) };

function refuses(name: string) {
  return (error: unknown) => error instanceof XenstoreError && error.errorName === name;
}

describe('the wire format', () => {
  it('lays a message out as the header of io/xs_wire.h does', () => {
    assert.deepEqual(
      [...encodeMessage(message)],
      [2, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 47, 97, 0],
    );
  });

  it('puts a message together from single bytes', () => {
    const reader = new MessageReader();
    const bytes = encodeMessage(message);
    for (let i = 0; i < bytes.length; i++) {
      assert.equal(reader.message, null);
      assert.equal(reader.take(bytes.subarray(i, i + 1)), 1);
    }
    assert.deepEqual(reader.message, message);
  });

  it('takes one message at a time', () => {
    const reader = new MessageReader();
    const one = encodeMessage(message);
    const two = new Uint8Array([...one, ...one]);
    assert.equal(reader.take(two), one.length);
    assert.deepEqual(reader.message, message);
  });

  it('completes a message without payload with its header', () => {
    const reader = new MessageReader();
    const empty = { ...message, payload: new Uint8Array(0) };
    assert.equal(reader.take(encodeMessage(empty)), 16);
    assert.deepEqual(reader.message, empty);
  });

  it('accepts the longest payload and no longer one', () => {
    const reader = new MessageReader();
    const longest = { ...message, payload: new Uint8Array(PAYLOAD_MAX) };
    reader.take(encodeMessage(longest));
    assert.equal(reader.message?.payload.length, PAYLOAD_MAX);
    const header = encodeMessage(message).subarray(0, 16);
    new DataView(header.buffer).setUint32(12, PAYLOAD_MAX + 1, true);
    assert.throws(() => reader.take(header), ProtocolError);
  });

  it('keeps every byte of a string', () => {
    const all = Uint8Array.from({ length: 255 }, (_, index) => index + 1);
    const [text] = decodeStrings(new Uint8Array([...all, 0]));
    assert.deepEqual(textToBytes(text!), all);
  });

  it('ignores what follows the last nul of a list', () => {
    assert.deepEqual(decodeStrings(textToBytes('a\0\0b\0c')), ['a', '', 'b']);
    assert.deepEqual(decodeStrings(new Uint8Array(0)), []);
  });

  it('wants exactly one nul, at the end, where one string is expected', () => {
    assert.equal(decodeOneString(textToBytes('/a\0')), '/a');
    for (const text of ['', '/a', '/a\0b', '/a\0b\0']) {
      assert.throws(() => decodeOneString(textToBytes(text)), refuses('EINVAL'));
    }
  });

  it('takes decimal numbers within a limit and nothing else', () => {
    assert.equal(decodeNumber('65535', 65535), 65535);
    for (const text of ['65536', '-1', '', ' 1', '0x10', '1e3', '9'.repeat(40)]) {
      assert.throws(() => decodeNumber(text, 65535), refuses('EINVAL'), text);
    }
  });
});
