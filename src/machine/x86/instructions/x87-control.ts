/**
 * x87 control: the control and status words, the images of environment and state, FWAIT, and the entry `defineX87`.
 * Intel SDM 2, under the names of the instructions. An FN… instruction executes although an exception is pending; its F…
 * twin is FWAIT followed by it.
 */
import { and, eqz, i32 } from '../../../wasm/expression.ts';
import { CPU_FPU_CONTROL } from '../../layout.ts';
import type { InstructionSet } from '../definition.ts';
import { callSupport, type Semantics } from '../emitter.ts';
import { RAX } from '../registers.ts';
import { BLOCKED_WAIT, fpuGuard, raisePendingFloat } from './sse-operands.ts';
import { defineX87Arithmetic } from './x87-arithmetic.ts';
import { defineX87LoadStore } from './x87-load-store.ts';
import { operation, run, unwaiting, waiting } from './x87-state.ts';
import { defineX87Transcendental } from './x87-transcendental.ts';

/** The exception flags, stack fault, error summary and busy bits of the status word, which is the upper half. */
const PENDING = 0x80ff << 16;

const wait: Semantics = (c) => {
  fpuGuard(c, BLOCKED_WAIT);
  raisePendingFloat(c);
};
const nothing: Semantics = () => {};

const initialize: Semantics = unwaiting((c) => run(c, 'x87Initialize'));
const clearExceptions: Semantics = unwaiting((c) =>
  c.setState32(CPU_FPU_CONTROL, and(c.state32(CPU_FPU_CONTROL), i32(~PENDING))),
);

const storeControl: Semantics = unwaiting((c) =>
  c.store(c.f.let(and(c.state32(CPU_FPU_CONTROL), i32(0xffff))), 2),
);
const loadControl: Semantics = waiting((c) => run(c, 'x87LoadControl', c.load(2)));
const storeStatus: Semantics = unwaiting((c) => c.store(c.f.let(callSupport(c.support, 'x87Status')), 2));
const storeStatusToAx: Semantics = unwaiting((c) => c.setGpr(RAX, callSupport(c.support, 'x87Status'), 2));

const ENVIRONMENT_WORDS = 7;
const REGISTER_BYTES = 80;

/**
 * Moves an image of words (operand size 2) or doublewords, with `registers` bytes behind it; all of it is translated
 * before anything changes.
 */
const image: (support: string, write: boolean, registers?: number) => Semantics =
  (support, write, registers = 0) =>
  (c) => {
    const width = c.size === 2 ? 2 : 4;
    const address = c.bind(c.effectiveAddress());
    c.checkAccess(address, ENVIRONMENT_WORDS * width + registers, write, width);
    const done = callSupport(c.support, support, address, i32(width));
    c.f.if(eqz(done), () => c.fault());
  };

export function defineX87(set: InstructionSet): void {
  defineX87LoadStore(set);
  defineX87Arithmetic(set);
  defineX87Transcendental(set);

  set.define('FWAIT', '9B', '', wait);
  set.define('FNOP', 'D9 =D0', '', operation(nothing));
  set.define('FNINIT', 'DB =E3', '', initialize);
  set.define('FNCLEX', 'DB =E2', '', clearExceptions);
  set.define('FNSTCW', 'D9 /7', 'Mw', storeControl);
  set.define('FLDCW', 'D9 /5', 'Mw', loadControl);
  set.define('FNSTSW', 'DD /7', 'Mw', storeStatus);
  set.define('FNSTSW', 'DF =E0', '', storeStatusToAx);

  const images = { sizes: [2, 4, 8] };
  set.define('FNSTENV', 'D9 /6', 'M', unwaiting(image('x87StoreEnvironment', true)), images);
  set.define('FLDENV', 'D9 /4', 'M', waiting(image('x87LoadEnvironment', false)), images);
  set.define('FNSAVE', 'DD /6', 'M', unwaiting(image('x87Save', true, REGISTER_BYTES)), images);
  set.define('FRSTOR', 'DD /4', 'M', waiting(image('x87Restore', false, REGISTER_BYTES)), images);

  // Of the 8087 and the 80287; nothing since.
  set.define('FENI', 'DB =E0', '', unwaiting(nothing));
  set.define('FDISI', 'DB =E1', '', unwaiting(nothing));
  set.define('FSETPM', 'DB =E4', '', unwaiting(nothing));
}
