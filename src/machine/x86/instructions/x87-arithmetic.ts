/**
 * x87 arithmetic: the four operations in all their forms, comparison, sign, square root. Intel SDM 2, under the names
 * of the instructions; the processor's `FSUB ST(i), ST` and `FSUBR` are named as the manual's, not as old assemblers do.
 */
import {
  and,
  type Expression,
  eq,
  eqz,
  I32,
  i32,
  i64,
  load16U,
  load32,
  load64,
  or,
  select,
  shrU,
  xor,
} from '../../../wasm/expression.ts';
import type { Local } from '../../../wasm/function.ts';
import type { InstructionSet } from '../definition.ts';
import { callSupport, type Emitter, type Semantics } from '../emitter.ts';
import { FLAG_CF, FLAG_PF, FLAG_ZF } from '../registers.ts';
import { wide } from './sse-operands.ts';
import { loadInteger } from './x87-load-store.ts';
import {
  compute,
  fill,
  isEmpty,
  memoryOperand,
  named,
  operation,
  pop,
  run,
  type StackRegister,
  stack,
} from './x87-state.ts';

// ------------------------------------------------------------------ operands

/** The operand beside ST0: whether it is missing, and what gives its address once the instruction computes. */
interface Operand {
  readonly missing: Expression;
  readonly address: () => Expression;
}
type OperandOf = (c: Emitter) => Operand;

/** A register as an operand. */
function inRegister(c: Emitter, register: StackRegister): Operand {
  return { missing: isEmpty(c, register), address: () => register.address };
}
const registerOperand: OperandOf = (c) => inRegister(c, named(c));
const next: OperandOf = (c) => inRegister(c, stack(c, 1));

/** A memory operand is loaded first, and widened, exactly, to a slot. */
function widened(c: Emitter, name: string, bits: Local): Operand {
  const address = (): Expression => {
    run(c, name, wide(c), bits);
    return wide(c);
  };
  return { missing: i32(0), address };
}
const single: OperandOf = (c) => widened(c, 'f80WidenF32', c.f.let(load32(memoryOperand(c, 4))));
const double: OperandOf = (c) => widened(c, 'f80WidenF64', c.f.let(load64(memoryOperand(c, 8))));
const integer: (bytes: 2 | 4) => OperandOf = (bytes) => (c) =>
  widened(c, 'f80FromInteger', c.f.let(loadInteger(memoryOperand(c, bytes), bytes)));
/** FTST compares with +0. */
const zero: OperandOf = (c) => ({
  missing: i32(0),
  address: () => {
    c.f.store64(wide(c), i64(0));
    c.f.store16(wide(c), i32(0), 8);
    return wide(c);
  },
});

// ------------------------------------------------------------------ arithmetic

/** A support function of (destination, a, b), and whether the instruction swaps a and b. */
interface Operation {
  readonly name: string;
  readonly support: string;
  readonly reversed: boolean;
}
const operationOf = (name: string, support: string, reversed = false): Operation => ({
  name,
  support,
  reversed,
});
/** By the middle bits of ModRM: D8, DA, DC and DE agree on them. Two and three are FCOM and FCOMP. */
const OPERATIONS: readonly (Operation | undefined)[] = [
  operationOf('ADD', 'f80Add'),
  operationOf('MUL', 'f80Multiply'),
  undefined,
  undefined,
  operationOf('SUB', 'f80Subtract'),
  operationOf('SUBR', 'f80Subtract', true),
  operationOf('DIV', 'f80Divide'),
  operationOf('DIVR', 'f80Divide', true),
];

/** ST0 = ST0 op the operand. */
function toTop({ support, reversed }: Operation, operandOf: OperandOf): Semantics {
  return operation((c) => {
    const operand = operandOf(c);
    const top = stack(c, 0);
    const work = (): void =>
      c.f.if(
        or(isEmpty(c, top), operand.missing),
        () => run(c, 'x87FaultTo', top.address, i32(0)),
        () => {
          const other = operand.address();
          if (reversed) run(c, support, top.address, other, top.address);
          else run(c, support, top.address, top.address, other);
        },
      );
    compute(c, work, () => fill(c, top));
  });
}

/** ST(i) = ST(i) op ST0, and the popping forms. */
function toNamed({ support, reversed }: Operation, pops: 0 | 1): Semantics {
  return operation((c) => {
    const top = stack(c, 0);
    const target = named(c);
    const [a, b] = reversed ? [top, target] : [target, top];
    const work = (): void =>
      c.f.if(
        or(isEmpty(c, top), isEmpty(c, target)),
        () => run(c, 'x87FaultTo', target.address, i32(0)),
        () => run(c, support, target.address, a.address, b.address),
      );
    compute(c, work, () => {
      fill(c, target);
      pop(c, pops);
    });
  });
}

/**
 * ST0 = f(ST0) by a support function of (destination, a). FSIN and FCOS report by C2 = 0 that they are done, and do so
 * after a stack fault too.
 */
export function unary(support: string, reports = false): Semantics {
  return transformed((c, top) => run(c, support, top.address, top.address), reports);
}

function transformed(transform: (c: Emitter, top: StackRegister) => void, reports = false): Semantics {
  return operation((c) => {
    const top = stack(c, 0);
    const work = (): void => {
      if (reports) run(c, 'x87Done');
      c.f.if(
        isEmpty(c, top),
        () => run(c, 'x87FaultTo', top.address, i32(0)),
        () => transform(c, top),
      );
    };
    compute(c, work, () => fill(c, top));
  });
}

/** FCHS, FABS: bits are bits, no exception but the stack fault. */
function withSign(change: (top: Expression) => Expression): Semantics {
  return transformed((c, { address }) => c.f.store16(address, change(load16U(address, 8)), 8));
}

// ------------------------------------------------------------------ comparison

type Comparison = 'f80Compare' | 'f80CompareQuiet';
const UNORDERED = 2;

/** The relation of ST0 to the operand: -1, 0, 1, or 2, which is also a stack fault's. */
function relation(c: Emitter, comparison: Comparison, operand: Operand): Local {
  const top = stack(c, 0);
  return c.f.ifValue(
    I32,
    or(isEmpty(c, top), operand.missing),
    () => {
      run(c, 'x87StackFault', i32(0));
      return i32(UNORDERED);
    },
    () => callSupport(c.support, comparison, top.address, operand.address()),
  );
}

/** FCOM, FUCOM and their kin: C3, C2, C0. */
function compare(comparison: Comparison, operandOf: OperandOf, pops = 0): Semantics {
  return operation((c) => {
    const operand = operandOf(c);
    const work = (): void => run(c, 'x87SetRelation', relation(c, comparison, operand));
    compute(c, work, () => pop(c, pops));
  });
}

/** FCOMI, FUCOMI: ZF, PF and CF, set even where an unmasked exception keeps it from popping; OF, SF, AF are cleared. */
function compareToFlags(comparison: Comparison, pops = 0): Semantics {
  return operation((c) => {
    const other = named(c);
    const work = (): void => {
      run(c, 'x87KeepC1');
      const found = relation(c, comparison, inRegister(c, other));
      const ordered = select(eqz(found), i32(FLAG_ZF), and(shrU(found, i32(31)), i32(FLAG_CF)));
      c.setArithmeticFlags(select(eq(found, i32(UNORDERED)), i32(FLAG_ZF | FLAG_PF | FLAG_CF), ordered));
    };
    compute(c, work, () => pop(c, pops));
  });
}

/** FXAM classifies an empty register too. */
const examine: Semantics = operation((c) => {
  const top = stack(c, 0);
  const work = (): void =>
    c.f.if(
      isEmpty(c, top),
      () => run(c, 'x87ExamineEmpty', top.address),
      () => run(c, 'f80Examine', top.address),
    );
  compute(c, work, () => {});
});

export function defineX87Arithmetic(set: InstructionSet): void {
  // D8 and DC work on floating-point operands in memory, DA and DE on integers; D8 leaves its result in ST0, DC in
  // ST(i), and DE pops as well.
  for (const [digit, operator] of OPERATIONS.entries()) {
    if (operator === undefined) continue;
    const { name } = operator;
    set.define(`F${name}`, `D8 /${digit}`, 'Md', toTop(operator, single));
    set.define(`F${name}`, `DC /${digit}`, 'Mq', toTop(operator, double));
    set.define(`FI${name}`, `DA /${digit}`, 'Md', toTop(operator, integer(4)));
    set.define(`FI${name}`, `DE /${digit}`, 'Mw', toTop(operator, integer(2)));
    set.define(`F${name}`, `D8 /${digit}`, 'F', toTop(operator, registerOperand));
    // To ST(i), the encodings of the reversed and the plain operation are exchanged: the result is STi - ST0 for FSUB.
    const encoding = digit < 4 ? digit : digit ^ 1;
    set.define(`F${name}`, `DC /${encoding}`, 'F', toNamed(operator, 0));
    set.define(`F${name}P`, `DE /${encoding}`, 'F', toNamed(operator, 1));
  }

  for (const [digit, name, pops] of [
    [2, 'COM', 0],
    [3, 'COMP', 1],
  ] as const) {
    set.define(`F${name}`, `D8 /${digit}`, 'Md', compare('f80Compare', single, pops));
    set.define(`F${name}`, `DC /${digit}`, 'Mq', compare('f80Compare', double, pops));
    set.define(`FI${name}`, `DA /${digit}`, 'Md', compare('f80Compare', integer(4), pops));
    set.define(`FI${name}`, `DE /${digit}`, 'Mw', compare('f80Compare', integer(2), pops));
    set.define(`F${name}`, `D8 /${digit}`, 'F', compare('f80Compare', registerOperand, pops));
    // Not in the manuals, but executed.
    set.define(`F${name}`, `DC /${digit}`, 'F', compare('f80Compare', registerOperand, pops));
  }
  set.define('FCOMP', 'DE /2', 'F', compare('f80Compare', registerOperand, 1));
  set.define('FCOMPP', 'DE =D9', '', compare('f80Compare', next, 2));
  set.define('FUCOM', 'DD /4', 'F', compare('f80CompareQuiet', registerOperand));
  set.define('FUCOMP', 'DD /5', 'F', compare('f80CompareQuiet', registerOperand, 1));
  set.define('FUCOMPP', 'DA =E9', '', compare('f80CompareQuiet', next, 2));
  set.define('FCOMI', 'DB /6', 'F', compareToFlags('f80Compare'));
  set.define('FCOMIP', 'DF /6', 'F', compareToFlags('f80Compare', 1));
  set.define('FUCOMI', 'DB /5', 'F', compareToFlags('f80CompareQuiet'));
  set.define('FUCOMIP', 'DF /5', 'F', compareToFlags('f80CompareQuiet', 1));
  set.define('FTST', 'D9 =E4', '', compare('f80Compare', zero));
  set.define('FXAM', 'D9 =E5', '', examine);

  set.define(
    'FCHS',
    'D9 =E0',
    '',
    withSign((top) => xor(top, i32(0x8000))),
  );
  set.define(
    'FABS',
    'D9 =E1',
    '',
    withSign((top) => and(top, i32(0x7fff))),
  );
  set.define('FSQRT', 'D9 =FA', '', unary('f80Sqrt'));
  set.define('FRNDINT', 'D9 =FC', '', unary('f80Round'));
}
