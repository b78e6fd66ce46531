/** Places of the image where a machine frame that is not ours is mapped: Xen's, or one lent to us. */
import { UVMF_INVLPG } from '../../abi/xen/numbers/mmu.ts';
import { native } from '../machine/memory';
import { HYPERVISOR_update_va_mapping } from './hypercall';
import { mfnPte, PTE_ACCESSED, PTE_DIRTY, PTE_PRESENT, PTE_WRITE } from './page-entry';
import { Mfn } from './types';

/** Maps a machine frame at `page`, whose own memory is out of sight while it lasts. Returns what Xen says. */
export function mapFrame(page: usize, mfn: Mfn): i32 {
  const entry = mfnPte(mfn, PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY);
  return HYPERVISOR_update_va_mapping(native(page), entry, UVMF_INVLPG);
}

/** Maps nothing there. */
export function unmapFrame(page: usize): i32 {
  return HYPERVISOR_update_va_mapping(native(page), 0, UVMF_INVLPG);
}
