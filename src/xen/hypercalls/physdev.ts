/**
 * physdev_op: the hardware's interrupts, as far as a domain without hardware may ask about them. What it may not is
 * refused as Xen refuses it, after its argument has been read.
 *
 * (Xen 4.17, xen/arch/x86/physdev.c: do_physdev_op; xen/drivers/pci/physdev.c; the old form: xen/arch/x86/compat.c.)
 */

import type { Structure } from '../../abi/xen/layout.ts';
import {
  __HYPERVISOR_physdev_op,
  __HYPERVISOR_physdev_op_compat,
  DOMID_SELF,
  PHYSDEVOP_alloc_irq_vector,
  PHYSDEVOP_apic_read,
  PHYSDEVOP_apic_write,
  PHYSDEVOP_dbgp_op,
  PHYSDEVOP_eoi,
  PHYSDEVOP_get_free_pirq,
  PHYSDEVOP_IRQ_UNMASK_NOTIFY,
  PHYSDEVOP_irq_status_query,
  PHYSDEVOP_manage_pci_add,
  PHYSDEVOP_manage_pci_add_ext,
  PHYSDEVOP_manage_pci_remove,
  PHYSDEVOP_map_pirq,
  PHYSDEVOP_pci_device_add,
  PHYSDEVOP_pci_device_remove,
  PHYSDEVOP_pci_mmcfg_reserved,
  PHYSDEVOP_pirq_eoi_gmfn_v1,
  PHYSDEVOP_pirq_eoi_gmfn_v2,
  PHYSDEVOP_prepare_msix,
  PHYSDEVOP_release_msix,
  PHYSDEVOP_restore_msi,
  PHYSDEVOP_restore_msi_ext,
  PHYSDEVOP_set_iobitmap,
  PHYSDEVOP_set_iopl,
  PHYSDEVOP_setup_gsi,
  PHYSDEVOP_unmap_pirq,
  XEN_EBUSY,
  XEN_EINVAL,
  XEN_ENODEV,
  XEN_ENOSPC,
  XEN_ENOSYS,
  XEN_EPERM,
  XEN_ESRCH,
  XENIRQSTAT_needs_eoi,
} from '../../abi/xen/numbers/index.ts';
import * as physdev from '../../abi/xen/structures/physdev.ts';
import type { Gva } from '../../machine/memory.ts';
import { HOST_DOMAIN, NR_PIRQS } from '../events/index.ts';
import { frameTableOf } from '../mm/frame-table.ts';
import { PGT_writable_page } from '../mm/page-info.ts';
import { getPageAndType, putPageAndType } from '../mm/page-types.ts';
import type { XenVcpu } from '../vcpu.ts';
import type { HypercallFamily } from './dispatch.ts';
import { channelsOf } from './full-parts.ts';
import { copyFromGuest } from './guest-structure.ts';

type Command = (vcpu: XenVcpu, at: Gva) => number;

/** Interrupts of the platform: those of the ISA bus. */
const NR_GSIS = 16;
const IO_PORTS = 65536;

/** A command that reads its argument and is refused. */
function refused(type: Structure<string, string>, error: number): Command {
  return (vcpu, at) => {
    copyFromGuest(vcpu, type, at);
    return -error;
  };
}

const COMMANDS: Readonly<Record<number, Command>> = {
  // No physical interrupt is ever bound, so none can be acknowledged.
  [PHYSDEVOP_eoi]: refused(physdev.physdev_eoi, XEN_EINVAL),
  [PHYSDEVOP_IRQ_UNMASK_NOTIFY]: () => 0,

  [PHYSDEVOP_irq_status_query]: (vcpu, at) => {
    const query = copyFromGuest(vcpu, physdev.physdev_irq_status_query, at);
    if (query.get('irq') >= NR_PIRQS) return -XEN_EINVAL;
    query.set('flags', XENIRQSTAT_needs_eoi);
    query.store();
    return 0;
  },

  [PHYSDEVOP_pirq_eoi_gmfn_v1]: registerEoiMap,
  [PHYSDEVOP_pirq_eoi_gmfn_v2]: registerEoiMap,

  [PHYSDEVOP_set_iopl]: (vcpu, at) => {
    const iopl = copyFromGuest(vcpu, physdev.physdev_set_iopl, at).get('iopl');
    if (iopl > 3) return -XEN_EINVAL;
    vcpu.iopl = iopl;
    return 0;
  },
  [PHYSDEVOP_set_iobitmap]: (vcpu, at) => {
    const bitmap = copyFromGuest(vcpu, physdev.physdev_set_iobitmap, at);
    if (bitmap.get('nr_ports') > IO_PORTS) return -XEN_EINVAL;
    vcpu.ioBitmap = bitmap.get('bitmap');
    vcpu.ioBitmapPorts = bitmap.get('nr_ports');
    return 0;
  },

  [PHYSDEVOP_map_pirq]: (vcpu, at) => {
    const map = copyFromGuest(vcpu, physdev.physdev_map_pirq, at);
    map.store();
    return domainError(vcpu, map.get('domid'), XEN_EPERM);
  },
  [PHYSDEVOP_unmap_pirq]: (vcpu, at) => {
    const unmap = copyFromGuest(vcpu, physdev.physdev_unmap_pirq, at);
    return domainError(vcpu, unmap.get('domid'), XEN_EINVAL);
  },
  [PHYSDEVOP_get_free_pirq]: refused(physdev.physdev_get_free_pirq, XEN_ENOSPC),
  [PHYSDEVOP_setup_gsi]: (vcpu, at) => {
    const gsi = copyFromGuest(vcpu, physdev.physdev_setup_gsi, at).get('gsi');
    return gsi < 0 || gsi >= NR_GSIS ? -XEN_EINVAL : -XEN_EPERM;
  },

  [PHYSDEVOP_apic_read]: refused(physdev.physdev_apic, XEN_EPERM),
  [PHYSDEVOP_apic_write]: refused(physdev.physdev_apic, XEN_EPERM),
  [PHYSDEVOP_alloc_irq_vector]: refused(physdev.physdev_irq, XEN_EPERM),

  [PHYSDEVOP_manage_pci_add]: refused(physdev.physdev_manage_pci, XEN_EPERM),
  [PHYSDEVOP_manage_pci_remove]: refused(physdev.physdev_manage_pci, XEN_EPERM),
  [PHYSDEVOP_manage_pci_add_ext]: (vcpu, at) => {
    const add = copyFromGuest(vcpu, physdev.physdev_manage_pci_ext, at);
    return add.get('is_extfn') > 1 || add.get('is_virtfn') > 1 ? -XEN_EINVAL : -XEN_EPERM;
  },
  [PHYSDEVOP_pci_device_add]: refused(physdev.physdev_pci_device_add, XEN_EPERM),
  [PHYSDEVOP_pci_device_remove]: refused(physdev.physdev_pci_device, XEN_EPERM),
  [PHYSDEVOP_prepare_msix]: refused(physdev.physdev_pci_device, XEN_EPERM),
  [PHYSDEVOP_release_msix]: refused(physdev.physdev_pci_device, XEN_EPERM),
  [PHYSDEVOP_restore_msi]: refused(physdev.physdev_restore_msi, XEN_ENODEV),
  [PHYSDEVOP_restore_msi_ext]: refused(physdev.physdev_pci_device, XEN_ENODEV),
  // These two are refused before their argument is looked at.
  [PHYSDEVOP_pci_mmcfg_reserved]: () => -XEN_EPERM,
  [PHYSDEVOP_dbgp_op]: () => -XEN_EPERM,
};

/**
 * Linux registers a page in which Xen marks interrupts that need an acknowledgement. None ever does, but the page must
 * stay ordinary writable memory, as under Xen.
 */
function registerEoiMap(vcpu: XenVcpu, at: Gva): number {
  const mfn = copyFromGuest(vcpu, physdev.physdev_pirq_eoi_gmfn, at).get('gmfn');
  const { domain } = vcpu;
  const table = frameTableOf(domain.host);
  const channels = channelsOf(domain);
  if (getPageAndType(table, mfn, PGT_writable_page, domain.id) !== 0) return -XEN_EINVAL;
  if (channels.eoiMap !== undefined) {
    putPageAndType(table, mfn);
    return -XEN_EBUSY;
  }
  channels.eoiMap = { mfn, release: () => putPageAndType(table, mfn) };
  return 0;
}

/** What an operation on the interrupts of a domain fails with: `own` for the caller's. */
function domainError(vcpu: XenVcpu, id: number, own: number): number {
  if (id === DOMID_SELF || id === vcpu.domain.id) return -own;
  return id === HOST_DOMAIN || vcpu.domain.host.domains.has(id) ? -XEN_EPERM : -XEN_ESRCH;
}

function perform(vcpu: XenVcpu, command: number, at: Gva): number {
  return COMMANDS[command]?.(vcpu, at) ?? -XEN_ENOSYS;
}

export const handlers: HypercallFamily = {
  [__HYPERVISOR_physdev_op]: (vcpu, args) => perform(vcpu, args.u32(0), args.gva(1)),

  /** One pointer to the command and its argument. */
  [__HYPERVISOR_physdev_op_compat]: (vcpu, args) => {
    const operation = copyFromGuest(vcpu, physdev.physdev_op, args.gva(0));
    return perform(vcpu, operation.get('cmd'), args.gva(0) + operation.address('u'));
  },
};
