/** Grant tables: lending frames to other domains (Xen 4.17, public/grant_table.h). */

// grant_table_op(cmd, pointer to an array of gnttab_<command>, number of elements)

export const GNTTABOP_map_grant_ref = 0;
export const GNTTABOP_unmap_grant_ref = 1;
export const GNTTABOP_setup_table = 2;
/** Not in Xen 4.17: -XEN_ENOSYS. */
export const GNTTABOP_dump_table = 3;
export const GNTTABOP_transfer = 4;
export const GNTTABOP_copy = 5;
export const GNTTABOP_query_size = 6;
export const GNTTABOP_unmap_and_replace = 7;
export const GNTTABOP_set_version = 8;
export const GNTTABOP_get_status_frames = 9;
export const GNTTABOP_get_version = 10;
export const GNTTABOP_swap_grant_ref = 11;
export const GNTTABOP_cache_flush = 12;

/** Entries at the start of the table that the toolstack fills. */
export const GNTTAB_NR_RESERVED_ENTRIES = 8;
export const GNTTAB_RESERVED_CONSOLE = 0;
export const GNTTAB_RESERVED_XENSTORE = 1;

// grant_entry_v1.flags, grant_entry_header.flags: the type in the two lowest bits

export const GTF_invalid = 0;
/** `domid` may map or copy `frame`. */
export const GTF_permit_access = 1;
/** `domid` may transfer a frame to us. */
export const GTF_accept_transfer = 2;
/** Version 2: stands for a grant of a third domain. */
export const GTF_transitive = 3;
export const GTF_type_mask = 3;
/** Granter: no write access. */
export const GTF_readonly = 4;
/** Xen: mapped for reading now. */
export const GTF_reading = 8;
/** Xen: mapped for writing now. */
export const GTF_writing = 16;
export const GTF_PWT = 32;
export const GTF_PCD = 64;
export const GTF_PAT = 128;
/** Version 2: only part of the page. */
export const GTF_sub_page = 256;
/** Of an accepted transfer. Xen: it has begun; the entry must not change. */
export const GTF_transfer_committed = 4;
/** Xen: `frame` holds the new frame. */
export const GTF_transfer_completed = 8;

// gnttab_map_grant_ref.flags

export const GNTMAP_device_map = 1;
export const GNTMAP_host_map = 2;
export const GNTMAP_readonly = 4;
/** User mode may access it. */
export const GNTMAP_application_map = 8;
/** host_addr is the machine address of the page-table entry to write. */
export const GNTMAP_contains_pte = 16;
/** The bits that go to the available bits of the page-table entry. */
export const GNTMAP_guest_avail_mask = 0xffff0000;

// gnttab_copy.flags: what source.u and dest.u hold, a reference or a frame

export const GNTCOPY_source_gref = 1;
export const GNTCOPY_dest_gref = 2;

// gnttab_cache_flush.op

export const GNTTAB_CACHE_CLEAN = 1;
export const GNTTAB_CACHE_INVAL = 2;
export const GNTTAB_CACHE_SOURCE_GREF = 0x80000000;

// The status field that every operation writes

export const GNTST_okay = 0;
export const GNTST_general_error = -1;
export const GNTST_bad_domain = -2;
export const GNTST_bad_gntref = -3;
export const GNTST_bad_handle = -4;
export const GNTST_bad_virt_addr = -5;
export const GNTST_bad_dev_addr = -6;
export const GNTST_no_device_space = -7;
export const GNTST_permission_denied = -8;
export const GNTST_bad_page = -9;
/** A copy would cross a page boundary. */
export const GNTST_bad_copy_arg = -10;
export const GNTST_address_too_big = -11;
/** Not done: try again. */
export const GNTST_eagain = -12;
export const GNTST_no_space = -13;
