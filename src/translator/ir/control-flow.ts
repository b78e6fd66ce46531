/**
 * WebAssembly's nested blocks as jumps between basic blocks.
 *
 * A branch goes to the start of a loop or to the end of anything else. The values that a block gives stand in registers of
 * their own from wherever it is left.
 */
import { TranslationError } from '../error.ts';
import { type FunctionType, type ValueType, valueType } from '../wasm/module.ts';
import type { WasmReader } from '../wasm/reader.ts';
import type { BlockWriter } from './block-writer.ts';
import type { Block, Register } from './instruction.ts';
import type { OperandStack } from './operand-stack.ts';

/** A block, loop, if or the function itself, while its body is being read. */
interface Frame {
  /** Where a branch to it goes. */
  readonly target: Block;
  /** What follows it. */
  readonly after: Block;
  /** The registers that a branch to it fills; none for a loop. */
  readonly branchResults: readonly Register[];
  /** The registers that hold its values afterwards. */
  readonly results: readonly Register[];
  /** Operands below it on the stack. */
  readonly height: number;
  /** Of an `if` whose `else` has not come yet. */
  otherwise: Block | undefined;
  /** How many loops its body stands in. */
  readonly loops: number;
  /** Whether it begins where control can come. If not, nothing of it is kept. */
  readonly reachable: boolean;
}

const EMPTY_TYPE = 0x40;
const LOOP = 0x03;
const IF = 0x04;

export class ControlFlow {
  private readonly writer: BlockWriter;
  private readonly stack: OperandStack;
  private readonly reader: WasmReader;
  private readonly types: readonly FunctionType[];
  private readonly frames: Frame[] = [];

  constructor(writer: BlockWriter, stack: OperandStack, reader: WasmReader, types: readonly FunctionType[]) {
    this.writer = writer;
    this.stack = stack;
    this.reader = reader;
    this.types = types;
  }

  /** Whether the last `end` has been read. */
  get ended(): boolean {
    return this.frames.length === 0;
  }

  /** The function itself, a block like others. Its code starts after `begin` of the entry block. */
  openFunction(results: readonly ValueType[]): void {
    const after = this.writer.block(0);
    this.pushFrame(after, after, results, results);
  }

  /* return */
  leaveFunction(): void {
    this.branch(this.frames.length - 1);
  }

  open(opcode: number): void {
    const results = this.blockResults();
    const condition = opcode === IF ? this.stack.popCondition() : undefined;
    this.stack.rescue();
    const loops = this.frames[this.frames.length - 1]!.loops;
    const after = this.writer.block(loops);
    if (opcode === LOOP) {
      const head = this.writer.block(loops + 1);
      this.pushFrame(head, after, [], results, loops + 1);
      this.writer.finishAndStart({ op: 'jump', target: head }, head);
      return;
    }
    const frame = this.pushFrame(after, after, results, results, loops);
    if (condition === undefined) return;
    const then = this.writer.block(loops);
    frame.otherwise = this.writer.block(loops);
    this.writer.finishAndStart({ op: 'branch', condition, whenTrue: then, whenFalse: frame.otherwise }, then);
  }

  private blockResults(): readonly ValueType[] {
    const { reader } = this;
    if (reader.peek() === EMPTY_TYPE) {
      reader.byte();
      return [];
    }
    if ((reader.peek() & 0xc0) === 0x40) return [valueType(reader, 'a block')];
    const { parameters, results } = this.types[Number(reader.s64())]!;
    if (parameters.length > 0) throw new TranslationError('expected blocks without parameters, found some');
    return results;
  }

  else(): void {
    const frame = this.frames[this.frames.length - 1]!;
    this.leave(frame);
    if (frame.reachable) this.writer.start(frame.otherwise!);
    frame.otherwise = undefined;
  }

  end(): void {
    const frame = this.frames[this.frames.length - 1]!;
    this.leave(frame);
    this.frames.pop();
    this.stack.floor = this.frames.at(-1)?.height ?? 0;
    if (frame.reachable) {
      if (frame.otherwise !== undefined) {
        this.writer.start(frame.otherwise);
        this.writer.finish({ op: 'jump', target: frame.after });
      }
      this.writer.start(frame.after);
    }
    this.stack.push(...frame.results);
  }

  /** Falls out of a frame at its end, or at its `else`: the values on the stack become its results. */
  private leave(frame: Frame): void {
    if (this.writer.reachable) {
      this.writer.assignAll(frame.results, this.stack.popMany(frame.results.length));
      this.writer.finish({ op: 'jump', target: frame.after });
    }
    this.stack.cut(frame.height);
  }

  branch(depth: number): void {
    const frame = this.frameAt(depth);
    this.writer.assignAll(frame.branchResults, this.stack.popMany(frame.branchResults.length));
    this.writer.finish({ op: 'jump', target: frame.target });
  }

  branchIf(depth: number): void {
    const frame = this.frameAt(depth);
    const condition = this.stack.popCondition();
    this.copyTop(frame);
    const next = this.writer.block(this.frameAt(0).loops);
    this.writer.finishAndStart({ op: 'branch', condition, whenTrue: frame.target, whenFalse: next }, next);
  }

  branchTable(): void {
    const frames = this.reader.list(() => this.frameAt(this.reader.u32()));
    const otherwise = this.frameAt(this.reader.u32());
    const index = this.stack.pop();
    for (const frame of new Set([...frames, otherwise])) this.copyTop(frame);
    const targets = frames.map(({ target }) => target);
    this.writer.finish({ op: 'switch', index, targets, otherwise: otherwise.target });
  }

  /** Copies the values that a branch takes along; they also stay where they are, for the path that goes on. */
  private copyTop({ branchResults }: Frame): void {
    const values = this.stack.top(branchResults.length);
    for (const [i, to] of branchResults.entries()) this.writer.emit({ op: 'copy', to, from: values[i]! });
  }

  private frameAt(depth: number): Frame {
    return this.frames[this.frames.length - 1 - depth]!;
  }

  private pushFrame(
    target: Block,
    after: Block,
    branchResults: readonly ValueType[],
    results: readonly ValueType[],
    loops = 0,
  ): Frame {
    const registers = results.map((type) => this.writer.register(type));
    const frame: Frame = {
      target,
      after,
      branchResults: branchResults.length > 0 ? registers : [],
      results: registers,
      height: this.stack.height,
      otherwise: undefined,
      loops,
      reachable: this.writer.reachable,
    };
    this.frames.push(frame);
    this.stack.floor = frame.height;
    return frame;
  }
}
