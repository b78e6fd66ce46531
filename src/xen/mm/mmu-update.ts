/**
 * mmu_update: a batch of changes to page-table entries, by machine address, and to the M2P.
 *
 * What an entry becomes depends on the frame it lies in: in a page table of some level it is checked as an entry of that
 * level; in a page that is writable anyway, or not in use, it is stored as it is. The batch ends at the first request
 * that fails, and the guest learns how many were done. A long batch stops halfway and is continued. (Xen 4.17, arch/x86/mm.c: do_mmu_update.)
 */
import {
  DOMID_IO,
  MMU_MACHPHYS_UPDATE,
  MMU_NORMAL_PT_UPDATE,
  MMU_PT_UPDATE_NO_TRANSLATE,
  MMU_PT_UPDATE_PRESERVE_AD,
  XEN_EFAULT,
  XEN_EINVAL,
  XEN_ENOSYS,
  XEN_EPERM,
  XEN_ESRCH,
} from '../../abi/xen/numbers/index.ts';
import type { Gva, Mfn } from '../../machine/memory.ts';
import type { HypercallArguments } from '../hypercalls/arguments.ts';
import { CONTINUE } from '../hypercalls/dispatch.ts';
import type { DomainMemory } from './domain-memory.ts';
import { memoryOf } from './domain-memory.ts';
import { checkPageOwner, domainExists } from './foreign.ts';
import { RequestReader, writeDone } from './guest-requests.ts';
import { modL1Entry, modTableEntry } from './mod-entry.ts';
import {
  INVALID_MFN,
  PGT_count_mask,
  PGT_l1_page_table,
  PGT_l2_page_table,
  PGT_l3_page_table,
  PGT_l4_page_table,
  PGT_type_mask,
  PGT_validated,
  PGT_writable_page,
  tableLevel,
} from './page-info.ts';
import { getPageType, putPageType } from './page-types.ts';
import { traceRequest } from './trace.ts';
import type { MmuVcpu } from './vcpu.ts';
import { isGuestAddress } from './walk.ts';

/** In `count`: the call continues an earlier one, and *done counts on. */
export const MMU_UPDATE_PREEMPTED = 0x80000000;
const BYTES_PER_REQUEST = 16;

const reader = new RequestReader(4);

/** mmu_update(requests, count, done, foreign domain). */
export function mmuUpdate(vcpu: MmuVcpu, args: HypercallArguments): number {
  const memory = memoryOf(vcpu);
  const requests = args.gva(0);
  const flaggedCount = args.u32(1);
  const doneAt = args.gva(2);
  const foreign = args.u32(3);
  const count = flaggedCount % MMU_UPDATE_PREEMPTED;
  let done = 0;
  if (flaggedCount !== count && doneAt !== 0) done = vcpu.guest.readU32(doneAt);
  if (count !== 0 && !isGuestAddress(requests)) return -XEN_EFAULT;

  let access = checkTableOwner(memory, foreign >>> 16);
  if (access === -XEN_ESRCH) return access;
  const owner = checkPageOwner(memory, foreign & 0xffff);
  let i = 0;
  let error = 0;
  if (owner === -XEN_ESRCH) error = owner;
  else {
    // Naming another domain fails at the first request, as the permission is asked there. I/O pages may be named, but
    // this machine has none.
    const mapsIo = (foreign & 0xffff) === DOMID_IO;
    if (access === 0 && !mapsIo) access = owner;
    error = performAll(vcpu, memory, requests, count, access, mapsIo ? DOMID_IO : memory.id);
    i = reader.index;
  }
  if (error === CONTINUE) {
    args.set(0, requests + i * BYTES_PER_REQUEST);
    args.set(1, MMU_UPDATE_PREEMPTED + count - i);
  }
  if (doneAt !== 0) writeDone(vcpu, doneAt, done + i);
  return error;
}

function performAll(
  vcpu: MmuVcpu,
  memory: DomainMemory,
  requests: Gva,
  count: number,
  access: number,
  pgDomid: number,
): number {
  reader.begin(vcpu.guest, memory.table.memory, requests, BYTES_PER_REQUEST);
  const { words } = reader;
  const { trace } = memory.table;
  for (; reader.index < count; reader.index++) {
    if (reader.index !== 0 && vcpu.preemptionDue()) return CONTINUE;
    if (!reader.read()) return -XEN_EFAULT;
    if (access !== 0) return access;
    const error = perform(memory, words[0]!, words[1]!, words[2]!, words[3]!, pgDomid);
    if (trace.pageTables) traceRequest(trace, vcpu, words, levelOf(memory, words[0]! >>> 12), error);
    if (error !== 0) return error;
  }
  return 0;
}

function levelOf(memory: DomainMemory, mfn: Mfn): number {
  return memory.table.isValid(mfn) ? tableLevel(memory.table.typeInfo[mfn]!) : 0;
}

/** The upper half of the foreign-domain argument is 1 + the domain whose tables are changed, or 0. */
function checkTableOwner(memory: DomainMemory, encoded: number): number {
  if (encoded === 0 || encoded - 1 === memory.id) return 0;
  return domainExists(memory, encoded - 1) ? -XEN_EPERM : -XEN_ESRCH;
}

/** One request: `ptr` and `val` in halves. 0 or a negative errno. */
function perform(
  memory: DomainMemory,
  ptrLow: number,
  ptrHigh: number,
  low: number,
  high: number,
  pgDomid: number,
): number {
  const { table } = memory;
  const command = ptrLow & 7;
  const mfn: Mfn = ptrHigh === 0 ? ptrLow >>> 12 : INVALID_MFN;
  switch (command) {
    case MMU_NORMAL_PT_UPDATE:
    case MMU_PT_UPDATE_PRESERVE_AD:
    case MMU_PT_UPDATE_NO_TRANSLATE: {
      if (!memory.getPage(mfn)) return -XEN_EINVAL;
      const slot = (ptrLow & 0xfff) >>> 3;
      const error = updateSlot(memory, mfn, slot, low, high, command === MMU_PT_UPDATE_PRESERVE_AD, pgDomid);
      table.putPage(mfn);
      return error;
    }
    case MMU_MACHPHYS_UPDATE:
      if (!table.getPage(mfn, pgDomid)) return -XEN_EINVAL;
      table.m2p.set(mfn, low, high);
      table.putPage(mfn);
      return 0;
    default:
      return -XEN_ENOSYS;
  }
}

/** Stores an entry in a frame of the domain, as the frame's type asks. 0 or a negative errno. */
function updateSlot(
  memory: DomainMemory,
  mfn: Mfn,
  slot: number,
  low: number,
  high: number,
  preserveAd: boolean,
  pgDomid: number,
): number {
  const { table } = memory;
  const info = table.typeInfo[mfn]!;
  const word = table.entryWord(mfn, slot);
  if ((info & PGT_validated) === 0 || (info & PGT_count_mask) === 0) {
    if (getPageType(table, mfn, PGT_writable_page) !== 0) return -XEN_EINVAL;
    table.storeEntry(word, low, high);
    putPageType(table, mfn);
    return 0;
  }
  switch (info & PGT_type_mask) {
    case PGT_l1_page_table:
      return modL1Entry(table, word, low, high, preserveAd, pgDomid);
    case PGT_l2_page_table:
    case PGT_l3_page_table:
    case PGT_l4_page_table:
      if (pgDomid !== memory.id) return -XEN_EINVAL;
      return modTableEntry(table, tableLevel(info), mfn, slot, low, high, preserveAd);
    case PGT_writable_page:
      table.storeEntry(word, low, high);
      return 0;
    default:
      return -XEN_EINVAL;
  }
}
