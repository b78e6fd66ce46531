/** Giving up the processor, and ending the domain (Xen 4.17, public/sched.h): sched_op(cmd, pointer). */

/** Argument ignored. */
export const SCHEDOP_yield = 0;
/** Unmasks events and waits for one. */
export const SCHEDOP_block = 1;
/** sched_shutdown */
export const SCHEDOP_shutdown = 2;
/** sched_poll */
export const SCHEDOP_poll = 3;
/** sched_remote_shutdown; control domain only. */
export const SCHEDOP_remote_shutdown = 4;
/** sched_shutdown: records the reason only. */
export const SCHEDOP_shutdown_code = 5;
/** sched_watchdog */
export const SCHEDOP_watchdog = 6;
/** sched_pin_override; hardware domain only. */
export const SCHEDOP_pin_override = 7;

// sched_shutdown.reason

export const SHUTDOWN_poweroff = 0;
export const SHUTDOWN_reboot = 1;
export const SHUTDOWN_suspend = 2;
export const SHUTDOWN_crash = 3;
export const SHUTDOWN_watchdog = 4;
export const SHUTDOWN_soft_reset = 5;
/** The last of them. */
export const SHUTDOWN_MAX = 5;
