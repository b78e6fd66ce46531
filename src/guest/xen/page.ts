/**
 * From one address of a page to another (Linux, xen/page.h). A page of the domain has three: where it is mapped, its place
 * in the domain's own memory, and its place in the machine's.
 *
 *     pointer  --- physicalOf --->  xpaddr (pfn)  --- physToMachine --->  xmaddr (mfn)
 *              <-- virtualOf ----                 <-- machineToPhysical -
 *
 * Down is arithmetic and the P2M, both ours. Up is the M2P, which is Xen's: it may name a frame of another domain, or
 * fault, so what it says counts only if our P2M agrees (`mfnToLocalPfn`).
 *
 * A domain whose frames Xen translates (XENFEAT_auto_translated_physmap) sees no machine frames: both are the same then.
 */
import { XENFEAT_auto_translated_physmap } from '../../abi/xen/numbers/features.ts';
import { feature } from './features';
import { machineToPhys } from './machine-to-phys';
import {
  FOREIGN_FRAME_BIT,
  getPhysToMachine,
  IDENTITY_FRAME_BIT,
  INVALID_P2M_ENTRY,
  identityFrame,
} from './p2m-tree';
import { Maddr, Mfn, PAGE_SHIFT, PAGE_SIZE, Paddr, Pfn } from './types';

const OFFSET: u64 = <u64>PAGE_SIZE - 1;

/** One past the highest frame of the domain's memory (`max_mapnr`). */
export let maxPfn: Pfn = 0;

export function setMaxPfn(pfn: Pfn): void {
  maxPfn = pfn;
}

/** The pseudo-physical address of a place in this module's memory (`__pa`). */
export function physicalOf(pointer: usize): Paddr {
  return <u64>(pointer - <usize>KERNEL_BASE);
}

/** Where a pseudo-physical address is mapped (`__va`). Only of memory that the direct map has. */
export function virtualOf(physical: Paddr): usize {
  return <usize>KERNEL_BASE + <usize>physical;
}

/** The machine frame of one of ours, of another domain's (FOREIGN_FRAME) or of a device's; INVALID_P2M_ENTRY: none. */
export function pfnToMfn(pfn: Pfn): Mfn {
  if (feature(XENFEAT_auto_translated_physmap)) return pfn;
  const entry = getPhysToMachine(pfn);
  return entry === INVALID_P2M_ENTRY ? entry : entry & ~(FOREIGN_FRAME_BIT | IDENTITY_FRAME_BIT);
}

/** Whether there is a machine frame behind it. */
export function physToMachineValid(pfn: Pfn): bool {
  return feature(XENFEAT_auto_translated_physmap) || getPhysToMachine(pfn) !== INVALID_P2M_ENTRY;
}

/**
 * The frame behind a machine frame as the M2P has it, which for a frame of another domain is a number of that domain's. A
 * frame that is nobody's memory, but that our P2M knows as its own machine frame, is that. INVALID_P2M_ENTRY: nothing known.
 */
export function mfnToPfn(mfn: Mfn): Pfn {
  if (feature(XENFEAT_auto_translated_physmap)) return mfn;
  const pfn = machineToPhys(mfn);
  if (pfn === INVALID_P2M_ENTRY || getPhysToMachine(pfn) !== mfn) {
    if (getPhysToMachine(mfn) === identityFrame(mfn)) return mfn;
  }
  return pfn;
}

/**
 * Our frame behind a machine frame, or, if it is none of ours, `maxPfn`, which is no frame of memory either. A frame is ours
 * if both tables agree. Another domain's shows in that our P2M has something else at the number that it has there; we map
 * such frames only behind entries marked FOREIGN, which never equal a frame number. A device's has no sensible M2P entry.
 */
export function mfnToLocalPfn(mfn: Mfn): Pfn {
  const pfn = mfnToPfn(mfn);
  if (feature(XENFEAT_auto_translated_physmap)) return pfn;
  return pfn < maxPfn && getPhysToMachine(pfn) === mfn ? pfn : maxPfn;
}

/** `phys_to_machine` */
export function physToMachine(physical: Paddr): Maddr {
  return ((<u64>pfnToMfn(<Pfn>(physical >> PAGE_SHIFT))) << PAGE_SHIFT) | (physical & OFFSET);
}

/** `machine_to_phys` */
export function machineToPhysical(machine: Maddr): Paddr {
  return ((<u64>mfnToPfn(<Mfn>(machine >> PAGE_SHIFT))) << PAGE_SHIFT) | (machine & OFFSET);
}

/** `virt_to_machine` */
export function virtToMachine(pointer: usize): Maddr {
  return physToMachine(physicalOf(pointer));
}

/** `virt_to_mfn` */
export function virtToMfn(pointer: usize): Mfn {
  return pfnToMfn(<Pfn>(physicalOf(pointer) >> PAGE_SHIFT));
}

/** `mfn_to_virt`: where one of our own frames is mapped. */
export function mfnToVirt(mfn: Mfn): usize {
  return virtualOf((<u64>mfnToPfn(mfn)) << PAGE_SHIFT);
}
