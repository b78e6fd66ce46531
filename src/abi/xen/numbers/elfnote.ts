/**
 * ELF notes with the owner "Xen" by which a kernel describes itself to the domain builder (Xen 4.17,
 * public/elfnote.h), and which a core dump of a domain carries. Numeric notes have 4 or 8 bytes; the older
 * `__xen_guest` string names most of the same facts.
 */

/** String: one "NAME=VALUE" for people to read. */
export const XEN_ELFNOTE_INFO = 0;
/** Number: virtual address of the entry point. */
export const XEN_ELFNOTE_ENTRY = 1;
/**
 * Number: virtual address of a page to fill with hypercall stubs; in `__xen_guest` a physical page number.
 */
export const XEN_ELFNOTE_HYPERCALL_PAGE = 2;
/** Number: virtual address at which pseudo-physical 0 is mapped. */
export const XEN_ELFNOTE_VIRT_BASE = 3;
/** Number: subtracted from an ELF physical address to give a pseudo-physical one. */
export const XEN_ELFNOTE_PADDR_OFFSET = 4;
/** String: "xen-3.0". */
export const XEN_ELFNOTE_XEN_VERSION = 5;
/** String. */
export const XEN_ELFNOTE_GUEST_OS = 6;
/** String. */
export const XEN_ELFNOTE_GUEST_VERSION = 7;
/** String: "generic". */
export const XEN_ELFNOTE_LOADER = 8;
/** String: "yes", "no", "bimodal", "yes,bimodal" (32-bit). */
export const XEN_ELFNOTE_PAE_MODE = 9;
/** String: names of features, `|` between them; `!` in front of a required one. */
export const XEN_ELFNOTE_FEATURES = 10;
/** String: "yes": the symbol table is wanted behind the kernel. */
export const XEN_ELFNOTE_BSD_SYMTAB = 11;
/** Number: lowest address that the hypervisor may use (32-bit). */
export const XEN_ELFNOTE_HV_START_LOW = 12;
/** Pairs of mask and value: how a present level-1 entry looks. */
export const XEN_ELFNOTE_L1_MFN_VALID = 13;
/** Number: 1: a suspend that was called off can go on where it stopped. */
export const XEN_ELFNOTE_SUSPEND_CANCEL = 14;
/** Number: virtual address where the P2M list is to be mapped. */
export const XEN_ELFNOTE_INIT_P2M = 15;
/** Number: 1: the kernel takes an unmapped initrd by its PFN. */
export const XEN_ELFNOTE_MOD_START_PFN = 16;
/** Number: bits XENFEAT_* that the kernel can cope with. */
export const XEN_ELFNOTE_SUPPORTED_FEATURES = 17;
/** Number: physical entry point in 32-bit mode, for PVH. */
export const XEN_ELFNOTE_PHYS32_ENTRY = 18;
/** The last of them. */
export const XEN_ELFNOTE_MAX = 18;

// In core dumps

export const XEN_ELFNOTE_CRASH_INFO = 0x1000001;
export const XEN_ELFNOTE_CRASH_REGS = 0x1000002;
export const XEN_ELFNOTE_DUMPCORE_NONE = 0x2000000;
export const XEN_ELFNOTE_DUMPCORE_HEADER = 0x2000001;
export const XEN_ELFNOTE_DUMPCORE_XEN_VERSION = 0x2000002;
export const XEN_ELFNOTE_DUMPCORE_FORMAT_VERSION = 0x2000003;
