/**
 * Changing one entry of a validated table: what mmu_update, update_va_mapping and emulated writes come down to. Read
 * `page-types.ts` first.
 *
 *     check the new entry, take what it holds -> store it -> drop what the old one held
 *
 * In this order, so that an entry rewritten with the same frame never drops its last use. Entries that differ only in
 * flags without a meaning for safety are stored at once. (Xen 4.17, arch/x86/mm.c: mod_l1_entry to mod_l4_entry.)
 */
import { XEN_EINVAL } from '../../abi/xen/numbers/index.ts';
import type { Mfn } from '../../machine/memory.ts';
import type { FrameTable } from './frame-table.ts';
import {
  adjustedL1High,
  adjustedL1Low,
  adjustedTableLow,
  FASTPATH_FLAG_WHITELIST,
  HIGH_MFN_MASK,
  HIGH_NX,
  isGuestSlot,
  L1_DISALLOW_MASK,
  PAGE_ACCESSED,
  PAGE_DIRTY,
  PAGE_PRESENT,
  PAGE_RW,
  PAGE_USER,
  PGT_count_mask,
  TABLE_DISALLOW_MASK,
} from './page-info.ts';
import {
  getPageFromL1e,
  getPageFromTableEntry,
  putPageFromL1e,
  putPageFromTableEntry,
  putPageType,
} from './page-types.ts';

/** Bits of the low half that make a cached translation too generous when they go away. */
const DOWNGRADE_MASK = PAGE_RW | PAGE_USER | PAGE_ACCESSED | PAGE_DIRTY;
const LOW_MFN_MASK = ~0xfff;

/**
 * Changes an entry of a validated level-1 table. `word` is the entry's index in `table.words`; `pgDomid` owns the page
 * that the entry may name; `preserveAd` keeps accessed and dirty bits that are set. 0, or a negative errno.
 */
export function modL1Entry(
  table: FrameTable,
  word: number,
  low: number,
  high: number,
  preserveAd: boolean,
  pgDomid: number,
): number {
  const oldLow = table.words[word]!;
  const oldHigh = table.words[word + 1]!;
  if ((low & PAGE_PRESENT) === 0) {
    updateEntry(table, 1, word, oldLow, oldHigh, low, high, preserveAd);
    putPageFromL1e(table, oldLow, oldHigh);
    return 0;
  }
  if ((low & L1_DISALLOW_MASK) !== 0) return -XEN_EINVAL;
  const newLow = adjustedL1Low(low, high);
  const newHigh = adjustedL1High(low, high);
  if (isSimilar(oldLow, oldHigh, newLow, newHigh)) {
    updateEntry(table, 1, word, oldLow, oldHigh, newLow, newHigh, preserveAd);
    return 0;
  }
  const error = getPageFromL1e(table, newLow, newHigh, pgDomid);
  if (error !== 0) return error;
  updateEntry(table, 1, word, oldLow, oldHigh, newLow, newHigh, preserveAd);
  putPageFromL1e(table, oldLow, oldHigh);
  return 0;
}

/** Changes an entry of a validated table of level 2, 3 or 4. 0, or a negative errno. */
export function modTableEntry(
  table: FrameTable,
  level: number,
  mfn: Mfn,
  slot: number,
  low: number,
  high: number,
  preserveAd: boolean,
): number {
  if (!isGuestSlot(level, slot)) return -XEN_EINVAL;
  // The table must outlive the change even if its own entry was what kept it (page_lock). One with as many uses as can
  // be counted, which takes half a gigabyte of tables that name it, cannot be changed.
  if ((table.typeInfo[mfn]! & PGT_count_mask) === PGT_count_mask) return -XEN_EINVAL;
  table.typeInfo[mfn] = table.typeInfo[mfn]! + 1;
  const error = changeTableEntry(table, level, mfn, slot, low, high, preserveAd);
  putPageType(table, mfn);
  return error;
}

function changeTableEntry(
  table: FrameTable,
  level: number,
  mfn: Mfn,
  slot: number,
  low: number,
  high: number,
  preserveAd: boolean,
): number {
  const word = table.entryWord(mfn, slot);
  const oldLow = table.words[word]!;
  const oldHigh = table.words[word + 1]!;
  let newLow = low;
  if ((low & PAGE_PRESENT) !== 0) {
    if ((low & TABLE_DISALLOW_MASK) !== 0) return -XEN_EINVAL;
    newLow = adjustedTableLow(level, low);
    if (isSimilar(oldLow, oldHigh, newLow, high)) {
      if (updateEntry(table, level, word, oldLow, oldHigh, newLow, high, preserveAd)) table.flushLoaded();
      return 0;
    }
    const error = getPageFromTableEntry(table, level, newLow, high, mfn, table.owner[mfn]!);
    if (error !== 0) return error;
  }
  // Tables below may be mapped by a linear page table, so Xen flushes where the guest did not ask for it.
  if (updateEntry(table, level, word, oldLow, oldHigh, newLow, high, preserveAd)) table.flushLoaded();
  putPageFromTableEntry(table, oldLow, oldHigh, mfn);
  return 0;
}

/** Whether two entries differ only in flags that need no new check. */
function isSimilar(oldLow: number, oldHigh: number, low: number, high: number): boolean {
  return ((oldLow ^ low) & ~FASTPATH_FLAG_WHITELIST) === 0 && ((oldHigh ^ high) & HIGH_MFN_MASK) === 0;
}

/** Stores an entry; true if cached translations may now be too generous. (update_intpte) */
function updateEntry(
  table: FrameTable,
  level: number,
  word: number,
  oldLow: number,
  oldHigh: number,
  low: number,
  high: number,
  preserveAd: boolean,
): boolean {
  const newLow = preserveAd ? low | (oldLow & (PAGE_ACCESSED | PAGE_DIRTY)) : low;
  table.storeEntry(word, newLow, high);
  if ((oldLow & PAGE_PRESENT) === 0) return false;
  const downgraded =
    (newLow & PAGE_PRESENT) === 0 ||
    (oldLow & ~newLow & DOWNGRADE_MASK) !== 0 ||
    ((oldLow ^ newLow) & LOW_MFN_MASK) !== 0 ||
    ((oldHigh ^ high) & HIGH_MFN_MASK) !== 0 ||
    (high & ~oldHigh & HIGH_NX) !== 0;
  if (downgraded) table.noteTableChange(level === 1 ? table.slotAt(word) : undefined);
  return downgraded;
}
