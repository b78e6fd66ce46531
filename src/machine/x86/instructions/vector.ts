/**
 * The vector operations of WebAssembly that SSE and MMX are made of, by lane shape: `i16x8.add(a, b)`.
 *
 * Numbers are those of the 0xFD opcode space (WebAssembly core specification 2.0, section 5.4.8). All of these are
 * exact; the floating-point ones give unspecified NaN bits, so `sse-float.ts` looks at their results before use.
 */
import {
  type Expression,
  I32,
  I64,
  shuffle,
  simd,
  simdLane,
  V128,
  type ValueType,
  v128,
} from '../../../wasm/expression.ts';

export type Unary = (a: Expression) => Expression;
export type Binary = (a: Expression, b: Expression) => Expression;

const unary =
  (code: number): Unary =>
  (a) =>
    simd(code, V128, a);
const binary =
  (code: number): Binary =>
  (a, b) =>
    simd(code, V128, a, b);
const test =
  (code: number): Unary =>
  (a) =>
    simd(code, I32, a);
const extract =
  (code: number, type: ValueType) =>
  (a: Expression, lane: number): Expression =>
    simdLane(code, type, lane, a);
const replace =
  (code: number) =>
  (a: Expression, lane: number, value: Expression): Expression =>
    simdLane(code, V128, lane, a, value);

export const i8x16 = {
  splat: unary(15),
  swizzle: binary(14),
  eq: binary(35),
  gtS: binary(39),
  abs: unary(96),
  bitmask: test(100),
  narrowS: binary(101),
  narrowU: binary(102),
  shrS: binary(108),
  add: binary(110),
  addSatS: binary(111),
  addSatU: binary(112),
  sub: binary(113),
  subSatS: binary(114),
  subSatU: binary(115),
  minS: binary(118),
  minU: binary(119),
  maxS: binary(120),
  maxU: binary(121),
  averageU: binary(123),
};

export const i16x8 = {
  splat: unary(16),
  eq: binary(45),
  gtS: binary(49),
  addPairsU: unary(125),
  abs: unary(128),
  /** Q15 product, rounded and saturated. */
  mulQ15: binary(130),
  narrowS: binary(133),
  narrowU: binary(134),
  extendLowS: unary(135),
  extendLowU: unary(137),
  shl: binary(139),
  shrS: binary(140),
  shrU: binary(141),
  add: binary(142),
  addSatS: binary(143),
  addSatU: binary(144),
  sub: binary(145),
  subSatS: binary(146),
  subSatU: binary(147),
  mul: binary(149),
  minS: binary(150),
  minU: binary(151),
  maxS: binary(152),
  maxU: binary(153),
  averageU: binary(155),
};

export const i32x4 = {
  splat: unary(17),
  lane: extract(27, I32),
  replace: replace(28),
  eq: binary(55),
  gtS: binary(59),
  addPairsU: unary(127),
  abs: unary(160),
  allTrue: test(163),
  bitmask: test(164),
  extendLowS: unary(167),
  extendLowU: unary(169),
  extendHighU: unary(170),
  shl: binary(171),
  shrS: binary(172),
  shrU: binary(173),
  add: binary(174),
  sub: binary(177),
  mul: binary(181),
  minS: binary(182),
  minU: binary(183),
  maxS: binary(184),
  maxU: binary(185),
  /** Sums of two neighbouring products of signed words. */
  dot: binary(186),
  mulLowS: binary(188),
  mulHighS: binary(189),
  mulLowU: binary(190),
  mulHighU: binary(191),
};

export const i64x2 = {
  splat: unary(18),
  lane: extract(29, I64),
  replace: replace(30),
  allTrue: test(195),
  bitmask: test(196),
  extendLowS: unary(199),
  extendLowU: unary(201),
  shl: binary(203),
  shrS: binary(204),
  shrU: binary(205),
  add: binary(206),
  sub: binary(209),
  mul: binary(213),
  eq: binary(214),
  gtS: binary(217),
};

/** The floating-point shapes share their names, so that code can be written over either. */
export interface FloatLanes {
  readonly eq: Binary;
  readonly lt: Binary;
  readonly gt: Binary;
  readonly ge: Binary;
  readonly abs: Unary;
  readonly sqrt: Unary;
  readonly add: Binary;
  readonly sub: Binary;
  readonly mul: Binary;
  readonly div: Binary;
  readonly splat: Unary;
}

export const f32x4: FloatLanes = {
  splat: unary(19),
  eq: binary(65),
  lt: binary(67),
  gt: binary(68),
  ge: binary(70),
  abs: unary(224),
  sqrt: unary(227),
  add: binary(228),
  sub: binary(229),
  mul: binary(230),
  div: binary(231),
};

export const f64x2: FloatLanes = {
  splat: unary(20),
  eq: binary(71),
  lt: binary(73),
  gt: binary(74),
  ge: binary(76),
  abs: unary(236),
  sqrt: unary(239),
  add: binary(240),
  sub: binary(241),
  mul: binary(242),
  div: binary(243),
};

/** Conversions between lane shapes. */
export const convert = {
  i32x4ToF32: unary(250),
  f32ToI32x4: unary(248),
  nearestF32: unary(106),
  nearestF64: unary(148),
  /** Low half. */
  i32x4ToF64: unary(254),
  f32x4ToF64: unary(95),
  /** The upper half of the result is zero. */
  f64x2ToF32: unary(94),
  f64x2ToI32: unary(252),
};

export const bits = {
  and: binary(78),
  /** a and not b. */
  andNot: binary(79),
  or: binary(80),
  xor: binary(81),
  /** `mask ? a : b`, bit by bit. */
  select: (a: Expression, b: Expression, mask: Expression): Expression => simd(82, V128, a, b, mask),
  anyTrue: test(83),
};

/** A constant of sixteen bytes, eight words, four doublewords: as many as are given. */
export function lanes(...values: number[]): Expression {
  const size = 16 / values.length;
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) {
    if (size === 1) view.setUint8(i, value);
    else if (size === 2) view.setUint16(i * 2, value, true);
    else if (size === 4) view.setUint32(i * 4, value, true);
    else throw new RangeError(`expected 16, 8 or 4 lanes, found ${values.length}`);
  }
  return v128(bytes);
}

export const ZERO = lanes(0, 0, 0, 0);

/** Picks lanes of `width` bytes out of a (first) and b (after it). */
export function pick(a: Expression, b: Expression, width: number, ...which: number[]): Expression {
  const bytes = which.flatMap((lane) => Array.from({ length: width }, (_, i) => lane * width + i));
  return shuffle(a, b, Uint8Array.from(bytes));
}
