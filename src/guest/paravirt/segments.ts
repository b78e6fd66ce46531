/** The layout of a kernel's GDT as far as back ends share it, and descriptors' bits. */

/** The three entries for thread-local storage, by index, as Linux has them. */
export const GDT_TLS_FIRST: u32 = WORD_BITS === 64 ? 12 : 6;
export const TLS_ENTRIES: u32 = 3;

/** Of a descriptor of 64 bits: a code or data segment rather than the system's, DPL, present. */
export const DESCRIPTOR_SEGMENT: u64 = 0x0000100000000000;
export const DESCRIPTOR_DPL_SHIFT: u64 = 45;
export const DESCRIPTOR_DPL: u64 = 0x0000600000000000;
export const DESCRIPTOR_PRESENT: u64 = 0x0000800000000000;
