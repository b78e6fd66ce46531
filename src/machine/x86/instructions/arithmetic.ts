/**
 * Integer arithmetic and logic: the eight classic operations, INC, DEC, NEG, NOT, TEST, CMPXCHG, XADD, MUL, DIV and the
 * decimal adjustments. Flags follow the Intel SDM volume 2; those it leaves undefined are what the code says.
 */
import {
  add,
  and,
  constant,
  divS,
  divU,
  type Expression,
  eq,
  eqz,
  extend32S,
  extendS,
  extendU,
  gtU,
  i32,
  i64,
  i64Halves,
  ltS,
  mul,
  ne,
  or,
  remU,
  select,
  shl,
  shrS,
  shrU,
  sub,
  wrap,
  xor,
} from '../../../wasm/expression.ts';
import type { Local } from '../../../wasm/function.ts';
import { CPU_WIDE } from '../../layout.ts';
import type { InstructionSet } from '../definition.ts';
import { addCarries, callSupport, type Emitter, loadHost, type Semantics, subBorrows } from '../emitter.ts';
import { RAX, RBX, RCX, RDX, VECTOR_DE, VECTOR_UD } from '../registers.ts';

/** One of the eight operations of opcodes 00–3F: computes the result and sets the flags. */
interface Operation {
  /** The result, and what commits the flags once nothing can fault. */
  compute(c: Emitter, a: Local, b: Local): { result: Local; flags: () => void };
}

const addition: Operation = {
  compute(c, a, b) {
    const result = c.f.let(c.truncated(add(a, b)));
    return { result, flags: () => c.setAdditionFlags(a, b, result) };
  },
};
const subtraction: Operation = {
  compute(c, a, b) {
    const result = c.f.let(c.truncated(sub(a, b)));
    return { result, flags: () => c.setSubtractionFlags(a, b, result) };
  },
};
function carryIn(c: Emitter): Expression {
  return c.size === 8 ? extendU(c.carryFlag()) : c.carryFlag();
}
const additionWithCarry: Operation = {
  compute(c, a, b) {
    const result = c.f.let(c.truncated(add(add(a, b), carryIn(c))));
    return { result, flags: () => c.setFlags(result, addCarries(a, b, result)) };
  },
};
const subtractionWithBorrow: Operation = {
  compute(c, a, b) {
    const result = c.f.let(c.truncated(sub(sub(a, b), carryIn(c))));
    return { result, flags: () => c.setFlags(result, subBorrows(a, b, result)) };
  },
};
function logic(operation: (a: Expression, b: Expression) => Expression): Operation {
  return {
    compute(c, a, b) {
      const result = c.f.let(operation(a, b));
      return { result, flags: () => c.setLogicFlags(result) };
    },
  };
}

/** E ← E op b. */
function intoRm(operation: Operation, source: (c: Emitter) => Expression): Semantics {
  return (c) => {
    const b = c.f.let(source(c));
    let flags = (): void => {};
    c.update(
      (a) => {
        const computed = operation.compute(c, a, b);
        flags = computed.flags;
        return computed.result;
      },
      () => flags(),
    );
  };
}
/** G ← G op E. */
function intoReg(operation: Operation): Semantics {
  return (c) => {
    const b = c.load();
    const { result, flags } = operation.compute(c, c.f.let(c.reg()), b);
    c.setReg(result);
    flags();
  };
}
/** rAX ← rAX op immediate. */
function intoAccumulator(operation: Operation): Semantics {
  return (c) => {
    const { result, flags } = operation.compute(c, c.f.let(c.gpr(RAX)), c.f.let(c.immediate()));
    c.setGpr(RAX, result);
    flags();
  };
}
/** CMP and TEST: flags only. */
function compareWith(
  operation: Operation,
  first: (c: Emitter) => Expression,
  second: (c: Emitter) => Expression,
): Semantics {
  return (c) => {
    const a = c.f.let(first(c));
    const b = c.f.let(second(c));
    operation.compute(c, a, b).flags();
  };
}

const rmOperand = (c: Emitter): Expression => c.load();
const regOperand = (c: Emitter): Expression => c.reg();
const immediateOperand = (c: Emitter): Expression => c.immediate();
const accumulator = (c: Emitter): Expression => c.gpr(RAX);

/** Adds one or subtracts one; CF stays. */
function step(operation: Operation): Semantics {
  return (c) => {
    const one = constant(c.type, 1);
    const carry = c.f.let(c.carryFlag());
    let commit = (): void => {};
    c.update(
      (a) => {
        const subtracts = operation === subtraction;
        const result = c.f.let(c.truncated(subtracts ? sub(a, one) : add(a, one)));
        commit = () => c.setStepFlags(a, result, carry, subtracts);
        return result;
      },
      () => commit(),
    );
  };
}

const negate: Semantics = (c) => {
  let commit = (): void => {};
  c.update(
    (a) => {
      const zero = constant(c.type, 0);
      const result = c.f.let(c.truncated(sub(zero, a)));
      commit = () => c.setSubtractionFlags(zero, a, result);
      return result;
    },
    () => commit(),
  );
};

const invert: Semantics = (c) => {
  c.update((a) => c.truncated(xor(a, constant(c.type, -1))));
};

/** CMPXCHG: the destination is written either way; rAX only when the comparison fails. */
const compareExchange: Semantics = (c) => {
  const { f } = c;
  const expected = f.let(c.gpr(RAX));
  const source = f.let(c.reg());
  if (c.shape.memory) {
    const host = c.translate(c.effectiveAddress(), c.size, true);
    const old = f.let(loadHost(host, c.size));
    const result = f.let(c.truncated(sub(expected, old)));
    c.storeHost(host, select(eq(expected, old), source, old), c.size);
    c.stored(host);
    f.if(ne(expected, old), () => c.setGpr(RAX, old));
    c.setSubtractionFlags(expected, old, result);
    return;
  }
  const old = f.let(c.rm());
  const result = f.let(c.truncated(sub(expected, old)));
  c.setSubtractionFlags(expected, old, result);
  f.if(
    eq(expected, old),
    () => c.setRm(source),
    () => c.setGpr(RAX, old),
  );
};

/** CMPXCHG8B and CMPXCHG16B: ZF alone changes. */
function compareExchangePair(half: 4 | 8): Semantics {
  return (c) => {
    const { f } = c;
    const address = c.bind(c.effectiveAddress());
    if (half === 8) c.raiseIf(ne(and(wrap(address), i32(15)), i32(0)), 13);
    const host = c.translate(address, half * 2, true);
    const low = f.let(loadHost(host, half));
    const high = f.let(loadHost(add(host, i32(half)), half));
    const equal = f.let(and(eq(low, c.gpr(RAX, half)), eq(high, c.gpr(RDX, half))));
    const flags = f.let(c.arithmeticFlags());
    c.storeHost(host, select(equal, c.gpr(RBX, half), low), half);
    c.storeHost(add(host, i32(half)), select(equal, c.gpr(RCX, half), high), half);
    c.stored(host);
    f.if(eqz(equal), () => {
      c.setGpr(RAX, low, half);
      c.setGpr(RDX, high, half);
    });
    c.setArithmeticFlags(or(and(flags, i32(~0x40)), shl(equal, i32(6))));
  };
}

const exchangeAdd: Semantics = (c) => {
  const b = c.f.let(c.reg());
  let commit = (): void => {};
  c.update(
    (a) => {
      const { result, flags } = addition.compute(c, a, b);
      commit = () => {
        // Written after the destination; but where both are the same register, the sum stays.
        if (c.shape.memory) c.setReg(a);
        flags();
      };
      if (!c.shape.memory) c.setReg(a);
      return result;
    },
    () => commit(),
  );
};

const test: Operation = logic(and);

// ------------------------------------------------------------------ multiplication and division

/** High half of the unsigned (or signed) product of two i64, from the products of their halves. */
function highProduct(c: Emitter, a: Local, b: Local, signed: boolean): Expression {
  const { f } = c;
  const half = i64(0xffffffff);
  const upper = (v: Expression): Expression => (signed ? shrS(v, i64(32)) : shrU(v, i64(32)));
  const aLow = f.let(and(a, half));
  const aHigh = f.let(upper(a));
  const bLow = f.let(and(b, half));
  const bHigh = f.let(upper(b));
  const middle = f.let(add(mul(aHigh, bLow), shrU(mul(aLow, bLow), i64(32))));
  const other = f.let(add(mul(aLow, bHigh), and(middle, half)));
  return add(mul(aHigh, bHigh), add(upper(middle), upper(other)));
}

/** MUL and IMUL with one operand: CF = OF = the high half is significant. SF ZF PF follow the low half. */
function multiplyAccumulator(signed: boolean): Semantics {
  return (c) => {
    const { f, size } = c;
    const b = c.load();
    const a = f.let(c.gpr(RAX));
    let low: Local;
    let significant: Expression;
    if (size === 8) {
      low = f.let(mul(a, b));
      const high = f.let(highProduct(c, a, b, signed));
      c.setGpr(RAX, low);
      c.setGpr(RDX, high);
      significant = signed ? ne(high, shrS(low, i64(63))) : ne(high, i64(0));
    } else {
      const wide = (v: Expression): Expression => (signed ? c.signExtended(v) : extendU(v));
      const product = f.let(mul(wide(a), wide(b)));
      if (size === 1) {
        c.setGpr(RAX, wrap(product), 2);
      } else {
        c.setGpr(RAX, wrap(product));
        c.setGpr(RDX, wrap(shrU(product, i64(size * 8))));
      }
      low = f.let(c.truncated(wrap(product)));
      significant = ne(product, wide(low));
    }
    setProductFlags(c, low, significant);
  };
}

function setProductFlags(c: Emitter, low: Expression, significant: Expression): void {
  const top = c.top();
  // CF = OF: a carry out of the top bit and none below it.
  c.setFlagWords(c.signExtended(low), shl(extendU(significant), i64(top)), i32(top));
}

/** IMUL with two or three operands. */
function multiplyInto(second: (c: Emitter) => Expression): Semantics {
  return (c) => {
    const { f, size } = c;
    const a = c.load();
    const b = f.let(second(c));
    if (size === 8) {
      const low = f.let(mul(a, b));
      const high = f.let(highProduct(c, a, b, true));
      c.setReg(low);
      setProductFlags(c, low, ne(high, shrS(low, i64(63))));
      return;
    }
    const product = f.let(mul(c.signExtended(a), c.signExtended(b)));
    const low = f.let(c.truncated(wrap(product)));
    c.setReg(low);
    setProductFlags(c, low, ne(product, c.signExtended(low)));
  };
}

/** DIV and IDIV: #DE on a zero divisor or a quotient that does not fit. Flags stay as they were. */
function divide(signed: boolean): Semantics {
  return (c) => {
    const { f, size } = c;
    const divisor = c.load();
    if (size === 8) {
      c.raiseIf(eqz(divisor), VECTOR_DE);
      const name = signed ? 'divideSigned' : 'divideUnsigned';
      // The remainder comes back in CPU_WIDE, the quotient at +8; 0 means that the quotient does not fit.
      const fits = callSupport(c.support, name, c.gpr(RDX), c.gpr(RAX), divisor);
      c.raiseIf(eqz(fits), VECTOR_DE);
      c.setGpr(RDX, c.state64(CPU_WIDE));
      c.setGpr(RAX, c.state64(CPU_WIDE + 8));
      return;
    }
    const wide = (v: Expression): Expression => (signed ? c.signExtended(v) : extendU(v));
    const by = f.let(wide(divisor));
    c.raiseIf(eqz(by), VECTOR_DE);
    let dividend: Local;
    if (size === 1)
      dividend = f.let(signed ? extendS(shrS(shl(c.gpr(RAX, 2), i32(16)), i32(16))) : extendU(c.gpr(RAX, 2)));
    else {
      const joined = f.let(or(shl(extendU(c.gpr(RDX)), i64(size * 8)), extendU(c.gpr(RAX))));
      dividend = size === 2 && signed ? f.let(extend32S(joined)) : joined;
    }
    if (signed) {
      // The one overflow that wasm itself would trap on.
      c.raiseIf(and(eq(dividend, i64Halves(0, 0x80000000 | 0)), eq(by, i64(-1))), VECTOR_DE);
      const quotient = f.let(divS(dividend, by));
      c.raiseIf(ne(quotient, c.signExtended(c.truncated(wrap(quotient)))), VECTOR_DE);
      const remainder = f.let(sub(dividend, mul(quotient, by)));
      commitDivision(c, quotient, remainder);
    } else {
      const quotient = f.let(divU(dividend, by));
      const limit = size === 4 ? i64(0xffffffff) : i64(size === 1 ? 0xff : 0xffff);
      c.raiseIf(gtU(quotient, limit), VECTOR_DE);
      commitDivision(c, quotient, f.let(remU(dividend, by)));
    }
  };
}
function commitDivision(c: Emitter, quotient: Expression, remainder: Expression): void {
  if (c.size === 1) {
    c.setGpr(RAX, or(and(wrap(quotient), i32(0xff)), shl(wrap(remainder), i32(8))), 2);
  } else {
    c.setGpr(RAX, wrap(quotient));
    c.setGpr(RDX, wrap(remainder));
  }
}

// ------------------------------------------------------------------ decimal adjustment (not in 64-bit mode)

function decimalAdjust(subtract: boolean): Semantics {
  return (c) => {
    const { f } = c;
    const al = f.let(c.gpr(RAX, 1));
    const carry = f.let(c.carryFlag());
    const low = f.let(or(gtU(and(al, i32(15)), i32(9)), c.adjustFlag()));
    const high = f.let(or(gtU(al, i32(0x99)), carry));
    const change = f.let(add(mul(low, i32(6)), mul(high, i32(0x60))));
    const result = f.let(and(subtract ? sub(al, change) : add(al, change), i32(0xff)));
    const borrow = subtract
      ? or(high, and(low, ltS(sub(al, i32(6)), i32(0))))
      : or(high, and(low, gtU(add(al, i32(6)), i32(0xff))));
    const cf = f.let(borrow);
    c.setGpr(RAX, result, 1);
    c.setFlagWords(c.signExtended(result, 1), extendU(or(mul(cf, i32(0xc0)), shl(low, i32(3)))), i32(7));
  };
}

function asciiAdjust(subtract: boolean): Semantics {
  return (c) => {
    const { f } = c;
    const ax = f.let(c.gpr(RAX, 2));
    const adjust = f.let(or(gtU(and(ax, i32(15)), i32(9)), c.adjustFlag()));
    const change = mul(adjust, i32(0x106));
    const result = f.let(and(subtract ? sub(ax, change) : add(ax, change), i32(0xff0f)));
    c.setGpr(RAX, result, 2);
    c.setFlagWords(c.signExtended(and(result, i32(0xff)), 1), extendU(mul(adjust, i32(0xc8))), i32(7));
  };
}

const asciiAdjustMultiply: Semantics = (c) => {
  const { f } = c;
  const base = f.let(c.immediate(1));
  c.raiseIf(eqz(base), VECTOR_DE);
  const al = f.let(c.gpr(RAX, 1));
  const low = f.let(remU(al, base));
  c.setGpr(RAX, or(shl(divU(al, base), i32(8)), low), 2);
  c.setLogicFlags(low, 1);
};

const asciiAdjustDivide: Semantics = (c) => {
  const { f } = c;
  const ax = f.let(c.gpr(RAX, 2));
  const low = f.let(and(add(and(ax, i32(0xff)), mul(shrU(ax, i32(8)), c.immediate(1))), i32(0xff)));
  c.setGpr(RAX, low, 2);
  c.setLogicFlags(low, 1);
};

/** BOUND: #BR if the index lies outside the pair of bounds in memory. */
const bound: Semantics = (c) => {
  const { size } = c;
  const address = c.bind(c.effectiveAddress());
  const lower = c.loadLinear(address, size);
  const upper = c.loadLinear(c.displaced(address, i64(size)), size);
  const index = c.f.let(c.signExtended(c.reg()));
  const outside = or(ltS(index, c.signExtended(lower)), ltS(c.signExtended(upper), index));
  c.raiseIf(outside, 5);
};

const undefinedInstruction: Semantics = (c) => c.raise(VECTOR_UD);

export function defineArithmetic(set: InstructionSet): void {
  const classic: [string, Operation][] = [
    ['ADD', addition],
    ['OR', logic(or)],
    ['ADC', additionWithCarry],
    ['SBB', subtractionWithBorrow],
    ['AND', logic(and)],
    ['SUB', subtraction],
    ['XOR', logic(xor)],
    ['CMP', subtraction],
  ];
  const warm = { hot: [4, 8] };
  const hex = (n: number): string => n.toString(16).toUpperCase().padStart(2, '0');
  for (const [n, [name, operation]] of classic.entries()) {
    const base = n * 8;
    const compare = name === 'CMP';

    const lock = compare ? {} : { lock: true };
    const toRm = (source: (c: Emitter) => Expression): Semantics =>
      compare ? compareWith(operation, rmOperand, source) : intoRm(operation, source);
    const byteHot = { hot: [1] };
    set.define(name, hex(base), 'Eb Gb', toRm(regOperand), { ...lock, ...byteHot });
    set.define(name, hex(base + 1), 'Ev Gv', toRm(regOperand), { ...lock, ...warm });
    const fromRm = compare ? compareWith(operation, regOperand, rmOperand) : intoReg(operation);
    set.define(name, hex(base + 2), 'Gb Eb', fromRm, byteHot);
    set.define(name, hex(base + 3), 'Gv Ev', fromRm, warm);
    const accumulate = compare
      ? compareWith(operation, accumulator, immediateOperand)
      : intoAccumulator(operation);
    set.define(name, hex(base + 4), 'Ib', accumulate, { size: 1, ...byteHot });
    set.define(name, hex(base + 5), 'Iz', accumulate, warm);
    set.define(name, `80 /${n}`, 'Eb Ib', toRm(immediateOperand), { ...lock, ...byteHot });
    set.define(name, `82 /${n}`, 'Eb Ib', toRm(immediateOperand), { ...lock, mode: 'legacy' });
    set.define(name, `81 /${n}`, 'Ev Iz', toRm(immediateOperand), { ...lock, ...warm });
    set.define(name, `83 /${n}`, 'Ev Is', toRm(immediateOperand), { ...lock, ...warm });
  }

  set.define('TEST', '84', 'Eb Gb', compareWith(test, rmOperand, regOperand), { hot: [1] });
  set.define('TEST', '85', 'Ev Gv', compareWith(test, rmOperand, regOperand), warm);
  set.define('TEST', 'A8', 'Ib', compareWith(test, accumulator, immediateOperand), { size: 1, hot: [1] });
  set.define('TEST', 'A9', 'Iz', compareWith(test, accumulator, immediateOperand));
  for (const digit of [0, 1]) {
    set.define('TEST', `F6 /${digit}`, 'Eb Ib', compareWith(test, rmOperand, immediateOperand), { hot: [1] });
    set.define('TEST', `F7 /${digit}`, 'Ev Iz', compareWith(test, rmOperand, immediateOperand), { hot: [4] });
  }
  set.define('NOT', 'F6 /2', 'Eb', invert, { lock: true });
  set.define('NOT', 'F7 /2', 'Ev', invert, { lock: true, ...warm });
  set.define('NEG', 'F6 /3', 'Eb', negate, { lock: true });
  set.define('NEG', 'F7 /3', 'Ev', negate, { lock: true, ...warm });
  for (const [digit, name, semantics] of [
    [4, 'MUL', multiplyAccumulator(false)],
    [5, 'IMUL', multiplyAccumulator(true)],
    [6, 'DIV', divide(false)],
    [7, 'IDIV', divide(true)],
  ] as const) {
    set.define(name, `F6 /${digit}`, 'Eb', semantics);
    set.define(name, `F7 /${digit}`, 'Ev', semantics);
  }
  set.define('IMUL', '0F AF', 'Gv Ev', multiplyInto(regOperand), warm);
  set.define('IMUL', '69', 'Gv Ev Iz', multiplyInto(immediateOperand), warm);
  set.define('IMUL', '6B', 'Gv Ev Is', multiplyInto(immediateOperand), warm);

  set.define('INC', 'FE /0', 'Eb', step(addition), { lock: true, keepsFlags: true });
  set.define('INC', 'FF /0', 'Ev', step(addition), { lock: true, keepsFlags: true, ...warm });
  set.define('DEC', 'FE /1', 'Eb', step(subtraction), { lock: true, keepsFlags: true });
  set.define('DEC', 'FF /1', 'Ev', step(subtraction), { lock: true, keepsFlags: true, ...warm });
  set.define('INC', '40+r', 'Zv', stepRegister(addition), { mode: 'legacy', sizes: [2, 4] });
  set.define('DEC', '48+r', 'Zv', stepRegister(subtraction), { mode: 'legacy', sizes: [2, 4] });

  set.define('CMPXCHG', '0F B0', 'Eb Gb', compareExchange, { lock: true });
  set.define('CMPXCHG', '0F B1', 'Ev Gv', compareExchange, { lock: true, ...warm });
  set.define('CMPXCHG8B', '0F C7 /1', 'Mq', compareExchangePair(4), { lock: true, sizes: [2, 4] });
  set.define('CMPXCHG16B', '0F C7 /1', 'Mo', compareExchangePair(8), { lock: true, sizes: [8] });
  set.define('XADD', '0F C0', 'Eb Gb', exchangeAdd, { lock: true });
  set.define('XADD', '0F C1', 'Ev Gv', exchangeAdd, { lock: true });

  set.define('DAA', '27', '', decimalAdjust(false), { mode: 'legacy' });
  set.define('DAS', '2F', '', decimalAdjust(true), { mode: 'legacy' });
  set.define('AAA', '37', '', asciiAdjust(false), { mode: 'legacy' });
  set.define('AAS', '3F', '', asciiAdjust(true), { mode: 'legacy' });
  set.define('AAM', 'D4', 'Ib', asciiAdjustMultiply, { mode: 'legacy' });
  set.define('AAD', 'D5', 'Ib', asciiAdjustDivide, { mode: 'legacy' });
  set.define('BOUND', '62', 'Gv Ma', bound, { mode: 'legacy', sizes: [2, 4] });

  for (const encoding of ['0F 0B', '0F B9', '0F FF']) {
    set.define(
      encoding === '0F 0B' ? 'UD2' : encoding === '0F B9' ? 'UD1' : 'UD0',
      encoding,
      encoding === '0F 0B' ? '' : 'Gv Ev',
      undefinedInstruction,
      { size: 4 },
    );
  }
}

/** INC and DEC of the opcode's register (the single-byte forms that became REX prefixes). */
function stepRegister(operation: Operation): Semantics {
  return step(operation);
}

export { addition, subtraction };
