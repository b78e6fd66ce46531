/**
 * A program's way to its kernel: SYSCALL with the number in rax, arguments in rdi, rsi, rdx, r10, r8, r9; the result comes in
 * rax, rcx and r11 are lost.
 */

@external("machine", "systemCall0") export declare function systemCall0(number: u32): i64;
@external("machine", "systemCall1") export declare function systemCall1(number: u32, a: u64): i64;
@external("machine", "systemCall2") export declare function systemCall2(number: u32, a: u64, b: u64): i64;
@external("machine", "systemCall3") export declare function systemCall3(number: u32, a: u64, b: u64, c: u64): i64;
@external("machine", "systemCall4")
export declare function systemCall4(number: u32, a: u64, b: u64, c: u64, d: u64): i64;
@external("machine", "systemCall5")
export declare function systemCall5(number: u32, a: u64, b: u64, c: u64, d: u64, e: u64): i64;
@external("machine", "systemCall6")
export declare function systemCall6(number: u32, a: u64, b: u64, c: u64, d: u64, e: u64, f: u64): i64;
