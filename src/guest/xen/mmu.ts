/**
 * The rest of the mmu operations: the TLB, cr2, the lazy mode, and the start, when the tables that Xen made are adopted.
 */
import {
  MMUEXT_INVLPG_ALL,
  MMUEXT_INVLPG_LOCAL,
  MMUEXT_TLB_FLUSH_ALL,
  MMUEXT_TLB_FLUSH_LOCAL,
} from '../../abi/xen/numbers/mmu.ts';
import { start_info_nr_pt_frames, start_info_pt_base, vcpu_info_arch_cr2 } from '../abi/structures';
import { enterLazyMmuMode, LAZY_MMU, leaveLazyMmuMode } from '../paravirt/lazy';
import { setOperation, slotOfSetPte } from '../paravirt/slots';
import { mcFlushBefore, xenSetPte, xenSetPteInit } from './mmu-entries';
import { queueExtended } from './mmu-requests';
import { mcBatch, mcIssue } from './multicall';
import { rootTable, setRootTable } from './page-walk';
import { markTable } from './table-pages';
import { PAGE_SIZE } from './types';
import { vcpuInfo } from './vcpu-info';

const WHOLE: u64 = ~(<u64>0);

/** Notes the tables that Xen made: which page is the root, and that all of them are watched. Before anything is mapped. */
export function adoptTables(startInfo: usize): void {
  const root = <usize>load<Word>(startInfo, start_info_pt_base);
  const pages = <usize>load<Word>(startInfo, start_info_nr_pt_frames);
  setRootTable(root);
  for (let i: usize = 0; i < pages; i++) markTable(root + i * PAGE_SIZE, true);
}

/** mmu.pagetable_setup_start */
export function xenPagetableSetupStart(): usize {
  setOperation(slotOfSetPte(), xenSetPteInit.index);
  return rootTable();
}

/** mmu.pagetable_setup_done */
export function xenPagetableSetupDone(): void {
  setOperation(slotOfSetPte(), xenSetPte.index);
}

/** mmu.read_cr2: Xen notes the address before it calls our handler. */
export function xenReadCr2(): u64 {
  return <u64>load<Word>(vcpuInfo, vcpu_info_arch_cr2);
}

/** mmu.write_cr2 */
export function xenWriteCr2(value: u64): void {
  store<Word>(vcpuInfo, <Word>value, vcpu_info_arch_cr2);
}

function flush(command: u32, address: u64): void {
  mcBatch();
  queueExtended(command, address, 0);
  mcIssue(LAZY_MMU);
}

/** mmu.flush_tlb_user, mmu.flush_tlb_kernel: no entry is global to us, so both are everything. */
export function xenFlushTlb(): void {
  flush(MMUEXT_TLB_FLUSH_LOCAL, 0);
}

/** mmu.flush_tlb_single */
export function xenFlushTlbSingle(address: u64): void {
  flush(MMUEXT_INVLPG_LOCAL, address);
}

/** mmu.flush_tlb_others */
export function xenFlushTlbOthers(_space: usize, address: u64): void {
  if (address === WHOLE) flush(MMUEXT_TLB_FLUSH_ALL, 0);
  else flush(MMUEXT_INVLPG_ALL, address);
}

/** mmu.lazy_mode.enter */
export function xenEnterLazyMmu(): void {
  enterLazyMmuMode();
}

/** mmu.lazy_mode.leave */
export function xenLeaveLazyMmu(): void {
  mcFlushBefore();
  leaveLazyMmuMode();
}

/** mmu.lazy_mode.flush */
export function xenFlushLazyMmu(): void {
  mcFlushBefore();
}
