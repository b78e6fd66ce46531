/**
 * Makes one of two virtual registers where one is copied to the other and they never live at once: the copy then costs
 * nothing. WebAssembly's blocks leave many of these, a copy for each value that a block gives.
 */
import type { IrFunction } from './instruction.ts';
import type { Lifetime, Liveness, Range } from './liveness.ts';

export interface Coalesced {
  /** One for each register that is left, with the ranges and the weight of all that it stands for. */
  readonly lifetimes: readonly Lifetime[];
  /** The register that stands for another, by number; itself, if none does. */
  readonly representative: (id: number) => number;
}

export function coalesce(ir: IrFunction, { lifetimes }: Liveness): Coalesced {
  const parents = lifetimes.map(({ id }) => id);
  const merged = new Map(lifetimes.map((lifetime) => [lifetime.id, lifetime]));
  const find = (id: number): number => {
    let root = id;
    while (parents[root] !== root) root = parents[root]!;
    parents[id] = root;
    return root;
  };
  const byWeight = [...ir.blocks].sort((a, b) => b.loopDepth - a.loopDepth || a.index - b.index);
  for (const { instructions } of byWeight) {
    for (const instruction of instructions) {
      if (instruction.op !== 'copy') continue;
      const { from, to } = instruction;
      // A slot of the frame holds 4 bytes of an i32, so registers of different types stay apart.
      if (from.kind !== 'register' || from.type !== to.type) continue;
      const left = merged.get(find(from.id))!;
      const right = merged.get(find(to.id))!;
      if (left === right || overlap(left.ranges, right.ranges)) continue;
      const ranges = [...left.ranges, ...right.ranges].sort((a, b) => a.start - b.start);
      parents[right.id] = left.id;
      merged.delete(right.id);
      merged.set(left.id, { id: left.id, ranges, weight: left.weight + right.weight });
    }
  }
  return { lifetimes: [...merged.values()], representative: find };
}

/** Whether two lists of ranges, each ascending, have a position in common. */
export function overlap(left: readonly Range[], right: readonly Range[]): boolean {
  let i = 0;
  for (const { start, end } of right) {
    while (i < left.length && left[i]!.end <= start) i++;
    if (i < left.length && left[i]!.start < end) return true;
  }
  return false;
}
