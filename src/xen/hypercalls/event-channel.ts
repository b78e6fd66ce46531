/**
 * event_channel_op and its old form: the guest's requests become calls of `events/`. The domain that a request names
 * is nearly always DOMID_SELF: another one is the toolstack's to touch. (Xen 4.17, xen/common/event_channel.c:
 * do_event_channel_op; xen/arch/x86/compat.c.)
 */
import {
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_event_channel_op_compat,
  DOMID_SELF,
  EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain,
  EVTCHNOP_bind_ipi,
  EVTCHNOP_bind_pirq,
  EVTCHNOP_bind_vcpu,
  EVTCHNOP_bind_virq,
  EVTCHNOP_close,
  EVTCHNOP_expand_array,
  EVTCHNOP_init_control,
  EVTCHNOP_reset,
  EVTCHNOP_send,
  EVTCHNOP_set_priority,
  EVTCHNOP_status,
  EVTCHNOP_unmask,
  EVTCHNSTAT_interdomain,
  EVTCHNSTAT_unbound,
  EVTCHNSTAT_virq,
  XEN_EINVAL,
  XEN_ENOSYS,
  XEN_EPERM,
  XEN_ESRCH,
} from '../../abi/xen/numbers/index.ts';
import {
  evtchn_alloc_unbound,
  evtchn_bind_interdomain,
  evtchn_bind_ipi,
  evtchn_bind_pirq,
  evtchn_bind_vcpu,
  evtchn_bind_virq,
  evtchn_expand_array,
  evtchn_init_control,
  evtchn_op,
  evtchn_reset,
  evtchn_set_priority,
  evtchn_status,
} from '../../abi/xen/structures/event_channel.ts';
import type { Gva } from '../../machine/memory.ts';
import { HOST_DOMAIN } from '../events/index.ts';
import type { XenVcpu } from '../vcpu.ts';
import type { HypercallFamily } from './dispatch.ts';
import { channelsOf } from './full-parts.ts';
import { copyFromGuest } from './guest-structure.ts';

/** One command; `at` is the address of its argument. */
type Command = (vcpu: XenVcpu, at: Gva) => number;

const COMMANDS: Readonly<Record<number, Command>> = {
  [EVTCHNOP_alloc_unbound]: (vcpu, at) => {
    const argument = copyFromGuest(vcpu, evtchn_alloc_unbound, at);
    const denied = mayAct(vcpu, argument.get('dom'));
    if (denied !== 0) return denied;
    const remote = resolve(vcpu, argument.get('remote_dom'));
    const port = channelsOf(vcpu.domain).allocUnbound(remote);
    if (port < 0) return port;
    argument.set('port', port);
    argument.store();
    return 0;
  },

  [EVTCHNOP_bind_interdomain]: (vcpu, at) => {
    const argument = copyFromGuest(vcpu, evtchn_bind_interdomain, at);
    const remote = resolve(vcpu, argument.get('remote_dom'));
    const port = channelsOf(vcpu.domain).bindInterdomain(remote, argument.get('remote_port'));
    if (port < 0) return port;
    argument.set('local_port', port);
    argument.store();
    return 0;
  },

  [EVTCHNOP_bind_virq]: (vcpu, at) => {
    const argument = copyFromGuest(vcpu, evtchn_bind_virq, at);
    const port = channelsOf(vcpu.domain).bindVirq(argument.get('virq'), argument.get('vcpu'));
    if (port < 0) return port;
    argument.set('port', port);
    argument.store();
    return 0;
  },

  [EVTCHNOP_bind_ipi]: (vcpu, at) => {
    const argument = copyFromGuest(vcpu, evtchn_bind_ipi, at);
    const port = channelsOf(vcpu.domain).bindIpi(argument.get('vcpu'));
    if (port < 0) return port;
    argument.set('port', port);
    argument.store();
    return 0;
  },

  [EVTCHNOP_bind_pirq]: (vcpu, at) =>
    channelsOf(vcpu.domain).bindPirq(copyFromGuest(vcpu, evtchn_bind_pirq, at).get('pirq')),

  // These two are what a running guest does all day: a port, and nothing else.
  [EVTCHNOP_send]: (vcpu, at) => channelsOf(vcpu.domain).send(vcpu.guest.readU32(at)),
  [EVTCHNOP_unmask]: (vcpu, at) => channelsOf(vcpu.domain).unmask(vcpu.guest.readU32(at)),

  [EVTCHNOP_close]: (vcpu, at) => channelsOf(vcpu.domain).close(vcpu.guest.readU32(at)),

  [EVTCHNOP_status]: (vcpu, at) => {
    const argument = copyFromGuest(vcpu, evtchn_status, at);
    const denied = mayAct(vcpu, argument.get('dom'));
    if (denied !== 0) return denied;
    const status = channelsOf(vcpu.domain).status(argument.get('port'));
    if (status === undefined) return -XEN_EINVAL;
    argument.set('status', status.status);
    argument.set('vcpu', status.vcpuId);
    if (status.status === EVTCHNSTAT_unbound) argument.set('u_unbound_dom', status.remoteDomain);
    if (status.status === EVTCHNSTAT_interdomain) {
      argument.set('u_interdomain_dom', status.remoteDomain);
      argument.set('u_interdomain_port', status.remotePort);
    }
    if (status.status === EVTCHNSTAT_virq) argument.set('u_virq', status.virq);
    argument.store();
    return 0;
  },

  [EVTCHNOP_bind_vcpu]: (vcpu, at) => {
    const argument = copyFromGuest(vcpu, evtchn_bind_vcpu, at);
    return channelsOf(vcpu.domain).bindVcpu(argument.get('port'), argument.get('vcpu'));
  },

  [EVTCHNOP_reset]: (vcpu, at) => {
    const denied = mayAct(vcpu, copyFromGuest(vcpu, evtchn_reset, at).get('dom'));
    return denied !== 0 ? denied : channelsOf(vcpu.domain).reset();
  },

  [EVTCHNOP_set_priority]: (vcpu, at) =>
    channelsOf(vcpu.domain).setPriority(copyFromGuest(vcpu, evtchn_set_priority, at).get('port')),

  // A Xen without the FIFO ABI, as it was before 4.4: kernels then keep the two-level one.
  [EVTCHNOP_init_control]: (vcpu, at) => {
    copyFromGuest(vcpu, evtchn_init_control, at);
    return -XEN_ENOSYS;
  },
  [EVTCHNOP_expand_array]: (vcpu, at) => {
    copyFromGuest(vcpu, evtchn_expand_array, at);
    return -XEN_ENOSYS;
  },
};

/** DOMID_SELF as a number. */
function resolve(vcpu: XenVcpu, domain: number): number {
  return domain === DOMID_SELF ? vcpu.domain.id : domain;
}

/** A domain may act on itself; on another, only the toolstack. Returns 0 or a negative errno. */
function mayAct(vcpu: XenVcpu, domain: number): number {
  const id = resolve(vcpu, domain);
  if (id === vcpu.domain.id) return 0;
  return id === HOST_DOMAIN || vcpu.domain.host.domains.has(id) ? -XEN_EPERM : -XEN_ESRCH;
}

function perform(vcpu: XenVcpu, command: number, at: Gva): number {
  return COMMANDS[command]?.(vcpu, at) ?? -XEN_ENOSYS;
}

export const handlers: HypercallFamily = {
  [__HYPERVISOR_event_channel_op]: (vcpu, args) => perform(vcpu, args.u32(0), args.gva(1)),

  /** One pointer to the command and its argument; nothing newer than EVTCHNOP_unmask. */
  [__HYPERVISOR_event_channel_op_compat]: (vcpu, args) => {
    const operation = copyFromGuest(vcpu, evtchn_op, args.gva(0));
    const command = operation.get('cmd');
    if (command > EVTCHNOP_unmask) return -XEN_ENOSYS;
    return perform(vcpu, command, args.gva(0) + operation.address('u'));
  },
};
