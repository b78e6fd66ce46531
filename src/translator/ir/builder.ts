/**
 * Turns one WebAssembly function into the intermediate form: the operand stack becomes virtual registers, nested blocks
 * become basic blocks.
 *
 * A local is a virtual register, and so is each value that an instruction leaves on the stack. Constants and locals are
 * not copied when they are pushed: the stack holds the constant, or the local's own register, until somebody takes it.
 * So a local that is about to change is first rescued (`rescue`) where it still lies on the stack, and all are before a
 * block begins, for inside it the change might be on one path only.
 *
 * A comparison that a branch, a `select` or an `eqz` takes at once is folded into it (`takeCondition`).
 */
import { TranslationError } from '../error.ts';
import { type FunctionType, type ValueType, valueType, type WasmModule } from '../wasm/module.ts';
import { WasmReader } from '../wasm/reader.ts';
import type { ImportMeaning } from './imports.ts';
import {
  type Block,
  type Callee,
  type Condition,
  constant,
  type Instruction,
  type IrFunction,
  negated,
  type Operand,
  type Register,
  resultOf,
  type Terminator,
  type UnaryOperator,
} from './instruction.ts';
import { type Access, LOADS, NUMERIC, type Numeric, STORES } from './operators.ts';
import { populationCount } from './population-count.ts';

/** What the functions of a module share while they are built. */
export interface ModuleContext {
  readonly module: WasmModule;
  /** Symbols of all functions, imported ones included, by function index. */
  readonly symbols: readonly string[];
  /** What a call of each imported function becomes. */
  readonly meanings: readonly ImportMeaning[];
  /** Address in the module's memory of each global; meaningless for one that never changes. */
  readonly globalAddresses: readonly number[];
  /** What memory.size says. */
  readonly memoryPages: number;
}

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

const UNFINISHED: Terminator = { op: 'trap', trap: 'unreachable' };
const EMPTY_TYPE = 0x40;

export class FunctionBuilder {
  private readonly context: ModuleContext;
  private readonly index: number;
  private readonly reader: WasmReader;
  private readonly locals: Register[] = [];
  private readonly stack: Operand[] = [];
  private readonly frames: Frame[] = [];
  private readonly blocks: Block[] = [];
  private registerCount = 0;
  /** The block that is being filled; undefined in code that cannot be reached. */
  private current: Block | undefined;

  /** `index` counts all functions, imported ones first. */
  constructor(context: ModuleContext, index: number) {
    this.context = context;
    this.index = index;
    this.reader = new WasmReader(context.module.functions[index - context.module.imports.length]!.body);
  }

  /** The function in the intermediate form. Raises TranslationError where its code is not for a kernel. */
  build(): IrFunction {
    const { module, symbols } = this.context;
    const { type, locals } = module.functions[this.index - module.imports.length]!;
    const { parameters, results } = module.types[type]!;
    for (const local of [...parameters, ...locals]) this.locals.push(this.register(local));
    const after = this.block(0);
    this.start(this.block(0));
    for (const local of this.locals.slice(parameters.length)) {
      this.emit({ op: 'copy', to: local, from: constant(local.type, 0) });
    }
    this.pushFrame(after, after, results, results);
    while (this.frames.length > 0) this.instruction(this.reader.byte());
    this.finish({ op: 'return', value: results.length > 0 ? this.stack.pop() : undefined });
    return {
      symbol: symbols[this.index]!,
      parameters: this.locals.slice(0, parameters.length),
      blocks: this.blocks,
      registerCount: this.registerCount,
    };
  }

  private instruction(opcode: number): void {
    const numeric = NUMERIC.get(opcode);
    if (numeric !== undefined) {
      this.numeric(numeric);
      return;
    }
    const load = LOADS.get(opcode);
    if (load !== undefined) {
      this.load(load);
      return;
    }
    const store = STORES.get(opcode);
    if (store !== undefined) {
      this.store(store);
      return;
    }
    const { reader } = this;
    switch (opcode) {
      case 0x00: // unreachable
        this.finish({ op: 'trap', trap: 'unreachable' });
        return;
      case 0x01: // nop
        return;
      case 0x02: // block
      case 0x03: // loop
      case 0x04: // if
        this.open(opcode);
        return;
      case 0x05: // else
        this.else();
        return;
      case 0x0b: // end
        this.end();
        return;
      case 0x0c: // br
        this.branch(reader.u32());
        return;
      case 0x0d: // br_if
        this.branchIf(reader.u32());
        return;
      case 0x0e: // br_table
        this.branchTable();
        return;
      case 0x0f: // return
        this.branch(this.frames.length - 1);
        return;
      case 0x10: // call
        this.call(reader.u32());
        return;
      case 0x11: // call_indirect
        this.callIndirect();
        return;
      case 0x1a: // drop
        this.pop();
        return;
      case 0x1c: // select with a type
        reader.list(() => valueType(reader, 'a select'));
        this.select();
        return;
      case 0x1b: // select
        this.select();
        return;
      case 0x20: // local.get
        this.push(this.locals[reader.u32()]!);
        return;
      case 0x21: // local.set
        this.setLocal(reader.u32());
        return;
      case 0x22: // local.tee
        this.push(this.setLocal(reader.u32()));
        return;
      case 0x23: // global.get
        this.getGlobal(reader.u32());
        return;
      case 0x24: // global.set
        this.setGlobal(reader.u32());
        return;
      case 0x3f: // memory.size
        reader.byte();
        this.push(constant('i32', this.context.memoryPages));
        return;
      case 0x40: // memory.grow: it may always fail
        reader.byte();
        this.pop();
        this.push(constant('i32', -1));
        return;
      case 0x41: // i32.const
        this.push(constant('i32', reader.s32()));
        return;
      case 0x42: // i64.const
        this.push(constant('i64', reader.s64()));
        return;
      case 0xfc:
        this.bulkMemory(reader.u32());
        return;
      default:
        throw this.unsupported(opcode);
    }
  }

  // Straight lines

  private numeric(numeric: Numeric): void {
    const { type } = numeric;
    switch (numeric.kind) {
      case 'eqz':
        this.compare(negated(this.takeCondition()));
        return;
      case 'compare': {
        const right = this.pop();
        const left = this.pop();
        this.compare({ comparison: numeric.comparison, left, right });
        return;
      }
      case 'binary': {
        const right = this.pop();
        const left = this.pop();
        this.push(this.binary(numeric.operator, left, right, type));
        return;
      }
      case 'unary':
        this.push(this.unary(numeric.operator, this.pop(), type));
        return;
      case 'popcnt':
        this.push(populationCount(this.pop(), type, (...operands) => this.binary(...operands, type)));
        return;
    }
  }

  private binary(
    operator: (Instruction & { op: 'binary' })['operator'],
    left: Operand,
    right: Operand,
    type: ValueType,
  ): Register {
    const to = this.register(type);
    this.emit({ op: 'binary', operator, to, left, right });
    return to;
  }

  private unary(operator: UnaryOperator, from: Operand, type: ValueType): Register {
    const to = this.register(type);
    this.emit({ op: 'unary', operator, to, from });
    return to;
  }

  private compare(condition: Condition): void {
    const to = this.register('i32');
    this.emit({ op: 'compare', to, condition });
    this.push(to);
  }

  private select(): void {
    const condition = this.takeCondition();
    const whenFalse = this.pop();
    const whenTrue = this.pop();
    const to = this.register(whenTrue.type);
    this.emit({ op: 'select', to, condition, whenTrue, whenFalse });
    this.push(to);
  }

  private load({ type, bytes, signed }: Access): void {
    this.reader.u32(); // alignment, a hint
    const offset = this.reader.u32();
    const to = this.register(type);
    this.emit({ op: 'load', to, place: { address: this.pop(), offset, bytes }, signed });
    this.push(to);
  }

  private store({ bytes }: Access): void {
    this.reader.u32();
    const offset = this.reader.u32();
    const value = this.pop();
    this.emit({ op: 'store', place: { address: this.pop(), offset, bytes }, value });
  }

  private setLocal(index: number): Register {
    const local = this.locals[index]!;
    const value = this.pop();
    this.rescue(local);
    this.assign(local, value);
    return local;
  }

  private getGlobal(index: number): void {
    const { type, mutable, value } = this.context.module.globals[index]!;
    if (!mutable) {
      this.push(constant(type, value));
      return;
    }
    const to = this.register(type);
    this.emit({ op: 'load', to, place: this.globalPlace(index), signed: false });
    this.push(to);
  }

  private setGlobal(index: number): void {
    const value = this.pop();
    this.emit({ op: 'store', place: this.globalPlace(index), value });
  }

  private globalPlace(index: number) {
    const address = constant('i32', this.context.globalAddresses[index]!);
    return { address, offset: 0, bytes: this.context.module.globals[index]!.type === 'i32' ? 4 : 8 };
  }

  /* memory.copy and memory.fill; the rest of the group is about tables, passive segments and floats */
  private bulkMemory(code: number): void {
    if (code !== 10 && code !== 11) throw this.unsupported(0xfc00 | code);
    this.reader.take(code === 10 ? 2 : 1);
    const name = code === 10 ? 'memory.copy' : 'memory.fill';
    const operands = this.popMany(3);
    this.emit({ op: 'call', callee: { kind: 'machine', name }, operands, to: undefined });
  }

  // Calls

  private call(index: number): void {
    const { module, symbols, meanings } = this.context;
    const imported = module.imports[index];
    if (imported === undefined) {
      const { type } = module.functions[index - module.imports.length]!;
      this.callTo({ kind: 'function', symbol: symbols[index]! }, module.types[type]!);
      return;
    }
    const type = module.types[imported.type]!;
    const meaning = meanings[index]!;
    switch (meaning.kind) {
      case 'load': {
        const to = this.register(type.results[0]!);
        const place = { address: this.pop(), offset: 0, bytes: meaning.bytes };
        this.emit({ op: 'load', to, place, signed: false });
        this.push(to);
        return;
      }
      case 'store': {
        const value = this.pop();
        this.emit({
          op: 'store',
          place: { address: this.pop(), offset: 0, bytes: meaning.bytes },
          value,
        });
        return;
      }
      case 'address':
        this.push({ ...meaning, kind: 'symbol', type: type.results[0]! });
        return;
      default:
        this.callTo(meaning, type);
        return;
    }
  }

  private callIndirect(): void {
    const type = this.reader.u32();
    this.reader.u32(); // the one table
    this.callTo({ kind: 'table', type, index: this.pop() }, this.context.module.types[type]!);
  }

  private callTo(callee: Callee, { parameters, results }: FunctionType): void {
    const operands = this.popMany(parameters.length);
    const to = results[0] === undefined ? undefined : this.register(results[0]);
    this.emit({ op: 'call', callee, operands, to });
    if (to !== undefined) this.push(to);
  }

  // Control

  private open(opcode: number): void {
    const results = this.blockResults();
    const condition = opcode === 0x04 ? this.takeCondition() : undefined;
    this.rescue();
    const loops = this.frames[this.frames.length - 1]!.loops;
    const after = this.block(loops);
    if (opcode === 0x03) {
      const head = this.block(loops + 1);
      this.pushFrame(head, after, [], results, loops + 1);
      this.finishAndStart({ op: 'jump', target: head }, head);
      return;
    }
    const frame = this.pushFrame(after, after, results, results, loops);
    if (condition === undefined) return;
    const then = this.block(loops);
    frame.otherwise = this.block(loops);
    this.finishAndStart({ op: 'branch', condition, whenTrue: then, whenFalse: frame.otherwise }, then);
  }

  private blockResults(): readonly ValueType[] {
    const { reader } = this;
    if (reader.peek() === EMPTY_TYPE) {
      reader.byte();
      return [];
    }
    if ((reader.peek() & 0xc0) === 0x40) return [valueType(reader, 'a block')];
    const { parameters, results } = this.context.module.types[Number(reader.s64())]!;
    if (parameters.length > 0) throw this.error('expected blocks without parameters');
    return results;
  }

  private else(): void {
    const frame = this.frames[this.frames.length - 1]!;
    this.leave(frame);
    if (frame.reachable) this.start(frame.otherwise!);
    frame.otherwise = undefined;
  }

  private end(): void {
    const frame = this.frames[this.frames.length - 1]!;
    this.leave(frame);
    this.frames.pop();
    if (frame.reachable) {
      if (frame.otherwise !== undefined) {
        this.start(frame.otherwise);
        this.finish({ op: 'jump', target: frame.after });
      }
      this.start(frame.after);
    }
    this.stack.push(...frame.results);
  }

  /** Falls out of a frame at its end, or at its `else`: the values on the stack become its results. */
  private leave(frame: Frame): void {
    if (this.current !== undefined) {
      this.assignAll(frame.results, this.popMany(frame.results.length));
      this.finish({ op: 'jump', target: frame.after });
    }
    this.stack.length = frame.height;
  }

  private branch(depth: number): void {
    const frame = this.frameAt(depth);
    this.assignAll(frame.branchResults, this.popMany(frame.branchResults.length));
    this.finish({ op: 'jump', target: frame.target });
  }

  private branchIf(depth: number): void {
    const frame = this.frameAt(depth);
    const condition = this.takeCondition();
    this.copyTop(frame);
    const next = this.block(this.frameAt(0).loops);
    this.finishAndStart({ op: 'branch', condition, whenTrue: frame.target, whenFalse: next }, next);
  }

  private branchTable(): void {
    const frames = this.reader.list(() => this.frameAt(this.reader.u32()));
    const otherwise = this.frameAt(this.reader.u32());
    const index = this.pop();
    for (const frame of new Set([...frames, otherwise])) this.copyTop(frame);
    const targets = frames.map(({ target }) => target);
    this.finish({ op: 'switch', index, targets, otherwise: otherwise.target });
  }

  /** Copies the values that a branch takes along; they also stay where they are, for the path that goes on. */
  private copyTop({ branchResults }: Frame): void {
    const values = this.stack.slice(this.stack.length - branchResults.length);
    for (const [i, to] of branchResults.entries()) this.emit({ op: 'copy', to, from: values[i]! });
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
    const registers = results.map((type) => this.register(type));
    const frame: Frame = {
      target,
      after,
      branchResults: branchResults.length > 0 ? registers : [],
      results: registers,
      height: this.stack.length,
      otherwise: undefined,
      loops,
      reachable: this.current !== undefined,
    };
    this.frames.push(frame);
    return frame;
  }

  // Blocks

  private block(loopDepth: number): Block {
    return { index: -1, loopDepth, instructions: [], end: UNFINISHED };
  }

  /** Goes on in `block`, which comes next in the layout. */
  private start(block: Block): void {
    block.index = this.blocks.push(block) - 1;
    this.current = block;
  }

  /** Ends the current block. What follows cannot be reached until a block starts. */
  private finish(end: Terminator): void {
    if (this.current === undefined) return;
    this.current.end = end;
    this.current = undefined;
  }

  /** Ends the current block and goes on in the next, unless none of it can be reached. */
  private finishAndStart(end: Terminator, next: Block): void {
    if (this.current === undefined) return;
    this.finish(end);
    this.start(next);
  }

  private emit(instruction: Instruction): void {
    this.current?.instructions.push(instruction);
  }

  // Operands

  private register(type: ValueType): Register {
    return { kind: 'register', id: this.registerCount++, type };
  }

  private push(operand: Operand): void {
    this.stack.push(operand);
  }

  /** In code that cannot be reached the stack may run empty (core specification, 3.3): any value will do. */
  private pop(): Operand {
    const floor = this.frames[this.frames.length - 1]?.height ?? 0;
    if (this.stack.length > floor) return this.stack.pop()!;
    if (this.current !== undefined) throw this.error('malformed WebAssembly: expected an operand');
    return constant('i32', 0);
  }

  private popMany(count: number): Operand[] {
    return Array.from({ length: count }, () => this.pop()).reverse();
  }

  /** The topmost value as a condition: the comparison that has just made it, or whether it is not zero. */
  private takeCondition(): Condition {
    const value = this.pop();
    const last = this.current?.instructions.at(-1);
    if (last?.op === 'compare' && last.to === value && !this.isLocal(value)) {
      this.current!.instructions.pop();
      return last.condition;
    }
    if (last?.op === 'binary' && last.operator === 'and' && last.to === value && !this.isLocal(value)) {
      this.current!.instructions.pop();
      return { comparison: 'any', left: last.left, right: last.right };
    }
    return { comparison: 'ne', left: value, right: constant(value.type, 0) };
  }

  /** Gives a register a value: by the instruction that has just made it, if nothing else can want that value. */
  private assign(to: Register, from: Operand): void {
    const last = this.current?.instructions.at(-1);
    if (last !== undefined && last.op !== 'store' && resultOf(last) === from && !this.isLocal(from)) {
      last.to = to;
    } else if (from !== to) {
      this.emit({ op: 'copy', to, from });
    }
  }

  /** Several at once. A frame's results are read by nobody yet, so their order does not matter. */
  private assignAll(registers: readonly Register[], values: readonly Operand[]): void {
    if (registers.length === 1) {
      this.assign(registers[0]!, values[0]!);
      return;
    }
    for (const [i, to] of registers.entries()) this.emit({ op: 'copy', to, from: values[i]! });
  }

  private isLocal(operand: Operand): boolean {
    return operand.kind === 'register' && operand.id < this.locals.length;
  }

  /** Copies what the stack holds of `local`, or of any local, to registers of its own. */
  private rescue(local?: Register): void {
    for (const [i, operand] of this.stack.entries()) {
      if (operand.kind !== 'register' || !this.isLocal(operand)) continue;
      if (local !== undefined && operand !== local) continue;
      const copy = this.register(operand.type);
      this.emit({ op: 'copy', to: copy, from: operand });
      this.stack[i] = copy;
    }
  }

  private unsupported(opcode: number): TranslationError {
    return this.error(`expected integer instructions only, found opcode 0x${opcode.toString(16)}`);
  }

  private error(message: string): TranslationError {
    return new TranslationError(`${this.context.symbols[this.index]}: ${message}`);
  }
}
