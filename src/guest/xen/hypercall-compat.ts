/**
 * The two hypercalls that had another form once, and fall back to it where Xen answers -ENOSYS: then the command stands in
 * front of the argument, in one structure, under another number. (Linux, asm/xen/hypercall.h: event_channel_op_compat,
 * physdev_op_compat.)
 */
import { XEN_ENOSYS } from '../../abi/xen/numbers/errno.ts';
import {
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_bind_ipi,
  EVTCHNOP_bind_pirq,
  EVTCHNOP_bind_vcpu,
  EVTCHNOP_bind_virq,
  EVTCHNOP_close,
  EVTCHNOP_send,
  EVTCHNOP_status,
  EVTCHNOP_unmask,
} from '../../abi/xen/numbers/event_channel.ts';
import {
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_event_channel_op_compat,
  __HYPERVISOR_physdev_op,
  __HYPERVISOR_physdev_op_compat,
} from '../../abi/xen/numbers/hypercalls.ts';
import {
  PHYSDEVOP_alloc_irq_vector,
  PHYSDEVOP_apic_read,
  PHYSDEVOP_apic_write,
  PHYSDEVOP_free_irq_vector,
  PHYSDEVOP_IRQ_UNMASK_NOTIFY,
  PHYSDEVOP_irq_status_query,
  PHYSDEVOP_set_iobitmap,
  PHYSDEVOP_set_iopl,
} from '../../abi/xen/numbers/physdev.ts';
import {
  evtchn_op_cmd,
  evtchn_op_u,
  physdev_op_cmd,
  physdev_op_u,
  SIZEOF_evtchn_alloc_unbound,
  SIZEOF_evtchn_bind_interdomain,
  SIZEOF_evtchn_bind_ipi,
  SIZEOF_evtchn_bind_pirq,
  SIZEOF_evtchn_bind_vcpu,
  SIZEOF_evtchn_bind_virq,
  SIZEOF_evtchn_close,
  SIZEOF_evtchn_op,
  SIZEOF_evtchn_send,
  SIZEOF_evtchn_status,
  SIZEOF_evtchn_unmask,
  SIZEOF_physdev_apic,
  SIZEOF_physdev_irq,
  SIZEOF_physdev_irq_status_query,
  SIZEOF_physdev_op,
  SIZEOF_physdev_set_iobitmap,
  SIZEOF_physdev_set_iopl,
} from '../abi/structures';
import { hypercall1, hypercall2 } from '../machine/hypercall';
import { native } from '../machine/memory';
import { xenDisableInterrupts, xenRestoreInterrupts, xenSaveInterrupts } from './event-mask';

/** Room for either structure; used with events masked, for there is only one. */
const compat: usize = memory.data(
  SIZEOF_evtchn_op > SIZEOF_physdev_op ? SIZEOF_evtchn_op : SIZEOF_physdev_op,
  8,
);

/** EVTCHNOP_* with its structure. */
export function HYPERVISOR_event_channel_op(command: i32, argument: usize): i32 {
  const result = <i32>hypercall2(__HYPERVISOR_event_channel_op, command, native(argument));
  if (result !== -XEN_ENOSYS) return result;
  const bytes = eventArgumentBytes(command);
  if (bytes === 0) return result;
  const state = xenSaveInterrupts();
  xenDisableInterrupts();
  store<u32>(compat, command, evtchn_op_cmd);
  const again = callCompat(__HYPERVISOR_event_channel_op_compat, evtchn_op_u, argument, bytes);
  xenRestoreInterrupts(state);
  return again;
}

/** PHYSDEVOP_* with its structure. */
export function HYPERVISOR_physdev_op(command: i32, argument: usize): i32 {
  const result = <i32>hypercall2(__HYPERVISOR_physdev_op, command, native(argument));
  if (result !== -XEN_ENOSYS) return result;
  const bytes = physdevArgumentBytes(command);
  if (bytes < 0) return result;
  const state = xenSaveInterrupts();
  xenDisableInterrupts();
  store<u32>(compat, command, physdev_op_cmd);
  const again = callCompat(__HYPERVISOR_physdev_op_compat, physdev_op_u, argument, <usize>bytes);
  xenRestoreInterrupts(state);
  return again;
}

/** The older call: the argument goes in behind the command, and what Xen made of it comes back. */
function callCompat(number: u32, offset: usize, argument: usize, bytes: usize): i32 {
  memory.copy(compat + offset, argument, bytes);
  const result = <i32>hypercall1(number, native(compat));
  memory.copy(argument, compat + offset, bytes);
  return result;
}

// The header copies as much as the largest structure has, whatever the caller gave; here just what belongs to it.

/** Bytes of a command's structure; 0 for a command that the older form never had. */
function eventArgumentBytes(command: i32): usize {
  switch (command) {
    case EVTCHNOP_bind_interdomain:
      return SIZEOF_evtchn_bind_interdomain;
    case EVTCHNOP_bind_virq:
      return SIZEOF_evtchn_bind_virq;
    case EVTCHNOP_bind_pirq:
      return SIZEOF_evtchn_bind_pirq;
    case EVTCHNOP_close:
      return SIZEOF_evtchn_close;
    case EVTCHNOP_send:
      return SIZEOF_evtchn_send;
    case EVTCHNOP_status:
      return SIZEOF_evtchn_status;
    case EVTCHNOP_alloc_unbound:
      return SIZEOF_evtchn_alloc_unbound;
    case EVTCHNOP_bind_ipi:
      return SIZEOF_evtchn_bind_ipi;
    case EVTCHNOP_bind_vcpu:
      return SIZEOF_evtchn_bind_vcpu;
    case EVTCHNOP_unmask:
      return SIZEOF_evtchn_unmask;
    default:
      return 0;
  }
}

/** The same; -1 for a command that the older form never had, since one of those it had takes nothing. */
function physdevArgumentBytes(command: i32): i32 {
  switch (command) {
    case PHYSDEVOP_IRQ_UNMASK_NOTIFY:
      return 0;
    case PHYSDEVOP_irq_status_query:
      return <i32>SIZEOF_physdev_irq_status_query;
    case PHYSDEVOP_set_iopl:
      return <i32>SIZEOF_physdev_set_iopl;
    case PHYSDEVOP_set_iobitmap:
      return <i32>SIZEOF_physdev_set_iobitmap;
    case PHYSDEVOP_apic_read:
    case PHYSDEVOP_apic_write:
      return <i32>SIZEOF_physdev_apic;
    case PHYSDEVOP_alloc_irq_vector:
    case PHYSDEVOP_free_irq_vector:
      return <i32>SIZEOF_physdev_irq;
    default:
      return -1;
  }
}
