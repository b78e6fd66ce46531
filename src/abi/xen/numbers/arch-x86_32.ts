/**
 * What only a 32-bit guest sees, or sees with this value (Xen 4.17, public/arch-x86/xen-x86_32.h). A 32-bit
 * kernel runs in ring 1, its selectors have RPL 1.
 */

// Selectors of flat segments in Xen's part of the GDT

export const FLAT_RING1_CS = 0xe019;
export const FLAT_RING1_DS = 0xe021;
export const FLAT_RING1_SS = 0xe021;
export const FLAT_RING3_CS = 0xe02b;
export const FLAT_RING3_DS = 0xe033;
export const FLAT_RING3_SS = 0xe033;
export const FLAT_KERNEL_CS = 0xe019;
export const FLAT_KERNEL_DS = 0xe021;
export const FLAT_KERNEL_SS = 0xe021;
export const FLAT_USER_CS = 0xe02b;
export const FLAT_USER_DS = 0xe033;
export const FLAT_USER_SS = 0xe033;

/**
 * Lowest address that belongs to Xen: the M2P begins here. Under a 64-bit Xen the M2P may be asked for
 * elsewhere.
 */
export const HYPERVISOR_VIRT_START = 0xf5800000;
export const MACH2PHYS_VIRT_START = 0xf5800000;
export const MACH2PHYS_VIRT_END = 0xf6800000;
/** Entries of 4 bytes. */
export const MACH2PHYS_NR_ENTRIES = 0x400000;

/** Ports of the two-level scheme. */
export const EVTCHN_2L_NR_CHANNELS = 1024;
