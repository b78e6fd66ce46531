/**
 * xz, as Linux packs its kernels: LZMA2 behind the x86 filter, CRC-32 as check.
 *
 * Of the libraries that are kept up, xz-decompress (XZ Embedded as WebAssembly) runs everywhere but refuses
 * the x86 filter, and node-liblzma wants a native add-on in Node. But only LZMA2 is heavy, so that is all we
 * ask of the library, and the rest happens here:
 *
 *   1. parse the container, and walk the LZMA2 chunks' headers. They state every size, so the exact length of
 *      the result is known, and bounded, before a byte is unpacked;
 *   2. rewrap the LZMA2 data in a container without filter and check, and have the library unpack that;
 *   3. undo the filter and compare the CRC, block by block.
 *
 * Follows "The .xz File Format" 1.2.1 (tukaani.org); the LZMA2 chunk layout is that of XZ Embedded's
 * documentation.
 */

import xzDecompress from 'xz-decompress';
import { decodeX86 } from './bcj.ts';
import { crc32 } from './crc32.ts';
import { ImageError } from './error.ts';
import { streamOf } from './gzip.ts';
import { ImageReader } from './reader.ts';

const headerMagic = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00];
const footerMagic = [0x59, 0x5a];
const streamHeaderBytes = 12;

/** Of a block's flags; a decoder must not go on where one is set. */
const reservedFlags = 0x3c;
const filterIds = { x86: 0x04, lzma2: 0x21 } as const;
const checkIds = { none: 0x00, crc32: 0x01 } as const;
/** How long the check is that follows a block, by its kind. */
const checkBytes: Readonly<Record<number, number>> = { [checkIds.none]: 0, [checkIds.crc32]: 4 };

/** Each block costs a start of the library. xz makes one of a kernel, or one for each 24 MiB when it uses several threads. */
const maxBlocks = 1024;

interface Block {
  /** The LZMA2 chunks, end marker included. */
  readonly lzma2: Uint8Array;
  /** What they unpack to, from the chunks' own headers. */
  readonly unpackedBytes: number;
  readonly dictionaryCode: number;
  readonly filtered: boolean;
  /** The CRC-32 of the unpacked, unfiltered block; undefined where the stream carries none. */
  readonly crc: number | undefined;
}

/**
 * Unpacks an xz stream of exactly `size` bytes; raises ImageError if it is corrupt, unsupported, or of
 * another size.
 */
export async function unpackXz(packed: Uint8Array, size: number, name: string): Promise<Uint8Array> {
  unpacking++;
  try {
    return await unpackStream(packed, size, name);
  } finally {
    if (--unpacking === 0) releaseDecoder();
  }
}

/** Calls that are on their way. */
let unpacking = 0;

/** What the library's type does not tell of it. */
type KeptInstance = typeof xzDecompress.XzReadableStream & {
  _moduleInstance?: unknown;
  _moduleInstancePromise?: unknown;
};

/** The library keeps its one instance for ever, and in it the dictionary: 32 MiB for a kernel. */
function releaseDecoder(): void {
  const library = xzDecompress.XzReadableStream as KeptInstance;
  library._moduleInstance = undefined;
  library._moduleInstancePromise = undefined;
}

async function unpackStream(packed: Uint8Array, size: number, name: string): Promise<Uint8Array> {
  const blocks = parseStream(new ImageReader(packed, name));
  const total = blocks.reduce((sum, block) => sum + block.unpackedBytes, 0);
  if (total !== size) {
    throw new ImageError(
      name,
      `corrupt: its xz payload unpacks to ${total} bytes, not to the ${size} it claims`,
    );
  }
  const output = new Uint8Array(size);
  let start = 0;
  for (const block of blocks) {
    const part = output.subarray(start, start + block.unpackedBytes);
    await unpackLzma2(block, part, name);
    if (block.filtered) decodeX86(part);
    if (block.crc !== undefined && block.crc !== crc32(part)) throw corrupt(name);
    start += block.unpackedBytes;
  }
  return output;
}

function corrupt(name: string): ImageError {
  return new ImageError(name, 'truncated or corrupt: bad xz payload');
}

function parseStream(reader: ImageReader): Block[] {
  const flags = reader.slice(6, 2, 'the xz stream header');
  if (reader.u32(8, 'the xz stream header') !== crc32(flags) || flags[0] !== 0) throw corrupt(reader.name);
  if (checkBytes[flags[1]] === undefined)
    throw reader.error(`its xz payload has a check of an unsupported kind (${flags[1]})`);
  const blocks: Block[] = [];
  let at = streamHeaderBytes;
  // The index, which follows the last block, begins with a zero byte where a block has its header's length.
  while (reader.u8(at, 'an xz block') !== 0) {
    const headerBytes = (reader.u8(at, 'an xz block') + 1) * 4;
    const header = parseBlockHeader(reader, at, headerBytes);
    const dataAt = at + headerBytes;
    const chunks = walkChunks(reader, dataAt);
    const lzma2 = reader.slice(dataAt, chunks.packedBytes, 'the LZMA2 data');
    at = dataAt + roundUp4(chunks.packedBytes);
    const crc = flags[1] === checkIds.crc32 ? reader.u32(at, 'an xz check') : undefined;
    at += checkBytes[flags[1]];
    if (blocks.length === maxBlocks) throw reader.error('corrupt: its xz payload has too many blocks');
    blocks.push({ ...header, lzma2, unpackedBytes: chunks.unpackedBytes, crc });
  }
  return blocks;
}

function parseBlockHeader(
  reader: ImageReader,
  at: number,
  bytes: number,
): Pick<Block, 'dictionaryCode' | 'filtered'> {
  const header = reader.slice(at, bytes, 'an xz block header');
  if (reader.u32(at + bytes - 4, 'an xz block header') !== crc32(header.subarray(0, bytes - 4)))
    throw corrupt(reader.name);
  const fields = new ImageReader(header.subarray(0, bytes - 4), reader.name);
  const flags = fields.u8(1, 'the block flags');
  if ((flags & reservedFlags) !== 0) throw corrupt(reader.name);
  let next = 2;
  // Packed and unpacked size, where given: the chunks say it too, and they are what gets unpacked.
  if (flags & 0x40) next = skipVariableLength(fields, next);
  if (flags & 0x80) next = skipVariableLength(fields, next);
  const filters: number[] = [];
  let properties: Uint8Array = new Uint8Array();
  for (let count = (flags & 3) + 1; count > 0; count--) {
    // Filter and property lengths of the filters that exist for x86 fit one byte each.
    filters.push(fields.u8(next, 'a filter'));
    properties = fields.slice(next + 2, fields.u8(next + 1, 'a filter'), 'a filter');
    next += 2 + properties.length;
    if (filters.at(-1) !== filterIds.lzma2 && properties.length !== 0) {
      throw reader.error('its xz payload uses a filter with properties, which is not supported');
    }
  }
  const filtered = filters.length === 2 && filters[0] === filterIds.x86;
  if (
    filters.at(-1) !== filterIds.lzma2 ||
    properties.length !== 1 ||
    (filters.length === 2 && !filtered) ||
    filters.length > 2
  ) {
    const found = filters.map((id) => `0x${id.toString(16)}`).join(', ');
    throw reader.error(
      `its xz payload uses the filters ${found}; supported are LZMA2 (0x21) alone or after x86 (0x4)`,
    );
  }
  return { dictionaryCode: properties[0], filtered };
}

function skipVariableLength(reader: ImageReader, at: number): number {
  let next = at;
  while (reader.u8(next, 'a variable-length number') & 0x80) next++;
  return next + 1;
}

/**
 * Walks the headers of the LZMA2 chunks at `at`, up to and with the end marker (a zero control byte):
 *
 *     01, 02   size - 1 (16 bits, big-endian), that many bytes as they are
 *     80..FF   unpacked - 1 (5 bits of the control, then 16), packed - 1 (16), from C0 on a properties byte,
 *              LZMA data
 */
function walkChunks(reader: ImageReader, at: number): { packedBytes: number; unpackedBytes: number } {
  const big16 = (offset: number) =>
    (reader.u8(offset, 'an LZMA2 chunk') << 8) | reader.u8(offset + 1, 'an LZMA2 chunk');
  let next = at;
  let unpackedBytes = 0;
  for (;;) {
    const control = reader.u8(next, 'an LZMA2 chunk');
    if (control === 0) return { packedBytes: next + 1 - at, unpackedBytes };
    if (control >= 0x80) {
      unpackedBytes += ((control & 0x1f) << 16) + big16(next + 1) + 1;
      next += (control >= 0xc0 ? 6 : 5) + big16(next + 3) + 1;
    } else if (control <= 2) {
      const size = big16(next + 1) + 1;
      unpackedBytes += size;
      next += 3 + size;
    } else {
      throw corrupt(reader.name);
    }
  }
}

/** Has the library unpack one block's LZMA2 data into `output`, which is exactly as long as the data says. */
async function unpackLzma2(block: Block, output: Uint8Array, name: string): Promise<void> {
  const stream = new xzDecompress.XzReadableStream(streamOf(...rewrap(block)));
  const reader = stream.getReader();
  let filled = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      output.set(value, filled);
      filled += value.length;
    }
  } catch {
    throw corrupt(name);
  }
  if (filled !== output.length) throw corrupt(name);
}

/** The block as an xz stream of its own: same LZMA2 data, no other filter, no check. */
function rewrap(block: Block): Uint8Array[] {
  const streamFlags = [0, checkIds.none];
  const header = [...headerMagic, ...streamFlags, ...little32(crcOf(streamFlags))];
  const blockHeader = [0x02, 0x00, filterIds.lzma2, 1, dictionaryCode(block), 0, 0, 0];
  blockHeader.push(...little32(crcOf(blockHeader)));
  const padding = new Array(roundUp4(block.lzma2.length) - block.lzma2.length).fill(0);
  const unpaddedBytes = blockHeader.length + block.lzma2.length;
  const index = [0, 1, ...variableLength(unpaddedBytes), ...variableLength(block.unpackedBytes)];
  while (index.length % 4 !== 0) index.push(0);
  index.push(...little32(crcOf(index)));
  const footer = [...little32(index.length / 4 - 1), ...streamFlags];
  const tail = [...padding, ...index, ...little32(crcOf(footer)), ...footer, ...footerMagic];
  return [Uint8Array.from([...header, ...blockHeader]), block.lzma2, Uint8Array.from(tail)];
}

/**
 * The smallest dictionary that serves: none need be larger than the output, so a header that asks for 4 GiB
 * costs no more than an honest one. Code c means (2 or 3) << (c / 2 + 11) bytes.
 */
function dictionaryCode(block: Block): number {
  let code = 0;
  while (code < block.dictionaryCode && (2 | (code & 1)) * 2 ** ((code >> 1) + 11) < block.unpackedBytes)
    code++;
  return code;
}

function crcOf(bytes: number[]): number {
  return crc32(Uint8Array.from(bytes));
}

function little32(value: number): number[] {
  return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
}

/** xz's variable-length number: seven bits a byte, lowest first, the top bit set on all but the last. */
function variableLength(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 0x80);
  }
}

function roundUp4(bytes: number): number {
  return (bytes + 3) & ~3;
}
