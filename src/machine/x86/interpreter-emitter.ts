/**
 * The emitter of the interpreter: operands come from the record at run time, registers and flags live in memory.
 *
 * A handler stands either inline in the main loop, where leaving it is a branch, or in a function of its own, where it
 * is a status code (`Status`); `Flow` hides which.
 */
import {
  add,
  and,
  type Expression,
  extendU,
  i32,
  i64,
  load8U,
  load16U,
  load32,
  load64,
  load64From8U,
  load64From16U,
  load64From32S,
  shl,
} from '../../wasm/expression.ts';
import type { FunctionBuilder, Local } from '../../wasm/function.ts';
import {
  CPU,
  CPU_CALL_RETURN,
  CPU_CALL_RSP,
  CPU_EXIT_ERROR,
  CPU_EXIT_KIND,
  CPU_EXIT_VECTOR,
  CPU_EXTRA_RETIRED,
  CPU_FLAG_CARRY,
  CPU_FLAG_META,
  CPU_FLAG_RESULT,
  CPU_FLAGS_OTHER,
  CPU_OFFSET_MASKS,
  CPU_REGS,
  CPU_REPEAT_AGAIN,
  CPU_SEG_SLOTS,
  CPU_TLB_BANK,
  CPU_X87,
  CPU_XMM,
  REG_PAGE,
  SEG_SLOT_SIZE,
} from '../layout.ts';
import { type Address, Emitter, type Shape, type SupportFunctions } from './emitter.ts';
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
import { RSP, SS } from './registers.ts';

/** How a handler in a function of its own ends. */
export const Status = {
  /** Retired; go on with the next record. */
  Next: 0,
  /** An exception is noted; not retired. */
  Fault: 1,
  /** Retired; CPU_EXIT_KIND says why to leave. RIP is that of the next instruction. */
  Leave: 2,
  /** Retired; go on at CPU_RIP. */
  Jump: 3,
  /** A `rep` came to its end or to the end of the budget: CPU_EXTRA_RETIRED, CPU_REPEAT_AGAIN. */
  Repeated: 4,
  /** Not retired; CPU_EXIT_KIND says why to leave. RIP is that of this instruction. */
  LeaveAt: 5,
} as const;

/** Where a handler's ends lead. */
export interface Flow {
  /**
   * Present where calls are forbidden: gives up, with nothing committed, and has the handler's function do it all. A TLB
   * miss ends so; then a translated address is never a bounce buffer.
   */
  readonly giveUp?: () => void;
  fault(): void;
  jumpToTarget(long: boolean, calls: boolean): void;
  jumpTo(address: Expression, returns: boolean): void;
  leave(): void;
  leaveAt(): void;
  repeated(): void;
  budgetLeft(): Expression;
  bank(): Expression;
}

/** The Flow of a handler that is a function `(record) → status`. */
export function functionFlow(f: FunctionBuilder): Flow {
  return {
    fault: () => f.return(i32(Status.Fault)),
    jumpToTarget: () => {
      throw new Error('near branches stand in the main loop');
    },
    jumpTo: (address) => {
      f.store64(i32(0), address, CPU + 0xa8);
      f.return(i32(Status.Jump));
    },
    leave: () => f.return(i32(Status.Leave)),
    leaveAt: () => f.return(i32(Status.LeaveAt)),
    repeated: () => f.return(i32(Status.Repeated)),
    budgetLeft: () => load32(i32(0), CPU + 0x298),
    bank: () => load32(i32(0), CPU + CPU_TLB_BANK),
  };
}

const BASE = i32(0);

export class InterpreterEmitter extends Emitter {
  protected readonly record: Local;
  protected readonly flow: Flow;
  /** The instruction is a call. */
  private calls = false;

  constructor(f: FunctionBuilder, shape: Shape, support: SupportFunctions, record: Local, flow: Flow) {
    super(f, shape, support);
    this.record = record;
    this.flow = flow;
  }

  protected override translateSlowly(host: Local, address: Expression, size: number, write: boolean): void {
    if (this.flow.giveUp === undefined) super.translateSlowly(host, address, size, write);
    else this.flow.giveUp();
  }
  override stored(host: Expression): void {
    if (this.flow.giveUp === undefined) super.stored(host);
  }

  protected field8(offset: number): Expression {
    return load8U(this.record, offset);
  }

  private readRegister(at: Expression, size: number): Expression {
    const offset = CPU + CPU_REGS;
    if (size === 1) return load8U(at, offset);
    if (size === 2) return load16U(at, offset);
    if (size === 4) return load32(at, offset);
    return load64(at, offset);
  }
  private writeRegister(at: Expression, value: Expression, size: number): void {
    const offset = CPU + CPU_REGS;
    if (size === 1) this.f.store8(at, value, offset);
    else if (size === 2) this.f.store16(at, value, offset);
    else if (size === 4) this.f.store64(at, extendU(value), offset);
    else this.f.store64(at, value, offset);
  }

  reg(size = this.size): Expression {
    return this.readRegister(this.field8(REC_REG), size);
  }
  setReg(value: Expression, size = this.size): void {
    this.writeRegister(this.field8(REC_REG), value, size);
  }
  rm(size = this.size): Expression {
    return this.readRegister(this.field8(REC_RM), size);
  }
  setRm(value: Expression, size = this.size): void {
    this.writeRegister(this.field8(REC_RM), value, size);
  }
  gpr(n: number, size = this.size): Expression {
    return this.readRegister(i32(n * 8), size);
  }
  setGpr(n: number, value: Expression, size = this.size): void {
    this.writeRegister(i32(n * 8), value, size);
  }

  immediate(size = this.size): Expression {
    if (size === 1) return load8U(this.record, REC_IMMEDIATE);
    if (size === 2) return load16U(this.record, REC_IMMEDIATE);
    if (size === 4) return load32(this.record, REC_IMMEDIATE);
    return load64(this.record, REC_IMMEDIATE);
  }
  extra(): Expression {
    return load16U(this.record, REC_EXTRA);
  }
  /** XMM and x87 operands: register offsets in the record are n × 8. */
  xmmReg(): Expression {
    return add(shl(this.field8(REC_REG), i32(1)), i32(CPU + CPU_XMM));
  }
  xmmRm(): Expression {
    return add(shl(this.field8(REC_RM), i32(1)), i32(CPU + CPU_XMM));
  }
  mmxReg(): Expression {
    return add(shl(this.field8(REC_REG), i32(1)), i32(CPU + CPU_X87));
  }
  mmxRm(): Expression {
    return add(shl(this.field8(REC_RM), i32(1)), i32(CPU + CPU_X87));
  }

  effectiveOffset(): Expression {
    const base = load64(this.field8(REC_RM), CPU + CPU_REGS);
    const displacement = load64From32S(this.record, REC_DISPLACEMENT);
    if (this.shape.plain) return add(base, displacement);
    const index = shl(load64(this.field8(REC_INDEX), CPU + CPU_REGS), load64From8U(this.record, REC_SCALE));
    return and(add(add(base, index), displacement), load64(this.field8(REC_MASK), CPU + CPU_OFFSET_MASKS));
  }

  effectiveAddress(): Address {
    if (this.shape.plain) return this.effectiveOffset();
    return this.inSlot(this.field8(REC_SEGMENT), this.effectiveOffset());
  }

  protected inSlot(slot: Expression, offset: Expression): Expression {
    const bound = this.f.let(slot);
    return and(add(offset, load64(bound, CPU + CPU_SEG_SLOTS)), load64(bound, CPU + CPU_SEG_SLOTS + 8));
  }

  segmented(segment: 'source' | 'es' | 'stack', offset: Expression): Address {
    if (segment === 'source') return this.inSlot(this.field8(REC_SEGMENT), offset);
    if (this.shape.long) return offset;
    const slot = segment === 'es' ? SEG_SLOT_SIZE : (1 + SS) * SEG_SLOT_SIZE;
    return this.inSlot(i32(slot), offset);
  }

  rip(): Expression {
    return add(load64(BASE, CPU + REG_PAGE), load64From16U(this.record, REC_OFFSET));
  }
  nextRip(): Expression {
    const next = add(this.rip(), load64From8U(this.record, REC_LENGTH));
    return this.shape.long ? next : and(next, i64(0xffffffff));
  }

  fault(): void {
    this.flow.fault();
  }
  jumpToTarget(): void {
    this.flow.jumpToTarget(this.shape.long, this.calls);
  }
  jumpTo(address: Expression): void {
    this.flow.jumpTo(address, false);
  }
  override returnTo(address: Expression): void {
    this.flow.jumpTo(address, true);
  }
  override noteCall(): void {
    this.calls = true;
    this.setState64(CPU_CALL_RETURN, this.nextRip());
    this.setState64(CPU_CALL_RSP, this.gpr(RSP, 8));
  }
  exit(kind: number, vector?: Expression): void {
    this.noteExit(kind, vector);
    this.flow.leave();
  }
  exitAt(kind: number, vector?: Expression): void {
    this.noteExit(kind, vector);
    this.flow.leaveAt();
  }
  private noteExit(kind: number, vector?: Expression): void {
    this.setState32(CPU_EXIT_KIND, i32(kind));
    if (vector !== undefined) this.setState32(CPU_EXIT_VECTOR, vector);
    this.setState32(CPU_EXIT_ERROR + 4, this.field8(REC_LENGTH));
  }
  repeated(count: Expression, again: Expression): void {
    this.setState32(CPU_EXTRA_RETIRED, count);
    this.setState32(CPU_REPEAT_AGAIN, again);
    this.flow.repeated();
  }
  budgetLeft(): Expression {
    return this.flow.budgetLeft();
  }

  setFlagWords(result: Expression, carry: Expression, meta: Expression): void {
    this.f.store64(BASE, result, CPU + CPU_FLAG_RESULT);
    this.f.store64(BASE, carry, CPU + CPU_FLAG_CARRY);
    this.f.store32(BASE, meta, CPU + CPU_FLAG_META);
  }
  flagResult(): Expression {
    return load64(BASE, CPU + CPU_FLAG_RESULT);
  }
  flagCarry(): Expression {
    return load64(BASE, CPU + CPU_FLAG_CARRY);
  }
  flagMeta(): Expression {
    return load32(BASE, CPU + CPU_FLAG_META);
  }
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
    return load64(BASE, CPU + offset);
  }
  setState64(offset: number, value: Expression): void {
    this.f.store64(BASE, value, CPU + offset);
  }
  stateAddress(offset: number): Expression {
    return i32(CPU + offset);
  }
  protected tlbBank(): Expression {
    return this.flow.bank();
  }

  raise(vector: number, error = 0): void {
    this.setState32(CPU_EXIT_VECTOR, i32(vector));
    this.setState32(CPU_EXIT_ERROR, i32(error));
    this.fault();
  }
}
