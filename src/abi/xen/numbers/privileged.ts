/**
 * Commands of the hypercalls that an ordinary PV domain has no use for, or may not use (Xen 4.17). They stand
 * here so that traces and the coverage table can name them. Not here: the commands of sysctl, domctl, dm_op
 * and xsm_op, whose numbers belong to a toolstack of the same release and are no stable interface.
 */

// platform_op: the machine, for the control domain (public/platform.h)

export const XENPF_settime32 = 17;
export const XENPF_add_memtype = 31;
export const XENPF_del_memtype = 32;
export const XENPF_read_memtype = 33;
export const XENPF_microcode_update = 35;
export const XENPF_platform_quirk = 39;
export const XENPF_get_cpu_version = 48;
export const XENPF_efi_runtime_call = 49;
export const XENPF_firmware_info = 50;
export const XENPF_enter_acpi_sleep = 51;
export const XENPF_change_freq = 52;
export const XENPF_getidletime = 53;
export const XENPF_set_processor_pminfo = 54;
export const XENPF_get_cpuinfo = 55;
export const XENPF_cpu_online = 56;
export const XENPF_cpu_offline = 57;
export const XENPF_cpu_hotadd = 58;
export const XENPF_mem_hotadd = 59;
export const XENPF_core_parking = 60;
export const XENPF_resource_op = 61;
export const XENPF_settime64 = 62;
export const XENPF_get_symbol = 63;

// xenpmu_op: performance counters (public/pmu.h)

export const XENPMU_mode_get = 0;
export const XENPMU_mode_set = 1;
export const XENPMU_feature_get = 2;
export const XENPMU_feature_set = 3;
export const XENPMU_init = 4;
export const XENPMU_finish = 5;
export const XENPMU_lvtpc_set = 6;
export const XENPMU_flush = 7;

// argo_op: messages between domains (public/argo.h)

export const XEN_ARGO_OP_register_ring = 1;
export const XEN_ARGO_OP_unregister_ring = 2;
export const XEN_ARGO_OP_sendv = 3;
export const XEN_ARGO_OP_notify = 4;

// xenoprof_op: profiling, gone from later versions (public/xenoprof.h)

export const XENOPROF_init = 0;
export const XENOPROF_reset_active_list = 1;
export const XENOPROF_reset_passive_list = 2;
export const XENOPROF_set_active = 3;
export const XENOPROF_set_passive = 4;
export const XENOPROF_reserve_counters = 5;
export const XENOPROF_counter = 6;
export const XENOPROF_setup_events = 7;
export const XENOPROF_enable_virq = 8;
export const XENOPROF_start = 9;
export const XENOPROF_stop = 10;
export const XENOPROF_disable_virq = 11;
export const XENOPROF_release_counters = 12;
export const XENOPROF_shutdown = 13;
export const XENOPROF_get_buffer = 14;
export const XENOPROF_set_backtrace = 15;
export const XENOPROF_get_ibs_caps = 16;
export const XENOPROF_ibs_counter = 17;

// kexec_op (public/kexec.h)

export const KEXEC_CMD_kexec = 0;
export const KEXEC_CMD_kexec_load_v1 = 1;
export const KEXEC_CMD_kexec_unload_v1 = 2;
export const KEXEC_CMD_kexec_get_range = 3;
export const KEXEC_CMD_kexec_load = 4;
export const KEXEC_CMD_kexec_unload = 5;
export const KEXEC_CMD_kexec_status = 6;

// hypfs_op (public/hypfs.h)

export const XEN_HYPFS_OP_get_version = 0;
export const XEN_HYPFS_OP_read = 1;
export const XEN_HYPFS_OP_write_contents = 2;

// hvm_op: hardware-virtualized guests (public/hvm/hvm_op.h)

export const HVMOP_set_param = 0;
export const HVMOP_get_param = 1;
export const HVMOP_flush_tlbs = 5;
export const HVMOP_pagetable_dying = 9;
export const HVMOP_get_time = 10;
export const HVMOP_xentrace = 11;
export const HVMOP_set_mem_access = 12;
export const HVMOP_get_mem_access = 13;
export const HVMOP_get_mem_type = 15;
export const HVMOP_set_evtchn_upcall_vector = 23;
export const HVMOP_guest_request_vm_event = 24;
export const HVMOP_altp2m = 25;
