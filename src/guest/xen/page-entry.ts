/**
 * Page-table entries. An entry that the processor walks holds a machine frame; a kernel thinks in its own frames. So every
 * entry has two values: the one in the table (`…Ma`, "machine address", in Linux's names) and the one that the kernel's
 * code handles, and each crossing changes the frame number and nothing else.
 *
 *     63  62 … 52  51          12  11  …  9  8  7  6  5  4   3   2    1    0
 *     NX  software  frame number   software  G  PS D  A  PCD PWT USER WRITE PRESENT
 *
 * That is the form of 64-bit and of PAE tables. Tables without PAE have entries of 32 bits, the frame number in the upper
 * 20; no Xen of today lets a guest have those, but the documents have both forms, so both are here.
 */
import { getPhysToMachine, IDENTITY_FRAME_BIT, INVALID_P2M_ENTRY } from './p2m-tree';
import { maxPfn, mfnToLocalPfn, mfnToPfn, pfnToMfn } from './page';
import { Mfn, PAGE_SHIFT, Pfn } from './types';

export const PTE_PRESENT: u64 = 1;
export const PTE_WRITE: u64 = 2;
export const PTE_USER: u64 = 4;
export const PTE_ACCESSED: u64 = 0x20;
export const PTE_DIRTY: u64 = 0x40;
export const PTE_PSE: u64 = 0x80;
export const PTE_GLOBAL: u64 = 0x100;
/** Software's: the frame is no memory of ours (`_PAGE_IOMAP` of the document's time), so its number is a machine frame. */
export const PTE_IOMAP: u64 = 0x400;
export const PTE_NX: u64 = 0x8000000000000000;
export const PTE_FRAME_MASK: u64 = 0x000ffffffffff000;

/** Bits that an entry may have here (`__supported_pte_mask`): without NX until the processor is known to have it. */
let supported: u64 = ~PTE_NX;

/** Allows NX, or takes it back. */
export function allowNoExecute(allowed: bool): void {
  supported = allowed ? ~(<u64>0) : ~PTE_NX;
}

/** `pte_mfn`, of any level. */
export function pteMfn(entry: u64): Mfn {
  return <Mfn>((entry & PTE_FRAME_MASK) >> PAGE_SHIFT);
}

/** `mfn_pte`: an entry for a machine frame. */
export function mfnPte(mfn: Mfn, protection: u64): u64 {
  return (((<u64>mfn) << PAGE_SHIFT) | protection) & supported;
}

/** The same without PAE. */
export function pteMfnNarrow(entry: u32): Mfn {
  return <Mfn>(entry >> <u32>PAGE_SHIFT);
}

export function mfnPteNarrow(mfn: Mfn, protection: u32): u32 {
  return ((<u32>mfn) << (<u32>PAGE_SHIFT)) | protection;
}

/**
 * What the kernel makes an entry of is what stands in the table: `makePte` puts the machine frame in the place of a present
 * entry's frame. An entry for a frame that has none becomes no entry, which is safer than one for a wrong frame. (Linux:
 * `xen_make_pte`, pte_pfn_to_mfn.)
 */
export function makePte(value: u64): u64 {
  if ((value & PTE_PRESENT) === 0) return value;
  const pfn = <Pfn>((value & PTE_FRAME_MASK) >> PAGE_SHIFT);
  const flags = value & ~PTE_FRAME_MASK;
  if ((value & PTE_IOMAP) !== 0) return value;
  const entry = getPhysToMachine(pfn);
  if (entry === INVALID_P2M_ENTRY) return flags & ~PTE_PRESENT;
  // A frame that is its own machine frame is a device's: the way back must not take it for memory.
  const device = (entry & IDENTITY_FRAME_BIT) !== 0 ? PTE_IOMAP : 0;
  return ((<u64>pfnToMfn(pfn)) << PAGE_SHIFT) | ((flags | device) & supported);
}

/** The way back (`xen_pte_val`). A present entry for what is no memory of ours keeps its machine frame. */
export function pteVal(entry: u64): u64 {
  if ((entry & PTE_PRESENT) === 0 || (entry & PTE_IOMAP) !== 0) return entry;
  const mfn = pteMfn(entry);
  const pfn = mfnToLocalPfn(mfn);
  if (pfn === maxPfn) return entry;
  return ((<u64>pfn) << PAGE_SHIFT) | (entry & ~PTE_FRAME_MASK);
}

/** The kernel's frame in a table's entry; `maxPfn` if it is none of ours. */
export function ptePfn(entry: u64): Pfn {
  return (entry & PTE_IOMAP) !== 0 ? mfnToPfn(pteMfn(entry)) : mfnToLocalPfn(pteMfn(entry));
}
