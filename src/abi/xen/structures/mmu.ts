/** Arguments of the page-table hypercalls, of multicall and of update batches (Xen 4.17, public/xen.h). */
import { array, ptr, struct, u32, u64, ulong, union } from '../layout.ts';

/** One element of mmu_update's array. */
export const mmu_update = struct('mmu_update', {
  /** Machine byte address of the entry; the low two bits hold MMU_*. */
  ptr: u64,
  /** New contents of the entry; a PFN for MMU_MACHPHYS_UPDATE. */
  val: u64,
});

/** One element of mmuext_op's array; `numbers/mmu.ts` says what each command reads. */
export const mmuext_op = struct('mmuext_op', {
  /** MMUEXT_*. */
  cmd: u32,
  arg1: union({ mfn: ulong, linear_addr: ulong }),
  arg2: union({ nr_ents: u32, vcpumask: ptr, src_mfn: ulong }),
});

/** One call of a multicall. */
export const multicall_entry = struct('multicall_entry', {
  /** __HYPERVISOR_*. */
  op: ulong,
  /** Written by Xen: what the call returned. */
  result: ulong,
  args: array(ulong, 6),
});
