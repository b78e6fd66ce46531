/** Tidies a function's blocks: jumps that only lead to jumps are shortened, and blocks that nothing reaches are dropped. */
import { type Block, type IrFunction, successors, type Terminator } from './instruction.ts';

/** The same function with as few blocks. Blocks are changed in place. */
export function simplify(ir: IrFunction): IrFunction {
  for (const block of ir.blocks) block.end = threaded(block.end);
  const reached = new Set<Block>();
  const pending = [ir.blocks[0]!];
  for (let block = pending.pop(); block !== undefined; block = pending.pop()) {
    if (reached.has(block)) continue;
    reached.add(block);
    pending.push(...successors(block.end));
  }
  const blocks = merged(ir.blocks.filter((block) => reached.has(block)));
  blocks.forEach((block, index) => {
    block.index = index;
  });
  return { ...ir, blocks };
}

/** Joins each block that has one predecessor, which jumps to it, to that predecessor. */
function merged(blocks: readonly Block[]): Block[] {
  const predecessors = new Map<Block, number>();
  for (const block of blocks) {
    for (const next of successors(block.end)) predecessors.set(next, (predecessors.get(next) ?? 0) + 1);
  }
  const gone = new Set<Block>();
  for (const block of blocks) {
    if (gone.has(block)) continue;
    while (
      block.end.op === 'jump' &&
      predecessors.get(block.end.target) === 1 &&
      block.end.target !== blocks[0]
    ) {
      const { target } = block.end;
      if (target === block) break;
      block.instructions.push(...target.instructions);
      block.end = target.end;
      gone.add(target);
    }
  }
  return blocks.filter((block) => !gone.has(block));
}

function threaded(end: Terminator): Terminator {
  switch (end.op) {
    case 'jump':
      return { ...end, target: destination(end.target) };
    case 'branch':
      return { ...end, whenTrue: destination(end.whenTrue), whenFalse: destination(end.whenFalse) };
    case 'switch':
      return { ...end, targets: end.targets.map(destination), otherwise: destination(end.otherwise) };
    default:
      return end;
  }
}

/** Where a jump to `block` really leads. An empty loop leads to itself. */
function destination(block: Block): Block {
  const seen = new Set<Block>();
  let at = block;
  while (at.instructions.length === 0 && at.end.op === 'jump' && !seen.has(at)) {
    seen.add(at);
    at = at.end.target;
  }
  return at;
}
