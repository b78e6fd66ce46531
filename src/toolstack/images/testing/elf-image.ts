/**
 * Builds small ELF images for tests: one loadable segment, Xen notes, optionally a symbol table and a
 * `__xen_guest` section. The file is laid out without gaps and its section headers come last, so that any
 * truncation cuts something.
 */

export interface ElfNote {
  readonly owner?: string;
  readonly type: number;
  /** A string gets its NUL; a number takes the image's width. */
  readonly desc: string | number | Uint8Array;
}

export interface ElfImageOptions {
  readonly width?: 32 | 64;
  readonly machine?: number;
  readonly entry?: number;
  /** ELF physical and virtual address of the one segment. */
  readonly physical?: number;
  readonly virtual?: number;
  readonly contents?: Uint8Array;
  readonly memorySize?: number;
  readonly notes?: readonly ElfNote[];
  /** Where the notes are announced. */
  readonly notesIn?: 'segment' | 'section' | 'both';
  readonly guestInfo?: string;
  readonly symbols?: readonly { readonly name: string; readonly address: number }[];
}

/** What makes an image acceptable to Xen at all. */
export const minimalNotes: readonly ElfNote[] = [
  { type: 5, desc: 'xen-3.0' },
  { type: 8, desc: 'generic' },
];

interface Section {
  readonly name: string;
  readonly type: number;
  readonly bytes: Uint8Array;
  readonly link?: number;
  readonly entrySize?: number;
}

/** The image's bytes. */
export function elfImage(options: ElfImageOptions = {}): Uint8Array {
  const { width = 64, notesIn = 'segment', notes = minimalNotes } = options;
  const contents = options.contents ?? Uint8Array.of(0x0f, 0x0b, 0x0f, 0x0b);
  const { physical = 0x1000, virtual = physical, memorySize = contents.length + 0x100 } = options;
  const noteBytes = encodeNotes(notes, width);

  const sections: Section[] = [{ name: '', type: 0, bytes: new Uint8Array() }];
  sections.push({ name: '.note.Xen', type: notesIn === 'segment' ? 1 : 7, bytes: noteBytes });
  if (options.guestInfo !== undefined) {
    sections.push({ name: '__xen_guest', type: 1, bytes: latin1(`${options.guestInfo}\0`) });
  }
  if (options.symbols !== undefined) {
    const strings = `\0${options.symbols.map(({ name }) => `${name}\0`).join('')}`;
    const link = sections.length + 1;
    const entrySize = width === 64 ? 24 : 16;
    sections.push({
      name: '.symtab',
      type: 2,
      bytes: encodeSymbols(options.symbols, strings, width),
      link,
      entrySize,
    });
    sections.push({ name: '.strtab', type: 3, bytes: latin1(strings) });
  }
  const names = `${sections.map(({ name }) => name).join('\0')}\0.shstrtab\0`;
  sections.push({ name: '.shstrtab', type: 3, bytes: latin1(names) });

  const word = (value: number) => encodeNumber(value, width / 8);
  const half = (value: number) => encodeNumber(value, 2);
  const int = (value: number) => encodeNumber(value, 4);
  const [headerBytes, programBytes, sectionBytes] = width === 64 ? [64, 56, 64] : [52, 32, 40];
  const programCount = notesIn === 'section' ? 1 : 2;

  let at = headerBytes + programCount * programBytes;
  const contentsAt = at;
  at += contents.length;
  const places = sections.map(({ bytes }) => {
    const place = at;
    at += bytes.length;
    return place;
  });
  const sectionHeadersAt = at;

  const program = (
    type: number,
    flags: number,
    offset: number,
    size: number,
    address: number[],
    memory: number,
  ) =>
    width === 64
      ? [int(type), int(flags), word(offset), ...address.map(word), word(size), word(memory), word(4)]
      : [int(type), word(offset), ...address.map(word), word(size), word(memory), int(flags), word(4)];

  return concat([
    Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, width === 64 ? 2 : 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    half(2), // ET_EXEC
    half(options.machine ?? (width === 64 ? 62 : 3)),
    int(1),
    word(options.entry ?? virtual),
    word(headerBytes),
    word(sectionHeadersAt),
    int(0),
    half(headerBytes),
    half(programBytes),
    half(programCount),
    half(sectionBytes),
    half(sections.length),
    half(sections.length - 1),
    ...program(1, 7, contentsAt, contents.length, [virtual, physical], memorySize),
    ...(programCount === 2 ? program(4, 4, places[1], noteBytes.length, [0, 0], 0) : []),
    contents,
    ...sections.map(({ bytes }) => bytes),
    ...sections.flatMap(({ name, type, bytes, link = 0, entrySize = 0 }, i) => [
      int(name === '' ? 0 : names.indexOf(`\0${name}\0`) + 1),
      int(type),
      word(0),
      word(0),
      word(places[i]),
      word(bytes.length),
      int(link),
      int(0),
      word(1),
      word(entrySize),
    ]),
  ]);
}

/** A run of notes as it stands in a file. */
export function encodeNotes(notes: readonly ElfNote[], width: 32 | 64): Uint8Array {
  return concat(
    notes.flatMap(({ owner = 'Xen', type, desc }) => {
      const name = latin1(`${owner}\0`);
      const value =
        typeof desc === 'string'
          ? latin1(`${desc}\0`)
          : typeof desc === 'number'
            ? encodeNumber(desc, width / 8)
            : desc;
      return [
        ...[name.length, value.length, type].map((n) => encodeNumber(n, 4)),
        padded(name),
        padded(value),
      ];
    }),
  );
}

/** A bzImage of boot protocol 2.15 around a payload (its 4 size bytes included). */
export function bzImage(payload: Uint8Array, version = 0x20f): Uint8Array {
  const setupSects = 1;
  const before = 64; // stands for the code that unpacks itself
  const image = new Uint8Array((setupSects + 1) * 512 + before + payload.length);
  const view = new DataView(image.buffer);
  image[0x1f1] = setupSects;
  image.set(latin1('HdrS'), 0x202);
  view.setUint16(0x206, version, true);
  view.setUint32(0x248, before, true);
  view.setUint32(0x24c, payload.length, true);
  image.set(payload, image.length - payload.length);
  return image;
}

/** A payload as Linux's build makes it: the stream, then the size it unpacks to. */
export function withSize(stream: Uint8Array, size: number): Uint8Array {
  return concat([stream, encodeNumber(size, 4)]);
}

/** A legacy LZ4 frame that holds `bytes` as they are. */
export function storedLz4(bytes: Uint8Array): Uint8Array {
  const extra: number[] = [];
  for (let rest = bytes.length - 15; rest >= 0; rest -= 255) extra.push(Math.min(rest, 255));
  const token = bytes.length < 15 ? [bytes.length << 4] : [0xf0, ...extra];
  // A length whose last byte is 255 would go on: the loop above then adds a zero by itself.
  const block = concat([Uint8Array.from(token), bytes]);
  return concat([Uint8Array.of(0x02, 0x21, 0x4c, 0x18), encodeNumber(block.length, 4), block]);
}

export function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function encodeNumber(value: number, bytes: number): Uint8Array {
  const encoded = new Uint8Array(8);
  new DataView(encoded.buffer).setBigInt64(0, BigInt(value), true);
  return encoded.slice(0, bytes);
}

function encodeSymbols(
  symbols: NonNullable<ElfImageOptions['symbols']>,
  strings: string,
  width: 32 | 64,
): Uint8Array {
  return concat(
    symbols.flatMap(({ name, address }) => {
      const nameAt = encodeNumber(strings.indexOf(`\0${name}\0`) + 1, 4);
      const info = Uint8Array.of(0x12, 0); // global function, default visibility
      const section = encodeNumber(1, 2);
      const value = encodeNumber(address, width / 8);
      const size = encodeNumber(0, width / 8);
      return width === 64 ? [nameAt, info, section, value, size] : [nameAt, value, size, info, section];
    }),
  );
}

function padded(bytes: Uint8Array): Uint8Array {
  return concat([bytes, new Uint8Array(-bytes.length & 3)]);
}
