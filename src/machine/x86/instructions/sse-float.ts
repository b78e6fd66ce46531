/**
 * SSE arithmetic, comparisons, minima and maxima. Each instruction computes with WebAssembly's arithmetic, asks whether
 * the result is proven (`float-format.ts`), and otherwise computes softly (`assembly/float-lanes.ts`), which also finds
 * the exceptions.
 */
import {
  add,
  and,
  divF,
  type Expression,
  eq,
  eqz,
  extendU,
  gtS,
  i32,
  load128,
  ltS,
  mul,
  ne,
  or,
  select,
  shl,
  shrU,
  sqrtF,
  sub,
} from '../../../wasm/expression.ts';
import type { Local } from '../../../wasm/function.ts';
import type { InstructionSet } from '../definition.ts';
import { callSupport, type Emitter, loadHost, type Semantics } from '../emitter.ts';
import { FLAG_CF, FLAG_PF, FLAG_ZF } from '../registers.ts';
import {
  DOUBLE,
  exact,
  type FloatFormat,
  finite,
  finiteLanes,
  modesSticky,
  modesUsual,
  mxcsr,
  ordinary,
  ordinaryLanes,
  PRECISION_FLAG,
  SINGLE,
  usual,
  usualLanes,
} from './float-format.ts';
import { XMM } from './packed-forms.ts';
import { immediate, raiseSimd, source, sourceLow, sse, wide, writeXmm } from './sse-operands.ts';
import { type Binary, bits, type FloatLanes, i32x4, i64x2, lanes, pick } from './vector.ts';

/** An operation on two numbers: add, subtract, multiply, divide. */
interface Arithmetic {
  /** In the names of its support functions. */
  readonly name: string;
  readonly scalar: Binary;
  readonly packed: (lanes: FloatLanes) => Binary;
  readonly exact: (format: FloatFormat, a: Expression, b: Expression, r: Expression) => Expression;
  /** A sum that is a denormal or zero is exact; a product may have underflowed. */
  readonly additive: boolean;
}

const ADD: Arithmetic = { name: 'Add', scalar: add, packed: (l) => l.add, exact: exact.add, additive: true };
const SUBTRACT: Arithmetic = {
  name: 'Subtract',
  scalar: sub,
  packed: (l) => l.sub,
  exact: exact.sub,
  additive: true,
};
const MULTIPLY: Arithmetic = {
  name: 'Multiply',
  scalar: mul,
  packed: (l) => l.mul,
  exact: exact.mul,
  additive: false,
};
const DIVIDE: Arithmetic = {
  name: 'Divide',
  scalar: divF,
  packed: (l) => l.div,
  exact: exact.div,
  additive: false,
};

/** Calls a support function on the operands at `wide`; raises what it found. */
export function softly(c: Emitter, name: string, ...operands: Expression[]): void {
  c.f.if(callSupport(c.support, name, ...operands), () => raiseSimd(c));
}

/** Replaces `result` (raw bits or a vector) by the soft one unless it is proven. */
function unlessProven(
  c: Emitter,
  proven: Expression,
  result: Local,
  values: readonly Expression[],
  name: string,
  ...operands: Expression[]
): void {
  const { f } = c;
  const bytes = sizeOf(result);
  f.if(eqz(proven), () => {
    for (const [i, value] of values.entries()) c.storeHost(wide(c, 16 * i), value, sizeOf(value));
    softly(c, name, ...operands);
    f.set(result, loadHost(wide(c, 32), bytes));
  });
}
function sizeOf(value: Expression): number {
  return { 127: 4, 126: 8, 125: 4, 124: 8, 123: 16 }[value.type];
}

/** The operands of a scalar instruction: bits and numbers of V and W. */
function scalarOperands(c: Emitter, format: FloatFormat) {
  const { f } = c;
  const bBits = sourceLow(c, format.bytes);
  const register = f.let(c.xmmReg());
  const aBits = f.let(loadHost(register, format.bytes));
  return {
    register,
    aBits,
    bBits,
    a: f.let(format.fromBits(aBits)),
    b: f.let(format.fromBits(bBits)),
  };
}

function scalarArithmetic(format: FloatFormat, operation: Arithmetic): Semantics {
  return sse((c) => {
    const { f } = c;
    const { register, aBits, bBits, a, b } = scalarOperands(c, format);
    const r = f.let(operation.scalar(a, b));
    const modes = mxcsr(c);
    const bounded = operation.additive ? finite(format, r) : ordinary(format, r);
    const proven = f.let(and(modesUsual(modes), and(bounded, and(usual(format, a), usual(format, b)))));
    f.if(and(proven, eqz(and(modes, i32(PRECISION_FLAG)))), () =>
      f.set(proven, operation.exact(format, a, b, r)),
    );
    const result = f.let(format.toBits(r));
    unlessProven(c, proven, result, [aBits, bBits], `${format.name}Lanes${operation.name}`, i32(1));
    c.storeHost(register, result, format.bytes);
  });
}

/** The packed operation on two vectors. */
function packedArithmetic(c: Emitter, format: FloatFormat, operation: Arithmetic, a: Local, b: Local): Local {
  const result = c.f.let(operation.packed(format.lanes)(a, b));
  const bounded = operation.additive ? finiteLanes(format, result) : ordinaryLanes(format, result);
  const allUsual = bits.and(bounded, bits.and(usualLanes(format, a), usualLanes(format, b)));
  const proven = and(modesSticky(mxcsr(c)), format.integerLanes.allTrue(allUsual));
  unlessProven(c, proven, result, [a, b], `${format.name}Lanes${operation.name}`, i32(format.count));
  return result;
}

function packedBinary(format: FloatFormat, operation: Arithmetic): Semantics {
  return sse((c) => {
    const b = source(c);
    const a = c.f.let(load128(c.xmmReg()));
    writeXmm(c, packedArithmetic(c, format, operation, a, b));
  });
}

/** HADD and HSUB: the even lanes of both with the odd ones. */
function horizontal(format: FloatFormat, operation: Arithmetic): Semantics {
  const { count, bytes } = format;
  const even = count === 4 ? [0, 2, 4, 6] : [0, 2];
  return sse((c) => {
    const { f } = c;
    const b = source(c);
    const a = f.let(load128(c.xmmReg()));
    const first = f.let(pick(a, b, bytes, ...even));
    const second = f.let(pick(a, b, bytes, ...even.map((lane) => lane + 1)));
    writeXmm(c, packedArithmetic(c, format, operation, first, second));
  });
}

/** ADDSUB: the even lanes of b change their sign for the proof; softly, a NaN must keep its own. */
function alternating(format: FloatFormat): Semantics {
  const signs = format === SINGLE ? lanes(0x80000000, 0, 0x80000000, 0) : lanes(0, 0x80000000, 0, 0);
  return sse((c) => {
    const { f } = c;
    const b = source(c);
    const a = f.let(load128(c.xmmReg()));
    const result = f.let(format.lanes.add(a, bits.xor(b, signs)));
    const allUsual = bits.and(
      finiteLanes(format, result),
      bits.and(usualLanes(format, a), usualLanes(format, b)),
    );
    const proven = and(modesSticky(mxcsr(c)), format.integerLanes.allTrue(allUsual));
    unlessProven(c, proven, result, [a, b], `${format.name}LanesAddSubtract`);
    writeXmm(c, result);
  });
}

/** Square roots of numbers from the least normal one up to infinity are ordinary. */
function scalarSqrt(format: FloatFormat): Semantics {
  return sse((c) => {
    const { f } = c;
    const aBits = sourceLow(c, format.bytes);
    const a = f.let(format.fromBits(aBits));
    const r = f.let(sqrtF(a));
    const modes = mxcsr(c);
    const positive = and(gtS(a, format.constant(format.least)), finite(format, a));
    const proven = f.let(and(modesUsual(modes), positive));
    f.if(and(proven, eqz(and(modes, i32(PRECISION_FLAG)))), () => f.set(proven, exact.sqrt(format, a, r)));
    const result = f.let(format.toBits(r));
    unlessProven(c, proven, result, [aBits], `${format.name}LanesSqrt`, i32(1));
    c.storeHost(c.xmmReg(), result, format.bytes);
  });
}
function packedSqrt(format: FloatFormat): Semantics {
  return sse((c) => {
    const a = source(c);
    const result = c.f.let(format.lanes.sqrt(a));
    const least = format.lanes.splat(format.constant(format.least));
    const positive = bits.and(format.lanes.gt(a, least), finiteLanes(format, a));
    const proven = and(modesSticky(mxcsr(c)), format.integerLanes.allTrue(positive));
    unlessProven(c, proven, result, [a], `${format.name}LanesSqrt`, i32(format.count));
    writeXmm(c, result);
  });
}

/** RCP and RSQRT: our own approximation, neither modes nor exceptions. */
function approximation(name: string, count: 1 | 4): Semantics {
  return sse((c) => {
    const { f } = c;
    if (count === 4) f.store128(wide(c), source(c));
    else f.store32(wide(c), sourceLow(c, 4));
    f.run(callSupport(c.support, name, i32(count)), 0);
    c.storeHost(c.xmmReg(), loadHost(wide(c, 32), count * 4), count * 4);
  });
}

// ------------------------------------------------------------------ comparisons

/** What compares two vectors; nothing is rounded, so it is right in all modes if no operand is a NaN or a denormal. */
type Comparison = (lanes: FloatLanes, a: Local, b: Local, immediate: Expression) => Expression;

/** Minima and maxima: the second operand where they are equal. */
const minimum: Comparison = (l, a, b) => bits.select(a, b, l.lt(a, b));
const maximum: Comparison = (l, a, b) => bits.select(a, b, l.gt(a, b));

/** The predicates, of ordered operands: bits 0–1 are equal, less, less or equal, unordered; bit 2 negates. */
const predicate: Comparison = (l, a, b, which) => {
  const kind = and(which, i32(3));
  const wanted = (first: number): Expression => everywhere(or(eq(kind, i32(first)), eq(kind, i32(2))));
  const holds = bits.or(bits.and(l.eq(a, b), wanted(0)), bits.and(l.lt(a, b), wanted(1)));
  return bits.xor(holds, everywhere(and(shrU(which, i32(2)), i32(1))));
};
/** All bits of a vector from one. */
function everywhere(bit: Expression): Expression {
  return i32x4.splat(sub(i32(0), bit));
}

function packedComparison(format: FloatFormat, name: string, compare: Comparison): Semantics {
  return sse((c) => {
    const { f } = c;
    const b = source(c);
    const a = f.let(load128(c.xmmReg()));
    const which = compare === predicate ? immediate(c) : i32(0);
    const result = f.let(compare(format.lanes, a, b, which));
    const proven = format.integerLanes.allTrue(bits.and(usualLanes(format, a), usualLanes(format, b)));
    const operands = compare === predicate ? [i32(format.count), which] : [i32(format.count)];
    unlessProven(c, proven, result, [a, b], `${format.name}Lanes${name}`, ...operands);
    writeXmm(c, result);
  });
}
function scalarComparison(format: FloatFormat, name: string, compare: Comparison): Semantics {
  return sse((c) => {
    const { f } = c;
    const { register, aBits, bBits, a, b } = scalarOperands(c, format);
    const which = compare === predicate ? immediate(c) : i32(0);
    const vector = compare(format.lanes, f.let(format.lanes.splat(a)), f.let(format.lanes.splat(b)), which);
    const result = f.let(format === SINGLE ? i32x4.lane(vector, 0) : i64x2.lane(vector, 0));
    const proven = and(usual(format, a), usual(format, b));
    const operands = compare === predicate ? [i32(1), which] : [i32(1)];
    unlessProven(c, proven, result, [aBits, bBits], `${format.name}Lanes${name}`, ...operands);
    c.storeHost(register, result, format.bytes);
  });
}

/** COMIS and UCOMIS: ZF, PF, CF are 000 for greater, 001 for less, 100 for equal, 111 for unordered. */
function compareToFlags(format: FloatFormat, quiet: boolean): Semantics {
  const name = `${format.name}Compare${quiet ? 'Quiet' : ''}`;
  return sse((c) => {
    const { f, support } = c;
    const { aBits, bBits, a, b } = scalarOperands(c, format);
    f.if(
      and(usual(format, a), usual(format, b)),
      // The lazy words directly: CF is bit 7 of the carries (and bit 6, for OF = 0), PF of a zero result is inverted.
      () =>
        c.setFlagWords(
          extendU(ne(a, b)),
          extendU(select(ltS(a, b), i32(0xc0), i32(0))),
          or(i32(7), shl(eq(a, b), i32(9))),
        ),
      () => {
        f.run(callSupport(support, 'sseBegin'), 0);
        const relation = f.let(callSupport(support, name, aBits, bBits));
        f.if(callSupport(support, 'sseCommit'), () => raiseSimd(c));
        const unequal = select(ltS(relation, i32(0)), i32(FLAG_CF), i32(0));
        const ordered = select(eqz(relation), i32(FLAG_ZF), unequal);
        c.setArithmeticFlags(select(eq(relation, i32(2)), i32(FLAG_ZF | FLAG_PF | FLAG_CF), ordered));
      },
    );
  });
}

// ------------------------------------------------------------------ SSE4.1: rounding, dot products

function packedRound(format: FloatFormat): Semantics {
  return sse((c) => {
    c.f.store128(wide(c), source(c));
    softly(c, `${format.name}LanesRound`, i32(format.count), immediate(c));
    writeXmm(c, load128(wide(c, 32)));
  });
}
function scalarRound(format: FloatFormat): Semantics {
  return sse((c) => {
    c.storeHost(wide(c), sourceLow(c, format.bytes), format.bytes);
    softly(c, `${format.name}LanesRound`, i32(1), immediate(c));
    c.storeHost(c.xmmReg(), loadHost(wide(c, 32), format.bytes), format.bytes);
  });
}
function dotProduct(format: FloatFormat): Semantics {
  return sse((c) => {
    const { f } = c;
    const b = source(c);
    f.store128(wide(c), load128(c.xmmReg()));
    f.store128(wide(c, 16), b);
    softly(c, `${format.name}LanesDotProduct`, immediate(c));
    writeXmm(c, load128(wide(c, 32)));
  });
}

export function defineSseFloat(set: InstructionSet): void {
  const forms = [
    { format: SINGLE, packed: 'NP', scalar: 'F3', letters: ['PS', 'SS'], operands: 'Vd Wd' },
    { format: DOUBLE, packed: '66', scalar: 'F2', letters: ['PD', 'SD'], operands: 'Vq Wq' },
  ] as const;
  for (const { format, packed, scalar, letters, operands } of forms) {
    const [p, s] = letters;
    for (const [name, opcode, operation] of [
      ['ADD', '58', ADD],
      ['MUL', '59', MULTIPLY],
      ['SUB', '5C', SUBTRACT],
      ['DIV', '5E', DIVIDE],
    ] as const) {
      set.define(`${name}${p}`, `${packed} 0F ${opcode}`, 'Vo Wo', packedBinary(format, operation), XMM);
      set.define(`${name}${s}`, `${scalar} 0F ${opcode}`, operands, scalarArithmetic(format, operation), XMM);
    }
    set.define(`SQRT${p}`, `${packed} 0F 51`, 'Vo Wo', packedSqrt(format), XMM);
    set.define(`SQRT${s}`, `${scalar} 0F 51`, operands, scalarSqrt(format), XMM);
    for (const [name, opcode, support, compare] of [
      ['MIN', '5D', 'Min', minimum],
      ['MAX', '5F', 'Max', maximum],
    ] as const) {
      const whole = packedComparison(format, support, compare);
      set.define(`${name}${p}`, `${packed} 0F ${opcode}`, 'Vo Wo', whole, XMM);
      const one = scalarComparison(format, support, compare);
      set.define(`${name}${s}`, `${scalar} 0F ${opcode}`, operands, one, XMM);
    }
    const whole = packedComparison(format, 'Predicate', predicate);
    set.define(`CMP${p}`, `${packed} 0F C2`, 'Vo Wo Ib', whole, XMM);
    const one = scalarComparison(format, 'Predicate', predicate);
    set.define(`CMP${s}`, `${scalar} 0F C2`, `${operands} Ib`, one, XMM);
    set.define(`UCOMI${s}`, `${packed} 0F 2E`, operands, compareToFlags(format, true), XMM);
    set.define(`COMI${s}`, `${packed} 0F 2F`, operands, compareToFlags(format, false), XMM);

    const single = format === SINGLE;
    const crossing = single ? 'F2' : '66';
    set.define(`ADDSUB${p}`, `${crossing} 0F D0`, 'Vo Wo', alternating(format), XMM);
    set.define(`HADD${p}`, `${crossing} 0F 7C`, 'Vo Wo', horizontal(format, ADD), XMM);
    set.define(`HSUB${p}`, `${crossing} 0F 7D`, 'Vo Wo', horizontal(format, SUBTRACT), XMM);
    set.define(`ROUND${p}`, `66 0F 3A 0${single ? 8 : 9}`, 'Vo Wo Ib', packedRound(format), XMM);
    set.define(`ROUND${s}`, `66 0F 3A 0${single ? 'A' : 'B'}`, `${operands} Ib`, scalarRound(format), XMM);
    set.define(`DP${p}`, `66 0F 3A 4${single ? 0 : 1}`, 'Vo Wo Ib', dotProduct(format), XMM);
  }
  set.define('RSQRTPS', 'NP 0F 52', 'Vo Wo', approximation('f32LanesReciprocalSqrt', 4), XMM);
  set.define('RSQRTSS', 'F3 0F 52', 'Vd Wd', approximation('f32LanesReciprocalSqrt', 1), XMM);
  set.define('RCPPS', 'NP 0F 53', 'Vo Wo', approximation('f32LanesReciprocal', 4), XMM);
  set.define('RCPSS', 'F3 0F 53', 'Vd Wd', approximation('f32LanesReciprocal', 1), XMM);
}
