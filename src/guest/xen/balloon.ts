/**
 * The balloon: a domain gives frames back to Xen, and takes others in their place later. What it gives away is a hole in its
 * own memory, a frame number without a machine frame. (Linux: drivers/xen/balloon.c)
 */
import { DOMID_SELF } from '../../abi/xen/numbers/domain.ts';
import {
  XENMEM_current_reservation,
  XENMEM_decrease_reservation,
  XENMEM_maximum_reservation,
  XENMEM_populate_physmap,
} from '../../abi/xen/numbers/memory.ts';
import {
  SIZEOF_xen_memory_reservation,
  xen_memory_domain_domid,
  xen_memory_reservation_domid,
  xen_memory_reservation_extent_order,
  xen_memory_reservation_extent_start,
  xen_memory_reservation_mem_flags,
  xen_memory_reservation_nr_extents,
} from '../abi/structures';
import { native } from '../machine/memory';
import { xenDisableInterrupts, xenRestoreInterrupts, xenSaveInterrupts } from './event-mask';
import { HYPERVISOR_memory_op } from './hypercall';
import { mapFrame, unmapFrame } from './mapping';
import { mcFlushBefore } from './mmu-entries';
import { setPhysToMachine } from './p2m';
import { INVALID_P2M_ENTRY } from './p2m-tree';
import { physicalOf, virtToMfn } from './page';
import { Mfn, PAGE_SHIFT, Pfn } from './types';

const reservation: usize = memory.data(SIZEOF_xen_memory_reservation, 8);
const frame: usize = memory.data(8, 8);

/** A memory_op on one frame, `frame`. Returns how many it was done for: 1 or 0. */
function onFrame(command: u32): i64 {
  return onFrames(command, frame, 1);
}

/** The same for `count` frames that stand at `list`. */
function onFrames(command: u32, list: usize, count: usize): i64 {
  store<Word>(reservation, <Word>native(list), xen_memory_reservation_extent_start);
  store<Word>(reservation, <Word>count, xen_memory_reservation_nr_extents);
  store<u32>(reservation, 0, xen_memory_reservation_extent_order);
  store<u32>(reservation, 0, xen_memory_reservation_mem_flags);
  store<u16>(reservation, DOMID_SELF, xen_memory_reservation_domid);
  return HYPERVISOR_memory_op(command, reservation);
}

/**
 * Gives the frame behind `page`, which nobody uses and nothing else maps, back to Xen. Returns false if that cannot be; the
 * page is as it was then.
 */
export function giveFrame(page: usize): bool {
  mcFlushBefore();
  const state = xenSaveInterrupts();
  xenDisableInterrupts();
  const mfn = virtToMfn(page);
  const pfn = <Pfn>(physicalOf(page) >> PAGE_SHIFT);
  // The P2M must not name it when it is another domain's, so the entry goes first.
  let given = mfn !== INVALID_P2M_ENTRY && unmapFrame(page) === 0;
  if (given) {
    given = setPhysToMachine(pfn, INVALID_P2M_ENTRY);
    store<Mfn>(frame, mfn);
    if (given) given = onFrame(XENMEM_decrease_reservation) === 1;
    if (!given) {
      setPhysToMachine(pfn, mfn);
      mapFrame(page, mfn);
    }
  }
  xenRestoreInterrupts(state);
  return given;
}

/** Gives `count` machine frames back to Xen that stand at `list`; neither page tables nor the P2M name them any more. */
export function giveFrames(list: usize, count: usize): void {
  if (onFrames(XENMEM_decrease_reservation, list, count) !== <i64>count) unreachable();
}

/** Gets a frame for `page`, which has none. Its contents are whatever they are. Returns false if Xen gives none. */
export function takeFrame(page: usize): bool {
  mcFlushBefore();
  const state = xenSaveInterrupts();
  xenDisableInterrupts();
  const pfn = <Pfn>(physicalOf(page) >> PAGE_SHIFT);
  // In goes our frame number, for the M2P; out comes the machine's.
  store<Word>(frame, <Word>pfn);
  let taken = onFrame(XENMEM_populate_physmap) === 1;
  if (taken) {
    const mfn = load<Mfn>(frame);
    taken = setPhysToMachine(pfn, mfn) && mapFrame(page, mfn) === 0;
  }
  xenRestoreInterrupts(state);
  return taken;
}

/** Frames that the domain has, and may have at most; a negative error of Xen's. */
export function currentFrames(): i64 {
  return reservationOf(XENMEM_current_reservation);
}

export function mostFrames(): i64 {
  return reservationOf(XENMEM_maximum_reservation);
}

function reservationOf(command: u32): i64 {
  const state = xenSaveInterrupts();
  xenDisableInterrupts();
  store<u16>(reservation, DOMID_SELF, xen_memory_domain_domid);
  const frames = HYPERVISOR_memory_op(command, reservation);
  xenRestoreInterrupts(state);
  return frames;
}
