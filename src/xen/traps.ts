/**
 * A vCPU's virtual IDT and its callbacks: where the guest's kernel wants to be entered, and with what.
 *
 * A 64-bit kernel is always entered with FLAT_KERNEL_CS, whatever selector it registered; the selector is kept because
 * a saved context shows it. (Xen 4.17, arch/x86/pv/callback.c; public/arch-x86/xen.h: TI_GET_DPL, TI_GET_IF.)
 */
import type { Gva } from '../machine/memory.ts';

export const TRAP_VECTORS = 256;

/** Bits of trap_info.flags: the privilege that INT n needs, and whether the entry masks events. */
const TI_DPL = 3;
const TI_MASK_EVENTS = 4;

export class TrapTable {
  readonly address = new Float64Array(TRAP_VECTORS);
  readonly selector = new Uint16Array(TRAP_VECTORS);
  readonly flags = new Uint8Array(TRAP_VECTORS);

  set(vector: number, selector: number, flags: number, address: Gva): void {
    this.address[vector] = address;
    this.selector[vector] = selector;
    this.flags[vector] = flags;
  }

  clear(): void {
    this.address.fill(0);
    this.selector.fill(0);
    this.flags.fill(0);
  }

  /** The least privilege (highest number) from which INT n may reach this vector. */
  dpl(vector: number): number {
    return this.flags[vector]! & TI_DPL;
  }

  masksEvents(vector: number): boolean {
    return (this.flags[vector]! & TI_MASK_EVENTS) !== 0;
  }

  /** Whether the guest has no handler: no selector for a 32-bit guest, no address for a 64-bit one. */
  isNull(vector: number, is64: boolean): boolean {
    return is64 ? this.address[vector] === 0 : (this.selector[vector]! & ~3) === 0;
  }
}

/** One entry point that the guest registered. Address 0: none. */
export class Callback {
  selector = 0;
  address: Gva = 0;
  /** CALLBACKF_mask_events: the upcall mask is set on entry. */
  masksEvents = false;
}

export class Callbacks {
  readonly event = new Callback();
  readonly failsafe = new Callback();
  readonly syscall = new Callback();
  readonly syscall32 = new Callback();
  readonly sysenter = new Callback();
}
