/** What comes out of a compressed payload, and what is said of one that is damaged or lies. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { decodeX86 } from './bcj.ts';
import { crc32 } from './crc32.ts';
import { ImageError } from './error.ts';
import { unpackPayload } from './payload.ts';
import { concat, latin1, storedLz4, withSize } from './testing/elf-image.ts';
import {
  lz4Stream,
  samplePayload,
  xzBlocksStream,
  xzLongStream,
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

/** An xz stream without check, its fields and headers given as they stand before their CRC; no index follows. */
function xzOf(blocks: readonly { readonly header: readonly number[]; readonly lzma2: readonly number[] }[]) {
  const crcOf = (bytes: Uint8Array) => {
    const crc = crc32(bytes);
    return Uint8Array.of(crc, crc >>> 8, crc >>> 16, crc >>> 24);
  };
  const flags = Uint8Array.of(0, 0);
  const parts = [xzStream.subarray(0, 6), flags, crcOf(flags)];
  for (const { header, lzma2 } of blocks) {
    const padded = Uint8Array.from([...header, ...new Array(-header.length & 3).fill(0)]);
    padded[0] = padded.length / 4;
    parts.push(padded, crcOf(padded), Uint8Array.from(lzma2), new Uint8Array(-lzma2.length & 3));
  }
  return concat([...parts, new Uint8Array(4)]);
}
/** The header of a block with LZMA2 alone, and LZMA2 data that are one byte as it is. */
const plainHeader = [0, 0, 0x21, 1, 0];
const storedByte = [1, 0, 0, 0x41, 0];
const unpackXzOf = (size: number, ...blocks: Parameters<typeof xzOf>[0]) =>
  unpackPayload(withSize(xzOf(blocks), size), 'kernel');

test('an xz payload may have many blocks, but not any number', async () => {
  const block = { header: plainHeader, lzma2: storedByte };
  const blocks = (count: number) => new Array<typeof block>(count).fill(block);
  assert.deepEqual(await unpackXzOf(1024, ...blocks(1024)), new Uint8Array(1024).fill(0x41));
  await assert.rejects(unpackXzOf(1025, ...blocks(1025)), imageError(/xz payload has too many blocks/));
});

test('an xz block may state its sizes, and must not use what is unknown', async () => {
  const lzma2 = storedByte;
  for (const [flags, ...sizes] of [
    [0x40, 0x05],
    [0x80, 0x81, 0x00],
    [0xc0, 0x85, 0x00, 0x01],
  ]) {
    const header = [0, flags, ...sizes, 0x21, 1, 0];
    assert.deepEqual(await unpackXzOf(1, { header, lzma2 }), Uint8Array.of(0x41));
  }
  for (const [header, reason] of [
    [[0, 0, 0x21, 2, 0, 0], /uses the filters 0x21; supported/],
    [[0, 0, 0x04, 0], /uses the filters 0x4; supported/],
    [[0, 1, 0x07, 0, 0x21, 1, 0], /uses the filters 0x7, 0x21; supported/],
    [[0, 1, 0x21, 1, 0, 0x21, 1, 0], /uses the filters 0x21, 0x21; supported/],
    [[0, 2, 0x04, 0, 0x04, 0, 0x21, 1, 0], /uses the filters 0x4, 0x4, 0x21; supported/],
    [[0, 1, 0x03, 1, 0, 0x21, 1, 0], /uses a filter with properties/],
    [[0, 4, 0x21, 1, 0], /bad xz payload/],
  ] as const) {
    await assert.rejects(unpackXzOf(1, { header, lzma2 }), imageError(reason), `${header}`);
  }
});

test('an xz payload with a check of another kind is refused by its number', async () => {
  const stream = xzStream.slice();
  stream[7] = 4; // CRC-64, which xz itself takes by default
  const crc = crc32(stream.subarray(6, 8));
  new DataView(stream.buffer).setUint32(8, crc, true);
  await assert.rejects(
    unpackPayload(withSize(stream, sample.length), 'kernel'),
    imageError(/a check of an unsupported kind \(4\)/),
  );
});

test('chunks of LZMA2 may be of any kind that there is, and of no other', async () => {
  const size = 0x220000;
  assert.deepEqual(
    await unpackPayload(withSize(xzLongStream, size), 'kernel'),
    new Uint8Array(size).fill(0x41),
  );
  const header = plainHeader;
  const stored = (control: number, text: string) => [control, 0, text.length - 1, ...latin1(text)];
  const lzma2 = [...stored(1, 'ringone'), ...stored(2, 's'), 0];
  assert.deepEqual(await unpackXzOf(8, { header, lzma2 }), latin1('ringones'));
  for (const control of [3, 0x7f]) {
    const changed = [...stored(1, 'ringone'), ...stored(control, 's'), 0];
    await assert.rejects(unpackXzOf(8, { header, lzma2: changed }), imageError(/bad xz payload/));
  }
});

test('a change in the header of an xz stream or block is seen by its CRC', async () => {
  for (const [at, bit] of [
    [6, 1],
    [7, 1],
    [8, 1],
    [13, 0x40],
    [15, 1],
    [20, 1],
  ] as const) {
    const changed = xzLongStream.slice();
    changed[at] ^= bit;
    await assert.rejects(
      unpackPayload(withSize(changed, 0x220000), 'kernel'),
      imageError(/bad xz payload/),
      `byte ${at}`,
    );
  }
  const later = xzLongStream.slice();
  later[6] = 1; // a version of the format that there is not
  new DataView(later.buffer).setUint32(8, crc32(later.subarray(6, 8)), true);
  await assert.rejects(unpackPayload(withSize(later, 0x220000), 'kernel'), imageError(/bad xz payload/));
});

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

test('a payload that claims more than a gigabyte is refused, whatever its format could reach', async () => {
  await assert.rejects(
    unpackPayload(withSize(new Uint8Array([...xzStream, ...new Uint8Array(5000)]), 2 ** 30 + 1), 'kernel'),
    imageError(/claim to unpack to 1073741825 bytes/),
  );
});

test('a payload of gzip that unpacks to more than it claims is given up on the way', async () => {
  const packed = new Uint8Array(gzipSync(new Uint8Array(2 ** 20)));
  new DataView(packed.buffer).setUint32(packed.length - 4, 1000, true);
  await assert.rejects(unpackPayload(packed, 'kernel'), imageError(/more than the 1000 bytes it claims/));
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

/** A legacy LZ4 frame of one block. */
function lz4Of(size: number, ...block: number[]): Promise<Uint8Array> {
  const length = Uint8Array.of(block.length, block.length >>> 8, block.length >>> 16, 0);
  return unpackPayload(
    withSize(concat([lz4Stream.subarray(0, 4), length, Uint8Array.from(block)]), size),
    'kernel',
  );
}

test('an LZ4 match may repeat what it produces, to the end of a block and no further', async () => {
  const [a, b] = [0x41, 0x42];
  const expected = Uint8Array.from({ length: 102 }, (_, i) => (i % 2 === 0 ? a : b));
  assert.deepEqual(await lz4Of(102, 0x2f, a, b, 2, 0, 81, 0), expected);
  /** One literal and a match of that one byte, together so long; nothing after it. */
  const long = (length: number) => {
    const more = length - 1 - 19;
    return lz4Of(length, 0x1f, a, 1, 0, ...new Array(Math.floor(more / 255)).fill(255), more % 255, 0);
  };
  const longest = 8 << 20;
  assert.deepEqual(await long(longest), new Uint8Array(longest).fill(a));
  await assert.rejects(long(longest + 1), imageError(/bad LZ4 payload/));
});

test('an LZ4 sequence without a distance, or with more than there is room for, is refused', async () => {
  for (const block of [
    [0x10, 0x41, 0, 0, 0],
    [0x10, 0x41, 1],
    [0x1f, 0x41, 1, 0, 200, 0],
    [0xf0, 30, ...new Array(45).fill(0x41)],
  ]) {
    await assert.rejects(lz4Of(5, ...block), imageError(/bad LZ4 payload/), `${block}`);
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

test('the x86 filter sees a call that ends with its block, and none that does not fit', () => {
  const whole = Uint8Array.of(0xe8, 0x05, 0, 0, 0);
  decodeX86(whole);
  assert.deepEqual(whole, Uint8Array.of(0xe8, 0, 0, 0, 0));
  const cut = Uint8Array.of(0xe8, 0x05, 0, 0);
  decodeX86(cut);
  assert.deepEqual(cut, Uint8Array.of(0xe8, 0x05, 0, 0));
});
