/**
 * Gives virtual registers places: machine registers while there are any, slots of the stack frame for the rest.
 *
 * Each machine register keeps the ranges of positions at which it is taken, and a virtual register fits where its own
 * ranges meet none of them. Those used most, for their length and inside loops, choose first; nobody is evicted. What an
 * instruction clobbers is taken at that instruction from the start, so a value that lives across a call lands in a
 * register that calls preserve, or in a slot. Of the registers that fit, one that saves a move is taken first.
 */
import { coalesce, overlap } from './coalesce.ts';
import { type Instruction, type IrFunction, operandsOf } from './instruction.ts';
import type { Lifetime, Liveness, Range } from './liveness.ts';

/** A machine register, by its number in the target's encoding. */
export type MachineRegister = number;

/** What the allocator must know of a processor and its calling convention. */
export interface RegisterFile {
  /** Registers that it may give, the most welcome first. */
  readonly allocatable: readonly MachineRegister[];
  /** What an instruction destroys, apart from its result. */
  clobbers(instruction: Instruction): readonly MachineRegister[];
  /** Where an instruction wants its operands, as far as it matters; in the order of `operandsOf`. */
  wishes(instruction: Instruction): readonly (MachineRegister | undefined)[];
  /** Where the n-th parameter of a function comes in; undefined: on the stack. */
  parameter(index: number): MachineRegister | undefined;
}

export type Location =
  | { readonly kind: 'register'; readonly register: MachineRegister }
  /** A machine word of the frame, by number. */
  | { readonly kind: 'slot'; readonly slot: number };

export interface Allocation {
  /** By virtual register; undefined for one that is never live. */
  readonly locations: readonly (Location | undefined)[];
  /** The machine registers given. */
  readonly used: ReadonlySet<MachineRegister>;
  /** How many slots the frame needs. */
  readonly slots: number;
}

/** Places all virtual registers of a function. */
export function allocate(ir: IrFunction, liveness: Liveness, file: RegisterFile): Allocation {
  const taken = new Map(
    file.allocatable.map((register): [MachineRegister, Occupancy] => [register, new Occupancy()]),
  );
  for (const { instructions } of ir.blocks) {
    for (const instruction of instructions) {
      const at = liveness.positions.get(instruction)!;
      for (const register of file.clobbers(instruction))
        taken.get(register)?.add([{ start: at, end: at + 1 }]);
    }
  }
  const { lifetimes, representative } = coalesce(ir, liveness);
  const hints = collectHints(ir, file, representative);
  const locations: (Location | undefined)[] = Array.from({ length: ir.registerCount }, () => undefined);
  const used = new Set<MachineRegister>();
  const slots: Occupancy[] = [];
  for (const { id, ranges } of byUrgency(lifetimes)) {
    const wished = [...(hints.get(id) ?? [])].flatMap((hint) => {
      if (hint.kind === 'machine') return [hint.register];
      const other = locations[hint.id];
      return other?.kind === 'register' ? [other.register] : [];
    });
    const register = [...wished, ...file.allocatable].find((candidate) => taken.get(candidate)?.fits(ranges));
    if (register !== undefined) {
      taken.get(register)!.add(ranges);
      used.add(register);
      locations[id] = { kind: 'register', register };
      continue;
    }
    let slot = slots.findIndex((occupancy) => occupancy.fits(ranges));
    if (slot < 0) slot = slots.push(new Occupancy()) - 1;
    slots[slot]!.add(ranges);
    locations[id] = { kind: 'slot', slot };
  }
  const all = locations.map((_, id) => locations[representative(id)]);
  return { locations: all, used, slots: slots.length };
}

/** The most used for its length first; ties by number, so that the result does not depend on chance. */
function byUrgency(lifetimes: readonly Lifetime[]): Lifetime[] {
  const length = ({ ranges }: Lifetime) => ranges.reduce((total, { start, end }) => total + end - start, 0);
  const urgency = new Map(lifetimes.map((lifetime) => [lifetime, lifetime.weight / (length(lifetime) + 1)]));
  return lifetimes
    .filter(({ ranges }) => ranges.length > 0)
    .sort((a, b) => urgency.get(b)! - urgency.get(a)! || a.id - b.id);
}

type Hint =
  | { readonly kind: 'machine'; readonly register: MachineRegister }
  | { readonly kind: 'same'; readonly id: number };

/** For each virtual register, places that would save a move. */
function collectHints(
  ir: IrFunction,
  file: RegisterFile,
  representative: (id: number) => number,
): Map<number, Hint[]> {
  const hints = new Map<number, Hint[]>();
  const hint = (register: number, wish: Hint) => {
    const id = representative(register);
    const known = hints.get(id);
    if (known === undefined) hints.set(id, [wish]);
    else known.push(wish);
  };
  ir.parameters.forEach(({ id }, i) => {
    const register = file.parameter(i);
    if (register !== undefined) hint(id, { kind: 'machine', register });
  });
  for (const { instructions } of ir.blocks) {
    for (const instruction of instructions) {
      const operands = operandsOf(instruction);
      file.wishes(instruction).forEach((register, i) => {
        const operand = operands[i];
        if (register !== undefined && operand?.kind === 'register')
          hint(operand.id, { kind: 'machine', register });
      });
      if (instruction.op === 'copy' || instruction.op === 'unary' || instruction.op === 'binary') {
        const from = operands[0]!;
        if (from.kind !== 'register') continue;
        hint(from.id, { kind: 'same', id: representative(instruction.to.id) });
        hint(instruction.to.id, { kind: 'same', id: representative(from.id) });
      }
    }
  }
  return hints;
}

/** The positions at which a place is taken: ranges in order, apart from one another. */
class Occupancy {
  private readonly ranges: Range[] = [];

  fits(ranges: readonly Range[]): boolean {
    return !overlap(this.ranges, ranges);
  }

  add(ranges: readonly Range[]): void {
    this.ranges.push(...ranges);
    this.ranges.sort((a, b) => a.start - b.start);
  }
}
