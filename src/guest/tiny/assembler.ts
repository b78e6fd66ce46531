/**
 * A very small x86-64 assembler: the few instructions that the tiny guest next door is made of, and labels.
 *
 * Each method emits one instruction; its encoding stands in the comment above it, in the notation of the Intel manual
 * (Software Developer's Manual, volume 2), so the two can be read side by side. Operands are 64 bits wide unless the
 * name says otherwise. Displacements always take four bytes and jumps are always near: nothing here tries to be short.
 */

/** A general register, by its number in an encoding. */
export type Register = number & { readonly register?: never };

export const RAX: Register = 0;
export const RCX: Register = 1;
export const RDX: Register = 2;
export const RBX: Register = 3;
export const RSP: Register = 4;
export const RBP: Register = 5;
export const RSI: Register = 6;
export const RDI: Register = 7;
export const R8: Register = 8;
export const R10: Register = 10;
export const R11: Register = 11;
export const R12: Register = 12;
export const R13: Register = 13;
export const R14: Register = 14;
export const R15: Register = 15;

/** A memory operand: [base + index + displacement], or, as a name, [rip + the distance to that label]. */
export type Memory = MemoryAt | string;

export interface MemoryAt {
  readonly base: Register;
  readonly index?: Register;
  readonly displacement: number;
}

/** The operand [base + displacement], or [base + index + displacement]. RSP cannot be an index. */
export function at(base: Register, displacement = 0, index?: Register): MemoryAt {
  return index === undefined ? { base, displacement } : { base, displacement, index };
}

/** Conditions, by the low four bits of a Jcc. */
export const Condition = { below: 2, equal: 4, notEqual: 5 } as const;
export type Condition = (typeof Condition)[keyof typeof Condition];

/** A program that cannot be assembled: a label that is missing or placed twice, an operand that does not fit. */
export class AssemblyError extends Error {
  override readonly name = 'AssemblyError';
}

/** The operations of opcodes 00..3F and 80..83, by their number there. */
const ADD = 0;
const OR = 1;
const AND = 4;
const SUB = 5;
const XOR = 6;
const CMP = 7;

export class Assembler {
  /** Where each label stands: bytes from the start of the program. */
  readonly labels = new Map<string, number>();
  private readonly code: number[] = [];
  private readonly references: { readonly at: number; readonly label: string }[] = [];

  /** Bytes emitted so far. */
  get size(): number {
    return this.code.length;
  }

  /** Names this place. */
  label(name: string): void {
    if (this.labels.has(name)) throw new AssemblyError(`expected one label ${name}, found two`);
    this.labels.set(name, this.size);
  }

  /** Fills with `fill` up to a multiple of `alignment`. */
  align(alignment: number, fill = 0): void {
    while (this.size % alignment !== 0) this.code.push(fill);
  }

  /** `count` zero bytes. */
  reserve(count: number): void {
    for (let i = 0; i < count; i++) this.code.push(0);
  }

  /** The text as bytes, without a terminator. */
  ascii(text: string): void {
    for (const character of text) this.code.push(character.charCodeAt(0));
  }

  /** The program, its references resolved. */
  assemble(): Uint8Array {
    const bytes = Uint8Array.from(this.code);
    const view = new DataView(bytes.buffer);
    for (const { at: place, label } of this.references) {
      const target = this.labels.get(label);
      if (target === undefined) throw new AssemblyError(`expected a label ${label}, found none`);
      view.setInt32(place, target - (place + 4), true);
    }
    return bytes;
  }

  // Moves

  /* MOV r/m64, r64: REX.W 89 /r */
  mov(to: Register, from: Register): void {
    this.registerForm(0x89, from, to);
  }
  /* MOV r/m64, imm32 (sign-extended): REX.W C7 /0 id */
  movImmediate(to: Register, value: number): void {
    this.registerForm(0xc7, 0, to);
    this.immediate32(value);
  }
  /* MOV r64, imm64: REX.W B8+rd io. The value is a signed number that a double holds exactly. */
  movImmediate64(to: Register, value: number): void {
    this.code.push(0x48 | (to >> 3), 0xb8 | (to & 7));
    this.halfword32(value | 0);
    this.halfword32(Math.floor(value / 4294967296) | 0);
  }
  /* MOV r64, r/m64: REX.W 8B /r */
  load(to: Register, from: Memory): void {
    this.memoryForm(0x48, [0x8b], to, from);
  }
  /* MOV r32, r/m32: 8B /r; clears the upper half */
  load32(to: Register, from: Memory): void {
    this.memoryForm(0, [0x8b], to, from);
  }
  /* MOVZX r32, r/m8: 0F B6 /r */
  load8(to: Register, from: Memory): void {
    this.memoryForm(0, [0x0f, 0xb6], to, from);
  }
  /* MOV r/m64, r64: REX.W 89 /r */
  store(to: Memory, from: Register): void {
    this.memoryForm(0x48, [0x89], from, to);
  }
  /* MOV r/m32, r32: 89 /r */
  store32(to: Memory, from: Register): void {
    this.memoryForm(0, [0x89], from, to);
  }
  /* MOV r/m8, r8: 88 /r; a REX prefix (here always) makes 4..7 SPL, BPL, SIL, DIL */
  store8(to: Memory, from: Register): void {
    this.memoryForm(0x40, [0x88], from, to);
  }
  /* MOV r/m8, imm8: C6 /0 ib */
  store8Immediate(to: MemoryAt, value: number): void {
    this.memoryForm(0, [0xc6], 0, to);
    this.code.push(value);
  }
  /* LEA r64, m: REX.W 8D /r */
  lea(to: Register, from: Memory): void {
    this.memoryForm(0x48, [0x8d], to, from);
  }
  /* XCHG r/m64, r64: REX.W 87 /r; locks by itself */
  exchange(memory: Memory, register: Register): void {
    this.memoryForm(0x48, [0x87], register, memory);
  }
  /* XCHG r/m8, r8: 86 /r */
  exchange8(memory: Memory, register: Register): void {
    this.memoryForm(0x40, [0x86], register, memory);
  }
  /* PUSH r64: 50+rd */
  push(register: Register): void {
    if (register >= 8) this.code.push(0x41);
    this.code.push(0x50 | (register & 7));
  }
  /* PUSH imm8 (sign-extended): 6A ib */
  pushImmediate(value: number): void {
    this.code.push(0x6a, value & 0xff);
  }
  /* POP r64: 58+rd */
  pop(register: Register): void {
    if (register >= 8) this.code.push(0x41);
    this.code.push(0x58 | (register & 7));
  }

  // Arithmetic. Register forms: REX.W 01/21/29/31/39 /r; immediate forms: REX.W 81 /0 /4 /5 /6 /7 id (sign-extended)

  add(to: Register, from: Register): void {
    this.registerForm((ADD << 3) | 1, from, to);
  }
  addImmediate(to: Register, value: number): void {
    this.immediateForm(ADD, to, value);
  }
  andImmediate(to: Register, value: number): void {
    this.immediateForm(AND, to, value);
  }
  orImmediate(to: Register, value: number): void {
    this.immediateForm(OR, to, value);
  }
  subtract(to: Register, from: Register): void {
    this.registerForm((SUB << 3) | 1, from, to);
  }
  subtractImmediate(to: Register, value: number): void {
    this.immediateForm(SUB, to, value);
  }
  compare(left: Register, right: Register): void {
    this.registerForm((CMP << 3) | 1, right, left);
  }
  compareImmediate(left: Register, value: number): void {
    this.immediateForm(CMP, left, value);
  }
  /* CMP r32, r32: 39 /r */
  compare32(left: Register, right: Register): void {
    this.rex(0, right, 0, left);
    this.code.push((CMP << 3) | 1, modRegister(right, left));
  }
  /* XOR r, r: the way to zero */
  clear(register: Register): void {
    this.registerForm((XOR << 3) | 1, register, register);
  }
  /* SHL r/m64, imm8: REX.W C1 /4 ib */
  shiftLeft(register: Register, count: number): void {
    this.registerForm(0xc1, 4, register);
    this.code.push(count);
  }
  /* SHR r/m64, imm8: REX.W C1 /5 ib */
  shiftRight(register: Register, count: number): void {
    this.registerForm(0xc1, 5, register);
    this.code.push(count);
  }
  /* DIV r/m64: REX.W F7 /6; RDX:RAX by the register, quotient to RAX, remainder to RDX */
  divide(by: Register): void {
    this.registerForm(0xf7, 6, by);
  }
  /* LOCK BTR m64, r64: F0 REX.W 0F B3 /r; the bit number may reach far past the operand */
  lockedBitReset(memory: Memory, bit: Register): void {
    this.code.push(0xf0);
    this.memoryForm(0x48, [0x0f, 0xb3], bit, memory);
  }
  /* REPE CMPSB: F3 A6; compares RCX bytes at RSI and RDI */
  compareBytes(): void {
    this.code.push(0xf3, 0xa6);
  }

  // Control

  /* CALL rel32: E8 cd */
  call(label: string): void {
    this.code.push(0xe8);
    this.reference(label);
  }
  /* JMP rel32: E9 cd */
  jump(label: string): void {
    this.code.push(0xe9);
    this.reference(label);
  }
  /* Jcc rel32: 0F 80+cc cd */
  jumpIf(condition: Condition, label: string): void {
    this.code.push(0x0f, 0x80 | condition);
    this.reference(label);
  }
  /* RET: C3 */
  ret(): void {
    this.code.push(0xc3);
  }
  /* SYSCALL: 0F 05 */
  syscall(): void {
    this.code.push(0x0f, 0x05);
  }
  /* CPUID: 0F A2 */
  cpuid(): void {
    this.code.push(0x0f, 0xa2);
  }
  /* RDTSC: 0F 31; EDX:EAX */
  readTimestamp(): void {
    this.code.push(0x0f, 0x31);
  }
  /* UD2: 0F 0B */
  undefined(): void {
    this.code.push(0x0f, 0x0b);
  }

  // How an instruction is put together: [prefixes] [REX] opcode ModR/M [SIB] [displacement] [immediate]

  /** opcode with ModR/M 11 reg rm, 64 bits wide. `reg` is a register or an opcode extension (/0 to /7). */
  private registerForm(opcode: number, reg: Register, rm: Register): void {
    this.rex(0x48, reg, 0, rm);
    this.code.push(opcode, modRegister(reg, rm));
  }

  private immediateForm(operation: number, to: Register, value: number): void {
    this.registerForm(0x81, operation, to);
    this.immediate32(value);
  }

  /** opcode with ModR/M of a memory operand; `rex` is 0, 0x40 (present) or 0x48 (64 bits wide). */
  private memoryForm(rex: number, opcode: readonly number[], reg: Register, memory: Memory): void {
    if (typeof memory === 'string') {
      this.rex(rex, reg, 0, 0);
      this.code.push(...opcode, ((reg & 7) << 3) | 5); // mod 00, rm 101: RIP-relative
      this.reference(memory);
      return;
    }
    const { base, index, displacement } = memory;
    if (index === RSP) throw new AssemblyError('expected an index register, found RSP');
    this.rex(rex, reg, index ?? 0, base);
    if (index !== undefined || (base & 7) === RSP) {
      // mod 10, rm 100: a SIB byte follows; its index 100 means none
      const sib = ((index === undefined ? RSP : index & 7) << 3) | (base & 7);
      this.code.push(...opcode, 0x80 | ((reg & 7) << 3) | RSP, sib);
    } else {
      this.code.push(...opcode, 0x80 | ((reg & 7) << 3) | (base & 7));
    }
    this.immediate32(displacement);
  }

  /** 0100 WRXB, left out where it would say nothing. */
  private rex(rex: number, reg: Register, index: Register, base: Register): void {
    const bits = ((reg >> 3) << 2) | ((index >> 3) << 1) | (base >> 3);
    if ((rex | bits) !== 0) this.code.push(0x40 | rex | bits);
  }

  private immediate32(value: number): void {
    if (value !== (value | 0)) throw new AssemblyError(`expected a signed 32-bit immediate, found ${value}`);
    this.halfword32(value);
  }

  private halfword32(value: number): void {
    this.code.push(value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >> 24) & 0xff);
  }

  private reference(label: string): void {
    this.references.push({ at: this.size, label });
    this.reserve(4);
  }
}

function modRegister(reg: Register, rm: Register): number {
  return 0xc0 | ((reg & 7) << 3) | (rm & 7);
}
