/** The first of the tables, pv_info: what a kernel may want to know of what it runs on, said by the back end. */

/** Which back end; a number, since a name is only for people. */
export const ON_NOTHING: u32 = 0;
export const ON_NATIVE: u32 = 1;
export const ON_XEN: u32 = 2;
export const ON_LGUEST: u32 = 3;

/** ON_… */
export let platform: u32 = ON_NOTHING;
/** Whether there is a hypervisor below. */
export let paravirtEnabled: bool = false;
/** The privilege level that the kernel runs at: 0; 1 or 3 above Xen. */
export let kernelRpl: u32 = 0;
/** Selectors of the kernel's flat segments and of the user's, by which an interrupted frame tells who it was. */
export let kernelCs: u32 = 0;
export let kernelSs: u32 = 0;
export let userCs: u32 = 0;
export let userSs: u32 = 0;
/** The range of addresses that belongs to the hypervisor, from and up to; nothing may be mapped there. Equal: there is none. */
export let hypervisorStart: u64 = 0;
export let hypervisorEnd: u64 = 0;

export function setPlatform(kind: u32, enabled: bool, rpl: u32): void {
  platform = kind;
  paravirtEnabled = enabled;
  kernelRpl = rpl;
}

export function setSelectors(kernelCode: u32, kernelStack: u32, userCode: u32, userStack: u32): void {
  kernelCs = kernelCode;
  kernelSs = kernelStack;
  userCs = userCode;
  userSs = userStack;
}

/** Sets the range aside (`reserve_top_address`), before anybody chooses addresses. */
export function reserveAddressRange(from: u64, to: u64): void {
  hypervisorStart = from;
  hypervisorEnd = to;
}

/** Whether an address is the hypervisor's. */
export function isReserved(address: u64): bool {
  return address >= hypervisorStart && address < hypervisorEnd;
}
