/**
 * Writes an ELF file of 64 bits: segments to load, notes, sections and a symbol table that debuggers and crash reports
 * read. (System V ABI, chapters 4 and 5; the AMD64 supplement.)
 */

const HEADER_BYTES = 64;
const SEGMENT_HEADER_BYTES = 56;
const SECTION_HEADER_BYTES = 64;
const SYMBOL_BYTES = 24;
const PAGE_BYTES = 4096;

const ET_EXEC = 2;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;
const SHT_PROGBITS = 1;
const SHT_SYMTAB = 2;
const SHT_STRTAB = 3;
const SHT_NOTE = 7;
const SHT_NOBITS = 8;
const SHF_WRITE = 1;
const SHF_ALLOC = 2;
const SHF_EXECINSTR = 4;
const PF_EXECUTE = 1;
const PF_WRITE = 2;
const PF_READ = 4;
const STB_GLOBAL_FUNCTION = 0x12;
const STB_GLOBAL_OBJECT = 0x11;

/** A part of memory that is loaded: a segment and a section of its own. */
export interface ElfPart {
  /** The section's name, such as ".text". */
  readonly name: string;
  /** Its machine address, a multiple of a page. */
  readonly address: bigint;
  /** Its physical address, for loaders that ask. */
  readonly physical: bigint;
  /** Empty for a part of zeros. */
  readonly bytes: Uint8Array;
  /** Bytes in memory: `bytes`, then zeros. */
  readonly memoryBytes: number;
  readonly writable: boolean;
  readonly executable: boolean;
}

export interface ElfSymbol {
  readonly name: string;
  readonly address: bigint;
  readonly bytes: number;
  readonly isCode: boolean;
}

export interface ElfNote {
  readonly owner: string;
  readonly type: number;
  readonly description: Uint8Array;
}

export interface ElfImage {
  readonly entry: bigint;
  readonly parts: readonly ElfPart[];
  readonly notes: readonly ElfNote[];
  readonly symbols: readonly ElfSymbol[];
}

/** The file. The same image always gives the same bytes. */
export function writeElf({ entry, parts, notes, symbols }: ElfImage): Uint8Array {
  const file = new ElfFile();
  const noteBytes = concatenate(notes.map(encodeNote));
  const segments = parts.length + (notes.length > 0 ? 1 : 0);
  let at = HEADER_BYTES + segments * SEGMENT_HEADER_BYTES;
  const noteOffset = at;
  at += noteBytes.length;
  const offsets = parts.map(({ bytes }) => {
    const offset = Math.ceil(at / PAGE_BYTES) * PAGE_BYTES;
    at = offset + bytes.length;
    return offset;
  });
  parts.forEach((part, i) => {
    file.segment(PT_LOAD, part, offsets[i]!);
    file.section(part.name, part.bytes.length === 0 ? SHT_NOBITS : SHT_PROGBITS, {
      flags: SHF_ALLOC | (part.writable ? SHF_WRITE : 0) | (part.executable ? SHF_EXECINSTR : 0),
      address: part.address,
      offset: offsets[i]!,
      // A section's bytes are in the file, unless none are.
      size: part.bytes.length === 0 ? part.memoryBytes : part.bytes.length,
      alignment: PAGE_BYTES,
    });
  });
  if (notes.length > 0) {
    file.noteSegment(noteOffset, noteBytes.length);
    file.section('.note', SHT_NOTE, { offset: noteOffset, size: noteBytes.length, alignment: 4 });
  }
  const contents: [number, Uint8Array][] = [[noteOffset, noteBytes]];
  parts.forEach(({ bytes }, i) => {
    contents.push([offsets[i]!, bytes]);
  });
  const append = (bytes: Uint8Array) => {
    const offset = Math.ceil(at / 8) * 8;
    contents.push([offset, bytes]);
    at = offset + bytes.length;
    return { offset, size: bytes.length };
  };
  const names = new StringTable();
  const table = symbolTable(symbols, parts, names);
  const strings = file.sections.length + 1;
  file.section('.symtab', SHT_SYMTAB, {
    ...append(table),
    link: strings + 1,
    info: 1,
    alignment: 8,
    entryBytes: SYMBOL_BYTES,
  });
  file.section('.strtab', SHT_STRTAB, append(names.bytes()));
  return file.finish(entry, contents, append);
}

interface SectionFields {
  readonly offset: number;
  readonly size: number;
  readonly flags?: number;
  readonly address?: bigint;
  readonly link?: number;
  readonly info?: number;
  readonly alignment?: number;
  readonly entryBytes?: number;
}

class ElfFile {
  /** Encoded headers; the null section comes before them. */
  readonly sections: Uint8Array[] = [];
  private readonly segments: Uint8Array[] = [];
  private readonly sectionNames = new StringTable();

  /* Elf64_Phdr: type, flags, offset, vaddr, paddr, filesz, memsz, align */
  segment(type: number, part: ElfPart, offset: number): void {
    const flags = PF_READ | (part.writable ? PF_WRITE : 0) | (part.executable ? PF_EXECUTE : 0);
    this.segments.push(
      words32(type, flags),
      words64(offset, part.address, part.physical, part.bytes.length, part.memoryBytes, PAGE_BYTES),
    );
  }

  noteSegment(offset: number, bytes: number): void {
    this.segments.push(words32(PT_NOTE, PF_READ), words64(offset, 0, 0, bytes, bytes, 4));
  }

  /* Elf64_Shdr: name, type, flags, addr, offset, size, link, info, addralign, entsize */
  section(name: string, type: number, fields: SectionFields): void {
    const {
      offset,
      size,
      flags = 0,
      address = 0n,
      link = 0,
      info = 0,
      alignment = 1,
      entryBytes = 0,
    } = fields;
    this.sections.push(
      concatenate([
        words32(this.sectionNames.add(name), type),
        words64(flags, address, offset, size),
        words32(link, info),
        words64(alignment, entryBytes),
      ]),
    );
  }

  finish(
    entry: bigint,
    contents: [number, Uint8Array][],
    append: (bytes: Uint8Array) => { offset: number; size: number },
  ): Uint8Array {
    this.sectionNames.add('.shstrtab'); // before its bytes are taken
    this.section('.shstrtab', SHT_STRTAB, append(this.sectionNames.bytes()));
    const headers = append(concatenate([new Uint8Array(SECTION_HEADER_BYTES), ...this.sections]));
    const segments = concatenate(this.segments);
    const count = this.sections.length + 1;
    /* Elf64_Ehdr */
    const header = concatenate([
      Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0), // 64-bit, little-endian, version 1
      words16(ET_EXEC, EM_X86_64),
      words32(1),
      words64(entry, HEADER_BYTES, headers.offset),
      words32(0),
      words16(HEADER_BYTES, SEGMENT_HEADER_BYTES, segments.length / SEGMENT_HEADER_BYTES),
      words16(SECTION_HEADER_BYTES, count, count - 1),
    ]);
    const image = new Uint8Array(headers.offset + headers.size);
    image.set(header);
    image.set(segments, HEADER_BYTES);
    for (const [offset, bytes] of contents) image.set(bytes, offset);
    return image;
  }
}

/* Elf64_Sym: name, info, other, shndx, value, size. All are global; the first is null. */
function symbolTable(
  symbols: readonly ElfSymbol[],
  parts: readonly ElfPart[],
  names: StringTable,
): Uint8Array {
  const entries = symbols.map(({ name, address, bytes, isCode }) => {
    const part = parts.findIndex((p) => address >= p.address && address <= p.address + BigInt(p.memoryBytes));
    return concatenate([
      words32(names.add(name)),
      Uint8Array.of(isCode ? STB_GLOBAL_FUNCTION : STB_GLOBAL_OBJECT, 0),
      words16(part + 1),
      words64(address, bytes),
    ]);
  });
  return concatenate([new Uint8Array(SYMBOL_BYTES), ...entries]);
}

/* Elf64_Nhdr: sizes, type, then the owner and the description, each padded to 4 bytes. */
function encodeNote({ owner, type, description }: ElfNote): Uint8Array {
  const name = new TextEncoder().encode(`${owner}\0`);
  return concatenate([
    words32(name.length, description.length, type),
    padded(name, 4),
    padded(description, 4),
  ]);
}

/** Names one behind the other, each with its NUL; offset 0 is the empty name. */
class StringTable {
  private readonly parts: Uint8Array[] = [new Uint8Array(1)];
  private length = 1;
  private readonly offsets = new Map<string, number>();

  /** Where a name stands, once it has been added. */
  add(name: string): number {
    const known = this.offsets.get(name);
    if (known !== undefined) return known;
    this.offsets.set(name, this.length);
    const bytes = new TextEncoder().encode(`${name}\0`);
    this.parts.push(bytes);
    this.length += bytes.length;
    return this.length - bytes.length;
  }

  bytes(): Uint8Array {
    return concatenate(this.parts);
  }
}

function padded(bytes: Uint8Array, alignment: number): Uint8Array {
  const whole = new Uint8Array(Math.ceil(bytes.length / alignment) * alignment);
  whole.set(bytes);
  return whole;
}

function words16(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values.flatMap((value) => [value & 0xff, value >> 8]));
}

function words32(...values: readonly number[]): Uint8Array {
  return words16(...values.flatMap((value) => [value & 0xffff, (value >>> 16) & 0xffff]));
}

export function words64(...values: readonly (number | bigint)[]): Uint8Array {
  return words32(
    ...values.flatMap((value) => {
      const word = BigInt.asUintN(64, BigInt(value));
      return [Number(word & 0xffffffffn), Number(word >> 32n)];
    }),
  );
}

export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((total, { length }) => total + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
