/**
 * The words that describe a machine frame, and the bits of a page-table entry as Xen reads them. Start reading `mm/`
 * here; next comes `frame-table.ts`.
 *
 * A frame has one type at a time, and the types exclude each other: a frame that is a page table of level 1 cannot be
 * mapped writable until the last use as a page table is gone. That one rule is what keeps a guest, which writes its own
 * page tables, from ever reaching memory that is not its own.
 *
 *     type_info   31..29     28       27        26         25..0
 *                 type     pinned  validated  (32-bit)   uses as this type
 *
 *     count_info    31         30        29..0
 *                allocated  xen_heap    references of any kind
 *
 * (Xen 4.17, arch/x86/include/asm/mm.h; the names are Xen's, the positions are squeezed into 32 bits.)
 */

/** No special use. */
export const PGT_none = 0;
export const PGT_l1_page_table = 1 << 29;
export const PGT_l2_page_table = 2 << 29;
export const PGT_l3_page_table = 3 << 29;
export const PGT_l4_page_table = 4 << 29;
/** Holds segment descriptors: part of a GDT or an LDT. */
export const PGT_seg_desc_page = 5 << 29;
/** May be mapped writable. */
export const PGT_writable_page = 7 << 29;
export const PGT_type_mask = 7 << 29;
/** The guest holds the frame at its present type. */
export const PGT_pinned = 1 << 28;
/** The contents have been checked for the present type. */
export const PGT_validated = 1 << 27;
/** Uses as the present type. */
export const PGT_count_mask = (1 << 26) - 1;
/** The type of a root: what CR3 may name. */
export const PGT_root_page_table = PGT_l4_page_table;

/** The owner has not given the frame back; accounts for one reference. */
export const PGC_allocated = 1 << 31;
/** A frame of Xen's that is shared with its owner: shared_info, grant tables. */
export const PGC_xen_heap = 1 << 30;
export const PGC_count_mask = (1 << 30) - 1;

/** The owner of a free frame, or of one that the host uses for itself. */
export const OWNER_NONE = -1;
/** Frame 0 is never given out, so it can stand for "none". */
export const NO_MFN = 0;
/** The frame number of an entry that names no frame of this machine. */
export const INVALID_MFN = -1;

export const ENTRIES_PER_TABLE = 512;
/** L4 slots that belong to Xen, inclusive. */
export const ROOT_PAGETABLE_FIRST_XEN_SLOT = 256;
export const ROOT_PAGETABLE_LAST_XEN_SLOT = 271;

/** The page-table type of a level, 1 to 4. */
export function tableType(level: number): number {
  return level << 29;
}
/** The level of a page-table type; above 4 or 0: not a page table. */
export function tableLevel(typeInfo: number): number {
  return typeInfo >>> 29;
}
export function isTableType(typeInfo: number): boolean {
  const level = typeInfo >>> 29;
  return level >= 1 && level <= 4;
}

// Bits of an entry's low half.

export const PAGE_PRESENT = 0x001;
export const PAGE_RW = 0x002;
export const PAGE_USER = 0x004;
export const PAGE_ACCESSED = 0x020;
export const PAGE_DIRTY = 0x040;
export const PAGE_PSE = 0x080;
export const PAGE_GLOBAL = 0x100;
export const PAGE_AVAIL = 0xe00;

/**
 * Bits that a domain without devices may not set: cache attributes, and at level 1 PAT where the others have PSE.
 * The bits 52 to 63 are all the guest's. (base_disallow_mask, L1_DISALLOW_MASK)
 */
export const L1_DISALLOW_MASK = 0x098;
/** Levels 2 to 4: no superpages and no global bit either. */
export const TABLE_DISALLOW_MASK = 0x198;
/** Flags of the low half that may change without a new check of the entry. (FASTPATH_FLAG_WHITELIST) */
export const FASTPATH_FLAG_WHITELIST = PAGE_AVAIL | PAGE_GLOBAL | PAGE_DIRTY | PAGE_ACCESSED | PAGE_USER;

// Bits of an entry's high half.

/** Frame number bits 32 to 51 of the entry; a frame of this machine has none of them. */
export const HIGH_MFN_MASK = 0x000fffff;
/** Bit 52: the entry is the guest kernel's. Needed because Xen sets the user bit in every entry. */
export const HIGH_GUEST_KERNEL = 1 << 20;
/** Bit 63. */
export const HIGH_NX = 1 << 31;

/** The low half of a level-1 entry as Xen stores it for a 64-bit guest; see `adjustedL1High` for the other half. */
export function adjustedL1Low(low: number, high: number): number {
  if ((low & PAGE_PRESENT) === 0) return low;
  const kernel = (high & HIGH_GUEST_KERNEL) !== 0 || (low & PAGE_USER) === 0;
  return low | (kernel ? PAGE_USER : PAGE_USER | PAGE_GLOBAL);
}
/**
 * The high half, given the low half before it was adjusted. A present entry without the user bit is the kernel's: it
 * gets bit 52 and the user bit, because the guest's kernel runs in ring 3 too. (adjust_guest_l1e)
 */
export function adjustedL1High(low: number, high: number): number {
  return (low & (PAGE_PRESENT | PAGE_USER)) === PAGE_PRESENT ? high | HIGH_GUEST_KERNEL : high;
}
/** The low half of an entry of levels 2 to 4 as Xen stores it. (adjust_guest_l2e, _l3e, _l4e) */
export function adjustedTableLow(level: number, low: number): number {
  if ((low & PAGE_PRESENT) === 0) return low;
  return low | (level === 4 ? PAGE_USER | PAGE_ACCESSED : PAGE_USER);
}

/** Whether a slot of a 64-bit guest's table of that level is the guest's to fill. (is_guest_l4_slot) */
export function isGuestSlot(level: number, slot: number): boolean {
  return level !== 4 || slot < ROOT_PAGETABLE_FIRST_XEN_SLOT || slot > ROOT_PAGETABLE_LAST_XEN_SLOT;
}
