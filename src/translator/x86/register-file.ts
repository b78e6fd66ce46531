/** What the allocator must know of x86: which instruction destroys which registers, and where it wants its operands. */

import { TranslationError } from '../error.ts';
import type { MachineRegister, RegisterFile } from '../ir/allocator.ts';
import type { Callee, Instruction } from '../ir/instruction.ts';
import { type Gpr, RAX, RCX, RDX } from './registers.ts';
import { isRoutine } from './routines.ts';
import { SEQUENCES } from './sequences.ts';
import type { Target } from './target.ts';

/** How a call is made: where its operands go, and what may be lost. */
export interface CallShape {
  readonly registers: readonly Gpr[];
  readonly clobbers: readonly Gpr[];
}

/** The shape of a call. Raises TranslationError for a machine function that nobody knows. */
export function callShape(callee: Callee, target: Target): CallShape {
  if (callee.kind === 'machine' && !isRoutine(callee.name)) {
    const sequence = Object.hasOwn(SEQUENCES, callee.name) ? SEQUENCES[callee.name] : undefined;
    if (sequence === undefined) {
      throw new TranslationError(`expected a function of the machine, found machine.${callee.name}`);
    }
    const { operands, clobbers = [] } = sequence;
    return { registers: operands, clobbers: [...operands, ...clobbers] };
  }
  return { registers: target.parameters, clobbers: target.callerSaved };
}

export function registerFile(target: Target): RegisterFile {
  return {
    allocatable: target.allocatable,
    parameter: (index) => target.parameters[index],
    clobbers: (instruction) => clobbers(instruction, target),
    wishes: (instruction) => wishes(instruction, target),
  };
}

function clobbers(instruction: Instruction, target: Target): readonly MachineRegister[] {
  if (instruction.op === 'call') return callShape(instruction.callee, target).clobbers;
  if (instruction.op !== 'binary') return [];
  if (isDivision(instruction.operator)) return [RAX, RDX];
  return isShift(instruction.operator) && instruction.right.kind !== 'constant' ? [RCX] : [];
}

function wishes(instruction: Instruction, target: Target): readonly (MachineRegister | undefined)[] {
  if (instruction.op === 'call') {
    const { registers } = callShape(instruction.callee, target);
    // A table's index is the first of the operands, and goes to no parameter.
    const wished = registers.map((register) => (register === RAX ? undefined : register));
    return instruction.callee.kind === 'table' ? [undefined, ...wished] : wished;
  }
  if (instruction.op === 'binary' && isShift(instruction.operator)) return [undefined, RCX];
  return [];
}

export function isShift(operator: string): boolean {
  return /^(sh[lr]|rot)/.test(operator);
}

export function isDivision(operator: string): boolean {
  return /^(div|rem)/.test(operator);
}
