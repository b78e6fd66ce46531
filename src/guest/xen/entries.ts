/** The addresses of our entry stubs (../machine/trap-frame.ts says what they do), and the functions that they call. */

/** 256 stubs, for the trap table; they call `handleTrap` of ../paravirt/handlers.ts. */
@external("entry.xenTraps", "handleTrap") export declare function trapEntries(): u64;
/** SYSCALL's. */
@external("entry.xenSystemCall", "handleTrap") export declare function systemCallEntry(): u64;
/** The event callback; it calls `xenEventUpcall` of upcalls.ts. */
@external("entry.xenEvent", "xenEventUpcall") export declare function eventEntry(): u64;
/** The failsafe callback; it calls `xenFailsafeUpcall` of upcalls.ts. */
@external("entry.xenFailsafe", "xenFailsafeUpcall") export declare function failsafeEntry(): u64;
