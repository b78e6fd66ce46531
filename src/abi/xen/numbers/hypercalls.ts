/**
 * The numbers of the hypercalls (Xen 4.17, public/xen.h): what a guest puts into rax or eax.
 *
 * The argument passing is the same for all: rdi, rsi, rdx, r10, r8, (r9) in 64-bit mode; ebx, ecx, edx, esi,
 * edi, (ebp) in 32-bit mode; the result, or a negated number of `errno.ts`, comes back in rax or eax.
 */

export const __HYPERVISOR_set_trap_table = 0;
export const __HYPERVISOR_mmu_update = 1;
export const __HYPERVISOR_set_gdt = 2;
export const __HYPERVISOR_stack_switch = 3;
/** Three arguments in 64-bit mode, four (two selectors among them) in 32-bit mode. */
export const __HYPERVISOR_set_callbacks = 4;
export const __HYPERVISOR_fpu_taskswitch = 5;
/** The old form of sched_op: its argument by value. */
export const __HYPERVISOR_sched_op_compat = 6;
/** Control domain only. */
export const __HYPERVISOR_platform_op = 7;
export const __HYPERVISOR_set_debugreg = 8;
export const __HYPERVISOR_get_debugreg = 9;
export const __HYPERVISOR_update_descriptor = 10;
export const __HYPERVISOR_memory_op = 12;
export const __HYPERVISOR_multicall = 13;
export const __HYPERVISOR_update_va_mapping = 14;
export const __HYPERVISOR_set_timer_op = 15;
/** The old form of event_channel_op: one pointer to an evtchn_op. */
export const __HYPERVISOR_event_channel_op_compat = 16;
export const __HYPERVISOR_xen_version = 17;
export const __HYPERVISOR_console_io = 18;
/** The old form of physdev_op: one pointer to a physdev_op. */
export const __HYPERVISOR_physdev_op_compat = 19;
export const __HYPERVISOR_grant_table_op = 20;
export const __HYPERVISOR_vm_assist = 21;
export const __HYPERVISOR_update_va_mapping_otherdomain = 22;
export const __HYPERVISOR_iret = 23;
export const __HYPERVISOR_vcpu_op = 24;
/** 64-bit mode only. */
export const __HYPERVISOR_set_segment_base = 25;
export const __HYPERVISOR_mmuext_op = 26;
export const __HYPERVISOR_xsm_op = 27;
export const __HYPERVISOR_nmi_op = 28;
/** Linux calls it sched_op_new in its own header. */
export const __HYPERVISOR_sched_op = 29;
export const __HYPERVISOR_callback_op = 30;
export const __HYPERVISOR_xenoprof_op = 31;
export const __HYPERVISOR_event_channel_op = 32;
export const __HYPERVISOR_physdev_op = 33;
/** Hardware-virtualized guests only. */
export const __HYPERVISOR_hvm_op = 34;
/** Control domain only. */
export const __HYPERVISOR_sysctl = 35;
/** Control domain only. */
export const __HYPERVISOR_domctl = 36;
/** Control domain only. */
export const __HYPERVISOR_kexec_op = 37;
/** Gone from Xen: always -ENOSYS. */
export const __HYPERVISOR_tmem_op = 38;
export const __HYPERVISOR_argo_op = 39;
export const __HYPERVISOR_xenpmu_op = 40;
/** Device models only. */
export const __HYPERVISOR_dm_op = 41;
/** Control domain only. */
export const __HYPERVISOR_hypfs_op = 42;
/** On x86: machine-check access (`do_mca`), for the control domain. */
export const __HYPERVISOR_arch_0 = 48;
/** On x86: by which Xen continues an interrupted domctl; no guest calls it. */
export const __HYPERVISOR_arch_1 = 49;
export const __HYPERVISOR_arch_2 = 50;
export const __HYPERVISOR_arch_3 = 51;
export const __HYPERVISOR_arch_4 = 52;
export const __HYPERVISOR_arch_5 = 53;
export const __HYPERVISOR_arch_6 = 54;
export const __HYPERVISOR_arch_7 = 55;
