/**
 * Packed integer instructions of MMX, SSE and SSE2: nearly all exist twice, with no prefix for MMX and with 66 for SSE,
 * so one table gives both.
 */
import {
  type Expression,
  I32,
  i32,
  i64,
  load64,
  load128,
  ltU,
  select,
  wrap,
} from '../../../wasm/expression.ts';
import type { InstructionSet } from '../definition.ts';
import type { Semantics } from '../emitter.ts';
import { definePair, definePairAcross, MMX, mmxUnpack, XMM, xmmBinary } from './packed-forms.ts';
import * as packed from './packed-operations.ts';
import {
  asVector,
  enterMmx,
  lowHalf,
  mmx,
  mmxSource,
  sourceAddress,
  sse,
  writeMmx,
  writeXmm,
} from './sse-operands.ts';
import { type Binary, bits, i8x16, i16x8, i32x4, i64x2, ZERO } from './vector.ts';

/** A shift of every lane; past the width it gives zeros, or for an arithmetic one copies of the sign. */
function shiftLanes(shift: Binary, width: number, arithmetic: boolean) {
  return (value: Expression, count: Expression): Expression => {
    const narrow = count.type === I32 ? count : wrap(count);
    const inside = ltU(count, count === narrow ? i32(width) : i64(width));
    if (arithmetic) return shift(value, select(inside, narrow, i32(width - 1)));
    return select(inside, shift(value, narrow), ZERO);
  };
}
type LaneShift = ReturnType<typeof shiftLanes>;

/** The count is the low quadword of the source, all of it. */
function shiftBySource(shift: LaneShift): Semantics {
  return sse((c) => {
    const count = c.f.let(load64(sourceAddress(c)));
    writeXmm(c, shift(load128(c.xmmReg()), count));
  });
}
function shiftBySourceMmx(shift: LaneShift): Semantics {
  return mmx((c) => {
    const count = mmxSource(c);
    writeMmx(c, c.mmxReg(), lowHalf(shift(asVector(load64(c.mmxReg())), count)));
  });
}
/** The forms with an immediate shift the register that ModRM.rm names. */
function shiftByImmediate(shift: LaneShift): Semantics {
  return sse((c) => {
    const count = c.f.let(c.immediate(1));
    c.f.store128(c.xmmRm(), shift(load128(c.xmmRm()), count));
  });
}
function shiftByImmediateMmx(shift: LaneShift): Semantics {
  return mmx((c) => {
    const count = c.f.let(c.immediate(1));
    writeMmx(c, c.mmxRm(), lowHalf(shift(asVector(load64(c.mmxRm())), count)));
  });
}

const moveMask: Semantics = sse((c) => c.setReg(i8x16.bitmask(load128(c.xmmRm())), 4));
const moveMaskMmx: Semantics = mmx((c) => {
  c.setReg(i8x16.bitmask(i64x2.replace(ZERO, 0, load64(c.mmxRm()))), 4);
  enterMmx(c);
});

const LANEWISE: readonly [string, string, packed.Operation][] = [
  ['PCMPGTB', '64', i8x16.gtS],
  ['PCMPGTW', '65', i16x8.gtS],
  ['PCMPGTD', '66', i32x4.gtS],
  ['PCMPEQB', '74', i8x16.eq],
  ['PCMPEQW', '75', i16x8.eq],
  ['PCMPEQD', '76', i32x4.eq],
  ['PADDQ', 'D4', i64x2.add],
  ['PMULLW', 'D5', i16x8.mul],
  ['PSUBUSB', 'D8', i8x16.subSatU],
  ['PSUBUSW', 'D9', i16x8.subSatU],
  ['PMINUB', 'DA', i8x16.minU],
  ['PAND', 'DB', bits.and],
  ['PADDUSB', 'DC', i8x16.addSatU],
  ['PADDUSW', 'DD', i16x8.addSatU],
  ['PMAXUB', 'DE', i8x16.maxU],
  ['PANDN', 'DF', packed.andNot],
  ['PAVGB', 'E0', i8x16.averageU],
  ['PAVGW', 'E3', i16x8.averageU],
  ['PMULHUW', 'E4', packed.mulHighU],
  ['PMULHW', 'E5', packed.mulHighS],
  ['PSUBSB', 'E8', i8x16.subSatS],
  ['PSUBSW', 'E9', i16x8.subSatS],
  ['PMINSW', 'EA', i16x8.minS],
  ['POR', 'EB', bits.or],
  ['PADDSB', 'EC', i8x16.addSatS],
  ['PADDSW', 'ED', i16x8.addSatS],
  ['PMAXSW', 'EE', i16x8.maxS],
  ['PXOR', 'EF', bits.xor],
  ['PMULUDQ', 'F4', packed.mulDoublewordsU],
  ['PMADDWD', 'F5', i32x4.dot],
  ['PSADBW', 'F6', packed.sumOfDifferences],
  ['PSUBB', 'F8', i8x16.sub],
  ['PSUBW', 'F9', i16x8.sub],
  ['PSUBD', 'FA', i32x4.sub],
  ['PSUBQ', 'FB', i64x2.sub],
  ['PADDB', 'FC', i8x16.add],
  ['PADDW', 'FD', i16x8.add],
  ['PADDD', 'FE', i32x4.add],
];

const UNPACKS: readonly [string, string, number, boolean][] = [
  ['PUNPCKLBW', '60', 1, false],
  ['PUNPCKLWD', '61', 2, false],
  ['PUNPCKLDQ', '62', 4, false],
  ['PUNPCKHBW', '68', 1, true],
  ['PUNPCKHWD', '69', 2, true],
  ['PUNPCKHDQ', '6A', 4, true],
];

/** Name, opcode of the form that counts by a register, opcode and digit of the one with an immediate. */
const SHIFTS: readonly [string, string, string, LaneShift][] = [
  ['PSRLW', 'D1', '71 /2', shiftLanes(i16x8.shrU, 16, false)],
  ['PSRLD', 'D2', '72 /2', shiftLanes(i32x4.shrU, 32, false)],
  ['PSRLQ', 'D3', '73 /2', shiftLanes(i64x2.shrU, 64, false)],
  ['PSRAW', 'E1', '71 /4', shiftLanes(i16x8.shrS, 16, true)],
  ['PSRAD', 'E2', '72 /4', shiftLanes(i32x4.shrS, 32, true)],
  ['PSLLW', 'F1', '71 /6', shiftLanes(i16x8.shl, 16, false)],
  ['PSLLD', 'F2', '72 /6', shiftLanes(i32x4.shl, 32, false)],
  ['PSLLQ', 'F3', '73 /6', shiftLanes(i64x2.shl, 64, false)],
];

export function definePackedInteger(set: InstructionSet): void {
  for (const [name, opcode, operation] of LANEWISE) definePair(set, name, opcode, operation);
  for (const [name, opcode, width, high] of UNPACKS) {
    set.define(name, `NP 0F ${opcode}`, 'Pq Qq', mmxUnpack(width, high), MMX);
    set.define(name, `66 0F ${opcode}`, 'Vo Wo', xmmBinary(packed.unpack(width, high)), XMM);
  }
  set.define('PUNPCKLQDQ', '66 0F 6C', 'Vo Wo', xmmBinary(packed.unpack(8, false)), XMM);
  set.define('PUNPCKHQDQ', '66 0F 6D', 'Vo Wo', xmmBinary(packed.unpack(8, true)), XMM);
  definePairAcross(set, 'PACKSSWB', '63', i8x16.narrowS);
  definePairAcross(set, 'PACKUSWB', '67', i8x16.narrowU);
  definePairAcross(set, 'PACKSSDW', '6B', i16x8.narrowS);

  for (const [name, opcode, digit, shift] of SHIFTS) {
    set.define(name, `NP 0F ${opcode}`, 'Pq Qq', shiftBySourceMmx(shift), MMX);
    set.define(name, `66 0F ${opcode}`, 'Vo Wo', shiftBySource(shift), XMM);
    set.define(name, `NP 0F ${digit}`, 'Nq Ib', shiftByImmediateMmx(shift), MMX);
    set.define(name, `66 0F ${digit}`, 'Uo Ib', shiftByImmediate(shift), XMM);
  }
  set.define('PMOVMSKB', 'NP 0F D7', 'Gd Nq', moveMaskMmx, { size: 4 });
  set.define('PMOVMSKB', '66 0F D7', 'Gd Uo', moveMask, { size: 4 });
}
