/** Reads the primitive encodings of the WebAssembly binary format (core specification, 5.2), checking every bound. */
import { TranslationError } from '../error.ts';

export class WasmReader {
  readonly bytes: Uint8Array;
  /** The next byte's index. */
  position = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get atEnd(): boolean {
    return this.position >= this.bytes.length;
  }

  byte(): number {
    const value = this.bytes[this.position];
    if (value === undefined) {
      throw new TranslationError(`malformed WebAssembly: expected a byte at ${this.position}, found the end`);
    }
    this.position++;
    return value;
  }

  /** The next byte, which stays unread. */
  peek(): number {
    return this.bytes[this.position] ?? -1;
  }

  /** The next `length` bytes, as a view. */
  take(length: number): Uint8Array {
    if (length > this.bytes.length - this.position) {
      throw new TranslationError(
        `malformed WebAssembly: expected ${length} bytes at ${this.position}, found ${this.bytes.length - this.position}`,
      );
    }
    this.position += length;
    return this.bytes.subarray(this.position - length, this.position);
  }

  /** Unsigned LEB128 of at most 32 bits. */
  u32(): number {
    return Number(this.leb128(32, false));
  }

  /** Signed LEB128 of at most 32 bits. */
  s32(): bigint {
    return this.leb128(32, true);
  }

  /** Signed LEB128 of at most 64 bits. */
  s64(): bigint {
    return this.leb128(64, true);
  }

  /** A length-prefixed UTF-8 name. */
  name(): string {
    return new TextDecoder().decode(this.take(this.u32()));
  }

  /** A length-prefixed list, each element read by `element`. */
  list<T>(element: () => T): T[] {
    return Array.from({ length: this.u32() }, element);
  }

  private leb128(bits: number, signed: boolean): bigint {
    let value = 0n;
    let shift = 0;
    for (;;) {
      if (shift >= bits + 7 - (bits % 7)) {
        throw new TranslationError(`malformed WebAssembly: an integer of more than ${bits} bits`);
      }
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << BigInt(shift);
      shift += 7;
      if ((byte & 0x80) === 0) break;
    }
    return signed ? BigInt.asIntN(bits, BigInt.asIntN(shift, value)) : BigInt.asUintN(bits, value);
  }
}
