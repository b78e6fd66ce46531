/**
 * The commands of vcpu_op that concern time, accounting and where Xen keeps its records of a vCPU. Bringing vCPUs up
 * and down is `vcpu.ts`'s.
 *
 * (Xen 4.17, xen/common/domain.c: common_vcpu_op, map_vcpu_info; xen/arch/x86/domain.c: do_vcpu_op; public/vcpu.h.)
 */
import {
  VCPUOP_get_physid,
  VCPUOP_get_runstate_info,
  VCPUOP_register_runstate_memory_area,
  VCPUOP_register_vcpu_info,
  VCPUOP_register_vcpu_time_memory_area,
  VCPUOP_set_periodic_timer,
  VCPUOP_set_singleshot_timer,
  VCPUOP_stop_periodic_timer,
  VCPUOP_stop_singleshot_timer,
  XEN_EFAULT,
  XEN_EINVAL,
  XEN_ENXIO,
} from '../../abi/xen/numbers/index.ts';
import {
  vcpu_register_runstate_memory_area,
  vcpu_register_time_memory_area,
  vcpu_register_vcpu_info,
  vcpu_set_periodic_timer,
  vcpu_set_singleshot_timer,
} from '../../abi/xen/structures/sched.ts';
import { vcpu_info } from '../../abi/xen/structures/shared-info.ts';
import type { Gva } from '../../machine/memory.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import { markEventsPending } from '../events/index.ts';
import { frameTableOf } from '../mm/frame-table.ts';
import { PGT_writable_page } from '../mm/page-info.ts';
import { getPageAndType } from '../mm/page-types.ts';
import { isGuestAddress } from '../mm/walk.ts';
import type { XenVcpu } from '../vcpu.ts';
import { clockOf } from './full-parts.ts';
import { copyFromGuest } from './guest-structure.ts';

/** One command of vcpu_op: who calls, which vCPU is meant, and the address of the argument. */
export type VcpuCommand = (caller: XenVcpu, target: XenVcpu, at: Gva) => number;

const TWO_64 = 2 ** 64;
const MILLISECOND_NS = 1_000_000;
/** STIME_DELTA_MAX: the longest period, about 4.6 years short of 300. */
const LONGEST_PERIOD_NS = 2 ** 63 - 1;

/** A 64-bit field as C's uint64_t; inexact above 2^53, which is far beyond any time that matters. */
function unsigned(value: number): number {
  return value < 0 ? value + TWO_64 : value;
}

export const commands: Readonly<Record<number, VcpuCommand>> = {
  [VCPUOP_get_runstate_info]: (caller, target, at) => {
    const { is64, host } = caller.domain;
    caller.guest.writeBytes(at, clockOf(target).runstate.encode(is64, host.clock.nowNs()));
    return 0;
  },

  [VCPUOP_register_runstate_memory_area]: (caller, target, at) => {
    const area = copyFromGuest(caller, vcpu_register_runstate_memory_area, at).get('addr_h');
    if (!isGuestAddress(area)) return -XEN_EFAULT;
    clockOf(target).registerRunstateArea(area);
    return 0;
  },

  [VCPUOP_register_vcpu_time_memory_area]: (caller, target, at) => {
    const area = copyFromGuest(caller, vcpu_register_time_memory_area, at).get('addr_h');
    if (!isGuestAddress(area)) return -XEN_EFAULT;
    clockOf(target).registerTimeArea(area);
    return 0;
  },

  [VCPUOP_set_periodic_timer]: (caller, target, at) => {
    const period = unsigned(copyFromGuest(caller, vcpu_set_periodic_timer, at).get('period_ns'));
    if (period < MILLISECOND_NS || period > LONGEST_PERIOD_NS) return -XEN_EINVAL;
    clockOf(target).setPeriodic(period);
    return 0;
  },
  [VCPUOP_stop_periodic_timer]: (_caller, target) => {
    clockOf(target).setPeriodic(0);
    return 0;
  },

  /** VCPU_SSHOTTMR_future is ignored, as Xen 4.17 does: a deadline in the past gives an event at once. */
  [VCPUOP_set_singleshot_timer]: (caller, target, at) => {
    if (target !== caller) return -XEN_EINVAL;
    const deadline = unsigned(copyFromGuest(caller, vcpu_set_singleshot_timer, at).get('timeout_abs_ns'));
    clockOf(target).setSingleshot(deadline);
    return 0;
  },
  [VCPUOP_stop_singleshot_timer]: (caller, target) => {
    if (target !== caller) return -XEN_EINVAL;
    clockOf(target).stopSingleshot();
    return 0;
  },

  [VCPUOP_register_vcpu_info]: (caller, target, at) => {
    const place = copyFromGuest(caller, vcpu_register_vcpu_info, at);
    const result = moveVcpuInfo(caller, target, unsigned(place.get('mfn')), place.get('offset'));
    clockOf(target).update();
    return result;
  },

  /** Physical CPU numbers are for a domain that owns the machine. */
  [VCPUOP_get_physid]: () => -XEN_EINVAL,
};

/**
 * Has Xen keep a vCPU's vcpu_info in a frame of the guest, once and for all: there is no way back. The frame must stay
 * ordinary writable memory, so it is held by its type.
 */
function moveVcpuInfo(caller: XenVcpu, target: XenVcpu, mfn: number, offset: number): number {
  const { domain } = target;
  const { memory } = domain.host;
  const { size, align } = vcpu_info[domain.abi];
  if (offset > PAGE_SIZE - size || offset % align !== 0) return -XEN_ENXIO;
  if (target.vcpuInfoRegistered) return -XEN_EINVAL;
  // On oneself, or on one that does not run: nobody reads the old place meanwhile.
  if (target !== caller && target.online) return -XEN_EINVAL;
  if (getPageAndType(frameTableOf(domain.host), mfn, PGT_writable_page, domain.id) !== 0) return -XEN_EINVAL;
  const bytes = new Uint8Array(size);
  if (target.vcpuInfo === 0) bytes[vcpu_info.x64.offset.evtchn_upcall_mask] = 1;
  else memory.readBytes(target.vcpuInfo, bytes);
  const at = mfn * PAGE_SIZE + offset;
  memory.writeBytes(at, bytes);
  target.vcpuInfo = at;
  target.vcpuInfoRegistered = true;
  // An event may have been noted in the old place while this went on: call it pending everywhere.
  const selector = at + vcpu_info[domain.abi].offset.evtchn_pending_sel;
  if (domain.is64) memory.write64(selector, -1, -1);
  else memory.write32(selector, -1);
  markEventsPending(memory, target);
  return 0;
}
