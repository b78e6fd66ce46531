/**
 * Event channels: a Xen guest's interrupts. A port has a bit in three bitmaps of the shared page: pending, which Xen sets;
 * mask, which is ours; and, for its word of 64 (or 32) ports, one in the vCPU's selector, so that a scan need not look at
 * all words. This file binds ports and says whom they are for; `upcalls.ts` scans. (Xen 4.17, public/event_channel.h)
 */
import { EVTCHN_2L_NR_CHANNELS as NARROW_PORTS } from '../../abi/xen/numbers/arch-x86_32.ts';
import { EVTCHN_2L_NR_CHANNELS as WIDE_PORTS } from '../../abi/xen/numbers/arch-x86_64.ts';
import { DOMID_SELF } from '../../abi/xen/numbers/domain.ts';
import {
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_bind_ipi,
  EVTCHNOP_bind_virq,
  EVTCHNOP_close,
  EVTCHNOP_send,
} from '../../abi/xen/numbers/event_channel.ts';
import {
  evtchn_alloc_unbound_dom,
  evtchn_alloc_unbound_port,
  evtchn_alloc_unbound_remote_dom,
  evtchn_bind_interdomain_local_port,
  evtchn_bind_interdomain_remote_dom,
  evtchn_bind_interdomain_remote_port,
  evtchn_bind_ipi_port,
  evtchn_bind_ipi_vcpu,
  evtchn_bind_virq_port,
  evtchn_bind_virq_vcpu,
  evtchn_bind_virq_virq,
  evtchn_close_port,
  evtchn_send_port,
  SIZEOF_evtchn_status,
  shared_info_evtchn_mask,
  shared_info_evtchn_pending,
  vcpu_info_evtchn_pending_sel,
  vcpu_info_evtchn_upcall_pending,
} from '../abi/structures';
import { lockClearBit, lockSetBit, native } from '../machine/memory';
import { xenDisableInterrupts, xenRestoreInterrupts, xenSaveInterrupts } from './event-mask';
import { HYPERVISOR_event_channel_op } from './hypercall-compat';
import { nothingBefore, onSuspend } from './suspend-hooks';
import { sharedInfo, vcpuInfo } from './vcpu-info';

/** How many ports there can be. */
export const PORTS: u32 = WORD_BITS === 64 ? WIDE_PORTS : NARROW_PORTS;

/** Table indices of `(port: u32) => void`, by port; 0: nobody. */
const handlers: usize = memory.data(4096 * 4, 4);
/** For one call at a time, with events masked. */
const argument: usize = memory.data(SIZEOF_evtchn_status, 8);

/** What a port's event is for. It is called with events masked. */
export function onEvent(port: u32, handler: (port: u32) => void): void {
  store<u32>(handlers + port * 4, handler.index);
}

/** Calls it. An event that nobody wants is dropped, and its port masked, so that it does not come again. */
export function deliverEvent(port: u32): void {
  const handler = load<u32>(handlers + port * 4);
  if (handler === 0) maskPort(port);
  else call_indirect<void>(handler, port);
}

/** The start: no port is bound. It is so again after a resume. */
export function startEvents(): void {
  maskAllPorts();
  onSuspend(nothingBefore, forgetPorts);
}

function forgetPorts(cancelled: bool): void {
  if (cancelled) return;
  maskAllPorts();
  memory.fill(handlers, 0, PORTS * 4);
}

/** All ports masked. */
export function maskAllPorts(): void {
  memory.fill(sharedInfo + shared_info_evtchn_mask, 0xff, PORTS / 8);
}

export function maskPort(port: u32): void {
  lockSetBit(native(sharedInfo + shared_info_evtchn_mask), port);
}

/** Lets events through, and sees to one that is pending already, as Xen would have done had the mask not been set. */
export function unmaskPort(port: u32): void {
  const state = xenSaveInterrupts();
  xenDisableInterrupts();
  lockClearBit(native(sharedInfo + shared_info_evtchn_mask), port);
  if (isPending(port)) {
    lockSetBit(native(vcpuInfo + vcpu_info_evtchn_pending_sel), port / WORD_BITS);
    store<u8>(vcpuInfo, 1, vcpu_info_evtchn_upcall_pending);
  }
  xenRestoreInterrupts(state);
}

export function isPending(port: u32): bool {
  const at = sharedInfo + shared_info_evtchn_pending + (port >> 3);
  return (load<u8>(at) & (1 << (<u8>(port & 7)))) !== 0;
}

/** Takes a port's pending bit; returns whether it was set. */
export function clearPending(port: u32): bool {
  return lockClearBit(native(sharedInfo + shared_info_evtchn_pending), port) !== 0;
}

/** Issues a command on `argument`; returns what stands at `result` afterwards, or 0, which is no port, if it failed. */
function command(number: i32, result: usize): u32 {
  return HYPERVISOR_event_channel_op(number, argument) === 0 ? load<u32>(argument + result) : 0;
}

/** A port for a virtual interrupt VIRQ_* of vCPU `vcpu`; 0 if Xen has none. Masked at first, like all. */
export function bindVirq(virq: u32, vcpu: u32): u32 {
  const state = xenSaveInterrupts();
  xenDisableInterrupts();
  store<u32>(argument, virq, evtchn_bind_virq_virq);
  store<u32>(argument, vcpu, evtchn_bind_virq_vcpu);
  const port = command(EVTCHNOP_bind_virq, evtchn_bind_virq_port);
  xenRestoreInterrupts(state);
  return port;
}

/** A port that our own vCPUs signal. */
export function bindIpi(vcpu: u32): u32 {
  const state = xenSaveInterrupts();
  xenDisableInterrupts();
  store<u32>(argument, vcpu, evtchn_bind_ipi_vcpu);
  const port = command(EVTCHNOP_bind_ipi, evtchn_bind_ipi_port);
  xenRestoreInterrupts(state);
  return port;
}

/** A port that domain `remote` may bind to. */
export function allocateUnbound(remote: u32): u32 {
  const state = xenSaveInterrupts();
  xenDisableInterrupts();
  store<u16>(argument, DOMID_SELF, evtchn_alloc_unbound_dom);
  store<u16>(argument, remote, evtchn_alloc_unbound_remote_dom);
  const port = command(EVTCHNOP_alloc_unbound, evtchn_alloc_unbound_port);
  xenRestoreInterrupts(state);
  return port;
}

/** A port joined to `remotePort` of domain `remote`, which waits for us. */
export function bindInterdomain(remote: u32, remotePort: u32): u32 {
  const state = xenSaveInterrupts();
  xenDisableInterrupts();
  store<u16>(argument, remote, evtchn_bind_interdomain_remote_dom);
  store<u32>(argument, remotePort, evtchn_bind_interdomain_remote_port);
  const port = command(EVTCHNOP_bind_interdomain, evtchn_bind_interdomain_local_port);
  xenRestoreInterrupts(state);
  return port;
}

/** Signals the other end of a port. */
export function notifyPort(port: u32): i32 {
  const state = xenSaveInterrupts();
  xenDisableInterrupts();
  store<u32>(argument, port, evtchn_send_port);
  const result = HYPERVISOR_event_channel_op(EVTCHNOP_send, argument);
  xenRestoreInterrupts(state);
  return result;
}

export function closePort(port: u32): i32 {
  const state = xenSaveInterrupts();
  xenDisableInterrupts();
  maskPort(port);
  store<u32>(handlers + port * 4, 0);
  store<u32>(argument, port, evtchn_close_port);
  const result = HYPERVISOR_event_channel_op(EVTCHNOP_close, argument);
  xenRestoreInterrupts(state);
  return result;
}
