/**
 * The compressed forms a kernel comes in: which there are, how to tell them apart, and what unpacks them.
 *
 * A payload ends with 4 bytes of its own: the size of what it unpacks to (Linux, scripts/Makefile.lib,
 * `size_append`; for gzip they are the format's own last field). That claim sizes the output buffer and is a
 * hard limit to what is unpacked; the claim itself is limited by what the format can possibly reach and by 1
 * GiB.
 */

import { ImageError } from './error.ts';
import { unpackGzip } from './gzip.ts';
import { unpackLz4 } from './lz4.ts';
import { ImageReader } from './reader.ts';
import { unpackXz } from './xz.ts';
import { unpackZstd } from './zstd.ts';

/** No kernel comes near this; a size above it is a lie. */
const maxUnpackedBytes = 2 ** 30;

interface Format {
  readonly name: string;
  readonly magic: readonly number[];
  /** How many bytes one packed byte can become at most, from the format's own limits. */
  readonly maxRatio: number;
  /** Do the 4 size bytes belong to the stream itself? */
  readonly sizeInStream: boolean;
  /** Absent where the format is known but not supported. */
  readonly unpack?: (stream: Uint8Array, size: number, name: string) => Promise<Uint8Array> | Uint8Array;
}

/** In the order and by the magic bytes of Xen 4.17, tools/libs/guest/xg_dom_bzimageloader.c. */
const formats: readonly Format[] = [
  { name: 'gzip', magic: [0x1f, 0x8b], maxRatio: 1032, sizeInStream: true, unpack: unpackGzip },
  { name: 'bzip2', magic: [0x42, 0x5a, 0x68], maxRatio: 0, sizeInStream: false },
  {
    name: 'xz',
    magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00],
    maxRatio: 2 ** 18, // 2 MiB from a chunk with no more than its header and a few bytes
    sizeInStream: false,
    unpack: unpackXz,
  },
  {
    name: 'zstd',
    magic: [0x28, 0xb5, 0x2f, 0xfd],
    maxRatio: 2 ** 15, // 128 KiB from a run-length block of 4 bytes
    sizeInStream: false,
    unpack: unpackZstd,
  },
  { name: 'lzma', magic: [0x5d, 0x00], maxRatio: 0, sizeInStream: false },
  { name: 'lzo', magic: [0x89, 0x4c, 0x5a, 0x4f], maxRatio: 0, sizeInStream: false },
  { name: 'LZ4', magic: [0x02, 0x21, 0x4c, 0x18], maxRatio: 255, sizeInStream: false, unpack: unpackLz4 },
];

/** The name of the compression that `bytes` begin like, or undefined. */
export function compressionOf(bytes: Uint8Array): string | undefined {
  return findFormat(bytes)?.name;
}

function findFormat(bytes: Uint8Array): Format | undefined {
  return formats.find(({ magic }) => magic.every((byte, i) => bytes[i] === byte));
}

/**
 * Unpacks a payload whose last 4 bytes state its unpacked size. Raises ImageError where the format is unknown
 * or not supported, the size is absurd, or the data is corrupt. `name` is the file to name.
 */
export async function unpackPayload(payload: Uint8Array, name: string): Promise<Uint8Array> {
  const format = findFormat(payload);
  if (format === undefined) {
    const magic = Array.from(payload.subarray(0, 6), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
    throw new ImageError(
      name,
      `unsupported payload: unknown compression, it begins with ${magic || 'nothing'}`,
    );
  }
  const { unpack } = format;
  if (unpack === undefined) {
    const supported = formats.filter((other) => other.unpack).map((other) => other.name);
    throw new ImageError(name, `unsupported payload: ${format.name}; supported are ${supported.join(', ')}`);
  }
  const size = new ImageReader(payload, name).u32(payload.length - 4, 'the size of the unpacked kernel');
  if (size > Math.min(maxUnpackedBytes, payload.length * format.maxRatio)) {
    throw new ImageError(
      name,
      `corrupt: ${payload.length} bytes of ${format.name} claim to unpack to ${size} bytes`,
    );
  }
  const stream = format.sizeInStream ? payload : payload.subarray(0, payload.length - 4);
  return unpack(stream, size, name);
}
