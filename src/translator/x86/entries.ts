/**
 * Entry points: the few instructions between what Xen or the processor does and a function of the guest's, and back.
 *
 * Every entry brings the stack to one form (src/guest/machine/trap-frame.ts): from the top SS, RSP, RFLAGS, CS, RIP, the
 * error code, the number of the entry, and below it all registers. It calls the handler with the address of that. The way
 * back ends in the operation "cpu.iret", with RIP to SS left on the stack.
 *
 * (Xen 4.17, arch/x86/x86_64/entry.S, create_bounce_frame: what Xen pushes is RCX, R11 and then what the processor would.
 * Intel SDM, volume 3A, 6.12 and 6.14.)
 */
import { operationSymbol } from '../ir/imports.ts';
import { Alu, Assembler, Shift } from './assembler.ts';
import type { CodeMark } from './marks.ts';
import {
  type Gpr,
  R8,
  R9,
  R10,
  R11,
  R12,
  R13,
  R14,
  R15,
  RAX,
  RBP,
  RBX,
  RCX,
  RDI,
  RDX,
  RSI,
  RSP,
} from './registers.ts';
import { ENTRY_RETURN, loadKernelBase } from './sequences.ts';

const VECTORS = 256;
const STUB_BYTES = 16;
const VECTOR_EVENT = 256;
const VECTOR_FAILSAFE = 257;
const VECTOR_SYSTEM_CALL = 258;
/** #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #VC, #SX push an error code. */
const WITH_ERROR: ReadonlySet<number> = new Set([8, 10, 11, 12, 13, 14, 17, 21, 29, 30]);
/** The hypercall that does what IRET would. */
const HYPERVISOR_IRET = 23;

/** In the order in which they are pushed. */
const PUSHED = [RDI, RSI, RDX, RCX, RAX, R8, R9, R10, R11, RBX, RBP, R12, R13, R14, R15];

/** One machine word each, for the system call's entry on the bare machine. */
export const SYSTEM_CALL_WORDS = {
  /** Where the user's RSP waits for two instructions. */
  userStack: 'machine.user_stack',
  /** The stack to take. */
  kernelStack: 'image.kernel_stack_top',
  /** CS and SS of users: SYSCALL tells nobody what they were. */
  userSelectors: 'image.user_selectors',
} as const;

const INT3 = 0xcc;
const CLD = 0xfc;
const SYSCALL = [0x0f, 0x05];
const IRETQ = [0x48, 0xcf];

type Emit = (a: Assembler<CodeMark>, handler: string) => void;

/** Pushes the numbers that precede an entry's registers, saves those and calls the handler. */
function finishEntry(a: Assembler<CodeMark>, handler: string): void {
  for (const register of PUSHED) a.push(register);
  a.raw(CLD);
  loadKernelBase(a, R15);
  a.load(4, RDI, RSP);
  a.call(handler);
  a.jumpSymbol(ENTRY_RETURN);
}

/** 256 stubs at equal distances, then what they have in common. */
function vectors(prefix: (a: Assembler<CodeMark>) => number): Emit {
  return (a, handler) => {
    const common = a.label();
    for (let vector = 0; vector < VECTORS; vector++) {
      let used = prefix(a);
      if (!WITH_ERROR.has(vector)) {
        a.pushImmediate8(0);
        used += 2;
      }
      a.pushImmediate32(vector);
      a.longJump(common);
      used += 10;
      for (; used < STUB_BYTES; used++) a.raw(INT3);
    }
    a.place(common);
    finishEntry(a, handler);
  };
}

/** Takes what Xen pushed above the processor's frame. */
function popXen(a: Assembler<CodeMark>): number {
  a.pop(RCX);
  a.pop(R11);
  return 3;
}

function xenEntry(vector: number): Emit {
  return (a, handler) => {
    popXen(a);
    a.pushImmediate8(0);
    a.pushImmediate32(vector);
    finishEntry(a, handler);
  };
}

/** The entry stubs of each kind, as guest sources name them. */
const KINDS: Readonly<Record<string, Emit>> = {
  xenTraps: vectors(popXen),
  xenEvent: xenEntry(VECTOR_EVENT),
  xenSystemCall: xenEntry(VECTOR_SYSTEM_CALL),
  /* Stack: RCX, R11, DS, ES, FS, GS, RIP, CS, RFLAGS, RSP, SS. The selectors become the error code. */
  xenFailsafe: (a, handler) => {
    const at = (word: number) => ({ base: RSP, displacement: 8 * word });
    a.load(8, RCX, at(0));
    a.load(8, R11, at(1));
    a.store(8, at(0), RAX);
    a.loadZeroExtended(2, RAX, at(5));
    for (const word of [4, 3, 2]) {
      a.shiftImmediate(Shift.shl, 8, RAX, 16);
      a.load(2, RAX, at(word));
    }
    a.store(8, at(5), RAX);
    a.storeImmediate(8, at(4), VECTOR_FAILSAFE);
    a.load(8, RAX, at(0));
    a.lea(8, RSP, at(4));
    finishEntry(a, handler);
  },
  nativeInterrupts: vectors(() => 0),
  /* SYSCALL leaves RIP in RCX and RFLAGS in R11, and the user's stack where it is. */
  nativeSystemCall: (a, handler) => {
    const word = (symbol: string, index = 0) => ({ displacement: 8 * index, symbol });
    a.store(8, word(SYSTEM_CALL_WORDS.userStack), RSP);
    a.load(8, RSP, word(SYSTEM_CALL_WORDS.kernelStack));
    a.pushMemory(word(SYSTEM_CALL_WORDS.userSelectors, 1));
    a.pushMemory(word(SYSTEM_CALL_WORDS.userStack));
    a.push(R11);
    a.pushMemory(word(SYSTEM_CALL_WORDS.userSelectors));
    a.push(RCX);
    a.pushImmediate8(0);
    a.pushImmediate32(VECTOR_SYSTEM_CALL);
    finishEntry(a, handler);
  },
};

/** What entries and their returns share, by symbol. */
const SHARED: Readonly<Record<string, (a: Assembler<CodeMark>) => void>> = {
  /** RSP is the address of a frame: all registers, then through the operation. */
  [ENTRY_RETURN]: (a) => {
    for (const register of [...PUSHED].reverse()) a.pop(register);
    a.aluImmediate(Alu.add, 8, RSP, 16);
    a.jumpTo({ displacement: 0, symbol: operationSymbol('cpu.iret') });
  },
  /* iret_context: RAX, R11, RCX, flags; then RIP to SS, which are there. */
  'machine.xen_interrupt_return': (a) => {
    a.pushImmediate8(0);
    for (const register of [RCX, R11, RAX]) a.push(register);
    a.loadImmediate(RAX, BigInt(HYPERVISOR_IRET));
    a.raw(...SYSCALL);
    a.undefined();
  },
  'machine.native_interrupt_return': (a) => a.raw(...IRETQ),
  /** What prepareStack of src/guest/machine/stack.ts returns to: RBX is a function, R12 its argument. */
  'machine.task_entry': (a) => {
    a.load(4, RDI, R12);
    a.callTo(RBX);
    a.undefined();
  },
};

/** The kinds of entry stubs that there are. */
export const ENTRY_KINDS: readonly string[] = Object.keys(KINDS);

/** The stubs of a kind that call `handler`, a function's symbol. */
export function entryStubs(kind: string, handler: string): Assembler<CodeMark> {
  const a = new Assembler<CodeMark>(64);
  KINDS[kind]!(a, handler);
  return a;
}

/** What entries share, by symbol, each made when it is asked for. */
export function sharedEntryCode(): Map<string, () => Assembler<CodeMark>> {
  return new Map(
    Object.entries(SHARED).map(([symbol, emit]) => [
      symbol,
      () => {
        const a = new Assembler<CodeMark>(64);
        emit(a);
        return a;
      },
    ]),
  );
}

export interface Start {
  /** The function to call. It must not return. */
  readonly handler: string;
  /** Whether its parameter is an i32, whose upper half must be zero. */
  readonly narrow: boolean;
  /** What initialises the module's globals, if anything must. */
  readonly initialise: string | undefined;
}

/** The first instructions of a kernel: RSI, which says what the machine is, becomes the first parameter. `stack`: its end. */
export function kernelStart(start: Start & { readonly stack: string }): Assembler<CodeMark> {
  const a = new Assembler<CodeMark>(64);
  a.raw(CLD);
  a.loadSymbol(RSP, start.stack, 0, true);
  loadKernelBase(a, R15);
  callHandler(a, RSI, start);
  return a;
}

/** The first instructions of a program: RSP, where its arguments are, becomes the first parameter. */
export function programStart(start: Start): Assembler<CodeMark> {
  const a = new Assembler<CodeMark>(64);
  callHandler(a, RSP, start);
  return a;
}

function callHandler(a: Assembler<CodeMark>, given: Gpr, { handler, narrow, initialise }: Start): void {
  a.load(8, RBX, given);
  a.loadImmediate(RBP, 0n);
  if (initialise !== undefined) a.call(initialise);
  a.load(narrow ? 4 : 8, RDI, RBX);
  a.call(handler);
  a.undefined();
}
