/**
 * What an entry stub leaves on the stack and a handler gets the address of: every register of who was interrupted, in one
 * form for Xen and for the bare machine. What the handler writes here is what that one finds on return.
 *
 * A handler is an exported function that takes the frame's address. Stubs are asked for by importing their address:
 *
 *     @external("entry.nativeInterrupts", "handleTrap") declare function interruptEntries(): u64;
 *     export function handleTrap(frame: usize): void { const registers = changetype<TrapFrame>(frame); … }
 *
 *     entry.xenTraps          256 stubs of ENTRY_STUB_BYTES each, for set_trap_table: vector n's is the n-th
 *     entry.xenEvent          set_callbacks' event callback         vector = VECTOR_EVENT
 *     entry.xenFailsafe       set_callbacks' failsafe callback      vector = VECTOR_FAILSAFE; error = ds, es, fs, gs,
 *                                                                   16 bits each from the lowest up
 *     entry.xenSystemCall     set_callbacks' syscall callback       vector = VECTOR_SYSTEM_CALL
 *     entry.nativeInterrupts  256 stubs of ENTRY_STUB_BYTES each, for interrupt gates
 *     entry.nativeSystemCall  for the LSTAR register                vector = VECTOR_SYSTEM_CALL; it takes its stack from
 *                                                                   image.kernel_stack_top, see image.ts
 *
 * A stub saves the registers, calls the handler with interrupts as they were left by the entry (masked on the event
 * callback, by an interrupt gate, and on a native system call), and returns through the operation "cpu.iret", which must
 * have been set to `xenInterruptReturn()` or `nativeInterruptReturn()`.
 */

@unmanaged
export class TrapFrame {
  r15: u64;
  r14: u64;
  r13: u64;
  r12: u64;
  rbp: u64;
  rbx: u64;
  r11: u64;
  r10: u64;
  r9: u64;
  r8: u64;
  rax: u64;
  rcx: u64;
  rdx: u64;
  rsi: u64;
  rdi: u64;
  /** Which entry: 0 to 255, or VECTOR_… below. */
  vector: u64;
  /** What the processor pushed, or 0. */
  error: u64;
  rip: u64;
  /** Xen keeps other things in the upper bits: compare the lowest two. */
  cs: u64;
  rflags: u64;
  rsp: u64;
  ss: u64;
}

/** Bytes of a TrapFrame. */
export const TRAP_FRAME_BYTES: usize = 22 * 8;
/** The distance from one vector's stub to the next one's. */
export const ENTRY_STUB_BYTES: u64 = 16;
export const VECTOR_EVENT: u64 = 256;
export const VECTOR_FAILSAFE: u64 = 257;
export const VECTOR_SYSTEM_CALL: u64 = 258;

/**
 * Returns to whom the frame describes: a user's first entry, or after exec. Nothing comes after it. The frame stands on a
 * stack, or interrupts are off: one that comes on the way is pushed below it.
 */
@external("machine", "resumeFrame") export declare function resumeFrame(frame: usize): void;
/** The end of every entry above Xen: the iret hypercall. For `setOperationAddress` of "cpu.iret". */
@external("machine", "xenInterruptReturn") export declare function xenInterruptReturn(): u64;
/** The end of every entry on the bare machine: IRETQ. */
@external("machine", "nativeInterruptReturn") export declare function nativeInterruptReturn(): u64;
