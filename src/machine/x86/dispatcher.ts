/**
 * Generates the dispatcher: what leads a vCPU through compiled and interpreted code.
 *
 *     run(record, budget) → Exit     enters a function of the table and looks at what comes back: an address, where it goes on,
 *                                    or LEFT_COMPILED_CODE, and CPU_LEAVE says why
 *     cold(page, left, depth)        place COLD of the table: interprets, as if it were a compiled function
 *     settle(left) → left            asks the hypervisor for a decision while compiled code waits
 *
 * A guest's calls nest as calls of WebAssembly, whoever executes them: where compiled code comes to a function that is not
 * compiled, or to an address that the TLB does not know, it calls `cold` in its place. That interprets until the guest
 * returns to where its caller waits, and enters compiled code on the way wherever there is some. So a rare event costs the
 * piece of code that it happens in, and not all that are on the stack. Nothing depends on this being right: each caller
 * compares where the guest came back to with where it waits, and if they differ it returns in turn, down to `run`.
 *
 * Between compiled functions the flags may be in the form that compiled code likes; the interpreter and everybody outside
 * find them canonical. CPU_RETIRED counts as if the whole budget were spent while compiled code runs.
 */
import {
  add,
  and,
  call,
  type Expression,
  eq,
  eqz,
  extendU,
  geU,
  gtS,
  I32,
  I64,
  i32,
  i64,
  leU,
  load16U,
  load32,
  load64,
  load64From8U,
  load64From16U,
  ne,
  or,
  select,
  shl,
  shrU,
  sub,
} from '../../wasm/expression.ts';
import type { FunctionBuilder, FunctionReference, Local } from '../../wasm/function.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import {
  CALL_DEPTH,
  CPU,
  CPU_BUDGET,
  CPU_CALL_RETURN,
  CPU_CALL_RSP,
  CPU_CODE_CHANGED,
  CPU_COLD_RECORD,
  CPU_EXIT_KIND,
  CPU_EXIT_RECORD,
  CPU_EXPECTED,
  CPU_EXTRA_RETIRED,
  CPU_FINISHING,
  CPU_LEAVE,
  CPU_REGS,
  CPU_RETIRED,
  CPU_RIP,
  CPU_SKIPPED,
  CPU_TLB_BANK,
  ENGINE_INTERPRETED,
  ENGINE_RETURNS,
  HEAT_SHIFT,
  REG_PAGE,
  TLB_EXECUTE,
} from '../layout.ts';
import { callSupport, type SupportFunctions } from './emitter.ts';
import { Exit } from './exits.ts';
import { Status } from './interpreter-emitter.ts';
import { PSEUDO_COMPILED, REC_HANDLER, REC_LENGTH, REC_OFFSET } from './record.ts';
import { COLD, LEAVE_STATUS, LEFT_COMPILED_CODE } from './region-emitter.ts';
import { RSP } from './registers.ts';
import { type exportedSignatures, importSupport } from './support-imports.ts';
import { recordSlot, recordSlotIn, tlbEntry } from './tlb-entry.ts';

const BASE = i32(0);
/** In CPU_LEAVE: no function has left. */
const LEAVE_NOT = -1;

/** Signature of a compiled function: page, instructions left, calls that may nest → address, instructions left. */
export const REGION_PARAMETERS = [I64, I32, I32] as const;
export const REGION_RESULTS = [I64, I32] as const;

const retired = load64(BASE, CPU + CPU_RETIRED);
const rip = load64(BASE, CPU + CPU_RIP);

/**
 * The dispatcher's module: exports `run(record, budget) → Exit` and `settle`. It imports from `engine`: `interpret`; the table
 * `regions`; `find(stop) → record`, which finds or decodes the record at RIP, 0 where compiled code must be left for that;
 * `decide() → left`, which has the hypervisor decide, 0 where compiled code must be left; `execute() → left`, which executes
 * the instruction of an Exit.System, 0 where compiled code must be left afterwards, a negated Exit where it did not retire.
 */
export function buildDispatcher(
  signatures: ReturnType<typeof exportedSignatures>,
  memoryPages: number,
  heat: number,
): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder(memoryPages);
  const links: Links = {
    support: importSupport(module, signatures),
    interpret: module.import('engine', 'interpret', [I32, I32, I32], [I32]),
    find: module.import('engine', 'find', [I32], [I32]),
    decide: module.import('engine', 'decide', [], [I32]),
    execute: module.import('engine', 'execute', [], [I32]),
    regions: module.importTable('engine', 'regions', 1),
    regionType: module.signature(REGION_PARAMETERS, REGION_RESULTS),
    heat,
  };
  const cold = module.function(REGION_PARAMETERS, REGION_RESULTS);
  emitCold(cold, links);
  module.place(links.regions, COLD, [cold]);
  const settle = module.function([I32], [I32]);
  emitSettle(settle, links);
  module.export('settle', settle);
  const run = module.function([I32, I32], [I32]);
  emitRun(run, links);
  module.export('run', run);
  return module.finish();
}

interface Links {
  readonly support: SupportFunctions;
  readonly interpret: FunctionReference;
  readonly find: FunctionReference;
  readonly decide: FunctionReference;
  readonly execute: FunctionReference;
  readonly regions: number;
  readonly regionType: number;
  readonly heat: number;
}

// -------------------------------------------------------------- what all three do

function makeCanonical(f: FunctionBuilder, { support }: Links): void {
  f.run(callSupport(support, 'canonicalFlags'), 0);
}

/** From the truth to "as if the whole budget were spent", and back. */
function spendAll(f: FunctionBuilder, left: Expression): void {
  f.store64(BASE, add(retired, extendU(left)), CPU + CPU_RETIRED);
}
function giveBack(f: FunctionBuilder, left: Expression): void {
  f.store64(BASE, sub(retired, extendU(left)), CPU + CPU_RETIRED);
}

/** Sets `record` to the one at an address if the TLB leads to it, with REG_PAGE, or to 0. */
function lookUp(f: FunctionBuilder, record: Local, address: Expression): void {
  f.scope(() => {
    const at = f.let(address);
    const page = f.let(and(at, i64(-4096)));
    const entry = f.let(tlbEntry(at, load32(BASE, CPU + CPU_TLB_BANK)));
    f.set(record, BASE);
    f.if(eq(load64(entry, TLB_EXECUTE), page), () => {
      f.set(record, load32(recordSlot(entry, at)));
      f.store64(BASE, page, CPU + REG_PAGE);
    });
  });
}

/** Sets `record` to the one at RIP, with REG_PAGE, if that page has been decoded and lacks but its place in the TLB. */
function fetch(f: FunctionBuilder, record: Local, { support }: Links): void {
  f.set(record, callSupport(support, 'fetchPage', rip));
  f.if(record, () => {
    f.set(record, load32(recordSlotIn(record, rip)));
    f.store64(BASE, and(rip, i64(-4096)), CPU + REG_PAGE);
  });
}

/** Number of the compiled function that begins at a record. */
function functionOf(record: Expression, { heat }: Links): Expression {
  return load32(shrU(record, i32(HEAT_SHIFT)), heat);
}

/** Where, by depth, the address is kept that compiled code waits at. */
function returnSlot(depth: Expression): Expression {
  return shl(depth, i32(3));
}

// -------------------------------------------------------------- cold

/**
 * Interprets from CPU_COLD_RECORD, or from where RIP leads if that is 0, until the guest returns to where the caller waits or
 * something happens that needs a decision. A call to compiled code is made as a call; compiled code that is entered in
 * another way takes this function's place.
 */
function emitCold(f: FunctionBuilder, links: Links): void {
  const region = { type: links.regionType, table: links.regions };
  const left = f.parameter(1);
  const depth = f.parameter(2);
  const record = f.local(I32);
  const why = f.local(I32);
  const address = f.local(I64);
  const leave = (kind: Expression): void => {
    f.store32(BASE, kind, CPU + CPU_LEAVE);
    spendAll(f, left);
    f.return(LEFT_COMPILED_CODE, left);
  };
  /** `record` from JavaScript; the interpreter stopped at `stop`, or 0. */
  const find = (stop: Expression): void => {
    f.store32(BASE, left, CPU + CPU_BUDGET);
    f.set(record, call(links.find, stop));
    f.if(eqz(record), () => leave(i32(Exit.Decode)));
  };
  const expected = f.variable(load64(returnSlot(depth), ENGINE_RETURNS));
  makeCanonical(f, links);
  giveBack(f, left);
  f.store64(BASE, i64(0), CPU + CPU_CALL_RSP);
  f.store64(BASE, f.parameter(0), CPU + REG_PAGE);
  f.set(record, load32(BASE, CPU + CPU_COLD_RECORD));
  // What compiled code only leaves to the interpreter for once is not to be compiled again from there.
  const counts = f.variable(or(eqz(record), ne(record, load32(BASE, CPU + CPU_SKIPPED))));
  f.loop((again) => {
    f.if(eqz(record), () => {
      lookUp(f, record, rip);
      f.if(eqz(record), () => {
        // Nothing more is executed when the budget is spent: then the page has not been accessed.
        f.if(left, () => fetch(f, record, links));
        f.if(eqz(record), () => {
          f.store32(BASE, BASE, CPU + CPU_EXIT_RECORD);
          find(BASE);
        });
      });
    });
    f.store64(BASE, expected, CPU + CPU_EXPECTED);
    const interpreted = load64(BASE, ENGINE_INTERPRETED);
    f.store64(BASE, add(interpreted, extendU(left)), ENGINE_INTERPRETED);
    f.set(why, call(links.interpret, record, left, counts));
    f.set(counts, BASE);
    f.set(left, load32(BASE, CPU + CPU_BUDGET));
    f.store64(BASE, sub(interpreted, extendU(left)), ENGINE_INTERPRETED);
    f.set(record, BASE);
    f.if(eq(why, i32(Exit.Decode)), () => {
      const stop = load32(BASE, CPU + CPU_EXIT_RECORD);
      // It came to an address that it could not find; that is looked for above, without JavaScript first.
      f.brIf(again, eqz(stop));
      find(stop);
      f.br(again);
    });
    f.if(eq(why, i32(Exit.Compiled)), () => {
      spendAll(f, left);
      const target = f.let(functionOf(load32(BASE, CPU + CPU_EXIT_RECORD), links));
      const page = load64(BASE, CPU + REG_PAGE);
      const called = leU(load64(BASE, CPU + CPU_REGS + RSP * 8), load64(BASE, CPU + CPU_CALL_RSP));
      f.if(eqz(and(ne(depth, BASE), called)), () => {
        f.returnCallIndirect(region, target, page, left, depth);
      });
      const back = f.variable(load64(BASE, CPU + CPU_CALL_RETURN));
      f.store64(BASE, i64(0), CPU + CPU_CALL_RSP);
      f.store64(returnSlot(depth), back, ENGINE_RETURNS - 8);
      const inner = sub(depth, i32(1));
      f.callIndirectInto([address, left], region, target, page, left, inner);
      f.if(or(load32(BASE, CPU + CPU_CODE_CHANGED), ne(address, back)), () => f.return(address, left));
      f.store64(BASE, address, CPU + CPU_RIP);
      makeCanonical(f, links);
      giveBack(f, left);
      f.br(again);
    });
    f.if(eq(why, i32(Exit.Returned)), () => {
      spendAll(f, left);
      f.return(rip, left);
    });
    f.if(eq(why, i32(Exit.System)), () => {
      const outcome = f.let(call(links.execute));
      f.set(left, load32(BASE, CPU + CPU_BUDGET));
      f.brIf(again, gtS(outcome, BASE));
      leave(select(outcome, sub(BASE, outcome), i32(Exit.Decode)));
    });
    f.if(or(eq(why, i32(Exit.Syscall)), eq(why, i32(Exit.Cpuid))), () => {
      f.set(left, call(links.decide));
      f.brIf(again, left);
      f.set(why, i32(Exit.Settled));
    });
    leave(why);
  });
  f.unreachable();
}

// -------------------------------------------------------------- settle

/** All registers are in memory, RIP is that of the next instruction. Returns 0 if compiled code must be left. */
function emitSettle(f: FunctionBuilder, links: Links): void {
  const left = f.parameter(0);
  makeCanonical(f, links);
  giveBack(f, left);
  f.store32(BASE, left, CPU + CPU_BUDGET);
  f.set(left, call(links.decide));
  f.if(
    left,
    () => spendAll(f, left),
    () => f.store32(BASE, i32(Exit.Settled), CPU + CPU_LEAVE),
  );
  f.return(left);
}

// -------------------------------------------------------------- run

/** REG_PAGE is the page of `record`, RIP its address. */
function emitRun(f: FunctionBuilder, links: Links): void {
  const region = { type: links.regionType, table: links.regions };
  const record = f.parameter(0);
  const left = f.parameter(1);
  const address = f.local(I64);
  const why = f.local(I32);
  const target = f.local(I32);
  /** Ends with an exit: what is left of the budget, flags canonical. */
  const leave = (kind: Expression): void => {
    f.store32(BASE, left, CPU + CPU_BUDGET);
    makeCanonical(f, links);
    f.return(kind);
  };
  f.store32(BASE, BASE, CPU + CPU_FINISHING);
  f.store32(BASE, BASE, CPU + CPU_SKIPPED);
  f.store64(returnSlot(i32(CALL_DEPTH)), LEFT_COMPILED_CODE, ENGINE_RETURNS);
  f.loop((again) => {
    f.store32(BASE, BASE, CPU + CPU_CODE_CHANGED);
    f.set(target, i32(COLD));
    f.store32(BASE, record, CPU + CPU_COLD_RECORD);
    const compiled = eq(load16U(record, REC_HANDLER), i32(PSEUDO_COMPILED));
    f.if(and(compiled, eqz(load32(BASE, CPU + CPU_FINISHING))), () => {
      f.set(target, functionOf(record, links));
    });
    spendAll(f, left);
    const page = load64(BASE, CPU + REG_PAGE);
    f.store32(BASE, i32(LEAVE_NOT), CPU + CPU_LEAVE);
    f.callIndirectInto([address, left], region, target, page, left, i32(CALL_DEPTH));
    giveBack(f, left);
    // A guest may jump to that very address too.
    f.if(and(eq(address, LEFT_COMPILED_CODE), ne(load32(BASE, CPU + CPU_LEAVE), i32(LEAVE_NOT))), () => {
      f.set(why, load32(BASE, CPU + CPU_LEAVE));
      f.set(address, rip);
      f.if(
        geU(why, i32(LEAVE_STATUS)),
        () => handlerLeft(),
        () => {
          f.if(or(ne(why, i32(Exit.Step)), load32(BASE, CPU + CPU_FINISHING)), () => leave(why));
          // Too little is left for compiled code: the interpreter spends it.
          f.store32(BASE, i32(1), CPU + CPU_FINISHING);
        },
      );
    });
    lookUp(f, record, address);
    f.brIf(again, record);
    f.store64(BASE, address, CPU + CPU_RIP);
    f.store32(BASE, BASE, CPU + CPU_EXIT_RECORD);
    leave(i32(Exit.Decode));
  });
  f.unreachable();

  /** An instruction's handler did not simply go on; the instruction itself has not been counted yet. */
  function handlerLeft(): void {
    const at = load32(BASE, CPU + CPU_EXIT_RECORD);
    const status = (value: number): Expression => eq(why, i32(LEAVE_STATUS + value));
    const retire = (count: Local): void => {
      f.store64(BASE, add(retired, extendU(count)), CPU + CPU_RETIRED);
      f.set(left, sub(left, count));
    };
    const here = add(load64(BASE, CPU + REG_PAGE), load64From16U(at, REC_OFFSET));
    const leaveAt = (place: Expression, kind: Expression): void => {
      f.store64(BASE, place, CPU + CPU_RIP);
      leave(kind);
    };
    f.if(status(Status.Fault), () => {
      const extra = f.let(load32(BASE, CPU + CPU_EXTRA_RETIRED));
      retire(extra);
      f.store32(BASE, BASE, CPU + CPU_EXTRA_RETIRED);
      leaveAt(here, i32(Exit.Exception));
    });
    const kind = load32(BASE, CPU + CPU_EXIT_KIND);
    f.if(status(Status.LeaveAt), () => leaveAt(here, kind));
    retire(f.let(i32(1)));
    f.if(status(Status.Leave), () => leaveAt(add(here, load64From8U(at, REC_LENGTH)), kind));
    // Jump: CPU_RIP has been set.
  }
}
