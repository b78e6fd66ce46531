/** Grant table entries and the arguments of grant_table_op (Xen 4.17, public/grant_table.h). */
import { array, i16, ptr, struct, u16, u32, u64, ulong, union } from '../layout.ts';

/**
 * Version 1, 8 bytes. The granter writes it, `flags` last; Xen sets GTF_reading, GTF_writing and the transfer
 * bits.
 */
export const grant_entry_v1 = struct('grant_entry_v1', {
  /** GTF_*. */
  flags: u16,
  /** To whom. */
  domid: u16,
  /** The frame lent, or received. */
  frame: u32,
});

export const grant_entry_header = struct('grant_entry_header', { flags: u16, domid: u16 });

/**
 * Version 2, 16 bytes; Xen reports GTF_reading and GTF_writing in the status array (a u16 for each entry)
 * instead.
 */
export const grant_entry_v2 = union('grant_entry_v2', {
  hdr: grant_entry_header,
  full_page: struct({ hdr: grant_entry_header, pad0: u32, frame: u64 }),
  /** GTF_sub_page: bytes of the page. */
  sub_page: struct({ hdr: grant_entry_header, page_off: u16, length: u16, frame: u64 }),
  /** GTF_transitive: the grant that this one stands for. */
  transitive: struct({ hdr: grant_entry_header, trans_domid: u16, pad0: u16, gref: u32 }),
  __spacer: array(u32, 4),
});

export const gnttab_map_grant_ref = struct('gnttab_map_grant_ref', {
  /** Virtual address, or machine address of the entry with GNTMAP_contains_pte. */
  host_addr: u64,
  /** GNTMAP_*. */
  flags: u32,
  ref: u32,
  /** The granter. */
  dom: u16,
  /** Out: GNTST_*. */
  status: i16,
  /** Out: for the unmapping. */
  handle: u32,
  /** Out: with GNTMAP_device_map. */
  dev_bus_addr: u64,
});

export const gnttab_unmap_grant_ref = struct('gnttab_unmap_grant_ref', {
  host_addr: u64,
  dev_bus_addr: u64,
  handle: u32,
  /** Out: GNTST_*. */
  status: i16,
});

/** Grow the table to nr_frames and learn its frames. */
export const gnttab_setup_table = struct('gnttab_setup_table', {
  dom: u16,
  nr_frames: u32,
  /** Out: GNTST_*. */
  status: i16,
  /** Out: xen_pfn_t[nr_frames]. */
  frame_list: ptr,
});

export const gnttab_dump_table = struct('gnttab_dump_table', { dom: u16, status: i16 });

export const gnttab_transfer = struct('gnttab_transfer', {
  mfn: ulong,
  domid: u16,
  ref: u32,
  /** Out: GNTST_*. */
  status: i16,
});

const copy_end = struct('gnttab_copy_ptr', {
  u: union({ ref: u32, gmfn: ulong }),
  domid: u16,
  /** Bytes into the page. */
  offset: u16,
});

export const gnttab_copy = struct('gnttab_copy', {
  source: copy_end,
  dest: copy_end,
  /** Bytes. */
  len: u16,
  /** GNTCOPY_*. */
  flags: u16,
  /** Out: GNTST_*. */
  status: i16,
});

export const gnttab_query_size = struct('gnttab_query_size', {
  dom: u16,
  /** Out. */
  nr_frames: u32,
  /** Out. */
  max_nr_frames: u32,
  /** Out: GNTST_*. */
  status: i16,
});

/** Unmap, and move the page-table entry of new_addr to host_addr. */
export const gnttab_unmap_and_replace = struct('gnttab_unmap_and_replace', {
  host_addr: u64,
  new_addr: u64,
  handle: u32,
  /** Out: GNTST_*. */
  status: i16,
});

/** In: wanted; out: in force. */
export const gnttab_set_version = struct('gnttab_set_version', { version: u32 });

/** Version 2: the frames of the status array. */
export const gnttab_get_status_frames = struct('gnttab_get_status_frames', {
  nr_frames: u32,
  dom: u16,
  /** Out: GNTST_*. */
  status: i16,
  /** Out: uint64_t[nr_frames]. */
  frame_list: ptr,
});

export const gnttab_get_version = struct('gnttab_get_version', {
  dom: u16,
  pad: u16,
  /** Out. */
  version: u32,
});

export const gnttab_swap_grant_ref = struct('gnttab_swap_grant_ref', {
  ref_a: u32,
  ref_b: u32,
  /** Out: GNTST_*. */
  status: i16,
});

export const gnttab_cache_flush = struct('gnttab_cache_flush', {
  a: union({ dev_bus_addr: u64, ref: u32 }),
  offset: u16,
  length: u16,
  /** GNTTAB_CACHE_*. */
  op: u32,
});
