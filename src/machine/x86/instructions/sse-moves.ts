/**
 * Moves of XMM registers: whole, halves, single lanes, to and from general registers, non-temporal (which here are moves
 * like any other), with duplication (SSE3); and the unpacking and logic of single and double lanes, which do not look at
 * what they move. Moves never change bits: a signaling NaN stays one.
 */
import { extendU, i32, i64, load32, load64, load128 } from '../../../wasm/expression.ts';
import type { InstructionSet } from '../definition.ts';
import type { Emitter, Semantics } from '../emitter.ts';
import { RDI } from '../registers.ts';
import { XMM, xmmBinary, xmmUnary } from './packed-forms.ts';
import * as packed from './packed-operations.ts';
import { aligned, source, sourceAddress, sourceLow, sse, writeXmm } from './sse-operands.ts';
import { bits, i8x16, i32x4, i64x2, pick, ZERO } from './vector.ts';

/** MOVAPS, MOVAPD, MOVDQA: memory is aligned. */
const loadAligned: Semantics = sse((c) => writeXmm(c, source(c)));
const storeAligned: Semantics = sse((c) => {
  if (c.shape.memory) c.storeLinear(aligned(c, c.effectiveAddress()), load128(c.xmmReg()), 16);
  else c.f.store128(c.xmmRm(), load128(c.xmmReg()));
});
/** MOVUPS, MOVUPD, MOVDQU, LDDQU. */
const loadUnaligned: Semantics = sse((c) => writeXmm(c, load128(sourceAddress(c, 16, true))));
const storeUnaligned: Semantics = sse((c) => {
  if (c.shape.memory) c.storeLinear(c.effectiveAddress(), load128(c.xmmReg()), 16);
  else c.f.store128(c.xmmRm(), load128(c.xmmReg()));
});

/** Writes the low 4 or 8 bytes of V. From memory the rest becomes zero, from a register it stays: MOVSS, MOVSD. */
function loadScalar(bytes: 4 | 8): Semantics {
  return sse((c) => {
    const { f } = c;
    const value = sourceLow(c, bytes);
    const register = f.let(c.xmmReg());
    if (!c.shape.memory) {
      c.storeHost(register, value, bytes);
      return;
    }
    f.store64(register, c.widened(value));
    f.store64(register, i64(0), 8);
  });
}
function storeScalar(bytes: 4 | 8): Semantics {
  return sse((c) => {
    const value = bytes === 8 ? load64(c.xmmReg()) : load32(c.xmmReg());
    if (c.shape.memory) c.storeLinear(c.effectiveAddress(), value, bytes);
    else c.storeHost(c.xmmRm(), value, bytes);
  });
}

/** V's low part from a value, the rest zero: MOVD, MOVQ. */
const loadFromGeneral: Semantics = sse((c) => {
  const value = c.load();
  const register = c.f.let(c.xmmReg());
  c.f.store64(register, c.widened(value));
  c.f.store64(register, i64(0), 8);
});
const storeToGeneral: Semantics = sse((c) =>
  c.store(c.f.let(c.size === 8 ? load64(c.xmmReg()) : load32(c.xmmReg()))),
);
/** MOVQ between XMM registers clears the upper half in either direction. */
const loadQuadword: Semantics = sse((c) => {
  const value = sourceLow(c, 8);
  const register = c.f.let(c.xmmReg());
  c.f.store64(register, value);
  c.f.store64(register, i64(0), 8);
});
const storeQuadword: Semantics = sse((c) => {
  if (c.shape.memory) {
    c.storeLinear(c.effectiveAddress(), load64(c.xmmReg()), 8);
    return;
  }
  const value = c.f.let(load64(c.xmmReg()));
  const register = c.f.let(c.xmmRm());
  c.f.store64(register, value);
  c.f.store64(register, i64(0), 8);
});

/** One half of V from eight bytes at `from` in W: MOVLPS, MOVHPS and, between registers, MOVHLPS, MOVLHPS. */
function loadHalf(to: 0 | 8, from: 0 | 8): Semantics {
  return sse((c) => {
    const address = sourceAddress(c, 8);
    c.f.store64(c.xmmReg(), load64(address, from), to);
  });
}
function storeHalf(from: 0 | 8): Semantics {
  return sse((c) => c.storeLinear(c.effectiveAddress(), load64(c.xmmReg(), from), 8));
}

/** MASKMOVDQU: the bytes whose mask has its top bit set. An empty mask accesses nothing. */
const storeMasked: Semantics = sse((c) => {
  const { f } = c;
  const mask = f.let(i8x16.shrS(load128(c.xmmRm()), i32(7)));
  const value = f.let(load128(c.xmmReg()));
  if (c.checked) {
    // Processors look at the segment even if nothing is stored, and at one half after the other.
    const address = destination(c);
    c.checkAccess(address, 8, true);
    c.checkAccess(c.displaced(address, i64(8)), 8, true);
  }
  f.if(bits.anyTrue(mask), () => {
    const host = c.translate(destination(c), 16, true, 8);
    f.store128(host, bits.select(value, load128(host), mask));
    c.stored(host);
  });
});
/** Where MASKMOVDQU and MASKMOVQ store: at rDI, in the data segment or the one of a prefix. */
export function destination(c: Emitter) {
  const { addressSize } = c.shape;
  const offset = addressSize === 8 ? c.gpr(RDI, 8) : extendU(c.gpr(RDI, addressSize));
  return c.segmented('source', offset);
}

const signMaskSingles: Semantics = sse((c) => c.setReg(i32x4.bitmask(load128(c.xmmRm())), 4));
const signMaskDoubles: Semantics = sse((c) => c.setReg(i64x2.bitmask(load128(c.xmmRm())), 4));

/** MOVDDUP: its memory operand is only eight bytes. */
const duplicateDouble: Semantics = sse((c) => writeXmm(c, i64x2.splat(sourceLow(c, 8))));

export function defineSseMoves(set: InstructionSet): void {
  for (const [name, prefix, load, store] of [
    ['MOVUPS', 'NP', '10', '11'],
    ['MOVUPD', '66', '10', '11'],
    ['MOVDQU', 'F3', '6F', '7F'],
  ]) {
    set.define(name!, `${prefix} 0F ${load}`, 'Vo Wo', loadUnaligned, XMM);
    set.define(name!, `${prefix} 0F ${store}`, 'Wo Vo', storeUnaligned, XMM);
  }
  for (const [name, prefix, load, store] of [
    ['MOVAPS', 'NP', '28', '29'],
    ['MOVAPD', '66', '28', '29'],
    ['MOVDQA', '66', '6F', '7F'],
  ]) {
    set.define(name!, `${prefix} 0F ${load}`, 'Vo Wo', loadAligned, XMM);
    set.define(name!, `${prefix} 0F ${store}`, 'Wo Vo', storeAligned, XMM);
  }
  set.define('LDDQU', 'F2 0F F0', 'Vo Mo', loadUnaligned, XMM);
  set.define('MOVNTPS', 'NP 0F 2B', 'Mo Vo', storeAligned, XMM);
  set.define('MOVNTPD', '66 0F 2B', 'Mo Vo', storeAligned, XMM);
  set.define('MOVNTDQ', '66 0F E7', 'Mo Vo', storeAligned, XMM);
  set.define('MOVNTDQA', '66 0F 38 2A', 'Vo Mo', loadAligned, XMM);

  set.define('MOVSS', 'F3 0F 10', 'Vd Wd', loadScalar(4), XMM);
  set.define('MOVSS', 'F3 0F 11', 'Wd Vd', storeScalar(4), XMM);
  set.define('MOVSD', 'F2 0F 10', 'Vq Wq', loadScalar(8), XMM);
  set.define('MOVSD', 'F2 0F 11', 'Wq Vq', storeScalar(8), XMM);
  set.define('MOVD', '66 0F 6E', 'Vo Ey', loadFromGeneral);
  set.define('MOVD', '66 0F 7E', 'Ey Vo', storeToGeneral);
  set.define('MOVQ', 'F3 0F 7E', 'Vq Wq', loadQuadword, XMM);
  set.define('MOVQ', '66 0F D6', 'Wq Vq', storeQuadword, XMM);

  for (const [prefix, suffix] of [
    ['NP', 'PS'],
    ['66', 'PD'],
  ]) {
    set.define(`MOVL${suffix}`, `${prefix} 0F 12`, 'Vq Mq', loadHalf(0, 0), XMM);
    set.define(`MOVL${suffix}`, `${prefix} 0F 13`, 'Mq Vq', storeHalf(0), XMM);
    set.define(`MOVH${suffix}`, `${prefix} 0F 16`, 'Vq Mq', loadHalf(8, 0), XMM);
    set.define(`MOVH${suffix}`, `${prefix} 0F 17`, 'Mq Vq', storeHalf(8), XMM);
    set.define(`AND${suffix}`, `${prefix} 0F 54`, 'Vo Wo', xmmBinary(bits.and), XMM);
    set.define(`ANDN${suffix}`, `${prefix} 0F 55`, 'Vo Wo', xmmBinary(packed.andNot), XMM);
    set.define(`OR${suffix}`, `${prefix} 0F 56`, 'Vo Wo', xmmBinary(bits.or), XMM);
    set.define(`XOR${suffix}`, `${prefix} 0F 57`, 'Vo Wo', xmmBinary(bits.xor), XMM);
  }
  set.define('MOVHLPS', 'NP 0F 12', 'Vq Uq', loadHalf(0, 8), XMM);
  set.define('MOVLHPS', 'NP 0F 16', 'Vq Uq', loadHalf(8, 0), XMM);
  set.define('UNPCKLPS', 'NP 0F 14', 'Vo Wo', xmmBinary(packed.unpack(4, false)), XMM);
  set.define('UNPCKLPD', '66 0F 14', 'Vo Wo', xmmBinary(packed.unpack(8, false)), XMM);
  set.define('UNPCKHPS', 'NP 0F 15', 'Vo Wo', xmmBinary(packed.unpack(4, true)), XMM);
  set.define('UNPCKHPD', '66 0F 15', 'Vo Wo', xmmBinary(packed.unpack(8, true)), XMM);

  set.define(
    'MOVSLDUP',
    'F3 0F 12',
    'Vo Wo',
    xmmUnary((a) => pick(a, ZERO, 4, 0, 0, 2, 2)),
    XMM,
  );
  set.define(
    'MOVSHDUP',
    'F3 0F 16',
    'Vo Wo',
    xmmUnary((a) => pick(a, ZERO, 4, 1, 1, 3, 3)),
    XMM,
  );
  set.define('MOVDDUP', 'F2 0F 12', 'Vo Wq', duplicateDouble, XMM);

  set.define('MOVMSKPS', 'NP 0F 50', 'Gd Uo', signMaskSingles);
  set.define('MOVMSKPD', '66 0F 50', 'Gd Uo', signMaskDoubles);
  set.define('MASKMOVDQU', '66 0F F7', 'Vo Uo', storeMasked, { ...XMM, addressed: true });
}
