/**
 * Stacks: every task has one in the kernel's memory, and a switch of tasks is a switch of stacks.
 *
 * What `switchStack` leaves on the stack it leaves, lowest address first: r15, r14, r13, r12, rbx, rbp, the return address.
 * A stack that was never left gets the same form from `prepareStack`.
 */
import { functionAddress } from './operations';

/** The frame of the calling function: two machine words, its caller's frame and the address that it returns to. 0: none. */
@external("machine", "framePointer") export declare function framePointer(): usize;
/** The stack pointer of the caller. */
@external("machine", "stackPointer") export declare function stackPointer(): usize;

/**
 * Leaves this stack and goes on where `newStack` was left. The stack pointer of the stack that is left is stored at
 * `save` (usize) first, so that somebody can come back here.
 */
@external("machine", "switchStack") export declare function switchStack(save: usize, newStack: usize): void;

/** Calls function `index` with `argument` on the stack that ends below `top`. Does not return. */
@external("machine", "callOnStack")
export declare function callOnStack(top: usize, index: u32, argument: usize): void;

/** Where a prepared stack "returns" to: it calls the function in rbx with r12 as argument, which must not return. */
@external("machine", "taskEntry") declare function taskEntry(): u64;

/**
 * Makes the stack below `top` look as if `switchStack` had left it right before a call of function `index` (a
 * function's `.index`) with `argument`. Gives the stack pointer for `switchStack`. The function must not return.
 */
export function prepareStack(top: usize, index: u32, argument: usize): usize {
  if (WORD_BITS == 64) {
    const stack = top - 8 * 8;
    store<u64>(stack, native15());
    store<u64>(stack + 8, 0); // r14
    store<u64>(stack + 16, 0); // r13
    store<u64>(stack + 24, argument); // r12
    store<u64>(stack + 32, functionAddress(index)); // rbx
    store<u64>(stack + 40, 0); // rbp
    store<u64>(stack + 48, taskEntry());
    store<u64>(stack + 56, 0); // above the first frame there is nobody
    return stack;
  }
  const stack = top - 6 * 4;
  store<u32>(stack, <u32>functionAddress(index)); // ebx
  store<u32>(stack + 4, argument); // esi
  store<u32>(stack + 8, 0); // edi
  store<u32>(stack + 12, 0); // ebp
  store<u32>(stack + 16, <u32>taskEntry());
  store<u32>(stack + 20, 0);
  return stack;
}

/** What r15 always holds in compiled code: what is added to an address of the module to make it a machine address. */
@inline function native15(): u64 {
  return 0xffffffff00000000;
}
