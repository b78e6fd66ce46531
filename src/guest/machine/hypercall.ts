/**
 * The instructions by which a Xen guest asks: a hypercall and the CPUID that Xen intercepts.
 *
 * 64-bit: the number in rax, arguments in rdi, rsi, rdx, r10, r8, SYSCALL; the result comes in rax, rcx and r11 are lost.
 * 32-bit: eax; ebx, ecx, edx, esi, edi; INT 0x82; the upper halves of arguments are ignored, the result sign-extends.
 * (Xen 4.17, public/arch-x86/xen-x86_64.h and xen-x86_32.h)
 */

@external("machine", "hypercall0") export declare function hypercall0(number: u32): i64;
@external("machine", "hypercall1") export declare function hypercall1(number: u32, a: u64): i64;
@external("machine", "hypercall2") export declare function hypercall2(number: u32, a: u64, b: u64): i64;
@external("machine", "hypercall3") export declare function hypercall3(number: u32, a: u64, b: u64, c: u64): i64;
@external("machine", "hypercall4")
export declare function hypercall4(number: u32, a: u64, b: u64, c: u64, d: u64): i64;
@external("machine", "hypercall5")
export declare function hypercall5(number: u32, a: u64, b: u64, c: u64, d: u64, e: u64): i64;

/** The forced CPUID, UD2 "xen" CPUID. Writes eax, ebx, ecx, edx, 16 bytes, at `into`. */
@external("machine", "forcedCpuid")
export declare function forcedCpuid(leaf: u32, subleaf: u32, into: usize): void;
