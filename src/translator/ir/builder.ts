/**
 * Turns one WebAssembly function into the intermediate form: the operand stack becomes virtual registers, nested blocks
 * become basic blocks.
 *
 * A local is a virtual register, and so is each value that an instruction leaves on the stack (`operand-stack.ts`). Blocks,
 * loops and branches are `control-flow.ts`, the basic blocks that come out `block-writer.ts`; here stands what is straight.
 *
 * A comparison that a branch, a `select` or an `eqz` takes at once is folded into it, and so is a constant that is added to
 * a machine address for one load.
 */
import { TranslationError } from '../error.ts';
import { type FunctionType, type ValueType, valueType, type WasmModule } from '../wasm/module.ts';
import { WasmReader } from '../wasm/reader.ts';
import { BlockWriter } from './block-writer.ts';
import { ControlFlow } from './control-flow.ts';
import type { ImportMeaning } from './imports.ts';
import {
  type Callee,
  type Condition,
  constant,
  type Instruction,
  type IrFunction,
  negated,
  type Operand,
  type Register,
  type UnaryOperator,
} from './instruction.ts';
import { OperandStack } from './operand-stack.ts';
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

/** Larger ones are no fields of a structure. */
const SMALL_OFFSET = 0x10000n;

export class FunctionBuilder {
  private readonly context: ModuleContext;
  private readonly index: number;
  private readonly reader: WasmReader;
  private readonly writer: BlockWriter;
  private readonly stack: OperandStack;
  private readonly control: ControlFlow;

  /** `index` counts all functions, imported ones first. */
  constructor(context: ModuleContext, index: number) {
    const { module } = context;
    const { type, locals, body } = module.functions[index - module.imports.length]!;
    this.context = context;
    this.index = index;
    this.reader = new WasmReader(body);
    this.writer = new BlockWriter([...module.types[type]!.parameters, ...locals]);
    this.stack = new OperandStack(this.writer);
    this.control = new ControlFlow(this.writer, this.stack, this.reader, module.types);
  }

  /** The function in the intermediate form. Raises TranslationError where its code is not for a kernel. */
  build(): IrFunction {
    const { writer } = this;
    const { module, symbols } = this.context;
    const { type } = module.functions[this.index - module.imports.length]!;
    const { parameters, results } = module.types[type]!;
    writer.start(writer.block(0));
    for (const local of writer.locals.slice(parameters.length)) {
      writer.emit({ op: 'copy', to: local, from: constant(local.type, 0) });
    }
    this.control.openFunction(results);
    while (!this.control.ended) this.instruction(this.reader.byte());
    writer.finish({
      op: 'return',
      value: writer.reachable ? this.stack.popMany(results.length)[0] : undefined,
    });
    return {
      symbol: symbols[this.index]!,
      parameters: writer.locals.slice(0, parameters.length),
      blocks: writer.blocks,
      registerCount: writer.registerCount,
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
        this.writer.finish({ op: 'trap', trap: 'unreachable' });
        return;
      case 0x01: // nop
        return;
      case 0x02: // block
      case 0x03: // loop
      case 0x04: // if
        this.control.open(opcode);
        return;
      case 0x05: // else
        this.control.else();
        return;
      case 0x0b: // end
        this.control.end();
        return;
      case 0x0c: // br
        this.control.branch(reader.u32());
        return;
      case 0x0d: // br_if
        this.control.branchIf(reader.u32());
        return;
      case 0x0e: // br_table
        this.control.branchTable();
        return;
      case 0x0f: // return
        this.control.leaveFunction();
        return;
      case 0x10: // call
        this.call(reader.u32());
        return;
      case 0x11: // call_indirect
        this.callIndirect();
        return;
      case 0x1a: // drop
        this.stack.pop();
        return;
      case 0x1c: // select with a type
        reader.list(() => valueType(reader, 'a select'));
        this.select();
        return;
      case 0x1b: // select
        this.select();
        return;
      case 0x20: // local.get
        this.stack.push(this.writer.locals[reader.u32()]!);
        return;
      case 0x21: // local.set
        this.setLocal(reader.u32());
        return;
      case 0x22: // local.tee
        this.stack.push(this.setLocal(reader.u32()));
        return;
      case 0x23: // global.get
        this.getGlobal(reader.u32());
        return;
      case 0x24: // global.set
        this.setGlobal(reader.u32());
        return;
      case 0x3f: // memory.size
        reader.byte();
        this.stack.push(constant('i32', this.context.memoryPages));
        return;
      case 0x40: // memory.grow: it may always fail
        reader.byte();
        this.stack.pop();
        this.stack.push(constant('i32', -1));
        return;
      case 0x41: // i32.const
        this.stack.push(constant('i32', reader.s32()));
        return;
      case 0x42: // i64.const
        this.stack.push(constant('i64', reader.s64()));
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
        this.compare(negated(this.stack.popCondition()));
        return;
      case 'compare': {
        const right = this.stack.pop();
        const left = this.stack.pop();
        this.compare({ comparison: numeric.comparison, left, right });
        return;
      }
      case 'binary': {
        const right = this.stack.pop();
        const left = this.stack.pop();
        this.stack.push(this.binary(numeric.operator, left, right, type));
        return;
      }
      case 'unary':
        this.stack.push(this.unary(numeric.operator, this.stack.pop(), type));
        return;
      case 'popcnt':
        this.stack.push(
          populationCount(this.stack.pop(), type, (...operands) => this.binary(...operands, type)),
        );
        return;
    }
  }

  private binary(
    operator: (Instruction & { op: 'binary' })['operator'],
    left: Operand,
    right: Operand,
    type: ValueType,
  ): Register {
    const to = this.writer.register(type);
    this.writer.emit({ op: 'binary', operator, to, left, right });
    return to;
  }

  private unary(operator: UnaryOperator, from: Operand, type: ValueType): Register {
    const to = this.writer.register(type);
    this.writer.emit({ op: 'unary', operator, to, from });
    return to;
  }

  private compare(condition: Condition): void {
    const to = this.writer.register('i32');
    this.writer.emit({ op: 'compare', to, condition });
    this.stack.push(to);
  }

  private select(): void {
    const condition = this.stack.popCondition();
    const whenFalse = this.stack.pop();
    const whenTrue = this.stack.pop();
    const to = this.writer.register(whenTrue.type);
    this.writer.emit({ op: 'select', to, condition, whenTrue, whenFalse });
    this.stack.push(to);
  }

  private load({ type, bytes, signed }: Access): void {
    this.reader.u32(); // alignment, a hint
    const offset = this.reader.u32();
    const to = this.writer.register(type);
    this.writer.emit({ op: 'load', to, place: { address: this.stack.pop(), offset, bytes }, signed });
    this.stack.push(to);
  }

  private store({ bytes }: Access): void {
    this.reader.u32();
    const offset = this.reader.u32();
    const value = this.stack.pop();
    this.writer.emit({ op: 'store', place: { address: this.stack.pop(), offset, bytes }, value });
  }

  private setLocal(index: number): Register {
    const local = this.writer.locals[index]!;
    const value = this.stack.pop();
    this.stack.rescue(local);
    this.writer.assign(local, value);
    return local;
  }

  private getGlobal(index: number): void {
    const { type, mutable, value } = this.context.module.globals[index]!;
    if (!mutable) {
      this.stack.push(constant(type, value));
      return;
    }
    const to = this.writer.register(type);
    this.writer.emit({ op: 'load', to, place: this.globalPlace(index), signed: false });
    this.stack.push(to);
  }

  private setGlobal(index: number): void {
    const value = this.stack.pop();
    this.writer.emit({ op: 'store', place: this.globalPlace(index), value });
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
    const operands = this.stack.popMany(3);
    this.writer.emit({ op: 'call', callee: { kind: 'machine', name }, operands, to: undefined });
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
        const to = this.writer.register(type.results[0]!);
        const place = { ...this.popMachineAddress(), bytes: meaning.bytes };
        this.writer.emit({ op: 'load', to, place, signed: false });
        this.stack.push(to);
        return;
      }
      case 'store': {
        const value = this.stack.pop();
        this.writer.emit({
          op: 'store',
          place: { address: this.stack.pop(), offset: 0, bytes: meaning.bytes },
          value,
        });
        return;
      }
      case 'address':
        this.stack.push({ ...meaning, kind: 'symbol', type: type.results[0]! });
        return;
      default:
        this.callTo(meaning, type);
        return;
    }
  }

  /** A machine address, of which a constant that has just been added is the offset: both wrap at 64 bits. */
  private popMachineAddress(): { address: Operand; offset: number } {
    const address = this.stack.pop();
    const sum = this.writer.takeBack(address, 'binary');
    if (sum === undefined) return { address, offset: 0 };
    const { operator, left, right } = sum;
    if (operator === 'add' && right.kind === 'constant' && right.value >= 0n && right.value < SMALL_OFFSET) {
      return { address: left, offset: Number(right.value) };
    }
    this.writer.emit(sum);
    return { address, offset: 0 };
  }

  private callIndirect(): void {
    const type = this.reader.u32();
    this.reader.u32(); // the one table
    this.callTo({ kind: 'table', type, index: this.stack.pop() }, this.context.module.types[type]!);
  }

  private callTo(callee: Callee, { parameters, results }: FunctionType): void {
    const operands = this.stack.popMany(parameters.length);
    const to = results[0] === undefined ? undefined : this.writer.register(results[0]);
    this.writer.emit({ op: 'call', callee, operands, to });
    if (to !== undefined) this.stack.push(to);
  }

  private unsupported(opcode: number): TranslationError {
    return new TranslationError(`expected integer instructions only, found opcode 0x${opcode.toString(16)}`);
  }
}
