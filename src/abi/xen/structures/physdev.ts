/** Arguments of physdev_op (Xen 4.17, public/physdev.h). */
import { array, i32, ptr, struct, u8, u16, u32, u64, ulong, union } from '../layout.ts';

export const physdev_eoi = struct('physdev_eoi', { irq: u32 });

/** A bitmap page of the guest, one bit for each interrupt that needs an EOI. */
export const physdev_pirq_eoi_gmfn = struct('physdev_pirq_eoi_gmfn', { gmfn: ulong });

export const physdev_irq_status_query = struct('physdev_irq_status_query', {
  irq: u32,
  /** Out: XENIRQSTAT_*. */
  flags: u32,
});

/** The I/O privilege level of the calling vCPU's kernel, 0..3. */
export const physdev_set_iopl = struct('physdev_set_iopl', { iopl: u32 });

/** A bit for each port that user mode may not touch. */
export const physdev_set_iobitmap = struct('physdev_set_iobitmap', { bitmap: ptr, nr_ports: u32 });

export const physdev_apic = struct('physdev_apic', {
  /** Physical address of an I/O APIC. */
  apic_physbase: ulong,
  reg: u32,
  /** In, or out for a read. */
  value: u32,
});

export const physdev_irq = struct('physdev_irq', { irq: u32, vector: u32 });

export const physdev_map_pirq = struct('physdev_map_pirq', {
  domid: u16,
  /** MAP_PIRQ_TYPE_*. */
  type: i32,
  index: i32,
  /** In: wanted, or negative; out: given. */
  pirq: i32,
  bus: i32,
  devfn: i32,
  entry_nr: i32,
  table_base: u64,
});

export const physdev_unmap_pirq = struct('physdev_unmap_pirq', { domid: u16, pirq: i32 });

export const physdev_manage_pci = struct('physdev_manage_pci', { bus: u8, devfn: u8 });

export const physdev_restore_msi = struct('physdev_restore_msi', { bus: u8, devfn: u8 });

export const physdev_manage_pci_ext = struct('physdev_manage_pci_ext', {
  bus: u8,
  devfn: u8,
  is_extfn: u32,
  is_virtfn: u32,
  physfn: struct({ bus: u8, devfn: u8 }),
});

/** The one argument of the old physdev_op. */
export const physdev_op = struct('physdev_op', {
  cmd: u32,
  u: union({
    irq_status_query: physdev_irq_status_query,
    set_iopl: physdev_set_iopl,
    set_iobitmap: physdev_set_iobitmap,
    apic_op: physdev_apic,
    irq_op: physdev_irq,
  }),
});

export const physdev_setup_gsi = struct('physdev_setup_gsi', {
  gsi: i32,
  /** 0: edge, 1: level. */
  triggering: u8,
  /** 0: active high, 1: active low. */
  polarity: u8,
});

export const physdev_get_free_pirq = struct('physdev_get_free_pirq', {
  type: i32,
  /** Out. */
  pirq: u32,
});

export const physdev_pci_mmcfg_reserved = struct('physdev_pci_mmcfg_reserved', {
  address: u64,
  segment: u16,
  start_bus: u8,
  end_bus: u8,
  flags: u32,
});

export const physdev_pci_device_add = struct('physdev_pci_device_add', {
  seg: u16,
  bus: u8,
  devfn: u8,
  /** XEN_PCI_DEV_*. */
  flags: u32,
  physfn: struct({ bus: u8, devfn: u8 }),
  /** With XEN_PCI_DEV_PXM: the proximity domain. */
  optarr: array(u32, 0),
});

export const physdev_pci_device = struct('physdev_pci_device', { seg: u16, bus: u8, devfn: u8 });

export const physdev_dbgp_op = struct('physdev_dbgp_op', {
  op: u8,
  bus: u8,
  u: union({ pci: physdev_pci_device }),
});
