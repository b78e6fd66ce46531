/**
 * The emitter of checked handlers: the interpreter's, for code whose segments do not let everything pass, or whose
 * accesses must be aligned. Every access is compared with its segment's bounds, the stack pointer has the width that SS
 * gives it, instruction pointers are offsets in the code segment, and so is what CALL pushes.
 *
 * The engine counts in linear addresses while generated code runs, so rip() and the jumps convert. All that is known of
 * the segments is read at run time, from what `state.ts` has worked out of them: one handler serves every segment.
 *
 * Follows the Intel SDM, volume 3A, 5.3 (limits), 5.4 and 5.5 (types and null selectors), 6.15 (#SS, #GP, #AC), and
 * volume 1, 6.2.3 (stack widths).
 */
import {
  add,
  and,
  type Expression,
  eq,
  gtU,
  i32,
  i64,
  load64,
  load64From8U,
  ltU,
  or,
  select,
  shrU,
  sub,
  wrap,
} from '../../wasm/expression.ts';
import type { Local } from '../../wasm/function.ts';
import {
  CPU,
  CPU_ALIGN,
  CPU_CODE_BASE,
  CPU_CODE_LIMIT,
  CPU_CODE_MASK,
  CPU_EXIT_ERROR,
  CPU_EXIT_VECTOR,
  CPU_OFFSET_MASKS,
  CPU_SEG_BOUNDS,
  CPU_STACK_KEEP,
  CPU_STACK_MASK,
  SEG_SLOT_FLAT,
  SEG_SLOT_SIZE,
} from '../layout.ts';
import type { Address, SegmentOffset } from './emitter.ts';
import { InterpreterEmitter } from './interpreter-emitter.ts';
import { REC_LENGTH, REC_MASK, REC_SEGMENT } from './record.ts';
import { ES, RSP, SS, VECTOR_AC, VECTOR_GP, VECTOR_SS } from './registers.ts';

const STACK_SLOT = (1 + SS) * SEG_SLOT_SIZE;

export class CheckedEmitter extends InterpreterEmitter {
  override get checked(): boolean {
    return true;
  }

  /** Comes before the meaning: the instruction's last byte must lie within the code segment. */
  begin(): void {
    const last = sub(add(this.rip(), load64From8U(this.record, REC_LENGTH)), i64(1));
    this.raiseIf(gtU(last, this.state64(CPU_CODE_LIMIT)), VECTOR_GP);
  }

  // -------------------------------------------------------------- data

  override effectiveAddress(): Address {
    const slot = this.shape.plain ? i32(SEG_SLOT_FLAT * SEG_SLOT_SIZE) : this.field8(REC_SEGMENT);
    return this.within(slot, this.effectiveOffset());
  }

  override segmented(segment: 'source' | 'es' | 'stack', offset: Expression): Address {
    if (segment === 'source') return this.within(this.field8(REC_SEGMENT), offset);
    if (this.shape.long) return this.within(i32(SEG_SLOT_FLAT * SEG_SLOT_SIZE), offset);
    return this.within(i32(segment === 'es' ? (1 + ES) * SEG_SLOT_SIZE : STACK_SLOT), offset);
  }

  override bind(address: Address): Address {
    return address;
  }

  override displaced(address: Address, bytes: Expression): Address {
    const { slot, offset } = placeOf(address);
    const mask = load64(this.field8(REC_MASK), CPU + CPU_OFFSET_MASKS);
    return this.within(slot, and(add(offset, bytes), mask));
  }

  private within(slot: Expression, offset: Expression): Address {
    const { f } = this;
    const place = { slot: f.let(slot), offset: f.let(offset) };
    return { ...f.let(this.inSlot(place.slot, place.offset)), within: place };
  }

  override translate(address: Address, size: number, write: boolean, alignment = size): Local {
    this.checkAccess(address, size, write, alignment);
    return super.translate(address, size, write);
  }

  override checkAccess(address: Address, size: number, write: boolean, alignment = size): void {
    if (size === 10) {
      // An 80-bit number is its significand, aligned as 64 bits are, and then the rest.
      this.checkAccess(address, 8, write);
      this.checkAccess(this.displaced(address, i64(8)), 2, write, 1);
      return;
    }
    const { f } = this;
    const { slot, offset } = placeOf(address);
    const bounds = f.let(add(slot, shrU(slot, i32(1)))); // 24 bytes for a slot of 16
    const first = load64(bounds, CPU + CPU_SEG_BOUNDS);
    const end = load64(bounds, CPU + CPU_SEG_BOUNDS + (write ? 16 : 8));
    f.if(or(ltU(offset, first), gtU(add(offset, i64(size)), end)), () => {
      const stack = eq(slot, i32(STACK_SLOT));
      this.setState32(CPU_EXIT_VECTOR, select(stack, i32(VECTOR_SS), i32(VECTOR_GP)));
      this.setState32(CPU_EXIT_ERROR, i32(0));
      this.fault();
    });
    if (alignment === 1) return;
    this.raiseIf(and(and(wrap(address), i32(alignment - 1)), this.state32(CPU_ALIGN)), VECTOR_AC);
  }

  // -------------------------------------------------------------- the stack

  override wrapStack(offset: Expression): Expression {
    return this.shape.long ? offset : and(offset, this.state64(CPU_STACK_MASK));
  }

  override withStackPointer(value: Expression): Expression {
    if (this.shape.long) return value;
    return or(and(this.gpr(RSP, 8), this.state64(CPU_STACK_KEEP)), value);
  }

  override setStackPointer(value: Expression): void {
    this.setGpr(RSP, this.withStackPointer(value), 8);
  }

  // -------------------------------------------------------------- code

  override rip(): Expression {
    return and(sub(super.rip(), this.state64(CPU_CODE_BASE)), this.state64(CPU_CODE_MASK));
  }

  override branchTarget(): Expression {
    const target = sub(super.branchTarget(), this.state64(CPU_CODE_BASE));
    return and(target, this.state64(CPU_CODE_MASK));
  }

  override checkTarget(target: () => Expression): void {
    if (!this.shape.long) this.raiseIf(gtU(target(), this.state64(CPU_CODE_LIMIT)), VECTOR_GP);
  }

  override jumpToTarget(): void {
    this.jumpTo(this.branchTarget());
  }

  /** Compiled code never waits for checked code. */
  override noteCall(): void {}
  override returnTo(address: Expression): void {
    this.jumpTo(address);
  }

  override jumpTo(address: Expression): void {
    if (this.shape.long) {
      super.jumpTo(address);
      return;
    }
    const target = this.f.let(address);
    this.checkTarget(() => target);
    super.jumpTo(and(add(target, this.state64(CPU_CODE_BASE)), i64(0xffffffff)));
  }
}

/** Where in its segment an address lies. An address that does not know has lost it on the way: that is a mistake here. */
function placeOf(address: Address): SegmentOffset {
  if (address.within === undefined) throw new Error('a memory access has lost its segment');
  return address.within;
}
