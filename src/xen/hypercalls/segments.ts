/**
 * Descriptor tables and segment bases: set_gdt, update_descriptor, set_segment_base.
 * (Xen 4.17, arch/x86/pv/descriptor-tables.c, arch/x86/pv/misc-hypercalls.c.) The LDT is set by mmuext_op, in `mm/`.
 */
import {
  __HYPERVISOR_set_gdt,
  __HYPERVISOR_set_segment_base,
  __HYPERVISOR_update_descriptor,
  FIRST_RESERVED_GDT_ENTRY,
  x86_64 as wide,
  XEN_EINVAL,
  XEN_ENOSYS,
} from '../../abi/xen/numbers/index.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import { FS, GS } from '../../machine/x86/registers.ts';
import { isCanonicalHigh } from '../canonical.ts';
import { checkDescriptor } from '../mm/descriptors.ts';
import { PGT_seg_desc_page, PGT_writable_page } from '../mm/page-info.ts';
import { DESCRIPTORS_PER_FRAME, loadDataSegment, segmentBaseHigh, segmentBaseLow } from '../segments.ts';
import type { XenVcpu } from '../vcpu.ts';
import type { HypercallArguments } from './arguments.ts';
import type { HypercallFamily } from './dispatch.ts';

/** set_gdt(frame list, entries): replaces the GDT of the calling vCPU; Xen's own entries stay behind it. */
function setGdt(vcpu: XenVcpu, args: HypercallArguments): number {
  const entries = args.u32(1);
  if (entries > FIRST_RESERVED_GDT_ENTRY) return -XEN_EINVAL;
  const frames: number[] = [];
  for (let i = 0; i < Math.ceil(entries / DESCRIPTORS_PER_FRAME); i++) {
    frames.push(vcpu.guest.readNumber64(args.gva(0) + i * 8));
  }
  return vcpu.tables.setGdt(frames, entries) ? 0 : -XEN_EINVAL;
}

const descriptor = { low: 0, high: 0 };

/** update_descriptor(machine address, descriptor): one checked descriptor, in a table in use or a page yet to be one. */
function updateDescriptor(vcpu: XenVcpu, args: HypercallArguments): number {
  const { domain } = vcpu;
  const { mm } = domain;
  const { memory } = domain.host;
  const maddr = args.number(0);
  descriptor.low = args.low[1]!;
  descriptor.high = args.high[1]!;
  if (maddr < 0 || maddr % 8 !== 0 || !checkDescriptor(descriptor)) return -XEN_EINVAL;
  const mfn = Math.floor(maddr / PAGE_SIZE);
  if (mfn >= memory.frames) return -XEN_EINVAL;
  const type = mm.pageType(mfn) === PGT_seg_desc_page ? PGT_seg_desc_page : PGT_writable_page;
  if (!mm.getPageAndType(mfn, type)) return -XEN_EINVAL;
  memory.write64(maddr, descriptor.low, descriptor.high);
  mm.putPageAndType(mfn);
  for (const other of domain.vcpus) other.segmentsChanged();
  return 0;
}

/** set_segment_base(which, base): FS and GS bases; 64-bit mode only. */
function setSegmentBase(vcpu: XenVcpu, args: HypercallArguments): number {
  const { state, domain } = vcpu;
  if (!domain.is64) return -XEN_ENOSYS;
  const which = args.u32(0);
  const low = args.low[1]!;
  const high = args.high[1]!;
  if (which !== wide.SEGBASE_GS_USER_SEL && !isCanonicalHigh(high)) return -XEN_EINVAL;
  switch (which) {
    case wide.SEGBASE_FS:
      state.setSegmentBase(FS, low, high);
      return 0;
    case wide.SEGBASE_GS_KERNEL:
      state.setSegmentBase(GS, low, high);
      return 0;
    case wide.SEGBASE_GS_USER:
      vcpu.gsBaseInactiveLow = low;
      vcpu.gsBaseInactiveHigh = high;
      return 0;
    case wide.SEGBASE_GS_USER_SEL:
      loadUserGs(vcpu, low & 0xffff);
      return 0;
    default:
      return -XEN_EINVAL;
  }
}

/** Loads GS by selector; its base becomes the user's. A bad selector becomes null: the hypercall never fails. */
function loadUserGs(vcpu: XenVcpu, selector: number): void {
  const { state } = vcpu;
  const low = segmentBaseLow(vcpu, GS);
  const high = segmentBaseHigh(vcpu, GS);
  loadDataSegment(vcpu, GS, selector > 3 ? selector | 3 : selector);
  vcpu.gsBaseInactiveLow = segmentBaseLow(vcpu, GS);
  vcpu.gsBaseInactiveHigh = segmentBaseHigh(vcpu, GS);
  state.setSegmentBase(GS, low, high);
}

export const handlers: HypercallFamily = {
  [__HYPERVISOR_set_gdt]: setGdt,
  [__HYPERVISOR_update_descriptor]: updateDescriptor,
  [__HYPERVISOR_set_segment_base]: setSegmentBase,
};
