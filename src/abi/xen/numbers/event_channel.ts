/**
 * Event channels (Xen 4.17, public/event_channel.h), and the virtual interrupts that can be bound to one
 * (public/xen.h).
 */

// event_channel_op(cmd, pointer to evtchn_<command>)

export const EVTCHNOP_bind_interdomain = 0;
export const EVTCHNOP_bind_virq = 1;
export const EVTCHNOP_bind_pirq = 2;
export const EVTCHNOP_close = 3;
export const EVTCHNOP_send = 4;
export const EVTCHNOP_status = 5;
export const EVTCHNOP_alloc_unbound = 6;
export const EVTCHNOP_bind_ipi = 7;
export const EVTCHNOP_bind_vcpu = 8;
export const EVTCHNOP_unmask = 9;
export const EVTCHNOP_reset = 10;
/** FIFO ports only. */
export const EVTCHNOP_init_control = 11;
/** FIFO ports only. */
export const EVTCHNOP_expand_array = 12;
/** FIFO ports only. */
export const EVTCHNOP_set_priority = 13;

/** evtchn_bind_pirq.flags */
export const BIND_PIRQ__WILL_SHARE = 1;

// evtchn_status.status

export const EVTCHNSTAT_closed = 0;
export const EVTCHNSTAT_unbound = 1;
export const EVTCHNSTAT_interdomain = 2;
export const EVTCHNSTAT_pirq = 3;
export const EVTCHNSTAT_virq = 4;
export const EVTCHNSTAT_ipi = 5;

// Virtual interrupts. (V): bound once for each vCPU; (G): once for the domain, and it may move between vCPUs.

/** (V) A timer has expired. */
export const VIRQ_TIMER = 0;
/** (V) Asks the guest to print its state. */
export const VIRQ_DEBUG = 1;
/** (G) Control domain: the emergency console has input. */
export const VIRQ_CONSOLE = 2;
/** (G) Control domain: another domain has died or asks for something. */
export const VIRQ_DOM_EXC = 3;
/** (G) Control domain: a trace buffer fills. */
export const VIRQ_TBUF = 4;
/** (G) Control domain: a domain stopped for its debugger. */
export const VIRQ_DEBUGGER = 6;
/** (V) A profiling sample is ready. */
export const VIRQ_XENOPROF = 7;
/** (G) Control domain: Xen printed something. */
export const VIRQ_CON_RING = 8;
/** (G) Control domain: a processor came or went. */
export const VIRQ_PCPU_STATE = 9;
/** (G) Control domain: a memory event. */
export const VIRQ_MEM_EVENT = 10;
/** (G) Argo has a message. */
export const VIRQ_ARGO = 11;
/** (G) Control domain: memory runs low. */
export const VIRQ_ENOMEM = 12;
/** (V) A performance counter overflowed. */
export const VIRQ_XENPMU = 13;
/** (V) On x86: a machine check. */
export const VIRQ_ARCH_0 = 16;
export const VIRQ_ARCH_1 = 17;
export const VIRQ_ARCH_2 = 18;
export const VIRQ_ARCH_3 = 19;
export const VIRQ_ARCH_4 = 20;
export const VIRQ_ARCH_5 = 21;
export const VIRQ_ARCH_6 = 22;
export const VIRQ_ARCH_7 = 23;
export const NR_VIRQS = 24;

// FIFO ports: priorities, and the bits of an event word

/** The highest priority. */
export const EVTCHN_FIFO_PRIORITY_MAX = 0;
export const EVTCHN_FIFO_PRIORITY_DEFAULT = 7;
/** The lowest. */
export const EVTCHN_FIFO_PRIORITY_MIN = 15;
export const EVTCHN_FIFO_MAX_QUEUES = 16;
/** Bit number. */
export const EVTCHN_FIFO_PENDING = 31;
/** Bit number. */
export const EVTCHN_FIFO_MASKED = 30;
/** Bit number. */
export const EVTCHN_FIFO_LINKED = 29;
/** Bit number. */
export const EVTCHN_FIFO_BUSY = 28;
export const EVTCHN_FIFO_LINK_BITS = 17;
export const EVTCHN_FIFO_LINK_MASK = 0x1ffff;
export const EVTCHN_FIFO_NR_CHANNELS = 0x20000;
