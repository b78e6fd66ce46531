/** SSE4.1, the integer part: blends, widening moves, minima and maxima, products, PTEST, MPSADBW, PHMINPOSUW, INSERTPS. */
import {
  type Expression,
  eqz,
  extendU,
  i32,
  load8U,
  load16U,
  load32,
  load64,
  load128,
  or,
  rotl,
  select,
} from '../../../wasm/expression.ts';
import { CPU_XMM } from '../../layout.ts';
import type { InstructionSet } from '../definition.ts';
import type { Semantics } from '../emitter.ts';
import { FLAG_CF, FLAG_ZF } from '../registers.ts';
import { XMM, xmmBinary } from './packed-forms.ts';
import * as packed from './packed-operations.ts';
import { immediate, laneAddress, source, sourceAddress, sse, writeXmm } from './sse-operands.ts';
import { type Binary, bits, i8x16, i16x8, i32x4, i64x2, lanes, pick, type Unary, ZERO } from './vector.ts';

/** Lanes of W where the mask is all ones, of V elsewhere. */
function blend(mask: (immediate: Expression) => Expression): Semantics {
  return sse((c) => {
    const b = source(c);
    writeXmm(c, bits.select(b, load128(c.xmmReg()), mask(immediate(c))));
  });
}
/** The BLENDVs: xmm0's top bits decide. */
function blendByRegister(spread: Binary, width: number): Semantics {
  return sse((c) => {
    const b = source(c);
    const mask = spread(load128(c.stateAddress(CPU_XMM)), i32(width - 1));
    writeXmm(c, bits.select(b, load128(c.xmmReg()), mask));
  });
}

/** PMOVSX and PMOVZX read `bytes` bytes and widen their lanes. */
function widening(bytes: 2 | 4 | 8, widen: Unary): Semantics {
  return sse((c) => {
    const address = sourceAddress(c, bytes);
    const low = bytes === 8 ? load64(address) : extendU(bytes === 4 ? load32(address) : load16U(address));
    writeXmm(c, widen(i64x2.splat(low)));
  });
}

/** PTEST: ZF if no bit is in both, CF if no bit of W is not in V. */
const test: Semantics = sse((c) => {
  const { f } = c;
  const b = source(c);
  const a = f.let(load128(c.xmmReg()));
  const zero = select(eqz(bits.anyTrue(bits.and(b, a))), i32(FLAG_ZF), i32(0));
  const carry = select(eqz(bits.anyTrue(bits.andNot(b, a))), i32(FLAG_CF), i32(0));
  c.setArithmeticFlags(or(zero, carry));
});

/** MPSADBW: eight sums of the differences between four bytes of W and four, sliding, of V. */
const slidingDifferences: Semantics = sse((c) => {
  const { f } = c;
  const from = sourceAddress(c);
  const selector = immediate(c);
  const block = f.let(laneAddress(from, selector, 0, 3, 2));
  const window = f.let(laneAddress(c.xmmReg(), selector, 2, 1, 2));
  const sums = [0, 1, 2, 3].map((j) => {
    const byte = i16x8.splat(load8U(block, j));
    return i16x8.abs(i16x8.sub(i16x8.extendLowU(i64x2.splat(load64(window, j))), byte));
  });
  writeXmm(c, i16x8.add(i16x8.add(sums[0]!, sums[1]!), i16x8.add(sums[2]!, sums[3]!)));
});

/** PHMINPOSUW: each word above its number, so that the least doubleword is the first least word and its place. */
const minimumAndPlace: Semantics = sse((c) => {
  const { f } = c;
  const words = source(c);
  const low = bits.or(i32x4.shl(i32x4.extendLowU(words), i32(16)), lanes(0, 1, 2, 3));
  const high = bits.or(i32x4.shl(i32x4.extendHighU(words), i32(16)), lanes(4, 5, 6, 7));
  const four = f.let(i32x4.minU(low, high));
  const two = f.let(i32x4.minU(four, pick(four, four, 4, 2, 3, 0, 1)));
  const one = f.let(i32x4.minU(two, pick(two, two, 4, 1, 0, 3, 2)));
  writeXmm(c, i32x4.replace(ZERO, 0, rotl(i32x4.lane(one, 0), i32(16))));
});

/** INSERTPS: a lane of W (memory: the only one) into a lane of V, then zeros where the mask says so. */
const insertSingle: Semantics = sse((c) => {
  const { f } = c;
  const from = sourceAddress(c, 4);
  const selector = immediate(c);
  const value = f.let(load32(c.shape.memory ? from : laneAddress(from, selector, 6, 3, 2)));
  const register = f.let(c.xmmReg());
  f.store32(laneAddress(register, selector, 4, 3, 2), value);
  f.store128(register, bits.andNot(load128(register), packed.blendMask(i32x4, selector)));
});

const BINARY: readonly [string, string, packed.Operation][] = [
  ['PMULDQ', '28', packed.mulDoublewordsS],
  ['PCMPEQQ', '29', i64x2.eq],
  ['PACKUSDW', '2B', i16x8.narrowU],
  ['PMINSB', '38', i8x16.minS],
  ['PMINSD', '39', i32x4.minS],
  ['PMINUW', '3A', i16x8.minU],
  ['PMINUD', '3B', i32x4.minU],
  ['PMAXSB', '3C', i8x16.maxS],
  ['PMAXSD', '3D', i32x4.maxS],
  ['PMAXUW', '3E', i16x8.maxU],
  ['PMAXUD', '3F', i32x4.maxU],
  ['PMULLD', '40', i32x4.mul],
];

const bytesToDoublewordsS: Unary = (a) => i32x4.extendLowS(i16x8.extendLowS(a));
const bytesToDoublewordsU: Unary = (a) => i32x4.extendLowU(i16x8.extendLowU(a));

/** Name, low digit of the opcode (2x signed, 3x unsigned), bytes read, what widens them. */
const WIDENING: readonly [string, number, 2 | 4 | 8, Unary, Unary][] = [
  ['BW', 0, 8, i16x8.extendLowS, i16x8.extendLowU],
  ['BD', 1, 4, bytesToDoublewordsS, bytesToDoublewordsU],
  [
    'BQ',
    2,
    2,
    (a) => i64x2.extendLowS(bytesToDoublewordsS(a)),
    (a) => i64x2.extendLowU(bytesToDoublewordsU(a)),
  ],
  ['WD', 3, 8, i32x4.extendLowS, i32x4.extendLowU],
  ['WQ', 4, 4, (a) => i64x2.extendLowS(i32x4.extendLowS(a)), (a) => i64x2.extendLowU(i32x4.extendLowU(a))],
  ['DQ', 5, 8, i64x2.extendLowS, i64x2.extendLowU],
];

export function defineSse41(set: InstructionSet): void {
  for (const [name, opcode, operation] of BINARY) {
    set.define(name, `66 0F 38 ${opcode}`, 'Vo Wo', xmmBinary(operation), XMM);
  }
  for (const [name, digit, bytes, signed, unsigned] of WIDENING) {
    const operands = `Vo W${{ 2: 'w', 4: 'd', 8: 'q' }[bytes]}`;
    set.define(`PMOVSX${name}`, `66 0F 38 2${digit}`, operands, widening(bytes, signed), XMM);
    set.define(`PMOVZX${name}`, `66 0F 38 3${digit}`, operands, widening(bytes, unsigned), XMM);
  }
  set.define('PBLENDVB', '66 0F 38 10', 'Vo Wo', blendByRegister(i8x16.shrS, 8), XMM);
  set.define('BLENDVPS', '66 0F 38 14', 'Vo Wo', blendByRegister(i32x4.shrS, 32), XMM);
  set.define('BLENDVPD', '66 0F 38 15', 'Vo Wo', blendByRegister(i64x2.shrS, 64), XMM);
  set.define(
    'BLENDPS',
    '66 0F 3A 0C',
    'Vo Wo Ib',
    blend((i) => packed.blendMask(i32x4, i)),
    XMM,
  );
  set.define(
    'BLENDPD',
    '66 0F 3A 0D',
    'Vo Wo Ib',
    blend((i) => packed.blendMaskQuadwords(extendU(i))),
    XMM,
  );
  set.define(
    'PBLENDW',
    '66 0F 3A 0E',
    'Vo Wo Ib',
    blend((i) => packed.blendMask(i16x8, i)),
    XMM,
  );
  set.define('PTEST', '66 0F 38 17', 'Vo Wo', test, XMM);
  set.define('PHMINPOSUW', '66 0F 38 41', 'Vo Wo', minimumAndPlace, XMM);
  set.define('MPSADBW', '66 0F 3A 42', 'Vo Wo Ib', slidingDifferences, XMM);
  set.define('INSERTPS', '66 0F 3A 21', 'Vo Wd Ib', insertSingle, XMM);
}
