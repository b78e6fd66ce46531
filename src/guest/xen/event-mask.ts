/**
 * The event mask: what a Xen guest has in place of the processor's interrupt flag, which it cannot change. A byte of
 * vcpu_info that is not 0 holds all events of this vCPU back.
 *
 * Masking is a store. Unmasking is a store and a look: an event that became pending while the mask was set has missed its
 * chance, and Xen will not look by itself before the next hypercall. So whoever unmasks looks, and if there is something
 * makes a hypercall, any will do; on its way out Xen delivers. (Linux 2.6.23, arch/i386/xen/enlighten.c, xen_irq_enable.)
 *
 * These are the four operations that a kernel calls most; `patch.ts` has them as instructions to be put in a call's place.
 */
import { XENVER_version } from '../../abi/xen/numbers/version.ts';
import { vcpu_info_evtchn_upcall_mask, vcpu_info_evtchn_upcall_pending } from '../abi/structures';
import { HYPERVISOR_xen_version } from './hypercall';
import { vcpuInfo } from './vcpu-info';

/** The interrupt flag in RFLAGS: how the operations say "enabled", whatever they run on. */
const FLAG_INTERRUPT: u64 = 0x200;

/** The flag's state: FLAG_INTERRUPT if events are let through, or 0. */
export function xenSaveInterrupts(): u64 {
  return load<u8>(vcpuInfo, vcpu_info_evtchn_upcall_mask) === 0 ? FLAG_INTERRUPT : 0;
}

/** Goes back to a state that `xenSaveInterrupts` gave; other bits than the flag do not count. */
export function xenRestoreInterrupts(state: u64): void {
  if ((state & FLAG_INTERRUPT) !== 0) xenEnableInterrupts();
  else xenDisableInterrupts();
}

export function xenDisableInterrupts(): void {
  store<u8>(vcpuInfo, 1, vcpu_info_evtchn_upcall_mask);
}

export function xenEnableInterrupts(): void {
  store<u8>(vcpuInfo, 0, vcpu_info_evtchn_upcall_mask);
  if (load<u8>(vcpuInfo, vcpu_info_evtchn_upcall_pending) !== 0) forceUpcall();
}

/** Makes Xen look for pending events now. */
export function forceUpcall(): void {
  HYPERVISOR_xen_version(XENVER_version, 0);
}
