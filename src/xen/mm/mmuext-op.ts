/**
 * mmuext_op: pinning page tables, loading roots, dropping translations, and the rest of what concerns memory as a whole.
 * (Xen 4.17, arch/x86/mm.c: do_mmuext_op.)
 */
import {
  MMUEXT_CLEAR_PAGE,
  MMUEXT_COPY_PAGE,
  MMUEXT_FLUSH_CACHE,
  MMUEXT_FLUSH_CACHE_GLOBAL,
  MMUEXT_INVLPG_ALL,
  MMUEXT_INVLPG_LOCAL,
  MMUEXT_INVLPG_MULTI,
  MMUEXT_MARK_SUPER,
  MMUEXT_NEW_BASEPTR,
  MMUEXT_NEW_USER_BASEPTR,
  MMUEXT_PIN_L1_TABLE,
  MMUEXT_PIN_L2_TABLE,
  MMUEXT_PIN_L3_TABLE,
  MMUEXT_PIN_L4_TABLE,
  MMUEXT_SET_LDT,
  MMUEXT_TLB_FLUSH_ALL,
  MMUEXT_TLB_FLUSH_LOCAL,
  MMUEXT_TLB_FLUSH_MULTI,
  MMUEXT_UNMARK_SUPER,
  MMUEXT_UNPIN_TABLE,
  XEN_EACCES,
  XEN_EFAULT,
  XEN_EINVAL,
  XEN_ENOSYS,
  XEN_EOPNOTSUPP,
} from '../../abi/xen/numbers/index.ts';
import type { Gva, Mfn } from '../../machine/memory.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import type { HypercallArguments } from '../hypercalls/arguments.ts';
import { CONTINUE } from '../hypercalls/dispatch.ts';
import { type DomainMemory, memoryOf } from './domain-memory.ts';
import { checkPageOwner } from './foreign.ts';
import { RequestReader, writeDone } from './guest-requests.ts';
import { MMU_UPDATE_PREEMPTED } from './mmu-update.ts';
import { INVALID_MFN, PGT_writable_page } from './page-info.ts';
import { getPageAndType, putPageAndType } from './page-types.ts';
import { traceExtended } from './trace.ts';
import type { MmuVcpu } from './vcpu.ts';
import { anyVcpuIn } from './vcpu-mask.ts';
import { isGuestAddress } from './walk.ts';

const TWO_32 = 4294967296;
const BYTES_PER_OP = 24;
const MAX_LDT_ENTRIES = 8192;

// Words of an operation: cmd, padding, arg1 low and high, arg2 low and high.
const CMD = 0;
const ARG1 = 2;
const ARG2 = 4;

const reader = new RequestReader(BYTES_PER_OP / 4);
const op = reader.words;

/** mmuext_op(operations, count, done, foreign domain). */
export function mmuextOp(vcpu: MmuVcpu, args: HypercallArguments): number {
  const memory = memoryOf(vcpu);
  const operations = args.gva(0);
  const flaggedCount = args.u32(1);
  const doneAt = args.gva(2);
  const count = flaggedCount % MMU_UPDATE_PREEMPTED;
  let done = 0;
  if (flaggedCount !== count && doneAt !== 0) done = vcpu.guest.readU32(doneAt);
  if (count !== 0 && !isGuestAddress(operations)) return -XEN_EFAULT;
  const access = checkPageOwner(memory, args.u32(3) & 0xffff);
  if (access !== 0) return access;

  reader.begin(vcpu.guest, memory.table.memory, operations, BYTES_PER_OP);
  const { trace } = memory.table;
  let error = 0;
  for (; reader.index < count && error === 0; reader.index++) {
    if (reader.index !== 0 && vcpu.preemptionDue()) {
      args.set(0, operations + reader.index * BYTES_PER_OP);
      args.set(1, MMU_UPDATE_PREEMPTED + count - reader.index);
      error = CONTINUE;
      break;
    }
    error = reader.read() ? perform(vcpu, memory) : -XEN_EFAULT;
    if (trace.pageTables) traceExtended(trace, vcpu, op[CMD]!, op[ARG1]!, error);
    if (error !== 0) break;
  }
  if (doneAt !== 0) writeDone(vcpu, doneAt, done + reader.index);
  return error;
}

function argMfn(word: number): Mfn {
  return op[word + 1] === 0 ? op[word]! >>> 0 : INVALID_MFN;
}
function argGva(word: number): Gva {
  return op[word + 1]! * TWO_32 + (op[word]! >>> 0);
}

/** Performs the operation that was read. 0 or a negative errno. */
function perform(vcpu: MmuVcpu, memory: DomainMemory): number {
  const { table } = memory;
  const cmd = op[CMD]!;
  switch (cmd) {
    case MMUEXT_PIN_L1_TABLE:
    case MMUEXT_PIN_L2_TABLE:
    case MMUEXT_PIN_L3_TABLE:
    case MMUEXT_PIN_L4_TABLE:
      return memory.pinTable(argMfn(ARG1), cmd - MMUEXT_PIN_L1_TABLE + 1);
    case MMUEXT_UNPIN_TABLE:
      return memory.unpinTable(argMfn(ARG1));
    case MMUEXT_NEW_BASEPTR:
      return memory.newGuestCr3(vcpu, argMfn(ARG1));
    case MMUEXT_NEW_USER_BASEPTR:
      return memory.newUserBaseptr(vcpu, argMfn(ARG1));
    case MMUEXT_TLB_FLUSH_LOCAL:
    case MMUEXT_TLB_FLUSH_ALL:
      table.flushLoaded();
      return 0;
    case MMUEXT_INVLPG_LOCAL:
    case MMUEXT_INVLPG_ALL:
      invalidatePage(memory, argGva(ARG1));
      return 0;
    case MMUEXT_TLB_FLUSH_MULTI:
    case MMUEXT_INVLPG_MULTI: {
      const any = anyVcpuIn(vcpu, argGva(ARG2));
      if (any < 0) return -XEN_EINVAL;
      if (any === 0) return 0;
      if (cmd === MMUEXT_TLB_FLUSH_MULTI) table.flushLoaded();
      else invalidatePage(memory, argGva(ARG1));
      return 0;
    }
    // Only a domain with devices may empty the caches of the machine.
    case MMUEXT_FLUSH_CACHE:
      return -XEN_EACCES;
    case MMUEXT_FLUSH_CACHE_GLOBAL:
      return -XEN_EINVAL;
    case MMUEXT_SET_LDT:
      return setLdt(vcpu, memory, argGva(ARG1), op[ARG2]! >>> 0);
    case MMUEXT_CLEAR_PAGE:
      return clearPage(memory, argMfn(ARG1));
    case MMUEXT_COPY_PAGE:
      return copyPage(memory, argMfn(ARG1), argMfn(ARG2));
    case MMUEXT_MARK_SUPER:
    case MMUEXT_UNMARK_SUPER:
      return -XEN_EOPNOTSUPP;
    default:
      return -XEN_ENOSYS;
  }
}

function invalidatePage(memory: DomainMemory, gva: Gva): void {
  if (isGuestAddress(gva)) memory.invalidatePage(gva);
}

function setLdt(vcpu: MmuVcpu, memory: DomainMemory, base: Gva, entries: number): number {
  if (entries > MAX_LDT_ENTRIES) return -XEN_EINVAL;
  if (entries !== 0 && (((base | 0) & (PAGE_SIZE - 1)) !== 0 || !isGuestAddress(base))) return -XEN_EINVAL;
  const newBase = entries === 0 ? 0 : base;
  if (vcpu.ldtEntries === entries && vcpu.ldtBase === newBase) return 0;
  memory.ldt.release(vcpu.id);
  vcpu.setLdt(newBase, entries);
  return 0;
}

function clearPage(memory: DomainMemory, mfn: Mfn): number {
  const { table } = memory;
  if (getPageAndType(table, mfn, PGT_writable_page, memory.id) !== 0) return -XEN_EINVAL;
  table.memory.zeroFrame(mfn);
  putPageAndType(table, mfn);
  return 0;
}

function copyPage(memory: DomainMemory, to: Mfn, from: Mfn): number {
  const { table } = memory;
  if (!memory.getPage(from)) return -XEN_EINVAL;
  let error = 0;
  if (getPageAndType(table, to, PGT_writable_page, memory.id) !== 0) error = -XEN_EINVAL;
  else {
    const at = table.memory.host(from * PAGE_SIZE);
    table.memory.writeBytes(to * PAGE_SIZE, table.memory.u8.subarray(at, at + PAGE_SIZE));
    putPageAndType(table, to);
  }
  table.putPage(from);
  return error;
}
