/**
 * A page that the toolstack and one guest both see: the xenstore ring, the console ring, later the rings of
 * devices.
 *
 * The machine's memory implements this; tests use a plain buffer. What is read through it was written by the
 * guest and may change between two reads: read a value once, check the copy, use the copy.
 */

export interface SharedPage {
  /** The little-endian 32-bit word at a byte offset that is a multiple of four. Read it with `>>> 0`. */
  read32(offset: number): number;
  /** Stores the low 32 bits of `value`. */
  write32(offset: number, value: number): void;
  /** Fills `into` from the page; the range lies within the page. */
  readBytes(offset: number, into: Uint8Array): void;
  /** Copies `from` to the page; the range lies within the page. */
  writeBytes(offset: number, from: Uint8Array): void;
}

/** Raises the guest's end of the event channel that belongs to a shared page. */
export type Notify = () => void;

export const PAGE_BYTES = 4096;

/** A page backed by a private buffer: for tests and for domains that live outside a machine. */
export class BufferPage implements SharedPage {
  readonly bytes = new Uint8Array(PAGE_BYTES);
  private readonly view = new DataView(this.bytes.buffer);

  read32(offset: number): number {
    return this.view.getUint32(offset, true);
  }

  write32(offset: number, value: number): void {
    this.view.setUint32(offset, value, true);
  }

  readBytes(offset: number, into: Uint8Array): void {
    into.set(this.bytes.subarray(offset, offset + into.length));
  }

  writeBytes(offset: number, from: Uint8Array): void {
    this.bytes.set(from, offset);
  }
}
