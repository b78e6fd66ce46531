/**
 * Where the guest's kernel wants to be entered: set_trap_table, set_callbacks, callback_op and stack_switch.
 * (Xen 4.17, arch/x86/pv/callback.c, arch/x86/pv/misc-hypercalls.c; public/callback.h.)
 */
import {
  __HYPERVISOR_callback_op,
  __HYPERVISOR_set_callbacks,
  __HYPERVISOR_set_trap_table,
  __HYPERVISOR_stack_switch,
  CALLBACKF_mask_events,
  CALLBACKOP_register,
  CALLBACKOP_unregister,
  CALLBACKTYPE_event,
  CALLBACKTYPE_failsafe,
  CALLBACKTYPE_nmi,
  CALLBACKTYPE_syscall,
  CALLBACKTYPE_syscall32,
  CALLBACKTYPE_sysenter,
  x86_64 as wide,
  XEN_EINVAL,
  XEN_ENOSYS,
} from '../../abi/xen/numbers/index.ts';
import { callback_register, trap_info } from '../../abi/xen/structures/index.ts';
import type { Gva } from '../../machine/memory.ts';
import { VECTOR_NMI } from '../../machine/x86/registers.ts';
import { isCanonical } from '../canonical.ts';
import { fixupSelector } from '../segments.ts';
import type { Callback } from '../traps.ts';
import type { XenVcpu } from '../vcpu.ts';
import type { HypercallArguments } from './arguments.ts';
import { CONTINUE, type HypercallFamily } from './dispatch.ts';

const TRAP = trap_info.x64;
const REGISTER = callback_register.x64.offset;

/** trap_info.flags of a handler that masks events. */
const TI_MASK_EVENTS = 4;

/** set_trap_table(trap_info[]): an entry with address 0 ends the array; a null pointer empties the table. */
function setTrapTable(vcpu: XenVcpu, args: HypercallArguments): number {
  const { traps, guest, domain } = vcpu;
  if (args.isNull(0)) {
    traps.clear();
    return 0;
  }
  for (let at = args.gva(0); ; ) {
    const address = guest.readNumber64(at + TRAP.offset.address);
    if (address === 0) return 0;
    if (!isCanonical(address)) return -XEN_EINVAL;
    const selector = fixupSelector(guest.read16(at + TRAP.offset.cs), domain.is64);
    traps.set(guest.read8(at + TRAP.offset.vector), selector, guest.read8(at + TRAP.offset.flags), address);
    at += TRAP.size;
    if (vcpu.preemptionDue()) {
      args.set(0, at);
      return CONTINUE;
    }
  }
}

function registerCallback(vcpu: XenVcpu, type: number, flags: number, address: Gva): number {
  if (!isCanonical(address)) return -XEN_EINVAL;
  const { callbacks } = vcpu;
  const masks = (flags & CALLBACKF_mask_events) !== 0;
  switch (type) {
    case CALLBACKTYPE_event:
      // An upcall masks events whatever the flags say.
      callbacks.event.address = address;
      return 0;
    case CALLBACKTYPE_failsafe:
      return set(callbacks.failsafe, address, masks);
    case CALLBACKTYPE_syscall:
      return set(callbacks.syscall, address, masks);
    case CALLBACKTYPE_syscall32:
      return set(callbacks.syscall32, address, masks);
    case CALLBACKTYPE_sysenter:
      return set(callbacks.sysenter, address, masks);
    case CALLBACKTYPE_nmi:
      return registerNmi(vcpu, address);
    default:
      return -XEN_ENOSYS;
  }
}

function set(callback: Callback, address: Gva, masks: boolean): number {
  callback.address = address;
  callback.masksEvents = masks;
  return 0;
}

function registerNmi(vcpu: XenVcpu, address: Gva): number {
  if (!isCanonical(address)) return -XEN_EINVAL;
  vcpu.traps.set(VECTOR_NMI, wide.FLAT_KERNEL_CS, TI_MASK_EVENTS, address);
  return 0;
}

function unregisterNmi(vcpu: XenVcpu): number {
  vcpu.traps.set(VECTOR_NMI, 0, 0, 0);
  return 0;
}

/** Callbacks can be replaced, but only that for NMIs can be taken away. */
function unregisterCallback(vcpu: XenVcpu, type: number): number {
  switch (type) {
    case CALLBACKTYPE_event:
    case CALLBACKTYPE_failsafe:
    case CALLBACKTYPE_syscall:
    case CALLBACKTYPE_syscall32:
    case CALLBACKTYPE_sysenter:
      return -XEN_EINVAL;
    case CALLBACKTYPE_nmi:
      return unregisterNmi(vcpu);
    default:
      return -XEN_ENOSYS;
  }
}

/** callback_op(cmd, callback_register* | callback_unregister*) */
function callbackOp(vcpu: XenVcpu, args: HypercallArguments): number {
  const { guest } = vcpu;
  const at = args.gva(1);
  switch (args.i32(0)) {
    case CALLBACKOP_register:
      return registerCallback(
        vcpu,
        guest.read16(at + REGISTER.type),
        guest.read16(at + REGISTER.flags),
        guest.readNumber64(at + REGISTER.address),
      );
    case CALLBACKOP_unregister:
      return unregisterCallback(vcpu, guest.read16(at));
    default:
      return -XEN_ENOSYS;
  }
}

/** set_callbacks(event, failsafe, syscall): three addresses in 64-bit mode. A bad one is passed over in silence. */
function setCallbacks(vcpu: XenVcpu, args: HypercallArguments): number {
  registerCallback(vcpu, CALLBACKTYPE_event, 0, args.gva(0));
  registerCallback(vcpu, CALLBACKTYPE_failsafe, 0, args.gva(1));
  registerCallback(vcpu, CALLBACKTYPE_syscall, 0, args.gva(2));
  return 0;
}

/** stack_switch(ss, sp): the stack for entries from user mode. */
function stackSwitch(vcpu: XenVcpu, args: HypercallArguments): number {
  vcpu.kernelSs = fixupSelector(args.u32(0) & 0xffff, vcpu.domain.is64);
  vcpu.kernelSp = args.gva(1);
  return 0;
}

export const handlers: HypercallFamily = {
  [__HYPERVISOR_set_trap_table]: setTrapTable,
  [__HYPERVISOR_set_callbacks]: setCallbacks,
  [__HYPERVISOR_callback_op]: callbackOp,
  [__HYPERVISOR_stack_switch]: stackSwitch,
};
