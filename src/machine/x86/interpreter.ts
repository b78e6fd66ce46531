/**
 * Generates the interpreter: one WebAssembly function whose loop is a `br_table` over the handlers.
 *
 * Execution goes from record to record. Straight-line code is just the next record; a taken branch finds its target by
 * the link in its record, or by looking the address up in the TLB and the target page's table of records. Instructions
 * are counted by the distance between records, and only when control leaves a run, so the budget costs nothing inside:
 *
 *     enter:     start = record; a run longer than the budget leaves to the engine, which cuts it (Exit.Step)
 *     resume:    (back from an outlined handler)
 *       dispatch:  switch over the record's handler; record += 32; again
 *       outlined:  call the handler's function through the table, act on its Status
 *     lookup:    target address → TLB execute tag → the page's table → record; a miss leaves (Exit.Decode)
 *
 * The often-used handlers stand inline in `dispatch`, which contains no call at all: an optimising compiler then keeps
 * the loop's few variables in registers instead of spilling them around calls; what only branches need is kept in memory
 * for the same reason (measured together: 205 → 240 million instructions a second on a mixed loop). A handler that finds its operand not in the TLB gives up before it has committed anything, and the same
 * record goes to its outlined twin, which may call whatever it needs.
 */
import {
  add,
  and,
  callIndirect,
  type Expression,
  eq,
  eqz,
  extendU,
  I32,
  I64,
  i32,
  i64,
  leS,
  load8U,
  load16U,
  load32,
  load64,
  load64From8U,
  load64From16U,
  ltU,
  shrU,
  sub,
} from '../../wasm/expression.ts';
import type { FunctionReference, Label } from '../../wasm/function.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import {
  CPU,
  CPU_BUDGET,
  CPU_EXIT_ERROR,
  CPU_EXIT_KIND,
  CPU_EXIT_RECORD,
  CPU_EXIT_VECTOR,
  CPU_EXPECTED,
  CPU_EXTRA_RETIRED,
  CPU_FINISHING,
  CPU_REPEAT_AGAIN,
  CPU_RETIRED,
  CPU_RIP,
  CPU_RUN_LEFT,
  CPU_RUN_START,
  CPU_SKIPPED,
  CPU_TLB_BANK,
  HEAT_HANDLER,
  HEAT_SHIFT,
  REG_PAGE,
  TLB_CODE,
  TLB_EXECUTE,
} from '../layout.ts';
import type { SupportFunctions } from './emitter.ts';
import { Exit } from './exits.ts';
import { type Flow, functionFlow, InterpreterEmitter, Status } from './interpreter-emitter.ts';
import {
  PSEUDO_COMPILED,
  PSEUDO_COUNT,
  REC_DISPLACEMENT,
  REC_HANDLER,
  REC_HEAT,
  REC_IMMEDIATE,
  REC_LENGTH,
  REC_LINK,
  REC_OFFSET,
  REC_RUN,
  RECORD_SHIFT,
  RECORD_SIZE,
} from './record.ts';
import { VECTOR_GP, VECTOR_UD } from './registers.ts';
import { type exportedSignatures, importSupport } from './support-imports.ts';
import { recordSlot, tlbEntry } from './tlb-entry.ts';
import type { VariantTable } from './variants.ts';

const BASE = i32(0);
type Signatures = ReturnType<typeof exportedSignatures>;

/**
 * The interpreter's module. It exports `interpret(record, budget, counts) → Exit`, `handle(handler, record) → Status` and the
 * table `handlers`. `heat` is the base of the records' heat words. What comes to a record by a call, an indirect jump or
 * backwards is counted, and so is the beginning if `counts` says so; when that happens for the `heatLimit`-th time the
 * interpreter leaves (Exit.Hot), 0 = never.
 */
export function buildInterpreter(
  variants: VariantTable,
  signatures: Signatures,
  memoryPages: number,
  heat: number,
  heatLimit: number,
): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder(memoryPages);
  const support = importSupport(module, signatures);

  // Every handler as a function of its own, in the table under its number.
  const outlined: FunctionReference[] = [];
  for (const { definition, shape } of variants.variants) {
    const f = module.function([I32], [I32]);
    // Near branches find their link through the main loop: outlined, they jump by address.
    const flow = { ...functionFlow(f), jumpToTarget: jumpByAddress(f) };
    definition.semantics(new InterpreterEmitter(f, shape, support, f.parameter(0), flow));
    f.return(i32(Status.Next));
    outlined.push(f);
  }
  const nothing = module.function([I32], [I32]);
  nothing.unreachable();
  // There is room for the checked handlers, which are made when they are needed.
  const handlers = module.table(
    [...new Array<FunctionReference>(PSEUDO_COUNT).fill(nothing), ...outlined],
    'handlers',
    variants.count,
  );
  const handlerType = module.signature([I32], [I32]);
  // For compiled code, which must not import the table: a table keeps all that have ever imported it.
  const handle = module.function([I32, I32], [I32]);
  handle.return(callIndirect(handlerType, I32, handlers, handle.parameter(0), handle.parameter(1)));
  module.export('handle', handle);

  const f = module.function([I32, I32, I32], [I32]);
  const record = f.parameter(0);
  // Set where control goes to a record: whether this counts as one of the ways to it that compiled code can begin at.
  const counts = f.parameter(2);
  const goTo = (label: Label, counted: number): void => {
    f.set(counts, i32(counted));
    f.br(label);
  };
  // What only branches need lives in memory: a local that lives through the loop costs a register in every handler.
  const left = load32(BASE, CPU + CPU_RUN_LEFT);
  const setLeft = (value: Expression): void => f.store32(BASE, value, CPU + CPU_RUN_LEFT);
  const start = load32(BASE, CPU + CPU_RUN_START);
  const bank = load32(BASE, CPU + CPU_TLB_BANK);
  const target = f.local(I64);
  const linkFrom = f.local(I32);
  const kind = f.local(I32);
  const status = f.local(I32);

  setLeft(f.parameter(1));
  // While running, CPU_RETIRED counts as if the whole budget were spent: subtract what is left to have the truth.
  const retired = load64(BASE, CPU + CPU_RETIRED);
  f.store64(BASE, add(retired, extendU(f.parameter(1))), CPU + CPU_RETIRED);

  const executed = (): Expression => shrU(sub(record, start), i32(RECORD_SHIFT));
  /** Takes the instructions up to and including this one off the budget. */
  const account = (): void => setLeft(sub(sub(left, executed()), i32(1)));
  const accountBefore = (): void => setLeft(sub(left, executed()));
  const accountExtra = (): void => {
    setLeft(sub(left, load32(BASE, CPU + CPU_EXTRA_RETIRED)));
    f.store32(BASE, i32(0), CPU + CPU_EXTRA_RETIRED);
  };
  const here = (): Expression => add(load64(BASE, CPU + REG_PAGE), load64From16U(record, REC_OFFSET));
  const following = (): Expression => add(here(), load64From8U(record, REC_LENGTH));
  const setRip = (address: Expression): void => f.store64(BASE, address, CPU + CPU_RIP);

  f.block((exit) => {
    const leaveHere = (reason: number): void => {
      setRip(here());
      f.set(kind, i32(reason));
      f.br(exit);
    };
    f.loop((enter) => {
      /** What records that stand for no instruction do, in the order of their numbers. */
      const pseudoHandlers = (fault: () => void, toLookup: Label, outline: Label): (() => void)[] => {
        return [
          // STOP
          () => {
            accountBefore();
            leaveHere(Exit.Decode);
          },
          // LINK
          () => {
            accountBefore();
            f.set(record, load32(record, REC_LINK));
            goTo(enter, 0);
          },
          // NEXT_PAGE
          () => {
            accountBefore();
            f.set(target, here());
            f.set(linkFrom, i32(0));
            goTo(toLookup, 0);
          },
          // STRADDLE: the next page must still map the frame that the instruction was decoded from
          () => {
            const page = f.let(add(load64(BASE, CPU + REG_PAGE), i64(4096)));
            const entry = f.let(tlbEntry(page, bank));
            const same = eq(load32(entry, TLB_CODE), load32(record, REC_DISPLACEMENT));
            f.if(eqz(and(eq(load64(entry, TLB_EXECUTE), page), same)), () => {
              accountBefore();
              leaveHere(Exit.Decode);
            });
            accountBefore();
            f.set(record, add(record, i32(RECORD_SIZE)));
            goTo(enter, 0);
          },
          // UNDEFINED, TOO_LONG
          ...[VECTOR_UD, VECTOR_GP].map((vector) => () => {
            f.store32(BASE, i32(vector), CPU + CPU_EXIT_VECTOR);
            f.store32(BASE, i32(0), CPU + CPU_EXIT_ERROR);
            fault();
          }),
          // COMPILED
          () => {
            f.brIf(outline, load32(BASE, CPU + CPU_FINISHING));
            f.if(eq(record, load32(BASE, CPU + CPU_SKIPPED)), () => {
              f.store32(BASE, BASE, CPU + CPU_SKIPPED);
              f.br(outline);
            });
            accountBefore();
            leaveHere(Exit.Compiled);
          },
        ];
      };
      f.block((lookup) => {
        f.store32(BASE, record, CPU + CPU_RUN_START);
        if (heatLimit > 0) {
          f.if(counts, () => {
            f.store16(record, add(load16U(record, REC_HEAT), i32(1)), REC_HEAT);
            f.if(eq(load16U(record, REC_HEAT), i32(heatLimit)), () => leaveHere(Exit.Hot));
          });
        }
        f.if(ltU(left, load8U(record, REC_RUN)), () => leaveHere(Exit.Step));
        f.loop((resume) => {
          f.block((fault) => {
            f.block((outline) => {
              f.loop((dispatch) => {
                f.block((next) => {
                  const flow: Flow = {
                    giveUp: () => f.br(outline),
                    fault: () => f.br(fault),
                    jumpToTarget: (long, calls) => {
                      account();
                      f.set(
                        counts,
                        calls ? i32(1) : leS(load32(record, REC_IMMEDIATE), load16U(record, REC_OFFSET)),
                      );
                      if (long) {
                        f.set(target, branchTarget(record));
                        f.if(load32(record, REC_LINK), () => {
                          f.set(record, load32(record, REC_LINK));
                          f.br(enter);
                        });
                        f.set(linkFrom, record);
                      } else {
                        f.set(target, and(branchTarget(record), i64(0xffffffff)));
                        f.set(linkFrom, i32(0));
                      }
                      f.br(lookup);
                    },
                    jumpTo: (address, returns) => {
                      f.set(target, address);
                      f.set(linkFrom, i32(0));
                      account();
                      goTo(lookup, returns ? 0 : 1);
                    },
                    leave: () => {
                      account();
                      setRip(following());
                      f.set(kind, load32(BASE, CPU + CPU_EXIT_KIND));
                      f.br(exit);
                    },
                    leaveAt: () => {
                      accountBefore();
                      setRip(here());
                      f.set(kind, load32(BASE, CPU + CPU_EXIT_KIND));
                      f.br(exit);
                    },
                    repeated: () => {
                      throw new Error('repeated instructions stand outside the main loop');
                    },
                    budgetLeft: () => sub(left, executed()),
                    bank: () => bank,
                  };
                  const cases = pseudoHandlers(flow.fault, lookup, outline);
                  const targets = cases.map((_, number) => number);
                  const elsewhere = cases.push(() => f.br(outline)) - 1;
                  for (const { definition, shape, hot } of variants.variants) {
                    if (!hot) {
                      targets.push(elsewhere);
                      continue;
                    }
                    targets.push(cases.length);
                    cases.push(() => {
                      definition.semantics(new InterpreterEmitter(f, shape, NO_SUPPORT, record, flow));
                      f.br(next);
                    });
                  }
                  // Numbers beyond are those of checked handlers.
                  f.switchTable(load16U(record, REC_HANDLER), targets, cases, elsewhere);
                });
                f.set(record, add(record, i32(RECORD_SIZE)));
                f.br(dispatch);
              });
            });
            // outlined: the handler is a function
            f.store32(BASE, sub(left, executed()), CPU + CPU_BUDGET);
            f.set(status, load16U(record, REC_HANDLER));
            f.if(eq(status, i32(PSEUDO_COMPILED)), () => {
              f.set(status, load16U(shrU(record, i32(HEAT_SHIFT)), heat + HEAT_HANDLER));
            });
            f.set(status, callIndirect(handlerType, I32, handlers, status, record));
            f.if(eqz(status), () => {
              f.set(record, add(record, i32(RECORD_SIZE)));
              f.br(resume);
            });
            f.brIf(fault, eq(status, i32(Status.Fault)));
            f.if(eq(status, i32(Status.Jump)), () => {
              account();
              f.set(target, load64(BASE, CPU + CPU_RIP));
              f.set(linkFrom, i32(0));
              goTo(lookup, 1);
            });
            f.if(eq(status, i32(Status.Repeated)), () => {
              account();
              accountExtra();
              f.if(load32(BASE, CPU + CPU_REPEAT_AGAIN), () => {
                // Before the budget is spent it stops where it has changed code.
                f.if(left, () => leaveHere(Exit.Decode));
                leaveHere(Exit.Budget);
              });
              f.set(record, add(record, i32(RECORD_SIZE)));
              goTo(enter, 0);
            });
            f.set(kind, load32(BASE, CPU + CPU_EXIT_KIND));
            f.if(
              eq(status, i32(Status.Leave)),
              () => {
                account();
                setRip(following());
              },
              () => {
                accountBefore();
                setRip(here());
              },
            );
            f.br(exit);
          });
          // fault: an exception is noted in CPU_EXIT_*
          accountBefore();
          accountExtra();
          leaveHere(Exit.Exception);
        });
      });
      // lookup: find the record of `target`, unless compiled code waits for a return to there
      if (heatLimit > 0) {
        f.if(eq(target, load64(BASE, CPU + CPU_EXPECTED)), () => {
          setRip(target);
          f.set(record, i32(0));
          f.set(kind, i32(Exit.Returned));
          f.br(exit);
        });
      }
      const page = f.let(and(target, i64(-4096)));
      const entry = f.let(tlbEntry(target, bank));
      const found = f.local(I32);
      f.if(eq(load64(entry, TLB_EXECUTE), page), () => {
        f.set(found, load32(recordSlot(entry, target)));
        f.if(found, () => {
          f.if(linkFrom, () => {
            f.if(eq(load64(BASE, CPU + REG_PAGE), page), () => f.store32(linkFrom, found, REC_LINK));
          });
          f.store64(BASE, page, CPU + REG_PAGE);
          f.set(record, found);
          f.br(enter);
        });
      });
      setRip(target);
      f.set(kind, i32(Exit.Decode));
      f.set(record, i32(0));
    });
  });
  f.store32(BASE, left, CPU + CPU_BUDGET);
  f.store32(BASE, record, CPU + CPU_EXIT_RECORD);
  f.store64(BASE, sub(load64(BASE, CPU + CPU_RETIRED), extendU(left)), CPU + CPU_RETIRED);
  f.return(kind);
  module.export('interpret', f);
  return module.finish();
}

/** The target of a relative branch: the page it stands in plus its page-relative target. */
function branchTarget(record: Expression): Expression {
  return add(load64(BASE, CPU + REG_PAGE), load64(record, REC_IMMEDIATE));
}

/** Inline handlers make no calls. */
const NO_SUPPORT = new Proxy<SupportFunctions>(
  {},
  {
    get: (_, name) => {
      throw new Error(`an inline handler calls ${String(name)}: it must not be marked hot`);
    },
  },
);

/** An outlined near branch: the target's address goes to CPU_RIP. */
function jumpByAddress(f: ReturnType<ModuleBuilder['function']>): (long: boolean) => void {
  return (long) => {
    const address = branchTarget(f.parameter(0));
    f.store64(BASE, long ? address : and(address, i64(0xffffffff)), CPU + CPU_RIP);
    f.return(i32(Status.Jump));
  };
}
