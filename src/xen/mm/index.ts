/**
 * Memory of Xen domains: frames and their types, page tables, the M2P.
 *
 * Reading order: `page-info.ts` (the bits), `frame-table.ts` (references), `page-types.ts` (types and validation),
 * `mod-entry.ts` (one entry), `domain-memory.ts` (one domain), then the hypercalls: `mmu-update.ts`, `mmuext-op.ts`,
 * `update-va-mapping.ts`, `memory-op.ts`; `ptwr.ts` for emulated writes; `auditor.ts` for how we know.
 */
import {
  __HYPERVISOR_memory_op,
  __HYPERVISOR_mmu_update,
  __HYPERVISOR_mmuext_op,
  __HYPERVISOR_update_va_mapping,
  __HYPERVISOR_update_va_mapping_otherdomain,
} from '../../abi/xen/numbers/index.ts';
import { memoryOp } from './memory-op.ts';
import { mmuUpdate } from './mmu-update.ts';
import { mmuextOp } from './mmuext-op.ts';
import { updateVaMapping, updateVaMappingOtherdomain } from './update-va-mapping.ts';
import type { MmuHypercall } from './vcpu.ts';

/** The hypercalls of this folder, by number. */
export const handlers: Readonly<Record<number, MmuHypercall>> = {
  [__HYPERVISOR_mmu_update]: mmuUpdate,
  [__HYPERVISOR_memory_op]: memoryOp,
  [__HYPERVISOR_update_va_mapping]: updateVaMapping,
  [__HYPERVISOR_update_va_mapping_otherdomain]: updateVaMappingOtherdomain,
  [__HYPERVISOR_mmuext_op]: mmuextOp,
};

export { audit } from './auditor.ts';
export { checkDescriptor } from './descriptors.ts';
export { DomainMemory, type ReferenceReport } from './domain-memory.ts';
export { FrameTable, frameTableOf } from './frame-table.ts';
export { PGT_seg_desc_page, PGT_writable_page } from './page-info.ts';
export { isGuestAddress } from './walk.ts';
