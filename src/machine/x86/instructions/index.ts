/** The instruction set, in the order in which it is worth reading. */
import { InstructionSet } from '../definition.ts';
import { defineArithmetic } from './arithmetic.ts';
import { defineBits } from './bits.ts';
import { defineControl } from './control.ts';
import { defineData } from './data.ts';
import { defineSse } from './sse.ts';
import { defineString } from './string.ts';
import { defineSystem } from './system.ts';
import { defineX87 } from './x87-control.ts';

/** Every instruction of the processor that this project models: x86-64-v2. */
export function instructionSet(): InstructionSet {
  const set = new InstructionSet();
  defineArithmetic(set);
  defineData(set);
  defineBits(set);
  defineControl(set);
  defineString(set);
  defineSse(set);
  defineSystem(set);
  defineX87(set);
  return set;
}
