/**
 * Builds the body of one WebAssembly function, statement by statement.
 *
 * Structured control is nested callbacks: `f.if(condition, () => …, () => …)`. A label is an object that remembers its
 * depth, so that a branch cannot be miscounted. Locals come from a pool by type; `f.scope(() => …)` gives those bound
 * inside it back, which keeps functions of a thousand cases to a handful of locals.
 */
import { ByteWriter } from './bytes.ts';
import { type Expression, F32, F64, I32, I64, Kind, localGet, V128, type ValueType } from './expression.ts';
import type { CallSite } from './linking.ts';

/** A local variable; as an expression, its value. */
export type Local = Expression;

export interface Label {
  readonly depth: number;
}

export interface FunctionReference {
  readonly index: number;
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/**
 * What a call through a table says beside its operands. `callee` stands for the function that it usually leads to, if that is
 * known: `linkCalls` may make it direct, and repeats the entry for that, which must be a local then.
 */
export interface IndirectCall {
  readonly type: number;
  readonly table: number;
  readonly callee?: number | undefined;
}

const EMPTY_BLOCK = 0x40;

export class FunctionBuilder implements FunctionReference {
  readonly index: number;
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
  private readonly code = new ByteWriter(64);
  private readonly localTypes: ValueType[] = [];
  private readonly free = new Map<ValueType, Local[]>();
  private bound: Local[] = [];
  private depth = 0;
  private readonly unlikely: number[] = [];
  private readonly calls: CallSite[] = [];

  /** How many blocks, loops and arms are open: code at depth 0 runs whenever the function does. */
  get nesting(): number {
    return this.depth;
  }

  /** Bytes of code so far. */
  get codeLength(): number {
    return this.code.length;
  }

  constructor(index: number, parameters: readonly ValueType[], results: readonly ValueType[]) {
    this.index = index;
    this.parameters = parameters;
    this.results = results;
  }

  /** The function's n-th parameter. */
  parameter(n: number): Local {
    return localGet(n, this.parameters[n]!);
  }

  /** A fresh local, zero at first use only if never reused: initialise it. */
  local(type: ValueType): Local {
    const reused = this.free.get(type)?.pop();
    const local = reused ?? localGet(this.parameters.length + this.localTypes.push(type) - 1, type);
    this.bound.push(local);
    return local;
  }

  /** Locals that `body` binds may be reused after it. */
  scope(body: () => void): void {
    const outer = this.bound;
    this.bound = [];
    body();
    for (const local of this.bound) {
      const pool = this.free.get(local.type);
      if (pool === undefined) this.free.set(local.type, [local]);
      else pool.push(local);
    }
    this.bound = outer;
  }

  /** Evaluates now, once: binds the value to a local. Constants and locals that nobody else sets pass through `let` too. */
  let(value: Expression): Local {
    if (value.kind === Kind.Const) return value;
    const local = this.local(value.type);
    this.set(local, value);
    return local;
  }

  /** Binds a value to a local that may be set again. */
  variable(value: Expression): Local {
    const local = this.local(value.type);
    this.set(local, value);
    return local;
  }

  set(local: Local, value: Expression): void {
    if (local.kind !== Kind.Local) throw new TypeError('a value that is set must be a local');
    if (local.type !== value.type) throw new TypeError('local and value differ in type');
    this.emit(value);
    this.code.byte(0x21);
    this.code.unsigned(local.code);
  }

  store8(address: Expression, value: Expression, offset = 0): void {
    this.store(value.type === I32 ? 0x3a : 0x3c, address, value, offset);
  }
  store16(address: Expression, value: Expression, offset = 0): void {
    this.store(value.type === I32 ? 0x3b : 0x3d, address, value, offset);
  }
  store32(address: Expression, value: Expression, offset = 0): void {
    this.store(value.type === I32 ? 0x36 : 0x3e, address, value, offset);
  }
  store64(address: Expression, value: Expression, offset = 0): void {
    this.store(0x37, address, value, offset);
  }
  storeF64(address: Expression, value: Expression, offset = 0): void {
    this.store(0x39, address, value, offset);
  }
  store128(address: Expression, value: Expression, offset = 0): void {
    this.emit(address);
    this.emit(value);
    this.code.byte(0xfd);
    this.code.unsigned(11);
    this.memoryArgument(offset);
  }

  private store(opcode: number, address: Expression, value: Expression, offset: number): void {
    this.emit(address);
    this.emit(value);
    this.code.byte(opcode);
    this.memoryArgument(offset);
  }

  private memoryArgument(offset: number): void {
    this.code.byte(0); // alignment is only a hint
    this.code.unsigned(offset);
  }

  /** An arm that a constant condition rules out is not emitted. */
  if(condition: Expression, then: () => void, otherwise?: () => void): void {
    if (condition.kind === Kind.Const) {
      if (condition.low !== 0) then();
      else otherwise?.();
      return;
    }
    this.emit(condition);
    this.open(0x04, then, otherwise);
  }

  /** An `if` that is hardly ever taken; the JavaScript engine may be told (see `hints`). */
  ifUnlikely(condition: Expression, then: () => void): void {
    if (condition.kind === Kind.Const) {
      this.if(condition, then);
      return;
    }
    this.emit(condition);
    this.unlikely.push(this.code.length);
    this.open(0x04, then);
  }

  /** `condition ? then : otherwise`, only one evaluated; both run as statement lists that end in a value. */
  ifValue(
    type: ValueType,
    condition: Expression,
    then: () => Expression,
    otherwise: () => Expression,
  ): Local {
    const result = this.local(type);
    this.if(
      condition,
      () => this.set(result, then()),
      () => this.set(result, otherwise()),
    );
    return result;
  }

  block(body: (end: Label) => void): void {
    this.open(0x02, body);
  }

  loop(body: (start: Label) => void): void {
    this.open(0x03, body);
  }

  private open(opcode: number, body: (label: Label) => void, otherwise?: () => void): void {
    this.code.byte(opcode);
    this.code.byte(EMPTY_BLOCK);
    this.depth++;
    body({ depth: this.depth });
    if (otherwise !== undefined) {
      this.code.byte(0x05);
      otherwise();
    }
    this.depth--;
    this.code.byte(0x0b);
  }

  br(label: Label): void {
    this.code.byte(0x0c);
    this.code.unsigned(this.depth - label.depth);
  }

  brIf(label: Label, condition: Expression): void {
    this.emit(condition);
    this.code.byte(0x0d);
    this.code.unsigned(this.depth - label.depth);
  }

  /**
   * A switch: `cases[i]` runs for value i, `otherwise` for every other. A case that reaches its end falls out of the
   * switch. Cases run outside the scope of locals bound by one another.
   */
  switch(index: Expression, cases: readonly (() => void)[], otherwise: () => void): void {
    const count = cases.length;
    this.block((end) => {
      // One block a case, the first innermost: branching to block i lands right before case i.
      for (let i = 0; i <= count; i++) {
        this.code.byte(0x02);
        this.code.byte(EMPTY_BLOCK);
        this.depth++;
      }
      this.emit(index);
      this.code.byte(0x0e);
      this.code.unsigned(count);
      for (let i = 0; i <= count; i++) this.code.unsigned(i);
      for (let i = 0; i <= count; i++) {
        this.depth--;
        this.code.byte(0x0b);
        this.scope(i < count ? cases[i]! : otherwise);
        if (i < count) this.br(end);
      }
    });
  }

  /** A switch whose table maps each value to the number of a case: many values may share one. */
  switchTable(
    index: Expression,
    table: readonly number[],
    cases: readonly (() => void)[],
    otherwise: number,
  ): void {
    const count = cases.length;
    for (let i = 0; i < count; i++) {
      this.code.byte(0x02);
      this.code.byte(EMPTY_BLOCK);
      this.depth++;
    }
    this.emit(index);
    this.code.byte(0x0e);
    this.code.unsigned(table.length);
    for (const target of table) this.code.unsigned(target);
    this.code.unsigned(otherwise);
    for (let i = 0; i < count; i++) {
      this.depth--;
      this.code.byte(0x0b);
      this.scope(cases[i]!);
    }
  }

  return(...values: Expression[]): void {
    for (const value of values) this.emit(value);
    this.code.byte(0x0f);
  }

  unreachable(): void {
    this.code.byte(0x00);
  }

  /** Evaluates a call for its effect, dropping its results. */
  run(callExpression: Expression, results = 1): void {
    this.emit(callExpression);
    for (let i = 0; i < results; i++) this.code.byte(0x1a);
  }

  /** memory.copy and memory.fill, in bytes. */
  memoryCopy(to: Expression, from: Expression, length: Expression): void {
    this.emit(to);
    this.emit(from);
    this.emit(length);
    this.code.append(Uint8Array.of(0xfc, 0x0a, 0, 0));
  }
  memoryFill(to: Expression, value: Expression, length: Expression): void {
    this.emit(to);
    this.emit(value);
    this.emit(length);
    this.code.append(Uint8Array.of(0xfc, 0x0b, 0));
  }

  /** A tail call. */
  returnCall(target: FunctionReference, ...operands: Expression[]): void {
    for (const operand of operands) this.emit(operand);
    this.code.byte(0x12);
    this.code.unsigned(target.index);
  }

  /** A tail call through a table. */
  returnCallIndirect(call: IndirectCall, entry: Expression, ...operands: Expression[]): void {
    this.callThroughTable(0x13, call, entry, operands, []);
  }

  /** A call through a table that gives several results, the first to the first local. */
  callIndirectInto(
    results: readonly Local[],
    call: IndirectCall,
    entry: Expression,
    ...operands: Expression[]
  ): void {
    this.callThroughTable(0x11, call, entry, operands, results);
  }

  private callThroughTable(
    opcode: number,
    { type, table, callee }: IndirectCall,
    entry: Expression,
    operands: readonly Expression[],
    results: readonly Local[],
  ): void {
    const { code } = this;
    const start = code.length;
    for (const operand of operands) this.emit(operand);
    const entryAt = code.length;
    this.emit(entry);
    const call = code.length;
    code.byte(opcode);
    code.unsigned(type);
    code.unsigned(table);
    for (let i = results.length - 1; i >= 0; i--) {
      code.byte(0x21);
      code.unsigned(results[i]!.code);
    }
    if (callee !== undefined) {
      this.calls.push({ callee, operands: start, entry: entryAt, call, end: code.length });
    }
  }

  private emit(e: Expression): void {
    const { code } = this;
    switch (e.kind) {
      case Kind.Const:
        if (e.type === I32) {
          code.byte(0x41);
          code.signed(e.low);
        } else if (e.type === I64) {
          code.byte(0x42);
          code.signed64(e.low, e.high);
        } else {
          code.byte(e.type === F32 ? 0x43 : 0x44);
          for (let i = 0; i < 4; i++) code.byte((e.low >>> (8 * i)) & 0xff);
          if (e.type === F64) for (let i = 0; i < 4; i++) code.byte((e.high >>> (8 * i)) & 0xff);
        }
        return;
      case Kind.Local:
        code.byte(0x20);
        code.unsigned(e.code);
        return;
      case Kind.Load:
        this.emit(e.operands[0]!);
        code.byte(e.code);
        this.memoryArgument(e.low);
        return;
      case Kind.Call:
        for (const operand of e.operands) this.emit(operand);
        code.byte(0x10);
        code.unsigned(e.code);
        return;
      case Kind.CallIndirect:
        for (const operand of e.operands) this.emit(operand);
        code.byte(0x11);
        code.unsigned(e.code);
        code.unsigned(e.low);
        return;
      case Kind.Simd:
        for (const operand of e.operands) this.emit(operand);
        code.byte(0xfd);
        code.unsigned(e.code);
        if (e.code <= 11) this.memoryArgument(e.low);
        else if (e.bytes !== undefined) code.append(e.bytes);
        else if (e.code >= 21 && e.code <= 34) code.byte(e.low);
        return;
      default:
        for (const operand of e.operands) this.emit(operand);
        if (e.code >= 0xfc00) {
          code.byte(0xfc);
          code.unsigned(e.code & 0xff);
        } else {
          code.byte(e.code);
        }
    }
  }

  /** The declarations of the locals. */
  private head(): ByteWriter {
    const head = new ByteWriter(16);
    const runs: [ValueType, number][] = [];
    for (const type of this.localTypes) {
      const last = runs[runs.length - 1];
      if (last !== undefined && last[0] === type) last[1]++;
      else runs.push([type, 1]);
    }
    head.unsigned(runs.length);
    for (const [type, count] of runs) {
      head.unsigned(count);
      head.byte(type);
    }
    return head;
  }

  /** The calls through tables that `linkCalls` may make direct: those whose callee was given. */
  callSites(): CallSite[] {
    const { length } = this.head();
    return this.calls.map(({ callee, operands, entry, call, end }) => ({
      callee,
      operands: length + operands,
      entry: length + entry,
      call: length + call,
      end: length + end,
    }));
  }

  /** Where in the body, counted from the declarations of the locals, branches stand that are hardly ever taken. */
  hints(): number[] {
    const { length } = this.head();
    return this.unlikely.map((at) => length + at);
  }

  /** The body as the code section wants it: locals, instructions, end. */
  finish(): Uint8Array {
    const head = this.head();
    const body = new ByteWriter(head.length + this.code.length + 6);
    body.unsigned(head.length + this.code.length + 1);
    body.append(head.bytes.subarray(0, head.length));
    body.append(this.code.bytes.subarray(0, this.code.length));
    body.byte(0x0b);
    return body.bytes.subarray(0, body.length);
  }
}

export type { ValueType };
export { F32, F64, I32, I64, V128 };
