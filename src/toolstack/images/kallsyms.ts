/**
 * The symbols that a Linux kernel carries in itself: kallsyms, the table behind /proc/kallsyms. Distribution kernels are
 * stripped of their ELF symbols, but they have this one, in their read-only data and without any header. It is found by what
 * it must look like, as the kernel's scripts/kallsyms.c writes it (Linux 6.1 to 6.12, 64 bits):
 *
 *     num_syms      u32
 *     names         for each symbol: length (ULEB128), then as many bytes, each the number of a token
 *     markers       u32 for every 256th symbol: where its name begins, from `names`
 *     seqs_of_names 3 bytes a symbol (6.2 to 6.3 have it here; later ones behind the offsets)
 *     token_table   256 strings; token_index: u16 for each, where it begins
 *     offsets       i32 for each symbol; relative_base: u64      (6.1 has both in front of num_syms)
 *
 * All of them begin at a multiple of 8. The first character of a decoded name is the symbol's kind, as nm prints it. Nobody has
 * vouched for the image: whatever does not fit is no table.
 */
import type { Gva } from '../../machine/memory.ts';
import type { NamedAddress } from './symbols.ts';

const TOKENS = 256;
const FIRST_DIGIT = 0x30;
const LAST_DIGIT = 0x39;
const SYMBOLS_A_MARKER = 256;
/** The table stands at most so far before its tokens. */
const LONGEST_TABLE = 32 * 1024 * 1024;
const FEWEST_SYMBOLS = SYMBOLS_A_MARKER * 2;
/** All tokens together are at most so long. */
const LONGEST_TOKENS = 65536;
/**
 * So many steps are made to find tokens and names, and no more: a stock kernel takes half a million, an evil one could ask for
 * any number.
 */
const MOST_STEPS = 2 ** 23;
/** Names that are longer together are no kernel's: Linux's have some 6 MB, while a token repeated gives any length. */
const MOST_NAME_CHARACTERS = 2 ** 25;
const KINDS = /^[a-zA-Z?]/;
const KERNEL_HALF = -0x800000000000;

/** The symbols that a kernel carries in one of its segments; none if it carries none. */
export function carriedSymbols(segments: readonly { readonly bytes: Uint8Array }[]): NamedAddress[] {
  return segments.map(({ bytes }) => readKallsyms(bytes)).find(({ length }) => length > 0) ?? [];
}

/** A copy of what such a table needs of a kernel's segments, for `readKallsyms`; undefined if none of them holds one. */
export function carriedTable(segments: readonly { readonly bytes: Uint8Array }[]): Uint8Array | undefined {
  for (const { bytes: image } of segments) {
    for (const { tokens, names } of findTables(image, viewOf(image))) {
      // The offsets and their base stand on one side or the other.
      const beside = aligned(names.count * 4) + 8;
      const start = Math.max(0, names.start - beside);
      return image.slice(start - (start % 8), tokens.end + beside);
    }
  }
  return undefined;
}

/** The symbols in a stretch of a kernel's image, in the table's order; none if it holds no such table. */
export function readKallsyms(image: Uint8Array): NamedAddress[] {
  const view = viewOf(image);
  for (const { tokens, names } of findTables(image, view)) {
    const addresses = findAddresses(view, tokens, names);
    if (addresses !== undefined) return decode(image, tokens, names, addresses);
  }
  return [];
}

/** What may be such a table, as far as its names and tokens go. */
function* findTables(image: Uint8Array, view: DataView): Generator<{ tokens: Tokens; names: Names }> {
  const steps = new Steps();
  for (const tokens of findTokens(image, view, steps)) {
    const names = findNames(view, tokens, steps);
    if (names !== undefined) yield { tokens, names };
  }
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

/** Counts what looking for tokens and names takes. */
class Steps {
  private made = 0;

  /** Makes one more; false if there were too many. */
  more(): boolean {
    return ++this.made <= MOST_STEPS;
  }
}

interface Tokens {
  readonly start: number;
  /** One past the end of token_index. */
  readonly end: number;
  readonly strings: readonly string[];
}

interface Names {
  /** Where num_syms stands, and the names begin. */
  readonly start: number;
  readonly first: number;
  readonly count: number;
}

const aligned = (offset: number): number => Math.ceil(offset / 8) * 8;

function* findTokens(image: Uint8Array, view: DataView, steps: Steps): Generator<Tokens> {
  for (let at = image.indexOf(FIRST_DIGIT); at >= 0; at = image.indexOf(FIRST_DIGIT, at + 1)) {
    if (!isDigits(image, at)) continue;
    // From the token "0" to the end of the last one; where the first one begins, the index tells.
    const tail = image.subarray(at, at + LONGEST_TOKENS);
    let length = 0;
    for (let token = FIRST_DIGIT; token < TOKENS; token++) {
      if (!steps.more()) return;
      length = tail.indexOf(0, length) + 1;
      if (length === 0) break;
    }
    const end = at + length;
    const index = aligned(end);
    if (length === 0 || index + 2 * TOKENS > image.length) continue;
    const start = at - view.getUint16(index + 2 * FIRST_DIGIT, true);
    const strings: string[] = [];
    let next = start;
    for (let token = 0; token < TOKENS && start >= 0; token++) {
      if (start + view.getUint16(index + 2 * token, true) !== next) break;
      const stop = image.indexOf(0, next);
      strings.push(String.fromCharCode(...image.subarray(next, stop)));
      next = stop + 1;
    }
    if (strings.length === TOKENS && next === end) yield { start, end: index + 2 * TOKENS, strings };
  }
}

/** "0" to "9" as tokens: digits occur in the names of every kernel, and a character that stays one is its own token. */
function isDigits(image: Uint8Array, at: number): boolean {
  for (let digit = FIRST_DIGIT, i = at; digit <= LAST_DIGIT; digit++, i += 2) {
    if (image[i] !== digit || image[i + 1] !== 0) return false;
  }
  return true;
}

/** Looks for num_syms upwards from the tokens: what follows it must be names that end where the markers begin. */
function findNames(view: DataView, { start, strings }: Tokens, steps: Steps): Names | undefined {
  for (let at = start - (start % 8) - 16; at >= Math.max(0, start - LONGEST_TABLE); at -= 8) {
    if (!steps.more()) return undefined;
    const count = view.getUint32(at, true);
    if (view.getUint32(at + 4, true) !== 0 || count < FEWEST_SYMBOLS || at + count * 3 > start) continue;
    if (namesFit(view, at + 8, count, start, strings, steps)) return { start: at, first: at + 8, count };
  }
  return undefined;
}

function namesFit(
  view: DataView,
  first: number,
  count: number,
  limit: number,
  strings: readonly string[],
  steps: Steps,
): boolean {
  let at = first;
  let secondMarker = 0;
  for (let symbol = 0; symbol < count; symbol++) {
    if (symbol === SYMBOLS_A_MARKER) secondMarker = at - first;
    if (at + 2 >= limit || !steps.more()) return false;
    const { length, bytes } = lengthAt(view, at);
    if (length === 0 || !KINDS.test(strings[view.getUint8(at + bytes)]!)) return false;
    at += bytes + length;
  }
  const markers = aligned(at);
  return (
    markers + 8 <= limit &&
    view.getUint32(markers, true) === 0 &&
    view.getUint32(markers + 4, true) === secondMarker
  );
}

function lengthAt(view: DataView, at: number): { length: number; bytes: number } {
  const low = view.getUint8(at);
  return low < 0x80
    ? { length: low, bytes: 1 }
    : { length: (low & 0x7f) | (view.getUint8(at + 1) << 7), bytes: 2 };
}

/** The addresses, from whichever side of the table the offsets stand on. */
function findAddresses(view: DataView, tokens: Tokens, { start, count }: Names): readonly Gva[] | undefined {
  const bytes = aligned(count * 4);
  return (
    addressesAt(view, start - 8 - bytes, start - 8, count) ??
    addressesAt(view, tokens.end, tokens.end + bytes, count)
  );
}

function addressesAt(view: DataView, offsets: number, baseAt: number, count: number): Gva[] | undefined {
  if (offsets < 0 || baseAt + 8 > view.byteLength) return undefined;
  const base = view.getInt32(baseAt + 4, true) * 2 ** 32 + view.getUint32(baseAt, true);
  if (base >= 0 || base < KERNEL_HALF || base % 4096 !== 0) return undefined;
  const addresses: Gva[] = [];
  let absolute = false;
  for (let symbol = 0; symbol < count; symbol++) {
    const offset = view.getInt32(offsets + symbol * 4, true);
    if (offset < 0) absolute = true;
    addresses.push(offset);
  }
  // With CONFIG_KALLSYMS_ABSOLUTE_PERCPU, what is not negative is no distance but a value: a place in the per-CPU area.
  return addresses.map((offset) => {
    if (!absolute) return base + (offset >>> 0);
    return offset >= 0 ? offset : base - 1 - offset;
  });
}

function decode(
  image: Uint8Array,
  { strings }: Tokens,
  { first, count }: Names,
  addresses: readonly Gva[],
): NamedAddress[] {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const symbols: NamedAddress[] = [];
  let at = first;
  let room = MOST_NAME_CHARACTERS;
  for (let symbol = 0; symbol < count; symbol++) {
    const { length, bytes } = lengthAt(view, at);
    at += bytes;
    let name = '';
    for (let i = 0; i < length && name.length <= room; i++) name += strings[image[at + i]!]!;
    room -= name.length;
    if (room < 0) return [];
    at += length;
    symbols.push({ name: name.slice(1), address: addresses[symbol]! });
  }
  return symbols;
}
