/**
 * Shuffles, byte shifts of whole registers, insertions and extractions whose immediate picks lanes. The immediate is an
 * operand like another, so lanes are picked by address: registers are in memory.
 */
import {
  add,
  type Expression,
  gtU,
  i32,
  load8U,
  load16U,
  load32,
  load64,
  load128,
  select,
  sub,
} from '../../../wasm/expression.ts';
import type { InstructionSet } from '../definition.ts';
import type { Emitter, Semantics } from '../emitter.ts';
import { MMX, XMM } from './packed-forms.ts';
import {
  enterMmx,
  immediate,
  laneAddress,
  mmx,
  mmxSourceAddress,
  sourceAddress,
  sse,
  wide,
  writeMmx,
  writeXmm,
} from './sse-operands.ts';
import { ZERO } from './vector.ts';

/** `base`, or `limit` if it is more. */
const atMost = (value: Expression, limit: number): Expression =>
  select(gtU(value, i32(limit)), i32(limit), value);

/** Four values, each of the lane of `base` that two bits of the immediate name. */
function fourLanes(c: Emitter, base: Expression, selector: Expression, shift: 1 | 2): Expression[] {
  const load = shift === 1 ? load16U : load32;
  return [0, 2, 4, 6].map((low) => c.f.let(load(laneAddress(base, selector, low, 3, shift))));
}

/** PSHUFD. */
const shuffleDoublewords: Semantics = sse((c) => {
  const values = fourLanes(c, sourceAddress(c), immediate(c), 2);
  const register = c.f.let(c.xmmReg());
  for (const [i, value] of values.entries()) c.f.store32(register, value, i * 4);
});

/** PSHUFLW and PSHUFHW: four words of one half; the other is copied. */
function shuffleWords(high: boolean): Semantics {
  return sse((c) => {
    const { f } = c;
    const base = sourceAddress(c);
    const values = fourLanes(c, high ? add(base, i32(8)) : base, immediate(c), 1);
    const other = f.let(load64(base, high ? 0 : 8));
    const register = f.let(c.xmmReg());
    f.store64(register, other, high ? 0 : 8);
    for (const [i, value] of values.entries()) f.store16(register, value, (high ? 8 : 0) + i * 2);
  });
}

/** PSHUFW. */
const shuffleWordsMmx: Semantics = mmx((c) => {
  const values = fourLanes(c, mmxSourceAddress(c), immediate(c), 1);
  for (const [i, value] of values.entries()) c.f.store16(wide(c), value, i * 2);
  writeMmx(c, c.mmxReg(), load64(wide(c)));
});

/** SHUFPS: two lanes of the destination, two of the source. */
const shuffleSingles: Semantics = sse((c) => {
  const { f } = c;
  const from = sourceAddress(c);
  const selector = immediate(c);
  const register = f.let(c.xmmReg());
  const values = [0, 2, 4, 6].map((low) =>
    f.let(load32(laneAddress(low < 4 ? register : from, selector, low, 3, 2))),
  );
  for (const [i, value] of values.entries()) f.store32(register, value, i * 4);
});
const shuffleDoubles: Semantics = sse((c) => {
  const { f } = c;
  const from = sourceAddress(c);
  const selector = immediate(c);
  const register = f.let(c.xmmReg());
  const low = f.let(load64(laneAddress(register, selector, 0, 1, 3)));
  const high = f.let(load64(laneAddress(from, selector, 1, 1, 3)));
  f.store64(register, low);
  f.store64(register, high, 8);
});

/** PSRLDQ and PSLLDQ: a window of sixteen bytes that slides over the register between zeros. */
function shiftBytes(left: boolean): Semantics {
  return sse((c) => {
    const { f } = c;
    const count = f.let(atMost(immediate(c), 16));
    const register = f.let(c.xmmRm());
    f.store128(wide(c), ZERO);
    f.store128(wide(c), load128(register), 16);
    f.store128(wide(c), ZERO, 32);
    f.store128(register, load128(left ? sub(wide(c), count) : add(wide(c), count), 16));
  });
}

/** PALIGNR: the same window over source, destination, zeros. */
const alignRight: Semantics = sse((c) => {
  const { f } = c;
  const low = f.let(load128(sourceAddress(c)));
  f.store128(wide(c), low);
  f.store128(wide(c), load128(c.xmmReg()), 16);
  f.store128(wide(c), ZERO, 32);
  writeXmm(c, load128(add(wide(c), atMost(immediate(c), 32))));
});
const alignRightMmx: Semantics = mmx((c) => {
  const { f } = c;
  const low = f.let(load64(mmxSourceAddress(c)));
  f.store64(wide(c), low);
  f.store64(wide(c), load64(c.mmxReg()), 8);
  f.store128(wide(c), ZERO, 16);
  writeMmx(c, c.mmxReg(), load64(add(wide(c), atMost(immediate(c), 16))));
});

/** PINSRB, PINSRW, PINSRD, PINSRQ: `bytes` of E into the lane that the immediate names. */
function insert(bytes: number): Semantics {
  return sse((c) => {
    const value = c.load(bytes);
    c.storeHost(lane(c, c.xmmReg(), bytes), value, bytes);
  });
}
/** Address of the lane of `bytes` that the immediate names; its higher bits do not count. */
function lane(c: Emitter, base: Expression, bytes: number, of = 16): Expression {
  return laneAddress(base, immediate(c), 0, of / bytes - 1, Math.log2(bytes));
}
const insertWordMmx: Semantics = mmx((c) => {
  const { f } = c;
  const value = c.load(2);
  f.store64(wide(c), load64(c.mmxReg()));
  f.store16(lane(c, wide(c), 2, 8), value);
  writeMmx(c, c.mmxReg(), load64(wide(c)));
});

/** PEXTRB, PEXTRW, PEXTRD, EXTRACTPS: the lane to memory, or zero-extended to a register. */
function extract(bytes: 1 | 2 | 4): Semantics {
  return sse((c) => {
    const at = lane(c, c.xmmReg(), bytes);
    const value = c.f.let(bytes === 4 ? load32(at) : bytes === 2 ? load16U(at) : load8U(at));
    if (c.shape.memory) c.storeLinear(c.effectiveAddress(), value, bytes);
    else c.setRm(value, 4);
  });
}
const extractQuadword: Semantics = sse((c) => c.store(c.f.let(load64(lane(c, c.xmmReg(), 8))), 8));

/** PEXTRW in its first form: register to register. */
const extractWord: Semantics = sse((c) => c.setReg(load16U(lane(c, c.xmmRm(), 2)), 4));
const extractWordMmx: Semantics = mmx((c) => {
  c.setReg(load16U(lane(c, c.mmxRm(), 2, 8)), 4);
  enterMmx(c);
});

export function definePackedShuffle(set: InstructionSet): void {
  set.define('PSHUFW', 'NP 0F 70', 'Pq Qq Ib', shuffleWordsMmx, MMX);
  set.define('PSHUFD', '66 0F 70', 'Vo Wo Ib', shuffleDoublewords, XMM);
  set.define('PSHUFHW', 'F3 0F 70', 'Vo Wo Ib', shuffleWords(true), XMM);
  set.define('PSHUFLW', 'F2 0F 70', 'Vo Wo Ib', shuffleWords(false), XMM);
  set.define('SHUFPS', 'NP 0F C6', 'Vo Wo Ib', shuffleSingles, XMM);
  set.define('SHUFPD', '66 0F C6', 'Vo Wo Ib', shuffleDoubles, XMM);
  set.define('PSRLDQ', '66 0F 73 /3', 'Uo Ib', shiftBytes(false), XMM);
  set.define('PSLLDQ', '66 0F 73 /7', 'Uo Ib', shiftBytes(true), XMM);
  set.define('PALIGNR', 'NP 0F 3A 0F', 'Pq Qq Ib', alignRightMmx, MMX);
  set.define('PALIGNR', '66 0F 3A 0F', 'Vo Wo Ib', alignRight, XMM);

  // Register operands are doublewords: `Eb` and `Ew` would name AH or half a register where these name EAX.
  set.define('PINSRW', 'NP 0F C4', 'Pq Ed Ib', insertWordMmx, MMX);
  set.define('PINSRW', '66 0F C4', 'Vo Ed Ib', insert(2), XMM);
  set.define('PINSRB', '66 0F 3A 20', 'Vo Ed Ib', insert(1), XMM);
  set.define('PINSRD', '66 0F 3A 22', 'Vo Ey Ib', (c) => insert(c.size)(c));
  set.define('PEXTRW', 'NP 0F C5', 'Gd Nq Ib', extractWordMmx);
  set.define('PEXTRW', '66 0F C5', 'Gd Uo Ib', extractWord);
  set.define('PEXTRB', '66 0F 3A 14', 'Ed Vo Ib', extract(1));
  set.define('PEXTRW', '66 0F 3A 15', 'Ed Vo Ib', extract(2));
  set.define('PEXTRD', '66 0F 3A 16', 'Ey Vo Ib', (c) => (c.size === 8 ? extractQuadword(c) : extract(4)(c)));
  set.define('EXTRACTPS', '66 0F 3A 17', 'Ed Vo Ib', extract(4));
}
