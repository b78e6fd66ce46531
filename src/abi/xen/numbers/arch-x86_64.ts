/**
 * What only a 64-bit guest sees, or sees with this value (Xen 4.17, public/arch-x86/xen-x86_64.h). Kernel and
 * user both run in ring 3; addresses are canonical ones as signed numbers.
 */

// Selectors of flat segments in Xen's part of the GDT

export const FLAT_RING3_CS32 = 0xe023;
export const FLAT_RING3_CS64 = 0xe033;
export const FLAT_RING3_DS32 = 0xe02b;
/** The null selector. */
export const FLAT_RING3_DS64 = 0;
export const FLAT_RING3_SS32 = 0xe02b;
export const FLAT_RING3_SS64 = 0xe02b;
export const FLAT_KERNEL_DS64 = 0;
export const FLAT_KERNEL_DS32 = 0xe02b;
export const FLAT_KERNEL_DS = 0;
export const FLAT_KERNEL_CS64 = 0xe033;
export const FLAT_KERNEL_CS32 = 0xe023;
export const FLAT_KERNEL_CS = 0xe033;
export const FLAT_KERNEL_SS64 = 0xe02b;
export const FLAT_KERNEL_SS32 = 0xe02b;
export const FLAT_KERNEL_SS = 0xe02b;
export const FLAT_USER_DS64 = 0;
export const FLAT_USER_DS32 = 0xe02b;
export const FLAT_USER_DS = 0;
export const FLAT_USER_CS64 = 0xe033;
export const FLAT_USER_CS32 = 0xe023;
export const FLAT_USER_CS = 0xe033;
export const FLAT_USER_SS64 = 0xe02b;
export const FLAT_USER_SS32 = 0xe02b;
export const FLAT_USER_SS = 0xe02b;

/** Xen's part of the address space, L4 slots 256..271: 0xffff800000000000 up to 0xffff880000000000. */
export const HYPERVISOR_VIRT_START = -0x800000000000;
export const HYPERVISOR_VIRT_END = -0x780000000000;
/** The M2P, readable by the guest: 0xffff800000000000 up to 0xffff804000000000. */
export const MACH2PHYS_VIRT_START = -0x800000000000;
export const MACH2PHYS_VIRT_END = -0x7fc000000000;
/** Entries of 8 bytes. */
export const MACH2PHYS_NR_ENTRIES = 0x800000000;

// set_segment_base(which, base)

export const SEGBASE_FS = 0;
/** The GS base of user mode. */
export const SEGBASE_GS_USER = 1;
/** The GS base now: that of kernel mode, who alone can ask. */
export const SEGBASE_GS_KERNEL = 2;
/** Loads the selector of user mode's GS; the base argument is the selector. */
export const SEGBASE_GS_USER_SEL = 3;

/**
 * iret_context.flags and vcpu_guest_context.flags: return with SYSRET, so rcx and r11 need not be restored.
 */
export const VGCF_in_syscall = 256;
export const VGCF_IN_SYSCALL = 256;

/** Ports of the two-level scheme. */
export const EVTCHN_2L_NR_CHANNELS = 4096;
