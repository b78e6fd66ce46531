/** The addresses of our entry stubs (../machine/trap-frame.ts says what they do), and the function that they call. */

/** 256 stubs, for interrupt gates; they call `handleTrap` of ../paravirt/handlers.ts. */
@external("entry.nativeInterrupts", "handleTrap") export declare function interruptEntries(): u64;
/** SYSCALL's. */
@external("entry.nativeSystemCall", "handleTrap") export declare function systemCallEntry(): u64;
