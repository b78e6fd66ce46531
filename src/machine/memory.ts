/**
 * The machine's memory: one WebAssembly memory that holds the engine's own state and, above it, the frames of all
 * domains. `layout.ts` draws the map.
 *
 * A *machine address* (`Maddr`) counts from frame 0; a *host address* counts from the start of the WebAssembly memory.
 * Every write to guest frames that comes from outside the engine goes through this class, because a frame may hold code
 * that has been decoded: `onCodeWrite` then tells the engine which lines are stale.
 */
import {
  CODE_CACHE,
  CPU,
  CPU_SIZE,
  ENGINE_CODE_LINES,
  ENGINE_CODE_PAGES,
  ENGINE_FRAMES,
  ENGINE_FRAMES_BASE,
  HEAT_SHIFT,
} from './layout.ts';

declare const brand: unique symbol;
/** A machine frame number: Xen's mfn. */
export type Mfn = number & { readonly [brand]?: 'Mfn' };
/** A guest's pseudo-physical frame number. */
export type Pfn = number & { readonly [brand]?: 'Pfn' };
/** A machine address in bytes. */
export type Maddr = number & { readonly [brand]?: 'Maddr' };
/** A canonical guest virtual address as a signed number: 0xffffffff80000000 is -2147483648. Doubles hold 48 bits exactly. */
export type Gva = number & { readonly [brand]?: 'Gva' };
/** An address in the WebAssembly memory. */
export type HostAddress = number & { readonly [brand]?: 'HostAddress' };

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;
const WASM_PAGE = 65536;
const MEBIBYTE = 1 << 20;
const MOST_BYTES = 65535 * WASM_PAGE;

export interface MemoryOptions {
  /** Machine frames of 4 KiB in all: guests' and hypervisor's. */
  readonly frames: number;
  /** Bytes for decoded code; default 64 MiB. */
  readonly codeCacheBytes?: number;
}

export class MemoryError extends Error {
  override readonly name = 'MemoryError';
  /** How many frames there can be, where that is known. */
  readonly mostFrames: number | undefined;

  constructor(message: string, mostFrames?: number) {
    super(message);
    this.mostFrames = mostFrames;
  }
}

/** Bytes of tables for each frame: two words of eight. */
const TABLES_PER_FRAME = 16;

/** Where the frames begin, behind their own tables. */
function framesBaseFor(tables: number, frames: number): number {
  return Math.ceil((tables + frames * TABLES_PER_FRAME) / MEBIBYTE) * MEBIBYTE;
}

export class MachineMemory {
  readonly wasm: WebAssembly.Memory;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly view: DataView;
  readonly frames: number;
  readonly framesBase: HostAddress;
  readonly codeCache: HostAddress;
  readonly codeCacheBytes: number;
  /** Base of the heat words of records: see `layout.ts`. */
  readonly heat: HostAddress;
  private readonly codeLines: number;
  /** Base of the frames' words for their decoded pages: see ENGINE_CODE_PAGES. */
  readonly codePages: HostAddress;
  /** End of the engine's tables; nothing but zeros lies between here and the frames. */
  readonly tablesEnd: HostAddress;
  /** Called after the bytes at [maddr, maddr + length) changed while some of their 64-byte lines held decoded code. */
  onCodeWrite: (maddr: Maddr, length: number) => void = () => {};

  constructor(options: MemoryOptions) {
    this.frames = options.frames;
    this.codeCache = CODE_CACHE;
    this.codeCacheBytes = options.codeCacheBytes ?? 64 * MEBIBYTE;
    this.heat = CODE_CACHE + this.codeCacheBytes;
    this.codeLines = this.heat + (this.heat >>> HEAT_SHIFT);
    this.codePages = this.codeLines + this.frames * 8;
    this.tablesEnd = this.codePages + this.frames * 8;
    this.framesBase = framesBaseFor(this.codeLines, this.frames);
    const bytes = this.framesBase + this.frames * PAGE_SIZE;
    if (bytes > MOST_BYTES) {
      let most = Math.floor((MOST_BYTES - this.codeLines) / (PAGE_SIZE + TABLES_PER_FRAME));
      while (framesBaseFor(this.codeLines, most) + most * PAGE_SIZE > MOST_BYTES) most--;
      throw new MemoryError(`${this.frames} frames of memory wanted, but there can be at most ${most}`, most);
    }
    const pages = Math.ceil(bytes / WASM_PAGE);
    try {
      this.wasm = new WebAssembly.Memory({ initial: pages, maximum: pages });
    } catch {
      throw new MemoryError(
        `this JavaScript engine cannot give ${Math.ceil(bytes / MEBIBYTE)} MiB of memory`,
      );
    }
    const { buffer } = this.wasm;
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.view = new DataView(buffer);
    this.u32[ENGINE_FRAMES_BASE >> 2] = this.framesBase;
    this.u32[ENGINE_FRAMES >> 2] = this.frames;
    this.u32[ENGINE_CODE_LINES >> 2] = this.codeLines;
    this.u32[ENGINE_CODE_PAGES >> 2] = this.codePages;
    this.u8.fill(0, CPU, CPU + CPU_SIZE);
  }

  /** The host address of a machine address. The caller guarantees that it lies in a frame. */
  host(maddr: Maddr): HostAddress {
    return this.framesBase + maddr;
  }

  /** Little-endian, aligned. `maddr` must be a multiple of 4. */
  read32(maddr: Maddr): number {
    return this.i32[(this.framesBase + maddr) >>> 2]!;
  }
  readU32(maddr: Maddr): number {
    return this.u32[(this.framesBase + maddr) >>> 2]!;
  }
  read16(maddr: Maddr): number {
    return this.u16[(this.framesBase + maddr) >>> 1]!;
  }
  read8(maddr: Maddr): number {
    return this.u8[this.framesBase + maddr]!;
  }

  write8(maddr: Maddr, value: number): void {
    this.u8[this.framesBase + maddr] = value;
    this.noteWrite(maddr, 1);
  }
  write16(maddr: Maddr, value: number): void {
    this.u16[(this.framesBase + maddr) >>> 1] = value;
    this.noteWrite(maddr, 2);
  }
  write32(maddr: Maddr, value: number): void {
    this.i32[(this.framesBase + maddr) >>> 2] = value;
    this.noteWrite(maddr, 4);
  }
  /** Eight bytes from their halves. */
  write64(maddr: Maddr, low: number, high: number): void {
    const at = (this.framesBase + maddr) >>> 2;
    this.i32[at] = low;
    this.i32[at + 1] = high;
    this.noteWrite(maddr, 8);
  }

  readBytes(maddr: Maddr, into: Uint8Array): void {
    const at = this.framesBase + maddr;
    into.set(this.u8.subarray(at, at + into.length));
  }
  writeBytes(maddr: Maddr, from: Uint8Array): void {
    this.u8.set(from, this.framesBase + maddr);
    this.noteWrite(maddr, from.length);
  }
  fill(maddr: Maddr, value: number, length: number): void {
    const at = this.framesBase + maddr;
    this.u8.fill(value, at, at + length);
    this.noteWrite(maddr, length);
  }
  zeroFrame(mfn: Mfn): void {
    this.fill(mfn * PAGE_SIZE, 0, PAGE_SIZE);
  }

  /** Reports a write that went past this class; harmless where no code is decoded. */
  noteWrite(maddr: Maddr, length: number): void {
    const last = Math.floor((maddr + length - 1) / PAGE_SIZE);
    for (let mfn = Math.floor(maddr / PAGE_SIZE); mfn <= last; mfn++) {
      const lines = (this.codeLines >>> 2) + mfn * 2;
      if ((this.i32[lines]! | this.i32[lines + 1]!) !== 0) {
        this.onCodeWrite(maddr, length);
        return;
      }
    }
  }
}
