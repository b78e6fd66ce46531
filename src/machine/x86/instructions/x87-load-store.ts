/** Loads, stores, constants, and moves within the x87 stack. Intel SDM 2, under the names of the instructions. */
import {
  add,
  and,
  type Expression,
  eq,
  eqz,
  extendS,
  extendU,
  i32,
  i64Halves,
  load16S,
  load16U,
  load32,
  load64,
  nez,
  or,
  select,
  sub,
} from '../../../wasm/expression.ts';
import { CPU_FPU_CONTROL } from '../../layout.ts';
import type { InstructionSet } from '../definition.ts';
import type { Emitter, Semantics } from '../emitter.ts';
import { wide } from './sse-operands.ts';
import {
  above,
  clearC1,
  compute,
  copyNumber,
  fill,
  isEmpty,
  memoryOperand,
  named,
  operation,
  pop,
  push,
  rotate,
  run,
  type StackRegister,
  stack,
  vacate,
} from './x87-state.ts';

// ------------------------------------------------------------------ loads

/** Looks at the operand, and gives what puts the number into a slot. */
type Source = (c: Emitter) => (slot: Expression) => void;

const single: Source = (c) => {
  const bits = c.f.let(load32(memoryOperand(c, 4)));
  return (slot) => run(c, 'f80FromF32', slot, bits);
};
const double: Source = (c) => {
  const bits = c.f.let(load64(memoryOperand(c, 8)));
  return (slot) => run(c, 'f80FromF64', slot, bits);
};
const extended: Source = (c) => {
  const host = memoryOperand(c, 10);
  return (slot) => moveExtended(c, slot, host);
};
const decimal: Source = (c) => {
  const host = memoryOperand(c, 10);
  return (slot) => run(c, 'f80FromBcd', slot, host);
};
const integer: (bytes: 2 | 4 | 8) => Source = (bytes) => (c) => {
  const value = c.f.let(loadInteger(memoryOperand(c, bytes), bytes));
  return (slot) => run(c, 'f80FromInteger', slot, value);
};

/** A signed integer in memory: i64. */
export function loadInteger(host: Expression, bytes: 2 | 4 | 8): Expression {
  if (bytes === 8) return load64(host);
  return extendS(bytes === 2 ? load16S(host) : load32(host));
}

/** Ten bytes, not sixteen: what lies beyond is not the operand's. */
function moveExtended(c: Emitter, to: Expression, from: Expression): void {
  c.f.store64(to, load64(from));
  c.f.store16(to, load16U(from, 8), 8);
}

/**
 * The constants: significand rounded to nearest, sign and exponent, and how other roundings differ. A value whose
 * nearest neighbour lies above is one less rounded down or towards zero, the other one (log2 10) one more rounded up.
 */
interface Constant {
  readonly significand: Expression;
  readonly top: number;
  readonly nearest: 'exact' | 'above' | 'below';
}
const number = (
  high: number,
  low: number,
  top: number,
  nearest: Constant['nearest'] = 'above',
): Constant => ({
  significand: i64Halves(low, high),
  top,
  nearest,
});
const ONE = number(0x80000000, 0, 0x3fff, 'exact');
const LOG2_10 = number(0xd49a784b, 0xcd1b8afe, 0x4000, 'below');
const LOG2_E = number(0xb8aa3b29, 0x5c17f0bc, 0x3fff);
const PI = number(0xc90fdaa2, 0x2168c235, 0x4000);
const LOG10_2 = number(0x9a209a84, 0xfbcff799, 0x3ffd);
const LN_2 = number(0xb17217f7, 0xd1cf79ac, 0x3ffe);
const ZERO = number(0, 0, 0, 'exact');

const constant: (value: Constant) => Source =
  ({ significand, top, nearest }) =>
  (c) =>
  (slot) => {
    // Rounding control: 0 nearest, 1 down, 2 up, 3 towards zero.
    const rounding = and(c.state32(CPU_FPU_CONTROL), i32(0xc00));
    let rounded = significand;
    if (nearest === 'above') rounded = sub(significand, extendU(nez(and(rounding, i32(0x400)))));
    if (nearest === 'below') rounded = add(significand, extendU(eq(rounding, i32(0x800))));
    c.f.store64(slot, rounded);
    c.f.store16(slot, i32(top), 8);
  };

/** Pushes a number, or the indefinite if the stack is full. */
function load(source: Source): Semantics {
  return operation((c) => {
    const convert = source(c);
    const target = above(c);
    const slot = wide(c);
    const work = (): void =>
      c.f.if(
        isEmpty(c, target),
        () => convert(slot),
        () => run(c, 'x87FaultTo', slot, i32(1)),
      );
    compute(c, work, () => push(c, target, slot));
  });
}

/** FLD ST(i). That the source is missing is found out before that there is no room. */
const duplicate: Semantics = operation((c) => {
  const { f } = c;
  const from = named(c);
  const target = above(c);
  const slot = wide(c);
  const work = (): void => {
    copyNumber(c, slot, from.address);
    f.if(
      isEmpty(c, from),
      () => run(c, 'x87FaultTo', slot, i32(0)),
      () => f.if(eqz(isEmpty(c, target)), () => run(c, 'x87FaultTo', slot, i32(1))),
    );
  };
  compute(c, work, () => push(c, target, slot));
});

// ------------------------------------------------------------------ stores

/** Converts the number at `from` and writes it, unless an unmasked exception prevents it. */
type Conversion = (c: Emitter, host: Expression, from: Expression) => void;

const toSingle: Conversion = (c, host, from) => run(c, 'f80ToF32', host, from);
const toDouble: Conversion = (c, host, from) => run(c, 'f80ToF64', host, from);
const toDecimal: Conversion = (c, host, from) => run(c, 'f80ToBcd', host, from);
/** FIST, or FISTTP: towards zero whatever the control word says. */
const toInteger: (bytes: 2 | 4 | 8, truncate?: boolean) => Conversion =
  (bytes, truncate = false) =>
  (c, host, from) =>
    run(c, `f80ToI${bytes * 8}`, host, from, i32(truncate ? 1 : 0));

/** ST0 as it is: ten bytes, no exception of its own; they are written when nothing prevents it. */
const AS_IT_IS = undefined;

/** Stores ST0, or the format's indefinite if it is empty, and pops it. */
function store(bytes: number, convert: Conversion | undefined, pops = true): Semantics {
  return operation((c) => {
    const { f } = c;
    const host = memoryOperand(c, bytes, true);
    const top = stack(c, 0);
    const from = f.let(top.address);
    const work = (): void => {
      f.if(isEmpty(c, top), () => {
        f.set(from, wide(c));
        run(c, 'x87FaultOperand', from);
      });
      convert?.(c, host, from);
    };
    compute(c, work, () => {
      if (convert === AS_IT_IS) moveExtended(c, host, from);
      c.stored(host);
      if (pops) pop(c);
    });
  });
}

// ------------------------------------------------------------------ within the stack

/** FST ST(i), and FSTP. */
function copyTop(pops: boolean): Semantics {
  return operation((c) => {
    const top = stack(c, 0);
    const target = named(c);
    const slot = wide(c);
    const work = (): void => {
      copyNumber(c, slot, top.address);
      c.f.if(isEmpty(c, top), () => run(c, 'x87FaultTo', slot, i32(0)));
    };
    compute(c, work, () => {
      copyNumber(c, target.address, slot);
      fill(c, target);
      if (pops) pop(c);
    });
  });
}

/** FSTPNCE, an FSTP that ignores an empty ST0: no fault, nothing copied, yet popped. */
const copyTopUnchecked: Semantics = operation((c) => {
  const top = stack(c, 0);
  c.f.if(eqz(isEmpty(c, top)), () => {
    const target = named(c);
    copyNumber(c, target.address, top.address);
    fill(c, target);
  });
  pop(c);
  clearC1(c);
});

/** FXCH. The masked response gives an empty register the indefinite first. */
const exchange: Semantics = operation((c) => {
  const { f } = c;
  const top = stack(c, 0);
  const other = named(c);
  const missing = f.let(or(isEmpty(c, top), isEmpty(c, other)));
  const work = (): void => f.if(missing, () => run(c, 'x87StackFault', i32(0)));
  compute(c, work, () => {
    f.if(missing, () => {
      for (const register of [top, other]) {
        f.if(isEmpty(c, register), () => storeIndefinite(c, register));
        fill(c, register);
      }
    });
    const slot = wide(c);
    copyNumber(c, slot, top.address);
    copyNumber(c, top.address, other.address);
    copyNumber(c, other.address, slot);
  });
});

function storeIndefinite(c: Emitter, { address }: StackRegister): void {
  c.f.store64(address, i64Halves(0, 0xc0000000));
  c.f.store16(address, i32(0xffff), 8);
}

/** FCMOVcc: both registers must hold something, whether the condition is true or not. */
function conditionalMove(condition: number): Semantics {
  return operation((c) => {
    const { f } = c;
    const top = stack(c, 0);
    const other = named(c);
    const slot = wide(c);
    const taken = f.let(nez(c.condition(condition)));
    const work = (): void =>
      f.if(
        or(isEmpty(c, top), isEmpty(c, other)),
        () => run(c, 'x87FaultTo', slot, i32(0)),
        () => {
          copyNumber(c, slot, select(taken, other.address, top.address));
          run(c, 'x87KeepC1');
        },
      );
    compute(c, work, () => {
      copyNumber(c, top.address, slot);
      fill(c, top);
    });
  });
}

/** FINCSTP, FDECSTP: TOP alone moves. */
function turn(by: 1 | -1): Semantics {
  return operation((c) => {
    rotate(c, by);
    clearC1(c);
  });
}

/** FFREE, and FFREEP, which also pops. */
function free(pops: boolean): Semantics {
  return operation((c) => {
    vacate(c, named(c));
    if (pops) pop(c);
    clearC1(c);
  });
}

export function defineX87LoadStore(set: InstructionSet): void {
  set.define('FLD', 'D9 /0', 'Md', load(single));
  set.define('FLD', 'DD /0', 'Mq', load(double));
  set.define('FLD', 'DB /5', 'Mt', load(extended));
  set.define('FLD', 'D9 /0', 'F', duplicate);
  set.define('FILD', 'DF /0', 'Mw', load(integer(2)));
  set.define('FILD', 'DB /0', 'Md', load(integer(4)));
  set.define('FILD', 'DF /5', 'Mq', load(integer(8)));
  set.define('FBLD', 'DF /4', 'Mt', load(decimal));
  set.define('FLD1', 'D9 =E8', '', load(constant(ONE)));
  set.define('FLDL2T', 'D9 =E9', '', load(constant(LOG2_10)));
  set.define('FLDL2E', 'D9 =EA', '', load(constant(LOG2_E)));
  set.define('FLDPI', 'D9 =EB', '', load(constant(PI)));
  set.define('FLDLG2', 'D9 =EC', '', load(constant(LOG10_2)));
  set.define('FLDLN2', 'D9 =ED', '', load(constant(LN_2)));
  set.define('FLDZ', 'D9 =EE', '', load(constant(ZERO)));

  set.define('FST', 'D9 /2', 'Md', store(4, toSingle, false));
  set.define('FSTP', 'D9 /3', 'Md', store(4, toSingle));
  set.define('FST', 'DD /2', 'Mq', store(8, toDouble, false));
  set.define('FSTP', 'DD /3', 'Mq', store(8, toDouble));
  set.define('FSTP', 'DB /7', 'Mt', store(10, AS_IT_IS));
  set.define('FIST', 'DF /2', 'Mw', store(2, toInteger(2), false));
  set.define('FISTP', 'DF /3', 'Mw', store(2, toInteger(2)));
  set.define('FIST', 'DB /2', 'Md', store(4, toInteger(4), false));
  set.define('FISTP', 'DB /3', 'Md', store(4, toInteger(4)));
  set.define('FISTP', 'DF /7', 'Mq', store(8, toInteger(8)));
  set.define('FISTTP', 'DF /1', 'Mw', store(2, toInteger(2, true)));
  set.define('FISTTP', 'DB /1', 'Md', store(4, toInteger(4, true)));
  set.define('FISTTP', 'DD /1', 'Mq', store(8, toInteger(8, true)));
  set.define('FBSTP', 'DF /6', 'Mt', store(10, toDecimal));

  set.define('FST', 'DD /2', 'F', copyTop(false));
  set.define('FSTP', 'DD /3', 'F', copyTop(true));
  set.define('FXCH', 'D9 /1', 'F', exchange);
  set.define('FFREE', 'DD /0', 'F', free(false));
  set.define('FFREEP', 'DF /0', 'F', free(true));
  set.define('FINCSTP', 'D9 =F7', '', turn(1));
  set.define('FDECSTP', 'D9 =F6', '', turn(-1));
  // Encodings that the manuals do not list; processors execute them.
  set.define('FSTPNCE', 'D9 /3', 'F', copyTopUnchecked);
  set.define('FXCH', 'DD /1', 'F', exchange);
  set.define('FXCH', 'DF /1', 'F', exchange);
  set.define('FSTP', 'DF /2', 'F', copyTop(true));
  set.define('FSTP', 'DF /3', 'F', copyTop(true));

  // Condition codes as in Jcc: 2 below, 4 equal, 6 below or equal, 10 unordered; odd: not.
  for (const [digit, condition, name] of [
    [0, 2, 'B'],
    [1, 4, 'E'],
    [2, 6, 'BE'],
    [3, 10, 'U'],
  ] as const) {
    set.define(`FCMOV${name}`, `DA /${digit}`, 'F', conditionalMove(condition));
    set.define(`FCMOVN${name}`, `DB /${digit}`, 'F', conditionalMove(condition + 1));
  }
}
