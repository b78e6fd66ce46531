/**
 * Reading and writing a described structure field by field, wherever the memory is. For cold code: start-up,
 * rare hypercalls, reports and tests. Hot code takes the offsets from the layout and accesses memory itself.
 *
 * The memory is anything that reads and writes 8, 16 and 32 bits at a byte address: machine memory, or a
 * guest's address space behind its page tables. A 64-bit field is two 32-bit accesses, the lower one first.
 */
import type { Field, Layout } from './layout.ts';

/**
 * Little-endian memory by byte address. Reads give unsigned values; writes take the low bits of any integer.
 */
export interface ByteMemory {
  read8(address: number): number;
  read16(address: number): number;
  read32(address: number): number;
  write8(address: number, value: number): void;
  write16(address: number, value: number): void;
  write32(address: number, value: number): void;
}

/** A structure of layout `Layout<P>` at one place in memory. */
export class StructureView<P extends string> {
  readonly #layout: Layout<P>;
  readonly #memory: ByteMemory;
  readonly #base: number;

  /** `base` is the byte address of the structure's first field. */
  constructor(layout: Layout<P>, memory: ByteMemory, base: number) {
    this.#layout = layout;
    this.#memory = memory;
    this.#base = base;
  }

  /** The byte address of a field. */
  address(name: P): number {
    return this.#base + this.#layout.offset[name];
  }

  /**
   * The value of an integer field: unsigned up to 32 bits unless C says signed. A 64-bit one is taken as
   * signed, as canonical addresses are held, and is exact within 2^53; `low` and `high` give all its bits.
   */
  get(name: P): number {
    const field = this.#integer(name);
    const at = this.#base + field.offset;
    if (field.width === 8)
      return (this.#memory.read32(at + 4) | 0) * 0x1_0000_0000 + (this.#memory.read32(at) >>> 0);
    if (field.width === 4) return field.signed ? this.#memory.read32(at) | 0 : this.#memory.read32(at) >>> 0;
    const value = field.width === 2 ? this.#memory.read16(at) : this.#memory.read8(at);
    const unused = 32 - field.width * 8;
    return field.signed ? (value << unused) >> unused : value;
  }

  /** Writes an integer field: its low bits, negative values in two's complement. */
  set(name: P, value: number): void {
    const field = this.#integer(name);
    const at = this.#base + field.offset;
    if (field.width === 8) {
      this.#memory.write32(at, value >>> 0);
      this.#memory.write32(at + 4, Math.floor(value / 0x1_0000_0000) >>> 0);
    } else if (field.width === 4) this.#memory.write32(at, value >>> 0);
    else if (field.width === 2) this.#memory.write16(at, value & 0xffff);
    else this.#memory.write8(at, value & 0xff);
  }

  /** The low 32 bits of an integer field of 4 or 8 bytes, unsigned. */
  low(name: P): number {
    this.#integer(name);
    return this.#memory.read32(this.address(name)) >>> 0;
  }

  /** The high 32 bits of a 64-bit field, unsigned; 0 if the field has only 32 bits under this ABI. */
  high(name: P): number {
    return this.#integer(name).width === 8 ? this.#memory.read32(this.address(name) + 4) >>> 0 : 0;
  }

  /** Writes a 64-bit field from two halves; of a 32-bit field only the low one. */
  setHalves(name: P, low: number, high: number): void {
    const field = this.#integer(name);
    this.#memory.write32(this.#base + field.offset, low >>> 0);
    if (field.width === 8) this.#memory.write32(this.#base + field.offset + 4, high >>> 0);
  }

  #integer(name: P): Field {
    const field = this.#layout.fields.get(name);
    if (field === undefined || !field.integer) {
      throw new FieldError(`field ${name}: expected an integer, found ${field ? 'an aggregate' : 'nothing'}`);
    }
    return field;
  }
}

/** An access to something that is no integer field of the structure. */
export class FieldError extends Error {
  override readonly name = 'FieldError';
}

/** The memory of a DataView, for structures in buffers. */
export function memoryOf(view: DataView): ByteMemory {
  return {
    read8: (address) => view.getUint8(address),
    read16: (address) => view.getUint16(address, true),
    read32: (address) => view.getUint32(address, true),
    write8: (address, value) => view.setUint8(address, value),
    write16: (address, value) => view.setUint16(address, value, true),
    write32: (address, value) => view.setUint32(address, value, true),
  };
}
