/**
 * The imports of module "machine" that are a few instructions in the place of their call: each with the registers that its
 * operands must be in, and its encoding beside it. (Intel SDM, volume 2; Xen 4.17, public/arch-x86/xen-x86_64.h.)
 *
 * Operand registers may be destroyed, and so may RAX and R11. A result is in RAX; one of 32 bits has its upper half zero.
 */
import { type Assembler, Group3, Shift } from './assembler.ts';
import type { Memory } from './encoder.ts';
import type { CodeMark } from './marks.ts';
import { type Gpr, R8, R9, R10, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP } from './registers.ts';
import type { Target } from './target.ts';

export interface Sequence {
  /** Where each operand must be. */
  readonly operands: readonly Gpr[];
  /** What it destroys besides. */
  readonly clobbers?: readonly Gpr[];
  readonly emit: (a: Assembler<CodeMark>, target: Target) => void;
}

/** Symbol of the table that `call_indirect` uses: {type, low half of the address}, 4 bytes each. */
export const FUNCTION_TABLE = 'machine.function_table';
/** Symbol of the way out of an entry: RSP is the address of a trap frame. */
export const ENTRY_RETURN = 'machine.entry_return';

/** The machine address of the module's address in a register, plus `displacement`. */
export function moduleMemory({ base }: Target, register: Gpr, displacement = 0): Memory {
  return base === undefined ? { base: register, displacement } : { base, index: register, displacement };
}

/** Instructions as bytes. */
function bytes(operands: readonly Gpr[], ...code: readonly number[]): Sequence {
  return { operands, emit: (a) => a.raw(...code) };
}

/** MOVZX EAX, AL and MOVZX EAX, AX */
const ZERO_EXTEND_AL = [0x0f, 0xb6, 0xc0] as const;
const ZERO_EXTEND_AX = [0x0f, 0xb7, 0xc0] as const;
/** SETC AL; MOVZX EAX, AL */
const CARRY_INTO_EAX = [0x0f, 0x92, 0xc0, ...ZERO_EXTEND_AL] as const;
/** SHL RDX, 32; OR RAX, RDX */
const EDX_EAX_INTO_RAX = [0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0] as const;

const ARGUMENTS = [RDI, RSI, RDX, R10, R8, R9];
/* SYSCALL: 0F 05. Xen wants the number in RAX and five arguments; so does Linux, with six. RCX and R11 are lost. */
function systemCall(count: number): Sequence {
  return { operands: [RAX, ...ARGUMENTS.slice(0, count)], clobbers: [RCX], emit: (a) => a.raw(0x0f, 0x05) };
}

/* CPUID: 0F A2, with leaf in EAX and subleaf in ECX; the four results go where RDI says. */
function cpuid(prefix: readonly number[]): Sequence {
  return {
    operands: [RAX, RCX, RDI],
    clobbers: [RDX],
    emit: (a, target) => {
      a.push(RBX);
      a.raw(...prefix, 0x0f, 0xa2);
      for (const [i, register] of [RAX, RBX, RCX, RDX].entries()) {
        a.store(4, moduleMemory(target, RDI, 4 * i), register);
      }
      a.pop(RBX);
    },
  };
}

/** An instruction whose operand is memory of the module: opcode /extension. */
function onMemory(opcode: readonly number[], extension: number, wide = false): Sequence {
  return {
    operands: [RAX],
    emit: (a, target) => a.extended(opcode, extension, moduleMemory(target, RAX), wide),
  };
}

/* MOV r64, imm32: the address of a symbol */
function addressOf(symbol: string): Sequence {
  return { operands: [], emit: (a) => a.loadSymbol(RAX, symbol, 0, true) };
}

/* MOVSXD RAX, [table + index * 8 + 4] */
function loadFunctionAddress(a: Assembler<CodeMark>, index: Gpr): void {
  a.loadSignExtended(4, 8, RAX, { index, scale: 8, displacement: 4, symbol: FUNCTION_TABLE });
}

export const SEQUENCES: Readonly<Record<string, Sequence>> = {
  ...Object.fromEntries([0, 1, 2, 3, 4, 5].map((count) => [`hypercall${count}`, systemCall(count)])),
  ...Object.fromEntries([0, 1, 2, 3, 4, 5, 6].map((count) => [`systemCall${count}`, systemCall(count)])),

  // Memory
  copy: bytes([RDI, RSI, RCX], 0xf3, 0xa4), // rep movsb
  fill: bytes([RDI, RAX, RCX], 0xf3, 0xaa), // rep stosb
  compareExchange64: bytes([RDI, RAX, RDX], 0xf0, 0x48, 0x0f, 0xb1, 0x17), // lock cmpxchg [rdi], rdx
  compareExchange32: bytes([RDI, RAX, RDX], 0xf0, 0x0f, 0xb1, 0x17), // lock cmpxchg [rdi], edx
  exchange8: bytes([RDI, RAX], 0x86, 0x07, ...ZERO_EXTEND_AL), // xchg [rdi], al
  exchange32: bytes([RDI, RAX], 0x87, 0x07), // xchg [rdi], eax
  exchange64: bytes([RDI, RAX], 0x48, 0x87, 0x07), // xchg [rdi], rax
  lockOr8: bytes([RDI, RAX], 0xf0, 0x08, 0x07), // lock or [rdi], al
  lockAnd8: bytes([RDI, RAX], 0xf0, 0x20, 0x07), // lock and [rdi], al
  lockSetBit: bytes([RDI, RAX], 0xf0, 0x0f, 0xab, 0x07, ...CARRY_INTO_EAX), // lock bts [rdi], eax
  lockClearBit: bytes([RDI, RAX], 0xf0, 0x0f, 0xb3, 0x07, ...CARRY_INTO_EAX), // lock btr [rdi], eax
  increment64: onMemory([0xff], 0, true), // inc qword [rax], of the module
  fence: bytes([], 0x0f, 0xae, 0xf0), // mfence

  // Control registers and translations
  readCr0: bytes([], 0x0f, 0x20, 0xc0), // mov rax, cr0
  readCr2: bytes([], 0x0f, 0x20, 0xd0),
  readCr3: bytes([], 0x0f, 0x20, 0xd8),
  readCr4: bytes([], 0x0f, 0x20, 0xe0),
  writeCr0: bytes([RAX], 0x0f, 0x22, 0xc0), // mov cr0, rax
  writeCr2: bytes([RAX], 0x0f, 0x22, 0xd0),
  writeCr3: bytes([RAX], 0x0f, 0x22, 0xd8),
  writeCr4: bytes([RAX], 0x0f, 0x22, 0xe0),
  clts: bytes([], 0x0f, 0x06),
  invlpg: bytes([RAX], 0x0f, 0x01, 0x38), // invlpg [rax]
  wbinvd: bytes([], 0x0f, 0x09),

  // Debug registers: the number stands in the instruction
  readDr0: bytes([], 0x0f, 0x21, 0xc0), // mov rax, dr0
  readDr1: bytes([], 0x0f, 0x21, 0xc8),
  readDr2: bytes([], 0x0f, 0x21, 0xd0),
  readDr3: bytes([], 0x0f, 0x21, 0xd8),
  readDr6: bytes([], 0x0f, 0x21, 0xf0),
  readDr7: bytes([], 0x0f, 0x21, 0xf8),
  writeDr0: bytes([RAX], 0x0f, 0x23, 0xc0), // mov dr0, rax
  writeDr1: bytes([RAX], 0x0f, 0x23, 0xc8),
  writeDr2: bytes([RAX], 0x0f, 0x23, 0xd0),
  writeDr3: bytes([RAX], 0x0f, 0x23, 0xd8),
  writeDr6: bytes([RAX], 0x0f, 0x23, 0xf0),
  writeDr7: bytes([RAX], 0x0f, 0x23, 0xf8),

  // Descriptor tables and segments
  lgdt: onMemory([0x0f, 0x01], 2),
  lidt: onMemory([0x0f, 0x01], 3),
  ltr: bytes([RAX], 0x0f, 0x00, 0xd8), // ltr ax
  lldt: bytes([RAX], 0x0f, 0x00, 0xd0), // lldt ax
  // push rax; lea rax, [rip + 3]; push rax; retfq
  loadCs: bytes([RAX], 0x50, 0x48, 0x8d, 0x05, 3, 0, 0, 0, 0x50, 0x48, 0xcb),
  loadEs: bytes([RAX], 0x8e, 0xc0), // mov es, eax
  loadSs: bytes([RAX], 0x8e, 0xd0),
  loadDs: bytes([RAX], 0x8e, 0xd8),
  loadFs: bytes([RAX], 0x8e, 0xe0),
  loadGs: bytes([RAX], 0x8e, 0xe8),
  readCs: bytes([], 0x8c, 0xc8), // mov eax, cs
  readSs: bytes([], 0x8c, 0xd0),
  swapgs: bytes([], 0x0f, 0x01, 0xf8),

  // Interrupts
  cli: bytes([], 0xfa),
  sti: bytes([], 0xfb),
  hlt: bytes([], 0xf4),
  stiHlt: bytes([], 0xfb, 0xf4),
  pause: bytes([], 0xf3, 0x90),
  readFlags: bytes([], 0x9c, 0x58), // pushfq; pop rax
  writeFlags: bytes([RAX], 0x50, 0x9d), // push rax; popfq
  breakpoint: bytes([], 0xcc),
  undefinedInstruction: bytes([], 0x0f, 0x0b),
  int80: bytes([], 0xcd, 0x80),

  // Ports, model-specific registers, identification
  inb: bytes([RDX], 0xec, ...ZERO_EXTEND_AL),
  inw: bytes([RDX], 0x66, 0xed, ...ZERO_EXTEND_AX),
  inl: bytes([RDX], 0xed),
  outb: bytes([RDX, RAX], 0xee),
  outw: bytes([RDX, RAX], 0x66, 0xef),
  outl: bytes([RDX, RAX], 0xef),
  rdmsr: { ...bytes([RCX], 0x0f, 0x32, ...EDX_EAX_INTO_RAX), clobbers: [RDX] },
  // mov rdx, rax; shr rdx, 32; wrmsr
  wrmsr: { ...bytes([RCX, RAX], 0x48, 0x89, 0xc2, 0x48, 0xc1, 0xea, 0x20, 0x0f, 0x30), clobbers: [RDX] },
  rdtsc: { ...bytes([], 0x0f, 0x31, ...EDX_EAX_INTO_RAX), clobbers: [RDX] },
  cpuid: cpuid([]),
  forcedCpuid: cpuid([0x0f, 0x0b, 0x78, 0x65, 0x6e]), // ud2; "xen"
  fxsave: onMemory([0x0f, 0xae], 0, true),
  fxrstor: onMemory([0x0f, 0xae], 1, true),
  fninit: bytes([], 0xdb, 0xe3),

  // Arithmetic that WebAssembly lacks
  multiplyHigh: {
    operands: [RAX, RDX],
    emit: (a) => {
      a.group3(Group3.mul, 8, RDX);
      a.load(8, RAX, RDX);
    },
  },
  divideWide: { operands: [RDX, RAX, RCX], emit: (a) => a.group3(Group3.div, 8, RCX) },

  // Stacks and addresses of code
  framePointer: { operands: [], emit: (a) => a.load(4, RAX, RBP) },
  stackPointer: { operands: [], emit: (a) => a.load(4, RAX, RSP) },
  callOnStack: {
    operands: [RAX, RCX, RDI],
    emit: (a, target) => {
      a.lea(8, RSP, moduleMemory(target, RAX));
      loadFunctionAddress(a, RCX);
      a.loadImmediate(RBP, 0n);
      a.callTo(RAX);
      a.undefined();
    },
  },
  resumeFrame: {
    operands: [RAX],
    emit: (a, target) => {
      a.lea(8, RSP, moduleMemory(target, RAX));
      a.jumpSymbol(ENTRY_RETURN);
    },
  },
  functionAddress: { operands: [RAX], emit: (a) => loadFunctionAddress(a, RAX) },
  taskEntry: addressOf('machine.task_entry'),
  xenInterruptReturn: addressOf('machine.xen_interrupt_return'),
  nativeInterruptReturn: addressOf('machine.native_interrupt_return'),
};

/** SHL r64, 32: for whoever must make the upper half of a register out of nothing. */
export function loadKernelBase(a: Assembler<CodeMark>, register: Gpr): void {
  a.loadImmediate(register, -1n, true);
  a.shiftImmediate(Shift.shl, 8, register, 32);
}
