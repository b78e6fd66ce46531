/** Conditions of the intermediate form as a comparison of x86 and the condition code that asks for it. */
import { type Comparison, type Condition, mirrored } from '../ir/instruction.ts';
import { Alu, type Assembler } from './assembler.ts';
import type { CodeMark } from './marks.ts';
import { type Operands, sizeOf } from './operands.ts';
import { Cc, RAX } from './registers.ts';
import { SCRATCH } from './target.ts';

const CODES: Readonly<Record<Comparison, Cc>> = {
  eq: Cc.equal,
  ne: Cc.notEqual,
  lt_s: Cc.less,
  lt_u: Cc.below,
  gt_s: Cc.greater,
  gt_u: Cc.above,
  le_s: Cc.lessOrEqual,
  le_u: Cc.belowOrEqual,
  ge_s: Cc.greaterOrEqual,
  ge_u: Cc.aboveOrEqual,
  any: Cc.notEqual,
  none: Cc.equal,
};

/** Compares, and gives the code for "the condition holds". Destroys the scratch registers. */
export function compare(a: Assembler<CodeMark>, operands: Operands, given: Condition): Cc {
  const condition = given.left.kind === 'register' ? given : mirrored(given);
  const { comparison, left, right } = condition;
  const size = sizeOf(left.type);
  const code = CODES[comparison];
  const immediate = operands.immediate(right);
  const testing = comparison === 'any' || comparison === 'none';
  if (immediate === undefined) {
    const from = operands.inRegister(right, SCRATCH);
    const to = operands.inPlace(left, RAX);
    if (testing) a.test(size, to, from);
    else if (typeof to === 'number') a.alu(Alu.cmp, size, to, from);
    else a.aluToMemory(Alu.cmp, size, to, from);
  } else if (testing) {
    a.testImmediate(size, operands.inPlace(left, RAX), immediate);
  } else {
    const own = operands.registerOf(left);
    if (immediate === 0 && own !== undefined) a.test(size, own, own);
    else a.aluImmediate(Alu.cmp, size, operands.inPlace(left, RAX), immediate);
  }
  return code;
}
