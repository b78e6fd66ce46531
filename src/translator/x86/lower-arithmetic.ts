/** Arithmetic of the intermediate form in x86 instructions. RAX and the scratch register are free throughout. */
import type { BinaryOperator, Instruction, Operand, Register, UnaryOperator } from '../ir/instruction.ts';
import { Alu, type Assembler, Group3, Shift } from './assembler.ts';
import type { CodeMark } from './marks.ts';
import { type Operands, sizeOf } from './operands.ts';
import { isDivision, isShift } from './register-file.ts';
import { Cc, type Gpr, RAX, RCX, RDX } from './registers.ts';
import { SCRATCH } from './target.ts';

type Binary = Instruction & { op: 'binary' };

const ALU: Partial<Record<BinaryOperator, Alu>> = {
  add: Alu.add,
  sub: Alu.sub,
  and: Alu.and,
  or: Alu.or,
  xor: Alu.xor,
};

const SHIFTS: Partial<Record<BinaryOperator, Shift>> = {
  shl: Shift.shl,
  shr_s: Shift.sar,
  shr_u: Shift.shr,
  rotl: Shift.rol,
  rotr: Shift.ror,
};

const LOW_HALF = 0xffffffffn;

export class ArithmeticLowering {
  private readonly a: Assembler<CodeMark>;
  private readonly operands: Operands;

  constructor(a: Assembler<CodeMark>, operands: Operands) {
    this.a = a;
    this.operands = operands;
  }

  binary(instruction: Binary): void {
    const { operator } = instruction;
    if (isDivision(operator)) {
      this.divide(instruction);
      return;
    }
    if (isShift(operator)) {
      this.shift(instruction);
      return;
    }
    const ordered = commuted(instruction);
    if (operator === 'mul') {
      this.multiply(ordered);
      return;
    }
    if (this.byAddress(ordered) || this.byHalf(ordered)) return;
    const { to, left, right } = ordered;
    const size = sizeOf(to.type);
    this.twoOperands(to, left, right, (register) => {
      const immediate = this.operands.immediate(right);
      if (immediate !== undefined) this.a.aluImmediate(ALU[operator]!, size, register, immediate);
      else this.a.alu(ALU[operator]!, size, register, this.operands.inPlace(right, SCRATCH));
    });
  }

  /** An instruction that changes its first operand: `left` goes to where the result will be, unless `right` is there. */
  private twoOperands(to: Register, left: Operand, right: Operand, change: (register: Gpr) => void): void {
    const { operands } = this;
    const own = operands.registerOf(to);
    const register = own === undefined || own === operands.registerOf(right) ? RAX : own;
    operands.bring(register, left);
    change(register);
    operands.keep(to, register);
  }

  /** An addition to a register other than those added: LEA. */
  private byAddress({ operator, to, left, right }: Binary): boolean {
    const { a, operands } = this;
    if (operator !== 'add' && operator !== 'sub') return false;
    const own = operands.registerOf(to);
    const base = operands.registerOf(left);
    if (own === undefined || base === undefined || own === base) return false;
    const size = sizeOf(to.type);
    const immediate = operands.immediate(right);
    const displacement = immediate === undefined ? undefined : operator === 'add' ? immediate : -immediate;
    if (displacement !== undefined && displacement <= 0x7fffffff) {
      a.lea(size, own, { base, displacement });
      return true;
    }
    const index = operator === 'add' ? operands.registerOf(right) : undefined;
    if (index === undefined || own === index) return false;
    a.lea(size, own, { base, index, displacement: 0 });
    return true;
  }

  /** The low half of an i64: a 32-bit move clears the upper one. */
  private byHalf({ operator, to, left, right }: Binary): boolean {
    if (operator !== 'and' || to.type !== 'i64' || right.kind !== 'constant') return false;
    if (BigInt.asUintN(64, right.value) !== LOW_HALF) return false;
    const { a, operands } = this;
    operands.result(to, RAX, (register) => a.load(4, register, operands.inPlace(left, RAX)));
    return true;
  }

  private multiply({ to, left, right }: Binary): void {
    const { a, operands } = this;
    const size = sizeOf(to.type);
    const immediate = operands.immediate(right);
    if (immediate !== undefined) {
      operands.result(to, RAX, (register) =>
        a.multiplyImmediate(size, register, operands.inPlace(left, RAX), immediate),
      );
    } else {
      this.twoOperands(to, left, right, (register) =>
        a.multiply(size, register, operands.inPlace(right, SCRATCH)),
      );
    }
  }

  /** The count is an immediate or in CL; like WebAssembly, the processor takes it modulo the size. */
  private shift({ operator, to, left, right }: Binary): void {
    const { a, operands } = this;
    const size = sizeOf(to.type);
    const kind = SHIFTS[operator]!;
    if (right.kind === 'constant') {
      const count = Number(right.value & BigInt(8 * size - 1));
      this.twoOperands(to, left, right, (register) => a.shiftImmediate(kind, size, register, count));
      return;
    }
    const own = operands.registerOf(to);
    const register = own === undefined || own === RCX || own === operands.registerOf(right) ? RAX : own;
    operands.bring(register, left);
    operands.bring(RCX, right);
    a.shift(kind, size, register);
    operands.keep(to, register);
  }

  /** RDX:RAX by a register or memory. The quotient comes in RAX, the remainder in RDX. */
  private divide({ operator, to, left, right }: Binary): void {
    const { a, operands } = this;
    const size = sizeOf(to.type);
    const remainder = operator.startsWith('rem');
    let divisor = operands.inPlace(right, SCRATCH);
    if (divisor === RDX) {
      a.load(size, SCRATCH, RDX);
      divisor = SCRATCH;
    }
    operands.bring(RAX, left);
    if (operator.endsWith('_u')) {
      a.alu(Alu.xor, 4, RDX, RDX);
      a.group3(Group3.div, size, divisor);
    } else if (operator === 'rem_s' && !(right.kind === 'constant' && right.value !== -1n)) {
      // The processor refuses the least number by -1, whose remainder is 0 like that of any other by -1.
      const divide = a.label();
      const done = a.label();
      a.aluImmediate(Alu.cmp, size, divisor, -1);
      a.jumpIf(Cc.notEqual, divide);
      a.alu(Alu.xor, 4, RDX, RDX);
      a.jump(done);
      a.place(divide);
      a.signIntoDx(size);
      a.group3(Group3.idiv, size, divisor);
      a.place(done);
    } else {
      a.signIntoDx(size);
      a.group3(Group3.idiv, size, divisor);
    }
    operands.keep(to, remainder ? RDX : RAX);
  }

  unary({ operator, to, from }: Instruction & { op: 'unary' }): void {
    const { a, operands } = this;
    const size = sizeOf(to.type);
    if (operator === 'clz' || operator === 'ctz') {
      this.countZeros(operator, to, from);
      return;
    }
    operands.result(to, RAX, (register) => {
      const source = operands.inPlace(from, RAX);
      switch (operator) {
        case 'extend8_s':
          return a.loadSignExtended(1, size, register, source);
        case 'extend16_s':
          return a.loadSignExtended(2, size, register, source);
        case 'extend32_s':
        case 'extend_s':
          return a.loadSignExtended(4, 8, register, source);
        case 'extend_u':
          // An i32 in a register has its upper half zero already.
          if (source !== register) a.load(4, register, source);
          return;
        case 'wrap':
          return a.load(4, register, source);
      }
    });
  }

  /** BSF and BSR leave their target undefined for 0 and set ZF, for which another value is at hand. */
  private countZeros(operator: UnaryOperator & ('clz' | 'ctz'), to: Register, from: Operand): void {
    const { a, operands } = this;
    const size = sizeOf(to.type);
    const bits = 8 * size;
    const source = operands.inPlace(from, RAX);
    // clz is the index of the highest bit subtracted from bits - 1, which is the same as exclusive or.
    a.loadImmediate(SCRATCH, BigInt(operator === 'clz' ? 2 * bits - 1 : bits));
    if (operator === 'clz') a.bitScanReverse(size, RAX, source);
    else a.bitScanForward(size, RAX, source);
    a.moveIf(Cc.equal, size, RAX, SCRATCH);
    if (operator === 'clz') a.aluImmediate(Alu.xor, size, RAX, bits - 1);
    operands.keep(to, RAX);
  }
}

/** The same with a constant, or the value that is where the result will be, in the better place. */
function commuted(instruction: Binary): Binary {
  const { operator, left, right } = instruction;
  if (operator === 'sub' || left.kind !== 'constant') return instruction;
  return { ...instruction, left: right, right: left };
}
