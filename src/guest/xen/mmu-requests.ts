/**
 * Requests to Xen about page tables, each put into the batch. An entry's update extends the mmu_update that the batch ends
 * with, an extended operation the mmuext_op, so that a list of them costs one call.
 */
import { DOMID_SELF } from '../../abi/xen/numbers/domain.ts';
import { __HYPERVISOR_mmu_update, __HYPERVISOR_mmuext_op } from '../../abi/xen/numbers/hypercalls.ts';
import {
  mmu_update_ptr,
  mmu_update_val,
  mmuext_op_arg1,
  mmuext_op_arg2,
  mmuext_op_cmd,
  multicall_entry_args,
  SIZEOF_mmu_update,
  SIZEOF_mmuext_op,
} from '../abi/structures';
import { native } from '../machine/memory';
import { MULTI_mmu_update, MULTI_mmuext_op, MULTI_update_va_mapping } from './multi';
import { mcArguments, mcEntry, mcExtend } from './multicall';
import { PTE_WRITE } from './page-entry';
import { lookupAddress } from './page-walk';
import { Maddr, WORD_BYTES } from './types';

/** Adds one to the length of the list that a call has as its second argument. */
function lengthen(entry: usize): void {
  const length = entry + multicall_entry_args + WORD_BYTES;
  store<Word>(length, load<Word>(length) + 1);
}

/** Between mcBatch and mcIssue: sets the entry at machine address `at`; `kind` is MMU_*. */
export function queueUpdate(at: Maddr, kind: u64, value: u64): void {
  const extended = mcExtend(__HYPERVISOR_mmu_update, SIZEOF_mmu_update);
  if (extended !== 0) lengthen(extended);
  else {
    const entry = mcEntry(SIZEOF_mmu_update);
    MULTI_mmu_update(entry, mcArguments(), 1, 0, DOMID_SELF);
  }
  const request = mcArguments();
  store<u64>(request, at | kind, mmu_update_ptr);
  store<u64>(request, value, mmu_update_val);
}

/** Between mcBatch and mcIssue: extended operation MMUEXT_* with its two arguments. */
export function queueExtended(command: u32, first: u64, second: u64): void {
  const extended = mcExtend(__HYPERVISOR_mmuext_op, SIZEOF_mmuext_op);
  if (extended !== 0) lengthen(extended);
  else {
    const entry = mcEntry(SIZEOF_mmuext_op);
    MULTI_mmuext_op(entry, mcArguments(), 1, 0, DOMID_SELF);
  }
  const request = mcArguments();
  store<u32>(request, command, mmuext_op_cmd);
  store<Word>(request, <Word>first, mmuext_op_arg1);
  store<Word>(request, <Word>second, mmuext_op_arg2);
}

/** Between mcBatch and mcIssue: the direct map's right to write to a page. */
export function queueProtection(page: usize, writable: bool): void {
  const va = native(page);
  const at = lookupAddress(va);
  if (at === 0) unreachable();
  const entry = load<u64>(at);
  MULTI_update_va_mapping(mcEntry(0), va, writable ? entry | PTE_WRITE : entry & ~PTE_WRITE, 0);
}
