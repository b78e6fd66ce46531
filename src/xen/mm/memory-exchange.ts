/**
 * XENMEM_exchange: gives pages back and gets as many in extents of another order, in one step per chunk. A guest that
 * needs neighbouring frames (for a device, or a superpage of another domain) trades for them.
 *
 * A chunk is the larger of one input and one output extent. It is done as a whole: pages are taken from the domain only
 * while nothing uses them, and are put back if the new ones cannot be had. (Xen 4.17, common/memory.c: memory_exchange.)
 */
import {
  XEN_EFAULT,
  XEN_EINVAL,
  XEN_ENOMEM,
  XEN_EPERM,
  XENMEMF_exact_node_request,
  XENMEMF_vnode,
} from '../../abi/xen/numbers/index.ts';
import { xen_memory_exchange } from '../../abi/xen/structures/memory.ts';
import type { Gva, Mfn } from '../../machine/memory.ts';
import { PAGE_SHIFT } from '../../machine/memory.ts';
import { CONTINUE } from '../hypercalls/dispatch.ts';
import type { DomainMemory } from './domain-memory.ts';
import { checkAnyDomain } from './foreign.ts';
import { readMfn, readWord, writeMfn } from './guest-requests.ts';
import { INVALID_MFN, NO_MFN } from './page-info.ts';
import type { MmuVcpu } from './vcpu.ts';

const OFFSET = xen_memory_exchange.x64.offset;

/** A domain without devices gets at most 2 MiB in one piece. (CONFIG_DOMU_MAX_ORDER) */
export const DOMU_MAX_ORDER = 9;
const NODE_SHIFT = 8;
const NO_NODE = 0;

/** Whether the address width and the node asked for can be honoured. (construct_memop_from_reservation) */
export function areFlagsOkay(memory: DomainMemory, flags: number): boolean {
  const width = flags & 0xff;
  const widthOfAll = PAGE_SHIFT + Math.ceil(Math.log2(memory.table.frames));
  // Frames of a narrower width would have to be searched for; no guest here has a device that needs them.
  if (width !== 0 && width < widthOfAll && width <= PAGE_SHIFT) return false;
  if ((flags & XENMEMF_vnode) !== 0) return true;
  return ((flags >>> NODE_SHIFT) & 0xff) === NO_NODE || (flags & XENMEMF_exact_node_request) === 0;
}

interface Exchange {
  readonly inList: Gva;
  readonly inOrder: number;
  readonly outList: Gva;
  readonly outOrder: number;
}

export function memoryExchange(vcpu: MmuVcpu, memory: DomainMemory, pointer: Gva): number {
  const { guest } = vcpu;
  const inOrder = guest.readU32(pointer + OFFSET.in_extent_order);
  const outOrder = guest.readU32(pointer + OFFSET.out_extent_order);
  const inExtents = readWord(vcpu, pointer + OFFSET.in_nr_extents);
  const outExtents = readWord(vcpu, pointer + OFFSET.out_nr_extents);
  const domid = guest.read16(pointer + OFFSET.in_domid);
  const exchanged = readWord(vcpu, pointer + OFFSET.nr_exchanged);
  if (Math.max(inOrder, outOrder) > DOMU_MAX_ORDER) return -XEN_EPERM;
  if (
    exchanged > inExtents ||
    domid !== guest.read16(pointer + OFFSET.out_domid) ||
    inExtents * 2 ** inOrder !== outExtents * 2 ** outOrder ||
    !areFlagsOkay(memory, guest.readU32(pointer + OFFSET.out_mem_flags))
  ) {
    return -XEN_EINVAL;
  }
  if (exchanged === inExtents) return 0;
  const error = checkAnyDomain(memory, domid);
  if (error !== 0) return error;

  const exchange: Exchange = {
    inList: guest.readNumber64(pointer + OFFSET.in_extent_start),
    inOrder,
    outList: guest.readNumber64(pointer + OFFSET.out_extent_start),
    outOrder,
  };
  const inPerChunk = 2 ** Math.max(0, outOrder - inOrder);
  const chunks = Math.floor(inExtents / inPerChunk);
  const firstChunk = Math.floor(exchanged / inPerChunk);
  for (let chunk = firstChunk; chunk < chunks; chunk++) {
    if (chunk !== firstChunk && vcpu.preemptionDue()) {
      guest.write64(pointer + OFFSET.nr_exchanged, chunk * inPerChunk, 0);
      return CONTINUE;
    }
    const failure = exchangeChunk(vcpu, memory, exchange, chunk);
    for (let page = 1; page < inPerChunk * 2 ** inOrder; page++) vcpu.preemptionDue();
    if (failure !== 0) {
      guest.write64(pointer + OFFSET.nr_exchanged, chunk * inPerChunk, 0);
      return failure;
    }
  }
  guest.write64(pointer + OFFSET.nr_exchanged, inExtents, 0);
  return 0;
}

function exchangeChunk(vcpu: MmuVcpu, memory: DomainMemory, exchange: Exchange, chunk: number): number {
  const { table } = memory;
  const { inOrder, outOrder } = exchange;
  const inExtents = 2 ** Math.max(0, outOrder - inOrder);
  const outExtents = 2 ** Math.max(0, inOrder - outOrder);
  const stolen: Mfn[] = [];
  const fresh: Mfn[] = [];
  const giveUp = (error: number): number => {
    for (const mfn of stolen) table.assignPage(mfn, memory);
    for (const first of fresh) for (let i = 0; i < 2 ** outOrder; i++) table.heap.free(first + i);
    return error;
  };

  for (let j = 0; j < inExtents; j++) {
    const at = exchange.inList + (chunk * inExtents + j) * 8;
    if (vcpu.guest.tryHost(at, false) === 0) return giveUp(-XEN_EFAULT);
    const first = readMfn(vcpu, at);
    for (let k = 0; k < 2 ** inOrder; k++) {
      if (first === INVALID_MFN || !table.stealPage(first + k, memory.id)) return giveUp(-XEN_EINVAL);
      stolen.push(first + k);
    }
  }
  for (let j = 0; j < outExtents; j++) {
    const size = 2 ** outOrder;
    const first = size === 1 ? table.heap.tryAllocate() : table.heap.tryAllocateContiguous(size, size);
    if (first === NO_MFN) return giveUp(-XEN_ENOMEM);
    fresh.push(first);
  }

  // From here on nothing can fail but the guest's own lists.
  for (const mfn of stolen) table.releaseToHeap(mfn);
  let error = 0;
  fresh.forEach((first, j) => {
    for (let k = 0; k < 2 ** outOrder; k++) table.assignPage(first + k, memory);
    const at = exchange.outList + (chunk * outExtents + j) * 8;
    if (vcpu.guest.tryHost(at, false) === 0 || vcpu.guest.tryHost(at + 7, false) === 0) {
      error = -XEN_EFAULT;
      return;
    }
    const pfn = vcpu.guest.readNumber64(at);
    for (let k = 0; k < 2 ** outOrder; k++) memory.setPfn(first + k, pfn + k);
    if (!writeMfn(vcpu, at, first)) error = -XEN_EFAULT;
  });
  return error;
}
