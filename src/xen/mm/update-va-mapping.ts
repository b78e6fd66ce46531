/**
 * update_va_mapping: changes the level-1 entry that maps an address of the caller's, and drops the old translation.
 * (Xen 4.17, arch/x86/mm.c: do_update_va_mapping, do_update_va_mapping_otherdomain.)
 */
import {
  UVMF_ALL,
  UVMF_FLUSHTYPE_MASK,
  UVMF_INVLPG,
  UVMF_LOCAL,
  UVMF_TLB_FLUSH,
  XEN_EINVAL,
} from '../../abi/xen/numbers/index.ts';
import type { Gva } from '../../machine/memory.ts';
import type { HypercallArguments } from '../hypercalls/arguments.ts';
import { memoryOf } from './domain-memory.ts';
import { checkPageOwner } from './foreign.ts';
import { modL1Entry } from './mod-entry.ts';
import { NO_MFN, PGT_count_mask, PGT_l1_page_table, PGT_type_mask, PGT_validated } from './page-info.ts';
import { traceAddress } from './trace.ts';
import type { MmuVcpu } from './vcpu.ts';
import { anyVcpuIn } from './vcpu-mask.ts';
import { guestL1Table } from './walk.ts';

/** update_va_mapping(address, entry, flags). */
export function updateVaMapping(vcpu: MmuVcpu, args: HypercallArguments): number {
  const { table, id } = memoryOf(vcpu);
  const gva = args.gva(0);
  const mfn = guestL1Table(table, vcpu.kernelTable, gva);
  if (mfn === NO_MFN || !table.getPage(mfn, id)) return -XEN_EINVAL;
  const info = table.typeInfo[mfn]!;
  let error = -XEN_EINVAL;
  if (
    (info & (PGT_type_mask | PGT_validated)) === (PGT_l1_page_table | PGT_validated) &&
    (info & PGT_count_mask) !== 0
  ) {
    const word = table.entryWord(mfn, ((gva | 0) >>> 12) & 511);
    error = modL1Entry(table, word, args.low[1]!, args.high[1]!, false, id);
  }
  table.putPage(mfn);
  if (table.trace.pageTables) {
    traceAddress(table.trace, vcpu, 'update_va_mapping', gva, args.low[1]!, args.high[1]!, error);
  }
  if (error !== 0) return error;
  return flush(vcpu, gva, args.low[2]! & UVMF_FLUSHTYPE_MASK, args.number(2));
}

/** update_va_mapping_otherdomain(address, entry, flags, domain): the frame that the entry names is another domain's. */
export function updateVaMappingOtherdomain(vcpu: MmuVcpu, args: HypercallArguments): number {
  const error = checkPageOwner(memoryOf(vcpu), args.u32(3) & 0xffff);
  return error !== 0 ? error : updateVaMapping(vcpu, args);
}

function flush(vcpu: MmuVcpu, gva: Gva, kind: number, flags: number): number {
  if (kind !== UVMF_TLB_FLUSH && kind !== UVMF_INVLPG) return 0;
  const whom = flags - kind;
  if (whom !== UVMF_LOCAL && whom !== UVMF_ALL) {
    const any = anyVcpuIn(vcpu, whom);
    if (any < 0) return any;
    if (any === 0) return 0;
  }
  const { table } = memoryOf(vcpu);
  if (kind === UVMF_TLB_FLUSH) table.flushLoaded();
  else table.tlb.invalidatePage(gva);
  return 0;
}
