/**
 * sched_op in its two forms, and set_timer_op: how a guest gives the processor up, and how it stops for good.
 *
 * (Xen 4.17, xen/common/sched/core.c: do_sched_op, do_poll, domain_watchdog, do_set_timer_op; xen/arch/x86/compat.c.)
 */
import {
  __HYPERVISOR_sched_op,
  __HYPERVISOR_sched_op_compat,
  __HYPERVISOR_set_timer_op,
  DOMID_SELF,
  SCHEDOP_block,
  SCHEDOP_pin_override,
  SCHEDOP_poll,
  SCHEDOP_remote_shutdown,
  SCHEDOP_shutdown,
  SCHEDOP_shutdown_code,
  SCHEDOP_watchdog,
  SCHEDOP_yield,
  XEN_EINVAL,
  XEN_ENOSYS,
  XEN_EPERM,
  XEN_ESRCH,
} from '../../abi/xen/numbers/index.ts';
import { sched_poll, sched_remote_shutdown, sched_watchdog } from '../../abi/xen/structures/sched.ts';
import type { Gva } from '../../machine/memory.ts';
import { HOST_DOMAIN, needsDelivery, setUpcallMask } from '../events/index.ts';
import { noteShutdownCode, setWatchdog, shutdownDomain } from '../lifecycle.ts';
import type { XenVcpu } from '../vcpu.ts';
import type { HypercallFamily } from './dispatch.ts';
import { channelsOf, clockOf } from './full-parts.ts';
import { copyFromGuest } from './guest-structure.ts';

/** Ports that SCHEDOP_poll takes at most. */
const POLL_LIMIT = 128;

type Command = (vcpu: XenVcpu, at: Gva) => number;

const COMMANDS: Readonly<Record<number, Command>> = {
  [SCHEDOP_yield]: yieldProcessor,
  [SCHEDOP_block]: block,
  [SCHEDOP_poll]: poll,

  [SCHEDOP_shutdown]: (vcpu, at) => {
    shutdownDomain(vcpu.domain, vcpu.guest.readU32(at) & 0xff, vcpu);
    return 0;
  },
  /** What the next shutdown, for whatever reason, shall be called. */
  [SCHEDOP_shutdown_code]: (vcpu, at) => {
    noteShutdownCode(vcpu.domain, vcpu.guest.readU32(at) & 0xff);
    return 0;
  },
  [SCHEDOP_remote_shutdown]: (vcpu, at) => {
    const id = copyFromGuest(vcpu, sched_remote_shutdown, at).get('domain_id');
    // Not even DOMID_SELF is taken here, and one's own number only from a device model.
    if (id === DOMID_SELF) return -XEN_ESRCH;
    return id === HOST_DOMAIN || vcpu.domain.host.domains.has(id) ? -XEN_EPERM : -XEN_ESRCH;
  },
  [SCHEDOP_watchdog]: (vcpu, at) => {
    const argument = copyFromGuest(vcpu, sched_watchdog, at);
    return setWatchdog(vcpu.domain, argument.get('id'), argument.get('timeout'));
  },
  [SCHEDOP_pin_override]: () => -XEN_EPERM,
};

/** A hint, like Xen's: the turn of a vCPU is about a millisecond, and ends soon enough by itself. */
function yieldProcessor(): number {
  return 0;
}

/** Unmasks upcalls and waits for one, unless one is due already. */
function block(vcpu: XenVcpu): number {
  const { memory } = vcpu.domain.host;
  setUpcallMask(memory, vcpu, false);
  vcpu.pollPort = 0;
  if (!needsDelivery(memory, vcpu)) vcpu.block();
  return 0;
}

/** Waits until one of the ports is pending, masked or not, until an upcall is due, or until the timeout. */
function poll(vcpu: XenVcpu, at: Gva): number {
  const argument = copyFromGuest(vcpu, sched_poll, at);
  const count = argument.get('nr_ports');
  if (count > POLL_LIMIT) return -XEN_EINVAL;
  if (needsDelivery(vcpu.domain.host.memory, vcpu)) return 0;
  const ports = argument.get('ports');
  const events = channelsOf(vcpu.domain);
  let port = 0;
  for (let i = 0; i < count; i++) {
    port = vcpu.guest.readU32(ports + i * 4);
    const pending = events.poll(port);
    if (pending !== 0) return Math.min(pending, 0);
  }
  vcpu.pollPort = count === 1 ? port : -1;
  const timeout = argument.get('timeout');
  // A deadline with the top bit set is one in the past, as the signed number that Xen makes of it.
  clockOf(vcpu).setPollTimeout(timeout);
  vcpu.block();
  return 0;
}

export const handlers: HypercallFamily = {
  [__HYPERVISOR_sched_op]: (vcpu, args) => COMMANDS[args.u32(0)]?.(vcpu, args.gva(1)) ?? -XEN_ENOSYS,

  /** The old form: the argument is the value, not a pointer to it, and there are three commands. */
  [__HYPERVISOR_sched_op_compat]: (vcpu, args) => {
    const command = args.u32(0);
    if (command === SCHEDOP_yield) return yieldProcessor();
    if (command === SCHEDOP_block) return block(vcpu);
    if (command !== SCHEDOP_shutdown) return -XEN_ENOSYS;
    shutdownDomain(vcpu.domain, args.u32(1) & 0xff, vcpu);
    return 0;
  },

  /** A 32-bit guest passes the deadline in two registers. */
  [__HYPERVISOR_set_timer_op]: (vcpu, args) => {
    const deadlineNs = vcpu.domain.is64 ? args.number(0) : args.i32(1) * 4294967296 + args.u32(0);
    clockOf(vcpu).setTimer(deadlineNs);
    return 0;
  },
};
