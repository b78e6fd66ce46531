/**
 * Generates the interpreter: one WebAssembly function whose loop is a `br_table` over the handlers.
 *
 * Execution goes from record to record. Straight-line code is just the next record; a taken branch finds its target by
 * the link in its record, or by looking the address up in the TLB and the target page's table of records. Instructions
 * are counted by the distance between records, and only when control leaves a run, so the budget costs nothing inside:
 *
 *     enter:   start = record; a run longer than the budget leaves to the engine, which cuts it (Exit.Step)
 *     next:    record += 32, dispatch
 *     branch:  left -= records executed; go to enter with the target's record
 *     lookup:  target address → TLB execute tag → the page's table → record; a miss leaves (Exit.Decode)
 *
 * The often-used handlers stand inline; every other one is a function that returns a `Status`.
 */
import {
  add,
  and,
  call,
  type Expression,
  eq,
  eqz,
  extendU,
  I32,
  I64,
  i32,
  i64,
  load8U,
  load16U,
  load32,
  load64,
  load64From8U,
  load64From16U,
  ltU,
  shl,
  shrU,
  sub,
  wrap,
} from '../../wasm/expression.ts';
import type { FunctionReference } from '../../wasm/function.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import {
  CPU,
  CPU_BUDGET,
  CPU_EXIT_ERROR,
  CPU_EXIT_KIND,
  CPU_EXIT_RECORD,
  CPU_EXIT_VECTOR,
  CPU_EXTRA_RETIRED,
  CPU_REPEAT_AGAIN,
  CPU_RETIRED,
  CPU_RIP,
  CPU_TLB_BANK,
  REG_PAGE,
  TLB_ADDEND,
  TLB_CODE,
  TLB_EXECUTE,
} from '../layout.ts';
import { Exit } from './exits.ts';
import { type Flow, functionFlow, InterpreterEmitter, Status } from './interpreter-emitter.ts';
import {
  REC_DISPLACEMENT,
  REC_HANDLER,
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
import type { VariantTable } from './variants.ts';

const BASE = i32(0);
type Signatures = ReturnType<typeof exportedSignatures>;

/** The interpreter's module. It exports `run(record, budget) → Exit`. */
export function buildInterpreter(
  variants: VariantTable,
  signatures: Signatures,
  memoryPages: number,
): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder(memoryPages);
  const support = importSupport(module, signatures);

  // Handlers in functions of their own.
  const outlined = new Map<number, FunctionReference>();
  for (const { index, definition, shape, hot } of variants.variants) {
    if (hot) continue;
    const f = module.function([I32], [I32]);
    if (definition.options.branch === true || usesControl(definition.mnemonic)) {
      // Near branches find their link through the main loop: outlined, they jump by address.
      const flow = { ...functionFlow(f), jumpToTarget: jumpByAddress(f) };
      definition.semantics(new InterpreterEmitter(f, shape, support, f.parameter(0), flow));
    } else {
      definition.semantics(new InterpreterEmitter(f, shape, support, f.parameter(0), functionFlow(f)));
    }
    f.return(i32(Status.Next));
    outlined.set(index, f);
  }

  const f = module.function([I32, I32], [I32]);
  const record = f.parameter(0);
  const left = f.parameter(1);
  const start = f.local(I32);
  const bank = f.local(I32);
  const target = f.local(I64);
  const linkFrom = f.local(I32);
  const kind = f.local(I32);
  const status = f.local(I32);

  f.set(bank, load32(BASE, CPU + CPU_TLB_BANK));
  // While running, CPU_RETIRED counts as if the whole budget were spent: subtract what is left to have the truth.
  const retired = load64(BASE, CPU + CPU_RETIRED);
  f.store64(BASE, add(retired, extendU(left)), CPU + CPU_RETIRED);

  const executed = (): Expression => shrU(sub(record, start), i32(RECORD_SHIFT));
  /** Takes the instructions up to and including this one off the budget. */
  const account = (): void => f.set(left, sub(sub(left, executed()), i32(1)));
  const accountBefore = (): void => f.set(left, sub(left, executed()));
  const accountExtra = (): void => {
    f.set(left, sub(left, load32(BASE, CPU + CPU_EXTRA_RETIRED)));
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
      f.block((lookup) => {
        f.set(start, record);
        f.if(ltU(left, load8U(record, REC_RUN)), () => leaveHere(Exit.Step));
        f.loop((dispatch) => {
          f.block((next) => {
            f.block((fault) => {
              f.block((callStatus) => {
                const flow: Flow = {
                  fault: () => f.br(fault),
                  jumpToTarget: (long) => {
                    account();
                    if (long) {
                      f.set(target, branchTarget(record));
                      f.if(load32(record, REC_LINK), () => {
                        f.set(record, load32(record, REC_LINK));
                        f.br(enter);
                      });
                      f.set(linkFrom, record);
                    } else {
                      f.set(
                        target,
                        and(
                          add(load64(BASE, CPU + REG_PAGE), load64(record, REC_IMMEDIATE)),
                          i64(0xffffffff),
                        ),
                      );
                    }
                    f.br(lookup);
                  },
                  jumpTo: (address) => {
                    f.set(target, address);
                    account();
                    f.br(lookup);
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
                const skip = (): void => f.set(start, add(start, i32(RECORD_SIZE)));
                const pseudo: (() => void)[] = [
                  // STOP
                  () => {
                    accountBefore();
                    leaveHere(Exit.Decode);
                  },
                  // LINK
                  () => {
                    accountBefore();
                    f.set(record, load32(record, REC_LINK));
                    f.br(enter);
                  },
                  // NEXT_PAGE
                  () => {
                    accountBefore();
                    f.set(target, here());
                    f.br(lookup);
                  },
                  // STRADDLE: the next page must still map the frame that the instruction was decoded from
                  () => {
                    const page = f.let(add(load64(BASE, CPU + REG_PAGE), i64(4096)));
                    const entry = f.let(tlbEntry(page, bank));
                    f.if(
                      eqz(
                        and(
                          eq(load64(entry, TLB_EXECUTE), page),
                          eq(add(load32(entry, TLB_ADDEND), wrap(page)), load32(record, REC_DISPLACEMENT)),
                        ),
                      ),
                      () => {
                        accountBefore();
                        leaveHere(Exit.Decode);
                      },
                    );
                    skip();
                    f.br(next);
                  },
                  // UNDEFINED, TOO_LONG
                  ...[VECTOR_UD, VECTOR_GP].map((vector) => () => {
                    f.store32(BASE, i32(vector), CPU + CPU_EXIT_VECTOR);
                    f.store32(BASE, i32(0), CPU + CPU_EXIT_ERROR);
                    f.br(fault);
                  }),
                ];
                const cases: (() => void)[] = [...pseudo];
                for (const { index, definition, shape, hot } of variants.variants) {
                  if (hot) {
                    cases.push(() => {
                      definition.semantics(new InterpreterEmitter(f, shape, support, record, flow));
                      f.br(next);
                    });
                    continue;
                  }
                  const handler = outlined.get(index)!;
                  const needsBudget = definition.options.budget === true;
                  cases.push(() => {
                    if (needsBudget) f.store32(BASE, flow.budgetLeft(), CPU + CPU_BUDGET);
                    f.set(status, call(handler, record));
                    f.br(callStatus);
                  });
                }
                f.switchTable(
                  load16U(record, REC_HANDLER),
                  cases.map((_, i) => i),
                  cases,
                  0,
                );
              });
              // callStatus: what an outlined handler said
              f.brIf(next, eqz(status));
              f.brIf(fault, eq(status, i32(Status.Fault)));
              f.if(eq(status, i32(Status.Jump)), () => {
                account();
                f.set(target, load64(BASE, CPU + CPU_RIP));
                f.br(lookup);
              });
              f.if(eq(status, i32(Status.Repeated)), () => {
                f.if(
                  load32(BASE, CPU + CPU_REPEAT_AGAIN),
                  () => {
                    account();
                    accountExtra();
                    leaveHere(Exit.Budget);
                  },
                  () => {
                    account();
                    accountExtra();
                    f.set(record, add(record, i32(RECORD_SIZE)));
                    f.br(enter);
                  },
                );
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
          f.set(record, add(record, i32(RECORD_SIZE)));
          f.br(dispatch);
        });
      });
      // lookup: find the record of `target`
      const page = f.let(and(target, i64(-4096)));
      const entry = f.let(tlbEntry(target, bank));
      const found = f.local(I32);
      f.if(eq(load64(entry, TLB_EXECUTE), page), () => {
        f.set(found, load32(codeSlot(entry, target)));
        f.if(found, () => {
          f.if(linkFrom, () => {
            f.if(eq(load64(BASE, CPU + REG_PAGE), page), () => f.store32(linkFrom, found, REC_LINK));
            f.set(linkFrom, i32(0));
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
  module.export('run', f);
  return module.finish();
}

/** The TLB entry of an address. */
function tlbEntry(address: Expression, bank: Expression): Expression {
  return add(and(shrU(wrap(address), i32(7)), i32(0x7fe0)), bank);
}

/** Where a decoded page's table holds the record of an address. */
function codeSlot(entry: Expression, address: Expression): Expression {
  const offset = and(wrap(address), i32(4095));
  return add(load32(entry, TLB_CODE), shl(offset, i32(2)));
}

/** The target of a relative branch: the page it stands in plus its page-relative target. */
function branchTarget(record: Expression): Expression {
  return add(load64(BASE, CPU + REG_PAGE), load64(record, REC_IMMEDIATE));
}

function usesControl(mnemonic: string): boolean {
  return mnemonic === 'CALL' || mnemonic === 'JMP' || mnemonic === 'RET';
}

/** An outlined near branch: the target's address goes to CPU_RIP. */
function jumpByAddress(f: ReturnType<ModuleBuilder['function']>): (long: boolean) => void {
  return (long) => {
    const address = branchTarget(f.parameter(0));
    f.store64(BASE, long ? address : and(address, i64(0xffffffff)), CPU + CPU_RIP);
    f.return(i32(Status.Jump));
  };
}
