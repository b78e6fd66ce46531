/**
 * Calls through an operation table: the call sites of paravirt operations, which a kernel may rewrite once it knows on
 * what it runs.
 *
 * Whoever calls declares the operation; the translator gives each name one slot of the table (a machine word):
 *
 *     @external("operation", "mmu.set_pte") export declare function setPte(entry: usize, value: u64): void;
 *     @external("operation.room24", "irq.save") export declare function saveInterrupts(): u64;
 *
 * The site is `call *slot`; with `.roomN` it is padded with NOPs to N bytes (7 at least), so that a longer template fits.
 * Whoever fills the table asks for the slot under the same name:
 *
 *     @external("operation.slot", "irq.save") declare function saveInterruptsSlot(): usize;
 *     setOperation(saveInterruptsSlot(), xenSaveInterrupts.index);
 *
 * Convention at a site, and so for code that replaces it: arguments in rdi, rsi, rdx, rcx, r8, r9 (an i32 with its upper
 * half zero), the result in rax; rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11 and the flags may change, the direction flag is
 * and stays clear, nothing below rsp is in use. A slot that was never set is 0, and calling through it faults there.
 */

/** A call through the operation table, as the translator records it. */
@unmanaged
export class PatchSite {
  /** The first byte of the call. */
  address: usize;
  /** The operation's slot. */
  slot: usize;
  /** Bytes of the site, padding included. */
  bytes: u16;
  /** Registers whose contents nobody needs after the site, a bit for each by its number in an encoding (bit 0: rax). */
  clobbers: u16;
  reserved: u32;
}

/** The machine address of a function of the module, by its table index: `functionAddress(f.index)`. */
@external("machine", "functionAddress") export declare function functionAddress(index: u32): u64;

/** Lets an operation be done by a function of the module, given by its `.index`. Its signature must be the operation's. */
export function setOperation(slot: usize, index: u32): void {
  setOperationAddress(slot, functionAddress(index));
}

/** Lets an operation be done by the code at a machine address. */
export function setOperationAddress(slot: usize, address: u64): void {
  if (WORD_BITS == 64) store<u64>(slot, address);
  else store<u32>(slot, <u32>address);
}
