/**
 * Single and double precision, for code that is written over either: lanes, scalars, and the tests that say when
 * WebAssembly's arithmetic gives what the processor gives.
 *
 * WebAssembly computes in round-to-nearest with denormals, and shows neither exceptions nor defined NaN bits. So a fast
 * result stands only if the modes are those, all exceptions are masked, no operand is a NaN, an infinity or a denormal, the
 * result neither overflows nor may have underflowed, and "inexact" is either recorded already or provably not due.
 */
import {
  add,
  and,
  ctz,
  type Expression,
  eq,
  F32,
  F64,
  f32,
  f64,
  geS,
  gtS,
  I32,
  I64,
  i32,
  i64,
  i64Halves,
  Kind,
  loadF32,
  loadF64,
  ltS,
  mul,
  or,
  reinterpretF32ToI32,
  reinterpretF64ToI64,
  reinterpretI32ToF32,
  reinterpretI64ToF64,
  sub,
  type ValueType,
} from '../../../wasm/expression.ts';
import { CPU_MXCSR } from '../../layout.ts';
import type { Emitter } from '../emitter.ts';
import { bits, type FloatLanes, f32x4, f64x2, i32x4, i64x2 } from './vector.ts';

export interface FloatFormat {
  /** Beginning of the names of its support functions. */
  readonly name: 'f32' | 'f64';
  readonly bytes: 4 | 8;
  /** Lanes in a vector. */
  readonly count: 4 | 2;
  readonly type: typeof F32 | typeof F64;
  readonly integer: typeof I32 | typeof I64;
  readonly lanes: FloatLanes;
  readonly integerLanes: typeof i32x4 | typeof i64x2;
  readonly load: (address: Expression, offset?: number) => Expression;
  readonly constant: (value: number) => Expression;
  readonly toBits: (value: Expression) => Expression;
  readonly fromBits: (value: Expression) => Expression;
  readonly abs: (value: Expression) => Expression;
  /** Least positive normal number. */
  readonly least: number;
  /** Number of significand bits with the leading one, and that one's place as a constant. */
  readonly precision: number;
  readonly leading: Expression;
}

/** A node of the expression tree that `expression.ts` has no constructor for. */
function operation(code: number, type: ValueType, ...operands: Expression[]): Expression {
  return { kind: Kind.Operation, type, code, low: 0, high: 0, operands };
}

export const SINGLE: FloatFormat = {
  name: 'f32',
  bytes: 4,
  count: 4,
  type: F32,
  integer: I32,
  lanes: f32x4,
  integerLanes: i32x4,
  load: loadF32,
  constant: f32,
  toBits: reinterpretF32ToI32,
  fromBits: reinterpretI32ToF32,
  abs: (a) => operation(0x8b, F32, a),
  least: 2 ** -126,
  precision: 24,
  leading: i32(0x800000),
};
export const DOUBLE: FloatFormat = {
  name: 'f64',
  bytes: 8,
  count: 2,
  type: F64,
  integer: I64,
  lanes: f64x2,
  integerLanes: i64x2,
  load: loadF64,
  constant: f64,
  toBits: reinterpretF64ToI64,
  fromBits: reinterpretI64ToF64,
  abs: (a) => operation(0x99, F64, a),
  least: 2 ** -1022,
  precision: 53,
  leading: i64Halves(0, 0x100000),
};

export const toSingle = (a: Expression): Expression => operation(0xb6, F32, a);
export const toDouble = (a: Expression): Expression => operation(0xbb, F64, a);
/** An integer of either width as a number, rounded to nearest. */
export function fromInteger(format: FloatFormat, value: Expression): Expression {
  const code = format.type === F64 ? (value.type === I64 ? 0xb9 : 0xb7) : value.type === I64 ? 0xb4 : 0xb2;
  return operation(code, format.type, value);
}
/** A number towards zero as an integer, saturated; a NaN gives zero. */
export function truncateToInteger(value: Expression, type: ValueType): Expression {
  const wide = type === I64 ? 4 : 0;
  return operation(0xfc00 + wide + (value.type === F64 ? 2 : 0), type, value);
}
export const nearest = (a: Expression): Expression => operation(a.type === F64 ? 0x9e : 0x90, a.type, a);

/** MXCSR: the exception masks, rounding control, FTZ and DAZ; and what they are when arithmetic may be fast. */
const MODES = 0xffc0;
const USUAL_MODES = 0x1f80;
export const PRECISION_FLAG = 0x20;
export const PRECISION_MASK = 0x1000;
export const ROUNDING_CONTROL = 0x6000;

export function modesUsual(mxcsr: Expression): Expression {
  return eq(and(mxcsr, i32(MODES)), i32(USUAL_MODES));
}
/** Usual modes, and "inexact" recorded: any ordinary result stands. */
export function modesSticky(mxcsr: Expression): Expression {
  return eq(and(mxcsr, i32(MODES | PRECISION_FLAG)), i32(USUAL_MODES | PRECISION_FLAG));
}
export function mxcsr(c: Emitter): Expression {
  return c.f.let(c.state32(CPU_MXCSR));
}

/** Neither a NaN nor a denormal. */
export function usual(format: FloatFormat, a: Expression): Expression {
  return or(geS(format.abs(a), format.constant(format.least)), eq(a, format.constant(0)));
}
/** Above the least normal number (which may be a rounded denormal) and below infinity. */
export function ordinary(format: FloatFormat, a: Expression): Expression {
  const magnitude = format.abs(a);
  return and(gtS(magnitude, format.constant(format.least)), finite(format, a));
}
export function finite(format: FloatFormat, a: Expression): Expression {
  return ltS(format.abs(a), format.constant(Number.POSITIVE_INFINITY));
}

/** The same for vectors: all ones or zero in each lane. */
export function usualLanes(format: FloatFormat, a: Expression): Expression {
  const { lanes } = format;
  return bits.or(
    lanes.ge(lanes.abs(a), lanes.splat(format.constant(format.least))),
    lanes.eq(a, lanes.splat(format.constant(0))),
  );
}
export function ordinaryLanes(format: FloatFormat, a: Expression): Expression {
  const { lanes } = format;
  return bits.and(lanes.gt(lanes.abs(a), lanes.splat(format.constant(format.least))), finiteLanes(format, a));
}
export function finiteLanes(format: FloatFormat, a: Expression): Expression {
  const { lanes } = format;
  return lanes.lt(lanes.abs(a), lanes.splat(format.constant(Number.POSITIVE_INFINITY)));
}

/** Trailing zeros of a significand. */
function spare(format: FloatFormat, value: Expression): Expression {
  return ctz(or(format.toBits(value), format.leading));
}
/** The product of these two has no more bits than the format: it is exact. */
function productFits(format: FloatFormat, a: Expression, b: Expression): Expression {
  const enough = format.integer === I64 ? i64(format.precision) : i32(format.precision);
  return geS(add(spare(format, a), spare(format, b)), enough);
}

/** Proofs that a finite result r of usual operands is exact. They may fail for one that is. */
export const exact = {
  /** Knuth's two-sum: the rounding error of a + b is a number, and this computes it. */
  add(_format: FloatFormat, a: Expression, b: Expression, r: Expression): Expression {
    const back = sub(r, a);
    return eq(sub(a, sub(r, back)), sub(back, b));
  },
  sub(_format: FloatFormat, a: Expression, b: Expression, r: Expression): Expression {
    const back = sub(r, a);
    return eq(sub(a, sub(r, back)), add(b, back));
  },
  mul(format: FloatFormat, a: Expression, b: Expression, _r: Expression): Expression {
    return productFits(format, a, b);
  },
  div(format: FloatFormat, a: Expression, b: Expression, r: Expression): Expression {
    return and(productFits(format, r, b), eq(mul(r, b), a));
  },
  sqrt(format: FloatFormat, a: Expression, r: Expression): Expression {
    return and(productFits(format, r, r), eq(mul(r, r), a));
  },
};
