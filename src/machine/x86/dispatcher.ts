/**
 * Generates the dispatcher: the loop that hands a vCPU from compiled code to the interpreter and back.
 *
 *     run(record, budget) → Exit:   compiled?  call its function ──► an address: look its record up, again
 *                                                               └──► LEFT_COMPILED_CODE: CPU_LEAVE says why
 *                                   else       interpret ──► Exit.Compiled: again; any other exit: done
 *
 * Between compiled functions the flags may be in the form that compiled code likes; the interpreter and everybody outside
 * find them canonical.
 */
import {
  add,
  and,
  call,
  eq,
  eqz,
  extendU,
  geU,
  I32,
  I64,
  i32,
  i64,
  load16U,
  load32,
  load64,
  load64From8U,
  load64From16U,
  ne,
  or,
  shl,
  shrU,
  sub,
  wrap,
} from '../../wasm/expression.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import {
  CPU,
  CPU_BUDGET,
  CPU_CODE_CHANGED,
  CPU_EXIT_KIND,
  CPU_EXIT_RECORD,
  CPU_EXTRA_RETIRED,
  CPU_FINISHING,
  CPU_LEAVE,
  CPU_RETIRED,
  CPU_RIP,
  CPU_SKIPPED,
  CPU_TLB_BANK,
  ENGINE_INTERPRETED,
  HEAT_SHIFT,
  REG_PAGE,
  TLB_CODE,
  TLB_EXECUTE,
} from '../layout.ts';
import { callSupport } from './emitter.ts';
import { Exit } from './exits.ts';
import { Status } from './interpreter-emitter.ts';
import { PSEUDO_COMPILED, REC_HANDLER, REC_LENGTH, REC_OFFSET } from './record.ts';
import { LEAVE_STATUS, LEFT_COMPILED_CODE } from './region-emitter.ts';
import { type exportedSignatures, importSupport } from './support-imports.ts';

const BASE = i32(0);
/** How many guest calls may nest as WebAssembly calls: their frames share the JavaScript engine's stack. */
const CALL_DEPTH = 200;

/** Signature of a compiled function: page, instructions left, calls that may nest → address, instructions left. */
export const REGION_PARAMETERS = [I64, I32, I32] as const;
export const REGION_RESULTS = [I64, I32] as const;

/** The dispatcher's module: exports `run(record, budget) → Exit`; imports `engine.interpret` and the table `engine.regions`. */
export function buildDispatcher(
  signatures: ReturnType<typeof exportedSignatures>,
  memoryPages: number,
  heat: number,
): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder(memoryPages);
  const support = importSupport(module, signatures);
  const interpret = module.import('engine', 'interpret', [I32, I32], [I32]);
  const regions = module.importTable('engine', 'regions', 1);
  const regionType = module.signature(REGION_PARAMETERS, REGION_RESULTS);

  const f = module.function([I32, I32], [I32]);
  const record = f.parameter(0);
  const left = f.parameter(1);
  const address = f.local(I64);
  const why = f.local(I32);
  const retired = load64(BASE, CPU + CPU_RETIRED);
  const canonical = (): void => f.run(callSupport(support, 'canonicalFlags'), 0);
  const setRip = (value: typeof address): void => f.store64(BASE, value, CPU + CPU_RIP);
  /** Ends with an exit: what is left of the budget, flags canonical. */
  const leave = (kind: typeof why): void => {
    f.store32(BASE, left, CPU + CPU_BUDGET);
    canonical();
    f.return(kind);
  };
  f.store32(BASE, BASE, CPU + CPU_CODE_CHANGED);
  f.store32(BASE, BASE, CPU + CPU_FINISHING);
  f.store32(BASE, BASE, CPU + CPU_SKIPPED);
  f.loop((again) => {
    const compiled = and(
      eq(load16U(record, REC_HANDLER), i32(PSEUDO_COMPILED)),
      eqz(or(load32(BASE, CPU + CPU_FINISHING), eq(record, load32(BASE, CPU + CPU_SKIPPED)))),
    );
    f.if(
      compiled,
      () => {
        // While guest code runs, CPU_RETIRED counts as if the whole budget were spent.
        f.store64(BASE, add(retired, extendU(left)), CPU + CPU_RETIRED);
        f.callIndirectInto(
          [address, left],
          regionType,
          regions,
          load32(shrU(record, i32(HEAT_SHIFT)), heat),
          load64(BASE, CPU + REG_PAGE),
          left,
          i32(CALL_DEPTH),
        );
        f.store64(BASE, sub(retired, extendU(left)), CPU + CPU_RETIRED);
        f.if(eq(address, LEFT_COMPILED_CODE), () => {
          f.set(why, load32(BASE, CPU + CPU_LEAVE));
          f.set(address, load64(BASE, CPU + CPU_RIP));
          f.if(
            geU(why, i32(LEAVE_STATUS)),
            () => handlerLeft(),
            () => {
              f.if(
                eq(why, i32(Exit.Miss)),
                () => f.store32(BASE, load32(BASE, CPU + CPU_EXIT_RECORD), CPU + CPU_SKIPPED),
                () => {
                  f.if(ne(why, i32(Exit.Step)), () => leave(why));
                  // Too little is left for compiled code: the interpreter spends it.
                  f.store32(BASE, i32(1), CPU + CPU_FINISHING);
                },
              );
            },
          );
        });
        const page = f.let(and(address, i64(-4096)));
        const entry = f.let(
          add(and(shrU(wrap(address), i32(7)), i32(0x7fe0)), load32(BASE, CPU + CPU_TLB_BANK)),
        );
        f.if(eq(load64(entry, TLB_EXECUTE), page), () => {
          const slot = shl(and(wrap(address), i32(4095)), i32(2));
          f.set(record, load32(add(load32(entry, TLB_CODE), slot)));
          f.if(record, () => {
            f.store64(BASE, page, CPU + REG_PAGE);
            f.br(again);
          });
        });
        setRip(address);
        f.store32(BASE, BASE, CPU + CPU_EXIT_RECORD);
        leave(i32(Exit.Decode));
      },
      () => {
        canonical();
        const interpreted = load64(BASE, ENGINE_INTERPRETED);
        f.store64(BASE, add(interpreted, extendU(left)), ENGINE_INTERPRETED);
        f.set(why, call(interpret, record, left));
        f.set(left, load32(BASE, CPU + CPU_BUDGET));
        f.store64(BASE, sub(interpreted, extendU(left)), ENGINE_INTERPRETED);
        f.if(eq(why, i32(Exit.Compiled)), () => {
          f.set(record, load32(BASE, CPU + CPU_EXIT_RECORD));
          f.br(again);
        });
        f.return(why);
      },
    );
    f.unreachable();
  });
  f.unreachable();
  module.export('run', f);
  return module.finish();

  /** An instruction's handler did not simply go on; the instruction itself has not been counted yet. */
  function handlerLeft(): void {
    const at = load32(BASE, CPU + CPU_EXIT_RECORD);
    const status = (value: number): typeof why => eq(why, i32(LEAVE_STATUS + value));
    const retire = (count: typeof why): void => {
      f.store64(BASE, add(retired, extendU(count)), CPU + CPU_RETIRED);
      f.set(left, sub(left, count));
    };
    const here = add(load64(BASE, CPU + REG_PAGE), load64From16U(at, REC_OFFSET));
    f.if(status(Status.Fault), () => {
      const extra = f.let(load32(BASE, CPU + CPU_EXTRA_RETIRED));
      retire(extra);
      f.store32(BASE, BASE, CPU + CPU_EXTRA_RETIRED);
      setRip(here);
      leave(i32(Exit.Exception));
    });
    f.if(status(Status.LeaveAt), () => {
      setRip(here);
      leave(load32(BASE, CPU + CPU_EXIT_KIND));
    });
    retire(i32(1));
    f.if(status(Status.Leave), () => {
      setRip(add(here, load64From8U(at, REC_LENGTH)));
      leave(load32(BASE, CPU + CPU_EXIT_KIND));
    });
    // Jump: CPU_RIP has been set.
  }
}
