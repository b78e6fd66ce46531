/**
 * The symbol table that a BSD kernel asks for (the BSD_SYMTAB note): put behind the kernel, dressed as a
 * small ELF file that has nothing but its symbols. Follows Xen 4.17, xen/common/libelf/libelf-loader.c.
 *
 *     end of the kernel, aligned to a word
 *     │ size │ ELF header │ section 0: none │ 1: .symtab │ 2: .strtab │ symbols … │ strings … │
 *     0      4            68                                         aligned     aligned
 */

import { type Elf, elfLayouts, sectionTypes } from './elf.ts';

/** Both widths reserve room for the larger ELF header and for three of the larger section headers. */
const sizeBytes = 4;
const headerRoom = 64;
const sectionsAt = sizeBytes + headerRoom;
const sectionCount = 3;
const headersBytes = sectionsAt + sectionCount * 64;

export interface BsdSymbols {
  /** The ELF physical address where they go. */
  readonly physicalAddress: number;
  readonly bytes: Uint8Array;
}

/**
 * What to load behind a kernel that ends at `physicalEnd`; undefined, as in Xen, where it has no usable
 * symbols.
 */
export function bsdSymbols({ reader, width, sections }: Elf, physicalEnd: number): BsdSymbols | undefined {
  const symbolIndex = sections.findIndex(({ type }) => type === sectionTypes.symbolTable);
  const symbols = sections[symbolIndex];
  const strings = symbols && sections[symbols.link];
  if (strings?.type !== sectionTypes.stringTable) return undefined;
  const layout = elfLayouts[width];
  const word = width / 8;
  const symbolBytes = reader.slice(symbols.offset, symbols.size, 'the symbol table');
  const stringBytes = reader.slice(strings.offset, strings.size, 'the names of symbols');

  const symbolsAt = roundUp(headersBytes, word);
  const stringsAt = roundUp(symbolsAt + symbols.size, word);
  const bytes = new Uint8Array(roundUp(stringsAt + strings.size, word));
  const view = new DataView(bytes.buffer);
  const putWord = (at: number, value: number) => {
    view.setUint32(at, value, true);
    if (width === 64) view.setUint32(at + 4, 0, true);
  };

  // Offsets inside the small file count from its ELF header, which follows the size.
  view.setUint32(0, stringsAt + strings.size - sizeBytes, true);
  const { header, section } = layout;
  bytes.set(reader.slice(0, header.bytes, 'the ELF header'), sizeBytes);
  view.setUint32(sizeBytes + header.version, 1, true);
  putWord(sizeBytes + header.phoff, 0);
  putWord(sizeBytes + header.shoff, sectionsAt - sizeBytes);
  view.setUint16(sizeBytes + header.ehsize, header.bytes, true);
  view.setUint16(sizeBytes + header.phentsize, 0, true);
  view.setUint16(sizeBytes + header.phnum, 0, true);
  view.setUint16(sizeBytes + header.shentsize, section.bytes, true);
  view.setUint16(sizeBytes + header.shnum, sectionCount, true);
  view.setUint16(sizeBytes + header.shstrndx, 0, true);

  const symbolHeader = sectionsAt + section.bytes;
  bytes.set(reader.slice(symbols.headerOffset, section.bytes, 'a section header'), symbolHeader);
  putWord(symbolHeader + section.offset, symbolsAt - sizeBytes);
  view.setUint32(symbolHeader + section.link, 2, true);
  const stringHeader = symbolHeader + section.bytes;
  bytes.set(reader.slice(strings.headerOffset, section.bytes, 'a section header'), stringHeader);
  putWord(stringHeader + section.offset, stringsAt - sizeBytes);

  bytes.set(symbolBytes, symbolsAt);
  bytes.set(stringBytes, stringsAt);
  return { physicalAddress: roundUp(physicalEnd, word), bytes };
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
