/**
 * The shared page and this vCPU's part of it: where they are mapped. Before `setSharedInfo` they are a page of our own, so
 * that masking and unmasking is harmless from the first instruction; events are masked then, as Xen starts a vCPU.
 */
import { SIZEOF_shared_info, shared_info_vcpu_info, vcpu_info_evtchn_upcall_mask } from '../abi/structures';

const early: usize = memory.data(SIZEOF_shared_info, 8);

/** The shared page. */
export let sharedInfo: usize = early;
/** The vcpu_info of this vCPU. */
export let vcpuInfo: usize = early;

/** Says of the page of our own what Xen says of a new vCPU: events are masked. */
export function startSharedInfo(): void {
  store<u8>(early, 1, vcpu_info_evtchn_upcall_mask);
}

/** The shared page is mapped at `page`; this vCPU, the first, has its vcpu_info there. */
export function setSharedInfo(page: usize): void {
  sharedInfo = page;
  vcpuInfo = page + shared_info_vcpu_info;
}

/** The vcpu_info was moved (vcpu-placement.ts). */
export function setVcpuInfo(at: usize): void {
  vcpuInfo = at;
}
