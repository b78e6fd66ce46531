/**
 * The imports of module "machine" that are routines, called by the target's convention; linked in where somebody calls.
 */
import { Alu, Assembler, Shift } from './assembler.ts';
import type { CodeMark } from './marks.ts';
import { Cc, R12, R13, R14, R15, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP } from './registers.ts';
import { moduleMemory } from './sequences.ts';
import { SCRATCH, type Target } from './target.ts';

type Emit = (a: Assembler<CodeMark>, target: Target) => void;

/* REP MOVSB, MOVSQ, STOSB, STOSQ; STD and CLD */
const REP_MOVSB = [0xf3, 0xa4];
const REP_MOVSQ = [0xf3, 0x48, 0xa5];
const REP_STOSB = [0xf3, 0xaa];
const REP_STOSQ = [0xf3, 0x48, 0xab];
const STD = 0xfd;
const CLD = 0xfc;
const BYTES_OF_ONE = 0x01010101_01010101n;

/** What switchStack saves, first pushed first; src/guest/machine/stack.ts tells guests of it. */
const SAVED = [RBP, RBX, R12, R13, R14, R15];

/** Makes a machine address of the module's address in a register. */
function widen(a: Assembler<CodeMark>, { base }: Target, register: number): void {
  if (base !== undefined) a.alu(Alu.add, 8, register, base);
}

/** Eight at a time with `wide`, then the rest of RDX bytes with `narrow`. */
function repeat(a: Assembler<CodeMark>, wide: readonly number[], narrow: readonly number[]): void {
  a.load(4, RCX, RDX);
  a.shiftImmediate(Shift.shr, 4, RCX, 3);
  a.raw(...wide);
  a.load(4, RCX, RDX);
  a.aluImmediate(Alu.and, 4, RCX, 7);
  a.raw(...narrow);
  a.ret();
}

/** Tries an access that may fault: `attempt` is one instruction. Gives 0, or 1 after a fault. */
function probe(attempt: Emit, then: Emit = () => {}): Emit {
  return (a, target) => {
    a.mark({ kind: 'mayFault', name: 'access' });
    attempt(a, target);
    then(a, target);
    a.loadImmediate(RAX, 0n);
    a.ret();
    a.mark({ kind: 'fixup', name: 'access' });
    a.loadImmediate(RAX, 1n);
    a.ret();
  };
}

function probeLoad(bytes: 4 | 8): Emit {
  return probe(
    (a) => a.load(bytes, RAX, { base: RDI, displacement: 0 }),
    (a, target) => a.store(bytes, moduleMemory(target, RSI), RAX),
  );
}

const EMITTERS: Readonly<Record<string, Emit>> = {
  /** RDI to, RSI from, EDX bytes. Downwards where the target begins inside the source. */
  'memory.copy': (a, target) => {
    const downwards = a.label();
    widen(a, target, RDI);
    widen(a, target, RSI);
    a.load(8, RAX, RDI);
    a.alu(Alu.sub, 8, RAX, RSI);
    a.alu(Alu.cmp, 8, RAX, RDX);
    a.jumpIf(Cc.below, downwards);
    repeat(a, REP_MOVSQ, REP_MOVSB);
    a.place(downwards);
    a.load(4, RCX, RDX);
    a.lea(8, RDI, { base: RDI, index: RDX, displacement: -1 });
    a.lea(8, RSI, { base: RSI, index: RDX, displacement: -1 });
    a.raw(STD, ...REP_MOVSB, CLD);
    a.ret();
  },
  /** RDI to, ESI value, EDX bytes. */
  'memory.fill': (a, target) => {
    widen(a, target, RDI);
    a.loadZeroExtended(1, RAX, RSI);
    a.loadImmediate(SCRATCH, BYTES_OF_ONE);
    a.multiply(8, RAX, SCRATCH);
    repeat(a, REP_STOSQ, REP_STOSB);
  },
  probeLoad32: probeLoad(4),
  probeLoad64: probeLoad(8),
  probeStore64: probe((a) => a.store(8, { base: RDI, displacement: 0 }, RSI)),
  /** RDI to, RSI from, RDX bytes. REP leaves in RCX what it has not done, fault or not. */
  probeCopy: (a) => {
    a.load(8, RCX, RDX);
    a.mark({ kind: 'mayFault', name: 'copy' });
    a.raw(...REP_MOVSB);
    a.mark({ kind: 'fixup', name: 'copy' });
    a.load(8, RAX, RCX);
    a.ret();
  },
  /** EDI where to save ESP, ESI the other stack. */
  switchStack: (a, target) => {
    for (const register of SAVED) a.push(register);
    a.store(4, moduleMemory(target, RDI), RSP);
    a.lea(8, RSP, moduleMemory(target, RSI));
    for (const register of [...SAVED].reverse()) a.pop(register);
    a.ret();
  },
};

/** Whether the machine function of this name is a routine, not a sequence. */
export function isRoutine(name: string): boolean {
  return Object.hasOwn(EMITTERS, name);
}

/** The symbol of a routine. */
export function routineSymbol(name: string): string {
  return `machine.${name}`;
}

/** All routines by symbol, each made when it is asked for. */
export function routines(target: Target): Map<string, () => Assembler<CodeMark>> {
  return new Map(
    Object.entries(EMITTERS).map(([name, emit]) => [
      routineSymbol(name),
      () => {
        const a = new Assembler<CodeMark>(64);
        emit(a, target);
        return a;
      },
    ]),
  );
}
