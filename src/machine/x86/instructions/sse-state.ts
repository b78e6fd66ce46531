/** Loading and storing the state itself: LDMXCSR, STMXCSR, FXSAVE, FXRSTOR. */
import { and, eqz, i32 } from '../../../wasm/expression.ts';
import { CPU_MXCSR } from '../../layout.ts';
import type { InstructionSet } from '../definition.ts';
import { callSupport, type Semantics } from '../emitter.ts';
import { VECTOR_GP } from '../registers.ts';
import { aligned, BLOCKED_X87, fpuGuard, sse } from './sse-operands.ts';

/** Bits of MXCSR that do not exist. */
const MXCSR_RESERVED = ~0xffff;

const loadMxcsr: Semantics = sse((c) => {
  const value = c.load(4);
  c.raiseIf(and(value, i32(MXCSR_RESERVED)), VECTOR_GP);
  c.setState32(CPU_MXCSR, value);
});
const storeMxcsr: Semantics = sse((c) => c.store(c.f.let(c.state32(CPU_MXCSR)), 4));

const IMAGE_BYTES = 512;

/** FXSAVE and FXRSTOR (`assembly/fpu-image.ts`): REX.W, here the operand size, widens the pointers. */
function image(support: 'saveFpuImage' | 'restoreFpuImage'): Semantics {
  return (c) => {
    fpuGuard(c, BLOCKED_X87);
    const address = aligned(c, c.effectiveAddress());
    c.checkAccess(address, IMAGE_BYTES, support === 'saveFpuImage', 1);
    const done = callSupport(c.support, support, address, i32(c.size === 8 ? 1 : 0));
    c.f.if(eqz(done), () => c.fault());
  };
}

export function defineSseState(set: InstructionSet): void {
  set.define('FXSAVE', 'NP 0F AE /0', 'My', image('saveFpuImage'));
  set.define('FXRSTOR', 'NP 0F AE /1', 'My', image('restoreFpuImage'));
  set.define('LDMXCSR', 'NP 0F AE /2', 'Md', loadMxcsr);
  set.define('STMXCSR', 'NP 0F AE /3', 'Md', storeMxcsr);
}
