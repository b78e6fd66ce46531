/**
 * How x86 instructions are put together, [66] [REX] opcode ModR/M [SIB] [displacement] [immediate], and how pieces of code
 * with labels become bytes (Intel SDM, volume 2, chapter 2). What instructions there are is assembler.ts.
 */
import { TranslationError } from '../error.ts';
import { type Cc, type Gpr, RAX, RBP, RSP } from './registers.ts';

/** [base + index * scale + displacement + symbol], any part absent. */
export interface Memory {
  readonly base?: Gpr | undefined;
  readonly index?: Gpr | undefined;
  readonly scale?: 1 | 2 | 4 | 8;
  /** A signed 32-bit number. */
  readonly displacement: number;
  /** Its address is added to the displacement. */
  readonly symbol?: string | undefined;
}

/** What the r/m field of an instruction can name. */
export type Rm = Gpr | Memory;

export interface Label {
  /** Which fragment it starts; undefined until it is placed. */
  fragment: number | undefined;
}

/** How the linker fills in a field of four bytes. */
export interface Relocation {
  /** Bytes from the start of the code. */
  readonly offset: number;
  /** `relative`: the distance from the field's end; `absolute`: the low half of the native address. */
  readonly kind: 'relative' | 'absolute';
  readonly symbol: string;
  readonly addend: number;
}

/** A place in the code that somebody must find again. */
export interface Mark<T> {
  /** Bytes from the start of the code. */
  readonly offset: number;
  readonly what: T;
}

/** A finished piece of code. */
export interface Code<T> {
  readonly bytes: Uint8Array;
  readonly relocations: readonly Relocation[];
  readonly marks: readonly Mark<T>[];
}

/** Bytes without a branch in them, and the branch behind them if there is one. */
interface Fragment {
  readonly bytes: number[];
  branch: { readonly condition: Cc | undefined; readonly target: Label; readonly long: boolean } | undefined;
}

interface Reference {
  readonly fragment: number;
  readonly at: number;
  readonly kind: Relocation['kind'];
  readonly symbol: string;
  readonly addend: number;
  /** The target of an absolute reference to this very piece of code. */
  readonly label?: Label;
}

const OPERAND_SIZE = 0x66;

export class Encoder<T = never> {
  readonly mode: 32 | 64;
  private readonly fragments: Fragment[] = [{ bytes: [], branch: undefined }];
  private readonly references: Reference[] = [];
  private readonly noted: { readonly fragment: number; readonly at: number; readonly what: T }[] = [];

  constructor(mode: 32 | 64) {
    this.mode = mode;
  }

  label(): Label {
    return { fragment: undefined };
  }

  /** Places a label here. */
  place(label: Label): void {
    if (label.fragment !== undefined) throw new TranslationError('expected a label to be placed once');
    if (this.last.bytes.length > 0) this.fragments.push({ bytes: [], branch: undefined });
    label.fragment = this.fragments.length - 1;
  }

  /** Notes something about this place. */
  mark(what: T): void {
    this.noted.push({ fragment: this.fragments.length - 1, at: this.last.bytes.length, what });
  }

  /** Bytes as they are. */
  raw(...bytes: readonly number[]): void {
    this.last.bytes.push(...bytes);
  }

  /** The low half of a label's native address, with something added, as data. */
  addressOfLabel(label: Label, addend = 0): void {
    this.references.push({ ...this.here(), kind: 'absolute', symbol: '', addend, label });
    this.immediate(0, 4);
  }

  /** The low half of a symbol's native address, as data. */
  symbolAddress(symbol: string): void {
    this.reference('absolute', symbol, 0);
  }

  private here(): { fragment: number; at: number } {
    return { fragment: this.fragments.length - 1, at: this.last.bytes.length };
  }

  /**
   * The code. `self` is the symbol that it will have, to which references to its own labels are made. Branches start
   * short, and those whose target is out of reach become long, until none is.
   */
  finish(self: string): Code<T> {
    const { fragments } = this;
    const long = fragments.map(({ branch }) => branch?.long === true);
    const starts: number[] = [];
    for (let changed = true; changed; ) {
      changed = false;
      let at = 0;
      fragments.forEach(({ bytes, branch }, i) => {
        starts[i] = at;
        at += bytes.length + (branch === undefined ? 0 : branchBytes(branch.condition, long[i]!));
      });
      fragments.forEach(({ bytes, branch }, i) => {
        if (branch === undefined || long[i]) return;
        const from = starts[i]! + bytes.length + 2;
        const distance = starts[placed(branch.target)]! - from;
        if (distance !== (distance << 24) >> 24) long[i] = changed = true;
      });
    }
    const bytes = fragments.flatMap((fragment, i) => [
      ...fragment.bytes,
      ...(fragment.branch === undefined
        ? []
        : encodeBranch(
            fragment.branch.condition,
            long[i]!,
            starts[placed(fragment.branch.target)]! - starts[i]! - fragment.bytes.length,
          )),
    ]);
    const relocations = this.references.map(({ fragment, at, kind, symbol, addend, label }) => ({
      offset: starts[fragment]! + at,
      kind,
      symbol: label === undefined ? symbol : self,
      addend: label === undefined ? addend : addend + starts[placed(label)]!,
    }));
    const marks = this.noted.map(({ fragment, at, what }) => ({ offset: starts[fragment]! + at, what }));
    return { bytes: Uint8Array.from(bytes), relocations, marks };
  }

  // How an instruction is put together: [66] [REX] opcode ModR/M [SIB] [displacement] [immediate]

  private get last(): Fragment {
    return this.fragments[this.fragments.length - 1]!;
  }

  /** Ends a stretch of code with a branch; `long`: however near its target is. */
  protected branch(condition: Cc | undefined, target: Label, long = false): void {
    this.last.branch = { condition, target, long };
    this.fragments.push({ bytes: [], branch: undefined });
  }

  /** An opcode whose bit 0 is clear for bytes, with 66 for words and REX.W for quadwords. */
  protected sized(bytes: number, opcode: number, reg: Gpr, rm: Rm): void {
    if (bytes === 2) this.raw(OPERAND_SIZE);
    const narrow = bytes === 1;
    const byteRegister = narrow && (isByteHigh(rm) || (hasRegisterOperand(opcode) && isByteHigh(reg)));
    this.encode(bytes === 8 ? 8 : 0, [narrow ? opcode & ~1 : opcode], reg, rm, byteRegister);
  }

  protected encode(w: 0 | 8, opcode: readonly number[], reg: Gpr, rm: Rm, forceRex: boolean): void {
    if (forceRex && this.mode === 32) {
      throw new TranslationError('expected AL, CL, DL or BL as a byte register in 32-bit mode');
    }
    const force = forceRex ? 0x40 : 0;
    if (typeof rm === 'number') {
      this.rex(w, reg, 0, rm, force);
      this.raw(...opcode, 0xc0 | ((reg & 7) << 3) | (rm & 7));
      return;
    }
    this.rex(w, reg, rm.index ?? 0, rm.base ?? 0, force);
    this.raw(...opcode);
    this.memory(reg & 7, rm);
  }

  private memory(reg: number, { base, index, scale = 1, displacement, symbol }: Memory): void {
    const scaleBits = Math.log2(scale) << 6;
    if (index === RSP) throw new TranslationError('expected an index register, found the stack pointer');
    if (base === undefined) {
      // mod 00, rm 100, SIB base 101: no base. In 32-bit mode the shorter form without SIB means the same.
      if (index === undefined && this.mode === 32) this.raw((reg << 3) | 5);
      else this.raw((reg << 3) | 4, scaleBits | ((index === undefined ? RSP : index & 7) << 3) | RBP);
      this.displacement(symbol, displacement);
      return;
    }
    const short = symbol === undefined && displacement === (displacement << 24) >> 24;
    // mod 00 with base 101 (RBP, R13) means something else, so it takes a zero displacement.
    const none = short && displacement === 0 && (base & 7) !== RBP;
    const mod = none ? 0 : short ? 0x40 : 0x80;
    if (index !== undefined || (base & 7) === RSP) {
      this.raw(mod | (reg << 3) | 4, scaleBits | ((index === undefined ? RSP : index & 7) << 3) | (base & 7));
    } else {
      this.raw(mod | (reg << 3) | (base & 7));
    }
    if (none) return;
    if (short) this.raw(displacement & 0xff);
    else this.displacement(symbol, displacement);
  }

  private displacement(symbol: string | undefined, value: number): void {
    if (symbol === undefined) this.immediate(value, 4);
    else this.reference('absolute', symbol, value);
  }

  /** 0100 WRXB, left out where it would say nothing. */
  protected rex(w: 0 | 8, reg: Gpr, index: Gpr, base: Gpr, force = 0): void {
    const bits = w | ((reg >> 3) << 2) | ((index >> 3) << 1) | (base >> 3);
    if ((bits | force) === 0) return;
    if (this.mode === 32) throw new TranslationError('expected no REX prefix in 32-bit mode');
    this.raw(0x40 | bits);
  }

  protected immediate(value: number, bytes: number): void {
    for (let i = 0; i < bytes; i++) this.raw((value >> (8 * i)) & 0xff);
  }

  protected reference(kind: Relocation['kind'], symbol: string, addend: number): void {
    this.references.push({ ...this.here(), kind, symbol, addend });
    this.immediate(0, 4);
  }
}

/** SPL, BPL, SIL and DIL need a REX prefix; without one their numbers mean AH, CH, DH and BH. */
export function isByteHigh(rm: Rm): boolean {
  return typeof rm === 'number' && rm >= RAX + 4 && rm < 8;
}

/** Opcodes with an immediate have a part of the opcode where others have a register. */
function hasRegisterOperand(opcode: number): boolean {
  return opcode !== 0xc7 && opcode !== 0x81 && opcode !== 0x83 && opcode !== 0xc1;
}

function placed(label: Label): number {
  if (label.fragment === undefined) throw new TranslationError('expected every label to be placed');
  return label.fragment;
}

function branchBytes(condition: Cc | undefined, long: boolean): number {
  return long ? (condition === undefined ? 5 : 6) : 2;
}

/** `distance`: from the branch's first byte. */
function encodeBranch(condition: Cc | undefined, long: boolean, distance: number): number[] {
  const relative = distance - branchBytes(condition, long);
  if (!long) return [condition === undefined ? 0xeb : 0x70 | condition, relative & 0xff];
  const field = [0, 8, 16, 24].map((shift) => (relative >> shift) & 0xff);
  return condition === undefined ? [0xe9, ...field] : [0x0f, 0x80 | condition, ...field];
}
