/**
 * WebAssembly's integer instructions by opcode (core specification, 5.4): which operator of the intermediate form each
 * is, and on which type.
 */
import type { ValueType } from '../wasm/module.ts';
import type { BinaryOperator, Comparison, UnaryOperator } from './instruction.ts';

/** One numeric instruction. */
export type Numeric =
  | { readonly kind: 'eqz'; readonly type: ValueType }
  | { readonly kind: 'compare'; readonly type: ValueType; readonly comparison: Comparison }
  | { readonly kind: 'binary'; readonly type: ValueType; readonly operator: BinaryOperator }
  /** `type` is the result's. */
  | { readonly kind: 'unary'; readonly type: ValueType; readonly operator: UnaryOperator }
  | { readonly kind: 'popcnt'; readonly type: ValueType };

/** A load or store of `bytes` bytes; a shorter load extends to `type`. */
export interface Access {
  readonly type: ValueType;
  readonly bytes: number;
  readonly signed: boolean;
}

const COMPARISONS: readonly Comparison[] = [
  'eq',
  'ne',
  'lt_s',
  'lt_u',
  'gt_s',
  'gt_u',
  'le_s',
  'le_u',
  'ge_s',
  'ge_u',
];

const BINARY: readonly BinaryOperator[] = [
  'add',
  'sub',
  'mul',
  'div_s',
  'div_u',
  'rem_s',
  'rem_u',
  'and',
  'or',
  'xor',
  'shl',
  'shr_s',
  'shr_u',
  'rotl',
  'rotr',
];

/** The comparisons of one type stand together, and so do its operators: eqz, ten comparisons; clz, ctz, popcnt, 15 more. */
function family(type: ValueType, firstComparison: number, firstOperator: number): [number, Numeric][] {
  return [
    [firstComparison, { kind: 'eqz', type }],
    ...COMPARISONS.map((comparison, i): [number, Numeric] => [
      firstComparison + 1 + i,
      { kind: 'compare', type, comparison },
    ]),
    [firstOperator, { kind: 'unary', type, operator: 'clz' }],
    [firstOperator + 1, { kind: 'unary', type, operator: 'ctz' }],
    [firstOperator + 2, { kind: 'popcnt', type }],
    ...BINARY.map((operator, i): [number, Numeric] => [
      firstOperator + 3 + i,
      { kind: 'binary', type, operator },
    ]),
  ];
}

export const NUMERIC: ReadonlyMap<number, Numeric> = new Map([
  ...family('i32', 0x45, 0x67),
  ...family('i64', 0x50, 0x79),
  [0xa7, { kind: 'unary', type: 'i32', operator: 'wrap' }],
  [0xac, { kind: 'unary', type: 'i64', operator: 'extend_s' }],
  [0xad, { kind: 'unary', type: 'i64', operator: 'extend_u' }],
  [0xc0, { kind: 'unary', type: 'i32', operator: 'extend8_s' }],
  [0xc1, { kind: 'unary', type: 'i32', operator: 'extend16_s' }],
  [0xc2, { kind: 'unary', type: 'i64', operator: 'extend8_s' }],
  [0xc3, { kind: 'unary', type: 'i64', operator: 'extend16_s' }],
  [0xc4, { kind: 'unary', type: 'i64', operator: 'extend32_s' }],
]);

function access(type: ValueType, bytes: number, signed = false): Access {
  return { type, bytes, signed };
}

export const LOADS: ReadonlyMap<number, Access> = new Map([
  [0x28, access('i32', 4)],
  [0x29, access('i64', 8)],
  [0x2c, access('i32', 1, true)],
  [0x2d, access('i32', 1)],
  [0x2e, access('i32', 2, true)],
  [0x2f, access('i32', 2)],
  [0x30, access('i64', 1, true)],
  [0x31, access('i64', 1)],
  [0x32, access('i64', 2, true)],
  [0x33, access('i64', 2)],
  [0x34, access('i64', 4, true)],
  [0x35, access('i64', 4)],
]);

export const STORES: ReadonlyMap<number, Access> = new Map([
  [0x36, access('i32', 4)],
  [0x37, access('i64', 8)],
  [0x3a, access('i32', 1)],
  [0x3b, access('i32', 2)],
  [0x3c, access('i64', 1)],
  [0x3d, access('i64', 2)],
  [0x3e, access('i64', 4)],
]);
