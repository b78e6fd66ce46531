/**
 * The structures of the Xen interface as sizes and offsets in bytes: made by scripts/guest-abi.ts from src/abi/xen, where
 * the fields are explained. `SIZEOF_a` is the size of structure `a`, `a_b` the offset of its field `b`, nested names
 * joined. Where the two widths differ, WORD_BITS (a compile-time constant, 32 or 64) decides.
 */

export const SIZEOF_arch_shared_info: usize = WORD_BITS === 64 ? 48 : 28;
export const arch_shared_info_max_pfn: usize = 0;
export const arch_shared_info_pfn_to_mfn_frame_list_list: usize = WORD_BITS === 64 ? 8 : 4;
export const arch_shared_info_nmi_reason: usize = WORD_BITS === 64 ? 16 : 8;
export const arch_shared_info_p2m_cr3: usize = WORD_BITS === 64 ? 24 : 12;
export const arch_shared_info_p2m_vaddr: usize = WORD_BITS === 64 ? 32 : 16;
export const arch_shared_info_p2m_generation: usize = WORD_BITS === 64 ? 40 : 20;
/** 32 bits only. */
export const arch_shared_info_wc_sec_hi: usize = 24;

export const SIZEOF_arch_vcpu_info: usize = WORD_BITS === 64 ? 16 : 24;
export const arch_vcpu_info_cr2: usize = 0;

export const SIZEOF_callback_register: usize = WORD_BITS === 64 ? 16 : 12;
export const callback_register_type: usize = 0;
export const callback_register_flags: usize = 2;
export const callback_register_address: usize = WORD_BITS === 64 ? 8 : 4;
/** 32 bits only. */
export const callback_register_address_cs: usize = 4;
/** 32 bits only. */
export const callback_register_address_eip: usize = 8;

export const SIZEOF_callback_unregister: usize = 4;
export const callback_unregister_type: usize = 0;
export const callback_unregister__unused: usize = 2;

export const SIZEOF_cpu_user_regs: usize = WORD_BITS === 64 ? 200 : 68;
/** 64 bits only. */
export const cpu_user_regs_r15: usize = 0;
/** 64 bits only. */
export const cpu_user_regs_r14: usize = 8;
/** 64 bits only. */
export const cpu_user_regs_r13: usize = 16;
/** 64 bits only. */
export const cpu_user_regs_r12: usize = 24;
/** 64 bits only. */
export const cpu_user_regs_rbp: usize = 32;
/** 64 bits only. */
export const cpu_user_regs_rbx: usize = 40;
/** 64 bits only. */
export const cpu_user_regs_r11: usize = 48;
/** 64 bits only. */
export const cpu_user_regs_r10: usize = 56;
/** 64 bits only. */
export const cpu_user_regs_r9: usize = 64;
/** 64 bits only. */
export const cpu_user_regs_r8: usize = 72;
/** 64 bits only. */
export const cpu_user_regs_rax: usize = 80;
/** 64 bits only. */
export const cpu_user_regs_rcx: usize = 88;
/** 64 bits only. */
export const cpu_user_regs_rdx: usize = 96;
/** 64 bits only. */
export const cpu_user_regs_rsi: usize = 104;
/** 64 bits only. */
export const cpu_user_regs_rdi: usize = 112;
export const cpu_user_regs_error_code: usize = WORD_BITS === 64 ? 120 : 28;
export const cpu_user_regs_entry_vector: usize = WORD_BITS === 64 ? 124 : 30;
/** 64 bits only. */
export const cpu_user_regs_rip: usize = 128;
export const cpu_user_regs_cs: usize = WORD_BITS === 64 ? 136 : 36;
export const cpu_user_regs_saved_upcall_mask: usize = WORD_BITS === 64 ? 140 : 38;
/** 64 bits only. */
export const cpu_user_regs_rflags: usize = 144;
/** 64 bits only. */
export const cpu_user_regs_rsp: usize = 152;
export const cpu_user_regs_ss: usize = WORD_BITS === 64 ? 160 : 48;
export const cpu_user_regs_es: usize = WORD_BITS === 64 ? 168 : 52;
export const cpu_user_regs_ds: usize = WORD_BITS === 64 ? 176 : 56;
export const cpu_user_regs_fs: usize = WORD_BITS === 64 ? 184 : 60;
export const cpu_user_regs_gs: usize = WORD_BITS === 64 ? 192 : 64;
/** 32 bits only. */
export const cpu_user_regs_ebx: usize = 0;
/** 32 bits only. */
export const cpu_user_regs_ecx: usize = 4;
/** 32 bits only. */
export const cpu_user_regs_edx: usize = 8;
/** 32 bits only. */
export const cpu_user_regs_esi: usize = 12;
/** 32 bits only. */
export const cpu_user_regs_edi: usize = 16;
/** 32 bits only. */
export const cpu_user_regs_ebp: usize = 20;
/** 32 bits only. */
export const cpu_user_regs_eax: usize = 24;
/** 32 bits only. */
export const cpu_user_regs_eip: usize = 32;
/** 32 bits only. */
export const cpu_user_regs_eflags: usize = 40;
/** 32 bits only. */
export const cpu_user_regs_esp: usize = 44;

export const SIZEOF_dom0_vga_console_info: usize = 40;
export const dom0_vga_console_info_video_type: usize = 0;
export const dom0_vga_console_info_u: usize = 4;
export const dom0_vga_console_info_u_text_mode_3: usize = 4;
export const dom0_vga_console_info_u_text_mode_3_font_height: usize = 4;
export const dom0_vga_console_info_u_text_mode_3_cursor_x: usize = 6;
export const dom0_vga_console_info_u_text_mode_3_cursor_y: usize = 8;
export const dom0_vga_console_info_u_text_mode_3_rows: usize = 10;
export const dom0_vga_console_info_u_text_mode_3_columns: usize = 12;
export const dom0_vga_console_info_u_vesa_lfb: usize = 4;
export const dom0_vga_console_info_u_vesa_lfb_width: usize = 4;
export const dom0_vga_console_info_u_vesa_lfb_height: usize = 6;
export const dom0_vga_console_info_u_vesa_lfb_bytes_per_line: usize = 8;
export const dom0_vga_console_info_u_vesa_lfb_bits_per_pixel: usize = 10;
export const dom0_vga_console_info_u_vesa_lfb_lfb_base: usize = 12;
export const dom0_vga_console_info_u_vesa_lfb_lfb_size: usize = 16;
export const dom0_vga_console_info_u_vesa_lfb_red_pos: usize = 20;
export const dom0_vga_console_info_u_vesa_lfb_red_size: usize = 21;
export const dom0_vga_console_info_u_vesa_lfb_green_pos: usize = 22;
export const dom0_vga_console_info_u_vesa_lfb_green_size: usize = 23;
export const dom0_vga_console_info_u_vesa_lfb_blue_pos: usize = 24;
export const dom0_vga_console_info_u_vesa_lfb_blue_size: usize = 25;
export const dom0_vga_console_info_u_vesa_lfb_rsvd_pos: usize = 26;
export const dom0_vga_console_info_u_vesa_lfb_rsvd_size: usize = 27;
export const dom0_vga_console_info_u_vesa_lfb_gbl_caps: usize = 28;
export const dom0_vga_console_info_u_vesa_lfb_mode_attrs: usize = 32;
export const dom0_vga_console_info_u_vesa_lfb_ext_lfb_base: usize = 36;

export const SIZEOF_e820entry: usize = 20;
export const e820entry_addr: usize = 0;
export const e820entry_size: usize = 8;
export const e820entry_type: usize = 16;

export const SIZEOF_evtchn_alloc_unbound: usize = 8;
export const evtchn_alloc_unbound_dom: usize = 0;
export const evtchn_alloc_unbound_remote_dom: usize = 2;
export const evtchn_alloc_unbound_port: usize = 4;

export const SIZEOF_evtchn_bind_interdomain: usize = 12;
export const evtchn_bind_interdomain_remote_dom: usize = 0;
export const evtchn_bind_interdomain_remote_port: usize = 4;
export const evtchn_bind_interdomain_local_port: usize = 8;

export const SIZEOF_evtchn_bind_ipi: usize = 8;
export const evtchn_bind_ipi_vcpu: usize = 0;
export const evtchn_bind_ipi_port: usize = 4;

export const SIZEOF_evtchn_bind_pirq: usize = 12;
export const evtchn_bind_pirq_pirq: usize = 0;
export const evtchn_bind_pirq_flags: usize = 4;
export const evtchn_bind_pirq_port: usize = 8;

export const SIZEOF_evtchn_bind_vcpu: usize = 8;
export const evtchn_bind_vcpu_port: usize = 0;
export const evtchn_bind_vcpu_vcpu: usize = 4;

export const SIZEOF_evtchn_bind_virq: usize = 12;
export const evtchn_bind_virq_virq: usize = 0;
export const evtchn_bind_virq_vcpu: usize = 4;
export const evtchn_bind_virq_port: usize = 8;

export const SIZEOF_evtchn_close: usize = 4;
export const evtchn_close_port: usize = 0;

export const SIZEOF_evtchn_expand_array: usize = 8;
export const evtchn_expand_array_array_gfn: usize = 0;

export const SIZEOF_evtchn_fifo_control_block: usize = 72;
export const evtchn_fifo_control_block_ready: usize = 0;
export const evtchn_fifo_control_block__rsvd: usize = 4;
export const evtchn_fifo_control_block_head: usize = 8;

export const SIZEOF_evtchn_init_control: usize = 24;
export const evtchn_init_control_control_gfn: usize = 0;
export const evtchn_init_control_offset: usize = 8;
export const evtchn_init_control_vcpu: usize = 12;
export const evtchn_init_control_link_bits: usize = 16;

export const SIZEOF_evtchn_op: usize = 28;
export const evtchn_op_cmd: usize = 0;
export const evtchn_op_u: usize = 4;
export const evtchn_op_u_alloc_unbound: usize = 4;
export const evtchn_op_u_alloc_unbound_dom: usize = 4;
export const evtchn_op_u_alloc_unbound_remote_dom: usize = 6;
export const evtchn_op_u_alloc_unbound_port: usize = 8;
export const evtchn_op_u_bind_interdomain: usize = 4;
export const evtchn_op_u_bind_interdomain_remote_dom: usize = 4;
export const evtchn_op_u_bind_interdomain_remote_port: usize = 8;
export const evtchn_op_u_bind_interdomain_local_port: usize = 12;
export const evtchn_op_u_bind_virq: usize = 4;
export const evtchn_op_u_bind_virq_virq: usize = 4;
export const evtchn_op_u_bind_virq_vcpu: usize = 8;
export const evtchn_op_u_bind_virq_port: usize = 12;
export const evtchn_op_u_bind_pirq: usize = 4;
export const evtchn_op_u_bind_pirq_pirq: usize = 4;
export const evtchn_op_u_bind_pirq_flags: usize = 8;
export const evtchn_op_u_bind_pirq_port: usize = 12;
export const evtchn_op_u_bind_ipi: usize = 4;
export const evtchn_op_u_bind_ipi_vcpu: usize = 4;
export const evtchn_op_u_bind_ipi_port: usize = 8;
export const evtchn_op_u_close: usize = 4;
export const evtchn_op_u_close_port: usize = 4;
export const evtchn_op_u_send: usize = 4;
export const evtchn_op_u_send_port: usize = 4;
export const evtchn_op_u_status: usize = 4;
export const evtchn_op_u_status_dom: usize = 4;
export const evtchn_op_u_status_port: usize = 8;
export const evtchn_op_u_status_status: usize = 12;
export const evtchn_op_u_status_vcpu: usize = 16;
export const evtchn_op_u_status_u: usize = 20;
export const evtchn_op_u_status_u_unbound: usize = 20;
export const evtchn_op_u_status_u_unbound_dom: usize = 20;
export const evtchn_op_u_status_u_interdomain: usize = 20;
export const evtchn_op_u_status_u_interdomain_dom: usize = 20;
export const evtchn_op_u_status_u_interdomain_port: usize = 24;
export const evtchn_op_u_status_u_pirq: usize = 20;
export const evtchn_op_u_status_u_virq: usize = 20;
export const evtchn_op_u_bind_vcpu: usize = 4;
export const evtchn_op_u_bind_vcpu_port: usize = 4;
export const evtchn_op_u_bind_vcpu_vcpu: usize = 8;
export const evtchn_op_u_unmask: usize = 4;
export const evtchn_op_u_unmask_port: usize = 4;

export const SIZEOF_evtchn_reset: usize = 2;
export const evtchn_reset_dom: usize = 0;

export const SIZEOF_evtchn_send: usize = 4;
export const evtchn_send_port: usize = 0;

export const SIZEOF_evtchn_set_priority: usize = 8;
export const evtchn_set_priority_port: usize = 0;
export const evtchn_set_priority_priority: usize = 4;

export const SIZEOF_evtchn_status: usize = 24;
export const evtchn_status_dom: usize = 0;
export const evtchn_status_port: usize = 4;
export const evtchn_status_status: usize = 8;
export const evtchn_status_vcpu: usize = 12;
export const evtchn_status_u: usize = 16;
export const evtchn_status_u_unbound: usize = 16;
export const evtchn_status_u_unbound_dom: usize = 16;
export const evtchn_status_u_interdomain: usize = 16;
export const evtchn_status_u_interdomain_dom: usize = 16;
export const evtchn_status_u_interdomain_port: usize = 20;
export const evtchn_status_u_pirq: usize = 16;
export const evtchn_status_u_virq: usize = 16;

export const SIZEOF_evtchn_unmask: usize = 4;
export const evtchn_unmask_port: usize = 0;

export const SIZEOF_gnttab_cache_flush: usize = 16;
export const gnttab_cache_flush_a: usize = 0;
export const gnttab_cache_flush_a_dev_bus_addr: usize = 0;
export const gnttab_cache_flush_a_ref: usize = 0;
export const gnttab_cache_flush_offset: usize = 8;
export const gnttab_cache_flush_length: usize = 10;
export const gnttab_cache_flush_op: usize = 12;

export const SIZEOF_gnttab_copy: usize = WORD_BITS === 64 ? 40 : 24;
export const gnttab_copy_source: usize = 0;
export const gnttab_copy_source_u: usize = 0;
export const gnttab_copy_source_u_ref: usize = 0;
export const gnttab_copy_source_u_gmfn: usize = 0;
export const gnttab_copy_source_domid: usize = WORD_BITS === 64 ? 8 : 4;
export const gnttab_copy_source_offset: usize = WORD_BITS === 64 ? 10 : 6;
export const gnttab_copy_dest: usize = WORD_BITS === 64 ? 16 : 8;
export const gnttab_copy_dest_u: usize = WORD_BITS === 64 ? 16 : 8;
export const gnttab_copy_dest_u_ref: usize = WORD_BITS === 64 ? 16 : 8;
export const gnttab_copy_dest_u_gmfn: usize = WORD_BITS === 64 ? 16 : 8;
export const gnttab_copy_dest_domid: usize = WORD_BITS === 64 ? 24 : 12;
export const gnttab_copy_dest_offset: usize = WORD_BITS === 64 ? 26 : 14;
export const gnttab_copy_len: usize = WORD_BITS === 64 ? 32 : 16;
export const gnttab_copy_flags: usize = WORD_BITS === 64 ? 34 : 18;
export const gnttab_copy_status: usize = WORD_BITS === 64 ? 36 : 20;

export const SIZEOF_gnttab_dump_table: usize = 4;
export const gnttab_dump_table_dom: usize = 0;
export const gnttab_dump_table_status: usize = 2;

export const SIZEOF_gnttab_get_status_frames: usize = WORD_BITS === 64 ? 16 : 12;
export const gnttab_get_status_frames_nr_frames: usize = 0;
export const gnttab_get_status_frames_dom: usize = 4;
export const gnttab_get_status_frames_status: usize = 6;
export const gnttab_get_status_frames_frame_list: usize = 8;

export const SIZEOF_gnttab_get_version: usize = 8;
export const gnttab_get_version_dom: usize = 0;
export const gnttab_get_version_version: usize = 4;

export const SIZEOF_gnttab_map_grant_ref: usize = 32;
export const gnttab_map_grant_ref_host_addr: usize = 0;
export const gnttab_map_grant_ref_flags: usize = 8;
export const gnttab_map_grant_ref_ref: usize = 12;
export const gnttab_map_grant_ref_dom: usize = 16;
export const gnttab_map_grant_ref_status: usize = 18;
export const gnttab_map_grant_ref_handle: usize = 20;
export const gnttab_map_grant_ref_dev_bus_addr: usize = 24;

export const SIZEOF_gnttab_query_size: usize = 16;
export const gnttab_query_size_dom: usize = 0;
export const gnttab_query_size_nr_frames: usize = 4;
export const gnttab_query_size_max_nr_frames: usize = 8;
export const gnttab_query_size_status: usize = 12;

export const SIZEOF_gnttab_set_version: usize = 4;
export const gnttab_set_version_version: usize = 0;

export const SIZEOF_gnttab_setup_table: usize = WORD_BITS === 64 ? 24 : 16;
export const gnttab_setup_table_dom: usize = 0;
export const gnttab_setup_table_nr_frames: usize = 4;
export const gnttab_setup_table_status: usize = 8;
export const gnttab_setup_table_frame_list: usize = WORD_BITS === 64 ? 16 : 12;

export const SIZEOF_gnttab_swap_grant_ref: usize = 12;
export const gnttab_swap_grant_ref_ref_a: usize = 0;
export const gnttab_swap_grant_ref_ref_b: usize = 4;
export const gnttab_swap_grant_ref_status: usize = 8;

export const SIZEOF_gnttab_transfer: usize = WORD_BITS === 64 ? 24 : 16;
export const gnttab_transfer_mfn: usize = 0;
export const gnttab_transfer_domid: usize = WORD_BITS === 64 ? 8 : 4;
export const gnttab_transfer_ref: usize = WORD_BITS === 64 ? 12 : 8;
export const gnttab_transfer_status: usize = WORD_BITS === 64 ? 16 : 12;

export const SIZEOF_gnttab_unmap_and_replace: usize = 24;
export const gnttab_unmap_and_replace_host_addr: usize = 0;
export const gnttab_unmap_and_replace_new_addr: usize = 8;
export const gnttab_unmap_and_replace_handle: usize = 16;
export const gnttab_unmap_and_replace_status: usize = 20;

export const SIZEOF_gnttab_unmap_grant_ref: usize = 24;
export const gnttab_unmap_grant_ref_host_addr: usize = 0;
export const gnttab_unmap_grant_ref_dev_bus_addr: usize = 8;
export const gnttab_unmap_grant_ref_handle: usize = 16;
export const gnttab_unmap_grant_ref_status: usize = 20;

export const SIZEOF_grant_entry_header: usize = 4;
export const grant_entry_header_flags: usize = 0;
export const grant_entry_header_domid: usize = 2;

export const SIZEOF_grant_entry_v1: usize = 8;
export const grant_entry_v1_flags: usize = 0;
export const grant_entry_v1_domid: usize = 2;
export const grant_entry_v1_frame: usize = 4;

export const SIZEOF_grant_entry_v2: usize = 16;
export const grant_entry_v2_hdr: usize = 0;
export const grant_entry_v2_hdr_flags: usize = 0;
export const grant_entry_v2_hdr_domid: usize = 2;
export const grant_entry_v2_full_page: usize = 0;
export const grant_entry_v2_full_page_hdr: usize = 0;
export const grant_entry_v2_full_page_hdr_flags: usize = 0;
export const grant_entry_v2_full_page_hdr_domid: usize = 2;
export const grant_entry_v2_full_page_frame: usize = 8;
export const grant_entry_v2_sub_page: usize = 0;
export const grant_entry_v2_sub_page_hdr: usize = 0;
export const grant_entry_v2_sub_page_hdr_flags: usize = 0;
export const grant_entry_v2_sub_page_hdr_domid: usize = 2;
export const grant_entry_v2_sub_page_page_off: usize = 4;
export const grant_entry_v2_sub_page_length: usize = 6;
export const grant_entry_v2_sub_page_frame: usize = 8;
export const grant_entry_v2_transitive: usize = 0;
export const grant_entry_v2_transitive_hdr: usize = 0;
export const grant_entry_v2_transitive_hdr_flags: usize = 0;
export const grant_entry_v2_transitive_hdr_domid: usize = 2;
export const grant_entry_v2_transitive_trans_domid: usize = 4;
export const grant_entry_v2_transitive_gref: usize = 8;
export const grant_entry_v2___spacer: usize = 0;

export const SIZEOF_iret_context: usize = WORD_BITS === 64 ? 72 : 0;
/** 64 bits only. */
export const iret_context_rax: usize = 0;
/** 64 bits only. */
export const iret_context_r11: usize = 8;
/** 64 bits only. */
export const iret_context_rcx: usize = 16;
/** 64 bits only. */
export const iret_context_flags: usize = 24;
/** 64 bits only. */
export const iret_context_rip: usize = 32;
/** 64 bits only. */
export const iret_context_cs: usize = 40;
/** 64 bits only. */
export const iret_context_rflags: usize = 48;
/** 64 bits only. */
export const iret_context_rsp: usize = 56;
/** 64 bits only. */
export const iret_context_ss: usize = 64;

export const SIZEOF_mmu_update: usize = 16;
export const mmu_update_ptr: usize = 0;
export const mmu_update_val: usize = 8;

export const SIZEOF_mmuext_op: usize = WORD_BITS === 64 ? 24 : 12;
export const mmuext_op_cmd: usize = 0;
export const mmuext_op_arg1: usize = WORD_BITS === 64 ? 8 : 4;
export const mmuext_op_arg1_mfn: usize = WORD_BITS === 64 ? 8 : 4;
export const mmuext_op_arg1_linear_addr: usize = WORD_BITS === 64 ? 8 : 4;
export const mmuext_op_arg2: usize = WORD_BITS === 64 ? 16 : 8;
export const mmuext_op_arg2_nr_ents: usize = WORD_BITS === 64 ? 16 : 8;
export const mmuext_op_arg2_vcpumask: usize = WORD_BITS === 64 ? 16 : 8;
export const mmuext_op_arg2_src_mfn: usize = WORD_BITS === 64 ? 16 : 8;

export const SIZEOF_multicall_entry: usize = WORD_BITS === 64 ? 64 : 32;
export const multicall_entry_op: usize = 0;
export const multicall_entry_result: usize = WORD_BITS === 64 ? 8 : 4;
export const multicall_entry_args: usize = WORD_BITS === 64 ? 16 : 8;

export const SIZEOF_physdev_apic: usize = WORD_BITS === 64 ? 16 : 12;
export const physdev_apic_apic_physbase: usize = 0;
export const physdev_apic_reg: usize = WORD_BITS === 64 ? 8 : 4;
export const physdev_apic_value: usize = WORD_BITS === 64 ? 12 : 8;

export const SIZEOF_physdev_dbgp_op: usize = 6;
export const physdev_dbgp_op_op: usize = 0;
export const physdev_dbgp_op_bus: usize = 1;
export const physdev_dbgp_op_u: usize = 2;
export const physdev_dbgp_op_u_pci: usize = 2;
export const physdev_dbgp_op_u_pci_seg: usize = 2;
export const physdev_dbgp_op_u_pci_bus: usize = 4;
export const physdev_dbgp_op_u_pci_devfn: usize = 5;

export const SIZEOF_physdev_eoi: usize = 4;
export const physdev_eoi_irq: usize = 0;

export const SIZEOF_physdev_get_free_pirq: usize = 8;
export const physdev_get_free_pirq_type: usize = 0;
export const physdev_get_free_pirq_pirq: usize = 4;

export const SIZEOF_physdev_irq: usize = 8;
export const physdev_irq_irq: usize = 0;
export const physdev_irq_vector: usize = 4;

export const SIZEOF_physdev_irq_status_query: usize = 8;
export const physdev_irq_status_query_irq: usize = 0;
export const physdev_irq_status_query_flags: usize = 4;

export const SIZEOF_physdev_manage_pci: usize = 2;
export const physdev_manage_pci_bus: usize = 0;
export const physdev_manage_pci_devfn: usize = 1;

export const SIZEOF_physdev_manage_pci_ext: usize = 16;
export const physdev_manage_pci_ext_bus: usize = 0;
export const physdev_manage_pci_ext_devfn: usize = 1;
export const physdev_manage_pci_ext_is_extfn: usize = 4;
export const physdev_manage_pci_ext_is_virtfn: usize = 8;
export const physdev_manage_pci_ext_physfn: usize = 12;
export const physdev_manage_pci_ext_physfn_bus: usize = 12;
export const physdev_manage_pci_ext_physfn_devfn: usize = 13;

export const SIZEOF_physdev_map_pirq: usize = WORD_BITS === 64 ? 40 : 36;
export const physdev_map_pirq_domid: usize = 0;
export const physdev_map_pirq_type: usize = 4;
export const physdev_map_pirq_index: usize = 8;
export const physdev_map_pirq_pirq: usize = 12;
export const physdev_map_pirq_bus: usize = 16;
export const physdev_map_pirq_devfn: usize = 20;
export const physdev_map_pirq_entry_nr: usize = 24;
export const physdev_map_pirq_table_base: usize = WORD_BITS === 64 ? 32 : 28;

export const SIZEOF_physdev_op: usize = WORD_BITS === 64 ? 24 : 16;
export const physdev_op_cmd: usize = 0;
export const physdev_op_u: usize = WORD_BITS === 64 ? 8 : 4;
export const physdev_op_u_irq_status_query: usize = WORD_BITS === 64 ? 8 : 4;
export const physdev_op_u_irq_status_query_irq: usize = WORD_BITS === 64 ? 8 : 4;
export const physdev_op_u_irq_status_query_flags: usize = WORD_BITS === 64 ? 12 : 8;
export const physdev_op_u_set_iopl: usize = WORD_BITS === 64 ? 8 : 4;
export const physdev_op_u_set_iopl_iopl: usize = WORD_BITS === 64 ? 8 : 4;
export const physdev_op_u_set_iobitmap: usize = WORD_BITS === 64 ? 8 : 4;
export const physdev_op_u_set_iobitmap_bitmap: usize = WORD_BITS === 64 ? 8 : 4;
export const physdev_op_u_set_iobitmap_nr_ports: usize = WORD_BITS === 64 ? 16 : 8;
export const physdev_op_u_apic_op: usize = WORD_BITS === 64 ? 8 : 4;
export const physdev_op_u_apic_op_apic_physbase: usize = WORD_BITS === 64 ? 8 : 4;
export const physdev_op_u_apic_op_reg: usize = WORD_BITS === 64 ? 16 : 8;
export const physdev_op_u_apic_op_value: usize = WORD_BITS === 64 ? 20 : 12;
export const physdev_op_u_irq_op: usize = WORD_BITS === 64 ? 8 : 4;
export const physdev_op_u_irq_op_irq: usize = WORD_BITS === 64 ? 8 : 4;
export const physdev_op_u_irq_op_vector: usize = WORD_BITS === 64 ? 12 : 8;

export const SIZEOF_physdev_pci_device: usize = 4;
export const physdev_pci_device_seg: usize = 0;
export const physdev_pci_device_bus: usize = 2;
export const physdev_pci_device_devfn: usize = 3;

export const SIZEOF_physdev_pci_device_add: usize = 12;
export const physdev_pci_device_add_seg: usize = 0;
export const physdev_pci_device_add_bus: usize = 2;
export const physdev_pci_device_add_devfn: usize = 3;
export const physdev_pci_device_add_flags: usize = 4;
export const physdev_pci_device_add_physfn: usize = 8;
export const physdev_pci_device_add_physfn_bus: usize = 8;
export const physdev_pci_device_add_physfn_devfn: usize = 9;
export const physdev_pci_device_add_optarr: usize = 12;

export const SIZEOF_physdev_pci_mmcfg_reserved: usize = 16;
export const physdev_pci_mmcfg_reserved_address: usize = 0;
export const physdev_pci_mmcfg_reserved_segment: usize = 8;
export const physdev_pci_mmcfg_reserved_start_bus: usize = 10;
export const physdev_pci_mmcfg_reserved_end_bus: usize = 11;
export const physdev_pci_mmcfg_reserved_flags: usize = 12;

export const SIZEOF_physdev_pirq_eoi_gmfn: usize = WORD_BITS === 64 ? 8 : 4;
export const physdev_pirq_eoi_gmfn_gmfn: usize = 0;

export const SIZEOF_physdev_restore_msi: usize = 2;
export const physdev_restore_msi_bus: usize = 0;
export const physdev_restore_msi_devfn: usize = 1;

export const SIZEOF_physdev_set_iobitmap: usize = WORD_BITS === 64 ? 16 : 8;
export const physdev_set_iobitmap_bitmap: usize = 0;
export const physdev_set_iobitmap_nr_ports: usize = WORD_BITS === 64 ? 8 : 4;

export const SIZEOF_physdev_set_iopl: usize = 4;
export const physdev_set_iopl_iopl: usize = 0;

export const SIZEOF_physdev_setup_gsi: usize = 8;
export const physdev_setup_gsi_gsi: usize = 0;
export const physdev_setup_gsi_triggering: usize = 4;
export const physdev_setup_gsi_polarity: usize = 5;

export const SIZEOF_physdev_unmap_pirq: usize = 8;
export const physdev_unmap_pirq_domid: usize = 0;
export const physdev_unmap_pirq_pirq: usize = 4;

export const SIZEOF_sched_pin_override: usize = 4;
export const sched_pin_override_pcpu: usize = 0;

export const SIZEOF_sched_poll: usize = WORD_BITS === 64 ? 24 : 16;
export const sched_poll_ports: usize = 0;
export const sched_poll_nr_ports: usize = WORD_BITS === 64 ? 8 : 4;
export const sched_poll_timeout: usize = WORD_BITS === 64 ? 16 : 8;

export const SIZEOF_sched_remote_shutdown: usize = 8;
export const sched_remote_shutdown_domain_id: usize = 0;
export const sched_remote_shutdown_reason: usize = 4;

export const SIZEOF_sched_shutdown: usize = 4;
export const sched_shutdown_reason: usize = 0;

export const SIZEOF_sched_watchdog: usize = 8;
export const sched_watchdog_id: usize = 0;
export const sched_watchdog_timeout: usize = 4;

export const SIZEOF_shared_info: usize = WORD_BITS === 64 ? 3136 : 2344;
export const shared_info_vcpu_info: usize = 0;
export const shared_info_evtchn_pending: usize = 2048;
export const shared_info_evtchn_mask: usize = WORD_BITS === 64 ? 2560 : 2176;
export const shared_info_wc_version: usize = WORD_BITS === 64 ? 3072 : 2304;
export const shared_info_wc_sec: usize = WORD_BITS === 64 ? 3076 : 2308;
export const shared_info_wc_nsec: usize = WORD_BITS === 64 ? 3080 : 2312;
/** 64 bits only. */
export const shared_info_wc_sec_hi: usize = 3084;
export const shared_info_arch: usize = WORD_BITS === 64 ? 3088 : 2316;
export const shared_info_arch_max_pfn: usize = WORD_BITS === 64 ? 3088 : 2316;
export const shared_info_arch_pfn_to_mfn_frame_list_list: usize = WORD_BITS === 64 ? 3096 : 2320;
export const shared_info_arch_nmi_reason: usize = WORD_BITS === 64 ? 3104 : 2324;
export const shared_info_arch_p2m_cr3: usize = WORD_BITS === 64 ? 3112 : 2328;
export const shared_info_arch_p2m_vaddr: usize = WORD_BITS === 64 ? 3120 : 2332;
export const shared_info_arch_p2m_generation: usize = WORD_BITS === 64 ? 3128 : 2336;
/** 32 bits only. */
export const shared_info_arch_wc_sec_hi: usize = 2340;

export const SIZEOF_start_info: usize = WORD_BITS === 64 ? 1168 : 1112;
export const start_info_magic: usize = 0;
export const start_info_nr_pages: usize = 32;
export const start_info_shared_info: usize = WORD_BITS === 64 ? 40 : 36;
export const start_info_flags: usize = WORD_BITS === 64 ? 48 : 40;
export const start_info_store_mfn: usize = WORD_BITS === 64 ? 56 : 44;
export const start_info_store_evtchn: usize = WORD_BITS === 64 ? 64 : 48;
export const start_info_console: usize = WORD_BITS === 64 ? 72 : 52;
export const start_info_console_domU: usize = WORD_BITS === 64 ? 72 : 52;
export const start_info_console_domU_mfn: usize = WORD_BITS === 64 ? 72 : 52;
export const start_info_console_domU_evtchn: usize = WORD_BITS === 64 ? 80 : 56;
export const start_info_console_dom0: usize = WORD_BITS === 64 ? 72 : 52;
export const start_info_console_dom0_info_off: usize = WORD_BITS === 64 ? 72 : 52;
export const start_info_console_dom0_info_size: usize = WORD_BITS === 64 ? 76 : 56;
export const start_info_pt_base: usize = WORD_BITS === 64 ? 88 : 60;
export const start_info_nr_pt_frames: usize = WORD_BITS === 64 ? 96 : 64;
export const start_info_mfn_list: usize = WORD_BITS === 64 ? 104 : 68;
export const start_info_mod_start: usize = WORD_BITS === 64 ? 112 : 72;
export const start_info_mod_len: usize = WORD_BITS === 64 ? 120 : 76;
export const start_info_cmd_line: usize = WORD_BITS === 64 ? 128 : 80;
export const start_info_first_p2m_pfn: usize = WORD_BITS === 64 ? 1152 : 1104;
export const start_info_nr_p2m_frames: usize = WORD_BITS === 64 ? 1160 : 1108;

export const SIZEOF_trap_info: usize = WORD_BITS === 64 ? 16 : 8;
export const trap_info_vector: usize = 0;
export const trap_info_flags: usize = 1;
export const trap_info_cs: usize = 2;
export const trap_info_address: usize = WORD_BITS === 64 ? 8 : 4;

export const SIZEOF_vcpu_get_physid: usize = 8;
export const vcpu_get_physid_phys_id: usize = 0;

export const SIZEOF_vcpu_guest_context: usize = WORD_BITS === 64 ? 5168 : 2800;
export const vcpu_guest_context_fpu_ctxt: usize = 0;
export const vcpu_guest_context_flags: usize = 512;
export const vcpu_guest_context_user_regs: usize = WORD_BITS === 64 ? 520 : 516;
/** 64 bits only. */
export const vcpu_guest_context_user_regs_r15: usize = 520;
/** 64 bits only. */
export const vcpu_guest_context_user_regs_r14: usize = 528;
/** 64 bits only. */
export const vcpu_guest_context_user_regs_r13: usize = 536;
/** 64 bits only. */
export const vcpu_guest_context_user_regs_r12: usize = 544;
/** 64 bits only. */
export const vcpu_guest_context_user_regs_rbp: usize = 552;
/** 64 bits only. */
export const vcpu_guest_context_user_regs_rbx: usize = 560;
/** 64 bits only. */
export const vcpu_guest_context_user_regs_r11: usize = 568;
/** 64 bits only. */
export const vcpu_guest_context_user_regs_r10: usize = 576;
/** 64 bits only. */
export const vcpu_guest_context_user_regs_r9: usize = 584;
/** 64 bits only. */
export const vcpu_guest_context_user_regs_r8: usize = 592;
/** 64 bits only. */
export const vcpu_guest_context_user_regs_rax: usize = 600;
/** 64 bits only. */
export const vcpu_guest_context_user_regs_rcx: usize = 608;
/** 64 bits only. */
export const vcpu_guest_context_user_regs_rdx: usize = 616;
/** 64 bits only. */
export const vcpu_guest_context_user_regs_rsi: usize = 624;
/** 64 bits only. */
export const vcpu_guest_context_user_regs_rdi: usize = 632;
export const vcpu_guest_context_user_regs_error_code: usize = WORD_BITS === 64 ? 640 : 544;
export const vcpu_guest_context_user_regs_entry_vector: usize = WORD_BITS === 64 ? 644 : 546;
/** 64 bits only. */
export const vcpu_guest_context_user_regs_rip: usize = 648;
export const vcpu_guest_context_user_regs_cs: usize = WORD_BITS === 64 ? 656 : 552;
export const vcpu_guest_context_user_regs_saved_upcall_mask: usize = WORD_BITS === 64 ? 660 : 554;
/** 64 bits only. */
export const vcpu_guest_context_user_regs_rflags: usize = 664;
/** 64 bits only. */
export const vcpu_guest_context_user_regs_rsp: usize = 672;
export const vcpu_guest_context_user_regs_ss: usize = WORD_BITS === 64 ? 680 : 564;
export const vcpu_guest_context_user_regs_es: usize = WORD_BITS === 64 ? 688 : 568;
export const vcpu_guest_context_user_regs_ds: usize = WORD_BITS === 64 ? 696 : 572;
export const vcpu_guest_context_user_regs_fs: usize = WORD_BITS === 64 ? 704 : 576;
export const vcpu_guest_context_user_regs_gs: usize = WORD_BITS === 64 ? 712 : 580;
export const vcpu_guest_context_trap_ctxt: usize = WORD_BITS === 64 ? 720 : 584;
export const vcpu_guest_context_ldt_base: usize = WORD_BITS === 64 ? 4816 : 2632;
export const vcpu_guest_context_ldt_ents: usize = WORD_BITS === 64 ? 4824 : 2636;
export const vcpu_guest_context_gdt_frames: usize = WORD_BITS === 64 ? 4832 : 2640;
export const vcpu_guest_context_gdt_ents: usize = WORD_BITS === 64 ? 4960 : 2704;
export const vcpu_guest_context_kernel_ss: usize = WORD_BITS === 64 ? 4968 : 2708;
export const vcpu_guest_context_kernel_sp: usize = WORD_BITS === 64 ? 4976 : 2712;
export const vcpu_guest_context_ctrlreg: usize = WORD_BITS === 64 ? 4984 : 2716;
export const vcpu_guest_context_debugreg: usize = WORD_BITS === 64 ? 5048 : 2748;
export const vcpu_guest_context_event_callback_eip: usize = WORD_BITS === 64 ? 5112 : 2784;
export const vcpu_guest_context_failsafe_callback_eip: usize = WORD_BITS === 64 ? 5120 : 2792;
/** 64 bits only. */
export const vcpu_guest_context_syscall_callback_eip: usize = 5128;
export const vcpu_guest_context_vm_assist: usize = WORD_BITS === 64 ? 5136 : 2796;
/** 64 bits only. */
export const vcpu_guest_context_fs_base: usize = 5144;
/** 64 bits only. */
export const vcpu_guest_context_gs_base_kernel: usize = 5152;
/** 64 bits only. */
export const vcpu_guest_context_gs_base_user: usize = 5160;
/** 32 bits only. */
export const vcpu_guest_context_user_regs_ebx: usize = 516;
/** 32 bits only. */
export const vcpu_guest_context_user_regs_ecx: usize = 520;
/** 32 bits only. */
export const vcpu_guest_context_user_regs_edx: usize = 524;
/** 32 bits only. */
export const vcpu_guest_context_user_regs_esi: usize = 528;
/** 32 bits only. */
export const vcpu_guest_context_user_regs_edi: usize = 532;
/** 32 bits only. */
export const vcpu_guest_context_user_regs_ebp: usize = 536;
/** 32 bits only. */
export const vcpu_guest_context_user_regs_eax: usize = 540;
/** 32 bits only. */
export const vcpu_guest_context_user_regs_eip: usize = 548;
/** 32 bits only. */
export const vcpu_guest_context_user_regs_eflags: usize = 556;
/** 32 bits only. */
export const vcpu_guest_context_user_regs_esp: usize = 560;
/** 32 bits only. */
export const vcpu_guest_context_event_callback_cs: usize = 2780;
/** 32 bits only. */
export const vcpu_guest_context_failsafe_callback_cs: usize = 2788;

export const SIZEOF_vcpu_info: usize = 64;
export const vcpu_info_evtchn_upcall_pending: usize = 0;
export const vcpu_info_evtchn_upcall_mask: usize = 1;
export const vcpu_info_evtchn_pending_sel: usize = WORD_BITS === 64 ? 8 : 4;
export const vcpu_info_arch: usize = WORD_BITS === 64 ? 16 : 8;
export const vcpu_info_arch_cr2: usize = WORD_BITS === 64 ? 16 : 8;
export const vcpu_info_time: usize = 32;
export const vcpu_info_time_version: usize = 32;
export const vcpu_info_time_tsc_timestamp: usize = 40;
export const vcpu_info_time_system_time: usize = 48;
export const vcpu_info_time_tsc_to_system_mul: usize = 56;
export const vcpu_info_time_tsc_shift: usize = 60;
export const vcpu_info_time_flags: usize = 61;

export const SIZEOF_vcpu_register_runstate_memory_area: usize = 8;
export const vcpu_register_runstate_memory_area_addr: usize = 0;
export const vcpu_register_runstate_memory_area_addr_h: usize = 0;
export const vcpu_register_runstate_memory_area_addr_v: usize = 0;
export const vcpu_register_runstate_memory_area_addr_p: usize = 0;

export const SIZEOF_vcpu_register_time_memory_area: usize = 8;
export const vcpu_register_time_memory_area_addr: usize = 0;
export const vcpu_register_time_memory_area_addr_h: usize = 0;
export const vcpu_register_time_memory_area_addr_v: usize = 0;
export const vcpu_register_time_memory_area_addr_p: usize = 0;

export const SIZEOF_vcpu_register_vcpu_info: usize = 16;
export const vcpu_register_vcpu_info_mfn: usize = 0;
export const vcpu_register_vcpu_info_offset: usize = 8;
export const vcpu_register_vcpu_info_rsvd: usize = 12;

export const SIZEOF_vcpu_runstate_info: usize = WORD_BITS === 64 ? 48 : 44;
export const vcpu_runstate_info_state: usize = 0;
export const vcpu_runstate_info_state_entry_time: usize = WORD_BITS === 64 ? 8 : 4;
export const vcpu_runstate_info_time: usize = WORD_BITS === 64 ? 16 : 12;

export const SIZEOF_vcpu_set_periodic_timer: usize = 8;
export const vcpu_set_periodic_timer_period_ns: usize = 0;

export const SIZEOF_vcpu_set_singleshot_timer: usize = WORD_BITS === 64 ? 16 : 12;
export const vcpu_set_singleshot_timer_timeout_abs_ns: usize = 0;
export const vcpu_set_singleshot_timer_flags: usize = 8;

export const SIZEOF_vcpu_time_info: usize = 32;
export const vcpu_time_info_version: usize = 0;
export const vcpu_time_info_tsc_timestamp: usize = 8;
export const vcpu_time_info_system_time: usize = 16;
export const vcpu_time_info_tsc_to_system_mul: usize = 24;
export const vcpu_time_info_tsc_shift: usize = 28;
export const vcpu_time_info_flags: usize = 29;

export const SIZEOF_xen_add_to_physmap: usize = WORD_BITS === 64 ? 24 : 16;
export const xen_add_to_physmap_domid: usize = 0;
export const xen_add_to_physmap_size: usize = 2;
export const xen_add_to_physmap_space: usize = 4;
export const xen_add_to_physmap_idx: usize = 8;
export const xen_add_to_physmap_gpfn: usize = WORD_BITS === 64 ? 16 : 12;

export const SIZEOF_xen_add_to_physmap_batch: usize = WORD_BITS === 64 ? 32 : 20;
export const xen_add_to_physmap_batch_domid: usize = 0;
export const xen_add_to_physmap_batch_space: usize = 2;
export const xen_add_to_physmap_batch_size: usize = 4;
export const xen_add_to_physmap_batch_u: usize = 6;
export const xen_add_to_physmap_batch_u_foreign_domid: usize = 6;
export const xen_add_to_physmap_batch_u_res0: usize = 6;
export const xen_add_to_physmap_batch_idxs: usize = 8;
export const xen_add_to_physmap_batch_gpfns: usize = WORD_BITS === 64 ? 16 : 12;
export const xen_add_to_physmap_batch_errs: usize = WORD_BITS === 64 ? 24 : 16;

export const SIZEOF_xen_build_id: usize = 4;
export const xen_build_id_len: usize = 0;
export const xen_build_id_buf: usize = 4;

export const SIZEOF_xen_compile_info: usize = 144;
export const xen_compile_info_compiler: usize = 0;
export const xen_compile_info_compile_by: usize = 64;
export const xen_compile_info_compile_domain: usize = 80;
export const xen_compile_info_compile_date: usize = 112;

export const SIZEOF_xen_cpuid_leaf: usize = 24;
export const xen_cpuid_leaf_leaf: usize = 0;
export const xen_cpuid_leaf_subleaf: usize = 4;
export const xen_cpuid_leaf_a: usize = 8;
export const xen_cpuid_leaf_b: usize = 12;
export const xen_cpuid_leaf_c: usize = 16;
export const xen_cpuid_leaf_d: usize = 20;

export const SIZEOF_xen_feature_info: usize = 8;
export const xen_feature_info_submap_idx: usize = 0;
export const xen_feature_info_submap: usize = 4;

export const SIZEOF_xen_foreign_memory_map: usize = WORD_BITS === 64 ? 24 : 12;
export const xen_foreign_memory_map_domid: usize = 0;
export const xen_foreign_memory_map_map: usize = WORD_BITS === 64 ? 8 : 4;
export const xen_foreign_memory_map_map_nr_entries: usize = WORD_BITS === 64 ? 8 : 4;
export const xen_foreign_memory_map_map_buffer: usize = WORD_BITS === 64 ? 16 : 8;

export const SIZEOF_xen_machphys_mapping: usize = WORD_BITS === 64 ? 24 : 12;
export const xen_machphys_mapping_v_start: usize = 0;
export const xen_machphys_mapping_v_end: usize = WORD_BITS === 64 ? 8 : 4;
export const xen_machphys_mapping_max_mfn: usize = WORD_BITS === 64 ? 16 : 8;

export const SIZEOF_xen_machphys_mfn_list: usize = WORD_BITS === 64 ? 24 : 12;
export const xen_machphys_mfn_list_max_extents: usize = 0;
export const xen_machphys_mfn_list_extent_start: usize = WORD_BITS === 64 ? 8 : 4;
export const xen_machphys_mfn_list_nr_extents: usize = WORD_BITS === 64 ? 16 : 8;

export const SIZEOF_xen_mem_acquire_resource: usize = WORD_BITS === 64 ? 32 : 28;
export const xen_mem_acquire_resource_domid: usize = 0;
export const xen_mem_acquire_resource_type: usize = 2;
export const xen_mem_acquire_resource_id: usize = 4;
export const xen_mem_acquire_resource_nr_frames: usize = 8;
export const xen_mem_acquire_resource_frame: usize = 16;
export const xen_mem_acquire_resource_frame_list: usize = 24;

export const SIZEOF_xen_memory_domain: usize = 2;
export const xen_memory_domain_domid: usize = 0;

export const SIZEOF_xen_memory_exchange: usize = WORD_BITS === 64 ? 72 : 44;
export const xen_memory_exchange_in: usize = 0;
export const xen_memory_exchange_in_extent_start: usize = 0;
export const xen_memory_exchange_in_nr_extents: usize = WORD_BITS === 64 ? 8 : 4;
export const xen_memory_exchange_in_extent_order: usize = WORD_BITS === 64 ? 16 : 8;
export const xen_memory_exchange_in_mem_flags: usize = WORD_BITS === 64 ? 20 : 12;
export const xen_memory_exchange_in_domid: usize = WORD_BITS === 64 ? 24 : 16;
export const xen_memory_exchange_out: usize = WORD_BITS === 64 ? 32 : 20;
export const xen_memory_exchange_out_extent_start: usize = WORD_BITS === 64 ? 32 : 20;
export const xen_memory_exchange_out_nr_extents: usize = WORD_BITS === 64 ? 40 : 24;
export const xen_memory_exchange_out_extent_order: usize = WORD_BITS === 64 ? 48 : 28;
export const xen_memory_exchange_out_mem_flags: usize = WORD_BITS === 64 ? 52 : 32;
export const xen_memory_exchange_out_domid: usize = WORD_BITS === 64 ? 56 : 36;
export const xen_memory_exchange_nr_exchanged: usize = WORD_BITS === 64 ? 64 : 40;

export const SIZEOF_xen_memory_map: usize = WORD_BITS === 64 ? 16 : 8;
export const xen_memory_map_nr_entries: usize = 0;
export const xen_memory_map_buffer: usize = WORD_BITS === 64 ? 8 : 4;

export const SIZEOF_xen_memory_reservation: usize = WORD_BITS === 64 ? 32 : 20;
export const xen_memory_reservation_extent_start: usize = 0;
export const xen_memory_reservation_nr_extents: usize = WORD_BITS === 64 ? 8 : 4;
export const xen_memory_reservation_extent_order: usize = WORD_BITS === 64 ? 16 : 8;
export const xen_memory_reservation_mem_flags: usize = WORD_BITS === 64 ? 20 : 12;
export const xen_memory_reservation_domid: usize = WORD_BITS === 64 ? 24 : 16;

export const SIZEOF_xen_msr_entry: usize = 16;
export const xen_msr_entry_idx: usize = 0;
export const xen_msr_entry_flags: usize = 4;
export const xen_msr_entry_val: usize = 8;

export const SIZEOF_xen_multiboot_mod_list: usize = 16;
export const xen_multiboot_mod_list_mod_start: usize = 0;
export const xen_multiboot_mod_list_mod_end: usize = 4;
export const xen_multiboot_mod_list_cmdline: usize = 8;

export const SIZEOF_xen_platform_parameters: usize = WORD_BITS === 64 ? 8 : 4;
export const xen_platform_parameters_virt_start: usize = 0;

export const SIZEOF_xen_pod_target: usize = WORD_BITS === 64 ? 40 : 36;
export const xen_pod_target_target_pages: usize = 0;
export const xen_pod_target_tot_pages: usize = 8;
export const xen_pod_target_pod_cache_pages: usize = 16;
export const xen_pod_target_pod_entries: usize = 24;
export const xen_pod_target_domid: usize = 32;

export const SIZEOF_xen_remove_from_physmap: usize = WORD_BITS === 64 ? 16 : 8;
export const xen_remove_from_physmap_domid: usize = 0;
export const xen_remove_from_physmap_gpfn: usize = WORD_BITS === 64 ? 8 : 4;

export const SIZEOF_xen_vmemrange: usize = 24;
export const xen_vmemrange_start: usize = 0;
export const xen_vmemrange_end: usize = 8;
export const xen_vmemrange_flags: usize = 16;
export const xen_vmemrange_nid: usize = 20;

export const SIZEOF_xen_vnuma_topology_info: usize = 40;
export const xen_vnuma_topology_info_domid: usize = 0;
export const xen_vnuma_topology_info_nr_vnodes: usize = 4;
export const xen_vnuma_topology_info_nr_vcpus: usize = 8;
export const xen_vnuma_topology_info_nr_vmemranges: usize = 12;
export const xen_vnuma_topology_info_vdistance: usize = 16;
export const xen_vnuma_topology_info_vdistance_h: usize = 16;
export const xen_vnuma_topology_info_vcpu_to_vnode: usize = 24;
export const xen_vnuma_topology_info_vcpu_to_vnode_h: usize = 24;
export const xen_vnuma_topology_info_vmemrange: usize = 32;
export const xen_vnuma_topology_info_vmemrange_h: usize = 32;

export const SIZEOF_xencons_interface: usize = 3088;
export const xencons_interface_in: usize = 0;
export const xencons_interface_out: usize = 1024;
export const xencons_interface_in_cons: usize = 3072;
export const xencons_interface_in_prod: usize = 3076;
export const xencons_interface_out_cons: usize = 3080;
export const xencons_interface_out_prod: usize = 3084;

export const SIZEOF_xennmi_callback: usize = WORD_BITS === 64 ? 16 : 8;
export const xennmi_callback_handler_address: usize = 0;

export const SIZEOF_xenstore_domain_interface: usize = 2076;
export const xenstore_domain_interface_req: usize = 0;
export const xenstore_domain_interface_rsp: usize = 1024;
export const xenstore_domain_interface_req_cons: usize = 2048;
export const xenstore_domain_interface_req_prod: usize = 2052;
export const xenstore_domain_interface_rsp_cons: usize = 2056;
export const xenstore_domain_interface_rsp_prod: usize = 2060;
export const xenstore_domain_interface_server_features: usize = 2064;
export const xenstore_domain_interface_connection: usize = 2068;
export const xenstore_domain_interface_error: usize = 2072;

export const SIZEOF_xsd_sockmsg: usize = 16;
export const xsd_sockmsg_type: usize = 0;
export const xsd_sockmsg_req_id: usize = 4;
export const xsd_sockmsg_tx_id: usize = 8;
export const xsd_sockmsg_len: usize = 12;
