/**
 * A program as the fuzzer makes, runs and shrinks it: a list of pieces, each some bytes with references to other pieces, and
 * what the machine looks like before. A piece can be left out of the list; what referred to it then refers to the next one.
 */
import { PAGE_SIZE } from '../../../src/machine/memory.ts';
import { CODE, CODE_PAGES, OTHER } from './layout.ts';

/** A place in a piece that depends on where something lies. */
export interface Reference {
  /** Offset in the piece, and bytes there. */
  readonly at: number;
  readonly size: 1 | 4 | 8;
  /** Offset in the piece that a relative reference counts from; undefined: absolute. */
  readonly from?: number | undefined;
  /** A piece's number, or an address. */
  readonly piece?: number | undefined;
  readonly plus: number;
}

export interface Piece {
  /** Grows along the program. */
  readonly number: number;
  readonly bytes: readonly number[];
  readonly references: readonly Reference[];
  /** Lies in the page that can be exchanged. */
  readonly other: boolean;
}

export type Mode = 'long' | 'compatibility' | 'ring 0';

/** Something that the host does when so many instructions have been retired: see `machine.ts`. */
export interface HostEvent {
  readonly at: number;
  readonly action: number;
}

export interface Program {
  readonly seed: number;
  readonly mode: Mode;
  readonly pieces: readonly Piece[];
  /** Bytes of the first code page before the first piece. */
  readonly offset: number;
  /** Where it begins: a piece's number; and in the second mapping, if so. */
  readonly entry: number;
  readonly inTwin: boolean;
  readonly flags: number;
  readonly mxcsr: number;
  readonly control: number;
  /** Instructions after which it is over. */
  readonly limit: number;
  readonly events: readonly HostEvent[];
}

/** A program in memory. */
export interface Image {
  readonly code: Uint8Array;
  readonly other: Uint8Array;
  /** Address of each piece that is left, rising within each of the two parts. */
  readonly addresses: ReadonlyMap<number, number>;
  /** Pieces with a jump that does not reach. */
  readonly tooShort: ReadonlySet<number>;
  /** Address of a piece, or of the one that stands for it. */
  resolve(piece: number): number;
}

/** What fills code pages around the pieces: INT3. */
const FILLING = 0xcc;

/** Lays a program out. Pieces that do not fit are left out. */
export function assemble(program: Program): Image {
  const code = new Uint8Array(CODE_PAGES * PAGE_SIZE).fill(FILLING);
  const other = new Uint8Array(PAGE_SIZE).fill(FILLING);
  const addresses = new Map<number, number>();
  const placed: { piece: Piece; bytes: Uint8Array; at: number }[] = [];
  let next = program.offset;
  let nextOther = program.offset & 0x3f;
  for (const piece of program.pieces) {
    const bytes = piece.other ? other : code;
    const at = piece.other ? nextOther : next;
    if (at + piece.bytes.length > bytes.length) continue;
    addresses.set(piece.number, (piece.other ? OTHER : CODE) + at);
    placed.push({ piece, bytes, at });
    if (piece.other) nextOther += piece.bytes.length;
    else next += piece.bytes.length;
  }
  const tooShort = new Set<number>();
  const numbers = [...addresses.keys()];
  const resolve = (number: number): number => {
    const found = numbers.find((candidate) => candidate >= number) ?? numbers.at(-1);
    return found === undefined ? CODE : addresses.get(found)!;
  };
  for (const { piece, bytes, at } of placed) {
    bytes.set(piece.bytes, at);
    const address = addresses.get(piece.number)!;
    for (const reference of piece.references) {
      const { from, plus } = reference;
      let value = plus + (reference.piece === undefined ? 0 : resolve(reference.piece));
      if (from !== undefined) value -= address + from;
      if (reference.size === 1 && (value < -128 || value > 127)) tooShort.add(piece.number);
      for (let i = 0; i < reference.size; i++) {
        bytes[at + reference.at + i] = i < 4 ? value >> (8 * i) : value < 0 ? 0xff : 0;
      }
    }
  }
  return { code, other, addresses, tooShort, resolve };
}
