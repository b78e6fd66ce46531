/**
 * x86, whatever the width of the guest (Xen 4.17, public/arch-x86/xen.h). What differs by width stands in
 * `arch-x86_32.ts` and `arch-x86_64.ts`, under the same names where the headers use the same names.
 */

/** The last two pages of the 16-page GDT are Xen's. */
export const FIRST_RESERVED_GDT_PAGE = 14;
export const FIRST_RESERVED_GDT_BYTE = 0xe000;
/** A guest's own GDT has at most this many entries. */
export const FIRST_RESERVED_GDT_ENTRY = 0x1c00;

// vcpu_guest_context.flags

export const VGCF_I387_VALID = 1;
export const VGCF_IN_KERNEL = 4;
export const VGCF_i387_valid = 1;
/** The vCPU is in (guest) kernel mode. */
export const VGCF_in_kernel = 4;
/** The failsafe callback masks events on entry. */
export const VGCF_failsafe_disables_events = 8;
/** The syscall callback masks events on entry. */
export const VGCF_syscall_disables_events = 16;
export const VGCF_online = 32;

/** xen_cpuid_leaf.subleaf of a leaf that has none. */
export const XEN_CPUID_NO_SUBLEAF = 0xffffffff;

/** I/O port that prints a character, for hardware-virtualized guests. */
export const XEN_HVM_DEBUGCONS_IOPORT = 0xe9;
