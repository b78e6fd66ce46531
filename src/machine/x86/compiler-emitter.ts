/**
 * The emitter of compiled code: operands are constants, general registers and flags are locals.
 *
 * The semantics are the interpreter's own: nothing about an instruction is said here. `at` moves the emitter from one
 * instruction to the next; where control goes is asked of a `Transfers`, which knows the region (`region-emitter.ts`).
 *
 * Flags are kept as the operands that they follow from (META_KIND_* in `layout.ts`), so that nobody computes what nobody
 * reads. What kind they are of is often known while compiling: then a comparison and the branch behind it become one
 * WebAssembly comparison. Where it is not known, `canonicalFlags` is asked at run time.
 */
import {
  add,
  and,
  type Expression,
  eq,
  eqz,
  extend8S,
  extend16S,
  extendU,
  gtU,
  I32,
  I64,
  i32,
  i64,
  i64Halves,
  isValue,
  leS,
  leU,
  load32,
  load64,
  ltS,
  ltU,
  ne,
  or,
  select,
  shl,
  shrU,
  sub,
  wrap,
  xor,
} from '../../wasm/expression.ts';
import type { FunctionBuilder, Local } from '../../wasm/function.ts';
import {
  CPU,
  CPU_EXIT_ERROR,
  CPU_EXIT_KIND,
  CPU_EXIT_LENGTH,
  CPU_EXIT_VECTOR,
  CPU_FLAG_CARRY,
  CPU_FLAG_META,
  CPU_FLAG_RESULT,
  CPU_FLAGS_OTHER,
  CPU_REGS,
  CPU_SEG_SLOTS,
  CPU_X87,
  CPU_XMM,
  META_KIND_ADD,
  META_KIND_DECREMENT,
  META_KIND_INCREMENT,
  META_KIND_LOGIC,
  META_KIND_MASK,
  META_KIND_SUBTRACT,
  REG_PAGE,
  REG_ZERO,
  SCRATCH_LIMIT,
  SEG_SLOT_SIZE,
  TLB_ADDEND,
  TLB_READ,
  TLB_WRITE,
} from '../layout.ts';
import { FLAGS_BIT } from './effects.ts';
import { addCarries, callSupport, Emitter, type SupportFunctions, subBorrows } from './emitter.ts';
import { Exit } from './exits.ts';
import {
  REC_DISPLACEMENT,
  REC_EXTRA,
  REC_IMMEDIATE,
  REC_INDEX,
  REC_LENGTH,
  REC_MASK,
  REC_OFFSET,
  REC_REG,
  REC_RM,
  REC_SCALE,
  REC_SEGMENT,
} from './record.ts';
import type { Instruction } from './region.ts';
import { SS } from './registers.ts';
import { tlbEntry } from './tlb-entry.ts';

const BASE = i32(0);

/** Where control goes from an instruction; the region decides. Each ends the path it is called on. */
export interface Transfers {
  /** To the near branch's target. */
  toTarget(): void;
  /** To an address. */
  toAddress(address: Expression): void;
  /** Out of compiled code, with the instruction not retired: `why` is an Exit. */
  leaveAt(why: number): void;
  /** Out of compiled code after the instruction: `why` is an Exit. */
  leaveAfter(why: number): void;
}

/** What is known, while compiling, of the flags: a META_KIND with the operand size, or nothing. */
export interface KnownFlags {
  readonly kind: number;
  readonly size: number;
}

export class CompilerEmitter extends Emitter {
  /** Addresses of the page of code, of the TLB bank: locals. */
  private readonly page: Local;
  private readonly bank: Local;
  private readonly view: DataView;
  private readonly transfers: Transfers;
  private readonly long: boolean;
  private record = 0;
  private readonly registers: (Local | undefined)[] = new Array<Local | undefined>(16).fill(undefined);
  /** The two words that flags follow from, and what they are. */
  private readonly first: Local;
  private readonly second: Local;
  private readonly meta: Local;
  /** What is known of the flags at this point of the code. */
  known: KnownFlags | undefined;
  /** Nobody sees the flags that the instruction leaves: it need not set them, nor read those that it would only keep. */
  private flagsDead = false;
  private keepsFlags = false;
  /** Nesting of the code that runs whenever the instruction does. */
  private level = 0;

  /** `view` is over the memory that records lie in; for `long` see `translate`. */
  constructor(
    f: FunctionBuilder,
    support: SupportFunctions,
    view: DataView,
    page: Local,
    bank: Local,
    transfers: Transfers,
    long: boolean,
  ) {
    super(f, { size: 4, memory: false, plain: false, addressSize: 8, long: true, repeat: 0 }, support);
    this.view = view;
    this.page = page;
    this.bank = bank;
    this.transfers = transfers;
    this.long = long;
    this.first = f.local(I64);
    this.second = f.local(I64);
    this.meta = f.local(I32);
  }

  /** Emits an instruction. */
  instruction(instruction: Instruction): void {
    this.record = instruction.record;
    this.shape = instruction.variant.shape;
    this.level = this.f.nesting;
    this.flagsDead = instruction.flagsDead;
    this.keepsFlags = instruction.flagsDead && instruction.variant.definition.options.keepsFlags === true;
    this.f.scope(() => instruction.variant.definition.semantics(this));
  }

  private field8(offset: number): number {
    return this.view.getUint8(this.record + offset);
  }
  private field32(offset: number): number {
    return this.view.getInt32(this.record + offset, true);
  }

  // -------------------------------------------------------------- locals and memory

  private local(n: number): Local {
    let local = this.registers[n];
    if (local === undefined) {
      local = this.f.local(I64);
      this.registers[n] = local;
    }
    return local;
  }

  /** Gives every location of a set its local now, so that no scope takes it back. */
  reserve(locations: number): void {
    for (let n = 0; n < 16; n++) if ((locations & (1 << n)) !== 0) this.local(n);
  }

  /** Loads locations into their locals. */
  reload(locations: number): void {
    const { f } = this;
    for (let n = 0; n < 16; n++) {
      if ((locations & (1 << n)) !== 0) f.set(this.local(n), load64(BASE, CPU + CPU_REGS + n * 8));
    }
    if ((locations & FLAGS_BIT) !== 0) this.loadFlags();
  }
  private loadFlags(): void {
    const { f } = this;
    f.set(this.first, load64(BASE, CPU + CPU_FLAG_RESULT));
    f.set(this.second, load64(BASE, CPU + CPU_FLAG_CARRY));
    f.set(this.meta, load32(BASE, CPU + CPU_FLAG_META));
    this.known = undefined;
  }

  /** Writes locations back to memory. */
  spill(locations: number): void {
    const { f } = this;
    for (let n = 0; n < 16; n++) {
      if ((locations & (1 << n)) !== 0) f.store64(BASE, this.local(n), CPU + CPU_REGS + n * 8);
    }
    if ((locations & FLAGS_BIT) !== 0) this.spillFlags();
  }
  private spillFlags(): void {
    const { f } = this;
    f.store64(BASE, this.first, CPU + CPU_FLAG_RESULT);
    f.store64(BASE, this.second, CPU + CPU_FLAG_CARRY);
    f.store32(BASE, this.meta, CPU + CPU_FLAG_META);
  }

  // -------------------------------------------------------------- registers

  private read(offset: number, size: number): Expression {
    const local = this.local(offset >> 3);
    if (size === 8) return local;
    const low = wrap(local);
    if (size === 4) return low;
    if (size === 2) return and(low, i32(0xffff));
    return and((offset & 1) !== 0 ? shrU(low, i32(8)) : low, i32(0xff));
  }
  private write(offset: number, value: Expression, size: number): void {
    const { f } = this;
    const local = this.local(offset >> 3);
    if (size === 8) f.set(local, value);
    else if (size === 4) f.set(local, extendU(value));
    else {
      const shift = (offset & 1) * 8;
      const mask = size === 2 ? 0xffff : 0xff;
      const part = shl(extendU(and(value, i32(mask))), i64(shift));
      f.set(local, or(and(local, i64(~(mask * 2 ** shift))), part));
    }
  }
  reg(size = this.size): Expression {
    return this.read(this.field8(REC_REG), size);
  }
  setReg(value: Expression, size = this.size): void {
    this.write(this.field8(REC_REG), value, size);
  }
  rm(size = this.size): Expression {
    return this.read(this.field8(REC_RM), size);
  }
  setRm(value: Expression, size = this.size): void {
    this.write(this.field8(REC_RM), value, size);
  }
  gpr(n: number, size = this.size): Expression {
    return this.read(n * 8, size);
  }
  setGpr(n: number, value: Expression, size = this.size): void {
    this.write(n * 8, value, size);
  }
  xmmReg(): Expression {
    return i32(CPU + CPU_XMM + this.field8(REC_REG) * 2);
  }
  xmmRm(): Expression {
    return i32(CPU + CPU_XMM + this.field8(REC_RM) * 2);
  }
  mmxReg(): Expression {
    return i32(CPU + CPU_X87 + this.field8(REC_REG) * 2);
  }
  mmxRm(): Expression {
    return i32(CPU + CPU_X87 + this.field8(REC_RM) * 2);
  }

  // -------------------------------------------------------------- immediates and addresses

  immediate(size = this.size): Expression {
    const low = this.field32(REC_IMMEDIATE);
    if (size === 8) return i64Halves(low, this.field32(REC_IMMEDIATE + 4));
    return i32(size === 4 ? low : low & (size === 2 ? 0xffff : 0xff));
  }
  extra(): Expression {
    return i32(this.view.getUint16(this.record + REC_EXTRA, true));
  }
  /** A register of an address: the two that are not general registers are a constant and the page. */
  private addressRegister(offset: number): Expression {
    if (offset === REG_ZERO) return i64(0);
    return offset === REG_PAGE ? this.page : this.local(offset >> 3);
  }
  effectiveOffset(): Expression {
    const base = this.addressRegister(this.field8(REC_RM));
    const displacement = i64(this.field32(REC_DISPLACEMENT));
    if (this.shape.plain) return sum(base, displacement);
    const index = this.addressRegister(this.field8(REC_INDEX));
    const scaled = isValue(index, 0) ? index : shl(index, i64(this.field8(REC_SCALE)));
    const offset = sum(sum(base, scaled), displacement);
    const mask = this.field8(REC_MASK);
    return mask === 0 ? offset : and(offset, i64(mask === 8 ? 0xffffffff : 0xffff));
  }
  effectiveAddress(): Expression {
    return this.shape.plain
      ? this.effectiveOffset()
      : this.inSlot(this.field8(REC_SEGMENT), this.effectiveOffset());
  }
  private inSlot(slot: number, offset: Expression): Expression {
    if (slot === 0) return offset;
    const at = CPU + CPU_SEG_SLOTS + slot;
    return and(add(offset, load64(BASE, at)), load64(BASE, at + 8));
  }
  segmented(segment: 'source' | 'es' | 'stack', offset: Expression): Expression {
    if (segment === 'source') return this.inSlot(this.field8(REC_SEGMENT), offset);
    if (this.shape.long) return offset;
    return this.inSlot(segment === 'es' ? SEG_SLOT_SIZE : (1 + SS) * SEG_SLOT_SIZE, offset);
  }
  rip(): Expression {
    return add(this.page, i64(this.view.getUint16(this.record + REC_OFFSET, true)));
  }
  nextRip(): Expression {
    const offset = this.view.getUint16(this.record + REC_OFFSET, true) + this.field8(REC_LENGTH);
    const next = add(this.page, i64(offset));
    return this.shape.long ? next : and(next, i64(0xffffffff));
  }
  protected tlbBank(): Expression {
    return this.bank;
  }

  /**
   * What the TLB does not know is left to the interpreter, before anything is committed, and so are stores that need care
   * (they cross a page, or change code): a translated address is never a bounce buffer. The short form asks nobody, which
   * makes code half as long; it also takes operands that are not aligned for unknown, to save an addition. Code that is
   * left too often for that gets the long form, which fills the TLB by itself.
   */
  override translate(address: Expression, size: number, write: boolean): Local {
    if (this.long || size > 8) return super.translate(address, size, write);
    const { f } = this;
    const va = f.let(address);
    const entry = f.let(tlbEntry(va, this.bank));
    const tag = load64(entry, write ? TLB_WRITE : TLB_READ);
    f.ifUnlikely(ne(tag, and(va, i64(-4096 + (size - 1)))), () => this.transfers.leaveAt(Exit.Miss));
    return f.let(add(load32(entry, TLB_ADDEND), wrap(va)));
  }
  protected override translateSlowly(host: Local, address: Expression, size: number, write: boolean): void {
    const { f } = this;
    if (!this.long) {
      this.transfers.leaveAt(Exit.Miss);
      return;
    }
    f.set(host, callSupport(this.support, write ? 'probeWrite' : 'probeRead', address, i32(size)));
    f.ifUnlikely(ltU(host, i32(SCRATCH_LIMIT)), () => this.transfers.leaveAt(Exit.Miss));
  }
  override stored(): void {}

  // -------------------------------------------------------------- ends

  fault(): void {
    this.transfers.leaveAt(Exit.Exception);
  }
  jumpToTarget(): void {
    this.transfers.toTarget();
  }
  jumpTo(address: Expression): void {
    this.transfers.toAddress(address);
  }
  exit(kind: number, vector?: Expression): void {
    this.noteExit(kind, vector);
    this.transfers.leaveAfter(kind);
  }
  exitAt(kind: number, vector?: Expression): void {
    this.noteExit(kind, vector);
    this.transfers.leaveAt(kind);
  }
  private noteExit(kind: number, vector?: Expression): void {
    this.setState32(CPU_EXIT_KIND, i32(kind));
    if (vector !== undefined) this.setState32(CPU_EXIT_VECTOR, vector);
    this.setState32(CPU_EXIT_LENGTH, i32(this.field8(REC_LENGTH)));
  }
  repeated(): void {
    throw new Error('a repeated instruction is called, not contained');
  }
  raise(vector: number, error = 0): void {
    this.setState32(CPU_EXIT_VECTOR, i32(vector));
    this.setState32(CPU_EXIT_ERROR, i32(error));
    this.fault();
  }
  budgetLeft(): Expression {
    throw new Error('an instruction that asks for the budget is called, not contained');
  }

  // -------------------------------------------------------------- flags: setting them

  private setKind(kind: number, first: Expression, second: Expression, size = this.size): void {
    const { f } = this;
    if (this.flagsDead) return;
    f.set(this.first, this.widened(first));
    f.set(this.second, this.widened(second));
    f.set(this.meta, i32(kind | this.top(size)));
    this.known = f.nesting === this.level ? { kind, size } : undefined;
  }
  override setAdditionFlags(_a: Expression, b: Expression, result: Expression): void {
    this.setKind(META_KIND_ADD, result, b);
  }
  override setSubtractionFlags(a: Expression, b: Expression, _result: Expression): void {
    this.setKind(META_KIND_SUBTRACT, a, b);
  }
  override setLogicFlags(result: Expression, size = this.size): void {
    this.setKind(META_KIND_LOGIC, result, i64(0), size);
  }
  override setStepFlags(_a: Expression, result: Expression, carry: Expression, subtracts: boolean): void {
    this.setKind(subtracts ? META_KIND_DECREMENT : META_KIND_INCREMENT, result, carry);
  }
  setFlagWords(result: Expression, carry: Expression, meta: Expression): void {
    const { f } = this;
    if (this.flagsDead) return;
    // All three are evaluated before any is set: they may read the old ones.
    const newResult = f.let(result);
    const newCarry = f.let(carry);
    f.set(this.meta, meta);
    f.set(this.first, newResult);
    f.set(this.second, newCarry);
    this.known = f.nesting === this.level ? { kind: 0, size: 0 } : undefined;
  }

  // -------------------------------------------------------------- flags: reading them

  /** Makes the flag words canonical. */
  private canonical(): void {
    const { f, known } = this;
    if (known?.kind === 0) return;
    if (known !== undefined) {
      const { first, second } = this;
      const { kind, size } = known;
      if (kind === META_KIND_LOGIC) {
        f.set(first, this.extended(first, size));
        f.set(this.meta, i32(this.top(size)));
        if (f.nesting === this.level) this.known = { kind: 0, size };
        else this.known = undefined;
        return;
      }
      if (kind === META_KIND_ADD || kind === META_KIND_SUBTRACT) {
        const adds = kind === META_KIND_ADD;
        const other = f.let(sub(first, second));
        const carries = f.let(adds ? addCarries(other, second, first) : subBorrows(first, second, other));
        f.set(first, this.extended(adds ? first : other, size));
        f.set(second, carries);
        f.set(this.meta, i32(this.top(size)));
        if (f.nesting === this.level) this.known = { kind: 0, size };
        else this.known = undefined;
        return;
      }
    }
    f.if(and(this.meta, i32(META_KIND_MASK)), () => {
      this.spillFlags();
      f.run(callSupport(this.support, 'canonicalFlags'), 0);
      const outer = this.known;
      this.loadFlags();
      this.known = outer;
    });
    if (f.nesting === this.level) this.known = { kind: 0, size: 0 };
  }
  flagResult(): Expression {
    if (this.keepsFlags) return i64(0);
    this.canonical();
    return this.first;
  }
  flagCarry(): Expression {
    if (this.keepsFlags) return i64(0);
    this.canonical();
    return this.second;
  }
  flagMeta(): Expression {
    if (this.keepsFlags) return i32(0);
    this.canonical();
    return this.meta;
  }

  /** A value of `size` bytes in an i64, whose upper part does not matter: sign-extended to i64. */
  private extended(value: Expression, size: number): Expression {
    if (size === 8) return value;
    return this.signExtended(wrap(value), size);
  }
  /** The same as an i32 or i64 to compare with signs. */
  private signed(value: Expression, size: number): Expression {
    if (size === 8) return value;
    const low = wrap(value);
    return size === 4 ? low : size === 2 ? extend16S(low) : extend8S(low);
  }
  /** The same to compare without signs: its upper part is cut off. */
  private unsigned(value: Expression, size: number): Expression {
    return size === 8 ? value : this.truncated(wrap(value), size);
  }

  /** The result that the flags were set from, in an i64 whose upper part does not matter. */
  private flagged(kind: number): Expression {
    return kind === META_KIND_SUBTRACT ? sub(this.first, this.second) : this.first;
  }

  override carryFlag(): Expression {
    const { known } = this;
    if (this.keepsFlags) return i32(0);
    switch (known?.kind) {
      case META_KIND_ADD:
        return ltU(this.unsigned(this.first, known!.size), this.unsigned(this.second, known!.size));
      case META_KIND_SUBTRACT:
        return ltU(this.unsigned(this.first, known!.size), this.unsigned(this.second, known!.size));
      case META_KIND_LOGIC:
        return i32(0);
      case META_KIND_INCREMENT:
      case META_KIND_DECREMENT:
        return wrap(this.second);
      case 0:
        return super.carryFlag();
      default:
        return this.anyCarry();
    }
  }
  /** CF where the kind is known at run time only: what costs nothing if nobody asks in the end. */
  private anyCarry(): Expression {
    const { first, second, meta } = this;
    const kind = this.f.let(and(meta, i32(META_KIND_MASK)));
    const bit = and(wrap(shrU(second, extendU(meta))), i32(1));
    const compared = leU(sub(kind, i32(META_KIND_ADD)), i32(META_KIND_SUBTRACT - META_KIND_ADD));
    // Evaluated now: another flag of the same condition may make the words canonical.
    return this.f.let(select(kind, select(compared, ltU(first, second), wrap(second)), bit));
  }
  override zeroFlag(): Expression {
    const { known } = this;
    if (known === undefined || known.kind === 0) return super.zeroFlag();
    if (known.kind === META_KIND_SUBTRACT) {
      return eq(this.unsigned(this.first, known.size), this.unsigned(this.second, known.size));
    }
    return eqz(this.unsigned(this.first, known.size));
  }
  override signFlag(): Expression {
    const { known } = this;
    if (known === undefined || known.kind === 0) return super.signFlag();
    const result = this.signed(this.flagged(known.kind), known.size);
    return ltS(result, known.size === 8 ? i64(0) : i32(0));
  }
  override overflowFlag(): Expression {
    const { known } = this;
    if (this.keepsFlags) return i32(0);
    if (known === undefined || known.kind === 0) return super.overflowFlag();
    const { kind, size } = known;
    if (kind === META_KIND_LOGIC) return i32(0);
    if (kind === META_KIND_INCREMENT || kind === META_KIND_DECREMENT) {
      const least = i64Halves(size === 8 ? 0 : 2 ** (size * 8 - 1), size === 8 ? 0x80000000 : 0);
      const edge = kind === META_KIND_INCREMENT ? least : sub64(least, size);
      return eq(this.unsigned(this.first, size), size === 8 ? edge : wrap(edge));
    }
    // Operands of one sign (for a subtraction: of different signs), and a result of the other.
    const { first, second } = this;
    const other = sub(first, second);
    const mixed =
      kind === META_KIND_ADD
        ? and(xor(other, first), xor(second, first))
        : and(xor(first, second), xor(first, other));
    return ltS(this.signed(mixed, size), size === 8 ? i64(0) : i32(0));
  }
  override parityFlag(): Expression {
    const { known } = this;
    if (known === undefined || known.kind === 0) return super.parityFlag();
    const low = and(wrap(this.flagged(known.kind)), i32(0xff));
    // Bit n of the constant is the parity of n: fold the byte to a nibble first.
    const nibble = and(xor(low, shrU(low, i32(4))), i32(15));
    return and(shrU(i32(0x9669), nibble), i32(1));
  }
  override adjustFlag(): Expression {
    const { known } = this;
    if (this.keepsFlags) return i32(0);
    if (known === undefined || known.kind === 0) return super.adjustFlag();
    this.canonical();
    return super.adjustFlag();
  }

  /** A comparison and the condition on it are one comparison. */
  override condition(n: number): Expression {
    const { known } = this;
    const negated = (value: Expression): Expression => ((n & 1) === 0 ? value : eqz(value));
    if (known?.kind === META_KIND_SUBTRACT) {
      const { size } = known;
      const a = this.unsigned(this.first, size);
      const b = this.unsigned(this.second, size);
      switch (n >> 1) {
        case 3:
          return (n & 1) === 0 ? leU(a, b) : gtU(a, b);
        case 6:
          return negated(ltS(this.signed(this.first, size), this.signed(this.second, size)));
        case 7:
          return negated(leS(this.signed(this.first, size), this.signed(this.second, size)));
        default:
      }
    }
    if (known?.kind === META_KIND_LOGIC) {
      const zero = known.size === 8 ? i64(0) : i32(0);
      if (n >> 1 === 6) return negated(ltS(this.signed(this.first, known.size), zero));
      if (n >> 1 === 7) return negated(leS(this.signed(this.first, known.size), zero));
      if (n >> 1 === 3) return negated(this.zeroFlag());
    }
    return super.condition(n);
  }

  // -------------------------------------------------------------- state

  otherFlags(): Expression {
    return load32(BASE, CPU + CPU_FLAGS_OTHER);
  }
  setOtherFlags(value: Expression): void {
    this.f.store32(BASE, value, CPU + CPU_FLAGS_OTHER);
  }
  state32(offset: number): Expression {
    return load32(BASE, CPU + offset);
  }
  setState32(offset: number, value: Expression): void {
    this.f.store32(BASE, value, CPU + offset);
  }
  state64(offset: number): Expression {
    return offset === REG_PAGE ? this.page : load64(BASE, CPU + offset);
  }
  setState64(offset: number, value: Expression): void {
    this.f.store64(BASE, value, CPU + offset);
  }
  stateAddress(offset: number): Expression {
    return i32(CPU + offset);
  }
}

/** a + b, where either may be the constant zero. */
function sum(a: Expression, b: Expression): Expression {
  if (isValue(a, 0)) return b;
  return isValue(b, 0) ? a : add(a, b);
}

/** The largest signed value of a size, given the least as an unsigned one. */
function sub64(least: Expression, size: number): Expression {
  return size === 8 ? i64Halves(-1, 0x7fffffff) : i64Halves(least.low - 1, 0);
}
