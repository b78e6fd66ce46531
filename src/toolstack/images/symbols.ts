/**
 * The symbols of an image's `.symtab`, for reports that name a place in the guest. Distribution kernels are
 * stripped and have none; kernels that people build themselves have them all.
 */

import type { Gva } from '../../machine/memory.ts';
import { type Elf, sectionTypes } from './elf.ts';

export interface SymbolTable {
  /** How many symbols there are; 0 in a stripped image. */
  readonly size: number;
  /** The address of the first symbol of that name, or undefined. */
  addressOf(name: string): Gva | undefined;
  /** The nearest symbol at or below an address and the distance to it, or undefined below the first. */
  nearest(address: Gva): { readonly name: string; readonly offset: number } | undefined;
}

interface Symbol {
  readonly name: string;
  readonly address: Gva;
}

const symbolKinds = { noType: 0, object: 1, function: 2 } as const;
/** The section index of symbols that are defined elsewhere. */
const undefinedSection = 0;
/** Section indexes from here on have special meanings (absolute, common): no place in the image. */
const firstSpecialSection = 0xff00;

const layouts = {
  32: { bytes: 16, value: 4, info: 12, section: 14 },
  64: { bytes: 24, value: 8, info: 4, section: 6 },
} as const;

/**
 * The symbols of `elf`. They are read at the first look-up: most runs never ask. A table or a name that lies
 * outside the file counts as absent, since a kernel runs as well without.
 */
export function symbolTable(elf: Elf): SymbolTable {
  let sorted: Symbol[] | undefined;
  const symbols = () => (sorted ??= readSymbols(elf).sort((a, b) => a.address - b.address));
  return {
    get size() {
      return symbols().length;
    },
    addressOf: (name) => symbols().find((symbol) => symbol.name === name)?.address,
    nearest(address) {
      const all = symbols();
      let low = 0;
      let high = all.length;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (all[middle].address <= address) low = middle + 1;
        else high = middle;
      }
      if (low === 0) return undefined;
      const { name, address: start } = all[low - 1];
      return { name, offset: address - start };
    },
  };
}

function readSymbols({ reader, width, sections }: Elf): Symbol[] {
  const table = sections.find(({ type }) => type === sectionTypes.symbolTable);
  const strings = table && sections[table.link];
  if (table === undefined || strings?.type !== sectionTypes.stringTable) return [];
  if (!reader.holds(table.offset, table.size)) return [];
  const layout = layouts[width];
  const what = 'a symbol';
  const found: Symbol[] = [];
  for (let at = table.offset; at + layout.bytes <= table.offset + table.size; at += layout.bytes) {
    const section = reader.u16(at + layout.section, what);
    const kind = reader.u8(at + layout.info, what) & 15;
    if (section === undefinedSection || section >= firstSpecialSection || kind > symbolKinds.function)
      continue;
    const name = reader.string(strings.offset + reader.u32(at, what));
    if (!name) continue;
    const value = at + layout.value;
    found.push({ name, address: width === 32 ? reader.u32(value, what) : reader.i64(value, what) });
  }
  return found;
}
