/** Arguments of sched_op and vcpu_op (Xen 4.17, public/sched.h, public/vcpu.h). */
import { array, i32, ptr, struct, u16, u32, u64, union } from '../layout.ts';

/** SHUTDOWN_*. */
export const sched_shutdown = struct('sched_shutdown', { reason: u32 });

/** Wait for one of some ports. */
export const sched_poll = struct('sched_poll', {
  /** evtchn_port_t[nr_ports]. */
  ports: ptr,
  nr_ports: u32,
  /** System time in nanoseconds; 0: none. */
  timeout: u64,
});

export const sched_remote_shutdown = struct('sched_remote_shutdown', { domain_id: u16, reason: u32 });

/** `id` 0 asks for a new one; `timeout` in seconds, 0 stops it. */
export const sched_watchdog = struct('sched_watchdog', { id: u32, timeout: u32 });

/** Negative: give the affinity back. */
export const sched_pin_override = struct('sched_pin_override', { pcpu: i32 });

/** How a vCPU spent its life. Written by Xen. */
export const vcpu_runstate_info = struct('vcpu_runstate_info', {
  /** RUNSTATE_*. */
  state: i32,
  /** System time in nanoseconds; bit 63: see VMASST_TYPE_runstate_update_flag. */
  state_entry_time: u64,
  /** Nanoseconds in each RUNSTATE_*, up to state_entry_time. */
  time: array(u64, 4),
});

/** Where Xen shall write the vcpu_runstate_info: a virtual address of the guest. */
export const vcpu_register_runstate_memory_area = struct('vcpu_register_runstate_memory_area', {
  addr: union({ h: ptr, v: ptr, p: u64 }),
});

export const vcpu_set_periodic_timer = struct('vcpu_set_periodic_timer', { period_ns: u64 });

export const vcpu_set_singleshot_timer = struct('vcpu_set_singleshot_timer', {
  /** System time in nanoseconds. */
  timeout_abs_ns: u64,
  /** VCPU_SSHOTTMR_*. */
  flags: u32,
});

/** Where the vcpu_info shall live from now on. */
export const vcpu_register_vcpu_info = struct('vcpu_register_vcpu_info', {
  /** Machine frame. */
  mfn: u64,
  /** Bytes into the frame; the structure must not cross its end. */
  offset: u32,
  rsvd: u32,
});

/** Out: APIC id in the lower half, ACPI id in the upper. */
export const vcpu_get_physid = struct('vcpu_get_physid', { phys_id: u64 });

/** Where Xen shall keep a second copy of the vcpu_time_info: a virtual address of the guest. */
export const vcpu_register_time_memory_area = struct('vcpu_register_time_memory_area', {
  addr: union({ h: ptr, v: ptr, p: u64 }),
});
