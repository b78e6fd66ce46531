/**
 * Domain numbers with a meaning, the flags of start_info, and the small hypercalls that public/xen.h defines
 * itself (Xen 4.17): console_io and vm_assist.
 */

/** The first number that no domain can have. */
export const DOMID_FIRST_RESERVED = 0x7ff0;
/** The caller. */
export const DOMID_SELF = 0x7ff0;
/** Owner of I/O memory. */
export const DOMID_IO = 0x7ff1;
/** Owner of the frames that belong to Xen and may be shared with any domain. */
export const DOMID_XEN = 0x7ff2;
/** Owner of shared, copy-on-write frames. */
export const DOMID_COW = 0x7ff3;
export const DOMID_INVALID = 0x7ff4;
export const DOMID_IDLE = 0x7fff;
/** The bits of a 16-bit field that make the number. */
export const DOMID_MASK = 0x7fff;

// start_info.flags

export const SIF_PRIVILEGED = 1;
export const SIF_INITDOMAIN = 2;
/** mod_start is an array of xen_multiboot_mod_list. */
export const SIF_MULTIBOOT_MOD = 4;
/** mod_start is a PFN: the initrd is not mapped. */
export const SIF_MOD_START_PFN = 8;
/** The toolstack can follow arch_shared_info.p2m_vaddr, so the guest need not keep frame lists. */
export const SIF_VIRT_P2M_4TOOLS = 16;
/** Initial domain: power-management options. */
export const SIF_PM_MASK = 0xff00;

/** Bytes of start_info.cmd_line. */
export const MAX_GUEST_CMDLINE = 1024;
/** vCPUs whose vcpu_info stands in shared_info. */
export const XEN_LEGACY_MAX_VCPUS = 32;

// dom0_vga_console_info.video_type

export const XEN_VGATYPE_TEXT_MODE_3 = 0x03;
export const XEN_VGATYPE_VESA_LFB = 0x23;
export const XEN_VGATYPE_EFI_LFB = 0x70;

// console_io(cmd, count, buffer)

export const CONSOLEIO_write = 0;
export const CONSOLEIO_read = 1;

// vm_assist(cmd, type)

export const VMASST_CMD_enable = 0;
export const VMASST_CMD_disable = 1;
/** 32-bit: emulate accesses that a truncated segment limit refuses. */
export const VMASST_TYPE_4gb_segments = 0;
/** 32-bit: tell the guest about each, by vector 15. */
export const VMASST_TYPE_4gb_segments_notify = 1;
/** Emulate direct writes to page tables. */
export const VMASST_TYPE_writable_pagetables = 2;
/** 32-bit PAE: cr3 values as xen_pfn_to_cr3 packs them, for roots above 4 GiB. */
export const VMASST_TYPE_pae_extended_cr3 = 3;
/** Virtualize IOPL as the hardware has it: visible in the flags image, checked on cli, sti and in/out. */
export const VMASST_TYPE_architectural_iopl = 4;
/** Set XEN_RUNSTATE_UPDATE around an update of the registered runstate area. */
export const VMASST_TYPE_runstate_update_flag = 5;
/** 64-bit: the M2P is not visible in user mode. */
export const VMASST_TYPE_m2p_strict = 32;
