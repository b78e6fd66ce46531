/**
 * Time. Xen publishes a clock for each vCPU, a moment with the TSC that it had and the TSC's speed, and we count on from
 * there without a hypercall (pvclock). Timer interrupts are a virtual interrupt, wanted one at a time.
 */

import { VIRQ_TIMER } from '../../abi/xen/numbers/event_channel.ts';
import {
  VCPUOP_set_singleshot_timer,
  VCPUOP_stop_periodic_timer,
  VCPUOP_stop_singleshot_timer,
} from '../../abi/xen/numbers/vcpu.ts';
import {
  SIZEOF_vcpu_set_singleshot_timer,
  shared_info_arch_wc_sec_hi,
  shared_info_wc_nsec,
  shared_info_wc_sec,
  shared_info_wc_sec_hi,
  shared_info_wc_version,
  vcpu_info_time_system_time,
  vcpu_info_time_tsc_shift,
  vcpu_info_time_tsc_timestamp,
  vcpu_info_time_tsc_to_system_mul,
  vcpu_info_time_version,
  vcpu_set_singleshot_timer_flags,
  vcpu_set_singleshot_timer_timeout_abs_ns,
} from '../abi/structures';
import { fence } from '../machine/memory';
import { multiplyHigh, rdtsc } from '../machine/processor';
import { timerInterrupt } from '../paravirt/handlers';
import { xenDisableInterrupts, xenRestoreInterrupts, xenSaveInterrupts } from './event-mask';
import { bindVirq, onEvent, unmaskPort } from './events';
import { HYPERVISOR_vcpu_op } from './hypercall';
import { onSuspend } from './suspend-hooks';
import { sharedInfo, vcpuInfo } from './vcpu-info';

const NANOSECONDS: u64 = 1000000000;
const FIRST_VCPU: u32 = 0;
/** The upper half of the date's seconds came late, and for 32 bits there was room elsewhere only. */
const WALL_CLOCK_SECONDS_HIGH: usize = WORD_BITS === 64 ? shared_info_wc_sec_hi : shared_info_arch_wc_sec_hi;

/** `ticks` as nanoseconds: shifted, then multiplied by a fraction of 2^32. */
function scale(ticks: u64, multiplier: u32, shift: i8): u64 {
  const shifted = shift < 0 ? ticks >> <u64>-shift : ticks << (<u64>shift);
  return multiplyHigh(shifted, (<u64>multiplier) << 32);
}

/** What our clock is ahead of Xen's: after a resume that one may be another host's. */
let ahead: u64 = 0;

/** time.sched_clock: nanoseconds since the boot of the host that the domain began on. */
export function xenSchedClock(): u64 {
  return systemTime() + ahead;
}

/** Nanoseconds since the host's boot. Xen makes the version odd while it writes. */
function systemTime(): u64 {
  let version: u32 = 0;
  let nanoseconds: u64 = 0;
  do {
    version = load<u32>(vcpuInfo, vcpu_info_time_version);
    fence();
    const ticks = rdtsc() - load<u64>(vcpuInfo, vcpu_info_time_tsc_timestamp);
    const multiplier = load<u32>(vcpuInfo, vcpu_info_time_tsc_to_system_mul);
    const passed = scale(ticks, multiplier, load<i8>(vcpuInfo, vcpu_info_time_tsc_shift));
    nanoseconds = load<u64>(vcpuInfo, vcpu_info_time_system_time) + passed;
    fence();
  } while ((version & 1) !== 0 || load<u32>(vcpuInfo, vcpu_info_time_version) !== version);
  return nanoseconds;
}

/** time.get_tsc_khz: the speed that the clock's factor implies. */
export function xenGetTscKhz(): u32 {
  const multiplier = <u64>load<u32>(vcpuInfo, vcpu_info_time_tsc_to_system_mul);
  if (multiplier === 0) return 0;
  const shift = load<i8>(vcpuInfo, vcpu_info_time_tsc_shift);
  const unshifted = ((<u64>1000000) << 32) / multiplier;
  return <u32>(shift < 0 ? unshifted << (<u64>-shift) : unshifted >> <u64>shift);
}

/** time.get_wallclock: the date at system time 0, and what passed since. */
export function xenGetWallclock(): u64 {
  let version: u32 = 0;
  let seconds: u64 = 0;
  let nanoseconds: u64 = 0;
  do {
    version = load<u32>(sharedInfo, shared_info_wc_version);
    fence();
    seconds = <u64>load<u32>(sharedInfo, shared_info_wc_sec);
    seconds |= (<u64>load<u32>(sharedInfo, WALL_CLOCK_SECONDS_HIGH)) << 32;
    nanoseconds = <u64>load<u32>(sharedInfo, shared_info_wc_nsec);
    fence();
  } while ((version & 1) !== 0 || load<u32>(sharedInfo, shared_info_wc_version) !== version);
  return seconds * NANOSECONDS + nanoseconds + systemTime();
}

/** time.set_wallclock: only the control domain may. */
export function xenSetWallclock(_nanoseconds: u64): i32 {
  return -1;
}

const timer: usize = memory.data(SIZEOF_vcpu_set_singleshot_timer, 8);
/** When the next timer interrupt is wanted, by our clock; 0: never. */
let deadline: u64 = 0;

/** time.set_next_event */
export function xenSetNextEvent(nanoseconds: u64): void {
  const state = xenSaveInterrupts();
  xenDisableInterrupts();
  const timeout = systemTime() + nanoseconds;
  deadline = timeout + ahead;
  store<u64>(timer, timeout, vcpu_set_singleshot_timer_timeout_abs_ns);
  store<u32>(timer, 0, vcpu_set_singleshot_timer_flags);
  if (HYPERVISOR_vcpu_op(VCPUOP_set_singleshot_timer, FIRST_VCPU, timer) !== 0) unreachable();
  xenRestoreInterrupts(state);
}

/** time.shutdown */
export function xenStopTimer(): void {
  deadline = 0;
  HYPERVISOR_vcpu_op(VCPUOP_stop_singleshot_timer, FIRST_VCPU, 0);
}

function timerEvent(_port: u32): void {
  deadline = 0;
  timerInterrupt();
}

/** time.time_init: Xen's own tick, of 10 ms, is not wanted. */
export function xenTimeInit(): void {
  bindTimer();
  onSuspend(stopClock, resumeClock);
}

let stopped: u64 = 0;

function stopClock(): void {
  stopped = xenSchedClock();
}

/** The clock goes on from where it was; what is due comes now, and everything else when it was to come. */
function resumeClock(cancelled: bool): void {
  if (cancelled) return;
  ahead = stopped - systemTime();
  bindTimer();
  if (deadline !== 0) xenSetNextEvent(deadline > stopped ? deadline - stopped : 0);
}

function bindTimer(): void {
  HYPERVISOR_vcpu_op(VCPUOP_stop_periodic_timer, FIRST_VCPU, 0);
  const port = bindVirq(VIRQ_TIMER, FIRST_VCPU);
  if (port === 0) unreachable();
  onEvent(port, timerEvent);
  unmaskPort(port);
}
