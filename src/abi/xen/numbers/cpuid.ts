/**
 * The CPUID leaves by which a guest knows Xen (Xen 4.17, public/arch-x86/cpuid.h). Leaf numbers are
 * XEN_CPUID_FIRST_LEAF plus 0: signature; 1: version; 2: hypercall page; 3: time; 4: hardware virtualization;
 * 5: paravirtualization.
 */

/** The first of the leaves; moved up by multiples of 0x100 if another interface stands here. */
export const XEN_CPUID_FIRST_LEAF = 0x40000000;
/** "XenV" */
export const XEN_CPUID_SIGNATURE_EBX = 0x566e6558;
/** "MMXe" */
export const XEN_CPUID_SIGNATURE_ECX = 0x65584d4d;
/** "nVMM" */
export const XEN_CPUID_SIGNATURE_EDX = 0x4d4d566e;
/** The highest leaf, counted from the first. */
export const XEN_CPUID_MAX_NUM_LEAVES = 5;

/** Leaf 2, ecx: MMU_PT_UPDATE_PRESERVE_AD works. */
export const XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD = 1;
/** Leaf 5, ebx: the width in bits of a machine address that the guest may meet. */
export const XEN_CPUID_MACHINE_ADDRESS_WIDTH_MASK = 0xff;

// Leaf 4, eax

export const XEN_HVM_CPUID_APIC_ACCESS_VIRT = 1;
export const XEN_HVM_CPUID_X2APIC_VIRT = 2;
export const XEN_HVM_CPUID_IOMMU_MAPPINGS = 4;
export const XEN_HVM_CPUID_VCPU_ID_PRESENT = 8;
export const XEN_HVM_CPUID_DOMID_PRESENT = 16;
export const XEN_HVM_CPUID_EXT_DEST_ID = 32;
export const XEN_HVM_CPUID_UPCALL_VECTOR = 64;
