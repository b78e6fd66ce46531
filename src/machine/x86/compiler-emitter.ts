/**
 * The emitter of compiled code: operands are constants, general registers and flags are locals.
 *
 * One emitter serves a whole run of instructions; `at` moves it from record to record. What leaves the run early notes
 * the number of the instruction and branches to one spill tail, which writes the locals back and says where to go on.
 * The semantics are the interpreter's own: nothing about an instruction is said here.
 */
import {
  add,
  and,
  type Expression,
  extendU,
  I32,
  I64,
  i32,
  i64,
  i64Halves,
  isValue,
  load32,
  load64,
  or,
  shl,
  shrU,
  wrap,
} from '../../wasm/expression.ts';
import type { FunctionBuilder, Label, Local } from '../../wasm/function.ts';
import {
  CPU,
  CPU_BUDGET,
  CPU_EXIT_ERROR,
  CPU_EXIT_KIND,
  CPU_EXIT_LENGTH,
  CPU_EXIT_VECTOR,
  CPU_EXTRA_RETIRED,
  CPU_FLAG_CARRY,
  CPU_FLAG_META,
  CPU_FLAG_RESULT,
  CPU_FLAGS_OTHER,
  CPU_REGS,
  CPU_REPEAT_AGAIN,
  CPU_RETIRED,
  CPU_RIP,
  CPU_SEG_SLOTS,
  CPU_TLB_BANK,
  CPU_X87,
  CPU_XMM,
  REG_PAGE,
  REG_ZERO,
  SEG_SLOT_SIZE,
} from '../layout.ts';
import { Emitter, type Shape, type SupportFunctions } from './emitter.ts';
import { Status } from './interpreter-emitter.ts';
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
import { SS } from './registers.ts';

const BASE = i32(0);

export class CompilerEmitter extends Emitter {
  private readonly view: DataView;
  private record = 0;
  /** Number of the instruction in the run. */
  private number = 0;
  private readonly registers: Local[] = [];
  private readonly written = new Set<number>();
  private readonly result: Local;
  private readonly carry: Local;
  private readonly meta: Local;
  private readonly other: Local;
  private readonly retired: Local;
  private readonly target: Local;
  private readonly status: Local;
  private tail: Label | undefined;

  /** `view` is over the memory that records lie in. */
  constructor(f: FunctionBuilder, support: SupportFunctions, view: DataView) {
    super(f, { size: 4, memory: false, plain: false, addressSize: 8, long: true, repeat: 0 }, support);
    this.view = view;
    for (let n = 0; n < 16; n++) {
      const local = f.local(I64);
      f.set(local, load64(BASE, CPU + CPU_REGS + n * 8));
      this.registers.push(local);
    }
    this.result = f.let(load64(BASE, CPU + CPU_FLAG_RESULT));
    this.carry = f.let(load64(BASE, CPU + CPU_FLAG_CARRY));
    this.meta = f.let(load32(BASE, CPU + CPU_FLAG_META));
    this.other = f.let(load32(BASE, CPU + CPU_FLAGS_OTHER));
    this.retired = f.local(I32);
    this.target = f.local(I64);
    this.status = f.local(I32);
  }

  /** Emits the instructions that `body` visits with `at`, and the spill tail. The function returns a `Status`. */
  compile(body: () => void): void {
    const { f } = this;
    f.block((tail) => {
      this.tail = tail;
      body();
      this.leave(Status.Jump, this.nextRip(), this.number + 1);
    });
    for (const n of this.written) f.store64(BASE, this.registers[n]!, CPU + CPU_REGS + n * 8);
    f.store64(BASE, this.result, CPU + CPU_FLAG_RESULT);
    f.store64(BASE, this.carry, CPU + CPU_FLAG_CARRY);
    f.store32(BASE, this.meta, CPU + CPU_FLAG_META);
    f.store32(BASE, this.other, CPU + CPU_FLAGS_OTHER);
    f.store64(BASE, this.target, CPU + CPU_RIP);
    f.store64(BASE, add(load64(BASE, CPU + CPU_RETIRED), extendU(this.retired)), CPU + CPU_RETIRED);
    f.return(this.status);
  }

  /** Moves to an instruction: its record, its number in the run and its shape. */
  at(record: number, number: number, shape: Shape): void {
    this.record = record;
    this.number = number;
    this.shape = shape;
  }

  private field8(offset: number): number {
    return this.view.getUint8(this.record + offset);
  }
  private field32(offset: number): number {
    return this.view.getInt32(this.record + offset, true);
  }

  /** Ends the run: the locals are spilled and `status` is returned. */
  private leave(status: number, rip: Expression, retired: number): void {
    const { f } = this;
    f.set(this.target, rip);
    f.set(this.status, i32(status));
    f.set(this.retired, i32(retired));
    f.br(this.tail!);
  }

  // -------------------------------------------------------------- registers

  private read(offset: number, size: number): Expression {
    const local = this.registers[offset >> 3]!;
    if (size === 8) return local;
    const low = wrap(local);
    if (size === 4) return low;
    if (size === 2) return and(low, i32(0xffff));
    return and((offset & 1) !== 0 ? shrU(low, i32(8)) : low, i32(0xff));
  }
  private write(offset: number, value: Expression, size: number): void {
    const { f } = this;
    const local = this.registers[offset >> 3]!;
    this.written.add(offset >> 3);
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
    return i32(this.field32(REC_EXTRA));
  }
  /** A register of an address: the two that are not general registers are a constant and the page. */
  private addressRegister(offset: number): Expression {
    if (offset === REG_ZERO) return i64(0);
    return offset === REG_PAGE ? this.page() : this.registers[offset >> 3]!;
  }
  private page(): Expression {
    return load64(BASE, CPU + REG_PAGE);
  }
  effectiveOffset(): Expression {
    const base = this.addressRegister(this.field8(REC_RM));
    const displacement = i64(this.field32(REC_DISPLACEMENT));
    if (this.shape.plain) return add(base, displacement);
    const index = this.addressRegister(this.field8(REC_INDEX));
    const scaled = isValue(index, 0) ? index : shl(index, i64(this.field8(REC_SCALE)));
    const offset = add(add(base, scaled), displacement);
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
    return add(this.page(), i64(this.view.getUint16(this.record + REC_OFFSET, true)));
  }
  nextRip(): Expression {
    const next = add(
      this.page(),
      i64(this.view.getUint16(this.record + REC_OFFSET, true) + this.field8(REC_LENGTH)),
    );
    return this.shape.long ? next : and(next, i64(0xffffffff));
  }

  // -------------------------------------------------------------- ends

  fault(): void {
    this.leave(Status.Fault, this.rip(), this.number);
  }
  jumpToTarget(): void {
    const target = add(this.page(), this.immediate(8));
    this.leave(Status.Jump, this.shape.long ? target : and(target, i64(0xffffffff)), this.number + 1);
  }
  jumpTo(address: Expression): void {
    this.leave(Status.Jump, address, this.number + 1);
  }
  exit(kind: number, vector?: Expression): void {
    this.noteExit(kind, vector);
    this.leave(Status.Leave, this.nextRip(), this.number + 1);
  }
  exitAt(kind: number, vector?: Expression): void {
    this.noteExit(kind, vector);
    this.leave(Status.LeaveAt, this.rip(), this.number);
  }
  private noteExit(kind: number, vector?: Expression): void {
    this.setState32(CPU_EXIT_KIND, i32(kind));
    if (vector !== undefined) this.setState32(CPU_EXIT_VECTOR, vector);
    this.setState32(CPU_EXIT_LENGTH, i32(this.field8(REC_LENGTH)));
  }
  repeated(count: Expression, again: Expression): void {
    this.setState32(CPU_EXTRA_RETIRED, count);
    this.setState32(CPU_REPEAT_AGAIN, again);
    this.leave(Status.Repeated, this.rip(), this.number + 1);
  }
  raise(vector: number, error = 0): void {
    this.setState32(CPU_EXIT_VECTOR, i32(vector));
    this.setState32(CPU_EXIT_ERROR, i32(error));
    this.fault();
  }
  budgetLeft(): Expression {
    return load32(BASE, CPU + CPU_BUDGET);
  }

  // -------------------------------------------------------------- flags and state

  setFlagWords(result: Expression, carry: Expression, meta: Expression): void {
    const { f } = this;
    // All three are evaluated before any is set: they may read the old ones.
    const bound = f.let(carry);
    const newMeta = f.let(meta);
    f.set(this.result, result);
    f.set(this.carry, bound);
    f.set(this.meta, newMeta);
  }
  flagResult(): Expression {
    return this.result;
  }
  flagCarry(): Expression {
    return this.carry;
  }
  flagMeta(): Expression {
    return this.meta;
  }
  otherFlags(): Expression {
    return this.other;
  }
  setOtherFlags(value: Expression): void {
    this.f.set(this.other, value);
  }
  state32(offset: number): Expression {
    return load32(BASE, CPU + offset);
  }
  setState32(offset: number, value: Expression): void {
    this.f.store32(BASE, value, CPU + offset);
  }
  state64(offset: number): Expression {
    return load64(BASE, CPU + offset);
  }
  setState64(offset: number, value: Expression): void {
    this.f.store64(BASE, value, CPU + offset);
  }
  stateAddress(offset: number): Expression {
    return i32(CPU + offset);
  }
  protected tlbBank(): Expression {
    return load32(BASE, CPU + CPU_TLB_BANK);
  }
}
