/**
 * What an instruction's meaning is written against.
 *
 * A *semantics* is one function `(c: Emitter) => void`. It says what the instruction does in terms of operands, memory,
 * flags and control flow; the emitter that it is handed decides where those live:
 *
 * - `InterpreterEmitter`: operands are read from a decoded record at run time; yields the interpreter's handler.
 * - `CompilerEmitter`: operands are constants, registers and flags are locals; yields straight-line code.
 *
 * Three binding times. *Fixed at emission*: operand size, memory or register, address size, mode, repeat prefix: plain
 * properties here, and semantics may branch on them in TypeScript. *Record or constant*: register numbers, immediates,
 * displacements: expressions. *Run time*: values: expressions, branched on with `f.if`.
 *
 * Order matters and is always: translate → load → compute → store → commit registers and flags. Nothing may be
 * committed before the last possible fault.
 */

import {
  add,
  and,
  constant,
  type Expression,
  eq,
  eqz,
  extend8S,
  extend16S,
  extendS,
  extendU,
  geS,
  I32,
  I64,
  i32,
  i64,
  load8U,
  load16U,
  load32,
  load64,
  load128,
  ltS,
  ltU,
  ne,
  or,
  popcnt,
  shl,
  shrU,
  sub,
  type ValueType,
  wrap,
  xor,
} from '../../wasm/expression.ts';
import type { FunctionBuilder, FunctionReference, Local } from '../../wasm/function.ts';
import { REG_PAGE, SCRATCH_LIMIT, TLB_ADDEND, TLB_READ, TLB_WRITE } from '../layout.ts';
import { META_INVERT_PARITY, META_INVERT_SIGN } from './flags.ts';
import { tlbEntry } from './tlb-entry.ts';

/** What is fixed when a handler is emitted. */
export interface Shape {
  /** Operand size in bytes: 1, 2, 4 or 8; SSE and x87 operands have sizes of their own. */
  readonly size: number;
  /** ModRM.rm is a memory operand. */
  readonly memory: boolean;
  /** The memory operand is base + displacement with no segment base and 64-bit addresses. */
  readonly plain: boolean;
  /** Address size in bytes (string instructions, LOOP, JRCXZ): 2, 4 or 8. */
  readonly addressSize: number;
  /** 64-bit mode, rather than compatibility mode. */
  readonly long: boolean;
  /** 0, or 0xF2 / 0xF3 for the string instructions. */
  readonly repeat: number;
}

export type Semantics = (c: Emitter) => void;

/** A linear address, i64. In checked code it remembers what it was formed from. */
export interface Address extends Expression {
  readonly within?: SegmentOffset;
}
/** A segment's slot, as a byte offset in CPU_SEG_SLOTS (i32), and an offset in the segment (i64). Both can be used again. */
export interface SegmentOffset {
  readonly slot: Expression;
  readonly offset: Expression;
}

/** Support functions that handlers may call; see `assembly/`. Every one is imported by each generated module. */
export type SupportFunctions = Readonly<Record<string, FunctionReference>>;

/** Condition codes (Intel SDM 2, appendix B.1.4.7): the low four bits of Jcc, SETcc and CMOVcc. */
export const CONDITION_NAMES = [
  'O',
  'NO',
  'B',
  'NB',
  'Z',
  'NZ',
  'BE',
  'NBE',
  'S',
  'NS',
  'P',
  'NP',
  'L',
  'NL',
  'LE',
  'NLE',
];

export abstract class Emitter {
  readonly f: FunctionBuilder;
  readonly support: SupportFunctions;
  /** What is fixed of the instruction that is being emitted. */
  shape: Shape;

  constructor(f: FunctionBuilder, shape: Shape, support: SupportFunctions) {
    this.f = f;
    this.shape = shape;
    this.support = support;
  }

  get size(): number {
    return this.shape.size;
  }
  /** i64 for 8-byte operands, i32 for smaller ones (zero-extended). */
  get type(): ValueType {
    return this.shape.size === 8 ? I64 : I32;
  }

  // -------------------------------------------------------------- what the two tiers do differently

  /** The general register that ModRM.reg names, zero-extended, as wide as `size` wants (i64 for 8). */
  abstract reg(size?: number): Expression;
  abstract setReg(value: Expression, size?: number): void;
  /** The general register that ModRM.rm names (register forms). */
  abstract rm(size?: number): Expression;
  abstract setRm(value: Expression, size?: number): void;
  /** A general register by number. Byte size means the low byte. */
  abstract gpr(n: number, size?: number): Expression;
  abstract setGpr(n: number, value: Expression, size?: number): void;
  /** The immediate, as wide as `size`. */
  abstract immediate(size?: number): Expression;
  /** ModRM.reg, or a second immediate, as an i32. */
  abstract extra(): Expression;
  /** Address (i32, in linear memory) of the XMM register that ModRM.reg or ModRM.rm names. */
  abstract xmmReg(): Expression;
  abstract xmmRm(): Expression;
  /** The same for MMX registers: the significand of physical x87 register n, its exponent 8 bytes on. */
  abstract mmxReg(): Expression;
  abstract mmxRm(): Expression;
  /** Linear address of the memory operand, i64. */
  abstract effectiveAddress(): Address;
  /** Offset of the memory operand without its segment: LEA. */
  abstract effectiveOffset(): Expression;
  /** Segment-relative linear address for string instructions: the source's segment may be overridden. */
  abstract segmented(segment: 'source' | 'es' | 'stack', offset: Expression): Address;
  /** Address of this instruction, i64. */
  abstract rip(): Expression;
  /** Address of the instruction after this one, i64. */
  abstract nextRip(): Expression;
  /** Where a near branch leads that is relative to RIP, i64; not cut to any size. */
  branchTarget(): Expression {
    return add(this.state64(REG_PAGE), this.immediate(8));
  }

  /** Leaves at this instruction because a support function has noted an exception: RIP stays, nothing is retired. */
  abstract fault(): void;
  /** Goes to the near branch's target. Ends the instruction. */
  abstract jumpToTarget(): void;
  /** Goes to an address (i64, already masked to the operand size). Ends the instruction. */
  abstract jumpTo(address: Expression): void;
  /** Goes where a return leads. */
  returnTo(address: Expression): void {
    this.jumpTo(address);
  }
  /** The return address of a call has been pushed. */
  noteCall(): void {}
  /** Ends the run: the hypervisor decides. The instruction counts as retired, RIP is that of the next one. */
  abstract exit(kind: number, vector?: Expression): void;
  /** Leaves like `exit`, but RIP stays at the instruction, which does not count. */
  abstract exitAt(kind: number, vector?: Expression): void;
  /** `count` (i32) iterations of a `rep` beyond the first are retired; more remain if `again`: RIP then stays. */
  abstract repeated(count: Expression, again: Expression): void;
  /** Instructions that may still be retired before this run must end, i32, at least 1. */
  abstract budgetLeft(): Expression;
  /** The three lazy words; see flags.ts. */
  abstract setFlagWords(result: Expression, carry: Expression, meta: Expression): void;
  abstract flagResult(): Expression;
  abstract flagCarry(): Expression;
  abstract flagMeta(): Expression;
  /** RFLAGS without the arithmetic bits, i32. */
  abstract otherFlags(): Expression;
  abstract setOtherFlags(value: Expression): void;
  /** An i32 or i64 word of the vCPU's state, by its offset in layout.ts. */
  abstract state32(offset: number): Expression;
  abstract setState32(offset: number, value: Expression): void;
  abstract state64(offset: number): Expression;
  abstract setState64(offset: number, value: Expression): void;
  /** Address in linear memory of a piece of the vCPU's state. */
  abstract stateAddress(offset: number): Expression;
  /** Address of the active TLB bank. */
  protected abstract tlbBank(): Expression;

  // -------------------------------------------------------------- what only checked code does

  /** True in checked code: each access is looked at by itself. */
  get checked(): boolean {
    return false;
  }
  /** Faults unless the segment, and alignment if asked for, let `size` bytes at an address be accessed. */
  checkAccess(_address: Address, _size: number, _write: boolean, _alignment = _size): void {}
  /** Faults unless an instruction pointer lies within the code segment. Before anything is committed. */
  checkTarget(_target: () => Expression): void {}

  // -------------------------------------------------------------- memory

  /** Binds an address to a local, so that it can be used again. */
  bind(address: Address): Address {
    return this.f.let(address);
  }
  /** An address `bytes` (i64) further on in its segment. */
  displaced(address: Address, bytes: Expression): Address {
    const sum = add(address, bytes);
    return this.shape.long ? sum : and(sum, i64(0xffffffff));
  }

  /**
   * Translates `size` bytes at a linear address. The result is a host address whose `size` bytes may be read (and
   * written, with `write`); a store must be followed by `stored`. Faults leave the instruction. `alignment`, where it is
   * not the size, is what the address must be a multiple of while alignment is checked.
   */
  translate(address: Address, size: number, write: boolean, _alignment = size): Local {
    const { f } = this;
    const va = f.let(address);
    const host = f.local(I32);
    const entry = f.let(tlbEntry(va, this.tlbBank()));
    f.set(host, add(load32(entry, TLB_ADDEND), wrap(va)));
    const last = size > 1 ? add(va, i64(size - 1)) : va;
    f.ifUnlikely(ne(load64(entry, write ? TLB_WRITE : TLB_READ), and(last, i64(-4096))), () =>
      this.translateSlowly(host, va, size, write),
    );
    return host;
  }

  /** The TLB did not know: sets `host` by a probe, or leaves the instruction. */
  protected translateSlowly(host: Local, address: Expression, size: number, write: boolean): void {
    const { f } = this;
    f.set(host, callSupport(this.support, write ? 'probeWrite' : 'probeRead', address, i32(size)));
    f.if(eqz(host), () => this.fault());
  }

  /** Must follow a store to a translated address: finishes one that went to the bounce buffer. */
  stored(host: Expression): void {
    const { f } = this;
    f.if(ltU(host, i32(SCRATCH_LIMIT)), () => f.run(callSupport(this.support, 'commitStore'), 0));
  }

  /** Loads from a linear address, bound to a local: i32 for sizes 1, 2 and 4, i64 for 8, v128 for 16. */
  loadLinear(address: Address, size: number): Local {
    return this.f.let(loadHost(this.translate(address, size, false), size));
  }

  storeLinear(address: Address, value: Expression, size: number): void {
    const bound = this.f.let(value);
    const host = this.translate(address, size, true);
    this.storeHost(host, bound, size);
    this.stored(host);
  }

  /** Stores to a translated address, without `stored`. */
  storeHost(host: Expression, value: Expression, size: number): void {
    const { f } = this;
    if (size === 1) f.store8(host, value);
    else if (size === 2) f.store16(host, value);
    else if (size === 4) f.store32(host, value);
    else if (size === 8) f.store64(host, value);
    else f.store128(host, value);
  }

  // -------------------------------------------------------------- the operand E: ModRM.rm, register or memory

  /** Reads the E operand once. */
  load(size = this.size): Local {
    return this.shape.memory ? this.loadLinear(this.effectiveAddress(), size) : this.f.let(this.rm(size));
  }

  /** Writes the E operand without reading it. */
  store(value: Expression, size = this.size): void {
    if (this.shape.memory) this.storeLinear(this.effectiveAddress(), value, size);
    else this.setRm(value, size);
  }

  /**
   * Reads, computes and writes the E operand: translated once, for write, as the processor does. `compute` returns the
   * new value; registers and flags are committed by `after`, which runs when nothing can fault any more.
   */
  update(compute: (old: Local) => Expression, after?: () => void, size = this.size): void {
    const { f } = this;
    if (!this.shape.memory) {
      const old = f.let(this.rm(size));
      const value = compute(old);
      this.setRm(value, size);
      after?.();
      return;
    }
    const host = this.translate(this.effectiveAddress(), size, true);
    const old = f.let(loadHost(host, size));
    const value = compute(old);
    this.storeHost(host, value, size);
    this.stored(host);
    after?.();
  }

  // -------------------------------------------------------------- the stack

  /** The stack pointer as an i64, zero-extended outside 64-bit mode. */
  stackPointer(): Expression {
    return this.stackOffset(4);
  }

  /** A general register that holds an offset on the stack (rSP, rBP), as wide as the stack, i64. */
  stackOffset(n: number): Expression {
    return this.shape.long ? this.gpr(n, 8) : this.wrapStack(extendU(this.gpr(n, 4)));
  }

  /** An offset on the stack, i64, cut to the stack's width. */
  wrapStack(offset: Expression): Expression {
    return this.shape.long ? offset : and(offset, i64(0xffffffff));
  }

  setStackPointer(value: Expression): void {
    if (this.shape.long) this.setGpr(4, value, 8);
    else this.setGpr(4, wrap(value), 4);
  }

  /** All of rSP with its bits that are the stack pointer replaced, i64. */
  withStackPointer(value: Expression): Expression {
    return value;
  }

  /** Adds to the stack pointer, wrapping to its width; does not write it back. */
  movedStackPointer(delta: Expression): Expression {
    return this.wrapStack(add(this.stackPointer(), delta));
  }

  push(value: Expression, size = this.size): void {
    const { f } = this;
    const bound = f.let(value);
    const top = f.let(this.movedStackPointer(i64(-size)));
    this.storeLinear(this.segmented('stack', top), bound, size);
    this.setStackPointer(top);
  }

  /** Reads the top of the stack; the caller moves the pointer when nothing can fault any more. */
  peek(size = this.size, depth = 0): Local {
    const at = depth === 0 ? this.stackPointer() : this.movedStackPointer(i64(depth));
    return this.loadLinear(this.segmented('stack', at), size);
  }

  drop(bytes: number): void {
    this.setStackPointer(this.movedStackPointer(i64(bytes)));
  }

  // -------------------------------------------------------------- flags

  /** Sign-extends a value of `size` bytes to i64. */
  signExtended(value: Expression, size = this.size): Expression {
    if (size === 8) return value;
    if (size === 4) return extendS(value);
    return extendS(size === 1 ? extend8S(value) : extend16S(value));
  }

  /** Zero-extends an i32 or i64 value to i64. */
  widened(value: Expression): Expression {
    return value.type === I64 ? value : extendU(value);
  }

  /** Truncates to `size` bytes, zero-extended, keeping the type. */
  truncated(value: Expression, size = this.size): Expression {
    if (size >= 4) return value;
    return and(value, i32(size === 1 ? 0xff : 0xffff));
  }

  /** Number of the operand's top bit. */
  top(size = this.size): number {
    return size * 8 - 1;
  }

  /** Flags of a result whose carries are known; the three words of flags.ts. */
  setFlags(result: Expression, carry: Expression, size = this.size): void {
    this.setFlagWords(this.signExtended(result, size), this.widened(carry), i32(this.top(size)));
  }

  /** Flags of AND, OR, XOR, TEST: CF = OF = AF = 0. */
  setLogicFlags(result: Expression, size = this.size): void {
    this.setFlagWords(this.signExtended(result, size), i64(0), i32(this.top(size)));
  }

  /** Flags of a + b = r, a carry in not counted: the operands say the carries. */
  setAdditionFlags(a: Expression, b: Expression, result: Expression): void {
    this.setFlags(result, addCarries(a, b, result));
  }

  /** Flags of a − b = r, without a borrow in. */
  setSubtractionFlags(a: Expression, b: Expression, result: Expression): void {
    this.setFlags(result, subBorrows(a, b, result));
  }

  /** Flags of a ± 1 = r where CF stays as it was, `carry` (i32). */
  setStepFlags(a: Expression, result: Expression, carry: Expression, subtracts: boolean): void {
    const { f } = this;
    const one = constant(this.type, 1);
    const top = this.top();
    const wide = f.let(this.widened(subtracts ? subBorrows(a, one, result) : addCarries(a, one, result)));
    // The old carry stays, and OF is kept relative to it.
    const overflow = wrap(and(xor(shrU(wide, i64(top)), shrU(wide, i64(top - 1))), i64(1)));
    const vector = or(
      and(wide, i64(8)),
      or(shl(extendU(carry), i64(top)), shl(extendU(xor(carry, overflow)), i64(top - 1))),
    );
    this.setFlagWords(this.signExtended(result), vector, i32(top));
  }

  /** CF as an i32, 0 or 1. */
  carryFlag(): Expression {
    return wrap(and(shrU(this.flagCarry(), this.metaShift()), i64(1)));
  }
  private metaShift(): Expression {
    // The hardware-like masking of wasm shifts by 63 strips the inversion bits of meta.
    return extendU(this.flagMeta());
  }
  zeroFlag(): Expression {
    return eqz(this.flagResult());
  }
  signFlag(): Expression {
    return xor(
      wrap(shrU(this.flagResult(), i64(63))),
      and(shrU(this.flagMeta(), i32(8)), i32(META_INVERT_SIGN >> 8)),
    );
  }
  overflowFlag(): Expression {
    const { f } = this;
    const shifted = f.let(shrU(this.flagCarry(), extendU(sub(this.flagMeta(), i32(1)))));
    return and(xor(wrap(shifted), wrap(shrU(shifted, i64(1)))), i32(1));
  }
  parityFlag(): Expression {
    return xor(
      and(add(popcnt(and(wrap(this.flagResult()), i32(0xff))), i32(1)), i32(1)),
      and(shrU(this.flagMeta(), i32(9)), i32(META_INVERT_PARITY >> 9)),
    );
  }
  adjustFlag(): Expression {
    return and(shrU(wrap(this.flagCarry()), i32(3)), i32(1));
  }

  /** Condition code `n` (see CONDITION_NAMES) as an i32 that is zero or not. */
  condition(n: number): Expression {
    let value: Expression;
    switch (n >> 1) {
      case 0:
        value = this.overflowFlag();
        break;
      case 1:
        value = this.carryFlag();
        break;
      case 2:
        value = this.zeroFlag();
        break;
      case 3:
        value = or(this.carryFlag(), this.zeroFlag());
        break;
      case 4:
        value = this.signFlag();
        break;
      case 5:
        value = this.parityFlag();
        break;
      case 6:
        value = xor(this.signFlag(), this.overflowFlag());
        break;
      default:
        value = or(this.zeroFlag(), xor(this.signFlag(), this.overflowFlag()));
    }
    return (n & 1) === 0 ? value : eqz(value);
  }

  /** The arithmetic bits of RFLAGS, i32. */
  arithmeticFlags(): Expression {
    const { f } = this;
    const flags = f.variable(this.carryFlag());
    const put = (value: Expression, position: number): void =>
      f.set(flags, or(flags, shl(value, i32(position))));
    put(this.parityFlag(), 2);
    put(this.adjustFlag(), 4);
    put(this.zeroFlag(), 6);
    put(this.signFlag(), 7);
    put(this.overflowFlag(), 11);
    return flags;
  }

  /** Sets the arithmetic flags from RFLAGS bits at run time; the encoding of flags.ts. */
  setArithmeticFlags(flags: Expression): void {
    const { f } = this;
    const value = f.let(flags);
    const bit = (n: number): Expression => and(shrU(value, i32(n)), i32(1));
    const zero = f.let(bit(6));
    const carry = f.let(bit(0));
    const meta = or(i32(7), or(shl(bit(7), i32(8)), shl(xor(bit(2), zero), i32(9))));
    const carries = or(shl(carry, i32(7)), or(shl(xor(carry, bit(11)), i32(6)), shl(bit(4), i32(3))));
    this.setFlagWords(extendU(xor(zero, i32(1))), extendU(carries), meta);
  }

  // -------------------------------------------------------------- exceptions

  /** Raises an exception if the condition holds. */
  raiseIf(condition: Expression, vector: number, error = 0): void {
    this.f.ifUnlikely(condition, () => this.raise(vector, error));
  }

  /** Raises an exception at this instruction. */
  abstract raise(vector: number, error?: number): void;
}

/** Carries out of each bit of a + b = r. */
export function addCarries(a: Expression, b: Expression, r: Expression): Expression {
  return or(and(a, b), and(or(a, b), xor(r, constant(r.type, -1))));
}
/** Borrows out of each bit of a − b = r. */
export function subBorrows(a: Expression, b: Expression, r: Expression): Expression {
  const notA = xor(a, constant(a.type, -1));
  return or(and(notA, b), and(or(notA, b), r));
}

/** A value loaded from a host address: zero-extended i32 up to 4 bytes, i64 for 8, v128 for 16. */
export function loadHost(host: Expression, size: number): Expression {
  if (size === 1) return load8U(host);
  if (size === 2) return load16U(host);
  if (size === 4) return load32(host);
  if (size === 8) return load64(host);
  return load128(host);
}

/** A call of a support function. */
export function callSupport(support: SupportFunctions, name: string, ...operands: Expression[]): Expression {
  const target = support[name];
  if (target === undefined) throw new Error(`no support function ${name}`);
  return { kind: 4, type: target.results[0] ?? I32, code: target.index, low: 0, high: 0, operands };
}

export { constant, eq, geS, ltS };
