/**
 * Gives everything an address, fills in what refers to it, and makes the parts of an image:
 *
 *     .data      static data of the module, then its globals         where the module was compiled for
 *     .text      start, functions, routines, entry stubs
 *     .rodata    table of functions, patch sites, exceptions, embedded files
 *     .bss       operation table, words of the entries, boot stack
 *
 * Each part starts on a page. Addresses here are those of the module: 32 bits, unsigned. What that is on the machine only
 * matters at the end (`machineAddress`): a kernel's lie in the topmost 2 GiB, so their upper half is all ones.
 *
 *     patch site    address, slot, bytes (16 bits), clobbers (16), 0            PatchSite of src/guest/machine/operations.ts
 *     symbol        address of a function, its name, the name's length      Symbol of symbols.ts there
 *     exception     address of the instruction, address to go on at             image.ts there
 *     file          name, its length, contents, their length                    EmbeddedFile of image.ts there
 */
import { type CompiledModule, type Piece, roundUp } from '../compile.ts';
import { TranslationError } from '../error.ts';
import { imageSymbol, operationSymbol } from '../ir/imports.ts';
import type { Mark } from '../x86/encoder.ts';
import { SYSTEM_CALL_WORDS } from '../x86/entries.ts';
import type { CodeMark } from '../x86/marks.ts';
import { FUNCTION_TABLE } from '../x86/sequences.ts';
import type { AddressSpace } from '../x86/target.ts';
import { concatenate, type ElfPart, type ElfSymbol } from './elf.ts';

const PAGE_BYTES = 4096;
const FUNCTION_ALIGNMENT = 16;
const WORD_BYTES = 8;
/** No type has this index: a call through an empty entry of the table is one of another type. */
const NO_TYPE = 0xffffffff;
/** So many pages of zeros are worth a segment's header. */
const LONG_RUN_PAGES = 4;
const LIMIT = 0x1_0000_0000;

/** A file to carry along. */
export interface EmbeddedFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface LayoutOptions {
  readonly space: AddressSpace;
  /** Where .data begins: what the module was compiled for. */
  readonly dataBase: number;
  /** What physical addresses are less than those of the module. */
  readonly physicalBase: number;
  /** Pieces that nothing refers to but that must be there, such as the start. */
  readonly roots: readonly Piece[];
  readonly files: readonly EmbeddedFile[];
  /** Zeroed memory by symbol, each from a page's start. */
  readonly reserved: readonly { readonly symbol: string; readonly bytes: number }[];
}

export interface Layout {
  readonly parts: readonly ElfPart[];
  readonly symbols: readonly ElfSymbol[];
  /** The machine address of a symbol. */
  readonly addressOf: (symbol: string) => bigint;
}

interface PlacedPiece extends Piece {
  readonly address: number;
}

/** Lays out an image. Raises TranslationError for a symbol that nobody defines. */
export function layOut(compiled: CompiledModule, options: LayoutOptions): Layout {
  return new Layouter(compiled, options).layOut();
}

class Layouter {
  private readonly compiled: CompiledModule;
  private readonly options: LayoutOptions;
  private readonly addresses = new Map<string, number>();
  private readonly symbols: { name: string; address: number; bytes: number; isCode: boolean }[] = [];
  private readonly parts: ElfPart[] = [];

  constructor(compiled: CompiledModule, options: LayoutOptions) {
    this.compiled = compiled;
    this.options = options;
  }

  layOut(): Layout {
    const { compiled, options } = this;
    const { dataBase } = options;
    const data = this.data();
    const pieces = this.placePieces(this.reachable(), roundUp(compiled.dataEnd, PAGE_BYTES));
    const textEnd = pieces.reduce((_, { address, code }) => address + code.bytes.length, dataBase);
    const tables = new TablesPart(roundUp(textEnd, PAGE_BYTES));
    this.makeTables(tables, pieces);
    const bssStart = roundUp(tables.end, PAGE_BYTES);
    const bssEnd = this.placeZeros(bssStart);

    this.boundary('start', dataBase);
    this.boundary('data_start', dataBase);
    this.boundary('data_end', compiled.dataEnd);
    this.boundary('text_start', pieces[0]!.address);
    this.boundary('text_end', textEnd);
    this.boundary('end', roundUp(bssEnd, PAGE_BYTES));
    if (bssEnd > LIMIT) throw new TranslationError('expected an image that ends below 4 GiB of the module');

    for (const { start, end, bytes } of withoutZeros(data)) {
      this.part('.data', dataBase + start, bytes, end - start, { writable: true });
    }
    this.part('.text', pieces[0]!.address, this.text(pieces, textEnd), undefined, { executable: true });
    // What the tables refer to has its address by now.
    this.part('.rodata', tables.start, tables.bytes(), undefined, {});
    this.part('.bss', bssStart, new Uint8Array(0), bssEnd - bssStart, { writable: true });
    return {
      parts: this.parts,
      symbols: this.symbols
        .sort((a, b) => a.address - b.address || (a.name < b.name ? -1 : 1))
        .map((symbol) => ({ ...symbol, address: this.machineAddress(symbol.address) })),
      addressOf: (symbol) => this.machineAddress(this.resolve(symbol)),
    };
  }

  private machineAddress(address: number): bigint {
    return this.options.space === 'kernel' ? BigInt.asUintN(64, BigInt(address | 0)) : BigInt(address);
  }

  private resolve(symbol: string): number {
    const address = this.addresses.get(symbol);
    if (address === undefined) throw new TranslationError(`expected a definition of ${symbol}, found none`);
    return address;
  }

  private define(name: string, address: number, bytes: number, isCode: boolean): void {
    this.addresses.set(name, address);
    this.symbols.push({ name, address, bytes, isCode });
  }

  /** A place of the layout: no symbol for people, for it is where something else begins or ends. */
  private boundary(name: string, address: number): void {
    this.addresses.set(imageSymbol(name), address);
  }

  private part(
    name: string,
    address: number,
    bytes: Uint8Array,
    memoryBytes: number | undefined,
    flags: { writable?: boolean; executable?: boolean },
  ): void {
    if ((memoryBytes ?? bytes.length) === 0) return;
    this.parts.push({
      name,
      address: this.machineAddress(address),
      physical: BigInt(address - this.options.physicalBase),
      bytes,
      memoryBytes: memoryBytes ?? bytes.length,
      writable: flags.writable ?? false,
      executable: flags.executable ?? false,
    });
  }

  private data(): Uint8Array {
    const { module, globals, dataEnd } = this.compiled;
    const { dataBase } = this.options;
    const bytes = new Uint8Array(dataEnd - dataBase);
    for (const segment of module.data) {
      if (segment.address < dataBase || segment.address + segment.bytes.length > dataEnd) {
        throw new TranslationError(
          `expected static data from 0x${dataBase.toString(16)} on, found some at 0x${segment.address.toString(16)}`,
        );
      }
      bytes.set(segment.bytes, segment.address - dataBase);
    }
    const view = new DataView(bytes.buffer);
    for (const { symbol, address, bytes: size, value } of globals) {
      view.setBigInt64(address - dataBase, size === 4 ? BigInt.asUintN(32, value) : value, true);
      this.define(symbol, address, size, false);
    }
    return bytes;
  }

  /** All pieces that are needed: the roots, the module's functions, and what they refer to. */
  private reachable(): Piece[] {
    const pieces = [...this.options.roots, ...this.compiled.functions];
    const known = new Set(pieces.map(({ symbol }) => symbol));
    for (const { code } of pieces) {
      for (const { symbol } of code.relocations) {
        if (known.has(symbol)) continue;
        known.add(symbol);
        const piece = this.compiled.library(symbol);
        // The loop goes on over what is appended.
        if (piece !== undefined) pieces.push(piece);
      }
    }
    return pieces;
  }

  private placePieces(pieces: readonly Piece[], start: number): PlacedPiece[] {
    let address = start;
    return pieces.map((piece) => {
      const placed = { ...piece, address: roundUp(address, FUNCTION_ALIGNMENT) };
      address = placed.address + piece.code.bytes.length;
      this.define(piece.symbol, placed.address, piece.code.bytes.length, true);
      for (const { offset, what } of piece.code.marks) {
        if (what.kind === 'symbol') this.define(what.name, placed.address + offset, 2, true);
      }
      return placed;
    });
  }

  private text(pieces: readonly PlacedPiece[], end: number): Uint8Array {
    const start = pieces[0]!.address;
    const bytes = new Uint8Array(end - start).fill(0xcc);
    const view = new DataView(bytes.buffer);
    for (const { code, address } of pieces) {
      bytes.set(code.bytes, address - start);
      for (const { offset, kind, symbol, addend } of code.relocations) {
        const field = address + offset;
        const target = this.resolve(symbol) + addend;
        view.setInt32(field - start, kind === 'relative' ? target - (field + 4) : target | 0, true);
      }
    }
    return bytes;
  }

  private makeTables(tables: TablesPart, pieces: readonly PlacedPiece[]): void {
    const { module, symbols } = this.compiled;
    this.define(FUNCTION_TABLE, tables.end, module.table.length * 8, false);
    for (const index of module.table) {
      const type =
        index === undefined ? NO_TYPE : (module.functions[index - module.imports.length]?.type ?? NO_TYPE);
      tables.words(type, type === NO_TYPE ? 0 : this.resolve(symbols[index!]!));
    }
    this.boundary('exceptions_start', tables.end);
    for (const piece of pieces) for (const words of exceptionsOf(piece)) tables.words(...words);
    this.boundary('exceptions_end', tables.end);
    this.boundary('patch_sites_start', tables.end);
    for (const { address, code } of pieces) {
      for (const { offset, what } of code.marks) {
        if (what.kind !== 'patchSite') continue;
        // The slot's address comes with the zeros behind this part.
        const slot = () => this.resolve(what.slot);
        tables.words(address + offset, slot, what.bytes | (what.clobbers << 16), 0);
      }
    }
    this.boundary('patch_sites_end', tables.end);
    if (this.options.space === 'program') return;
    this.placeFiles(tables);
    this.placeSymbols(tables);
  }

  private placeFiles(tables: TablesPart): void {
    const { files } = this.options;
    const contents = files.map(({ name, bytes }) => ({
      name: tables.append(new TextEncoder().encode(name)),
      data: tables.append(bytes),
    }));
    tables.align();
    this.boundary('files_start', tables.end);
    for (const { name, data } of contents) tables.words(name.address, name.bytes, data.address, data.bytes);
    this.boundary('files_end', tables.end);
  }

  /** The names of functions once more, for the kernel itself: nobody loads an ELF file's symbol table. */
  private placeSymbols(tables: TablesPart): void {
    const symbols = this.symbols.filter(({ isCode }) => isCode).sort((a, b) => a.address - b.address);
    const encoded = symbols.map(({ name }) => new TextEncoder().encode(name));
    const names = tables.append(concatenate(encoded));
    tables.align();
    this.boundary('symbols_start', tables.end);
    let at = names.address;
    symbols.forEach(({ address }, i) => {
      tables.words(address, at, encoded[i]!.length);
      at += encoded[i]!.length;
    });
    this.boundary('symbols_end', tables.end);
  }

  /** What starts as zeros. Gives its end. */
  private placeZeros(start: number): number {
    let at = start;
    const reserve = (symbol: string, bytes: number) => {
      this.define(symbol, at, bytes, false);
      at += bytes;
    };
    if (this.options.space === 'program') return at;
    this.boundary('operations_start', at);
    for (const name of this.compiled.operations) reserve(operationSymbol(name), WORD_BYTES);
    this.boundary('operations_end', at);
    reserve(SYSTEM_CALL_WORDS.userStack, WORD_BYTES);
    reserve(SYSTEM_CALL_WORDS.kernelStack, WORD_BYTES);
    reserve(SYSTEM_CALL_WORDS.userSelectors, 2 * WORD_BYTES);
    for (const { symbol, bytes } of this.options.reserved) {
      at = roundUp(at, PAGE_BYTES);
      this.boundary(`${symbol}_bottom`, at);
      reserve(`machine.${symbol}`, bytes);
      this.boundary(`${symbol}_top`, at);
    }
    return at;
  }
}

/**
 * Data in stretches of whole pages, each without the zeros at its end: a file need not hold them. Stretches begin where a
 * long run of zeros ends, for a buffer may stand in the midst of data.
 */
export function withoutZeros(data: Uint8Array): { start: number; end: number; bytes: Uint8Array }[] {
  const pages = Math.ceil(data.length / PAGE_BYTES);
  const page = (i: number) => data.subarray(i * PAGE_BYTES, (i + 1) * PAGE_BYTES);
  const zero = Array.from({ length: pages }, (_, i) => page(i).every((byte) => byte === 0));
  const starts = [0];
  for (let i = LONG_RUN_PAGES; i < pages; i++) {
    if (!zero[i] && zero.slice(i - LONG_RUN_PAGES, i).every((isZero) => isZero)) starts.push(i);
  }
  return starts.map((first, k) => {
    const start = first * PAGE_BYTES;
    const end = k + 1 < starts.length ? starts[k + 1]! * PAGE_BYTES : data.length;
    let last = end;
    while (last > start && data[last - 1] === 0) last--;
    return { start, end, bytes: data.subarray(start, last) };
  });
}

/** Pairs of addresses: an instruction that may fault, and where to go on. */
function exceptionsOf({ code, address }: PlacedPiece): [number, number][] {
  const fixups = new Map(
    code.marks.flatMap(({ what, offset }): [string, number][] =>
      what.kind === 'fixup' ? [[what.name, offset]] : [],
    ),
  );
  return code.marks.flatMap(({ what, offset }: Mark<CodeMark>): [number, number][] =>
    what.kind === 'mayFault' ? [[address + offset, address + fixups.get(what.name)!]] : [],
  );
}

/** A part that grows: words, some of which are only known later, and bytes. */
class TablesPart {
  readonly start: number;
  private readonly chunks: (Uint8Array | (number | (() => number))[])[] = [];
  private length = 0;

  constructor(start: number) {
    this.start = start;
  }

  get end(): number {
    return this.start + this.length;
  }

  words(...values: (number | (() => number))[]): void {
    this.chunks.push(values);
    this.length += 4 * values.length;
  }

  align(): void {
    this.append(new Uint8Array(roundUp(this.length, 8) - this.length));
  }

  /** Appends bytes from an 8-byte boundary. Gives where they are. */
  append(bytes: Uint8Array): { address: number; bytes: number } {
    const padding = roundUp(this.length, 8) - this.length;
    this.chunks.push(new Uint8Array(padding), bytes);
    this.length += padding + bytes.length;
    return { address: this.end - bytes.length, bytes: bytes.length };
  }

  bytes(): Uint8Array {
    const whole = new Uint8Array(this.length);
    const view = new DataView(whole.buffer);
    let at = 0;
    for (const chunk of this.chunks) {
      if (chunk instanceof Uint8Array) {
        whole.set(chunk, at);
        at += chunk.length;
        continue;
      }
      for (const word of chunk) {
        view.setUint32(at, typeof word === 'number' ? word : word(), true);
        at += 4;
      }
    }
    return whole;
  }
}
