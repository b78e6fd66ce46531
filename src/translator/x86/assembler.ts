/**
 * An x86 assembler: each method emits one instruction, its encoding in the comment above it in the notation of the Intel
 * manual (Software Developer's Manual, volume 2). It serves 64-bit mode and, where REX is not needed, 32-bit mode.
 *
 * Operand sizes are given in bytes. Branches inside the piece of code go to labels and are short where the distance
 * allows; whatever lies outside is a symbol, left to the linker as a relocation.
 */
import { TranslationError } from '../error.ts';
import { type Cc, type Gpr, R11, RAX, RBP, RSP } from './registers.ts';

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

/** The operations of opcodes 00..3F and 80..83, by their number there. */
export const Alu = { add: 0, or: 1, and: 4, sub: 5, xor: 6, cmp: 7 } as const;
export type Alu = (typeof Alu)[keyof typeof Alu];

/** The operations of opcodes C0, C1 and D3, by their number there. */
export const Shift = { rol: 0, ror: 1, shl: 4, shr: 5, sar: 7 } as const;
export type Shift = (typeof Shift)[keyof typeof Shift];

/** The operations of opcode F7, by their number there. */
export const Group3 = { not: 2, neg: 3, mul: 4, imul: 5, div: 6, idiv: 7 } as const;
export type Group3 = (typeof Group3)[keyof typeof Group3];

/** Bytes without a branch in them, and the branch behind them if there is one. */
interface Fragment {
  readonly bytes: number[];
  branch: { readonly condition: Cc | undefined; readonly target: Label; readonly long?: boolean } | undefined;
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

/** The recommended NOPs of 1 to 8 bytes. */
const NOPS: readonly (readonly number[])[] = [
  [0x90],
  [0x66, 0x90],
  [0x0f, 0x1f, 0x00],
  [0x0f, 0x1f, 0x40, 0x00],
  [0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
  [0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

export class Assembler<T = never> {
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

  // Moves

  /* MOV r/m, r: 88 /r; 89 /r */
  store(bytes: number, to: Memory, from: Gpr): void {
    this.sized(bytes, 0x89, from, to);
  }
  /* MOV r, r/m: 8B /r */
  load(bytes: number, to: Gpr, from: Rm): void {
    this.sized(bytes, 0x8b, to, from);
  }
  /* MOV r/m, imm: C6 /0 ib; C7 /0 iw or id (sign-extended) */
  storeImmediate(bytes: number, to: Memory, value: number): void {
    this.sized(bytes, 0xc7, 0, to);
    this.immediate(value, Math.min(bytes, 4));
  }
  /* XOR r32, r32; MOV r32, imm32: B8+r id; MOV r/m64, imm32: REX.W C7 /0 id; MOV r64, imm64: REX.W B8+r io */
  loadImmediate(to: Gpr, value: bigint, keepFlags = false): void {
    const unsigned = BigInt.asUintN(64, value);
    if (unsigned === 0n && !keepFlags) {
      this.alu(Alu.xor, 4, to, to);
    } else if (unsigned < 1n << 32n || this.mode === 32) {
      this.rex(0, 0, 0, to);
      this.raw(0xb8 | (to & 7));
      this.immediate(Number(unsigned & 0xffffffffn), 4);
    } else if (fits32(value)) {
      this.sized(8, 0xc7, 0, to);
      this.immediate(Number(value), 4);
    } else {
      this.rex(8, 0, 0, to);
      this.raw(0xb8 | (to & 7));
      this.immediate(Number(unsigned & 0xffffffffn), 4);
      this.immediate(Number(unsigned >> 32n), 4);
    }
  }
  /* MOV r/m64, imm32: REX.W C7 /0 id; MOV r32, imm32: B8+r id. `wide`: sign-extended to a native address. */
  loadSymbol(to: Gpr, symbol: string, addend: number, wide: boolean): void {
    if (wide && this.mode === 64) {
      this.sized(8, 0xc7, 0, to);
    } else {
      this.rex(0, 0, 0, to);
      this.raw(0xb8 | (to & 7));
    }
    this.reference('absolute', symbol, addend);
  }
  /* MOVZX r32, r/m8: 0F B6 /r; MOVZX r32, r/m16: 0F B7 /r; MOV r32, r/m32 */
  loadZeroExtended(bytes: number, to: Gpr, from: Rm): void {
    if (bytes >= 4) {
      this.load(bytes, to, from);
      return;
    }
    this.encode(0, bytes === 1 ? [0x0f, 0xb6] : [0x0f, 0xb7], to, from, bytes === 1 && isByteHigh(from));
  }
  /* MOVSX r, r/m8: 0F BE /r; MOVSX r, r/m16: 0F BF /r; MOVSXD r64, r/m32: REX.W 63 /r */
  loadSignExtended(bytes: number, toBytes: number, to: Gpr, from: Rm): void {
    if (bytes === toBytes) {
      this.load(bytes, to, from);
      return;
    }
    const opcode = bytes === 1 ? [0x0f, 0xbe] : bytes === 2 ? [0x0f, 0xbf] : [0x63];
    this.encode(toBytes === 8 ? 8 : 0, opcode, to, from, bytes === 1 && isByteHigh(from));
  }
  /* LEA r, m: 8D /r */
  lea(bytes: number, to: Gpr, from: Memory): void {
    this.sized(bytes, 0x8d, to, from);
  }
  /* XCHG r, r: 87 /r */
  exchange(bytes: number, left: Gpr, right: Rm): void {
    this.sized(bytes, 0x87, left, right);
  }
  /* PUSH r: 50+r */
  push(register: Gpr): void {
    this.rex(0, 0, 0, register);
    this.raw(0x50 | (register & 7));
  }
  /* PUSH imm8 (sign-extended): 6A ib */
  pushImmediate8(value: number): void {
    this.raw(0x6a, value & 0xff);
  }
  /* PUSH imm32 (sign-extended): 68 id */
  pushImmediate32(value: number): void {
    this.raw(0x68);
    this.immediate(value, 4);
  }
  /* PUSH m: FF /6 */
  pushMemory(from: Memory): void {
    this.encode(0, [0xff], 6, from, false);
  }
  /* POP r: 58+r */
  pop(register: Gpr): void {
    this.rex(0, 0, 0, register);
    this.raw(0x58 | (register & 7));
  }

  // Arithmetic

  /* op r, r/m: 03 0B 23 2B 33 3B /r */
  alu(operation: Alu, bytes: number, to: Gpr, from: Rm): void {
    this.sized(bytes, (operation << 3) | 3, to, from);
  }
  /* op m, r: 01 09 21 29 31 39 /r */
  aluToMemory(operation: Alu, bytes: number, to: Memory, from: Gpr): void {
    this.sized(bytes, (operation << 3) | 1, from, to);
  }
  /* op r/m, imm8 (sign-extended): 83 /n ib; op r/m, imm32: 81 /n id */
  aluImmediate(operation: Alu, bytes: number, to: Rm, value: number): void {
    const short = value === (value << 24) >> 24;
    this.sized(bytes, short ? 0x83 : 0x81, operation, to);
    this.immediate(value, short ? 1 : 4);
  }
  /* TEST r/m, r: 85 /r */
  test(bytes: number, left: Rm, right: Gpr): void {
    this.sized(bytes, 0x85, right, left);
  }
  /* TEST r/m, imm32: F7 /0 id; TEST r/m8, imm8: F6 /0 ib, enough for bits of the lowest byte */
  testImmediate(bytes: number, operand: Rm, value: number): void {
    if (value >= 0 && value < 0x80) {
      this.encode(0, [0xf6], 0, operand, isByteHigh(operand));
      this.raw(value);
    } else {
      this.sized(bytes, 0xf7, 0, operand);
      this.immediate(value, 4);
    }
  }
  /* IMUL r, r/m: 0F AF /r */
  multiply(bytes: number, to: Gpr, from: Rm): void {
    this.encode(bytes === 8 ? 8 : 0, [0x0f, 0xaf], to, from, false);
  }
  /* IMUL r, r/m, imm8: 6B /r ib; IMUL r, r/m, imm32: 69 /r id */
  multiplyImmediate(bytes: number, to: Gpr, from: Rm, value: number): void {
    const short = value === (value << 24) >> 24;
    this.sized(bytes, short ? 0x6b : 0x69, to, from);
    this.immediate(value, short ? 1 : 4);
  }
  /* NOT, NEG, MUL, IMUL, DIV, IDIV r/m: F7 /n */
  group3(operation: Group3, bytes: number, operand: Rm): void {
    this.sized(bytes, 0xf7, operation, operand);
  }
  /* CDQ: 99; CQO: REX.W 99 */
  signIntoDx(bytes: number): void {
    this.rex(bytes === 8 ? 8 : 0, 0, 0, 0);
    this.raw(0x99);
  }
  /* ROL, ROR, SHL, SHR, SAR r/m, CL: D3 /n */
  shift(operation: Shift, bytes: number, operand: Rm): void {
    this.sized(bytes, 0xd3, operation, operand);
  }
  /* ROL, ROR, SHL, SHR, SAR r/m, imm8: C1 /n ib */
  shiftImmediate(operation: Shift, bytes: number, operand: Rm, count: number): void {
    this.sized(bytes, 0xc1, operation, operand);
    this.raw(count);
  }
  /* BSF r, r/m: 0F BC /r */
  bitScanForward(bytes: number, to: Gpr, from: Rm): void {
    this.encode(bytes === 8 ? 8 : 0, [0x0f, 0xbc], to, from, false);
  }
  /* BSR r, r/m: 0F BD /r */
  bitScanReverse(bytes: number, to: Gpr, from: Rm): void {
    this.encode(bytes === 8 ? 8 : 0, [0x0f, 0xbd], to, from, false);
  }
  /* SETcc r/m8: 0F 90+cc /0 */
  setIf(condition: Cc, to: Gpr): void {
    this.encode(0, [0x0f, 0x90 | condition], 0, to, isByteHigh(to));
  }
  /* CMOVcc r, r/m: 0F 40+cc /r */
  moveIf(condition: Cc, bytes: number, to: Gpr, from: Rm): void {
    this.encode(bytes === 8 ? 8 : 0, [0x0f, 0x40 | condition], to, from, false);
  }

  // Control

  /* JMP rel8: EB cb; JMP rel32: E9 cd */
  jump(target: Label): void {
    this.branch(undefined, target);
  }
  /* JMP rel32: E9 cd, however near the target is */
  longJump(target: Label): void {
    this.last.branch = { condition: undefined, target, long: true };
    this.fragments.push({ bytes: [], branch: undefined });
  }
  /* Jcc rel8: 70+cc cb; Jcc rel32: 0F 80+cc cd */
  jumpIf(condition: Cc, target: Label): void {
    this.branch(condition, target);
  }
  /* JMP rel32: E9 cd */
  jumpSymbol(symbol: string): void {
    this.raw(0xe9);
    this.reference('relative', symbol, 0);
  }
  /* JMP r/m: FF /4 */
  jumpTo(target: Rm): void {
    this.encode(0, [0xff], 4, target, false);
  }
  /* MOVSXD R11, [table + index * 4]: REX.W 63 /r; JMP R11. The table: the low halves of addresses */
  jumpThroughTable(index: Gpr, table: Label): void {
    this.rex(8, R11, index, 0);
    this.raw(0x63, ((R11 & 7) << 3) | 4, (2 << 6) | ((index & 7) << 3) | RBP);
    this.addressOfLabel(table);
    this.jumpTo(R11);
  }
  /* CALL rel32: E8 cd */
  call(symbol: string): void {
    this.raw(0xe8);
    this.reference('relative', symbol, 0);
  }
  /* CALL r/m: FF /2 */
  callTo(target: Rm): void {
    this.encode(0, [0xff], 2, target, false);
  }
  /* RET: C3 */
  ret(): void {
    this.raw(0xc3);
  }
  /* An instruction with `extension` in the reg field of ModR/M: opcode /n */
  extended(opcode: readonly number[], extension: number, operand: Rm, wide = false): void {
    this.encode(wide ? 8 : 0, opcode, extension, operand, false);
  }
  /* Multi-byte NOPs: 90, 66 90, 0F 1F /0 (SDM volume 2B, NOP) */
  nops(bytes: number): void {
    for (let left = bytes; left > 0; ) {
      const nop = NOPS[Math.min(left, NOPS.length) - 1]!;
      this.raw(...nop);
      left -= nop.length;
    }
  }
  /* UD2: 0F 0B */
  undefined(): void {
    this.raw(0x0f, 0x0b);
  }

  /** The low half of a label's native address, as data. */
  addressOfLabel(label: Label): void {
    this.references.push({ ...this.here(), kind: 'absolute', symbol: '', addend: 0, label });
    this.immediate(0, 4);
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
      addend: label === undefined ? addend : starts[placed(label)]!,
    }));
    const marks = this.noted.map(({ fragment, at, what }) => ({ offset: starts[fragment]! + at, what }));
    return { bytes: Uint8Array.from(bytes), relocations, marks };
  }

  // How an instruction is put together: [66] [REX] opcode ModR/M [SIB] [displacement] [immediate]

  private get last(): Fragment {
    return this.fragments[this.fragments.length - 1]!;
  }

  private branch(condition: Cc | undefined, target: Label): void {
    this.last.branch = { condition, target };
    this.fragments.push({ bytes: [], branch: undefined });
  }

  /** An opcode whose bit 0 is clear for bytes, with 66 for words and REX.W for quadwords. */
  private sized(bytes: number, opcode: number, reg: Gpr, rm: Rm): void {
    if (bytes === 2) this.raw(OPERAND_SIZE);
    const narrow = bytes === 1;
    const byteRegister = narrow && (isByteHigh(rm) || (hasRegisterOperand(opcode) && isByteHigh(reg)));
    this.encode(bytes === 8 ? 8 : 0, [narrow ? opcode & ~1 : opcode], reg, rm, byteRegister);
  }

  private encode(w: 0 | 8, opcode: readonly number[], reg: Gpr, rm: Rm, forceRex: boolean): void {
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
  private rex(w: 0 | 8, reg: Gpr, index: Gpr, base: Gpr, force = 0): void {
    const bits = w | ((reg >> 3) << 2) | ((index >> 3) << 1) | (base >> 3);
    if ((bits | force) === 0) return;
    if (this.mode === 32) throw new TranslationError('expected no REX prefix in 32-bit mode');
    this.raw(0x40 | bits);
  }

  private immediate(value: number, bytes: number): void {
    for (let i = 0; i < bytes; i++) this.raw((value >> (8 * i)) & 0xff);
  }

  private reference(kind: Relocation['kind'], symbol: string, addend: number): void {
    this.references.push({ ...this.here(), kind, symbol, addend });
    this.immediate(0, 4);
  }
}

/** Whether a 64-bit number is its own low half, sign-extended. */
export function fits32(value: bigint): boolean {
  return BigInt.asIntN(32, value) === BigInt.asIntN(64, value);
}

/** SPL, BPL, SIL and DIL need a REX prefix; without one their numbers mean AH, CH, DH and BH. */
function isByteHigh(rm: Rm): boolean {
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
