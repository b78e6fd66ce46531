/** A domain's memory (Xen 4.17, public/memory.h): memory_op(cmd, pointer). */

/** xen_memory_reservation; returns the extents done. The upper bits of cmd carry a start extent. */
export const XENMEM_increase_reservation = 0;
/** xen_memory_reservation; likewise. */
export const XENMEM_decrease_reservation = 1;
/** No argument: returns the highest frame number of the machine. */
export const XENMEM_maximum_ram_page = 2;
/** xen_memory_domain: returns pages. */
export const XENMEM_current_reservation = 3;
/** xen_memory_domain: returns pages. */
export const XENMEM_maximum_reservation = 4;
/** xen_machphys_mfn_list */
export const XENMEM_machphys_mfn_list = 5;
/** xen_memory_reservation; likewise. */
export const XENMEM_populate_physmap = 6;
/** xen_add_to_physmap; auto-translated guests. */
export const XENMEM_add_to_physmap = 7;
/** xen_memory_map; -XEN_ENOSYS if the domain was given no map. */
export const XENMEM_memory_map = 9;
/** xen_memory_map; control domain only. */
export const XENMEM_machine_memory_map = 10;
/** xen_memory_exchange */
export const XENMEM_exchange = 11;
/** xen_machphys_mapping */
export const XENMEM_machphys_mapping = 12;
/** xen_foreign_memory_map; toolstack only. */
export const XENMEM_set_memory_map = 13;
/** xen_memory_domain: returns a frame number. */
export const XENMEM_maximum_gpfn = 14;
/** xen_remove_from_physmap; auto-translated guests. */
export const XENMEM_remove_from_physmap = 15;
/** xen_pod_target; toolstack only. */
export const XENMEM_set_pod_target = 16;
/** xen_pod_target; toolstack only. */
export const XENMEM_get_pod_target = 17;
/** Toolstack only. */
export const XENMEM_get_sharing_freed_pages = 18;
/** Toolstack only. */
export const XENMEM_get_sharing_shared_pages = 19;
/** Toolstack only, hardware-virtualized guests. */
export const XENMEM_paging_op = 20;
/** Toolstack only, hardware-virtualized guests. */
export const XENMEM_access_op = 21;
/** Toolstack only, hardware-virtualized guests. */
export const XENMEM_sharing_op = 22;
/** xen_add_to_physmap_batch; auto-translated guests. */
export const XENMEM_add_to_physmap_batch = 23;
/** xen_memory_reservation; toolstack only. */
export const XENMEM_claim_pages = 24;
/** xen_machphys_mfn_list, for the M2P of 32-bit guests; control domain only. */
export const XENMEM_machphys_compat_mfn_list = 25;
/** xen_vnuma_topology_info */
export const XENMEM_get_vnumainfo = 26;
/** Toolstack only. */
export const XENMEM_reserved_device_memory_map = 27;
/** xen_mem_acquire_resource; toolstack only. */
export const XENMEM_acquire_resource = 28;

// xen_memory_reservation.mem_flags; bits 0..7: address width (0: any), bits 8..15: node + 1

export const XENMEMF_populate_on_demand = 0x10000;
export const XENMEMF_exact_node_request = 0x20000;
/** The node is a virtual one. */
export const XENMEMF_vnode = 0x40000;

// xen_add_to_physmap.space

export const XENMAPSPACE_shared_info = 0;
export const XENMAPSPACE_grant_table = 1;
export const XENMAPSPACE_gmfn = 2;
export const XENMAPSPACE_gmfn_range = 3;
export const XENMAPSPACE_gmfn_foreign = 4;
export const XENMAPSPACE_dev_mmio = 5;
/** In idx, with XENMAPSPACE_grant_table: a status frame. */
export const XENMAPIDX_grant_table_status = 0x80000000;

// xen_mem_acquire_resource.type, and id for XENMEM_resource_grant_table

export const XENMEM_resource_ioreq_server = 0;
export const XENMEM_resource_grant_table = 1;
export const XENMEM_resource_vmtrace_buf = 2;
export const XENMEM_resource_grant_table_id_shared = 0;
export const XENMEM_resource_grant_table_id_status = 1;
export const XENMEM_resource_ioreq_server_frame_bufioreq = 0;

// The kinds of an E820 entry, as public/arch-x86/hvm/start_info.h names them

export const XEN_HVM_MEMMAP_TYPE_RAM = 1;
export const XEN_HVM_MEMMAP_TYPE_RESERVED = 2;
export const XEN_HVM_MEMMAP_TYPE_ACPI = 3;
export const XEN_HVM_MEMMAP_TYPE_NVS = 4;
export const XEN_HVM_MEMMAP_TYPE_UNUSABLE = 5;
export const XEN_HVM_MEMMAP_TYPE_DISABLED = 6;
export const XEN_HVM_MEMMAP_TYPE_PMEM = 7;
