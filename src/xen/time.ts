/**
 * Time as a Xen guest sees it: the clock that Xen publishes for each vCPU, the timers it offers, and the wall clock.
 *
 * A guest reads the TSC and converts it by its vcpu_time_info (public/xen.h):
 *
 *     ns = system_time + (((tsc - tsc_timestamp) << tsc_shift) * tsc_to_system_mul >> 32)
 *
 * Our TSC counts nanoseconds since the host started (under a virtual clock, instructions), and so does system time: the
 * frequency is 1 GHz, the line never bends, and one publication stays true for ever. It is renewed all the same when the
 * vCPU is scheduled, as guests expect. (Xen 4.17, xen/arch/x86/time.c, xen/common/sched/core.c.)
 */
import { VIRQ_TIMER } from '../abi/xen/numbers/event_channel.ts';
import { RUNSTATE_runnable, RUNSTATE_running, XEN_PVCLOCK_TSC_STABLE_BIT } from '../abi/xen/numbers/vcpu.ts';
import { shared_info, vcpu_info, vcpu_time_info } from '../abi/xen/structures/shared-info.ts';
import { Timer } from '../hypervisor/timers.ts';
import { CPU } from '../machine/layout.ts';
import type { Gva } from '../machine/memory.ts';
import { PAGE_SIZE } from '../machine/memory.ts';
import { GuestFault } from '../machine/x86/guest-memory.ts';
import type { XenDomain } from './domain.ts';
import { frameTableOf } from './mm/frame-table.ts';
import { putPageAndType } from './mm/page-types.ts';
import type { VcpuTime } from './parts.ts';
import { Runstate } from './runstate.ts';
import type { XenVcpu } from './vcpu.ts';

const TWO_32 = 4294967296;

/** Ticks of the TSC in a second, whatever the clock. */
export const TSC_HZ = 1_000_000_000;
/** Xen wants a multiplier with its top bit set (set_time_scale): a nanosecond per tick is 2 * 0.5. */
export const TSC_TO_SYSTEM_MUL = 0x80000000;
export const TSC_SHIFT = 1;

/** System time 0 under the virtual clock: 2024-01-01 00:00:00 UTC. Any fixed date would do. */
export const VIRTUAL_EPOCH_SECONDS = 1_704_067_200;

/** A PV vCPU ticks every 10 ms until its kernel says otherwise (xen/arch/x86/pv/domain.c). */
const DEFAULT_PERIOD_NS = 10_000_000;
/** A one-shot timer further away than 2^50 ns, or in the distant past, is taken as a wrapped number … */
const FARTHEST_TIMER_NS = 2 ** 50;
/** … and fires after 100 ms. */
const WRAPPED_TIMER_NS = 100_000_000;

const TIME = vcpu_time_info.x64;
const TIME_OFFSET = { x32: vcpu_info.x32.offset.time, x64: vcpu_info.x64.offset.time };
const { version: VERSION } = TIME.offset;

/** The clocks and timers of one vCPU. */
export class VcpuClock implements VcpuTime {
  private readonly vcpu: XenVcpu;
  readonly runstate: Runstate;
  /** Copies that the guest wants in its own memory; 0: none. */
  private runstateArea: Gva = 0;
  private timeArea: Gva = 0;
  /** A copy could not be written because the user's address space was loaded. */
  private areasStale = false;
  private periodNs = DEFAULT_PERIOD_NS;
  private lastTickNs = 0;
  private readonly periodic: Timer;
  private readonly singleshot: Timer;
  private readonly poll: Timer;

  constructor(vcpu: XenVcpu) {
    this.vcpu = vcpu;
    this.runstate = new Runstate(vcpu.domain.host.clock.nowNs());
    this.periodic = new Timer(() => this.tick());
    this.singleshot = new Timer(() => this.sendTimerEvent());
    this.poll = new Timer(() => this.endPoll());
  }

  private get nowNs(): number {
    return this.vcpu.domain.host.clock.nowNs();
  }

  /** Whether the processor holds this vCPU's registers. */
  private get active(): boolean {
    return this.vcpu.state.base === CPU;
  }

  // ---------------------------------------------------------------- the published clock

  /** Publishes the clock in vcpu_info, and in the guest's own area if it has one. */
  update(): void {
    const { vcpu } = this;
    if (vcpu.vcpuInfo === 0) return;
    const { memory } = vcpu.domain.host;
    const at = vcpu.vcpuInfo + TIME_OFFSET[vcpu.domain.abi];
    const time = encodeTime(this.nowNs);
    // Odd while the rest changes: a reader that catches us halfway tries again.
    const odd = ((memory.read32(at + VERSION) + 1) | 1) >>> 0;
    time.setUint32(VERSION, odd, true);
    memory.writeBytes(at, new Uint8Array(time.buffer));
    time.setUint32(VERSION, odd + 1, true);
    memory.write32(at + VERSION, odd + 1);
    this.copyOut(this.timeArea, new Uint8Array(time.buffer));
  }

  /** VCPUOP_register_vcpu_time_memory_area: where a second copy shall be kept; 0 ends it. */
  registerTimeArea(area: Gva): void {
    this.timeArea = area;
    this.update();
  }

  // ---------------------------------------------------------------- run states

  changeRunstate(state: number): void {
    const { runstate } = this;
    const before = runstate.state;
    // Woken before anybody else took the processor: it never left it.
    const kept = before !== RUNSTATE_running && state === RUNSTATE_runnable && this.active;
    runstate.change(kept ? RUNSTATE_running : state, this.nowNs);
    if (runstate.state !== RUNSTATE_running) this.vcpu.domain.host.timers.cancel(this.periodic);
    else if (before !== RUNSTATE_running) this.startTicking();
    // The address is one of this vCPU's address space: only while that is loaded can the copy be written.
    if (this.active) this.copyOutRunstate();
  }

  /** VCPUOP_register_runstate_memory_area: `area` is an address of the kernel's; 0 ends it. */
  registerRunstateArea(area: Gva): void {
    this.runstateArea = area;
    if (area === 0) return;
    const info = this.runstate.encode(this.vcpu.domain.is64, this.active ? undefined : this.nowNs);
    this.copyOut(area, info);
  }

  /** The guest's kernel is entered from its user: what could not be written there can be now. */
  kernelEntered(): void {
    if (!this.areasStale) return;
    this.areasStale = false;
    this.copyOutRunstate();
    this.update();
  }

  private copyOutRunstate(): void {
    if (this.runstateArea !== 0) {
      this.copyOut(this.runstateArea, this.runstate.encode(this.vcpu.domain.is64));
    }
  }

  /** A guest that registered an address and unmapped it loses the copy, and nothing else. */
  private copyOut(area: Gva, bytes: Uint8Array): void {
    if (area === 0) return;
    try {
      this.vcpu.guest.writeBytes(area, bytes);
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      if (!this.vcpu.kernelMode) this.areasStale = true;
    }
  }

  // ---------------------------------------------------------------- timers

  /** VCPUOP_set_periodic_timer; 0 stops it. */
  setPeriodic(periodNs: number): void {
    this.vcpu.domain.host.timers.cancel(this.periodic);
    this.periodNs = periodNs;
    if (periodNs !== 0) this.tick();
  }

  /** VCPUOP_set_singleshot_timer: an event at that system time, or at once if it is past. */
  setSingleshot(deadlineNs: number): void {
    const { timers } = this.vcpu.domain.host;
    if (deadlineNs < this.nowNs) {
      timers.cancel(this.singleshot);
      this.sendTimerEvent();
    } else {
      timers.set(this.singleshot, deadlineNs);
    }
  }

  stopSingleshot(): void {
    this.vcpu.domain.host.timers.cancel(this.singleshot);
  }

  /** set_timer_op: as the one-shot timer, but 0 stops it, and absurd deadlines are read as the wrapped numbers they are. */
  setTimer(deadlineNs: number): void {
    const { timers } = this.vcpu.domain.host;
    const now = this.nowNs;
    if (deadlineNs === 0) timers.cancel(this.singleshot);
    else if (deadlineNs < 0 || deadlineNs - now >= FARTHEST_TIMER_NS) {
      timers.set(this.singleshot, now + WRAPPED_TIMER_NS);
    } else timers.set(this.singleshot, deadlineNs);
  }

  /** The timeout of SCHEDOP_poll; 0: none, not even one that an earlier poll has left. */
  setPollTimeout(deadlineNs: number): void {
    const { timers } = this.vcpu.domain.host;
    if (deadlineNs === 0) timers.cancel(this.poll);
    else timers.set(this.poll, deadlineNs);
  }

  /** Stops everything; also gives the frame of a registered vcpu_info back. */
  release(): void {
    const { vcpu } = this;
    const { timers } = vcpu.domain.host;
    for (const timer of [this.periodic, this.singleshot, this.poll]) timers.cancel(timer);
    if (!vcpu.vcpuInfoRegistered) return;
    putPageAndType(frameTableOf(vcpu.domain.host), Math.floor(vcpu.vcpuInfo / PAGE_SIZE));
    vcpu.vcpuInfo = 0;
    vcpu.vcpuInfoRegistered = false;
  }

  private sendTimerEvent(): void {
    this.vcpu.domain.events.sendVirq(this.vcpu.id, VIRQ_TIMER);
  }

  /** A vCPU ticks only while it runs; one that comes back late gets its tick at once. */
  private startTicking(): void {
    if (this.periodNs !== 0) this.tick();
  }

  private tick(): void {
    const now = this.nowNs;
    let next = this.lastTickNs + this.periodNs;
    if (now >= next) {
      this.sendTimerEvent();
      this.lastTickNs = now;
      next = now + this.periodNs;
    }
    this.vcpu.domain.host.timers.set(this.periodic, next);
  }

  private endPoll(): void {
    if (this.vcpu.pollPort === 0) return;
    this.vcpu.pollPort = 0;
    this.vcpu.wake();
  }
}

/** A vcpu_time_info for this moment, its version 0. */
function encodeTime(nowNs: number): DataView {
  const view = new DataView(new ArrayBuffer(TIME.size));
  const low = nowNs >>> 0;
  const high = Math.floor(nowNs / TWO_32) >>> 0;
  const { tsc_timestamp, system_time, tsc_to_system_mul, tsc_shift, flags } = TIME.offset;
  view.setUint32(tsc_timestamp, low, true);
  view.setUint32(tsc_timestamp + 4, high, true);
  view.setUint32(system_time, low, true);
  view.setUint32(system_time + 4, high, true);
  view.setUint32(tsc_to_system_mul, TSC_TO_SYSTEM_MUL, true);
  view.setInt8(tsc_shift, TSC_SHIFT);
  // One TSC serves all vCPUs, so readers need no guard against a step back between them.
  view.setUint8(flags, XEN_PVCLOCK_TSC_STABLE_BIT);
  return view;
}

/** Writes the domain's wall clock (its time at system time 0) into shared_info. */
export function updateWallClock(domain: XenDomain): void {
  const { memory } = domain.host;
  const { sharedInfo, wallClockSeconds } = domain;
  const { wc_version, wc_sec, wc_nsec } = shared_info[domain.abi].offset;
  const high = domain.is64 ? shared_info.x64.offset.wc_sec_hi : shared_info.x32.offset.arch_wc_sec_hi;
  const odd = (memory.read32(sharedInfo + wc_version) + 1) | 1;
  memory.write32(sharedInfo + wc_version, odd);
  memory.write32(sharedInfo + wc_sec, wallClockSeconds | 0);
  memory.write32(sharedInfo + wc_nsec, domain.wallClockNanoseconds);
  memory.write32(sharedInfo + high, Math.floor(wallClockSeconds / TWO_32) | 0);
  memory.write32(sharedInfo + wc_version, odd + 1);
}
