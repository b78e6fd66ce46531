/**
 * The symbols of an image, for reports that name a place in the guest: those of its `.symtab`, or, since distribution
 * kernels are stripped, those that a Linux kernel carries for itself (`kallsyms.ts`).
 */

import type { Gva } from '../../machine/memory.ts';
import { type Elf, sectionTypes } from './elf.ts';
import { carriedSymbols, carriedTable, readKallsyms } from './kallsyms.ts';

export interface SymbolTable {
  /** How many symbols there are; 0 in a stripped image. */
  readonly size: number;
  /** The address of the first symbol of that name, or undefined. */
  addressOf(name: string): Gva | undefined;
  /** The nearest symbol at or below an address and the distance to it, or undefined below the first. */
  nearest(address: Gva): { readonly name: string; readonly offset: number } | undefined;
}

export interface NamedAddress {
  readonly name: string;
  readonly address: Gva;
}

const symbolKinds = { noType: 0, object: 1, function: 2 } as const;
/** The section index of symbols that are defined elsewhere. */
const undefinedSection = 0;
/** Section indexes from here on have special meanings (absolute, common): no place in the image. */
const firstSpecialSection = 0xff00;

/** A table of more rows counts as absent: Linux has some 200,000. */
const mostSymbols = 2 ** 20;
/** So does one whose names are longer together, for many rows may name one long string. Linux's names have some 6 MB. */
const mostNameBytes = 2 ** 25;

const layouts = {
  32: { bytes: 16, value: 4, info: 12, section: 14 },
  64: { bytes: 24, value: 8, info: 4, section: 6 },
} as const;

/**
 * The symbols of `elf`, or else those that its segments carry. They are read at the first look-up: most runs never ask. A
 * table or a name that lies outside the file counts as absent, and so does a symbol whose value is no address, since a kernel
 * runs as well without.
 */
export function symbolTable(elf: Elf, segments: Segments = []): SymbolTable {
  const has = elf.sections.some(({ type }) => type === sectionTypes.symbolTable);
  return has ? ownSymbols(elf, segments) : symbolsIn(carriedTable(segments));
}

type Segments = readonly { readonly bytes: Uint8Array }[];

function ownSymbols(elf: Elf, segments: Segments): SymbolTable {
  return new LazySymbols(() => {
    const found = readSymbols(elf);
    return found.length > 0 ? { all: found, places: found } : inKernelHalf(carriedSymbols(segments));
  });
}

/** A stripped image is large: only its own table is held on to. */
function symbolsIn(table: Uint8Array | undefined): SymbolTable {
  return new LazySymbols(() => inKernelHalf(table === undefined ? [] : readKallsyms(table)));
}

/** A table of given symbols. */
export function tableOf(symbols: readonly NamedAddress[]): SymbolTable {
  return new LazySymbols(() => ({ all: symbols, places: symbols }));
}

/**
 * Linux's own list: of the other half are offsets in the per-CPU area, which are no places, and the last symbol marks
 * the end of the kernel. Nothing behind it has a name: modules are not in the image.
 */
function inKernelHalf(all: readonly NamedAddress[]): Contents {
  const places = all.filter(({ address }) => address < 0);
  const end = places.reduce((last, { address }) => Math.max(last, address), Number.NEGATIVE_INFINITY);
  return { all, places, end };
}

interface Contents {
  readonly all: readonly NamedAddress[];
  /** Those that `nearest` may find. */
  readonly places: readonly NamedAddress[];
  /** Where the last one ends; no end by default. */
  readonly end?: Gva;
}

class LazySymbols implements SymbolTable {
  private readonly read: () => Contents;
  private contents: Contents | undefined;
  private sorted: readonly NamedAddress[] = [];
  private byName: Map<string, Gva> | undefined;

  constructor(read: () => Contents) {
    this.read = read;
  }

  private load(): Contents {
    if (this.contents === undefined) {
      this.contents = this.read();
      this.sorted = [...this.contents.places].sort((a, b) => a.address - b.address);
    }
    return this.contents;
  }

  get size(): number {
    return this.load().all.length;
  }

  addressOf(name: string): Gva | undefined {
    if (this.byName === undefined) {
      this.byName = new Map();
      for (const symbol of this.load().all) {
        if (!this.byName.has(symbol.name)) this.byName.set(symbol.name, symbol.address);
      }
    }
    return this.byName.get(name);
  }

  nearest(address: Gva): { readonly name: string; readonly offset: number } | undefined {
    const { end = Number.POSITIVE_INFINITY } = this.load();
    const { sorted } = this;
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sorted[middle]!.address <= address) low = middle + 1;
      else high = middle;
    }
    if (low === 0 || address >= end) return undefined;
    const { name, address: start } = sorted[low - 1]!;
    return { name, offset: address - start };
  }
}

function readSymbols({ reader, width, sections }: Elf): NamedAddress[] {
  const table = sections.find(({ type }) => type === sectionTypes.symbolTable);
  const strings = table && sections[table.link];
  if (table === undefined || strings?.type !== sectionTypes.stringTable) return [];
  if (!reader.holds(table.offset, table.size)) return [];
  const layout = layouts[width];
  if (table.size > mostSymbols * layout.bytes) return [];
  const what = 'a symbol';
  const found: NamedAddress[] = [];
  let nameBytes = 0;
  for (let at = table.offset; at + layout.bytes <= table.offset + table.size; at += layout.bytes) {
    const section = reader.u16(at + layout.section, what);
    const kind = reader.u8(at + layout.info, what) & 15;
    if (section === undefinedSection || section >= firstSpecialSection || kind > symbolKinds.function)
      continue;
    const name = reader.string(strings.offset + reader.u32(at, what));
    if (!name) continue;
    nameBytes += name.length;
    if (nameBytes > mostNameBytes) return [];
    const value = at + layout.value;
    const address = width === 32 ? reader.u32(value, what) : reader.i64InRange(value, what);
    if (address !== undefined) found.push({ name, address });
  }
  return found;
}
