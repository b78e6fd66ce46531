/**
 * Feature bits (Xen 4.17, public/features.h): bit numbers of XENVER_get_features and of the
 * SUPPORTED_FEATURES note. The FEATURES note spells the names after XENFEAT_, with `!` in front of one that
 * the guest requires.
 */

/** Page tables may be mapped writable. Never offered to a guest with direct paging. */
export const XENFEAT_writable_page_tables = 0;
export const XENFEAT_writable_descriptor_tables = 1;
/** The guest sees pseudo-physical frames only. */
export const XENFEAT_auto_translated_physmap = 2;
/** The kernel runs in ring 0. */
export const XENFEAT_supervisor_mode_kernel = 3;
/** 32-bit PAE: a root may stand above 4 GiB. */
export const XENFEAT_pae_pgdir_above_4gb = 4;
/** MMU_PT_UPDATE_PRESERVE_AD works. */
export const XENFEAT_mmu_pt_update_preserve_ad = 5;
/** 32-bit: MMUEXT_CLEAR_PAGE and MMUEXT_COPY_PAGE work. */
export const XENFEAT_highmem_assist = 6;
/** GNTMAP_guest_avail_mask works. */
export const XENFEAT_gnttab_map_avail_bits = 7;
export const XENFEAT_hvm_callback_vector = 8;
export const XENFEAT_hvm_safe_pvclock = 9;
export const XENFEAT_hvm_pirqs = 10;
/** The domain is, or can be, the initial domain. */
export const XENFEAT_dom0 = 11;
/** XENMEMF_vnode works. */
export const XENFEAT_memory_op_vnode_supported = 13;
export const XENFEAT_ARM_SMCCC_supported = 14;
export const XENFEAT_linux_rsdp_unrestricted = 15;
export const XENFEAT_not_direct_mapped = 16;
export const XENFEAT_direct_mapped = 17;
/** 32-bit words of features that exist. */
export const XENFEAT_NR_SUBMAPS = 1;
