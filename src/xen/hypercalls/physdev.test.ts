import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as abi from '../../abi/xen/numbers/index.ts';
import { physdev_op } from '../../abi/xen/structures/physdev.ts';
import { VECTOR_NMI } from '../../machine/x86/registers.ts';
import { frameTableOf } from '../mm/frame-table.ts';
import { PGT_count_mask } from '../mm/page-info.ts';
import { handlers as misc } from './misc.ts';
import { handlers as physdev } from './physdev.ts';
import { TestWorld, WINDOW } from './test-world.ts';

const FAMILIES = [physdev, misc];
const ZEROS = new Array(16).fill(0);

function issue(world: TestWorld, command: number, ...words: number[]): number {
  return world.call(abi.__HYPERVISOR_physdev_op, [command, world.words(...words, ...ZEROS)]);
}

describe('physdev_op', () => {
  it('sets the I/O privilege level and the bitmap of the calling vCPU', () => {
    const world = new TestWorld(FAMILIES);
    assert.equal(issue(world, abi.PHYSDEVOP_set_iopl, 1), 0);
    assert.equal(world.vcpu.iopl, 1);
    assert.equal(issue(world, abi.PHYSDEVOP_set_iopl, 4), -abi.XEN_EINVAL);
    assert.equal(world.vcpu.iopl, 1);
    assert.equal(issue(world, abi.PHYSDEVOP_set_iobitmap, WINDOW + 64, 0, 1024), 0);
    assert.deepEqual([world.vcpu.ioBitmap, world.vcpu.ioBitmapPorts], [WINDOW + 64, 1024]);
    assert.equal(issue(world, abi.PHYSDEVOP_set_iobitmap, WINDOW, 0, 65537), -abi.XEN_EINVAL);
    assert.equal(issue(world, abi.PHYSDEVOP_set_iobitmap, WINDOW, 0, 65536), 0);
    assert.equal(world.vcpu.ioBitmapPorts, 65536);
    assert.equal(issue(world, abi.PHYSDEVOP_set_iopl, 3), 0);
  });

  it('knows of interrupts, but has none', () => {
    const world = new TestWorld(FAMILIES);
    assert.equal(issue(world, abi.PHYSDEVOP_irq_status_query, 9), 0);
    assert.equal(world.vcpu.guest.readU32(WINDOW + 4), abi.XENIRQSTAT_needs_eoi);
    assert.equal(issue(world, abi.PHYSDEVOP_irq_status_query, 48), -abi.XEN_EINVAL);
    assert.equal(issue(world, abi.PHYSDEVOP_eoi, 9), -abi.XEN_EINVAL);
    assert.equal(issue(world, abi.PHYSDEVOP_IRQ_UNMASK_NOTIFY), 0);
    assert.equal(issue(world, abi.PHYSDEVOP_get_free_pirq), -abi.XEN_ENOSPC);
    assert.equal(issue(world, abi.PHYSDEVOP_setup_gsi, 3), -abi.XEN_EPERM);
    assert.equal(issue(world, abi.PHYSDEVOP_setup_gsi, -1), -abi.XEN_EINVAL);
    assert.equal(issue(world, abi.PHYSDEVOP_setup_gsi, 15), -abi.XEN_EPERM);
    assert.equal(issue(world, abi.PHYSDEVOP_setup_gsi, 16), -abi.XEN_EINVAL);
    assert.equal(issue(world, abi.PHYSDEVOP_irq_status_query, 47), 0);
    assert.equal(issue(world, abi.PHYSDEVOP_map_pirq, abi.DOMID_SELF), -abi.XEN_EPERM);
    assert.equal(issue(world, abi.PHYSDEVOP_map_pirq, 99), -abi.XEN_ESRCH);
    assert.equal(issue(world, abi.PHYSDEVOP_unmap_pirq, abi.DOMID_SELF), -abi.XEN_EINVAL);
  });

  it('holds the page for acknowledgements as writable memory, once', () => {
    const world = new TestWorld(FAMILIES);
    const table = frameTableOf(world.host);
    const [mfn, other] = [world.frames[2]!, world.frames[3]!];
    assert.equal(issue(world, abi.PHYSDEVOP_pirq_eoi_gmfn_v2, world.memory.frames), -abi.XEN_EINVAL);
    assert.equal(issue(world, abi.PHYSDEVOP_pirq_eoi_gmfn_v2, mfn), 0);
    assert.equal(table.typeInfo[mfn]! & PGT_count_mask, 1);
    assert.equal(issue(world, abi.PHYSDEVOP_pirq_eoi_gmfn_v1, other), -abi.XEN_EBUSY);
    assert.equal(table.typeInfo[other]! & PGT_count_mask, 0);
    world.channels.release();
    assert.equal(table.typeInfo[mfn]! & PGT_count_mask, 0);
  });

  it('refuses what belongs to the owner of the hardware', () => {
    const world = new TestWorld(FAMILIES);
    for (const command of [
      abi.PHYSDEVOP_apic_read,
      abi.PHYSDEVOP_apic_write,
      abi.PHYSDEVOP_alloc_irq_vector,
      abi.PHYSDEVOP_manage_pci_add,
      abi.PHYSDEVOP_manage_pci_remove,
      abi.PHYSDEVOP_manage_pci_add_ext,
      abi.PHYSDEVOP_pci_device_add,
      abi.PHYSDEVOP_pci_device_remove,
      abi.PHYSDEVOP_prepare_msix,
      abi.PHYSDEVOP_release_msix,
      abi.PHYSDEVOP_pci_mmcfg_reserved,
      abi.PHYSDEVOP_dbgp_op,
    ]) {
      assert.equal(issue(world, command), -abi.XEN_EPERM, `command ${command}`);
    }
    assert.equal(issue(world, abi.PHYSDEVOP_restore_msi), -abi.XEN_ENODEV);
    assert.equal(issue(world, 3), -abi.XEN_ENOSYS);
    assert.equal(world.call(abi.__HYPERVISOR_physdev_op, [abi.PHYSDEVOP_set_iopl, 0x10]), -abi.XEN_EFAULT);
  });

  it('serves the old form', () => {
    const world = new TestWorld(FAMILIES);
    const words = new Array(physdev_op.x64.size / 4).fill(0);
    words[0] = abi.PHYSDEVOP_set_iopl;
    words[physdev_op.x64.offset.u / 4] = 2;
    assert.equal(world.call(abi.__HYPERVISOR_physdev_op_compat, [world.words(...words)]), 0);
    assert.equal(world.vcpu.iopl, 2);
  });
});

describe('nmi_op', () => {
  it('registers and forgets the NMI handler', () => {
    const world = new TestWorld(FAMILIES);
    const op = (command: number, ...words: number[]) =>
      world.call(abi.__HYPERVISOR_nmi_op, [command, world.words(...words)]);
    assert.equal(op(abi.XENNMI_register_callback, 0x1000, -1), 0);
    assert.equal(world.vcpu.traps.address[VECTOR_NMI], 0x1000 - 2 ** 32);
    assert.equal(world.vcpu.traps.masksEvents(VECTOR_NMI), true);
    assert.equal(op(abi.XENNMI_register_callback, 0, 0x00800000), -abi.XEN_EINVAL);
    assert.equal(op(abi.XENNMI_unregister_callback), 0);
    assert.equal(world.vcpu.traps.isNull(VECTOR_NMI, true), true);
    assert.equal(op(9), -abi.XEN_ENOSYS);
  });
});

describe('hypercalls of a control domain', () => {
  it('are refused', () => {
    const world = new TestWorld(FAMILIES);
    for (const number of [
      abi.__HYPERVISOR_platform_op,
      abi.__HYPERVISOR_sysctl,
      abi.__HYPERVISOR_domctl,
      abi.__HYPERVISOR_kexec_op,
      abi.__HYPERVISOR_arch_0,
    ]) {
      assert.equal(world.call(number, [0, WINDOW]), -abi.XEN_EPERM);
    }
    assert.equal(world.call(abi.__HYPERVISOR_hvm_op, [0, WINDOW]), -abi.XEN_ENOSYS);
  });
});
