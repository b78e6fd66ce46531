/**
 * An ELF64 image around a program: what a Xen PV domain builder wants of a kernel, and no more.
 *
 *     file offset 0      ELF header, two program headers
 *                        notes with the owner "Xen"            PT_NOTE
 *     file offset 4096   the program                           PT_LOAD at VIRT_BASE, pseudo-physical 0
 *                        symbol table, string tables, section headers
 *
 * The symbol table is there for the reports about a crashed guest: they name the function at RIP.
 */
import {
  XEN_ELFNOTE_ENTRY,
  XEN_ELFNOTE_FEATURES,
  XEN_ELFNOTE_GUEST_OS,
  XEN_ELFNOTE_LOADER,
  XEN_ELFNOTE_VIRT_BASE,
  XEN_ELFNOTE_XEN_VERSION,
} from '../../abi/xen/numbers/elfnote.ts';

const ELF_HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const SECTION_HEADER_BYTES = 64;
const SYMBOL_BYTES = 24;
const PROGRAM_OFFSET = 4096;

const EM_X86_64 = 62;
const ET_EXEC = 2;
const PT_LOAD = 1;
const PT_NOTE = 4;
const PF_READ_WRITE_EXECUTE = 7;
const PF_READ = 4;

export interface Program {
  /** The segment's bytes, loaded at `virtualBase`. */
  readonly bytes: Uint8Array;
  /** How many of them are code; the rest is data. */
  readonly codeBytes: number;
  /** Address of pseudo-physical 0, a canonical address as a signed number. */
  readonly virtualBase: number;
  /** Bytes from the start of the program to its first instruction. */
  readonly entry: number;
  /** Names and their distances in bytes from the start of the program. */
  readonly labels: ReadonlyMap<string, number>;
  /** What the GUEST_OS note says. */
  readonly name: string;
}

/** The image, ready for a domain builder. */
export function makeXenElf(program: Program): Uint8Array {
  const { virtualBase, labels, bytes } = program;
  const notes = concatenate([
    note(XEN_ELFNOTE_XEN_VERSION, text('xen-3.0')),
    note(XEN_ELFNOTE_GUEST_OS, text(program.name)),
    note(XEN_ELFNOTE_LOADER, text('generic')),
    note(XEN_ELFNOTE_VIRT_BASE, words(virtualBase)),
    note(XEN_ELFNOTE_ENTRY, words(virtualBase + program.entry)),
    note(XEN_ELFNOTE_FEATURES, text('!writable_page_tables|pae_pgdir_above_4gb')),
  ]);
  const notesOffset = ELF_HEADER_BYTES + 2 * PROGRAM_HEADER_BYTES;
  const names = stringTable([...labels.keys()]);
  const sectionNames = stringTable(['.text', '.symtab', '.strtab', '.shstrtab']);
  const symbols = symbolTable(program, names.offsets);

  const symbolsOffset = roundUp8(PROGRAM_OFFSET + bytes.length);
  const namesOffset = symbolsOffset + symbols.length;
  const sectionNamesOffset = namesOffset + names.bytes.length;
  const sectionsOffset = roundUp8(sectionNamesOffset + sectionNames.bytes.length);
  const section = (name: string, fields: Omit<Section, 'name'>): Uint8Array =>
    sectionHeader({ ...fields, name: sectionNames.offsets.get(name)! });
  const sections = [
    new Uint8Array(SECTION_HEADER_BYTES),
    // SHT_PROGBITS, with SHF_WRITE | SHF_ALLOC | SHF_EXECINSTR
    section('.text', {
      type: 1,
      flags: 7,
      address: virtualBase,
      offset: PROGRAM_OFFSET,
      size: bytes.length,
      alignment: 4096,
    }),
    // SHT_SYMTAB; its strings are section 3; only the null symbol is local
    section('.symtab', {
      type: 2,
      offset: symbolsOffset,
      size: symbols.length,
      link: 3,
      info: 1,
      alignment: 8,
      entryBytes: SYMBOL_BYTES,
    }),
    // SHT_STRTAB
    section('.strtab', { type: 3, offset: namesOffset, size: names.bytes.length }),
    section('.shstrtab', { type: 3, offset: sectionNamesOffset, size: sectionNames.bytes.length }),
  ];

  const image = new Uint8Array(sectionsOffset + sections.length * SECTION_HEADER_BYTES);
  image.set(elfHeader(virtualBase + program.entry, sectionsOffset, sections.length));
  image.set(
    programHeader({
      type: PT_LOAD,
      flags: PF_READ_WRITE_EXECUTE,
      offset: PROGRAM_OFFSET,
      virtual: virtualBase,
      size: bytes.length,
      alignment: 4096,
    }),
    ELF_HEADER_BYTES,
  );
  image.set(
    programHeader({
      type: PT_NOTE,
      flags: PF_READ,
      offset: notesOffset,
      virtual: 0,
      size: notes.length,
      alignment: 4,
    }),
    ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES,
  );
  image.set(notes, notesOffset);
  image.set(bytes, PROGRAM_OFFSET);
  image.set(symbols, symbolsOffset);
  image.set(names.bytes, namesOffset);
  image.set(sectionNames.bytes, sectionNamesOffset);
  image.set(concatenate(sections), sectionsOffset);
  return image;
}

/* Elf64_Ehdr */
function elfHeader(entry: number, sectionsOffset: number, sectionCount: number): Uint8Array {
  const header = new Uint8Array(ELF_HEADER_BYTES);
  const view = new DataView(header.buffer);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // "\x7fELF", 64-bit, little-endian, version 1
  view.setUint16(16, ET_EXEC, true);
  view.setUint16(18, EM_X86_64, true);
  view.setUint32(20, 1, true); // version
  header.set(words(entry), 24);
  header.set(words(ELF_HEADER_BYTES), 32); // program headers follow at once
  header.set(words(sectionsOffset), 40);
  view.setUint16(52, ELF_HEADER_BYTES, true);
  view.setUint16(54, PROGRAM_HEADER_BYTES, true);
  view.setUint16(56, 2, true);
  view.setUint16(58, SECTION_HEADER_BYTES, true);
  view.setUint16(60, sectionCount, true);
  view.setUint16(62, sectionCount - 1, true); // the section names are the last one
  return header;
}

interface Segment {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly virtual: number;
  readonly size: number;
  readonly alignment: number;
}

/* Elf64_Phdr: type, flags, offset, vaddr, paddr, filesz, memsz, align */
function programHeader(segment: Segment): Uint8Array {
  const header = new Uint8Array(PROGRAM_HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint32(0, segment.type, true);
  view.setUint32(4, segment.flags, true);
  const { offset, virtual, size, alignment } = segment;
  header.set(words(offset, virtual, 0, size, size, alignment), 8);
  return header;
}

interface Section {
  readonly name: number;
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  readonly flags?: number;
  readonly address?: number;
  readonly link?: number;
  readonly info?: number;
  readonly alignment?: number;
  readonly entryBytes?: number;
}

/* Elf64_Shdr: name, type, flags, addr, offset, size, link, info, addralign, entsize */
function sectionHeader(section: Section): Uint8Array {
  const header = new Uint8Array(SECTION_HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint32(0, section.name, true);
  view.setUint32(4, section.type, true);
  header.set(words(section.flags ?? 0, section.address ?? 0, section.offset, section.size), 8);
  view.setUint32(40, section.link ?? 0, true);
  view.setUint32(44, section.info ?? 0, true);
  header.set(words(section.alignment ?? 1, section.entryBytes ?? 0), 48);
  return header;
}

/* Elf64_Sym: name, info, other, shndx, value, size; here all are global functions or objects of section 1 */
function symbolTable(program: Program, names: ReadonlyMap<string, number>): Uint8Array {
  const byAddress = [...program.labels].sort((left, right) => left[1] - right[1]);
  const table = new Uint8Array(SYMBOL_BYTES * (byAddress.length + 1)); // the first symbol is null
  const view = new DataView(table.buffer);
  byAddress.forEach(([name, place], i) => {
    const symbol = SYMBOL_BYTES * (i + 1);
    const end = byAddress[i + 1]?.[1] ?? program.bytes.length;
    view.setUint32(symbol, names.get(name)!, true);
    table[symbol + 4] = place < program.codeBytes ? 0x12 : 0x11; // STB_GLOBAL and STT_FUNC or STT_OBJECT
    view.setUint16(symbol + 6, 1, true);
    table.set(words(program.virtualBase + place, end - place), symbol + 8);
  });
  return table;
}

/** Names one behind the other, each with its NUL; offset 0 is the empty name. */
function stringTable(names: readonly string[]): { bytes: Uint8Array; offsets: ReadonlyMap<string, number> } {
  const offsets = new Map<string, number>();
  let all = '\0';
  for (const name of names) {
    offsets.set(name, all.length);
    all += `${name}\0`;
  }
  return { bytes: new TextEncoder().encode(all), offsets };
}

/** Elf64_Nhdr, the owner "Xen" and the description, each padded to 4 bytes. */
function note(type: number, description: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(16 + ((description.length + 3) & ~3));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 4, true);
  view.setUint32(4, description.length, true);
  view.setUint32(8, type, true);
  bytes.set(text('Xen'), 12);
  bytes.set(description, 16);
  return bytes;
}

/** A NUL-terminated string. */
function text(value: string): Uint8Array {
  return new TextEncoder().encode(`${value}\0`);
}

/** Little-endian 64-bit words from signed numbers that doubles hold exactly. */
function words(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(8 * values.length);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => {
    view.setInt32(8 * i, value | 0, true);
    view.setInt32(8 * i + 4, Math.floor(value / 4294967296) | 0, true);
  });
  return bytes;
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let filled = 0;
  for (const part of parts) {
    all.set(part, filled);
    filled += part.length;
  }
  return all;
}

function roundUp8(bytes: number): number {
  return (bytes + 7) & ~7;
}
