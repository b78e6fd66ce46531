/**
 * The x87 instructions that are more than an operation of arithmetic: remainders, scaling, taking a number apart, and the
 * transcendental functions. What they give lies in `assembly/float/`; here is what they do to the stack.
 */
import { I32, i32, or } from '../../../wasm/expression.ts';
import type { InstructionSet } from '../definition.ts';
import { callSupport, type Semantics } from '../emitter.ts';
import { wide } from './sse-operands.ts';
import { unary } from './x87-arithmetic.ts';
import { above, compute, fill, isEmpty, operation, pop, push, run, stack } from './x87-state.ts';

/** ST0 = f(ST0, ST1). FPREM and FPREM1 report by C2 = 0 that they are done, and do so after a stack fault too. */
function withNext(support: string, reports = false): Semantics {
  return operation((c) => {
    const top = stack(c, 0);
    const next = stack(c, 1);
    const work = (): void => {
      if (reports) run(c, 'x87Done');
      c.f.if(
        or(isEmpty(c, top), isEmpty(c, next)),
        () => run(c, 'x87FaultTo', top.address, i32(0)),
        () => run(c, support, top.address, top.address, next.address),
      );
    };
    compute(c, work, () => fill(c, top));
  });
}

/** ST1 = f(ST0, ST1), and pops: FPATAN, FYL2X, FYL2XP1. */
function intoNext(support: string): Semantics {
  return operation((c) => {
    const top = stack(c, 0);
    const next = stack(c, 1);
    const work = (): void =>
      c.f.if(
        or(isEmpty(c, top), isEmpty(c, next)),
        () => run(c, 'x87FaultTo', next.address, i32(0)),
        () => run(c, support, next.address, top.address, next.address),
      );
    compute(c, work, () => {
      fill(c, next);
      pop(c);
    });
  });
}

/**
 * Replaces ST0 by one result and pushes the other: FSINCOS, FPTAN, FXTRACT. The first two give 0 where ST0 is out of range:
 * then it stays, and nothing is pushed.
 */
function pair(support: string, circular: boolean): Semantics {
  return operation((c) => {
    const { f } = c;
    const top = stack(c, 0);
    const target = above(c);
    const slot = wide(c);
    const pushes = f.local(I32);
    f.set(pushes, i32(1));
    const fault = (overflowed: 0 | 1): void => {
      run(c, 'x87FaultTo', top.address, i32(overflowed));
      run(c, 'x87FaultTo', slot, i32(overflowed));
    };
    const work = (): void => {
      if (circular) run(c, 'x87Done');
      f.if(
        isEmpty(c, top),
        () => fault(0),
        () =>
          f.if(
            isEmpty(c, target),
            () => {
              if (circular) f.set(pushes, callSupport(c.support, support, top.address, slot, top.address));
              else run(c, support, top.address, slot, top.address);
            },
            () => fault(1),
          ),
      );
    };
    compute(c, work, () => {
      fill(c, top);
      f.if(pushes, () => push(c, target, slot));
    });
  });
}

export function defineX87Transcendental(set: InstructionSet): void {
  set.define('F2XM1', 'D9 =F0', '', unary('f80PowerMinus1'));
  set.define('FYL2X', 'D9 =F1', '', intoNext('f80Logarithm'));
  set.define('FPTAN', 'D9 =F2', '', pair('f80Tangent', true));
  set.define('FPATAN', 'D9 =F3', '', intoNext('f80ArcTangent'));
  set.define('FXTRACT', 'D9 =F4', '', pair('f80Extract', false));
  set.define('FPREM1', 'D9 =F5', '', withNext('f80RemainderNearest', true));
  set.define('FPREM', 'D9 =F8', '', withNext('f80Remainder', true));
  set.define('FYL2XP1', 'D9 =F9', '', intoNext('f80LogarithmPlus1'));
  set.define('FSINCOS', 'D9 =FB', '', pair('f80SineCosine', true));
  set.define('FSCALE', 'D9 =FD', '', withNext('f80Scale'));
  set.define('FSIN', 'D9 =FE', '', unary('f80Sine', true));
  set.define('FCOS', 'D9 =FF', '', unary('f80Cosine', true));
}
