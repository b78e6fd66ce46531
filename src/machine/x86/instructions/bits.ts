/** Shifts, rotates, double shifts, bit tests and bit scans. */
import {
  and,
  clz,
  constant,
  ctz,
  type Expression,
  eqz,
  extendU,
  I64,
  i32,
  i64,
  ne,
  nez,
  or,
  popcnt,
  remU,
  rotl,
  select,
  shl,
  shrS,
  shrU,
  sub,
  wrap,
  xor,
} from '../../../wasm/expression.ts';
import type { Local } from '../../../wasm/function.ts';
import type { InstructionSet } from '../definition.ts';
import { type Emitter, loadHost, type Semantics } from '../emitter.ts';
import { FLAG_ZF, RCX } from '../registers.ts';

/** The count of a shift: masked to 5 bits, or 6 for 64-bit operands; an i32. */
type Count = (c: Emitter) => Expression;
const byOne: Count = () => i32(1);
const byCl: Count = (c) => and(c.gpr(RCX, 1), i32(c.size === 8 ? 63 : 31));
const byImmediate: Count = (c) => and(c.immediate(1), i32(c.size === 8 ? 63 : 31));

/** Values are computed in i64 for every size: no count of a narrow operand then overflows the type. */
interface Shift {
  /** New value (i64, untruncated above the size), last bit shifted out (i64, bit 0), OF for a count of one (i64, bit 0). */
  compute(
    c: Emitter,
    a: Local,
    count: Local,
  ): { result: Expression; carry: Expression; overflow: Expression };
  /** Rotates leave SF, ZF, AF and PF alone. */
  readonly rotate: boolean;
}

function topBit(c: Emitter, value: Expression): Expression {
  return and(shrU(value, i64(c.top())), i64(1));
}
function truncate64(c: Emitter, value: Expression): Expression {
  if (c.size === 8) return value;
  return and(value, i64(c.size === 4 ? 0xffffffff : c.size === 2 ? 0xffff : 0xff));
}

const shiftLeft: Shift = {
  rotate: false,
  compute(c, a, count) {
    const { f } = c;
    // The bit that leaves last is the one at (size − count); in the i64 it is still there for narrow operands.
    const result = f.let(shl(a, count));
    const carry =
      c.size === 8 ? and(shrU(a, sub(i64(64), count)), i64(1)) : and(shrU(result, i64(c.size * 8)), i64(1));
    const bound = f.let(carry);
    return { result, carry: bound, overflow: xor(topBit(c, result), bound) };
  },
};
const shiftRight: Shift = {
  rotate: false,
  compute(c, a, count) {
    const carry = c.f.let(and(shrU(a, sub(count, i64(1))), i64(1)));
    return { result: shrU(a, count), carry, overflow: topBit(c, a) };
  },
};
const shiftArithmetic: Shift = {
  rotate: false,
  compute(c, a, count) {
    const { f } = c;
    const wide = f.let(c.size === 8 ? a : c.signExtended(wrap(a)));
    const carry = f.let(and(shrS(wide, sub(count, i64(1))), i64(1)));
    return { result: shrS(wide, count), carry, overflow: i64(0) };
  },
};

function rotateLeft64(c: Emitter, a: Local, count: Expression): Expression {
  const bits = c.size * 8;
  if (bits === 64) return rotl(a, count);
  const n = c.f.let(bits === 32 ? and(count, i64(31)) : and(count, i64(bits - 1)));
  return truncate64(c, or(shl(a, n), shrU(a, sub(i64(bits), n))));
}
const rotateLeft: Shift = {
  rotate: true,
  compute(c, a, count) {
    const result = c.f.let(rotateLeft64(c, a, count));
    const carry = c.f.let(and(result, i64(1)));
    return { result, carry, overflow: xor(topBit(c, result), carry) };
  },
};
const rotateRight: Shift = {
  rotate: true,
  compute(c, a, count) {
    const bits = c.size * 8;
    const left = c.f.let(and(sub(i64(bits), and(count, i64(bits - 1))), i64(bits - 1)));
    const result = c.f.let(rotateLeft64(c, a, left));
    const carry = c.f.let(topBit(c, result));
    return { result, carry, overflow: xor(carry, and(shrU(result, i64(c.top() - 1)), i64(1))) };
  },
};

/** RCL and RCR rotate size + 1 bits, the carry flag being the extra one. */
function rotateThroughCarry(right: boolean): Shift {
  return {
    rotate: true,
    compute(c, a, count) {
      const { f } = c;
      const bits = c.size * 8;
      const oldCarry = f.let(extendU(c.carryFlag()));
      const n = f.let(bits >= 32 ? count : remU(count, i64(bits + 1)));
      const result = f.local(I64);
      const carry = f.local(I64);
      f.if(
        eqz(n),
        () => {
          f.set(result, a);
          f.set(carry, oldCarry);
        },
        () => {
          // `away` bits leave at one end; the rest come back at the other, behind the old carry.
          const back = f.let(sub(i64(bits), n));
          // a shift by 64 would be a shift by 0: split it in two
          if (right) {
            f.set(carry, and(shrU(a, sub(n, i64(1))), i64(1)));
            const low = shrU(shrU(a, sub(n, i64(1))), i64(1));
            const high = shl(shl(a, back), i64(1));
            f.set(result, truncate64(c, or(low, or(shl(oldCarry, back), high))));
          } else {
            f.set(carry, and(shrU(a, back), i64(1)));
            const high = shl(shl(a, sub(n, i64(1))), i64(1));
            const low = shrU(shrU(a, back), i64(1));
            f.set(result, truncate64(c, or(high, or(shl(oldCarry, sub(n, i64(1))), low))));
          }
        },
      );
      const overflow = right
        ? xor(topBit(c, result), and(shrU(result, i64(c.top() - 1)), i64(1)))
        : xor(topBit(c, result), carry);
      return { result, carry, overflow };
    },
  };
}

/** The carry vector that encodes CF and OF alone. */
function carryVector(c: Emitter, carry: Expression, overflow: Expression): Expression {
  const top = c.top();
  return or(shl(carry, i64(top)), shl(xor(carry, overflow), i64(top - 1)));
}

function shiftBy(shift: Shift, counted: Count): Semantics {
  return (c) => {
    const { f } = c;
    const count = f.let(counted(c));
    const commit = (old: Local): { value: Expression; flags: () => void } => {
      const wide = f.let(c.widened(old));
      const { result, carry, overflow } = shift.compute(c, wide, f.let(extendU(count)));
      const bound = f.let(truncate64(c, result));
      const vector = f.let(carryVector(c, carry, overflow));
      const value = c.size === 8 ? bound : wrap(bound);
      return {
        value,
        flags: () => {
          if (shift.rotate) setCarryAndOverflow(c, vector);
          else c.setFlagWords(c.size === 8 ? bound : c.signExtended(wrap(bound)), vector, i32(c.top()));
        },
      };
    };
    if (counted === byOne) {
      let flags = (): void => {};
      c.update(
        (old) => {
          const done = commit(old);
          flags = done.flags;
          return done.value;
        },
        () => flags(),
      );
      return;
    }
    // A count of zero leaves the flags alone, but writes the destination (a 32-bit register is still zero-extended).
    if (c.shape.memory) {
      const host = c.translate(c.effectiveAddress(), c.size, true);
      const old = f.let(loadHost(host, c.size));
      f.if(
        nez(count),
        () => {
          const { value, flags } = commit(old);
          c.storeHost(host, value, c.size);
          c.stored(host);
          flags();
        },
        () => {
          c.storeHost(host, old, c.size);
          c.stored(host);
        },
      );
    } else {
      const old = f.let(c.rm());
      f.if(
        nez(count),
        () => {
          const { value, flags } = commit(old);
          c.setRm(value);
          flags();
        },
        () => c.setRm(old),
      );
    }
  };
}

/** Replaces CF and OF, keeping SF, ZF, AF and PF: the other words are re-expressed for the new top bit. */
function setCarryAndOverflow(c: Emitter, vector: Expression): void {
  const { f } = c;
  const adjust = f.let(extendU(shl(c.adjustFlag(), i32(3))));
  const invert = and(c.flagMeta(), i32(0x300));
  const meta = f.let(or(invert, i32(c.top())));
  c.setFlagWords(c.flagResult(), or(and(vector, i64(-9)), adjust), meta);
}

// ------------------------------------------------------------------ SHLD and SHRD

function doubleShift(right: boolean, counted: Count): Semantics {
  return (c) => {
    const { f, size } = c;
    const bits = size * 8;
    const count = f.let(extendU(counted(c)));
    const source = f.let(c.widened(c.reg()));
    const work = (old: Local): { value: Expression; flags: () => void } => {
      const a = f.let(c.widened(old));
      let result: Local;
      let carry: Local;
      if (size === 2) {
        // 16-bit operands with counts above 16 (undefined by the manual): the pattern repeats as processors do it.
        const joined = right
          ? or(or(a, shl(source, i64(16))), shl(a, i64(32)))
          : or(or(shl(a, i64(32)), shl(source, i64(16))), a);
        const wide = f.let(joined);
        if (right) {
          result = f.let(truncate64(c, shrU(wide, count)));
          carry = f.let(and(shrU(wide, sub(count, i64(1))), i64(1)));
        } else {
          result = f.let(truncate64(c, shrU(shl(wide, count), i64(32))));
          carry = f.let(and(shrU(wide, sub(i64(48), count)), i64(1)));
        }
      } else {
        const back = f.let(sub(i64(bits), count));
        result = f.let(
          truncate64(
            c,
            right ? or(shrU(a, count), shl(source, back)) : or(shl(a, count), shrU(source, back)),
          ),
        );
        carry = f.let(and(right ? shrU(a, sub(count, i64(1))) : shrU(a, back), i64(1)));
      }
      const overflow = f.let(and(shrU(xor(result, a), i64(c.top())), i64(1)));
      const vector = f.let(carryVector(c, carry, overflow));
      return {
        value: size === 8 ? result : wrap(result),
        flags: () => c.setFlagWords(size === 8 ? result : c.signExtended(wrap(result)), vector, i32(c.top())),
      };
    };
    if (c.shape.memory) {
      const host = c.translate(c.effectiveAddress(), size, true);
      f.if(nez(count), () => {
        const { value, flags } = work(f.let(loadHost(host, size)));
        c.storeHost(host, value, size);
        c.stored(host);
        flags();
      });
    } else {
      const old = f.let(c.rm());
      f.if(
        nez(count),
        () => {
          const { value, flags } = work(old);
          c.setRm(value);
          flags();
        },
        () => c.setRm(old),
      );
    }
  };
}

// ------------------------------------------------------------------ bit tests

type Change = 'test' | 'set' | 'reset' | 'complement';

/**
 * BT, BTS, BTR, BTC. With a bit number from a register a memory operand is a bit string: the number, signed, selects
 * the word too. Only CF changes.
 */
function bitTest(change: Change, fromRegister: boolean): Semantics {
  return (c) => {
    const { f, size } = c;
    const bits = size * 8;
    const wideOffset = f.let(fromRegister ? c.reg() : c.immediate(1));
    const narrow = wideOffset.type === I64 ? wrap(wideOffset) : wideOffset;
    const n = f.let(and(narrow, i32(bits - 1)));
    const mask = f.let(size === 8 ? shl(i64(1), extendU(n)) : shl(i32(1), n));
    const apply = (old: Local): Expression => {
      if (change === 'set') return or(old, mask);
      if (change === 'reset') return and(old, xor(mask, constant(mask.type, -1)));
      return xor(old, mask);
    };
    let bit: Local;
    if (!c.shape.memory) {
      const old = f.let(c.rm());
      bit = f.let(ne(and(old, mask), constant(mask.type, 0)));
      if (change !== 'test') c.setRm(apply(old));
    } else {
      let address = c.effectiveAddress();
      if (fromRegister) {
        const signed = c.signExtended(wideOffset);
        address = c.displaced(address, shl(shrS(signed, i64(Math.log2(bits))), i64(Math.log2(size))));
      }
      const host = c.translate(address, size, change !== 'test');
      const old = f.let(loadHost(host, size));
      bit = f.let(ne(and(old, mask), constant(mask.type, 0)));
      if (change !== 'test') {
        c.storeHost(host, apply(old), size);
        c.stored(host);
      }
    }
    setCarryOnly(c, bit);
  };
}

/** Replaces CF alone; OF stays what it was. */
function setCarryOnly(c: Emitter, carry: Expression): void {
  const { f } = c;
  const top = f.let(extendU(and(c.flagMeta(), i32(63))));
  const overflow = f.let(extendU(c.overflowFlag()));
  const wide = f.let(extendU(carry));
  const vector = or(
    and(c.flagCarry(), i64(8)),
    or(shl(wide, top), shl(xor(wide, overflow), sub(top, i64(1)))),
  );
  c.setFlagWords(c.flagResult(), vector, c.flagMeta());
}

/** BSF and BSR: ZF for a zero source, whose destination then stays as it was; the other flags as a logic result. */
function bitScan(reverse: boolean): Semantics {
  return (c) => {
    const { f } = c;
    const value = c.load();
    const found = f.let(nez(value));
    f.if(found, () => {
      const width = c.size === 8 ? 63 : 31;
      c.setReg(reverse ? sub(constant(c.type, width), clz(value)) : ctz(value));
    });
    const flags = f.let(and(c.arithmeticFlags(), i32(~FLAG_ZF)));
    c.setArithmeticFlags(or(flags, select(found, i32(0), i32(FLAG_ZF))));
  };
}

/** POPCNT: ZF for zero, every other flag cleared. */
const populationCount: Semantics = (c) => {
  const { f } = c;
  const value = c.load();
  c.setReg(popcnt(value));
  c.setArithmeticFlags(select(eqz(f.let(value)), i32(FLAG_ZF), i32(0)));
};

export function defineBits(set: InstructionSet): void {
  const shifts: [number, string, Shift][] = [
    [0, 'ROL', rotateLeft],
    [1, 'ROR', rotateRight],
    [2, 'RCL', rotateThroughCarry(false)],
    [3, 'RCR', rotateThroughCarry(true)],
    [4, 'SHL', shiftLeft],
    [5, 'SHR', shiftRight],
    [6, 'SAL', shiftLeft],
    [7, 'SAR', shiftArithmetic],
  ];
  for (const [digit, name, shift] of shifts) {
    // RCL and RCR compute with the carry.
    const through = digit === 2 || digit === 3;
    const keeps = { keepsFlags: !through };
    const hot = through ? keeps : { hot: [4, 8], ...keeps };
    set.define(name, `C0 /${digit}`, 'Eb Ib', shiftBy(shift, byImmediate), keeps);
    set.define(name, `C1 /${digit}`, 'Ev Ib', shiftBy(shift, byImmediate), hot);
    set.define(name, `D0 /${digit}`, 'Eb', shiftBy(shift, byOne), keeps);
    set.define(name, `D1 /${digit}`, 'Ev', shiftBy(shift, byOne), hot);
    set.define(name, `D2 /${digit}`, 'Eb', shiftBy(shift, byCl), keeps);
    set.define(name, `D3 /${digit}`, 'Ev', shiftBy(shift, byCl), hot);
  }
  set.define('SHLD', '0F A4', 'Ev Gv Ib', doubleShift(false, byImmediate), { keepsFlags: true });
  set.define('SHLD', '0F A5', 'Ev Gv', doubleShift(false, byCl), { keepsFlags: true });
  set.define('SHRD', '0F AC', 'Ev Gv Ib', doubleShift(true, byImmediate), { keepsFlags: true });
  set.define('SHRD', '0F AD', 'Ev Gv', doubleShift(true, byCl), { keepsFlags: true });

  for (const [opcode, digit, name, change] of [
    ['0F A3', 4, 'BT', 'test'],
    ['0F AB', 5, 'BTS', 'set'],
    ['0F B3', 6, 'BTR', 'reset'],
    ['0F BB', 7, 'BTC', 'complement'],
  ] as const) {
    const lock = { keepsFlags: true, ...(change === 'test' ? {} : { lock: true }) };
    const hot = change === 'test' ? { hot: [4, 8] } : {};
    set.define(name, opcode, 'Ev Gv', bitTest(change, true), { ...lock, ...hot, modal: true });
    set.define(name, `0F BA /${digit}`, 'Ev Ib', bitTest(change, false), { ...lock, ...hot });
  }
  set.define('BSF', '0F BC', 'Gv Ev', bitScan(false), { hot: [4, 8], keepsFlags: true });
  set.define('BSR', '0F BD', 'Gv Ev', bitScan(true), { hot: [4, 8], keepsFlags: true });
  set.define('POPCNT', 'F3 0F B8', 'Gv Ev', populationCount);
}
