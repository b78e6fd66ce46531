/**
 * Page-table updates: the commands of mmu_update and mmuext_op, and the flags of update_va_mapping (Xen 4.17,
 * public/xen.h).
 */

// The low two bits of mmu_update.ptr say what the entry means.

/** Checked write to a page-table entry at machine address `ptr`. */
export const MMU_NORMAL_PT_UPDATE = 0;
/** `val` is the PFN to store in the M2P entry of the frame at `ptr`. */
export const MMU_MACHPHYS_UPDATE = 1;
/** As MMU_NORMAL_PT_UPDATE, but accessed and dirty bits that are set stay set. */
export const MMU_PT_UPDATE_PRESERVE_AD = 2;
/** As MMU_NORMAL_PT_UPDATE, with frame numbers not translated (auto-translated guests). */
export const MMU_PT_UPDATE_NO_TRANSLATE = 3;

// mmuext_op.cmd. What arg1 and arg2 hold stands behind each; nothing: neither is used.

/** arg1.mfn */
export const MMUEXT_PIN_L1_TABLE = 0;
/** arg1.mfn */
export const MMUEXT_PIN_L2_TABLE = 1;
/** arg1.mfn */
export const MMUEXT_PIN_L3_TABLE = 2;
/** arg1.mfn */
export const MMUEXT_PIN_L4_TABLE = 3;
/** arg1.mfn */
export const MMUEXT_UNPIN_TABLE = 4;
/** arg1.mfn: the root for kernel mode. */
export const MMUEXT_NEW_BASEPTR = 5;
export const MMUEXT_TLB_FLUSH_LOCAL = 6;
/** arg1.linear_addr */
export const MMUEXT_INVLPG_LOCAL = 7;
/** arg2.vcpumask: pointer to a bitmap of vCPUs. */
export const MMUEXT_TLB_FLUSH_MULTI = 8;
/** arg1.linear_addr, arg2.vcpumask */
export const MMUEXT_INVLPG_MULTI = 9;
export const MMUEXT_TLB_FLUSH_ALL = 10;
/** arg1.linear_addr */
export const MMUEXT_INVLPG_ALL = 11;
export const MMUEXT_FLUSH_CACHE = 12;
/** arg1.linear_addr: page-aligned base; arg2.nr_ents. */
export const MMUEXT_SET_LDT = 13;
/** arg1.mfn: the root for user mode (64-bit mode); 0: none. */
export const MMUEXT_NEW_USER_BASEPTR = 15;
/** arg1.mfn */
export const MMUEXT_CLEAR_PAGE = 16;
/** arg1.mfn: destination; arg2.src_mfn. */
export const MMUEXT_COPY_PAGE = 17;
export const MMUEXT_FLUSH_CACHE_GLOBAL = 18;
/** arg1.mfn. Withdrawn, like its opposite: -XEN_EOPNOTSUPP. */
export const MMUEXT_MARK_SUPER = 19;
/** arg1.mfn */
export const MMUEXT_UNMARK_SUPER = 20;

// update_va_mapping's flags: what to flush, and for whom. With UVMF_MULTI the other bits are a pointer to a
// vCPU bitmap.

export const UVMF_NONE = 0;
/** Flush the whole TLB. */
export const UVMF_TLB_FLUSH = 1;
/** Flush the one page. */
export const UVMF_INVLPG = 2;
export const UVMF_FLUSHTYPE_MASK = 3;
/** The vCPUs of the bitmap; a null pointer, which is UVMF_LOCAL, means the caller alone. */
export const UVMF_MULTI = 0;
export const UVMF_LOCAL = 0;
export const UVMF_ALL = 4;
