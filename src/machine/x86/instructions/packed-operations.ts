/**
 * The packed integer operations, on vectors: what MMX, SSE2, SSSE3 and SSE4.1 have in common.
 *
 * An operation that works lane by lane serves MMX as it is. For one that works across lanes (packing, horizontal sums) MMX
 * puts both its operands into one vector, gives that as either operand, and takes the low half of what comes out.
 */
import { type Expression, i32, i64 } from '../../../wasm/expression.ts';
import { type Binary, bits, i8x16, i16x8, i32x4, i64x2, lanes, pick, type Unary, ZERO } from './vector.ts';

/** An operation on destination and source. Both are bound already; `bind` is for what it uses twice itself. */
export type Operation = (a: Expression, b: Expression, bind: Unary) => Expression;

const LOW_BYTES = lanes(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
const LOW_DOUBLEWORDS = lanes(0xffffffff, 0, 0xffffffff, 0);
const WORD_MINIMA = lanes(...new Array<number>(8).fill(0x8000));

/** PANDN: not a, and b. */
export const andNot: Binary = (a, b) => bits.andNot(b, a);

/** The upper words of two vectors of products. */
const highWords: Binary = (low, high) => pick(low, high, 2, 1, 3, 5, 7, 9, 11, 13, 15);
export const mulHighS: Binary = (a, b) => highWords(i32x4.mulLowS(a, b), i32x4.mulHighS(a, b));
export const mulHighU: Binary = (a, b) => highWords(i32x4.mulLowU(a, b), i32x4.mulHighU(a, b));

/** PMULUDQ: the even doublewords, to quadwords. */
export const mulDoublewordsU: Binary = (a, b) =>
  i64x2.mul(bits.and(a, LOW_DOUBLEWORDS), bits.and(b, LOW_DOUBLEWORDS));
const signExtendedLow: Unary = (a) => i64x2.shrS(i64x2.shl(a, i32(32)), i32(32));
/** PMULDQ. */
export const mulDoublewordsS: Binary = (a, b) => i64x2.mul(signExtendedLow(a), signExtendedLow(b));

/** PSADBW: in each half, the sum of the absolute differences of eight bytes. */
export const sumOfDifferences: Operation = (a, b, bind) => {
  const difference = bits.or(i8x16.subSatU(a, b), i8x16.subSatU(b, a));
  const sums = bind(i32x4.addPairsU(i16x8.addPairsU(difference)));
  return bits.and(i64x2.add(sums, i64x2.shrU(sums, i32(32))), LOW_DOUBLEWORDS);
};

/** PMULHRSW: as WebAssembly's Q15 product, but −1 · −1 stays −1. */
export const mulRounded: Binary = (a, b) =>
  bits.xor(i16x8.mulQ15(a, b), bits.and(i16x8.eq(a, WORD_MINIMA), i16x8.eq(b, WORD_MINIMA)));

/** PMADDUBSW: unsigned bytes of a times signed bytes of b, neighbours added with saturation. */
export const mulAddBytes: Binary = (a, b) => {
  const even = i16x8.mul(bits.and(a, LOW_BYTES), i16x8.shrS(i16x8.shl(b, i32(8)), i32(8)));
  const odd = i16x8.mul(i16x8.shrU(a, i32(8)), i16x8.shrS(b, i32(8)));
  return i16x8.addSatS(even, odd);
};

/** PSIGN: a, negated or zeroed by the sign of b. */
export function sign(shape: typeof i8x16 | typeof i16x8 | typeof i32x4): Operation {
  return (a, b, bind) => {
    const negative = bind(shape.gtS(ZERO, b));
    return bits.andNot(shape.sub(bits.xor(a, negative), negative), shape.eq(b, ZERO));
  };
}

const EVEN_WORDS = [0, 2, 4, 6, 8, 10, 12, 14];
const ODD_WORDS = [1, 3, 5, 7, 9, 11, 13, 15];
/** PHADD and PHSUB: neighbours combined; the destination's below, the source's above. */
export const neighbourWords =
  (combine: Binary): Binary =>
  (a, b) =>
    combine(pick(a, b, 2, ...EVEN_WORDS), pick(a, b, 2, ...ODD_WORDS));
export const neighbourDoublewords =
  (combine: Binary): Binary =>
  (a, b) =>
    combine(pick(a, b, 4, 0, 2, 4, 6), pick(a, b, 4, 1, 3, 5, 7));

/** PUNPCKL and PUNPCKH of lanes of `width` bytes. */
export function unpack(width: number, high: boolean): Binary {
  const count = 16 / width;
  const from = high ? count / 2 : 0;
  const which = Array.from({ length: count }, (_, i) => from + (i >> 1) + (i & 1) * count);
  return (a, b) => pick(a, b, width, ...which);
}

/** PSHUFB within `bytes` bytes: a selector's top bit gives zero, as an index past the end does in WebAssembly. */
export const shuffleBytes =
  (bytes: 8 | 16): Binary =>
  (a, selectors) =>
    i8x16.swizzle(a, bits.and(selectors, i8x16.splat(i32(0x80 | (bytes - 1)))));

/** All ones in every lane whose number's bit is set in the immediate: the mask of the BLENDs. */
export function blendMask(shape: typeof i16x8 | typeof i32x4, immediate: Expression): Expression {
  const flags = shape === i16x8 ? lanes(1, 2, 4, 8, 16, 32, 64, 128) : lanes(1, 2, 4, 8);
  return shape.eq(bits.and(shape.splat(immediate), flags), flags);
}
/** As `blendMask`, for the two quadwords. */
export function blendMaskQuadwords(immediate: Expression): Expression {
  const flags = i64x2.replace(i64x2.splat(i64(1)), 1, i64(2));
  return i64x2.eq(bits.and(i64x2.splat(immediate), flags), flags);
}
