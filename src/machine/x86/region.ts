/**
 * A region: the piece of guest code that becomes one compiled function.
 *
 * It begins at one record and holds what can be reached from there by falling through and by direct jumps without leaving
 * the page, as far as it has been decoded: code that was never run is not compiled. Calls, returns and indirect jumps
 * lead out of it; the instruction after a call leads on.
 *
 * `discover` walks the records and cuts them into blocks; `analyze` orders the blocks, finds loops, and works out which
 * registers are live, which are dirty, and where the budget must be looked at.
 */
import { HEAT_HANDLER, HEAT_SHIFT } from '../layout.ts';
import type { HostAddress, MachineMemory } from '../memory.ts';
import { PAGE_SIZE } from '../memory.ts';
import type { CodeCache, CodePage } from './code-cache.ts';
import { type Effects, effectsAt, effectsOf, FLAGS_BIT } from './effects.ts';
import type { SupportFunctions } from './emitter.ts';
import {
  PSEUDO_COMPILED,
  PSEUDO_COUNT,
  PSEUDO_LINK,
  REC_HANDLER,
  REC_IMMEDIATE,
  REC_LENGTH,
  REC_OFFSET,
} from './record.ts';
import type { Variant, VariantTable } from './variants.ts';

/** How control goes on after an instruction. */
export const Flow = {
  /** To the next instruction. */
  Next: 0,
  /** To the next one or to a target. */
  Branch: 1,
  /** To a target. */
  Jump: 2,
  /** To a target, and perhaps back to the next instruction. */
  Call: 3,
  /** To an address that is computed. */
  Indirect: 4,
  /** To an address that is computed, and perhaps back. */
  IndirectCall: 5,
  Return: 6,
  /** To the hypervisor, or wherever the instruction says. */
  Leave: 7,
  /** To the hypervisor, and perhaps back to the next instruction. */
  Settle: 8,
} as const;
export type Flow = (typeof Flow)[keyof typeof Flow];

export interface Instruction {
  readonly record: HostAddress;
  readonly handler: number;
  readonly variant: Variant;
  readonly offset: number;
  readonly length: number;
  readonly flow: Flow;
  /** Page-relative target of a branch, jump or call. */
  readonly target: number;
  /** Executed by the interpreter's handler, called as a function. */
  readonly outlined: boolean;
  readonly effects: Effects;
  readonly mayLeave: boolean;
  readonly needsFlags: boolean;
  /** Locations that differ from memory before the instruction, and those whose local must be right after it. */
  dirtyBefore: number;
  liveAfter: number;
  /** Nobody sees the flags that it leaves. */
  flagsDead: boolean;
}

export interface Block {
  readonly offset: number;
  readonly instructions: Instruction[];
  /** Where it goes when its last instruction does not jump (or returns, for a call): a block, or out of the region. */
  next: Block | undefined;
  /** Page-relative address of `next`, whether or not it is in the region; −1 if control never goes there. */
  nextOffset: number;
  taken: Block | undefined;
  /** Position in reverse post-order; −1 before `analyze`. */
  order: number;
  dominator: Block | undefined;
  readonly children: Block[];
  /** Edges that lead here from blocks earlier in the order. */
  forwardEdges: number;
  isLoop: boolean;
  /** The budget is looked at here, for `need` instructions. */
  isCheckpoint: boolean;
  need: number;
  dirtyIn: number;
  dirtyOut: number;
  liveIn: number;
}

export interface Region {
  readonly page: CodePage;
  /** The record that it begins at. */
  readonly record: HostAddress;
  readonly entry: Block;
  /** In reverse post-order. */
  readonly blocks: readonly Block[];
  readonly instructions: number;
}

/** A region ends growing at this many instructions. */
const REGION_LIMIT = 240;
/** Between two looks at the budget lie at most about this many instructions. */
const NEED_LIMIT = 160;
/** Bytes of WebAssembly from which on an instruction is called rather than contained. */
const OUTLINE_LENGTH = 420;

export class RegionBuilder {
  private readonly memory: MachineMemory;
  private readonly codeCache: CodeCache;
  private readonly variants: VariantTable;
  private readonly support: SupportFunctions;

  constructor(
    memory: MachineMemory,
    codeCache: CodeCache,
    variants: VariantTable,
    support: SupportFunctions,
  ) {
    this.memory = memory;
    this.codeCache = codeCache;
    this.variants = variants;
    this.support = support;
  }

  /** The region that begins at `offset` of a page; undefined where there is no instruction to begin with. */
  build(page: CodePage, offset: number): Region | undefined {
    const found = this.discover(page, offset);
    if (!found.has(offset)) return undefined;
    const blocks = cutIntoBlocks(found, offset);
    const entry = blocks.get(offset)!;
    const ordered = orderBlocks(entry);
    findDominators(ordered);
    cutIrregularEdges(ordered);
    placeCheckpoints(ordered);
    trackLocations(ordered);
    return { page, record: entry.instructions[0]!.record, entry, blocks: ordered, instructions: found.size };
  }

  /** The instruction at `offset`, or where its records lead to instead. */
  private instructionAt(page: CodePage, offset: number): Instruction | number | undefined {
    const record = this.codeCache.lookup(page, offset);
    return record === 0 ? undefined : this.instructionIn(record);
  }

  private isCompiled(page: CodePage, offset: number): boolean {
    const record = this.codeCache.lookup(page, offset);
    return record !== 0 && this.memory.view.getUint16(record + REC_HANDLER, true) === PSEUDO_COMPILED;
  }

  private instructionIn(record: HostAddress): Instruction | number | undefined {
    const { memory } = this;
    const { view, u8 } = memory;
    let handler = view.getUint16(record + REC_HANDLER, true);
    const offset = view.getUint16(record + REC_OFFSET, true);
    if (handler === PSEUDO_COMPILED) {
      handler = view.getUint16(memory.heat + (record >>> HEAT_SHIFT) + HEAT_HANDLER, true);
    }
    if (handler === PSEUDO_LINK) return offset;
    // Checked handlers are the interpreter's alone.
    if (handler < PSEUDO_COUNT || handler >= this.variants.count) return undefined;
    const variant = this.variants.variant(handler)!;
    const effects = effectsOf(variant, u8[record + REC_IMMEDIATE]!, this.support);
    const flow = flowOf(variant);
    const outlined =
      variant.definition.options.budget === true ||
      (effects.length > OUTLINE_LENGTH && flow === Flow.Next) ||
      variant.shape.repeat !== 0;
    return {
      record,
      handler,
      variant,
      offset,
      length: u8[record + REC_LENGTH]!,
      flow,
      target: variant.definition.options.branch === true ? targetOf(view, record) : -1,
      outlined,
      effects: effectsAt(memory, record, effects),
      mayLeave: effects.mayLeave,
      needsFlags: effects.needsFlags,
      dirtyBefore: 0,
      liveAfter: 0,
      flagsDead: false,
    };
  }

  /** All instructions of the region by offset, nearest first as long as there is room. */
  private discover(page: CodePage, entry: number): Map<number, Instruction> {
    const found = new Map<number, Instruction>();
    const pending = [entry];
    for (let i = 0; i < pending.length && found.size < REGION_LIMIT; i++) {
      let at = pending[i]!;
      while (at >= 0 && at < PAGE_SIZE && !found.has(at) && found.size < REGION_LIMIT) {
        // What has been compiled from elsewhere is not compiled twice: cold code above all has to be short.
        if (at !== entry && this.isCompiled(page, at)) break;
        const instruction = this.instructionAt(page, at);
        if (instruction === undefined) break;
        if (typeof instruction === 'number') {
          if (instruction === at) break;
          at = instruction;
          continue;
        }
        found.set(at, instruction);
        const { flow, target } = instruction;
        if ((flow === Flow.Branch || flow === Flow.Jump) && target >= 0 && target < PAGE_SIZE)
          pending.push(target);
        at = goesOn(flow) ? instruction.offset + instruction.length : -1;
      }
    }
    return found;
  }
}

/** True where control goes elsewhere and perhaps comes back to the next instruction. */
export function isAbsence(flow: Flow): boolean {
  return flow === Flow.Call || flow === Flow.IndirectCall || flow === Flow.Settle;
}

/** True where control may come to the next instruction. */
function goesOn(flow: Flow): boolean {
  return flow <= Flow.Branch || isAbsence(flow);
}

function targetOf(view: DataView, record: HostAddress): number {
  const high = view.getInt32(record + REC_IMMEDIATE + 4, true);
  return high * 4294967296 + view.getUint32(record + REC_IMMEDIATE, true);
}

function flowOf(variant: Variant): Flow {
  const { mnemonic, options } = variant.definition;
  if (mnemonic === 'CALL' && options.force64 === true)
    return options.branch === true ? Flow.Call : Flow.IndirectCall;
  if (mnemonic === 'JMP' && options.force64 === true)
    return options.branch === true ? Flow.Jump : Flow.Indirect;
  if (mnemonic === 'RET' && options.force64 === true) return Flow.Return;
  if (options.branch === true) return Flow.Branch;
  if (options.settles === true) return Flow.Settle;
  if (variant.shape.repeat !== 0) return Flow.Next;
  return options.ends === true ? Flow.Leave : Flow.Next;
}

function newBlock(offset: number): Block {
  return {
    offset,
    instructions: [],
    next: undefined,
    nextOffset: -1,
    taken: undefined,
    order: -1,
    dominator: undefined,
    children: [],
    forwardEdges: 0,
    isLoop: false,
    isCheckpoint: false,
    need: 0,
    dirtyIn: 0,
    dirtyOut: 0,
    liveIn: 0,
  };
}

/** True where a block ends: after what may jump, and after what takes more of the budget than one instruction. */
function endsBlock(instruction: Instruction): boolean {
  return instruction.flow !== Flow.Next || instruction.variant.definition.options.budget === true;
}

function cutIntoBlocks(found: ReadonlyMap<number, Instruction>, entry: number): Map<number, Block> {
  const leaders = new Set([entry]);
  const ends = new Set<number>();
  for (const instruction of found.values()) {
    const end = instruction.offset + instruction.length;
    if (found.has(instruction.target)) leaders.add(instruction.target);
    // Instructions may overlap, where a jump leads into the middle of one: where two streams meet a block begins.
    if (endsBlock(instruction) || ends.has(end)) leaders.add(end);
    ends.add(end);
  }
  const blocks = new Map<number, Block>();
  for (const offset of leaders) if (found.has(offset)) blocks.set(offset, newBlock(offset));
  for (const block of blocks.values()) {
    let at = block.offset;
    for (;;) {
      const instruction = found.get(at);
      if (instruction === undefined) break;
      block.instructions.push(instruction);
      at = instruction.offset + instruction.length;
      if (instruction.flow === Flow.Branch || instruction.flow === Flow.Jump) {
        block.taken = blocks.get(instruction.target);
      }
      if (!goesOn(instruction.flow)) at = -1;
      if (endsBlock(instruction) || blocks.has(at)) break;
    }
    block.nextOffset = at;
    block.next = at < 0 ? undefined : blocks.get(at);
  }
  return blocks;
}

function successors({ next, taken }: Block): Block[] {
  const list: Block[] = [];
  if (next !== undefined) list.push(next);
  if (taken !== undefined && taken !== next) list.push(taken);
  return list;
}

/** Reverse post-order of the blocks that the entry reaches, by a walk without recursion. */
function orderBlocks(entry: Block): Block[] {
  const post: Block[] = [];
  const seen = new Set([entry]);
  const stack: { block: Block; rest: Block[] }[] = [{ block: entry, rest: successors(entry) }];
  while (stack.length > 0) {
    const top = stack[stack.length - 1]!;
    const following = top.rest.pop();
    if (following === undefined) {
      post.push(top.block);
      stack.pop();
    } else if (!seen.has(following)) {
      seen.add(following);
      stack.push({ block: following, rest: successors(following) });
    }
  }
  post.reverse();
  for (const [order, block] of post.entries()) block.order = order;
  return post;
}

/** Immediate dominators (Cooper, Harvey and Kennedy: A Simple, Fast Dominance Algorithm). */
function findDominators(blocks: readonly Block[]): void {
  const predecessors = new Map<Block, Block[]>();
  for (const block of blocks) {
    for (const following of successors(block)) {
      const list = predecessors.get(following);
      if (list === undefined) predecessors.set(following, [block]);
      else list.push(block);
    }
  }
  const entry = blocks[0]!;
  entry.dominator = entry;
  for (let changed = true; changed; ) {
    changed = false;
    for (const block of blocks.slice(1)) {
      let common: Block | undefined;
      for (const before of predecessors.get(block) ?? []) {
        if (before.dominator === undefined) continue;
        common = common === undefined ? before : commonDominator(common, before);
      }
      if (common !== block.dominator) {
        block.dominator = common;
        changed = true;
      }
    }
  }
  for (const block of blocks.slice(1)) block.dominator!.children.push(block);
}

function commonDominator(a: Block, b: Block): Block {
  let x = a;
  let y = b;
  while (x !== y) {
    while (x.order > y.order) x = x.dominator!;
    while (y.order > x.order) y = y.dominator!;
  }
  return x;
}

function dominates(a: Block, b: Block): boolean {
  let x = b;
  while (x.order > a.order) x = x.dominator!;
  return x === a;
}

/** Counts edges and marks loops. A backward edge into a loop that has other ways in becomes a jump out of the region. */
function cutIrregularEdges(blocks: readonly Block[]): void {
  for (const block of blocks) {
    const keep = (target: Block | undefined): Block | undefined => {
      if (target === undefined) return undefined;
      if (target.order > block.order) {
        target.forwardEdges++;
        return target;
      }
      if (!dominates(target, block)) return undefined;
      target.isLoop = true;
      return target;
    };
    block.next = keep(block.next);
    block.taken = keep(block.taken);
  }
}

/** Looks at the budget at the entry, at loops, after calls and after what takes an unknown part of it. */
function placeCheckpoints(blocks: readonly Block[]): void {
  blocks[0]!.isCheckpoint = true;
  for (const block of blocks) {
    if (block.isLoop) block.isCheckpoint = true;
    const last = block.instructions.at(-1)!;
    if (block.next !== undefined && (last.flow >= Flow.Call || last.outlined)) block.next.isCheckpoint = true;
  }
  for (let i = blocks.length - 1; i >= 0; i--) {
    const block = blocks[i]!;
    const own = block.instructions.length;
    block.need = own;
    for (const following of successors(block)) {
      if (following.isCheckpoint || following.order <= block.order) continue;
      if (own + following.need > NEED_LIMIT) following.isCheckpoint = true;
      else block.need = Math.max(block.need, own + following.need);
    }
  }
}

/** True where all locals are in memory after the instruction, and what is needed of them is loaded anew. */
export function reloads(instruction: Instruction): boolean {
  return instruction.outlined || isAbsence(instruction.flow);
}

/** True where control may go from the end of a block out of the region, with locations dirty. */
function leadsOut({ instructions, next, nextOffset, taken }: Block): boolean {
  const last = instructions.at(-1)!;
  if (reloads(last)) return false;
  if (nextOffset >= 0 && next === undefined) return true;
  if (last.flow === Flow.Branch || last.flow === Flow.Jump) return taken === undefined;
  return last.flow !== Flow.Next;
}

/** Which locations are dirty where, and which must be in locals. */
function trackLocations(blocks: readonly Block[]): void {
  for (let changed = true; changed; ) {
    changed = false;
    for (const block of blocks) {
      let dirty = block.dirtyIn;
      for (const instruction of block.instructions) {
        instruction.dirtyBefore = dirty;
        dirty = reloads(instruction) ? 0 : dirty | instruction.effects.writes;
      }
      block.dirtyOut = dirty;
      for (const following of successors(block)) {
        if ((following.dirtyIn | dirty) !== following.dirtyIn) {
          following.dirtyIn |= dirty;
          changed = true;
        }
      }
    }
  }
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = blocks.length - 1; i >= 0; i--) {
      const block = blocks[i]!;
      let live = 0;
      for (const following of successors(block)) live |= following.liveIn;
      // Whatever is dirty is written back when the region is left after the block.
      if (leadsOut(block)) live |= block.dirtyOut;
      for (let k = block.instructions.length - 1; k >= 0; k--) {
        const instruction = block.instructions[k]!;
        instruction.liveAfter = live;
        if (instruction.outlined) live = instruction.dirtyBefore;
        else {
          const { kills } = instruction.effects;
          instruction.flagsDead = (live & FLAGS_BIT) === 0;
          const keeps = instruction.flagsDead && instruction.variant.definition.options.keepsFlags === true;
          const reads = keeps ? instruction.effects.reads & ~FLAGS_BIT : instruction.effects.reads;
          live = (reloads(instruction) ? 0 : live & ~kills) | reads;
          if (instruction.mayLeave || instruction.flow !== Flow.Next) live |= instruction.dirtyBefore;
        }
      }
      // A checkpoint may leave before the first instruction.
      if (block.isCheckpoint) live |= block.dirtyIn;
      if (live !== block.liveIn) {
        block.liveIn = live;
        changed = true;
      }
    }
  }
}
