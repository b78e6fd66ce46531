/** MMX instructions without an SSE twin: moves, EMMS, and the traffic between MMX and XMM registers. */
import { i32, i64, load32, load64 } from '../../../wasm/expression.ts';
import { CPU_FPU_EMPTY, CPU_FPU_TOP } from '../../layout.ts';
import type { InstructionSet } from '../definition.ts';
import type { Semantics } from '../emitter.ts';
import { MMX, XMM } from './packed-forms.ts';
import { destination } from './sse-moves.ts';
import {
  asVector,
  BLOCKED_SSE,
  enterMmx,
  fpuGuard,
  lowHalf,
  mmx,
  mmxSource,
  raisePendingFloat,
  writeMmx,
} from './sse-operands.ts';
import { bits, i8x16 } from './vector.ts';

const loadFromGeneral: Semantics = mmx((c) => {
  const value = c.load();
  writeMmx(c, c.mmxReg(), c.widened(value));
});
const storeToGeneral: Semantics = mmx((c) => {
  c.store(c.f.let(c.size === 8 ? load64(c.mmxReg()) : load32(c.mmxReg())));
  enterMmx(c);
});
const load: Semantics = mmx((c) => writeMmx(c, c.mmxReg(), mmxSource(c)));
const store: Semantics = mmx((c) => {
  const value = c.f.let(load64(c.mmxReg()));
  if (!c.shape.memory) {
    writeMmx(c, c.mmxRm(), value);
    return;
  }
  c.storeLinear(c.effectiveAddress(), value, 8);
  enterMmx(c);
});

/** MASKMOVQ: the bytes whose mask has its top bit set. */
const storeMasked: Semantics = mmx((c) => {
  const { f } = c;
  const mask = f.let(i8x16.shrS(asVector(load64(c.mmxRm())), i32(7)));
  const value = f.let(asVector(load64(c.mmxReg())));
  // Processors look at the segment even if nothing is stored, and have entered MMX by then.
  enterMmx(c);
  if (c.checked) c.checkAccess(destination(c), 8, true);
  f.if(bits.anyTrue(mask), () => {
    const host = c.translate(destination(c), 8, true);
    f.store64(host, lowHalf(bits.select(value, asVector(load64(host)), mask)));
    c.stored(host);
  });
});

const empty: Semantics = mmx((c) => {
  c.setState32(CPU_FPU_TOP, i32(0));
  c.setState32(CPU_FPU_EMPTY, i32(0xff));
});

/** MOVDQ2Q and MOVQ2DQ look at both kinds of registers. */
const fromXmm: Semantics = (c) => {
  fpuGuard(c, BLOCKED_SSE);
  raisePendingFloat(c);
  writeMmx(c, c.mmxReg(), load64(c.xmmRm()));
};
const toXmm: Semantics = (c) => {
  fpuGuard(c, BLOCKED_SSE);
  raisePendingFloat(c);
  const register = c.f.let(c.xmmReg());
  c.f.store64(register, load64(c.mmxRm()));
  c.f.store64(register, i64(0), 8);
  enterMmx(c);
};

export function defineMmx(set: InstructionSet): void {
  set.define('EMMS', 'NP 0F 77', '', empty);
  set.define('MOVD', 'NP 0F 6E', 'Pq Ey', loadFromGeneral);
  set.define('MOVD', 'NP 0F 7E', 'Ey Pq', storeToGeneral);
  set.define('MOVQ', 'NP 0F 6F', 'Pq Qq', load, MMX);
  set.define('MOVQ', 'NP 0F 7F', 'Qq Pq', store, MMX);
  set.define('MOVNTQ', 'NP 0F E7', 'Mq Pq', store, MMX);
  set.define('MASKMOVQ', 'NP 0F F7', 'Pq Nq', storeMasked, { ...MMX, addressed: true });
  set.define('MOVDQ2Q', 'F2 0F D6', 'Pq Uq', fromXmm, MMX);
  set.define('MOVQ2DQ', 'F3 0F D6', 'Vo Nq', toXmm, XMM);
}
