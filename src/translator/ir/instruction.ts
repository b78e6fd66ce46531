/**
 * The intermediate form: a function as basic blocks of three-address instructions over virtual registers.
 *
 * It stands between WebAssembly, which has a stack and nested blocks, and a processor, which has registers and jumps. It
 * knows neither: word size, registers and calling convention come in with the target. A virtual register may be written
 * several times (this is no SSA form): WebAssembly's optimiser has already done what SSA would help with.
 *
 * An i32 stands for 32 bits and nothing above; what a 64-bit target keeps in the upper half is its own agreement.
 */
import type { ValueType } from '../wasm/module.ts';

export interface Register {
  readonly kind: 'register';
  readonly id: number;
  readonly type: ValueType;
}

export interface Constant {
  readonly kind: 'constant';
  readonly type: ValueType;
  /** As a signed number of its type. */
  readonly value: bigint;
}

/** The address of something in the image, known when the image is laid out. */
export interface SymbolAddress {
  readonly kind: 'symbol';
  readonly type: ValueType;
  readonly symbol: string;
  /** An i32 address of the module's memory rather than a native one. */
  readonly inModule: boolean;
}

export type Operand = Register | Constant | SymbolAddress;

export type BinaryOperator =
  | 'add'
  | 'sub'
  | 'mul'
  | 'div_s'
  | 'div_u'
  | 'rem_s'
  | 'rem_u'
  | 'and'
  | 'or'
  | 'xor'
  | 'shl'
  | 'shr_s'
  | 'shr_u'
  | 'rotl'
  | 'rotr';

export type UnaryOperator =
  | 'clz'
  | 'ctz'
  | 'extend8_s'
  | 'extend16_s'
  | 'extend32_s'
  /** i64 → i32, the low half. */
  | 'wrap'
  /** i32 → i64, with zeros. */
  | 'extend_u'
  /** i32 → i64, with the sign. */
  | 'extend_s';

export type Comparison =
  | 'eq'
  | 'ne'
  | 'lt_s'
  | 'lt_u'
  | 'gt_s'
  | 'gt_u'
  | 'le_s'
  | 'le_u'
  | 'ge_s'
  | 'ge_u'
  /** Whether any bit, or none, is set in both. */
  | 'any'
  | 'none';

/** A comparison of two operands of one type. */
export interface Condition {
  readonly comparison: Comparison;
  readonly left: Operand;
  readonly right: Operand;
}

/** Why a program can stop itself. Division by zero is the processor's own exception instead. */
export type TrapKind = 'unreachable' | 'undefined table element' | 'indirect call of another type';

/** A place in memory: an i32 is an address of the module's memory, an i64 a native one. */
export interface Place {
  readonly address: Operand;
  /** Bytes, added without wrapping. */
  readonly offset: number;
  /** 1, 2, 4 or 8. */
  readonly bytes: number;
}

/** What is called. */
export type Callee =
  | { readonly kind: 'function'; readonly symbol: string }
  /** Through the module's table; the type's index is compared first. */
  | { readonly kind: 'table'; readonly type: number; readonly index: Operand }
  /** What only the machine can do: a sequence of instructions in the call's place, or a routine of the target's. */
  | { readonly kind: 'machine'; readonly name: string }
  /** Through a slot of the operation table: a patch site of `room` bytes at least. */
  | { readonly kind: 'operation'; readonly name: string; readonly room: number };

export type Instruction =
  | { readonly op: 'copy'; to: Register; readonly from: Operand }
  | {
      readonly op: 'binary';
      readonly operator: BinaryOperator;
      to: Register;
      readonly left: Operand;
      readonly right: Operand;
    }
  | { readonly op: 'unary'; readonly operator: UnaryOperator; to: Register; readonly from: Operand }
  | { readonly op: 'compare'; to: Register; readonly condition: Condition }
  | {
      readonly op: 'select';
      to: Register;
      readonly condition: Condition;
      readonly whenTrue: Operand;
      readonly whenFalse: Operand;
    }
  | { readonly op: 'load'; to: Register; readonly place: Place; readonly signed: boolean }
  | { readonly op: 'store'; readonly place: Place; readonly value: Operand }
  | {
      readonly op: 'call';
      readonly callee: Callee;
      readonly operands: readonly Operand[];
      to: Register | undefined;
    };

/** How a block ends. */
export type Terminator =
  | { readonly op: 'jump'; readonly target: Block }
  | {
      readonly op: 'branch';
      readonly condition: Condition;
      readonly whenTrue: Block;
      readonly whenFalse: Block;
    }
  | {
      readonly op: 'switch';
      readonly index: Operand;
      readonly targets: readonly Block[];
      readonly otherwise: Block;
    }
  | { readonly op: 'return'; readonly value: Operand | undefined }
  | { readonly op: 'trap'; readonly trap: TrapKind };

export interface Block {
  /** Its place in the function's list of blocks. */
  index: number;
  /** How many loops it stands in. */
  readonly loopDepth: number;
  instructions: Instruction[];
  end: Terminator;
}

export interface IrFunction {
  readonly symbol: string;
  readonly parameters: readonly Register[];
  /** In the order in which they are laid out; the first is the entry. */
  readonly blocks: readonly Block[];
  /** How many virtual registers there are: their ids lie below. */
  readonly registerCount: number;
}

/** The operands that an instruction reads. */
export function operandsOf(instruction: Instruction): readonly Operand[] {
  switch (instruction.op) {
    case 'copy':
    case 'unary':
      return [instruction.from];
    case 'binary':
      return [instruction.left, instruction.right];
    case 'compare':
      return [instruction.condition.left, instruction.condition.right];
    case 'select': {
      const { condition, whenTrue, whenFalse } = instruction;
      return [condition.left, condition.right, whenTrue, whenFalse];
    }
    case 'load':
      return [instruction.place.address];
    case 'store':
      return [instruction.place.address, instruction.value];
    case 'call': {
      const { callee, operands } = instruction;
      return callee.kind === 'table' ? [callee.index, ...operands] : operands;
    }
  }
}

/** The register that an instruction writes. */
export function resultOf(instruction: Instruction): Register | undefined {
  return instruction.op === 'store' ? undefined : instruction.to;
}

/** Whether an instruction may be left out when nobody reads its result. A load may not: it may be there for its fault. */
export function isPure(instruction: Instruction): boolean {
  switch (instruction.op) {
    case 'store':
    case 'call':
    case 'load':
      return false;
    case 'binary':
      return !/^(div|rem)/.test(instruction.operator);
    default:
      return true;
  }
}

/** The operands that a block's end reads. */
export function endOperands(end: Terminator): readonly Operand[] {
  switch (end.op) {
    case 'branch':
      return [end.condition.left, end.condition.right];
    case 'switch':
      return [end.index];
    case 'return':
      return end.value === undefined ? [] : [end.value];
    default:
      return [];
  }
}

/** The blocks that can follow. */
export function successors(end: Terminator): readonly Block[] {
  switch (end.op) {
    case 'jump':
      return [end.target];
    case 'branch':
      return [end.whenTrue, end.whenFalse];
    case 'switch':
      return [...end.targets, end.otherwise];
    default:
      return [];
  }
}

const NEGATED: Readonly<Record<Comparison, Comparison>> = {
  eq: 'ne',
  ne: 'eq',
  lt_s: 'ge_s',
  ge_s: 'lt_s',
  lt_u: 'ge_u',
  ge_u: 'lt_u',
  gt_s: 'le_s',
  le_s: 'gt_s',
  gt_u: 'le_u',
  le_u: 'gt_u',
  any: 'none',
  none: 'any',
};

const MIRRORED: Readonly<Record<Comparison, Comparison>> = {
  eq: 'eq',
  ne: 'ne',
  lt_s: 'gt_s',
  gt_s: 'lt_s',
  lt_u: 'gt_u',
  gt_u: 'lt_u',
  le_s: 'ge_s',
  ge_s: 'le_s',
  le_u: 'ge_u',
  ge_u: 'le_u',
  any: 'any',
  none: 'none',
};

/** The condition that holds where `condition` does not. */
export function negated(condition: Condition): Condition {
  return { ...condition, comparison: NEGATED[condition.comparison] };
}

/** The same condition, its operands exchanged. */
export function mirrored({ comparison, left, right }: Condition): Condition {
  return { comparison: MIRRORED[comparison], left: right, right: left };
}

export function constant(type: ValueType, value: bigint | number): Constant {
  return { kind: 'constant', type, value: BigInt.asIntN(type === 'i32' ? 32 : 64, BigInt(value)) };
}
