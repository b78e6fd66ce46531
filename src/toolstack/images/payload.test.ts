/** What comes out of a compressed payload, and what is said of one that is damaged or lies. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { decodeX86 } from './bcj.ts';
import { crc32 } from './crc32.ts';
import { ImageError } from './error.ts';
import { unpackPayload } from './payload.ts';
import { latin1, storedLz4, withSize } from './testing/elf-image.ts';
import {
  lz4Stream,
  samplePayload,
  xzBlocksStream,
  xzPlainStream,
  xzStream,
  zstdStream,
} from './testing/payloads.ts';

const sample = samplePayload();
const payloads: ReadonlyArray<readonly [string, Uint8Array]> = [
  ['gzip', new Uint8Array(gzipSync(sample))],
  ['xz with the x86 filter and a CRC', withSize(xzStream, sample.length)],
  ['xz with neither filter nor check', withSize(xzPlainStream, sample.length)],
  ['xz in three blocks', withSize(xzBlocksStream, sample.length)],
  ['zstd', withSize(zstdStream, sample.length)],
  ['legacy LZ4', withSize(lz4Stream, sample.length)],
];

function imageError(pattern: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof ImageError, String(error));
    assert.match(error.message, pattern);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  };
}

for (const [name, payload] of payloads) {
  test(`a payload packed with ${name} unpacks to the bytes that went in`, async () => {
    assert.deepEqual(await unpackPayload(payload, 'kernel'), sample);
  });

  test(`a payload packed with ${name} and cut anywhere is refused`, async () => {
    for (let length = 0; length < payload.length; length++) {
      await assert.rejects(
        unpackPayload(payload.slice(0, length), 'kernel'),
        imageError(/^kernel: /),
        `cut to ${length}`,
      );
    }
  });

  test(`a payload packed with ${name} that claims a byte more or less is refused`, async () => {
    for (const difference of [-1, 1]) {
      const lying = payload.slice();
      new DataView(lying.buffer).setUint32(lying.length - 4, sample.length + difference, true);
      await assert.rejects(
        unpackPayload(lying, 'kernel'),
        imageError(/^kernel: (corrupt|truncated or corrupt)/),
      );
    }
  });

  test(`a payload packed with ${name} and changed in any byte never comes out as an untyped error`, async () => {
    for (let at = 0; at < payload.length; at++) {
      const changed = payload.slice();
      changed[at] ^= 1 << (at % 8);
      const result = await unpackPayload(changed, 'kernel').catch((error: unknown) => error);
      assert.ok(result instanceof Uint8Array || result instanceof ImageError, `byte ${at}: ${result}`);
    }
  });
}

test('a change that the CRC can see is seen', async () => {
  const changed = xzStream.slice();
  // The check of the only block stands before the index and the footer, which are 12 bytes each here.
  changed[changed.length - 28] ^= 1;
  await assert.rejects(
    unpackPayload(withSize(changed, sample.length), 'kernel'),
    imageError(/bad xz payload/),
  );
});

test('a payload that was unpacked after a corrupt one is not affected by it', async () => {
  for (const stream of [xzStream, zstdStream]) {
    const corrupt = stream.slice();
    corrupt[200] ^= 0xff;
    await unpackPayload(withSize(corrupt, sample.length), 'kernel').catch(() => {});
    assert.deepEqual(await unpackPayload(withSize(stream, sample.length), 'kernel'), sample);
  }
});

test('payloads unpack side by side', async () => {
  const all = await Promise.all(
    [...payloads, ...payloads].map(([, payload]) => unpackPayload(payload, 'kernel')),
  );
  for (const unpacked of all) assert.deepEqual(unpacked, sample);
});

test('a small payload that claims to be a gigabyte is refused before memory is taken', async () => {
  for (const stream of [lz4Stream, new Uint8Array(gzipSync(sample)).slice(0, -4), zstdStream]) {
    await assert.rejects(
      unpackPayload(withSize(stream, 0x3fff_ffff), 'kernel'),
      imageError(/claim to unpack to 1073741823 bytes/),
    );
  }
});

test('compressions that exist but are not supported are refused by name', async () => {
  const magics: Record<string, string> = { bzip2: 'BZh9', lzma: '\x5d\0\0\0', lzo: '\x89LZO\0' };
  for (const [name, magic] of Object.entries(magics)) {
    const payload = withSize(latin1(magic), 1000);
    await assert.rejects(
      unpackPayload(payload, 'kernel'),
      imageError(new RegExp(`unsupported payload: ${name}; supported are gzip, xz`)),
    );
  }
});

test('an unknown compression is refused with the bytes it begins with', async () => {
  await assert.rejects(
    unpackPayload(latin1('nonsense'), 'kernel'),
    imageError(/it begins with 6e 6f 6e 73 65 6e/),
  );
});

test('an LZ4 block may hold its bytes as they are', async () => {
  for (const length of [0, 14, 15, 269, 270, 271, 525]) {
    const bytes = sample.slice(0, length);
    assert.deepEqual(await unpackPayload(withSize(storedLz4(bytes), length), 'kernel'), bytes);
  }
});

test('an LZ4 match that reaches before its block is refused', async () => {
  // One literal, then four bytes from two bytes back: once with nothing before, once with another block
  // before.
  const block = [5, 0, 0, 0, 0x10, 0x41, 2, 0, 0];
  const magic = [0x02, 0x21, 0x4c, 0x18];
  for (const before of [[], [3, 0, 0, 0, 0x20, 0x42, 0x42]]) {
    const frame = Uint8Array.from([...magic, ...before, ...block]);
    await assert.rejects(unpackPayload(withSize(frame, 7), 'kernel'), imageError(/bad LZ4 payload/));
  }
});

test('the CRC-32 of the standard check string is the standard value', () => {
  assert.equal(crc32(latin1('123456789')), 0xcbf43926);
  assert.equal(crc32(latin1('')), 0);
});

test('the x86 filter makes a near call relative again and leaves a far one alone', () => {
  const code = Uint8Array.of(0x90, 0xe8, 0x06, 0x01, 0, 0, 0x90, 0xe8, 0x06, 0x01, 0, 0x12, 0x90, 0x90);
  decodeX86(code);
  assert.deepEqual(
    code,
    Uint8Array.of(0x90, 0xe8, 0x00, 0x01, 0, 0, 0x90, 0xe8, 0x06, 0x01, 0, 0x12, 0x90, 0x90),
  );
});
