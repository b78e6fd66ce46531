/**
 * What every x87 instruction is made of: whether it may execute, the register stack with its tags, the memory operand,
 * and the frame around whatever computes.
 *
 * The eight registers lie in memory in both tiers, ST(i) at physical place (TOP + i) mod 8; the numbers themselves are
 * the business of support functions (`assembly/float/`), which take addresses. Each instruction goes through
 *
 *     guard → pending #MF → translate the memory operand → begin → stack fault, or the operation → commit
 *
 * and only when the commit finds no unmasked exception that prevents it does it push, pop or change a tag. Such an
 * exception sets the error summary, and the next waiting instruction raises #MF (Intel SDM 1, 8.6 and 8.7).
 *
 * Where the manuals leave a choice, or the vendors differ, the instructions do what AMD's Zen 3 does: FCOMI and FCMOVcc
 * leave C1 alone; FFREE clears it; FNSTENV leaves ES as the masks then are; FENI, FDISI and FSETPM do not wait.
 *
 * Reading order: x87-state, x87-load-store, x87-arithmetic, x87-transcendental, x87-control.
 */
import {
  add,
  and,
  type Expression,
  eqz,
  i32,
  load128,
  or,
  shl,
  shrU,
  xor,
} from '../../../wasm/expression.ts';
import type { Local } from '../../../wasm/function.ts';
import {
  CPU_FPU_CONTROL,
  CPU_FPU_DP,
  CPU_FPU_EMPTY,
  CPU_FPU_IP,
  CPU_FPU_TOP,
  CPU_X87,
} from '../../layout.ts';
import { callSupport, type Emitter, type Semantics } from '../emitter.ts';
import { BLOCKED_X87, fpuGuard, raisePendingFloat } from './sse-operands.ts';

const C1 = 1 << 9;
const ERROR_SUMMARY = 1 << 7;

/** A register of the stack: its physical number, and where it lies. */
export interface StackRegister {
  readonly number: Local;
  readonly address: Local;
}

// ------------------------------------------------------------------ what surrounds an instruction

/** An instruction of the FN… kind: it executes although an exception is pending. */
export function unwaiting(body: Semantics): Semantics {
  return (c) => {
    fpuGuard(c, BLOCKED_X87);
    body(c);
  };
}

/** A control instruction that waits: #MF first. */
export function waiting(body: Semantics): Semantics {
  return unwaiting((c) => {
    raisePendingFloat(c);
    body(c);
  });
}

/** Any other instruction: it waits, and is remembered as the last one. */
export function operation(body: Semantics): Semantics {
  return waiting((c) => {
    body(c);
    c.setState64(CPU_FPU_IP, c.rip());
    // The opcode is kept only of an instruction with an unmasked exception (Intel SDM 1, 8.1.9.1).
    c.f.if(and(c.state32(CPU_FPU_CONTROL), i32(ERROR_SUMMARY << 16)), () => run(c, 'x87NoteOpcode'));
  });
}

/** Calls a support function for what it does. */
export function run(c: Emitter, name: string, ...operands: Expression[]): void {
  c.f.run(callSupport(c.support, name, ...operands), c.support[name]?.results.length ?? 0);
}

/** Computes, adds the exceptions to the status word, and then, unless an unmasked one prevents it, commits. */
export function compute(c: Emitter, work: () => void, commit: () => void): void {
  run(c, 'x87Begin');
  work();
  c.f.if(eqz(callSupport(c.support, 'x87Commit')), commit);
}

// ------------------------------------------------------------------ the register stack

/** ST(i). */
export function stack(c: Emitter, i: Expression | number): StackRegister {
  const { f } = c;
  const index = typeof i === 'number' ? i32(i) : i;
  const number = f.let(and(add(c.state32(CPU_FPU_TOP), index), i32(7)));
  return { number, address: f.let(add(shl(number, i32(4)), c.stateAddress(CPU_X87))) };
}

/** The register that F names. */
export function named(c: Emitter): StackRegister {
  return stack(c, c.extra());
}

/** The register that the next push fills. */
export function above(c: Emitter): StackRegister {
  return stack(c, 7);
}

/** 1 if the register is tagged empty, as an i32. */
export function isEmpty(c: Emitter, register: StackRegister): Expression {
  return and(shrU(c.state32(CPU_FPU_EMPTY), register.number), i32(1));
}

/** Tags a register valid. */
export function fill(c: Emitter, register: StackRegister): void {
  const others = xor(shl(i32(1), register.number), i32(-1));
  c.setState32(CPU_FPU_EMPTY, and(c.state32(CPU_FPU_EMPTY), others));
}

/** Tags a register empty. Its contents stay. */
export function vacate(c: Emitter, register: StackRegister): void {
  c.setState32(CPU_FPU_EMPTY, or(c.state32(CPU_FPU_EMPTY), shl(i32(1), register.number)));
}

/** Moves TOP: FINCSTP 1, FDECSTP -1. */
export function rotate(c: Emitter, by: 1 | -1): void {
  c.setState32(CPU_FPU_TOP, and(add(c.state32(CPU_FPU_TOP), i32(by)), i32(7)));
}

/** Pops the stack `times` times. */
export function pop(c: Emitter, times = 1): void {
  for (let n = 0; n < times; n++) {
    vacate(c, stack(c, 0));
    rotate(c, 1);
  }
}

/** Pushes a copy of what lies in a slot. `register` is `above`. */
export function push(c: Emitter, register: StackRegister, slot: Expression): void {
  copyNumber(c, register.address, slot);
  fill(c, register);
  rotate(c, -1);
}

export function copyNumber(c: Emitter, to: Expression, from: Expression): void {
  c.f.store128(to, load128(from));
}

/** C1 = 0, for what touches the stack without computing. */
export function clearC1(c: Emitter): void {
  c.setState32(CPU_FPU_CONTROL, and(c.state32(CPU_FPU_CONTROL), i32(~(C1 << 16))));
}

// ------------------------------------------------------------------ memory

/** Translates the memory operand of a non-control instruction and remembers its offset: the last possible fault. */
export function memoryOperand(c: Emitter, bytes: number, write = false): Local {
  const host = c.translate(c.effectiveAddress(), bytes, write);
  c.setState64(CPU_FPU_DP, c.effectiveOffset());
  return host;
}
