/**
 * The basic blocks of a function while they are being filled: virtual registers, instructions, ends of blocks.
 *
 * In code that cannot be reached there is no current block, and what is emitted goes nowhere.
 */
import type { ValueType } from '../wasm/module.ts';
import {
  type Block,
  type Instruction,
  type Operand,
  type Register,
  resultOf,
  type Terminator,
} from './instruction.ts';

const UNFINISHED: Terminator = { op: 'trap', trap: 'unreachable' };

export class BlockWriter {
  readonly blocks: Block[] = [];
  /** The function's parameters and locals: registers that are written more than once. */
  readonly locals: readonly Register[];
  registerCount = 0;
  /** The block that is being filled; undefined in code that cannot be reached. */
  private current: Block | undefined;

  constructor(locals: readonly ValueType[]) {
    this.locals = locals.map((type) => this.register(type));
  }

  get reachable(): boolean {
    return this.current !== undefined;
  }

  register(type: ValueType): Register {
    return { kind: 'register', id: this.registerCount++, type };
  }

  isLocal(operand: Operand): boolean {
    return operand.kind === 'register' && operand.id < this.locals.length;
  }

  emit(instruction: Instruction): void {
    this.current?.instructions.push(instruction);
  }

  /** Takes back the last instruction, if it has just given `value` and nothing else can want that. */
  takeBack<Op extends Instruction['op']>(
    value: Operand,
    ...ops: readonly Op[]
  ): (Instruction & { op: Op }) | undefined {
    const last = this.current?.instructions.at(-1);
    if (last === undefined || resultOf(last) !== value || this.isLocal(value)) return undefined;
    if (!ops.some((op) => op === last.op)) return undefined;
    this.current!.instructions.pop();
    return last as Instruction & { op: Op };
  }

  /** Gives a register a value: by the instruction that has just made it, if nothing else can want that value. */
  assign(to: Register, from: Operand): void {
    const last = this.current?.instructions.at(-1);
    if (last !== undefined && last.op !== 'store' && resultOf(last) === from && !this.isLocal(from)) {
      last.to = to;
    } else if (from !== to) {
      this.emit({ op: 'copy', to, from });
    }
  }

  /** Several at once. A frame's results are read by nobody yet, so their order does not matter. */
  assignAll(registers: readonly Register[], values: readonly Operand[]): void {
    if (registers.length === 1) {
      this.assign(registers[0]!, values[0]!);
      return;
    }
    for (const [i, to] of registers.entries()) this.emit({ op: 'copy', to, from: values[i]! });
  }

  // Blocks

  block(loopDepth: number): Block {
    return { index: -1, loopDepth, instructions: [], end: UNFINISHED };
  }

  /** Goes on in `block`, which comes next in the layout. */
  start(block: Block): void {
    block.index = this.blocks.push(block) - 1;
    this.current = block;
  }

  /** Ends the current block. What follows cannot be reached until a block starts. */
  finish(end: Terminator): void {
    if (this.current === undefined) return;
    this.current.end = end;
    this.current = undefined;
  }

  /** Ends the current block and goes on in the next, unless none of it can be reached. */
  finishAndStart(end: Terminator, next: Block): void {
    if (this.current === undefined) return;
    this.finish(end);
    this.start(next);
  }
}
