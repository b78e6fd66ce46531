/**
 * Entry points into the guest's kernel (Xen 4.17, public/callback.h, public/nmi.h): callback_op(cmd,
 * pointer), and nmi_op(cmd, pointer), which came before it.
 */

// callback_op

/** callback_register */
export const CALLBACKOP_register = 0;
/** callback_unregister */
export const CALLBACKOP_unregister = 1;

// .type

/** A pending event while events are unmasked. */
export const CALLBACKTYPE_event = 0;
/** A segment register or the return frame of iret could not be loaded. */
export const CALLBACKTYPE_failsafe = 1;
/** 64-bit: SYSCALL from 64-bit user mode. */
export const CALLBACKTYPE_syscall = 2;
export const CALLBACKTYPE_sysenter_deprecated = 3;
export const CALLBACKTYPE_nmi = 4;
/** SYSENTER. */
export const CALLBACKTYPE_sysenter = 5;
/** 64-bit: SYSCALL from compatibility mode. */
export const CALLBACKTYPE_syscall32 = 7;

/** .flags: mask events on entry. */
export const CALLBACKF_mask_events = 1;

// nmi_op, and the bits of arch_shared_info.nmi_reason

/** xennmi_callback; vCPU 0 only. */
export const XENNMI_register_callback = 0;
export const XENNMI_unregister_callback = 1;
export const XEN_NMIREASON_io_error = 1;
export const XEN_NMIREASON_pci_serr = 2;
export const XEN_NMIREASON_unknown = 4;
