/** How a packed operation becomes an instruction: its operands are fetched, checked and bound, and its result written. */
import { extendU, load32, load64, load128 } from '../../../wasm/expression.ts';
import type { InstructionSet } from '../definition.ts';
import type { Semantics } from '../emitter.ts';
import { type Operation, unpack } from './packed-operations.ts';
import {
  asVector,
  lowHalf,
  mmx,
  mmxSource,
  mmxSourceAddress,
  source,
  sse,
  writeMmx,
  writeXmm,
} from './sse-operands.ts';
import { i64x2, type Unary } from './vector.ts';

/** Options of a form whose operands are XMM registers. */
export const XMM = { size: 16 };
/** Options of a form whose operands are MMX registers. */
export const MMX = { size: 8 };

/** V ← V op W. */
export function xmmBinary(operation: Operation): Semantics {
  return sse((c) => {
    const b = source(c);
    const a = c.f.let(load128(c.xmmReg()));
    writeXmm(
      c,
      operation(a, b, (value) => c.f.let(value)),
    );
  });
}

/** P ← P op Q, lane by lane. */
export function mmxBinary(operation: Operation): Semantics {
  return mmx((c) => {
    const { f } = c;
    const b = f.let(asVector(mmxSource(c)));
    const a = f.let(asVector(load64(c.mmxReg())));
    writeMmx(c, c.mmxReg(), lowHalf(operation(a, b, (value) => f.let(value))));
  });
}

/** P ← P op Q across lanes: P below and Q above in one vector. */
export function mmxAcross(operation: Operation): Semantics {
  return mmx((c) => {
    const { f } = c;
    const b = mmxSource(c);
    const both = f.let(i64x2.replace(asVector(load64(c.mmxReg())), 1, b));
    writeMmx(c, c.mmxReg(), lowHalf(operation(both, both, (value) => f.let(value))));
  });
}

/** PUNPCKL reads only four bytes of memory; the high halves of P and Q are the upper half of what `unpack` gives. */
export function mmxUnpack(width: number, high: boolean): Semantics {
  return mmx((c) => {
    const narrow = c.shape.memory && !high;
    const address = mmxSourceAddress(c, narrow ? 4 : 8);
    const b = asVector(c.f.let(narrow ? extendU(load32(address)) : load64(address)));
    const a = asVector(load64(c.mmxReg()));
    writeMmx(c, c.mmxReg(), i64x2.lane(unpack(width, false)(a, b), high ? 1 : 0));
  });
}

/** V ← op W. */
export function xmmUnary(operation: Unary): Semantics {
  return sse((c) => writeXmm(c, operation(source(c))));
}
/** P ← op Q. */
export function mmxUnary(operation: Unary): Semantics {
  return mmx((c) => writeMmx(c, c.mmxReg(), lowHalf(operation(asVector(mmxSource(c))))));
}

/** Defines a lane-by-lane operation for both register sets. */
export function definePair(set: InstructionSet, name: string, opcode: string, operation: Operation): void {
  set.define(name, `NP 0F ${opcode}`, 'Pq Qq', mmxBinary(operation), MMX);
  set.define(name, `66 0F ${opcode}`, 'Vo Wo', xmmBinary(operation), XMM);
}
/** Defines an operation across lanes for both. */
export function definePairAcross(
  set: InstructionSet,
  name: string,
  opcode: string,
  operation: Operation,
): void {
  set.define(name, `NP 0F ${opcode}`, 'Pq Qq', mmxAcross(operation), MMX);
  set.define(name, `66 0F ${opcode}`, 'Vo Wo', xmmBinary(operation), XMM);
}
