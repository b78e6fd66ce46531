/**
 * WebAssembly's operand stack while a function is read: what lies on it is a constant, a local's own register, or the
 * register that an instruction gave.
 *
 * Constants and locals are not copied when they are pushed, so a local that is about to change is first rescued where it
 * still lies on the stack, and all are before a block begins, for inside it the change might be on one path only.
 */
import { TranslationError } from '../error.ts';
import type { BlockWriter } from './block-writer.ts';
import { type Condition, constant, type Operand, type Register } from './instruction.ts';

export class OperandStack {
  private readonly writer: BlockWriter;
  private readonly operands: Operand[] = [];
  /** Operands below belong to the blocks around. */
  floor = 0;

  constructor(writer: BlockWriter) {
    this.writer = writer;
  }

  get height(): number {
    return this.operands.length;
  }

  push(...operands: readonly Operand[]): void {
    this.operands.push(...operands);
  }

  /** In code that cannot be reached the stack may run empty (core specification, 3.3): any value will do. */
  pop(): Operand {
    if (this.operands.length > this.floor) return this.operands.pop()!;
    if (this.writer.reachable) throw new TranslationError('malformed WebAssembly: expected an operand');
    return constant('i32', 0);
  }

  popMany(count: number): Operand[] {
    return Array.from({ length: count }, () => this.pop()).reverse();
  }

  /** The topmost values, which stay. */
  top(count: number): readonly Operand[] {
    return this.operands.slice(this.operands.length - count);
  }

  /** Drops all above a height. */
  cut(height: number): void {
    this.operands.length = height;
  }

  /** The topmost value as a condition: the comparison that has just made it, or whether it is not zero. */
  popCondition(): Condition {
    const value = this.pop();
    const compared = this.writer.takeBack(value, 'compare');
    if (compared !== undefined) return compared.condition;
    const masked = this.writer.takeBack(value, 'binary');
    if (masked?.operator === 'and') return { comparison: 'any', left: masked.left, right: masked.right };
    if (masked !== undefined) this.writer.emit(masked);
    return { comparison: 'ne', left: value, right: constant(value.type, 0) };
  }

  /** Copies what the stack holds of `local`, or of any local, to registers of its own. */
  rescue(local?: Register): void {
    for (const [i, operand] of this.operands.entries()) {
      if (operand.kind !== 'register' || !this.writer.isLocal(operand)) continue;
      if (local !== undefined && operand !== local) continue;
      const copy = this.writer.register(operand.type);
      this.writer.emit({ op: 'copy', to: copy, from: operand });
      this.operands[i] = copy;
    }
  }
}
