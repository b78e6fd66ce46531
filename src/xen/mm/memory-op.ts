/**
 * memory_op: what a domain has of memory, and changing it. The balloon of a guest lives on this hypercall.
 *
 * Three groups, of which a 64-bit PV domain without privilege may use: its reservation (increase, decrease, populate,
 * exchange), questions about it, and where the M2P is. What only a domain with a translated address space or a
 * toolstack may do answers as Xen does to such a domain. A long list stops halfway; a sub-command's upper bits carry the
 * extent at which it goes on.
 * (Xen 4.17, common/memory.c: do_memory_op; arch/x86/mm.c: arch_memory_op; arch/x86/x86_64/mm.c: subarch_memory_op.)
 */
import {
  MACH2PHYS_NR_ENTRIES,
  MACH2PHYS_VIRT_END,
  MACH2PHYS_VIRT_START,
} from '../../abi/xen/numbers/arch-x86_64.ts';
import * as X from '../../abi/xen/numbers/index.ts';
import {
  xen_add_to_physmap,
  xen_machphys_mapping,
  xen_machphys_mfn_list,
  xen_mem_acquire_resource,
  xen_memory_domain,
  xen_memory_map,
  xen_memory_reservation,
} from '../../abi/xen/structures/memory.ts';
import type { Gva } from '../../machine/memory.ts';
import type { HypercallArguments } from '../hypercalls/arguments.ts';
import { CONTINUE } from '../hypercalls/dispatch.ts';
import { type DomainMemory, memoryOf } from './domain-memory.ts';
import { checkAnyDomain, domainExists } from './foreign.ts';
import { readMfn, readWord, writeMfn } from './guest-requests.ts';
import { areFlagsOkay, DOMU_MAX_ORDER, memoryExchange } from './memory-exchange.ts';
import { memoryMapBytes } from './memory-map.ts';
import { INVALID_MFN, NO_MFN } from './page-info.ts';
import type { MmuVcpu } from './vcpu.ts';
import { isGuestAddress } from './walk.ts';

const MEMOP_EXTENT_SHIFT = 6;
const MEMOP_CMD_MASK = (1 << MEMOP_EXTENT_SHIFT) - 1;
/** The largest number of extents that the upper bits of a command can count to. */
const MAX_EXTENTS = 0xffffffff >>> MEMOP_EXTENT_SHIFT;

const RESERVATION = xen_memory_reservation.x64.offset;

/** memory_op(command, pointer). */
export function memoryOp(vcpu: MmuVcpu, args: HypercallArguments): number {
  const command = (args.high[0]! >>> 0) * 4294967296 + args.u32(0);
  // No list is that long; a start beyond them all is as good as any other.
  const start = Math.min(Math.floor(command / (1 << MEMOP_EXTENT_SHIFT)), MAX_EXTENTS);
  const op = args.low[0]! & MEMOP_CMD_MASK;
  const pointer = args.gva(1);
  const memory = memoryOf(vcpu);
  switch (op) {
    case X.XENMEM_increase_reservation:
    case X.XENMEM_decrease_reservation:
    case X.XENMEM_populate_physmap:
      return adjustReservation(vcpu, args, memory, op, pointer, start);
    case X.XENMEM_exchange:
      return start !== 0 ? -X.XEN_EINVAL : memoryExchange(vcpu, memory, pointer);
    case X.XENMEM_maximum_ram_page:
      return start !== 0 ? -X.XEN_EINVAL : memory.table.frames;
    case X.XENMEM_current_reservation:
    case X.XENMEM_maximum_reservation:
    case X.XENMEM_maximum_gpfn:
      return start !== 0 ? -X.XEN_EINVAL : askReservation(vcpu, memory, op, pointer);
    case X.XENMEM_machphys_mapping:
      return machphysMapping(vcpu, pointer);
    case X.XENMEM_machphys_mfn_list:
      return machphysMfnList(vcpu, memory, pointer);
    case X.XENMEM_memory_map:
      return memoryMap(vcpu, memory, pointer);
    case X.XENMEM_add_to_physmap:
      return addToPhysmap(vcpu, memory, pointer);
    // For translated address spaces, which a PV domain does not have.
    case X.XENMEM_add_to_physmap_batch:
    case X.XENMEM_remove_from_physmap:
      return notTranslated(vcpu, memory, pointer);
    // For toolstacks.
    case X.XENMEM_machine_memory_map:
    case X.XENMEM_set_memory_map:
    case X.XENMEM_claim_pages:
      return -X.XEN_EPERM;
    case X.XENMEM_acquire_resource:
      return acquireResource(vcpu, memory, pointer);
    case X.XENMEM_get_vnumainfo:
      return start !== 0 ? -X.XEN_EINVAL : -X.XEN_EOPNOTSUPP;
    case X.XENMEM_machphys_compat_mfn_list:
      return -X.XEN_EOPNOTSUPP;
    default:
      return -X.XEN_ENOSYS;
  }
}

// ------------------------------------------------------------------ the reservation

/** What the guest asks for, read once. */
interface Reservation {
  readonly list: Gva;
  readonly extents: number;
  readonly order: number;
  readonly flags: number;
}

/** Returns the number of extents done, counted from the start of the list; errors show as fewer. */
function adjustReservation(
  vcpu: MmuVcpu,
  args: HypercallArguments,
  memory: DomainMemory,
  op: number,
  pointer: Gva,
  start: number,
): number {
  const { guest } = vcpu;
  if (guest.tryHost(pointer, false) === 0) return start;
  const list = guest.readNumber64(pointer + RESERVATION.extent_start);
  const extents = readWord(vcpu, pointer + RESERVATION.nr_extents);
  const order = guest.readU32(pointer + RESERVATION.extent_order);
  const flags = guest.readU32(pointer + RESERVATION.mem_flags);
  const domid = guest.read16(pointer + RESERVATION.domid);
  if (extents > MAX_EXTENTS || start >= extents) return start;
  if (checkAnyDomain(memory, domid) !== 0 || !areFlagsOkay(memory, flags)) return start;
  if (order > DOMU_MAX_ORDER) return start;
  const reservation: Reservation = { list, extents, order, flags };
  if (list === 0 ? op !== X.XENMEM_increase_reservation : !isGuestAddress(list)) return start;
  const adjustOne = ADJUSTERS[op]!;
  for (let i = start; i < extents; i++) {
    if (i !== start && vcpu.preemptionDue()) {
      args.set(0, op + i * (1 << MEMOP_EXTENT_SHIFT));
      return CONTINUE;
    }
    if (!adjustOne(vcpu, memory, reservation, i)) return i;
    // An extent of many pages is as much work as many extents.
    for (let page = 1; page < 2 ** order; page++) vcpu.preemptionDue();
  }
  return extents;
}

/** Adjusts extent `i` of a list; false if that is not possible. */
type Adjuster = (vcpu: MmuVcpu, memory: DomainMemory, r: Reservation, i: number) => boolean;

function increaseReservation(vcpu: MmuVcpu, memory: DomainMemory, r: Reservation, i: number): boolean {
  const mfn = memory.allocatePages(r.order);
  if (mfn === NO_MFN) return false;
  return r.list === 0 || writeMfn(vcpu, r.list + i * 8, mfn);
}

function decreaseReservation(vcpu: MmuVcpu, memory: DomainMemory, r: Reservation, i: number): boolean {
  const first = readMfn(vcpu, r.list + i * 8);
  if (first === INVALID_MFN) return false;
  for (let j = 0; j < 2 ** r.order; j++) {
    if (memory.removePage(first + j) !== 0) return false;
  }
  return true;
}

function populatePhysmap(vcpu: MmuVcpu, memory: DomainMemory, r: Reservation, i: number): boolean {
  const at = r.list + i * 8;
  if ((r.flags & X.XENMEMF_populate_on_demand) !== 0) return false;
  if (vcpu.guest.tryHost(at, false) === 0 || vcpu.guest.tryHost(at + 7, false) === 0) return false;
  const pfn = vcpu.guest.readNumber64(at);
  const mfn = memory.allocatePages(r.order);
  if (mfn === NO_MFN) return false;
  for (let j = 0; j < 2 ** r.order; j++) memory.setPfn(mfn + j, pfn + j);
  return writeMfn(vcpu, at, mfn);
}

const ADJUSTERS: Readonly<Record<number, Adjuster>> = {
  [X.XENMEM_increase_reservation]: increaseReservation,
  [X.XENMEM_decrease_reservation]: decreaseReservation,
  [X.XENMEM_populate_physmap]: populatePhysmap,
};

function askReservation(vcpu: MmuVcpu, memory: DomainMemory, op: number, pointer: Gva): number {
  const error = checkAnyDomain(memory, vcpu.guest.read16(pointer + xen_memory_domain.x64.offset.domid));
  if (error !== 0) return error;
  const { domain } = memory;
  if (op === X.XENMEM_current_reservation) return domain.totPages;
  if (op === X.XENMEM_maximum_reservation) return domain.maxPages;
  return memory.highestPfn();
}

/** Without a map, a domain takes start_info.nr_pages for one. With one, as many entries as it has room for, and how many. */
function memoryMap(vcpu: MmuVcpu, { memoryMap: map }: DomainMemory, pointer: Gva): number {
  const { guest } = vcpu;
  const { offset, size } = xen_memory_map.x64;
  guest.readBytes(pointer, new Uint8Array(size));
  if (map.length === 0) return -X.XEN_ENOSYS;
  const count = Math.min(guest.readU32(pointer + offset.nr_entries), map.length);
  const buffer = guest.readNumber64(pointer + offset.buffer);
  if (count > 0) {
    if (!isGuestAddress(buffer)) return -X.XEN_EFAULT;
    guest.writeBytes(buffer, memoryMapBytes(map, count));
  }
  guest.write32(pointer + offset.nr_entries, count);
  return 0;
}

// ------------------------------------------------------------------ the M2P

function machphysMapping(vcpu: MmuVcpu, pointer: Gva): number {
  const { offset, size } = xen_machphys_mapping.x64;
  const out = new DataView(new ArrayBuffer(size));
  const put = (at: number, value: number) => out.setBigInt64(at, BigInt(value), true);
  put(offset.v_start, MACH2PHYS_VIRT_START);
  put(offset.v_end, MACH2PHYS_VIRT_END);
  // As for every domain but the first: room for frames that may yet be added. What is not there is not mapped.
  put(offset.max_mfn, MACH2PHYS_NR_ENTRIES - 1);
  vcpu.guest.writeBytes(pointer, new Uint8Array(out.buffer));
  return 0;
}

function machphysMfnList(vcpu: MmuVcpu, memory: DomainMemory, pointer: Gva): number {
  const { guest } = vcpu;
  const { m2p } = memory.table;
  const { offset } = xen_machphys_mfn_list.x64;
  const count = Math.min(guest.readU32(pointer + offset.max_extents), m2p.extents);
  const list = guest.readNumber64(pointer + offset.extent_start);
  for (let i = 0; i < count; i++) guest.write64(list + i * 8, m2p.extent(i), 0);
  guest.write32(pointer + offset.nr_extents, count);
  return 0;
}

// ------------------------------------------------------------------ toolstacks only

/** Frames of Xen's that belong to another domain: for who builds or serves it. (acquire_resource) */
function acquireResource(vcpu: MmuVcpu, memory: DomainMemory, pointer: Gva): number {
  const { guest } = vcpu;
  const { offset, size } = xen_mem_acquire_resource.x64;
  guest.readBytes(pointer, new Uint8Array(size));
  if (guest.readU32(pointer + offset.pad) !== 0) return -X.XEN_EINVAL;
  const end = readWord(vcpu, pointer + offset.frame) + guest.readU32(pointer + offset.nr_frames);
  if (end > 0xffffffff) return -X.XEN_EINVAL;
  // One's own number is as little allowed as another's; only a domain that is not there is told apart.
  return domainExists(memory, guest.read16(pointer + offset.domid)) ? -X.XEN_EPERM : -X.XEN_ESRCH;
}

// ------------------------------------------------------------------ translated domains only

function addToPhysmap(vcpu: MmuVcpu, memory: DomainMemory, pointer: Gva): number {
  const { offset } = xen_add_to_physmap.x64;
  const space = vcpu.guest.readU32(pointer + offset.space);
  if (space === X.XENMAPSPACE_gmfn_foreign) return -X.XEN_ENOSYS;
  return notTranslated(vcpu, memory, pointer);
}

/** Both structures start with the domain number. */
function notTranslated(vcpu: MmuVcpu, memory: DomainMemory, pointer: Gva): number {
  const error = checkAnyDomain(memory, vcpu.guest.read16(pointer));
  return error === -X.XEN_ESRCH ? error : -X.XEN_EACCES;
}
