/**
 * Which virtual registers are live where: solved backwards over the blocks until nothing changes, then written down as
 * ranges of positions for the allocator. On the way, pure instructions whose result nobody reads are dropped.
 *
 * Instruction i of the function, its blocks in order and counted from 1, reads at position 2i and writes at 2i + 1. A
 * range is half open: a value that dies where another is born does not meet it, and both may have one register.
 */
import {
  type Block,
  endOperands,
  type Instruction,
  type IrFunction,
  isPure,
  type Operand,
  operandsOf,
  type Register,
  resultOf,
  successors,
} from './instruction.ts';

export interface Range {
  readonly start: number;
  /** One past the last position. */
  readonly end: number;
}

/** What the allocator wants to know of one virtual register. */
export interface Lifetime {
  readonly id: number;
  /** Ascending, apart from one another. */
  readonly ranges: Range[];
  /** Uses and definitions, each counted ten times for each loop around it. */
  weight: number;
}

export interface Liveness {
  /** By virtual register; one that is never live has no ranges. */
  readonly lifetimes: readonly Lifetime[];
  /** The position of each instruction that is left, and of each block's end. */
  readonly positions: ReadonlyMap<Instruction | Block, number>;
}

/** Drops dead instructions from the function's blocks, and gives the lifetimes of what is left. */
export function analyseLiveness(ir: IrFunction): Liveness {
  const liveOut = solve(ir);
  dropDeadInstructions(ir, liveOut);
  return lifetimesOf(ir, liveOut);
}

/** Whether a register has a value when the function begins: a parameter that somebody reads. */
export function isLiveAtEntry({ lifetimes }: Liveness, { id }: Register): boolean {
  return lifetimes[id]!.ranges[0]?.start === 0;
}

type RegisterSet = Set<number>;

function addOperands(live: RegisterSet, operands: readonly Operand[]): void {
  for (const operand of operands) if (operand.kind === 'register') live.add(operand.id);
}

/** Steps backwards over one instruction. An instruction that is dead adds nothing. */
function stepBack(live: RegisterSet, instruction: Instruction): boolean {
  const result = resultOf(instruction);
  if (result !== undefined && isPure(instruction) && !live.has(result.id)) return false;
  if (result !== undefined) live.delete(result.id);
  addOperands(live, operandsOf(instruction));
  return true;
}

/** The registers that are live at the end of each block. */
function solve({ blocks }: IrFunction): RegisterSet[] {
  const liveIn = blocks.map((): RegisterSet => new Set());
  const liveOut = blocks.map((): RegisterSet => new Set());
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = blocks.length - 1; i >= 0; i--) {
      const block = blocks[i]!;
      const out = liveOut[i]!;
      for (const next of successors(block.end)) for (const id of liveIn[next.index]!) out.add(id);
      const live = new Set(out);
      addOperands(live, endOperands(block.end));
      for (let k = block.instructions.length - 1; k >= 0; k--) stepBack(live, block.instructions[k]!);
      if (live.size !== liveIn[i]!.size) {
        liveIn[i] = live;
        changed = true;
      }
    }
  }
  return liveOut;
}

function dropDeadInstructions({ blocks }: IrFunction, liveOut: readonly RegisterSet[]): void {
  for (const block of blocks) {
    const live = new Set(liveOut[block.index]);
    addOperands(live, endOperands(block.end));
    const kept: Instruction[] = [];
    for (const instruction of [...block.instructions].reverse()) {
      if (instruction.op === 'call' && instruction.to !== undefined && !live.has(instruction.to.id)) {
        instruction.to = undefined;
      }
      if (stepBack(live, instruction)) kept.push(instruction);
    }
    block.instructions = kept.reverse();
  }
}

function lifetimesOf(ir: IrFunction, liveOut: readonly RegisterSet[]): Liveness {
  const lifetimes = Array.from(
    { length: ir.registerCount },
    (_, id): Lifetime => ({ id, ranges: [], weight: 0 }),
  );
  const positions = new Map<Instruction | Block, number>();
  // Instruction 0 is the entry itself, where the parameters come in.
  let count = 1;
  for (const block of ir.blocks) {
    const first = block.index === 0 ? 0 : count;
    const weight = 10 ** Math.min(block.loopDepth, 6);
    for (const instruction of block.instructions) positions.set(instruction, 2 * count++);
    positions.set(block, 2 * count++);
    /** Ends of the ranges that are open, going backwards. */
    const open = new Map<number, number>();
    const use = (operands: readonly Operand[], at: number) => {
      for (const operand of operands) {
        if (operand.kind !== 'register') continue;
        lifetimes[operand.id]!.weight += weight;
        if (!open.has(operand.id)) open.set(operand.id, at);
      }
    };
    for (const id of liveOut[block.index]!) open.set(id, 2 * count);
    use(endOperands(block.end), positions.get(block)!);
    for (const instruction of [...block.instructions].reverse()) {
      const at = positions.get(instruction)!;
      const result = resultOf(instruction);
      if (result !== undefined) {
        const lifetime = lifetimes[result.id]!;
        lifetime.weight += weight;
        prepend(lifetime, { start: at + 1, end: open.get(result.id) ?? at + 2 });
        open.delete(result.id);
      }
      use(operandsOf(instruction), at);
    }
    for (const [id, end] of open) prepend(lifetimes[id]!, { start: 2 * first, end });
  }
  for (const { ranges } of lifetimes) normalise(ranges);
  return { lifetimes, positions };
}

function prepend({ ranges }: Lifetime, range: Range): void {
  if (range.end > range.start) ranges.push(range);
}

/** Sorts ranges and joins those that touch. */
function normalise(ranges: Range[]): void {
  ranges.sort((a, b) => a.start - b.start);
  const joined: Range[] = [];
  for (const range of ranges) {
    const last = joined.at(-1);
    if (last !== undefined && range.start <= last.end) {
      joined[joined.length - 1] = { start: last.start, end: Math.max(last.end, range.end) };
    } else {
      joined.push(range);
    }
  }
  ranges.splice(0, ranges.length, ...joined);
}
