/**
 * Short programs as vectors. A single instruction always starts from flags that were just loaded; here each finds them
 * as another left them, in whatever lazy form that is (`../flags.ts`). A program never reads a flag that the manual
 * leaves undefined at that point, and only flags that are defined at its end are compared.
 */
import type { Form } from './inputs.ts';

const CF = 1;
const PF = 4;
const AF = 0x10;
const ZF = 0x40;
const SF = 0x80;
const OF = 0x800;
const ALL = CF | PF | AF | ZF | SF | OF;
/** Flags that each pair of condition codes reads. */
const CONDITION_READS = [OF, CF, ZF, CF | ZF, SF, PF, SF | OF, SF | OF | ZF];

/** An instruction of a program: hex bytes, and what it does to the flags. */
interface Step {
  readonly code: string;
  readonly reads?: number;
  /** Flags that it always defines. */
  readonly sets?: number;
  /** Flags that it may leave undefined. */
  readonly kills?: number;
}

/** Numbers below a limit, from a seed. */
function numbers(seed: number): (below: number) => number {
  let state = Math.imul(seed, 0x9e3779b1) >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 4294967296) * below);
  };
}

const hex = (n: number): string => (n & 0xff).toString(16).padStart(2, '0');
/** rax, rcx, rdx, rsi, rdi: rbx points to memory, rsp and rbp stay. */
const REGISTERS = [0, 1, 2, 6, 7];

/** One random instruction. */
function randomStep(random: (below: number) => number): Step {
  const size = [1, 2, 4, 8][random(4)]!;
  const prefix = size === 2 ? '66' : size === 8 ? '48' : '';
  const wide = size === 1 ? 0 : 1;
  // Byte registers: al, cl, dl, or ah, ch, dh.
  const pick = (): number => (size === 1 ? [0, 1, 2, 4, 5, 6][random(6)]! : REGISTERS[random(5)]!);
  const a = pick();
  const b = pick();
  const memory = random(5) === 0;
  /** ModRM with a register in reg: the other operand is a register or [rbx+…]. */
  const operand = (reg: number): string =>
    memory ? hex(0x43 | (reg << 3)) + hex(random(4) * 8) : hex(0xc0 | (reg << 3) | a);
  const condition = random(16);
  const conditionReads = CONDITION_READS[condition >> 1]!;
  const logic = { sets: ALL & ~AF, kills: AF };
  switch (random(22)) {
    case 0: // ADD, SUB, CMP
      return { code: prefix + hex([0x00, 0x28, 0x38][random(3)]! | wide) + operand(b), sets: ALL };
    case 1: // ADC, SBB
      return { code: prefix + hex([0x10, 0x18][random(2)]! | wide) + operand(b), reads: CF, sets: ALL };
    case 2: // OR, AND, XOR, TEST
      return { code: prefix + hex([0x08, 0x20, 0x30, 0x84][random(4)]! | wide) + operand(b), ...logic };
    case 3: // INC, DEC
      return { code: prefix + hex(0xfe | wide) + operand(random(2)), sets: ALL & ~CF };
    case 4: // NEG
      return { code: prefix + hex(0xf6 | wide) + operand(3), sets: ALL };
    case 5: // SHL, SHR, SAR by one
      return { code: prefix + hex(0xd0 | wide) + operand([4, 5, 7][random(3)]!), ...logic };
    case 6: // the same by two to seven
      return {
        code: prefix + hex(0xc0 | wide) + operand([4, 5, 7][random(3)]!) + hex(2 + random(6)),
        sets: CF | SF | ZF | PF,
        kills: OF | AF,
      };
    case 7: // the same by cl: perhaps by nothing
      return {
        code: prefix + hex(0xd2 | wide) + operand([4, 5, 7][random(3)]!),
        kills: OF | AF | (size <= 2 ? CF : 0),
      };
    case 8: // ROL, ROR by one
      return { code: prefix + hex(0xd0 | wide) + operand(random(2)), sets: CF | OF };
    case 9: // RCL, RCR by one
      return { code: prefix + hex(0xd0 | wide) + operand(2 + random(2)), reads: CF, sets: CF | OF };
    case 10: // ROL, ROR by cl
      return { code: prefix + hex(0xd2 | wide) + operand(random(2)), kills: OF };
    case 11: // RCL, RCR by cl
      return { code: prefix + hex(0xd2 | wide) + operand(2 + random(2)), reads: CF, kills: OF };
    case 12: // BT, BTS, BTR, BTC by an immediate
      if (size === 1) return { code: 'f5', reads: CF, sets: CF }; // CMC
      return {
        code: `${prefix}0fba${operand(4 + random(4))}${hex(random(64))}`,
        sets: CF,
        kills: OF | SF | AF | PF,
      };
    case 13: // IMUL
      if (size === 1) return { code: ['f8', 'f9'][random(2)]!, sets: CF }; // CLC, STC
      return { code: `${prefix}0faf${operand(b)}`, sets: CF | OF, kills: SF | ZF | AF | PF };
    case 14: // SETcc
      return {
        code: `0f${hex(0x90 + condition)}${hex(0xc0 | [0, 1, 2, 4, 5, 6][random(6)]!)}`,
        reads: conditionReads,
      };
    case 15: // CMOVcc
      if (size === 1) return { code: '9f', reads: ALL & ~OF }; // LAHF
      return { code: `${prefix}0f${hex(0x40 + condition)}${operand(b)}`, reads: conditionReads };
    case 16: // SAHF
      return { code: '9e', sets: ALL & ~OF };
    case 17: // PUSHF, POP rax
      return { code: '9c58', reads: ALL };
    case 18: // POPCNT
      if (size === 1) return { code: 'f5', reads: CF, sets: CF };
      return { code: `${size === 2 ? '66' : ''}f3${size === 8 ? '48' : ''}0fb8${operand(b)}`, sets: ALL };
    case 19: // MOV
      return { code: prefix + hex([0x88, 0x8a][random(2)]! | wide) + operand(b) };
    case 20: // BT with a register
      if (size === 1) return { code: 'f8', sets: CF };
      return {
        code: `${prefix}0f${hex([0xa3, 0xab, 0xb3, 0xbb][random(4)]!)}${hex(0xc0 | (b << 3) | a)}`,
        sets: CF,
        kills: OF | SF | AF | PF,
      };
    default: // CMPXCHG, XADD
      return { code: `${prefix}0f${hex([0xb0, 0xc0][random(2)]! | wide)}${operand(b)}`, sets: ALL };
  }
}

/** Flags defined after a step. */
const after = (known: number, step: Step): number => (known & ~(step.kills ?? 0)) | (step.sets ?? 0);

/** A random program: ten steps, some behind forward jumps, every other program three times round. */
function program(seed: number): Form {
  const random = numbers(seed);
  const looped = seed % 2 === 1;
  // Coming round again, only what the body itself defines is known.
  let known = looped ? 0 : ALL;
  let body = '';
  const choose = (): Step => {
    for (;;) {
      const step = randomStep(random);
      if (((step.reads ?? 0) & ~known) === 0) return step;
    }
  };
  for (let i = 0; i < 10; i++) {
    const condition = random(16);
    if (random(4) === 0 && (CONDITION_READS[condition >> 1]! & ~known) === 0) {
      const skipped = choose();
      body += hex(0x70 + condition) + hex(skipped.code.length / 2) + skipped.code;
      known &= after(known, skipped);
      continue;
    }
    const step = choose();
    body += step.code;
    known = after(known, step);
  }
  let code = body;
  if (looped) {
    // mov r15d, 3; body; dec r15d; jnz body
    code = `41bf03000000${body}41ffcf75${hex(-(body.length / 2 + 5))}`;
    known |= ALL & ~CF;
  }
  return {
    name: `program ${seed}`,
    long: true,
    code,
    registers: 'rrrpprrrrrrrrrrr',
    memory: 'r',
    fixups: '-',
    fpu: '--',
    flags: known,
    count: '-',
    direction: false,
    status: 0,
  };
}

export const PROGRAMS: readonly Form[] = Array.from({ length: 400 }, (_, seed) => program(seed));
