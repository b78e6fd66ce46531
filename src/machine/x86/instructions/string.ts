/**
 * String instructions. A repeated one runs until its count is spent, its condition fails or the instruction budget is:
 * each iteration counts as an instruction, and registers are committed iteration by iteration, so a fault or an event in
 * the middle finds exactly the state that a processor would show. MOVS and STOS move whole pieces of a page at once
 * where that cannot be told apart.
 */
import {
  add,
  and,
  type Expression,
  eqz,
  extendU,
  geS,
  geU,
  gtU,
  I32,
  i32,
  i64,
  i64Halves,
  ltU,
  mul,
  ne,
  nez,
  or,
  select,
  shl,
  shrU,
  sub,
  wrap,
} from '../../../wasm/expression.ts';
import type { Local } from '../../../wasm/function.ts';
import { CPU_CODE_CHANGED, CPU_DR, CPU_EXTRA_RETIRED, DR7_ENABLED } from '../../layout.ts';
import type { InstructionSet } from '../definition.ts';
import { callSupport, type Emitter, type Semantics } from '../emitter.ts';
import { FLAG_DF, RAX, RCX, RDI, RSI } from '../registers.ts';
import { subtraction } from './arithmetic.ts';

/** A register at the address size, as an i64. */
function pointer(c: Emitter, n: number): Expression {
  const { addressSize } = c.shape;
  return addressSize === 8 ? c.gpr(n, 8) : extendU(c.gpr(n, addressSize));
}
function setPointer(c: Emitter, n: number, value: Expression): void {
  const { addressSize } = c.shape;
  c.setGpr(n, addressSize === 8 ? value : c.truncated(wrap(value), addressSize), addressSize);
}
/** +size or −size, by DF. */
function stride(c: Emitter): Local {
  return c.f.let(select(and(c.otherFlags(), i32(FLAG_DF)), i64(-c.size), i64(c.size)));
}
function advance(c: Emitter, n: number, by: Expression): void {
  setPointer(c, n, add(pointer(c, n), by));
}
const sourceAddress = (c: Emitter): Expression => c.segmented('source', pointer(c, RSI));
const targetAddress = (c: Emitter): Expression => c.segmented('es', pointer(c, RDI));

interface StringOperation {
  /** One iteration, its pointers advanced. */
  once(c: Emitter, step: Local): void;
  /** Sets flags that decide whether REPE / REPNE goes on. */
  readonly compares: boolean;
  readonly stores: boolean;
  /** Moves up to `most` (i32) elements at once; leaves how many it did, 0 for none, in `moved`. */
  bulk?(c: Emitter, most: Local, moved: Local): void;
}

function repeatable(operation: StringOperation): Semantics {
  return (c) => {
    const { f } = c;
    const step = stride(c);
    if (c.shape.repeat === 0) {
      operation.once(c, step);
      return;
    }
    const count = f.let(pointer(c, RCX));
    const budget = f.let(c.budgetLeft());
    const done = f.local(I32);
    const finished = f.local(I32);
    f.set(done, i32(0));
    f.set(finished, i32(0));
    f.block((end) => {
      f.loop((again) => {
        f.brIf(end, or(eqz(count), geU(done, budget)));
        c.setState32(CPU_EXTRA_RETIRED, done);
        const { bulk } = operation;
        if (bulk !== undefined && !c.checked) {
          const left = f.let(sub(budget, done));
          const most = f.let(select(ltU(count, extendU(left)), wrap(count), left));
          const moved = f.local(I32);
          f.set(moved, i32(0));
          // What a breakpoint may watch is accessed element by element.
          const watched = and(c.state32(CPU_DR + 7 * 8), i32(DR7_ENABLED));
          f.if(and(and(gtU(most, i32(3)), geS(step, i64(0))), eqz(watched)), () => bulk(c, most, moved));
          f.if(nez(moved), () => {
            f.set(count, sub(count, extendU(moved)));
            setPointer(c, RCX, count);
            f.set(done, add(done, moved));
            f.br(again);
          });
        }
        operation.once(c, step);
        f.set(count, sub(count, i64(1)));
        setPointer(c, RCX, count);
        f.set(done, add(done, i32(1)));
        // The instruction itself may be another one now.
        if (operation.stores) f.brIf(end, c.state32(CPU_CODE_CHANGED));
        if (operation.compares) {
          const goesOn = c.shape.repeat === 0xf3 ? c.zeroFlag() : eqz(c.zeroFlag());
          f.if(eqz(goesOn), () => {
            f.set(finished, i32(1));
            f.br(end);
          });
        }
        f.br(again);
      });
    });
    const extra = f.let(select(done, sub(done, i32(1)), i32(0)));
    c.repeated(extra, f.let(and(eqz(finished), ne(count, i64(0)))));
  };
}

/** Elements of `size` bytes that lie wholly between a host address and the end of its page. */
function elementsInPage(c: Emitter, host: Expression): Expression {
  return shrU(sub(i32(4096), and(host, i32(4095))), i32(Math.log2(c.size)));
}
/** Elements of `bytes` at a host address that may be stored at once: not those in lines that hold decoded code. */
function withoutCode(c: Emitter, host: Expression, elements: Local): Local {
  const shift = i32(Math.log2(c.size));
  return c.f.let(shrU(callSupport(c.support, 'bytesBeforeCode', host, shl(elements, shift)), shift));
}
function least(f: Emitter['f'], a: Local, b: Expression): Local {
  const other = f.let(b);
  return f.let(select(ltU(other, a), other, a));
}

const move: StringOperation = {
  compares: false,
  stores: true,
  once(c, step) {
    const value = c.loadLinear(sourceAddress(c), c.size);
    c.storeLinear(targetAddress(c), value, c.size);
    advance(c, RSI, step);
    advance(c, RDI, step);
  },
  bulk(c, most, moved) {
    const { f } = c;
    const from = c.translate(sourceAddress(c), 1, false);
    const whole = least(f, most, elementsInPage(c, from));
    // An element that lies in two pages is read from both before anything is written.
    f.if(whole, () => {
      const to = c.translate(targetAddress(c), 1, true);
      const elements = withoutCode(c, to, least(f, whole, elementsInPage(c, to)));
      const bytes = f.let(shl(elements, i32(Math.log2(c.size))));
      // An overlap that runs forward repeats a pattern: element by element then.
      const apart = geU(sub(to, from), bytes);
      f.if(and(apart, nez(elements)), () => {
        f.memoryCopy(to, from, bytes);
        advance(c, RSI, extendU(bytes));
        advance(c, RDI, extendU(bytes));
        f.set(moved, elements);
      });
    });
  },
};

const store: StringOperation = {
  compares: false,
  stores: true,
  once(c, step) {
    c.storeLinear(targetAddress(c), c.gpr(RAX), c.size);
    advance(c, RDI, step);
  },
  bulk(c, most, moved) {
    const { f } = c;
    const to = c.translate(targetAddress(c), 1, true);
    const elements = withoutCode(c, to, least(f, most, elementsInPage(c, to)));
    const bytes = f.let(shl(elements, i32(Math.log2(c.size))));
    // memory.fill repeats one byte: fine if all bytes of the element are alike.
    const value = f.let(c.gpr(RAX));
    const low = c.size === 8 ? f.let(and(wrap(value), i32(255))) : f.let(and(value, i32(255)));
    const spread =
      c.size === 8
        ? mul(extendU(low), i64Halves(0x01010101, 0x01010101))
        : mul(low, i32(c.size === 1 ? 1 : c.size === 2 ? 0x101 : 0x1010101));
    const alike = eqz(ne(value, spread));
    f.if(and(alike, nez(elements)), () => {
      f.memoryFill(to, low, bytes);
      advance(c, RDI, extendU(bytes));
      f.set(moved, elements);
    });
  },
};

const load: StringOperation = {
  compares: false,
  stores: false,
  once(c, step) {
    c.setGpr(RAX, c.loadLinear(sourceAddress(c), c.size));
    advance(c, RSI, step);
  },
};

const scan: StringOperation = {
  compares: true,
  stores: false,
  once(c, step) {
    const value = c.loadLinear(targetAddress(c), c.size);
    subtraction.compute(c, c.f.let(c.gpr(RAX)), value).flags();
    advance(c, RDI, step);
  },
};

const compare: StringOperation = {
  compares: true,
  stores: false,
  once(c, step) {
    // Where both fault, processors report the one at rDI.
    const second = c.loadLinear(targetAddress(c), c.size);
    const first = c.loadLinear(sourceAddress(c), c.size);
    subtraction.compute(c, first, second).flags();
    advance(c, RSI, step);
    advance(c, RDI, step);
  },
};

export function defineString(set: InstructionSet): void {
  for (const [name, opcode, operation] of [
    ['MOVS', 0xa4, move],
    ['CMPS', 0xa6, compare],
    ['STOS', 0xaa, store],
    ['LODS', 0xac, load],
    ['SCAS', 0xae, scan],
  ] as const) {
    const semantics = repeatable(operation);
    const common = { addressed: true, modal: true, repeatable: true, budget: true };
    const hex = (n: number): string => n.toString(16).toUpperCase();
    set.define(`${name}B`, hex(opcode), '', semantics, { ...common, size: 1 });
    set.define(name, hex(opcode + 1), '', semantics, { ...common, sizes: [2, 4, 8] });
  }
}
