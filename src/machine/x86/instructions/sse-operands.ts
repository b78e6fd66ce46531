/**
 * What every SSE and MMX instruction begins and ends with: whether it may execute at all, where its operands are, and
 * what writing an MMX register does to the x87.
 *
 * XMM and MMX registers live in memory in both tiers, so an operand is an address: `source` gives the host address of
 * W or Q, whether it is a register or memory, and lanes are picked by loading them.
 */
import {
  add,
  and,
  type Expression,
  eqz,
  i32,
  load32,
  load64,
  load128,
  ne,
  shl,
  shrU,
  wrap,
} from '../../../wasm/expression.ts';
import type { Local } from '../../../wasm/function.ts';
import {
  CPU_CR4,
  CPU_FPU_BLOCKED,
  CPU_FPU_CONTROL,
  CPU_FPU_EMPTY,
  CPU_FPU_TOP,
  CPU_WIDE,
} from '../../layout.ts';
import type { Address, Emitter, Semantics } from '../emitter.ts';
import { VECTOR_GP, VECTOR_MF, VECTOR_NM, VECTOR_UD, VECTOR_XM } from '../registers.ts';
import { i64x2 } from './vector.ts';

/** Bytes of CPU_FPU_BLOCKED. */
export const BLOCKED_SSE = 0;
export const BLOCKED_MMX = 1;
export const BLOCKED_X87 = 2;
export const BLOCKED_WAIT = 3;

const CR4_OSXMMEXCPT = 1 << 10;
const ERROR_SUMMARY = 1 << 7;

/** Raises #UD or #NM where CR0 and CR4 keep a class of instructions from executing (Intel SDM 3A, 2.5). */
export function fpuGuard(c: Emitter, kind: number): void {
  const { f } = c;
  const blocked = (): Expression => and(c.state32(CPU_FPU_BLOCKED), i32(0xff << (8 * kind)));
  f.if(blocked(), () => {
    c.raiseIf(ne(blocked(), i32(VECTOR_NM << (8 * kind))), VECTOR_UD);
    c.raise(VECTOR_NM);
  });
}

/** An SSE instruction: guarded. */
export function sse(body: Semantics): Semantics {
  return (c) => {
    fpuGuard(c, BLOCKED_SSE);
    body(c);
  };
}

/** An MMX instruction: guarded, and stopped by a pending x87 exception. */
export function mmx(body: Semantics): Semantics {
  return (c) => {
    fpuGuard(c, BLOCKED_MMX);
    raisePendingFloat(c);
    body(c);
  };
}

/** #MF if an unmasked x87 exception waits. The status word is the upper half of this word. */
export function raisePendingFloat(c: Emitter): void {
  c.raiseIf(and(c.state32(CPU_FPU_CONTROL), i32(ERROR_SUMMARY << 16)), VECTOR_MF);
}

/** Any MMX instruction but EMMS leaves all x87 registers valid and TOP zero (Intel SDM 1, 9.5). */
export function enterMmx(c: Emitter): void {
  c.setState32(CPU_FPU_TOP, i32(0));
  c.setState32(CPU_FPU_EMPTY, i32(0));
}

/** Writes the MMX register at an address. The exponent bits above it become all ones. */
export function writeMmx(c: Emitter, register: Expression, value: Expression): void {
  const { f } = c;
  const bound = f.let(value);
  f.store64(register, bound);
  f.store16(register, i32(0xffff), 8);
  enterMmx(c);
}

/** Raises #GP(0) unless a linear address is a multiple of 16, and gives it back. */
export function aligned(c: Emitter, address: Address): Address {
  const bound = c.bind(address);
  c.raiseIf(and(wrap(bound), i32(15)), VECTOR_GP);
  return bound;
}

/** Host address of the XMM operand W; in memory it is `bytes` long, and 16 bytes must be aligned. */
export function sourceAddress(c: Emitter, bytes = 16, unaligned = false): Local {
  if (!c.shape.memory) return c.f.let(c.xmmRm());
  const address = c.effectiveAddress();
  return c.translate(bytes === 16 && !unaligned ? aligned(c, address) : address, bytes, false);
}

/** The XMM operand W, whole: v128. */
export function source(c: Emitter): Local {
  return c.f.let(load128(sourceAddress(c)));
}

/** The low 4 (i32) or 8 (i64) bytes of W; memory need not be aligned. */
export function sourceLow(c: Emitter, bytes: number): Local {
  const address = sourceAddress(c, bytes);
  return c.f.let(bytes === 8 ? load64(address) : load32(address));
}

/** Host address of the MMX operand Q. */
export function mmxSourceAddress(c: Emitter, bytes = 8): Local {
  return c.shape.memory ? c.translate(c.effectiveAddress(), bytes, false) : c.f.let(c.mmxRm());
}

/** The MMX operand Q: i64. */
export function mmxSource(c: Emitter): Local {
  return c.f.let(load64(mmxSourceAddress(c)));
}

/** Writes the XMM register V. */
export function writeXmm(c: Emitter, value: Expression): void {
  c.f.store128(c.xmmReg(), value);
}

/** A 64-bit value as a vector: both halves hold it, and whoever works lane by lane looks at the low one. */
export function asVector(value: Expression): Expression {
  return i64x2.splat(value);
}
export function lowHalf(vector: Expression): Expression {
  return i64x2.lane(vector, 0);
}

/** The immediate byte as an i32. */
export function immediate(c: Emitter): Local {
  return c.f.let(c.immediate(1));
}

/** Host address of a lane of 2^shift bytes of the vector at `base`; bits `low` up of `selector`, masked, name the lane. */
export function laneAddress(
  base: Expression,
  selector: Expression,
  low: number,
  mask: number,
  shift: number,
): Expression {
  return add(base, shl(and(shrU(selector, i32(low)), i32(mask)), i32(shift)));
}

/** Where wide results and operands of support functions lie. */
export function wide(c: Emitter, offset = 0): Expression {
  return c.stateAddress(CPU_WIDE + offset);
}

/** Raises what an unmasked SSE exception raises: #XM, or #UD if the system has not asked for it. */
export function raiseSimd(c: Emitter): void {
  c.raiseIf(eqz(and(c.state32(CPU_CR4), i32(CR4_OSXMMEXCPT))), VECTOR_UD);
  c.raise(VECTOR_XM);
}
