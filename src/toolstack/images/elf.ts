/**
 * ELF, as far as a domain builder needs it: the segments to load, where notes may be, named sections,
 * symbols. 32 and 64 bits, little-endian x86 only. Follows the System V ABI (gABI) and, in what it tolerates,
 * Xen 4.17's libelf.
 */

import { ImageReader } from './reader.ts';

/** A program header. Offsets and sizes are bytes; addresses are signed numbers (reader.ts, `i64`). */
export interface ProgramHeader {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly virtualAddress: number;
  readonly physicalAddress: number;
  readonly fileSize: number;
  readonly memorySize: number;
}

export interface SectionHeader {
  /** Where the header itself stands in the file. */
  readonly headerOffset: number;
  readonly name: string;
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
  readonly entrySize: number;
}

export interface Elf {
  readonly reader: ImageReader;
  /** 32 for i386, 64 for x86-64. */
  readonly width: 32 | 64;
  readonly entry: number;
  readonly programHeaders: readonly ProgramHeader[];
  readonly sections: readonly SectionHeader[];
}

export const programTypes = { load: 1, note: 4 } as const;
export const sectionTypes = { symbolTable: 2, stringTable: 3, note: 7 } as const;

const elfMagic = 0x464c457f;
const classes: Readonly<Record<number, 32 | 64>> = { 1: 32, 2: 64 };
const littleEndian = 1;
const machines = { 32: 3, 64: 62 } as const; // EM_386, EM_X86_64

/** Where the fields of the three headers stand, and how long each is, by width. */
export const elfLayouts = {
  32: {
    header: {
      bytes: 52,
      version: 20,
      entry: 24,
      phoff: 28,
      shoff: 32,
      ehsize: 40,
      phentsize: 42,
      phnum: 44,
      shentsize: 46,
      shnum: 48,
      shstrndx: 50,
    },
    program: { bytes: 32, flags: 24, offset: 4, vaddr: 8, paddr: 12, filesz: 16, memsz: 20 },
    section: { bytes: 40, offset: 16, size: 20, link: 24, entsize: 36 },
  },
  64: {
    header: {
      bytes: 64,
      version: 20,
      entry: 24,
      phoff: 32,
      shoff: 40,
      ehsize: 52,
      phentsize: 54,
      phnum: 56,
      shentsize: 58,
      shnum: 60,
      shstrndx: 62,
    },
    program: { bytes: 56, flags: 4, offset: 8, vaddr: 16, paddr: 24, filesz: 32, memsz: 40 },
    section: { bytes: 64, offset: 24, size: 32, link: 40, entsize: 56 },
  },
} as const;

/** Does the file begin with the ELF magic? */
export function isElf(reader: ImageReader): boolean {
  return reader.holds(0, 4) && reader.u32(0, 'the ELF header') === elfMagic;
}

/**
 * Reads the headers of an ELF file that begins with the magic. Raises ImageError where a header lies outside
 * the file or the file is for another kind of machine. What the headers point to is checked where it is used.
 */
export function parseElf(bytes: Uint8Array, name: string): Elf {
  const reader = new ImageReader(bytes, name);
  const header = 'the ELF header';
  const width = classes[reader.u8(4, header)];
  if (width === undefined) throw reader.error('corrupt: neither a 32-bit nor a 64-bit ELF file');
  const machine = reader.u16(18, header);
  if (reader.u8(5, header) !== littleEndian || machine !== machines[width]) {
    throw reader.error(
      `not an x86 kernel: ELF class ${width}, machine ${machine}; expected i386 (3) or x86-64 (62)`,
    );
  }
  const at = elfLayouts[width].header;
  const word = wordReader(reader, width);
  return {
    reader,
    width,
    entry: word(at.entry, header),
    programHeaders: readProgramHeaders(reader, width),
    sections: readSections(reader, width),
  };
}

/** Reads a word of the file's own width; 32-bit ones are unsigned. */
function wordReader(reader: ImageReader, width: 32 | 64): (offset: number, what: string) => number {
  return width === 32
    ? (offset, what) => reader.u32(offset, what)
    : (offset, what) => reader.i64(offset, what);
}

function readProgramHeaders(reader: ImageReader, width: 32 | 64): ProgramHeader[] {
  const { header, program } = elfLayouts[width];
  const word = wordReader(reader, width);
  const what = 'a program header';
  return tableRows(reader, word(header.phoff, what), header.phentsize, header.phnum, program.bytes, what).map(
    (at) => ({
      type: reader.u32(at, what),
      flags: reader.u32(at + program.flags, what),
      offset: word(at + program.offset, what),
      virtualAddress: word(at + program.vaddr, what),
      physicalAddress: word(at + program.paddr, what),
      fileSize: word(at + program.filesz, what),
      memorySize: word(at + program.memsz, what),
    }),
  );
}

function readSections(reader: ImageReader, width: 32 | 64): SectionHeader[] {
  const { header, section } = elfLayouts[width];
  const word = wordReader(reader, width);
  const what = 'a section header';
  const rows = tableRows(
    reader,
    word(header.shoff, what),
    header.shentsize,
    header.shnum,
    section.bytes,
    what,
  );
  const namesRow: number | undefined = rows[reader.u16(header.shstrndx, what)];
  const names = namesRow === undefined ? undefined : word(namesRow + section.offset, what);
  return rows.map((at) => ({
    headerOffset: at,
    name: (names === undefined ? undefined : reader.string(names + reader.u32(at, what))) ?? '',
    type: reader.u32(at + 4, what),
    offset: word(at + section.offset, what),
    size: word(at + section.size, what),
    link: reader.u32(at + section.link, what),
    entrySize: word(at + section.entsize, what),
  }));
}

/** The file offsets of a header table's rows, whose entry size and count stand in the ELF header. */
function tableRows(
  reader: ImageReader,
  tableAt: number,
  entrySizeAt: number,
  countAt: number,
  minEntryBytes: number,
  what: string,
): number[] {
  const count = reader.u16(countAt, what);
  if (count === 0) return [];
  const entryBytes = reader.u16(entrySizeAt, what);
  if (entryBytes < minEntryBytes)
    throw reader.error(`corrupt: ${what} has ${entryBytes} bytes, expected ${minEntryBytes}`);
  reader.require(tableAt, entryBytes * count, `the table of each ${what.slice(2)}`);
  return Array.from({ length: count }, (_, row) => tableAt + row * entryBytes);
}
