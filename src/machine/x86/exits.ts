/** Why `Engine.run` came back. The CPU reports; the hypervisor decides. */
export const Exit = {
  /** The budget is spent; nothing else happened. */
  Budget: 0,
  /** An exception: vector, error code, for #PF also the address. RIP is that of the instruction (a trap: of the next). */
  Exception: 1,
  /** INT n, INT3 and INTO: `vector`. RIP is that of the next instruction, `length` that of the INT. */
  Interrupt: 2,
  /** SYSCALL; RIP is that of the next instruction; rcx and r11 are unchanged: the hypervisor decides what they get. */
  Syscall: 3,
  /** SYSENTER. */
  Sysenter: 4,
  /** HLT at CPL 0 (elsewhere it is #GP). */
  Halt: 5,
  /** CPUID; RIP is that of the next instruction. */
  Cpuid: 6,
  /** VMCALL or VMMCALL; RIP is that of the instruction, `length` its length. */
  Vmcall: 7,
  /** RIP is where decoding must go on: internal to the engine, never seen by a hypervisor. */
  Decode: 8,
  /** A privileged or rare system instruction at CPL 0 that the engine leaves to TypeScript; RIP is that of the instruction. */
  System: 9,
  /** The run from RIP is longer than the budget: internal to the engine. */
  Step: 10,
  /** A record has been entered often enough to be compiled: internal to the engine. */
  Hot: 11,
  /** Compiled code begins at the record: internal to the engine. */
  Compiled: 12,
  /** Compiled code leaves an instruction to the interpreter, and is done with it: internal to the engine. */
  Miss: 13,
  /** A compiled function is left often because of the TLB: internal to the engine. */
  Thrashing: 14,
  /** RFLAGS.IF was set while CPU_INTERRUPT_WAITS said that an interrupt waits for it. RIP is that of the next instruction. */
  InterruptWindow: 15,
  /** The interpreter has returned to where compiled code waits: internal to the engine. */
  Returned: 16,
  /** `Engine.onExit` has dealt with what happened, and has granted no more instructions. */
  Settled: 17,
} as const;
export type Exit = (typeof Exit)[keyof typeof Exit];

export const EXIT_NAMES = [
  'budget',
  'exception',
  'interrupt',
  'syscall',
  'sysenter',
  'halt',
  'cpuid',
  'vmcall',
  'decode',
  'system',
  'step',
  'hot',
  'compiled',
  'miss',
  'thrashing',
  'interrupt window',
  'returned',
  'settled',
] as const;
