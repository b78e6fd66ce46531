/**
 * An x86 assembler: each method emits one instruction, its encoding in the comment above it in the notation of the Intel
 * manual (Software Developer's Manual, volume 2). It serves 64-bit mode and, where REX is not needed, 32-bit mode.
 *
 * Operand sizes are given in bytes. Branches inside the piece of code go to labels and are short where the distance
 * allows; whatever lies outside is a symbol, left to the layout as a relocation.
 */
import { Encoder, isByteHigh, type Label, type Memory, type Rm } from './encoder.ts';
import { type Cc, type Gpr, R11, RBP } from './registers.ts';

/** The operations of opcodes 00..3F and 80..83, by their number there. */
export const Alu = { add: 0, or: 1, and: 4, sub: 5, xor: 6, cmp: 7 } as const;
export type Alu = (typeof Alu)[keyof typeof Alu];

/** The operations of opcodes C0, C1 and D3, by their number there. */
export const Shift = { rol: 0, ror: 1, shl: 4, shr: 5, sar: 7 } as const;
export type Shift = (typeof Shift)[keyof typeof Shift];

/** The operations of opcode F7, by their number there. */
export const Group3 = { not: 2, neg: 3, mul: 4, imul: 5, div: 6, idiv: 7 } as const;
export type Group3 = (typeof Group3)[keyof typeof Group3];

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

export class Assembler<T = never> extends Encoder<T> {
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
    this.branch(undefined, target, true);
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
}

/** Whether a 64-bit number is its own low half, sign-extended. */
export function fits32(value: bigint): boolean {
  return BigInt.asIntN(32, value) === BigInt.asIntN(64, value);
}
