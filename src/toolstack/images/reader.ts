/**
 * Little-endian reads from an image that nobody has vouched for. Every access is checked against the file's
 * end, so the parsers above can follow offsets found in the file without a thought.
 */

import { ImageError } from './error.ts';

/** What a header string may hold at most, as in Xen's libelf. */
const maxStringBytes = 4096;

export class ImageReader {
  readonly bytes: Uint8Array;
  readonly name: string;
  readonly #view: DataView;

  /** `name` is what errors call the file. */
  constructor(bytes: Uint8Array, name: string) {
    this.bytes = bytes;
    this.name = name;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.bytes.length;
  }

  /** Is `[offset, offset + size)` inside the file? Negative and fractional offsets are not. */
  holds(offset: number, size: number): boolean {
    return Number.isSafeInteger(offset) && offset >= 0 && size >= 0 && size <= this.length - offset;
  }

  /** Raises unless `[offset, offset + size)` is inside the file; `what` is the thing that should be there. */
  require(offset: number, size: number, what: string): void {
    if (!this.holds(offset, size)) {
      const end = `the file ends at ${hex(this.length)}`;
      throw this.error(`truncated or corrupt: ${what} should be ${size} bytes at ${hex(offset)}, ${end}`);
    }
  }

  /** A window onto the file's bytes (no copy). */
  slice(offset: number, size: number, what: string): Uint8Array {
    this.require(offset, size, what);
    return this.bytes.subarray(offset, offset + size);
  }

  u8(offset: number, what: string): number {
    this.require(offset, 1, what);
    return this.bytes[offset];
  }

  u16(offset: number, what: string): number {
    this.require(offset, 2, what);
    return this.#view.getUint16(offset, true);
  }

  u32(offset: number, what: string): number {
    this.require(offset, 4, what);
    return this.#view.getUint32(offset, true);
  }

  /**
   * A 64-bit word as a signed number. Addresses of the kernel's half come out negative, as everywhere in this
   * project; what a double cannot hold exactly is no address, offset or size of a sane image and raises.
   */
  i64(offset: number, what: string): number {
    const value = this.i64InRange(offset, what);
    if (value === undefined) throw this.error(`corrupt: ${what} is out of range`);
    return value;
  }

  /** The same where such a word is to be passed over: undefined if a double cannot hold it. */
  i64InRange(offset: number, what: string): number | undefined {
    this.require(offset, 8, what);
    const high = this.#view.getInt32(offset + 4, true);
    const value = high * 2 ** 32 + this.#view.getUint32(offset, true);
    return Number.isSafeInteger(value) ? value : undefined;
  }

  /**
   * The NUL-terminated string at `offset`, or undefined where it runs past the file's end or past 4 KiB.
   * Bytes are taken as Latin-1: a name is never refused for its encoding.
   */
  string(offset: number): string | undefined {
    if (!this.holds(offset, 1)) return undefined;
    const bytes = this.bytes.subarray(offset, offset + maxStringBytes + 1);
    const length = bytes.indexOf(0);
    return length < 0 ? undefined : Reflect.apply(String.fromCharCode, null, bytes.subarray(0, length));
  }

  /** The error to throw: names the file. */
  error(reason: string): ImageError {
    return new ImageError(this.name, reason);
  }
}

/** `0x…`, with a sign for addresses in the upper half written as 64 bits. */
export function hex(value: number): string {
  if (value >= 0) return `0x${value.toString(16)}`;
  return `0x${BigInt.asUintN(64, BigInt(value)).toString(16)}`;
}
