/**
 * The page that a domain and the hypervisor share for as long as the domain lives, and the per-vCPU records
 * in it (Xen 4.17, public/xen.h and public/arch-x86).
 *
 * Both sides write here without a lock: each field's comment says who. The hypervisor may change anything
 * that is not the guest's at any instruction.
 */
import { array, i8, only32, only64, perAbi, struct, structPerAbi, u8, u32, u64, ulong } from '../layout.ts';

/**
 * The faulting address of the last #PF that was bounced to the guest. Written by Xen; padded so that
 * vcpu_info has 64 bytes.
 */
export const arch_vcpu_info = structPerAbi(
  'arch_vcpu_info',
  struct({ cr2: ulong, pad: array(ulong, 5) }),
  struct({ cr2: ulong, pad: ulong }),
);

/**
 * The clock of one vCPU. Written by Xen alone. A reader takes `version` before and after, and tries again if
 * it is odd or has changed.
 *
 *     ns = system_time + (((tsc - tsc_timestamp) << tsc_shift) * tsc_to_system_mul >> 32)
 */
export const vcpu_time_info = struct('vcpu_time_info', {
  /** Odd while Xen is writing. */
  version: u32,
  pad0: u32,
  /** TSC at the moment that system_time describes. */
  tsc_timestamp: u64,
  /** Nanoseconds since boot of the host. */
  system_time: u64,
  /** 32.32 fixed point: nanoseconds per (shifted) tick, times 2^32. */
  tsc_to_system_mul: u32,
  /** Left shift of the tick difference; negative shifts right. */
  tsc_shift: i8,
  /** XEN_PVCLOCK_*. */
  flags: u8,
  pad1: array(u8, 2),
});

/** One vCPU's half of event delivery, and its clock. 64 bytes under either ABI. */
export const vcpu_info = struct('vcpu_info', {
  /** Set by Xen, cleared by the guest before it scans: an event may be pending. */
  evtchn_upcall_pending: u8,
  /**
   * Written by the guest (and by Xen on entry to a callback): while non-zero no upcall is made. The guest's
   * IF, inverted.
   */
  evtchn_upcall_mask: u8,
  /**
   * One bit for each word of shared_info.evtchn_pending that may hold a bit. Set by Xen, taken by exchange by
   * the guest.
   */
  evtchn_pending_sel: ulong,
  arch: arch_vcpu_info,
  time: vcpu_time_info,
});

/** The domain-wide part that belongs to x86. */
export const arch_shared_info = struct('arch_shared_info', {
  /** Guest: one past the last valid PFN of its P2M. */
  max_pfn: ulong,
  /** Guest: frame of the list of frames that list the P2M's frames; ~0 when only p2m_vaddr describes it. */
  pfn_to_mfn_frame_list_list: ulong,
  /** Xen: XEN_NMIREASON_*, to be cleared by the guest. */
  nmi_reason: ulong,
  /** Guest: cr3 value of the address space that holds the linear P2M; 0: there is none. */
  p2m_cr3: ulong,
  /** Guest: virtual address of the linear P2M. */
  p2m_vaddr: ulong,
  /** Guest: counted up before and after each change of the mapping of the P2M; odd while it changes. */
  p2m_generation: ulong,
  /** Xen: see shared_info.wc_sec_hi. */
  wc_sec_hi: only32(u32),
});

/** The shared page. */
export const shared_info = struct('shared_info', {
  /** Of the first 32 vCPUs, until VCPUOP_register_vcpu_info moves one: elements of `vcpu_info`. */
  vcpu_info: array(vcpu_info, 32),
  /** One bit for each port. Set by Xen, cleared by the guest. 4096 bits, or 1024 under the 32-bit ABI. */
  evtchn_pending: perAbi(array(ulong, 32), array(ulong, 64)),
  /** One bit for each port: set to hold the event back. Written by the guest; Xen sets it in a new port. */
  evtchn_mask: perAbi(array(ulong, 32), array(ulong, 64)),
  /** Wall clock, written by Xen: odd while it changes. */
  wc_version: u32,
  /** Seconds since 1970 at system_time 0. */
  wc_sec: u32,
  wc_nsec: u32,
  /** Upper 32 bits of the seconds. The 32-bit structure holds it in `arch`, for it had no room here. */
  wc_sec_hi: only64(u32),
  arch: arch_shared_info,
});
