/** Arguments of memory_op (Xen 4.17, public/memory.h). */
import { packed, ptr, struct, u16, u32, u64, ulong, union } from '../layout.ts';

/** What to allocate or give back. */
export const xen_memory_reservation = struct('xen_memory_reservation', {
  /**
   * xen_pfn_t[nr_extents]: in, or out, by command; the first frame of each extent. May be null where it is
   * only out.
   */
  extent_start: ptr,
  nr_extents: ulong,
  /** log2 of the pages of an extent. */
  extent_order: u32,
  /** XENMEMF_*. */
  mem_flags: u32,
  domid: u16,
});

/** Give back `in`, get `out`: as many pages, in extents of another order. */
export const xen_memory_exchange = struct('xen_memory_exchange', {
  in: xen_memory_reservation,
  out: xen_memory_reservation,
  /** Out: input extents done; must be 0 at the start. */
  nr_exchanged: ulong,
});

/** Whose reservation is asked for. */
export const xen_memory_domain = struct('xen_memory_domain', { domid: u16 });

/** The frames that the M2P lies in, one for each 2 MiB of it. */
export const xen_machphys_mfn_list = struct('xen_machphys_mfn_list', {
  /** In: room in the array. */
  max_extents: u32,
  extent_start: ptr,
  /** Out: elements written. */
  nr_extents: u32,
});

/** Where the M2P stands in the guest's address space. Written by Xen. */
export const xen_machphys_mapping = struct('xen_machphys_mapping', {
  v_start: ulong,
  /** Exclusive. */
  v_end: ulong,
  /** Highest frame number that it describes. */
  max_mfn: ulong,
});

/** Auto-translated guests: put a frame of some kind at gpfn. */
export const xen_add_to_physmap = struct('xen_add_to_physmap', {
  domid: u16,
  /** Pages, for XENMAPSPACE_gmfn_range. */
  size: u16,
  /** XENMAPSPACE_*. */
  space: u32,
  idx: ulong,
  gpfn: ulong,
});

/** The same for many. */
export const xen_add_to_physmap_batch = struct('xen_add_to_physmap_batch', {
  domid: u16,
  space: u16,
  /** Elements of each of the three arrays. */
  size: u16,
  u: union({ foreign_domid: u16, res0: u16 }),
  idxs: ptr,
  gpfns: ptr,
  /** Out: int[size]. */
  errs: ptr,
});

/** Auto-translated guests: leave gpfn empty. */
export const xen_remove_from_physmap = struct('xen_remove_from_physmap', { domid: u16, gpfn: ulong });

/** Where to write the memory map. */
export const xen_memory_map = struct('xen_memory_map', {
  /** In: room in the buffer; out: entries written. */
  nr_entries: u32,
  /** e820entry[]. */
  buffer: ptr,
});

/** The map to give to another domain. */
export const xen_foreign_memory_map = struct('xen_foreign_memory_map', { domid: u16, map: xen_memory_map });

/**
 * One entry of a memory map: the BIOS's 20-byte form, packed. The public headers describe it in words only.
 */
export const e820entry = packed('e820entry', {
  /** Pseudo-physical byte address. */
  addr: u64,
  /** Bytes. */
  size: u64,
  /** XEN_HVM_MEMMAP_TYPE_*. */
  type: u32,
});

/** Populate-on-demand: pages. */
export const xen_pod_target = struct('xen_pod_target', {
  target_pages: u64,
  tot_pages: u64,
  pod_cache_pages: u64,
  pod_entries: u64,
  domid: u16,
});

/** Toolstack: map frames that belong to Xen on behalf of a domain. */
export const xen_mem_acquire_resource = struct('xen_mem_acquire_resource', {
  domid: u16,
  /** XENMEM_resource_*. */
  type: u16,
  id: u32,
  /** In: frames wanted; 0 asks how many there are, which comes back here. */
  nr_frames: u32,
  pad: u32,
  /** First frame of the resource. */
  frame: u64,
  frame_list: ptr,
});

/** Part of a virtual node's memory: byte addresses, `end` exclusive. */
export const xen_vmemrange = struct('xen_vmemrange', { start: u64, end: u64, flags: u32, nid: u32 });

const handle64 = union({ h: ptr, pad: u64 });

/** The virtual NUMA topology. Counts: in: room in the arrays; out: what there is. */
export const xen_vnuma_topology_info = struct('xen_vnuma_topology_info', {
  domid: u16,
  pad: u16,
  nr_vnodes: u32,
  nr_vcpus: u32,
  nr_vmemranges: u32,
  /** unsigned int[nr_vnodes][nr_vnodes]. */
  vdistance: handle64,
  /** unsigned int[nr_vcpus]. */
  vcpu_to_vnode: handle64,
  /** xen_vmemrange[nr_vmemranges]. */
  vmemrange: handle64,
});
