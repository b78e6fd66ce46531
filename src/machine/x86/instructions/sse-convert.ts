/**
 * Conversions: between integers, singles and doubles, scalar and packed, with XMM, MMX and general registers. As in
 * `sse-float.ts`: WebAssembly converts, and where its answer is not proven the soft conversion gives it.
 */
import {
  add,
  and,
  constant,
  type Expression,
  eq,
  eqz,
  I64,
  i32,
  load64,
  load128,
  ltS,
  ltU,
  or,
  type ValueType,
} from '../../../wasm/expression.ts';
import type { Local } from '../../../wasm/function.ts';
import type { InstructionSet } from '../definition.ts';
import { callSupport, type Emitter, type Semantics } from '../emitter.ts';
import {
  DOUBLE,
  type FloatFormat,
  fromInteger,
  modesSticky,
  mxcsr,
  nearest,
  ordinary,
  PRECISION_FLAG,
  PRECISION_MASK,
  ROUNDING_CONTROL,
  SINGLE,
  toDouble,
  toSingle,
  truncateToInteger,
  usual,
  usualLanes,
} from './float-format.ts';
import { MMX, XMM } from './packed-forms.ts';
import { softly } from './sse-float.ts';
import {
  asVector,
  BLOCKED_SSE,
  enterMmx,
  fpuGuard,
  lowHalf,
  mmxSource,
  raisePendingFloat,
  raiseSimd,
  source,
  sourceLow,
  sse,
  wide,
  writeMmx,
  writeXmm,
} from './sse-operands.ts';
import { bits, convert, f32x4, f64x2, i32x4, i64x2, type Unary, ZERO } from './vector.ts';

/** A scalar soft conversion, with the exceptions it raises. */
function softly1(c: Emitter, name: string, value: Expression): Local {
  const { f, support } = c;
  f.run(callSupport(support, 'sseBegin'), 0);
  const result = f.let(callSupport(support, name, value));
  f.if(callSupport(support, 'sseCommit'), () => raiseSimd(c));
  return result;
}

const integerName = (type: ValueType): string => (type === I64 ? 'I64' : 'I32');

/** CVTSI2SS, CVTSI2SD: exact while the integer has no more bits than a significand. */
function fromGeneral(format: FloatFormat): Semantics {
  return sse((c) => {
    const { f } = c;
    const value = c.load();
    const result = f.let(format.toBits(fromInteger(format, value)));
    if (!(format === DOUBLE && c.size === 4)) {
      const limit = 2 ** format.precision;
      const small = ltU(add(value, constant(value.type, limit)), constant(value.type, 2 * limit));
      f.if(eqz(or(small, modesSticky(mxcsr(c)))), () =>
        f.set(result, softly1(c, `i${c.size * 8}To${format.name.toUpperCase()}`, value)),
      );
    }
    c.storeHost(c.xmmReg(), result, format.bytes);
  });
}

/** The rounding mode does not matter if the conversion truncates; "inexact" must be masked and recorded already. */
function roundingProven(modes: Expression, truncate: boolean): Expression {
  const mask = PRECISION_FLAG | PRECISION_MASK | (truncate ? 0 : ROUNDING_CONTROL);
  return eq(and(modes, i32(mask)), i32(PRECISION_FLAG | PRECISION_MASK));
}

/** What fits an integer of `size` bytes whichever way it is rounded. */
function limit(format: FloatFormat, size: number, truncate: boolean): number {
  const bound = 2 ** (size * 8 - 1);
  return format === DOUBLE && size === 4 && !truncate ? bound - 1 : bound;
}

/** CVTSS2SI, CVTSD2SI and, truncating, CVTTSS2SI, CVTTSD2SI. */
function toGeneral(format: FloatFormat, truncate: boolean): Semantics {
  return sse((c) => {
    const { f } = c;
    const raw = sourceLow(c, format.bytes);
    const value = f.let(format.fromBits(raw));
    const result = f.let(truncateToInteger(truncate ? value : nearest(value), c.type));
    const fits = ltS(format.abs(value), format.constant(limit(format, c.size, truncate)));
    const whole = eq(fromInteger(format, result), value);
    f.if(eqz(and(fits, or(whole, roundingProven(mxcsr(c), truncate)))), () =>
      f.set(result, softly1(c, `${format.name}${truncate ? 'TruncateTo' : 'To'}${integerName(c.type)}`, raw)),
    );
    c.setReg(result);
  });
}

/** CVTSS2SD: exact, but for NaNs and denormals. */
const singleToDouble: Semantics = sse((c) => {
  const { f } = c;
  const raw = sourceLow(c, 4);
  const value = f.let(SINGLE.fromBits(raw));
  const result = f.let(DOUBLE.toBits(toDouble(value)));
  f.if(eqz(usual(SINGLE, value)), () => f.set(result, softly1(c, 'f32ToF64', raw)));
  c.storeHost(c.xmmReg(), result, 8);
});

/** CVTSD2SS. */
const doubleToSingle: Semantics = sse((c) => {
  const { f } = c;
  const raw = sourceLow(c, 8);
  const value = f.let(DOUBLE.fromBits(raw));
  const rounded = f.let(toSingle(value));
  const exact = and(eq(toDouble(rounded), value), usual(SINGLE, rounded));
  const result = f.let(SINGLE.toBits(rounded));
  f.if(eqz(or(exact, and(modesSticky(mxcsr(c)), ordinary(SINGLE, rounded)))), () =>
    f.set(result, softly1(c, 'f64ToF32', raw)),
  );
  c.storeHost(c.xmmReg(), result, 4);
});

// ------------------------------------------------------------------ packed

/** A packed conversion of `count` numbers: the vector it gives, its upper half zero where the result has only a half. */
interface PackedConversion {
  readonly support: string;
  readonly count: 2 | 4;
  /** Bytes of the result. */
  readonly bytes: 8 | 16;
  readonly compute: Unary;
  readonly proven: (c: Emitter, value: Local, result: Local) => Expression;
}

function converted(c: Emitter, conversion: PackedConversion, value: Local): Local {
  const { f } = c;
  const result = f.let(conversion.compute(value));
  f.if(eqz(conversion.proven(c, value, result)), () => {
    f.store128(wide(c), value);
    softly(c, conversion.support, i32(conversion.count));
    const soft = conversion.bytes === 16 ? load128(wide(c, 32)) : i64x2.replace(ZERO, 0, load64(wide(c, 32)));
    f.set(result, soft);
  });
  return result;
}

/** Integers of at most 24 bits and a sign are exact singles. */
const INTEGER_TO_SINGLE: PackedConversion = {
  support: 'lanesI32ToF32',
  count: 4,
  bytes: 16,
  compute: convert.i32x4ToF32,
  proven: (c, value) =>
    or(modesSticky(mxcsr(c)), i32x4.allTrue(i32x4.eq(i32x4.shrS(i32x4.shl(value, i32(7)), i32(7)), value))),
};

function singleToInteger(truncate: boolean, count: 2 | 4): PackedConversion {
  return {
    support: truncate ? 'lanesF32TruncateToI32' : 'lanesF32ToI32',
    count,
    bytes: count === 4 ? 16 : 8,
    compute: (value) => convert.f32ToI32x4(truncate ? value : convert.nearestF32(value)),
    proven: (c, value, result) => {
      const fits = f32x4.lt(f32x4.abs(value), f32x4.splat(SINGLE.constant(limit(SINGLE, 4, truncate))));
      const whole = f32x4.eq(convert.i32x4ToF32(result), value);
      return and(i32x4.allTrue(fits), or(roundingProven(mxcsr(c), truncate), i32x4.allTrue(whole)));
    },
  };
}

function doubleToInteger(truncate: boolean): PackedConversion {
  return {
    support: truncate ? 'lanesF64TruncateToI32' : 'lanesF64ToI32',
    count: 2,
    bytes: 8,
    compute: (value) => convert.f64x2ToI32(truncate ? value : convert.nearestF64(value)),
    proven: (c, value, result) => {
      const fits = f64x2.lt(f64x2.abs(value), f64x2.splat(DOUBLE.constant(limit(DOUBLE, 4, truncate))));
      const whole = f64x2.eq(convert.i32x4ToF64(result), value);
      return and(i64x2.allTrue(fits), or(roundingProven(mxcsr(c), truncate), i64x2.allTrue(whole)));
    },
  };
}

/** Of the two low lanes; the operand is repeated in the upper half. */
const SINGLES_TO_DOUBLES: PackedConversion = {
  support: 'lanesF32ToF64',
  count: 2,
  bytes: 16,
  compute: convert.f32x4ToF64,
  proven: (_c, value) => i32x4.allTrue(usualLanes(SINGLE, value)),
};

const DOUBLES_TO_SINGLES: PackedConversion = {
  support: 'lanesF64ToF32',
  count: 2,
  bytes: 8,
  compute: convert.f64x2ToF32,
  proven: (c, value, result) => {
    const back = c.f.let(convert.f32x4ToF64(result));
    const magnitude = f64x2.abs(back);
    const aboveLeast = f64x2.gt(magnitude, f64x2.splat(DOUBLE.constant(SINGLE.least)));
    const finite = f64x2.lt(magnitude, f64x2.splat(DOUBLE.constant(Number.POSITIVE_INFINITY)));
    // Two wide lanes and four narrow ones: the upper narrow ones are zeros, which are usual.
    const exact = bits.and(f64x2.eq(back, value), usualLanes(SINGLE, result));
    return or(and(modesSticky(mxcsr(c)), i64x2.allTrue(bits.and(aboveLeast, finite))), i32x4.allTrue(exact));
  },
};

/** From all of W. */
function fromWhole(conversion: PackedConversion): Semantics {
  return sse((c) => writeXmm(c, converted(c, conversion, source(c))));
}
/** From the low half of W. */
function fromLow(conversion: PackedConversion): Semantics {
  return sse((c) => writeXmm(c, converted(c, conversion, c.f.let(asVector(sourceLow(c, 8))))));
}
/** CVTDQ2PD: exact. */
const integersToDoubles: Semantics = sse((c) => writeXmm(c, convert.i32x4ToF64(asVector(sourceLow(c, 8)))));

// ------------------------------------------------------------------ with MMX registers

/** An instruction with both kinds of registers. One that names an MMX register enters MMX even if it then raises #XM. */
function mixed(body: Semantics): Semantics {
  return (c) => {
    fpuGuard(c, BLOCKED_SSE);
    raisePendingFloat(c);
    body(c);
  };
}

/** CVTPI2PS: two singles into the low half of V. */
const mmxToSingles: Semantics = mixed((c) => {
  const value = c.f.let(asVector(mmxSource(c)));
  if (!c.shape.memory) enterMmx(c);
  const result = converted(c, { ...INTEGER_TO_SINGLE, count: 2, bytes: 8 }, value);
  c.f.store64(c.xmmReg(), lowHalf(result));
});
/** CVTPI2PD: exact, and from memory it touches no MMX register. */
const mmxToDoubles: Semantics = mixed((c) => {
  writeXmm(c, convert.i32x4ToF64(asVector(mmxSource(c))));
  if (!c.shape.memory) enterMmx(c);
});
function singlesToMmx(truncate: boolean): Semantics {
  const conversion = singleToInteger(truncate, 2);
  return mixed((c) => {
    const value = c.f.let(asVector(sourceLow(c, 8)));
    enterMmx(c);
    writeMmx(c, c.mmxReg(), lowHalf(converted(c, conversion, value)));
  });
}
function doublesToMmx(truncate: boolean): Semantics {
  const conversion = doubleToInteger(truncate);
  return mixed((c) => {
    const value = source(c);
    enterMmx(c);
    writeMmx(c, c.mmxReg(), lowHalf(converted(c, conversion, value)));
  });
}

export function defineSseConvert(set: InstructionSet): void {
  set.define('CVTSI2SS', 'F3 0F 2A', 'Vd Ey', fromGeneral(SINGLE));
  set.define('CVTSI2SD', 'F2 0F 2A', 'Vq Ey', fromGeneral(DOUBLE));
  set.define('CVTTSS2SI', 'F3 0F 2C', 'Gy Wd', toGeneral(SINGLE, true));
  set.define('CVTTSD2SI', 'F2 0F 2C', 'Gy Wq', toGeneral(DOUBLE, true));
  set.define('CVTSS2SI', 'F3 0F 2D', 'Gy Wd', toGeneral(SINGLE, false));
  set.define('CVTSD2SI', 'F2 0F 2D', 'Gy Wq', toGeneral(DOUBLE, false));
  set.define('CVTSS2SD', 'F3 0F 5A', 'Vq Wd', singleToDouble, XMM);
  set.define('CVTSD2SS', 'F2 0F 5A', 'Vd Wq', doubleToSingle, XMM);

  set.define('CVTPS2PD', 'NP 0F 5A', 'Vo Wq', fromLow(SINGLES_TO_DOUBLES), XMM);
  set.define('CVTPD2PS', '66 0F 5A', 'Vo Wo', fromWhole(DOUBLES_TO_SINGLES), XMM);
  set.define('CVTDQ2PS', 'NP 0F 5B', 'Vo Wo', fromWhole(INTEGER_TO_SINGLE), XMM);
  set.define('CVTPS2DQ', '66 0F 5B', 'Vo Wo', fromWhole(singleToInteger(false, 4)), XMM);
  set.define('CVTTPS2DQ', 'F3 0F 5B', 'Vo Wo', fromWhole(singleToInteger(true, 4)), XMM);
  set.define('CVTTPD2DQ', '66 0F E6', 'Vo Wo', fromWhole(doubleToInteger(true)), XMM);
  set.define('CVTPD2DQ', 'F2 0F E6', 'Vo Wo', fromWhole(doubleToInteger(false)), XMM);
  set.define('CVTDQ2PD', 'F3 0F E6', 'Vo Wq', integersToDoubles, XMM);

  set.define('CVTPI2PS', 'NP 0F 2A', 'Vq Qq', mmxToSingles, XMM);
  set.define('CVTPI2PD', '66 0F 2A', 'Vo Qq', mmxToDoubles, XMM);
  set.define('CVTTPS2PI', 'NP 0F 2C', 'Pq Wq', singlesToMmx(true), MMX);
  set.define('CVTTPD2PI', '66 0F 2C', 'Pq Wo', doublesToMmx(true), MMX);
  set.define('CVTPS2PI', 'NP 0F 2D', 'Pq Wq', singlesToMmx(false), MMX);
  set.define('CVTPD2PI', '66 0F 2D', 'Pq Wo', doublesToMmx(false), MMX);
}
