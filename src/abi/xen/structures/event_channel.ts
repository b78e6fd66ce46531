/**
 * Arguments of event_channel_op (Xen 4.17, public/event_channel.h). Ports are the caller's own unless
 * `remote_`.
 */
import { array, struct, u8, u16, u32, u64, union } from '../layout.ts';

/** A port of `dom` that waits for `remote_dom` to bind to it. */
export const evtchn_alloc_unbound = struct('evtchn_alloc_unbound', {
  dom: u16,
  remote_dom: u16,
  /** Out. */
  port: u32,
});

/** A port joined to one that waits for us. */
export const evtchn_bind_interdomain = struct('evtchn_bind_interdomain', {
  remote_dom: u16,
  remote_port: u32,
  /** Out. */
  local_port: u32,
});

/** A port for VIRQ_*. */
export const evtchn_bind_virq = struct('evtchn_bind_virq', {
  virq: u32,
  vcpu: u32,
  /** Out. */
  port: u32,
});

/** A port for a physical interrupt. */
export const evtchn_bind_pirq = struct('evtchn_bind_pirq', {
  pirq: u32,
  /** BIND_PIRQ__*. */
  flags: u32,
  /** Out. */
  port: u32,
});

/** A port that the domain's own vCPUs signal. */
export const evtchn_bind_ipi = struct('evtchn_bind_ipi', {
  vcpu: u32,
  /** Out. */
  port: u32,
});

export const evtchn_close = struct('evtchn_close', { port: u32 });

export const evtchn_send = struct('evtchn_send', { port: u32 });

/** In: dom and port; the rest is out. */
export const evtchn_status = struct('evtchn_status', {
  dom: u16,
  port: u32,
  /** EVTCHNSTAT_*, which selects the member of `u`. */
  status: u32,
  /** The vCPU that is told. */
  vcpu: u32,
  u: union({
    unbound: struct({ dom: u16 }),
    interdomain: struct({ dom: u16, port: u32 }),
    pirq: u32,
    virq: u32,
  }),
});

/** Have another vCPU told. */
export const evtchn_bind_vcpu = struct('evtchn_bind_vcpu', { port: u32, vcpu: u32 });

/** Unmask, and deliver what is pending. */
export const evtchn_unmask = struct('evtchn_unmask', { port: u32 });

/** Close every port of a domain. */
export const evtchn_reset = struct('evtchn_reset', { dom: u16 });

/** FIFO ports: register a vCPU's control block. */
export const evtchn_init_control = struct('evtchn_init_control', {
  control_gfn: u64,
  /** Bytes into the frame. */
  offset: u32,
  vcpu: u32,
  /** Out: EVTCHN_FIFO_LINK_BITS. */
  link_bits: u8,
  _pad: array(u8, 7),
});

/** FIFO ports: add a page of event words. */
export const evtchn_expand_array = struct('evtchn_expand_array', { array_gfn: u64 });

/** FIFO ports. */
export const evtchn_set_priority = struct('evtchn_set_priority', { port: u32, priority: u32 });

/** The one argument of the old event_channel_op. */
export const evtchn_op = struct('evtchn_op', {
  /** EVTCHNOP_*, up to EVTCHNOP_unmask. */
  cmd: u32,
  u: union({
    alloc_unbound: evtchn_alloc_unbound,
    bind_interdomain: evtchn_bind_interdomain,
    bind_virq: evtchn_bind_virq,
    bind_pirq: evtchn_bind_pirq,
    bind_ipi: evtchn_bind_ipi,
    close: evtchn_close,
    send: evtchn_send,
    status: evtchn_status,
    bind_vcpu: evtchn_bind_vcpu,
    unmask: evtchn_unmask,
  }),
});

/** FIFO ports: one vCPU's queues. Xen sets bits in `ready` and appends; the guest consumes from `head`. */
export const evtchn_fifo_control_block = struct('evtchn_fifo_control_block', {
  ready: u32,
  _rsvd: u32,
  head: array(u32, 16),
});
