/** Moving data: MOV, MOVZX, MOVSX, LEA, XCHG, PUSH, POP, CMOVcc, SETcc, BSWAP, conversions, flags to and from AH. */
import {
  add,
  and,
  type Expression,
  eqz,
  extend8S,
  extend16S,
  extend32S,
  extendS,
  extendU,
  i32,
  i64,
  i64Halves,
  leU,
  nez,
  or,
  rotl,
  rotr,
  select,
  shl,
  shrS,
  shrU,
  sub,
  wrap,
  xor,
} from '../../../wasm/expression.ts';
import { CPU_CPL, CPU_INTERRUPT_WAITS, CPU_SEGMENTS, SEGMENT_SIZE } from '../../layout.ts';
import type { InstructionSet } from '../definition.ts';
import { CONDITION_NAMES, loadHost, type Semantics } from '../emitter.ts';
import { Exit } from '../exits.ts';
import {
  CS,
  DS,
  ES,
  FLAG_AC,
  FLAG_DF,
  FLAG_ID,
  FLAG_IF,
  FLAG_IOPL,
  FLAG_NT,
  FLAG_TF,
  FS,
  GS,
  RAX,
  RBP,
  RDX,
  SS,
} from '../registers.ts';

const moveToRm: Semantics = (c) => c.store(c.f.let(c.reg()));
const moveToReg: Semantics = (c) => c.setReg(c.load());
const moveImmediate: Semantics = (c) => c.store(c.f.let(c.immediate()));

/** Widens E of `from` bytes to the operand size. */
function widen(from: 1 | 2 | 4, signed: boolean): Semantics {
  return (c) => {
    let value: Expression = c.load(from);
    if (signed && from < 4) value = from === 1 ? extend8S(value) : extend16S(value);
    if (c.size === 8) value = signed ? extendS(value) : extendU(value);
    c.setReg(value);
  };
}

/** XCHG: locked by nature when it touches memory. */
const exchange: Semantics = (c) => {
  const { f } = c;
  const register = f.let(c.reg());
  if (!c.shape.memory) {
    const other = f.let(c.rm());
    c.setRm(register);
    c.setReg(other);
    return;
  }
  const host = c.translate(c.effectiveAddress(), c.size, true);
  const old = f.let(loadHost(host, c.size));
  c.storeHost(host, register, c.size);
  c.stored(host);
  c.setReg(old);
};

const exchangeAccumulator: Semantics = (c) => {
  const { f } = c;
  const a = f.let(c.gpr(RAX));
  const b = f.let(c.rm());
  c.setGpr(RAX, b);
  c.setRm(a);
};

/** LEA: the offset, truncated to the operand size. */
const loadAddress: Semantics = (c) => {
  const offset = c.effectiveOffset();
  c.setReg(c.size === 8 ? offset : wrap(offset));
};

const EVEN_BYTES = i64Halves(0x00ff00ff, 0x00ff00ff);
const EVEN_WORDS = i64Halves(0x0000ffff, 0x0000ffff);

const byteSwap: Semantics = (c) => {
  const { f } = c;
  if (c.size === 8) {
    const v = f.let(c.rm());
    const bytes = f.let(or(and(shrU(v, i64(8)), EVEN_BYTES), shl(and(v, EVEN_BYTES), i64(8))));
    const words = f.let(or(and(shrU(bytes, i64(16)), EVEN_WORDS), shl(and(bytes, EVEN_WORDS), i64(16))));
    c.setRm(rotl(words, i64(32)));
    return;
  }
  if (c.size === 2) {
    c.setRm(i32(0)); // undefined by the manual; processors give zero
    return;
  }
  const v = f.let(c.rm());
  c.setRm(or(and(rotl(v, i32(8)), i32(0x00ff00ff)), and(rotr(v, i32(8)), i32(0xff00ff00 | 0))));
};

// ------------------------------------------------------------------ the stack

const pushRm: Semantics = (c) => c.push(c.load());
const pushImmediate: Semantics = (c) => c.push(c.immediate());

const popRm: Semantics = (c) => {
  const { f } = c;
  const value = c.peek();
  if (c.shape.memory) {
    // The address is computed with the popped stack pointer: the decoder has added the size to an rsp-based operand.
    c.store(value);
    c.drop(c.size);
    return;
  }
  c.drop(c.size);
  c.setRm(f.let(value));
};

const leave: Semantics = (c) => {
  const frame = c.f.let(c.stackOffset(RBP));
  const saved = c.loadLinear(c.segmented('stack', frame), c.size);
  c.setStackPointer(c.wrapStack(add(frame, i64(c.size))));
  c.setGpr(RBP, saved);
};

/** ENTER: the copied frame pointers of nested procedures included. */
const enter: Semantics = (c) => {
  const { f, size } = c;
  const level = f.variable(and(c.extra(), i32(31)));
  const allocate = f.let(extendU(c.immediate(2)));
  const top = f.let(c.movedStackPointer(i64(-size)));
  c.storeLinear(c.segmented('stack', top), c.gpr(RBP), size);
  const frame = f.let(c.withStackPointer(top));
  f.if(nez(level), () => {
    const source = f.variable(c.stackOffset(RBP));
    f.block((done) => {
      f.loop((again) => {
        f.set(level, add(level, i32(-1)));
        f.brIf(done, eqz(level));
        f.set(source, c.wrapStack(add(source, i64(-size))));
        f.set(top, c.wrapStack(add(top, i64(-size))));
        const copied = c.loadLinear(c.segmented('stack', source), size);
        c.storeLinear(c.segmented('stack', top), copied, size);
        f.br(again);
      });
    });
    f.set(top, c.wrapStack(add(top, i64(-size))));
    c.storeLinear(c.segmented('stack', top), size === 8 ? frame : wrap(frame), size);
  });
  f.set(top, c.wrapStack(sub(top, allocate)));
  // The new top of the stack must be writable.
  c.translate(c.segmented('stack', top), size, true);
  c.setStackPointer(top);
  c.setGpr(RBP, size === 8 ? frame : wrap(frame));
};

/** PUSHA stores in the order AX CX DX BX SP BP SI DI; the pushed SP is the one before. */
const pushAll: Semantics = (c) => {
  const { f, size } = c;
  const top = f.let(c.stackPointer());
  for (let n = 0; n < 8; n++) {
    const at = c.wrapStack(add(top, i64(-size * (n + 1))));
    c.storeLinear(c.segmented('stack', at), c.gpr(n), size);
  }
  c.setStackPointer(c.wrapStack(add(top, i64(-size * 8))));
};
const popAll: Semantics = (c) => {
  const { f, size } = c;
  const top = f.let(c.stackPointer());
  const pop = (n: number): Expression => {
    const at = c.wrapStack(add(top, i64(size * (7 - n))));
    return c.loadLinear(c.segmented('stack', at), size);
  };
  if (c.checked) {
    // Processors fill one register after the other: a limit in the middle is seen.
    for (let n = 7; n >= 0; n--) {
      const value = pop(n);
      if (n !== 4) c.setGpr(n, value);
    }
  } else {
    const values = [7, 6, 5, 3, 2, 1, 0].map((n) => [n, pop(n)] as const);
    for (const [n, value] of values) c.setGpr(n, value);
  }
  c.setStackPointer(c.wrapStack(add(top, i64(size * 8))));
};

const pushFlags: Semantics = (c) => {
  const flags = c.f.let(or(c.arithmeticFlags(), and(c.otherFlags(), i32(~0x30000))));
  c.push(c.size === 8 ? extendU(flags) : flags);
};

/** POPF: IOPL changes only at CPL 0, IF only where CPL ≤ IOPL; VM and RF stay. */
const popFlags: Semantics = (c) => {
  const { f } = c;
  const loaded = c.peek();
  const value = f.let(c.size === 8 ? wrap(loaded) : loaded);
  const cpl = c.state32(CPU_CPL);
  const old = f.let(c.otherFlags());
  const iopl = and(shrU(old, i32(12)), i32(3));
  const always = FLAG_TF | FLAG_DF | FLAG_NT | (c.size === 2 ? 0 : FLAG_AC | FLAG_ID);
  const mask = f.let(
    or(
      i32(always),
      or(
        select(leU(cpl, iopl), i32(FLAG_IF), i32(0)),
        select(eqz(c.state32(CPU_CPL)), i32(FLAG_IOPL), i32(0)),
      ),
    ),
  );
  c.drop(c.size);
  c.setOtherFlags(or(and(value, mask), and(old, xor(mask, i32(-1)))));
  c.setArithmeticFlags(value);
  const open = and(shrU(c.otherFlags(), i32(9)), i32(1));
  f.if(and(nez(c.state32(CPU_INTERRUPT_WAITS)), open), () => c.exit(Exit.InterruptWindow));
  // The engine single-steps what follows, or executes other code for it: with alignment checks, or without.
  const turned = and(xor(c.otherFlags(), old), i32(FLAG_AC));
  f.if(or(and(value, i32(FLAG_TF)), turned), () => c.exit(Exit.Decode));
};

const pushSegment =
  (segment: number): Semantics =>
  (c) => {
    const selector = c.state32(CPU_SEGMENTS + segment * SEGMENT_SIZE);
    c.push(c.size === 8 ? extendU(selector) : selector);
  };

// ------------------------------------------------------------------ conditions

const conditionalMove =
  (n: number): Semantics =>
  (c) => {
    const { f } = c;
    const value = c.load();
    const taken = f.let(nez(c.condition(n)));
    // Even where the condition is false a 32-bit move clears the upper half.
    c.setReg(select(taken, value, c.reg()));
  };
const setOnCondition =
  (n: number): Semantics =>
  (c) =>
    c.store(c.f.let(nez(c.condition(n))), 1);

// ------------------------------------------------------------------ conversions and flags

/** CBW, CWDE, CDQE. */
const extendAccumulator: Semantics = (c) => {
  if (c.size === 8) c.setGpr(RAX, extend32S(c.gpr(RAX, 8)));
  else if (c.size === 4) c.setGpr(RAX, extend16S(c.gpr(RAX, 2)));
  else c.setGpr(RAX, extend8S(c.gpr(RAX, 1)), 2);
};
/** CWD, CDQ, CQO. */
const extendToPair: Semantics = (c) => {
  if (c.size === 8) c.setGpr(RDX, shrS(c.gpr(RAX, 8), i64(63)));
  else if (c.size === 4) c.setGpr(RDX, shrS(c.gpr(RAX, 4), i32(31)));
  else c.setGpr(RDX, shrS(extend16S(c.gpr(RAX, 2)), i32(31)), 2);
};

const loadFlagsToAh: Semantics = (c) => {
  const flags = c.f.let(or(and(c.arithmeticFlags(), i32(0xd5)), i32(2)));
  c.setGpr(RAX, or(and(c.gpr(RAX, 2), i32(0xff)), shl(flags, i32(8))), 2);
};
const storeAhToFlags: Semantics = (c) => {
  const overflow = c.f.let(shl(c.overflowFlag(), i32(11)));
  const ah = shrU(c.gpr(RAX, 2), i32(8));
  c.setArithmeticFlags(or(and(ah, i32(0xd5)), overflow));
};

/** CLC, STC, CMC: only CF changes. */
function changeCarry(carry: (old: Expression) => Expression): Semantics {
  return (c) => {
    const flags = c.f.let(c.arithmeticFlags());
    c.setArithmeticFlags(or(and(flags, i32(~1)), carry(and(flags, i32(1)))));
  };
}
const clearDirection: Semantics = (c) => c.setOtherFlags(and(c.otherFlags(), i32(~FLAG_DF)));
const setDirection: Semantics = (c) => c.setOtherFlags(or(c.otherFlags(), i32(FLAG_DF)));

const nothing: Semantics = () => {};

const translateByte: Semantics = (c) => {
  const index = extendU(c.gpr(RAX, 1));
  const base = c.shape.addressSize === 8 ? c.gpr(3, 8) : extendU(c.gpr(3, c.shape.addressSize));
  const offset =
    c.shape.addressSize === 8
      ? add(base, index)
      : and(add(base, index), i64(c.shape.addressSize === 4 ? 0xffffffff : 0xffff));
  c.setGpr(RAX, c.loadLinear(c.segmented('source', offset), 1), 1);
};

/** Accumulator ↔ absolute offset: the displacement alone, 8 bytes wide in 64-bit mode. */
function absolute(store: boolean): Semantics {
  return (c) => {
    const address = c.segmented('source', c.immediate(8));
    if (store) c.storeLinear(address, c.gpr(RAX), c.size);
    else c.setGpr(RAX, c.loadLinear(address, c.size));
  };
}

export function defineData(set: InstructionSet): void {
  const hot = { hot: [4, 8] };
  set.define('MOV', '88', 'Eb Gb', moveToRm, { hot: [1] });
  set.define('MOV', '89', 'Ev Gv', moveToRm, hot);
  set.define('MOV', '8A', 'Gb Eb', moveToReg, { hot: [1] });
  set.define('MOV', '8B', 'Gv Ev', moveToReg, hot);
  set.define('MOV', 'A0', 'Ob', absolute(false), { addressed: true, size: 1 });
  set.define('MOV', 'A1', 'Ov', absolute(false), { addressed: true });
  set.define('MOV', 'A2', 'Ob', absolute(true), { addressed: true, size: 1 });
  set.define('MOV', 'A3', 'Ov', absolute(true), { addressed: true });
  set.define('MOV', 'B0+r', 'Zb Ib', moveImmediate);
  set.define('MOV', 'B8+r', 'Zv Iv', moveImmediate, hot);
  set.define('MOV', 'C6 /0', 'Eb Ib', moveImmediate, { hot: [1] });
  set.define('MOV', 'C7 /0', 'Ev Iz', moveImmediate, hot);
  set.define('MOVZX', '0F B6', 'Gv Eb', widen(1, false), { hot: [4] });
  set.define('MOVZX', '0F B7', 'Gv Ew', widen(2, false), { hot: [4] });
  set.define('MOVSX', '0F BE', 'Gv Eb', widen(1, true), { hot: [4, 8] });
  set.define('MOVSX', '0F BF', 'Gv Ew', widen(2, true));
  set.define('MOVSXD', '63', 'Gv Ed', (c) => (c.size === 2 ? c.setReg(c.load(2)) : widen(4, true)(c)), {
    mode: 'long',
    hot: [8],
  });
  set.define('LEA', '8D', 'Gv M', loadAddress, hot);
  set.define('XCHG', '86', 'Eb Gb', exchange, { lock: true });
  set.define('XCHG', '87', 'Ev Gv', exchange, { lock: true });
  set.define('XCHG', '90+r', 'Zv', exchangeAccumulator);
  set.define('BSWAP', '0F C8+r', 'Zv', byteSwap);
  set.define('XLAT', 'D7', '', translateByte, { addressed: true, size: 1 });
  set.define('MOVNTI', 'NP 0F C3', 'My Gy', moveToRm);

  const stack = { default64: true, modal: true };
  set.define('PUSH', '50+r', 'Zv', pushRm, { ...stack, hot: [8] });
  set.define('POP', '58+r', 'Zv', popRm, { ...stack, hot: [8] });
  set.define('PUSH', 'FF /6', 'Ev', pushRm, stack);
  set.define('POP', '8F /0', 'Ev', popRm, stack);
  set.define('PUSH', '68', 'Iz', pushImmediate, { ...stack, hot: [8] });
  set.define('PUSH', '6A', 'Is', pushImmediate, { ...stack, sizes: [2, 4, 8], hot: [8] });
  set.define('LEAVE', 'C9', '', leave, { ...stack, sizes: [2, 4, 8], hot: [8] });
  set.define('ENTER', 'C8', 'Iw Ie', enter, { ...stack, sizes: [2, 4, 8] });
  set.define('PUSHA', '60', '', pushAll, { mode: 'legacy', modal: true, sizes: [2, 4] });
  set.define('POPA', '61', '', popAll, { mode: 'legacy', modal: true, sizes: [2, 4] });
  set.define('PUSHF', '9C', '', pushFlags, { ...stack, sizes: [2, 4, 8] });
  set.define('POPF', '9D', '', popFlags, { ...stack, sizes: [2, 4, 8], ends: true });
  for (const [encoding, segment] of [
    ['06', ES],
    ['0E', CS],
    ['16', SS],
    ['1E', DS],
  ] as const) {
    set.define('PUSH', encoding, '', pushSegment(segment), { mode: 'legacy', modal: true, sizes: [2, 4] });
  }
  set.define('PUSH', '0F A0', '', pushSegment(FS), { ...stack, sizes: [2, 4, 8] });
  set.define('PUSH', '0F A8', '', pushSegment(GS), { ...stack, sizes: [2, 4, 8] });

  for (let n = 0; n < 16; n++) {
    const hex = n.toString(16).toUpperCase();
    set.define(`CMOV${CONDITION_NAMES[n]}`, `0F 4${hex}`, 'Gv Ev', conditionalMove(n), hot);
    set.define(`SET${CONDITION_NAMES[n]}`, `0F 9${hex}`, 'Eb', setOnCondition(n), { hot: [1] });
  }

  set.define('CBW', '98', '', extendAccumulator, { sizes: [2, 4, 8] });
  set.define('CWD', '99', '', extendToPair, { sizes: [2, 4, 8] });
  set.define('LAHF', '9F', '', loadFlagsToAh);
  set.define('SAHF', '9E', '', storeAhToFlags);
  set.define(
    'CLC',
    'F8',
    '',
    changeCarry(() => i32(0)),
  );
  set.define(
    'STC',
    'F9',
    '',
    changeCarry(() => i32(1)),
  );
  set.define(
    'CMC',
    'F5',
    '',
    changeCarry((old) => eqz(old)),
  );
  set.define('CLD', 'FC', '', clearDirection);
  set.define('STD', 'FD', '', setDirection);
  set.define('SALC', 'D6', '', (c) => c.setGpr(RAX, shrS(shl(c.carryFlag(), i32(31)), i32(31)), 1), {
    mode: 'legacy',
  });

  set.define('NOP', '90', '', nothing, { hot: [4] });
  // PREFETCHW, the hint NOPs 0F 18–0F 1F (ENDBR and PREFETCH among them), FENCEs: no effect here.
  set.define('PREFETCHW', '0F 0D', 'Ev', nothing, { size: 4 });
  for (let op = 0x18; op <= 0x1f; op++) {
    set.define(op === 0x18 ? 'PREFETCH' : 'NOP', `0F ${op.toString(16).toUpperCase()}`, 'Ev', nothing, {
      size: 4,
      hot: [4],
    });
  }
  set.define('LFENCE', 'NP 0F AE /5', 'R', nothing);
  set.define('MFENCE', 'NP 0F AE /6', 'R', nothing);
  set.define('SFENCE', 'NP 0F AE /7', 'R', nothing);
  set.define('CLFLUSH', 'NP 0F AE /7', 'Mb', (c) => {
    c.load(1);
  });
}
