/** Operations on one vCPU (Xen 4.17, public/vcpu.h): vcpu_op(cmd, vcpu number, pointer). */

/** vcpu_guest_context: the state that VCPUOP_up starts with. */
export const VCPUOP_initialise = 0;
export const VCPUOP_up = 1;
export const VCPUOP_down = 2;
/** Returns 1 or 0. */
export const VCPUOP_is_up = 3;
/** vcpu_runstate_info */
export const VCPUOP_get_runstate_info = 4;
/** vcpu_register_runstate_memory_area */
export const VCPUOP_register_runstate_memory_area = 5;
/** vcpu_set_periodic_timer; for the calling vCPU only, like the next three. */
export const VCPUOP_set_periodic_timer = 6;
export const VCPUOP_stop_periodic_timer = 7;
/** vcpu_set_singleshot_timer */
export const VCPUOP_set_singleshot_timer = 8;
export const VCPUOP_stop_singleshot_timer = 9;
/** vcpu_register_vcpu_info; once in a vCPU's life. */
export const VCPUOP_register_vcpu_info = 10;
export const VCPUOP_send_nmi = 11;
/** vcpu_get_physid */
export const VCPUOP_get_physid = 12;
/** vcpu_register_time_memory_area */
export const VCPUOP_register_vcpu_time_memory_area = 13;

/** vcpu_set_singleshot_timer.flags: a deadline in the past is -XEN_ETIME instead of an event at once. */
export const VCPU_SSHOTTMR_future = 1;

// vcpu_runstate_info.state, and the index into its times

export const RUNSTATE_running = 0;
/** Wants to run, but another vCPU has the processor. */
export const RUNSTATE_runnable = 1;
export const RUNSTATE_blocked = 2;
/** Down or paused. */
export const RUNSTATE_offline = 3;

/** Bit 63 of state_entry_time, set while Xen writes: here as a signed 64-bit number, exact in a double. */
export const XEN_RUNSTATE_UPDATE = -0x8000000000000000;

// vcpu_time_info.flags

/** The clock never steps back between vCPUs. */
export const XEN_PVCLOCK_TSC_STABLE_BIT = 1;
export const XEN_PVCLOCK_GUEST_STOPPED = 2;
