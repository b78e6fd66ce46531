/**
 * The instructions by which a Xen guest asks: a hypercall and the CPUID that Xen intercepts.
 *
 * 64-bit: the number in rax, arguments in rdi, rsi, rdx, r10, r8, SYSCALL; the result comes in rax, rcx and r11 are lost.
 * 32-bit: eax; ebx, ecx, edx, esi, edi; INT 0x82; the upper halves of arguments are ignored, the result sign-extends.
 * (Xen 4.17, public/arch-x86/xen-x86_64.h and xen-x86_32.h)
 *
 * Every hypercall is made here, but for the iret at the end of an interrupt, so here they are counted.
 */
import { increment64 } from './memory';

@external("machine", "hypercall0") declare function make0(number: u32): i64;
@external("machine", "hypercall1") declare function make1(number: u32, a: u64): i64;
@external("machine", "hypercall2") declare function make2(number: u32, a: u64, b: u64): i64;
@external("machine", "hypercall3") declare function make3(number: u32, a: u64, b: u64, c: u64): i64;
@external("machine", "hypercall4")
declare function make4(number: u32, a: u64, b: u64, c: u64, d: u64): i64;
@external("machine", "hypercall5")
declare function make5(number: u32, a: u64, b: u64, c: u64, d: u64, e: u64): i64;

const NUMBERS: u32 = 64;
/** How often each was asked for, u64 by number. */
const counts: usize = memory.data(64 * 8, 8);

/** Counts one that somebody else makes: a call of a multicall. */
@inline export function countHypercall(number: u32): void {
  increment64(counts + <usize>(number & (NUMBERS - 1)) * 8);
}

/** How often hypercall `number` was asked for. */
export function hypercallCount(number: u32): u64 {
  return load<u64>(counts + <usize>(number & (NUMBERS - 1)) * 8);
}

@inline export function hypercall0(number: u32): i64 {
  countHypercall(number);
  return make0(number);
}
@inline export function hypercall1(number: u32, a: u64): i64 {
  countHypercall(number);
  return make1(number, a);
}
@inline export function hypercall2(number: u32, a: u64, b: u64): i64 {
  countHypercall(number);
  return make2(number, a, b);
}
@inline export function hypercall3(number: u32, a: u64, b: u64, c: u64): i64 {
  countHypercall(number);
  return make3(number, a, b, c);
}
@inline export function hypercall4(number: u32, a: u64, b: u64, c: u64, d: u64): i64 {
  countHypercall(number);
  return make4(number, a, b, c, d);
}
@inline export function hypercall5(number: u32, a: u64, b: u64, c: u64, d: u64, e: u64): i64 {
  countHypercall(number);
  return make5(number, a, b, c, d, e);
}

/** The forced CPUID, UD2 "xen" CPUID. Writes eax, ebx, ecx, edx, 16 bytes, at `into`. */
@external("machine", "forcedCpuid")
export declare function forcedCpuid(leaf: u32, subleaf: u32, into: usize): void;
