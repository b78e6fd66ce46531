/**
 * Turns a region into one WebAssembly function: `(page, left, depth) → (address, left)`.
 *
 * `page` is the address of the page of code, `left` the instructions that may still be retired, `depth` how many calls may
 * still nest. The function returns where the guest goes on and what is left of the budget; LEFT_COMPILED_CODE stands for an
 * address where somebody else must decide, and CPU_LEAVE then says why.
 *
 * Control flow is structured from the dominator tree (Ramsey: Beyond Relooper): a block that several others lead to stands
 * behind a WebAssembly block that they branch out of, a loop is a loop. A guest's CALL is a WebAssembly call: if the callee
 * comes back to the next instruction the function goes on there, else it returns to its own caller, who compares in turn.
 * That is the prediction of return addresses. All registers are in memory whenever one function hands over to another.
 *
 * Instructions are taken off the budget a block at a time; only where a path may begin or a loop come round is it compared
 * with what the longest way to the next such place takes. What leaves in the middle of a block gives back the rest.
 */
import {
  add,
  and,
  call,
  type Expression,
  eq,
  eqz,
  I32,
  I64,
  i32,
  i64,
  i64Halves,
  load16U,
  load32,
  load64,
  load64From16U,
  ltU,
  ne,
  or,
  select,
  shl,
  shrU,
  sub,
  wrap,
} from '../../wasm/expression.ts';
import type { FunctionBuilder, FunctionReference, IndirectCall, Label, Local } from '../../wasm/function.ts';
import {
  CODE_FUNCTIONS,
  CPU,
  CPU_BUDGET,
  CPU_CODE_CHANGED,
  CPU_COLD_RECORD,
  CPU_EXIT_KIND,
  CPU_EXIT_RECORD,
  CPU_EXTRA_RETIRED,
  CPU_LEAVE,
  CPU_REPEAT_AGAIN,
  CPU_RIP,
  CPU_SKIPPED,
  CPU_TLB_BANK,
  ENGINE_RETURNS,
  HEAT_MISSES,
  HEAT_SHIFT,
  REG_PAGE,
  TLB_CODE,
  TLB_EXECUTE,
} from '../layout.ts';
import type { HostAddress, MachineMemory } from '../memory.ts';
import { CompilerEmitter, type Transfers } from './compiler-emitter.ts';
import { callSupport, type SupportFunctions } from './emitter.ts';
import { Exit } from './exits.ts';
import { Status } from './interpreter-emitter.ts';
import { REC_OFFSET, RECORD_SHIFT } from './record.ts';
import { type Block, Flow, type Instruction, isAbsence, type Region } from './region.ts';
import { tlbEntry } from './tlb-entry.ts';

const BASE = i32(0);
/** No canonical address: what a compiled function returns when CPU_LEAVE says why it came back. */
export const LEFT_COMPILED_CODE = i64Halves(0, 0x80000000);
/** In CPU_LEAVE, added to the Status of an instruction's handler that did not simply go on. */
export const LEAVE_STATUS = 0x100;

/** Place in the table of compiled functions of the one that interprets; see `dispatcher.ts`. No other has the number 0. */
export const COLD = 0;

/** A function that is left so often because of the TLB is compiled again, in its long form. */
const MISS_LIMIT = 2000;

/**
 * All about a place where a function leaves, in one constant: bits 0–1 why, one of the following; bits 2–9 how many
 * instructions are given back to the budget; from bit 10 on the number of the record, which must fit.
 */
function leaveWord(record: HostAddress, gives: number, why: number): number {
  const number = record >>> RECORD_SHIFT;
  if (number >= 2 ** (32 - LEAVE_RECORD)) throw new RangeError(`no room for the number of record ${record}`);
  return (number << LEAVE_RECORD) | (gives << LEAVE_GIVES) | why;
}
const LEAVE_WHY_MASK = 3;
const LEAVE_GIVES = 2;
const LEAVE_GIVES_MASK = 0xff;
const LEAVE_RECORD = 10;
const BY_MISS = 0;
const BY_EXCEPTION = 1;
const BY_STEP = 2;
/** As CPU_EXIT_KIND says. */
const BY_EXIT = 3;

/** What a module of compiled code has to link to. */
export interface Linkage {
  /** Signature of compiled functions. */
  readonly regionType: number;
  /** Table of compiled functions. */
  readonly regions: number;
  /** `settle(left) → left`: see `dispatcher.ts`. */
  readonly settle: FunctionReference;
  /** `handle(handler, record) → Status`: the interpreter's handler executes the instruction. */
  readonly handle: FunctionReference;
}

export class RegionEmitter implements Transfers {
  private readonly f: FunctionBuilder;
  private readonly memory: MachineMemory;
  private readonly support: SupportFunctions;
  private readonly linkage: Linkage;
  private readonly region: Region;
  private readonly c: CompilerEmitter;
  private readonly page: Local;
  private readonly left: Local;
  private readonly depth: Local;
  private readonly bank: Local;
  /** Where the function leaves, and why: see `leaveWord`. */
  private readonly leaving: Local;
  private readonly tails = new Map<number, Label>();
  private readonly blockLabels = new Map<Block, Label>();
  private readonly loopLabels = new Map<Block, Label>();
  private block!: Block;
  private instruction!: Instruction;
  /** Some instruction is executed in TypeScript. */
  private leavesForSystem = false;
  /** Number of the instruction in its block. */
  private number = 0;
  /** Called with each instruction, and with the length of the code before it. */
  onInstruction: ((instruction: Instruction, codeLength: number) => void) | undefined;

  constructor(
    f: FunctionBuilder,
    memory: MachineMemory,
    support: SupportFunctions,
    linkage: Linkage,
    region: Region,
    long: boolean,
  ) {
    this.f = f;
    this.memory = memory;
    this.support = support;
    this.linkage = linkage;
    this.region = region;
    this.page = f.parameter(0);
    this.left = f.parameter(1);
    this.depth = f.parameter(2);
    this.bank = f.local(I32);
    this.leaving = f.local(I32);
    this.c = new CompilerEmitter(f, support, memory.view, this.page, this.bank, this, long);
  }

  emit(): void {
    const { f, region, c } = this;
    const sets = new Set<number>();
    let used = 0;
    for (const block of region.blocks) {
      if (block.isCheckpoint) sets.add(block.dirtyIn);
      for (const { mayLeave, outlined, flow, dirtyBefore, effects } of block.instructions) {
        if (mayLeave && !outlined && flow !== Flow.Settle) sets.add(dirtyBefore);
        used |= effects.reads | effects.writes;
      }
      used |= block.liveIn;
    }
    c.reserve(used);
    f.set(this.bank, load32(BASE, CPU + CPU_TLB_BANK));
    c.reload(region.entry.liveIn);
    f.block((finish) => {
      this.inTails([...sets], finish, () => this.tree(region.entry));
    });
    this.finish();
  }

  /** One tail for each set of locations that are dirty where the function may leave: writes them back. */
  private inTails(sets: readonly number[], finish: Label, body: () => void): void {
    const set = sets[0];
    if (set === undefined) {
      body();
      return;
    }
    this.f.block((tail) => {
      this.tails.set(set, tail);
      this.inTails(sets.slice(1), finish, body);
    });
    this.c.spill(set);
    this.f.br(finish);
  }

  /** The end of all tails: says where and why. */
  private finish(): void {
    const { f, memory, region } = this;
    const record = f.variable(shl(shrU(this.leaving, i32(LEAVE_RECORD)), i32(RECORD_SHIFT)));
    const by = f.let(and(this.leaving, i32(LEAVE_WHY_MASK)));
    const why = f.variable(
      select(
        eq(by, i32(BY_EXIT)),
        load32(BASE, CPU + CPU_EXIT_KIND),
        select(eq(by, i32(BY_STEP)), i32(Exit.Step), i32(Exit.Exception)),
      ),
    );
    f.store64(BASE, add(this.page, load64From16U(record, REC_OFFSET)), CPU + CPU_RIP);
    // Who looks at the instruction computes its RIP-relative operand from here.
    f.store64(BASE, this.page, CPU + REG_PAGE);
    const gives = and(shrU(this.leaving, i32(LEAVE_GIVES)), i32(LEAVE_GIVES_MASK));
    f.set(this.left, add(this.left, gives));
    // What is executed in TypeScript is left to the interpreter too: that can wait for it.
    const system = and(eq(by, i32(BY_EXIT)), eq(load32(BASE, CPU + CPU_EXIT_KIND), i32(Exit.System)));
    f.if(this.leavesForSystem ? or(eq(by, i32(BY_MISS)), system) : eq(by, i32(BY_MISS)), () => {
      const misses = memory.heat + (region.record >>> HEAT_SHIFT) + HEAT_MISSES;
      f.store32(BASE, add(load32(BASE, misses), eq(by, i32(BY_MISS))), misses);
      f.if(or(ne(load32(BASE, misses), i32(MISS_LIMIT)), ne(by, i32(BY_MISS))), () => {
        f.store32(BASE, record, CPU + CPU_SKIPPED);
        f.store32(BASE, record, CPU + CPU_COLD_RECORD);
        this.goTo(i32(COLD), this.page);
      });
      f.set(why, i32(Exit.Thrashing));
      f.set(record, i32(region.record));
    });
    f.store32(BASE, record, CPU + CPU_EXIT_RECORD);
    f.store32(BASE, why, CPU + CPU_LEAVE);
    f.return(LEFT_COMPILED_CODE, this.left);
  }

  // -------------------------------------------------------------- control flow

  /** A block and all that it dominates. */
  private tree(block: Block): void {
    const merges = block.children.filter((child) => child.forwardEdges > 1);
    merges.sort((a, b) => b.order - a.order);
    if (!block.isLoop) {
      this.within(block, merges);
      return;
    }
    this.f.loop((label) => {
      this.loopLabels.set(block, label);
      this.c.known = undefined;
      this.within(block, merges);
    });
  }

  private within(block: Block, merges: readonly Block[]): void {
    const merge = merges[0];
    if (merge === undefined) {
      this.contents(block);
      return;
    }
    this.f.block((label) => {
      this.blockLabels.set(merge, label);
      this.within(block, merges.slice(1));
    });
    this.c.known = undefined;
    this.tree(merge);
  }

  private contents(block: Block): void {
    const { f } = this;
    this.block = block;
    const first = block.instructions[0]!;
    if (block.isCheckpoint) {
      f.ifUnlikely(ltU(this.left, i32(block.need)), () => {
        this.leaveWith(first, 0, BY_STEP, block.dirtyIn);
      });
    }
    f.set(this.left, sub(this.left, i32(block.instructions.length)));
    for (const [number, instruction] of block.instructions.entries()) {
      this.number = number;
      this.instruction = instruction;
      this.onInstruction?.(instruction, f.codeLength);
      if (instruction.outlined) this.callHandler();
      else this.c.instruction(instruction);
    }
    const last = block.instructions.at(-1)!;
    if (block.nextOffset >= 0 && !isAbsence(last.flow)) {
      this.go(block.next, block.nextOffset, block.dirtyOut);
    } else if (last.flow === Flow.Leave) {
      // What always leaves has left; what may go on is looked up anew.
      this.go(undefined, last.offset + last.length, block.dirtyOut);
    } else f.unreachable();
  }

  /** Goes to a block, or to a page-relative address outside the region. */
  private go(target: Block | undefined, offset: number, dirty: number): void {
    const { f, c } = this;
    if (target === undefined) {
      c.spill(dirty);
      this.dispatch(add(this.page, i64(offset)), offset);
      return;
    }
    if (target.order <= this.block.order) {
      f.br(this.loopLabels.get(target)!);
      return;
    }
    if (target.forwardEdges > 1) {
      f.br(this.blockLabels.get(target)!);
      return;
    }
    const { block, instruction, number } = this;
    const { known } = c;
    this.tree(target);
    c.known = known;
    this.block = block;
    this.instruction = instruction;
    this.number = number;
  }

  private isInPage(offset: number): boolean {
    return offset >= 0 && offset < 4096;
  }

  // -------------------------------------------------------------- leaving

  private leaveWith(at: Instruction, gives: number, by: number, dirty: number): void {
    const { f } = this;
    f.set(this.leaving, i32(leaveWord(at.record, gives, by)));
    f.br(this.tails.get(dirty)!);
  }

  /** Instructions of the block from the present one on: they have been taken off the budget, but not retired. */
  private get rest(): number {
    return this.block.instructions.length - this.number;
  }

  leaveAt(why: number): void {
    if (why === Exit.System) this.leavesForSystem = true;
    const by = why === Exit.Miss ? BY_MISS : why === Exit.Exception ? BY_EXCEPTION : BY_EXIT;
    this.leaveWith(this.instruction, this.rest, by, this.instruction.dirtyBefore);
  }

  leaveAfter(why: number): void {
    const { f, instruction } = this;
    const { offset, length } = instruction;
    if (instruction.flow === Flow.Settle) {
      this.settle();
      return;
    }
    this.c.spill(instruction.dirtyBefore | instruction.effects.writes);
    f.store64(BASE, add(this.page, i64(offset + length)), CPU + CPU_RIP);
    f.store32(BASE, i32(instruction.record), CPU + CPU_EXIT_RECORD);
    f.store32(BASE, i32(why), CPU + CPU_LEAVE);
    f.return(LEFT_COMPILED_CODE, this.leftAfter());
  }

  private leftAfter(): Expression {
    return add(this.left, i32(this.rest - 1));
  }

  // -------------------------------------------------------------- from region to region

  /**
   * The number of the function that goes on at an address: the compiled one that begins there, or COLD, which is then told
   * where. `offset` is the address counted from this page, if that is known. All locations must be in memory.
   */
  private functionAt(address: Local, offset: number | undefined): { target: Local; page: Expression } {
    const { f } = this;
    const target = f.local(I32);
    let page: Expression = this.page;
    if (offset !== undefined && this.isInPage(offset))
      f.set(target, load16U(i32(this.region.page.table + CODE_FUNCTIONS + offset * 2)));
    else {
      const bound = f.let(and(address, i64(-4096)));
      page = bound;
      const entry = f.let(tlbEntry(address, this.bank));
      const slot = shl(and(wrap(address), i32(4095)), i32(1));
      f.set(target, i32(COLD));
      f.if(eq(load64(entry, TLB_EXECUTE), bound), () => {
        f.set(target, load16U(add(load32(entry, TLB_CODE), slot), CODE_FUNCTIONS));
      });
    }
    f.ifUnlikely(eqz(target), () => {
      f.store64(BASE, address, CPU + CPU_RIP);
      f.store32(BASE, BASE, CPU + CPU_COLD_RECORD);
    });
    return { target, page };
  }

  /** Goes on in a function of the table, never to come back. */
  private goTo(target: Expression, page: Expression, offset?: number): void {
    this.f.returnCallIndirect(this.regionAt(offset), target, page, this.left, this.depth);
  }

  /** A call through the table of compiled functions, usually of the one at an offset from this page. */
  private regionAt(offset: number | undefined): IndirectCall {
    const { regionType, regions } = this.linkage;
    return { type: regionType, table: regions, callee: offset };
  }

  /** Goes to an address, never to come back. All locations must be in memory. */
  private dispatch(address: Expression, offset?: number): void {
    const bound = this.f.let(this.masked(address));
    const { target, page } = this.functionAt(bound, offset);
    this.goTo(target, page, offset);
  }

  private masked(address: Expression): Expression {
    return this.region.page.long ? address : and(address, i64(0xffffffff));
  }

  /** Calls what begins at an address and goes on after the call if it comes back there. */
  private call(address: Expression, offset?: number): void {
    const { f } = this;
    const bound = f.let(this.masked(address));
    f.ifUnlikely(eqz(this.depth), () => f.return(bound, this.left));
    const { target, page } = this.functionAt(bound, offset);
    const back = f.local(I64);
    // For whoever is called: where it is to return to (by depth, counted from the end).
    const expected = this.behind();
    f.store64(shl(this.depth, i32(3)), expected, ENGINE_RETURNS - 8);
    f.callIndirectInto(
      [back, this.left],
      this.regionAt(offset),
      target,
      page,
      this.left,
      sub(this.depth, i32(1)),
    );
    const away = ne(back, expected);
    // The page may have lost its place in the TLB meanwhile: it is fetched anew then, as the interpreter would.
    const gone = ne(load64(tlbEntry(this.page, this.bank), TLB_EXECUTE), this.page);
    f.ifUnlikely(or(load32(BASE, CPU + CPU_CODE_CHANGED), or(away, gone)), () => f.return(back, this.left));
    this.goOnBehind();
  }

  /** The address of the instruction behind this one, as long as the block ends with it. */
  private behind(): Expression {
    return this.masked(add(this.page, i64(this.block.nextOffset)));
  }

  /** Back from an absence: goes on behind the instruction. */
  private goOnBehind(): void {
    const { c, block, instruction } = this;
    if (block.next === undefined) {
      this.dispatch(this.behind(), block.nextOffset);
      return;
    }
    c.reload(instruction.liveAfter);
    c.known = undefined;
    this.go(block.next, block.nextOffset, 0);
  }

  /** Has the hypervisor decide while this code waits; it goes on behind the instruction if nothing stands against it. */
  private settle(): void {
    const { f, instruction, linkage } = this;
    this.c.spill(instruction.dirtyBefore | instruction.effects.writes);
    f.store64(BASE, this.behind(), CPU + CPU_RIP);
    f.store32(BASE, i32(instruction.record), CPU + CPU_EXIT_RECORD);
    f.set(this.left, call(linkage.settle, this.leftAfter()));
    f.ifUnlikely(eqz(this.left), () => f.return(LEFT_COMPILED_CODE, this.left));
    this.goOnBehind();
  }

  toTarget(): void {
    const { instruction, block } = this;
    const { target, flow } = instruction;
    if (flow === Flow.Call) {
      this.c.spill(instruction.dirtyBefore | instruction.effects.writes);
      this.call(add(this.page, i64(target)), target);
      return;
    }
    this.go(block.taken, target, instruction.dirtyBefore | instruction.effects.writes);
  }

  toAddress(address: Expression): void {
    const { f, instruction } = this;
    const bound = f.let(address);
    this.c.spill(instruction.dirtyBefore | instruction.effects.writes);
    if (instruction.flow === Flow.Return) f.return(bound, this.left);
    else if (instruction.flow === Flow.IndirectCall || instruction.flow === Flow.Call) this.call(bound);
    else this.dispatch(bound);
  }

  // -------------------------------------------------------------- instructions that are called

  /** Has the interpreter's handler execute the instruction. */
  private callHandler(): void {
    const { f, c, linkage, instruction } = this;
    const { record, handler, variant } = instruction;
    c.spill(instruction.dirtyBefore);
    if (instruction.needsFlags) f.run(callSupport(this.support, 'canonicalFlags'), 0);
    f.store32(BASE, add(this.left, i32(this.rest)), CPU + CPU_BUDGET);
    f.store64(BASE, this.page, CPU + REG_PAGE);
    f.scope(() => {
      const status = f.let(call(linkage.handle, i32(handler), i32(record)));
      f.block((goOn) => {
        f.brIf(goOn, eqz(status));
        if (variant.shape.repeat !== 0) {
          f.if(eq(status, i32(Status.Repeated)), () => {
            f.set(this.left, sub(this.left, load32(BASE, CPU + CPU_EXTRA_RETIRED)));
            f.store32(BASE, BASE, CPU + CPU_EXTRA_RETIRED);
            f.brIf(goOn, eqz(load32(BASE, CPU + CPU_REPEAT_AGAIN)));
            f.store64(BASE, add(this.page, i64(instruction.offset)), CPU + CPU_RIP);
            // Before the budget is spent it stops where it has changed code.
            f.store32(BASE, BASE, CPU + CPU_EXIT_RECORD);
            f.store32(BASE, select(this.left, i32(Exit.Decode), i32(Exit.Budget)), CPU + CPU_LEAVE);
            f.return(LEFT_COMPILED_CODE, this.left);
          });
        }
        f.store32(BASE, i32(record), CPU + CPU_EXIT_RECORD);
        f.store32(BASE, add(status, i32(LEAVE_STATUS)), CPU + CPU_LEAVE);
        f.return(LEFT_COMPILED_CODE, add(this.left, i32(this.rest)));
      });
    });
    f.ifUnlikely(load32(BASE, CPU + CPU_CODE_CHANGED), () => {
      f.return(this.masked(add(this.page, i64(instruction.offset + instruction.length))), this.leftAfter());
    });
    c.reload(instruction.liveAfter);
    c.known = undefined;
  }
}
