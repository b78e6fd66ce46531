/**
 * Finding the entry that maps a guest's address, in the guest's own (validated) tables. Xen looks through its linear
 * mapping of the loaded tables; we walk them. (Xen 4.17, arch/x86/pv/mm.c: map_guest_l1e.)
 */
import { HYPERVISOR_VIRT_END } from '../../abi/xen/numbers/arch-x86_64.ts';
import type { Gva, Mfn } from '../../machine/memory.ts';
import type { FrameTable } from './frame-table.ts';
import { NO_MFN, PAGE_PRESENT, PAGE_PSE } from './page-info.ts';

/** There is no such entry. */
export const NO_ENTRY = -1;

const TWO_32 = 4294967296;
const LOW_HALF_END = 0x800000000000;

/** Whether an address is canonical and outside Xen's part of the address space. (__addr_ok) */
export function isGuestAddress(gva: Gva): boolean {
  return (gva >= 0 && gva < LOW_HALF_END) || (gva >= HYPERVISOR_VIRT_END && gva < 0);
}

/** Index in `table.words` of the level-1 entry for an address, or NO_ENTRY; the entry itself need not be present. */
export function guestL1eWord(table: FrameTable, root: Mfn, gva: Gva): number {
  const l1 = guestL1Table(table, root, gva);
  return l1 === NO_MFN ? NO_ENTRY : table.entryWord(l1, ((gva | 0) >>> 12) & 511);
}

/** The frame that stands in for a level-1 table at an address, or NO_MFN. With a linear page table it may be a higher one. */
export function guestL1Table(table: FrameTable, root: Mfn, gva: Gva): Mfn {
  if (root === NO_MFN || !isGuestAddress(gva)) return NO_MFN;
  const low = gva | 0;
  const high = Math.floor(gva / TWO_32) | 0;
  const l3 = nextTable(table, root, (high >>> 7) & 511);
  if (l3 === NO_MFN) return NO_MFN;
  const l2 = nextTable(table, l3, ((high & 127) << 2) | (low >>> 30));
  if (l2 === NO_MFN) return NO_MFN;
  return nextTable(table, l2, (low >>> 21) & 511);
}

function nextTable(table: FrameTable, mfn: Mfn, slot: number): Mfn {
  const entry = table.words[table.entryWord(mfn, slot)]!;
  // Entries of validated tables name frames of this machine, so their upper halves hold only flags.
  return (entry & (PAGE_PRESENT | PAGE_PSE)) === PAGE_PRESENT ? entry >>> 12 : NO_MFN;
}
