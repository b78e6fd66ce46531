/** SSSE3: byte shuffles, horizontal sums, signs, absolute values, rounded products; for MMX and for XMM registers. */
import type { InstructionSet } from '../definition.ts';
import { MMX, mmxAcross, mmxBinary, mmxUnary, XMM, xmmBinary, xmmUnary } from './packed-forms.ts';
import * as packed from './packed-operations.ts';
import { i8x16, i16x8, i32x4, type Unary } from './vector.ts';

const ACROSS: readonly [string, string, packed.Operation][] = [
  ['PHADDW', '01', packed.neighbourWords(i16x8.add)],
  ['PHADDD', '02', packed.neighbourDoublewords(i32x4.add)],
  ['PHADDSW', '03', packed.neighbourWords(i16x8.addSatS)],
  ['PHSUBW', '05', packed.neighbourWords(i16x8.sub)],
  ['PHSUBD', '06', packed.neighbourDoublewords(i32x4.sub)],
  ['PHSUBSW', '07', packed.neighbourWords(i16x8.subSatS)],
];
const LANEWISE: readonly [string, string, packed.Operation][] = [
  ['PMADDUBSW', '04', packed.mulAddBytes],
  ['PSIGNB', '08', packed.sign(i8x16)],
  ['PSIGNW', '09', packed.sign(i16x8)],
  ['PSIGND', '0A', packed.sign(i32x4)],
  ['PMULHRSW', '0B', packed.mulRounded],
];
const UNARY: readonly [string, string, Unary][] = [
  ['PABSB', '1C', i8x16.abs],
  ['PABSW', '1D', i16x8.abs],
  ['PABSD', '1E', i32x4.abs],
];

export function defineSsse3(set: InstructionSet): void {
  const both = (name: string, opcode: string, mmx: packed.Operation, xmm: packed.Operation): void => {
    set.define(name, `NP 0F 38 ${opcode}`, 'Pq Qq', mmxBinary(mmx), MMX);
    set.define(name, `66 0F 38 ${opcode}`, 'Vo Wo', xmmBinary(xmm), XMM);
  };
  both('PSHUFB', '00', packed.shuffleBytes(8), packed.shuffleBytes(16));
  for (const [name, opcode, operation] of LANEWISE) both(name, opcode, operation, operation);
  for (const [name, opcode, operation] of ACROSS) {
    set.define(name, `NP 0F 38 ${opcode}`, 'Pq Qq', mmxAcross(operation), MMX);
    set.define(name, `66 0F 38 ${opcode}`, 'Vo Wo', xmmBinary(operation), XMM);
  }
  for (const [name, opcode, operation] of UNARY) {
    set.define(name, `NP 0F 38 ${opcode}`, 'Pq Qq', mmxUnary(operation), MMX);
    set.define(name, `66 0F 38 ${opcode}`, 'Vo Wo', xmmUnary(operation), XMM);
  }
}
