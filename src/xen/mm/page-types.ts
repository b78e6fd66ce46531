/**
 * Page types: taking and dropping uses of a frame as a page table, a writable page or a descriptor page. Read
 * `frame-table.ts` first.
 *
 * The first use as a page table validates the frame: each of its entries is checked and takes references on what it
 * names, level by level, so that a pinned root holds its whole tree. The last use undoes it:
 *
 *     getPageType(root, L4)      1. check the frame is free to change its type
 *       promote L4               2. flush translations of its former life
 *         getPageType(L3) ...    3. walk its entries, downwards
 *           getPageType(L1)      4. at level 1, each entry takes a reference on its page,
 *             getPage + writable    and a writable use if it maps it writable
 *
 * Levels only go down, so a cycle cannot recurse: a table met again is met at the wrong level and refused. The one
 * exception that Xen makes, a table mapped by one of its own level ("linear page table"), takes a count but does not
 * descend. (Xen 4.17, arch/x86/mm.c.)
 */
import { DOMID_IO, XEN_EBUSY, XEN_EINVAL, XEN_EPERM } from '../../abi/xen/numbers/index.ts';
import type { Mfn } from '../../machine/memory.ts';
import { validateSegdescPage } from './descriptors.ts';
import { type FrameTable, FrameTableError } from './frame-table.ts';
import {
  adjustedL1High,
  adjustedL1Low,
  adjustedTableLow,
  ENTRIES_PER_TABLE,
  HIGH_MFN_MASK,
  INVALID_MFN,
  isGuestSlot,
  isTableType,
  L1_DISALLOW_MASK,
  PAGE_PRESENT,
  PAGE_RW,
  PGC_count_mask,
  PGT_count_mask,
  PGT_l1_page_table,
  PGT_l4_page_table,
  PGT_seg_desc_page,
  PGT_type_mask,
  PGT_validated,
  PGT_writable_page,
  ROOT_PAGETABLE_FIRST_XEN_SLOT,
  ROOT_PAGETABLE_LAST_XEN_SLOT,
  TABLE_DISALLOW_MASK,
  tableLevel,
  tableType,
} from './page-info.ts';

/** Stands for "not through an entry of a table". */
const NO_TABLE: Mfn = -1;
const LINEAR_COUNT_LIMIT = 0x7fff;

/** The frame that an entry names, or INVALID_MFN if this machine cannot have it. */
export function entryMfn(low: number, high: number): Mfn {
  return (high & HIGH_MFN_MASK) === 0 ? low >>> 12 : INVALID_MFN;
}

// ------------------------------------------------------------------ types

/** Takes a use of the frame as `type`, for which the caller holds a reference. 0, or a negative errno. */
export function getPageType(table: FrameTable, mfn: Mfn, type: number): number {
  const { typeInfo } = table;
  const info = typeInfo[mfn]!;
  if ((info & PGT_count_mask) !== 0) {
    if ((info & PGT_type_mask) !== type) return -XEN_EINVAL;
    // In use but not validated: a table that is being validated now, met again from below.
    if ((info & PGT_validated) === 0 || (info & PGT_count_mask) === PGT_count_mask) return -XEN_EINVAL;
    typeInfo[mfn] = info + 1;
    return 0;
  }
  if ((info & PGT_type_mask) === type && (info & PGT_validated) !== 0) {
    typeInfo[mfn] = info + 1;
    return 0;
  }
  // A cached writable translation must not outlive the type that allowed it.
  if ((info & PGT_type_mask) === PGT_writable_page) table.flushForTypeChange(mfn);
  if (type === PGT_writable_page) {
    typeInfo[mfn] = type | PGT_validated | 1;
    return 0;
  }
  typeInfo[mfn] = type | 1;
  table.linearPtCount[mfn] = 0;
  const error = validatePage(table, mfn, type);
  if (error !== 0) {
    typeInfo[mfn] = 0;
    return error;
  }
  typeInfo[mfn] = typeInfo[mfn]! | PGT_validated;
  return 0;
}

/** Drops a use. `parent` is the table whose entry held it, if an entry did. */
export function putPageType(table: FrameTable, mfn: Mfn, parent: Mfn = NO_TABLE): void {
  const { typeInfo } = table;
  const info = typeInfo[mfn]!;
  if ((info & PGT_count_mask) === 0) {
    throw new FrameTableError(`expected a use of ${table.describe(mfn)}, found none`);
  }
  const linear = parent !== NO_TABLE && ((info ^ typeInfo[parent]!) & PGT_type_mask) === 0;
  if ((info & PGT_count_mask) === 1) {
    if (isTableType(info) && (info & PGT_validated) !== 0) {
      typeInfo[mfn] = info & ~PGT_validated;
      devalidatePage(table, mfn, tableLevel(info));
      if (linear) dropLinear(table, mfn, parent);
      table.stampLastUse(mfn);
      typeInfo[mfn] = typeInfo[mfn]! - 1;
      return;
    }
    table.stampLastUse(mfn);
  }
  typeInfo[mfn] = info - 1;
  if (linear) dropLinear(table, mfn, parent);
}

/** Takes a reference and a use as `type`, if the frame is domain `domid`'s. 0, or a negative errno. */
export function getPageAndType(table: FrameTable, mfn: Mfn, type: number, domid: number): number {
  if (!table.getPage(mfn, domid)) return -XEN_EINVAL;
  const error = getPageType(table, mfn, type);
  if (error !== 0) table.putPage(mfn);
  return error;
}

export function putPageAndType(table: FrameTable, mfn: Mfn): void {
  putPageType(table, mfn);
  table.putPage(mfn);
}

// ------------------------------------------------------------------ entries of level 1

/**
 * Takes what a present level-1 entry holds: a reference on the page, and a writable use if it maps it writable.
 * `domid` is the owner that the page must have. 0, or a negative errno.
 */
export function getPageFromL1e(table: FrameTable, low: number, high: number, domid: number): number {
  if ((low & L1_DISALLOW_MASK) !== 0) return -XEN_EINVAL;
  const mfn = entryMfn(low, high);
  if (mfn === INVALID_MFN || mfn >= table.frames) {
    // Not memory, so it would be I/O space, which no domain here may map; all ones is INVALID_MFN.
    return (high & HIGH_MFN_MASK) === HIGH_MFN_MASK && low >>> 12 === 0xfffff ? -XEN_EINVAL : -XEN_EPERM;
  }
  const count = table.countInfo[mfn]!;
  if (((count + 2) & PGC_count_mask) <= 2) return -XEN_EBUSY;
  const owner = table.owner[mfn]!;
  if (owner !== domid) return owner === DOMID_IO ? -XEN_EPERM : -XEN_EBUSY;
  table.countInfo[mfn] = count + 1;
  if ((low & PAGE_RW) !== 0 && getPageType(table, mfn, PGT_writable_page) !== 0) {
    table.putPage(mfn);
    return -XEN_EBUSY;
  }
  return 0;
}

/** Drops what a level-1 entry held; nothing for one that is not present. */
export function putPageFromL1e(table: FrameTable, low: number, high: number): void {
  if ((low & PAGE_PRESENT) === 0) return;
  const mfn = entryMfn(low, high);
  if ((low & PAGE_RW) !== 0) putPageType(table, mfn);
  table.putPage(mfn);
}

// ------------------------------------------------------------------ entries of levels 2 to 4

/**
 * Takes what a present entry of a table of level 2 to 4 holds: a reference on the next lower table and a use as such.
 * `parent` is the table the entry is in. 0, or a negative errno.
 */
export function getPageFromTableEntry(
  table: FrameTable,
  level: number,
  low: number,
  high: number,
  parent: Mfn,
  domid: number,
): number {
  if ((low & TABLE_DISALLOW_MASK) !== 0) return -XEN_EINVAL;
  const mfn = entryMfn(low, high);
  const error = getPageAndType(table, mfn, tableType(level - 1), domid);
  if (error !== -XEN_EINVAL) return error;
  return getLinearPagetable(table, level, low, mfn, parent, domid) ? 0 : error;
}

/** Drops what an entry of a table of level 2 to 4 held; nothing for one that is not present. */
export function putPageFromTableEntry(table: FrameTable, low: number, high: number, parent: Mfn): void {
  if ((low & PAGE_PRESENT) === 0) return;
  const mfn = entryMfn(low, high);
  if (mfn === parent) return;
  putPageType(table, mfn, parent);
  table.putPage(mfn);
}

/**
 * A table mapped read-only by a table of its own level. By itself it needs no count; another one must be validated
 * already and have no such entries itself, so that no chains or cycles arise. (get_lN_linear_pagetable)
 */
function getLinearPagetable(
  table: FrameTable,
  level: number,
  low: number,
  mfn: Mfn,
  parent: Mfn,
  domid: number,
): boolean {
  if ((low & PAGE_RW) !== 0) return false;
  if (mfn === parent) return true;
  if (table.owner[parent] !== domid || !table.getPage(mfn, domid)) return false;
  const { linearPtCount } = table;
  const info = table.typeInfo[mfn]!;
  const entries = linearPtCount[parent]!;
  const uses = linearPtCount[mfn]!;
  if (
    entries < 0 ||
    entries >= LINEAR_COUNT_LIMIT ||
    uses > 0 ||
    uses <= -LINEAR_COUNT_LIMIT ||
    (info & PGT_count_mask) === PGT_count_mask ||
    (info & PGT_count_mask) === 0 ||
    (info & (PGT_type_mask | PGT_validated)) !== (tableType(level) | PGT_validated)
  ) {
    table.putPage(mfn);
    return false;
  }
  linearPtCount[parent] = entries + 1;
  linearPtCount[mfn] = uses - 1;
  table.typeInfo[mfn] = info + 1;
  return true;
}

function dropLinear(table: FrameTable, mfn: Mfn, parent: Mfn): void {
  table.linearPtCount[mfn] = table.linearPtCount[mfn]! + 1;
  table.linearPtCount[parent] = table.linearPtCount[parent]! - 1;
}

// ------------------------------------------------------------------ validation

function validatePage(table: FrameTable, mfn: Mfn, type: number): number {
  if (type === PGT_l1_page_table) return promoteL1Table(table, mfn);
  if (type === PGT_seg_desc_page) return validateSegdescPage(table, mfn) ? 0 : -XEN_EINVAL;
  const error = promoteTable(table, mfn, tableLevel(type));
  if (error === 0 && type === PGT_l4_page_table) initXenL4Slots(table, mfn);
  return error;
}

function devalidatePage(table: FrameTable, mfn: Mfn, level: number): void {
  const start = table.entryWord(mfn, 0);
  if (level === 1) {
    demoteL1Entries(table, start, ENTRIES_PER_TABLE);
    return;
  }
  demoteTableEntries(table, mfn, level, ENTRIES_PER_TABLE);
  if (level === 4) table.forgetRoot(mfn);
}

function promoteL1Table(table: FrameTable, mfn: Mfn): number {
  const { words } = table;
  const domid = table.owner[mfn]!;
  const start = table.entryWord(mfn, 0);
  for (let slot = 0; slot < ENTRIES_PER_TABLE; slot++) {
    const word = start + slot * 2;
    const low = words[word]!;
    if ((low & PAGE_PRESENT) === 0) continue;
    const high = words[word + 1]!;
    const error = getPageFromL1e(table, low, high, domid);
    if (error !== 0) {
      demoteL1Entries(table, start, slot);
      return error;
    }
    const newLow = adjustedL1Low(low, high);
    const newHigh = adjustedL1High(low, high);
    if (newLow !== low || newHigh !== high) table.storeEntry(word, newLow, newHigh);
  }
  return 0;
}

function demoteL1Entries(table: FrameTable, start: number, slots: number): void {
  const { words } = table;
  for (let word = start; word < start + slots * 2; word += 2) {
    const low = words[word]!;
    if ((low & PAGE_PRESENT) !== 0) putPageFromL1e(table, low, words[word + 1]!);
  }
}

function promoteTable(table: FrameTable, mfn: Mfn, level: number): number {
  const { words } = table;
  const domid = table.owner[mfn]!;
  const start = table.entryWord(mfn, 0);
  for (let slot = 0; slot < ENTRIES_PER_TABLE; slot++) {
    const word = start + slot * 2;
    const low = words[word]!;
    if ((low & PAGE_PRESENT) === 0 || !isGuestSlot(level, slot)) continue;
    const high = words[word + 1]!;
    const error = getPageFromTableEntry(table, level, low, high, mfn, domid);
    if (error !== 0) {
      demoteTableEntries(table, mfn, level, slot);
      return error;
    }
    const newLow = adjustedTableLow(level, low);
    if (newLow !== low) table.storeEntry(word, newLow, high);
  }
  return 0;
}

function demoteTableEntries(table: FrameTable, mfn: Mfn, level: number, slots: number): void {
  const { words } = table;
  const start = table.entryWord(mfn, 0);
  for (let slot = 0; slot < slots; slot++) {
    const word = start + slot * 2;
    const low = words[word]!;
    if ((low & PAGE_PRESENT) === 0 || !isGuestSlot(level, slot)) continue;
    putPageFromTableEntry(table, low, words[word + 1]!, mfn);
  }
}

// ------------------------------------------------------------------ Xen's part of a root

/**
 * Fills the slots of a validated root that are Xen's, whatever the guest left there. Slot 256 shows the M2P to roots of
 * strict guests at once; those of others get it when the kernel first loads them. The rest stays empty: Xen's own
 * mappings need no place in the address space of a machine that Xen itself does not run on.
 */
function initXenL4Slots(table: FrameTable, mfn: Mfn): void {
  const strict = table.domains.get(table.owner[mfn]!)?.m2pStrict === true;
  for (let slot = ROOT_PAGETABLE_FIRST_XEN_SLOT; slot <= ROOT_PAGETABLE_LAST_XEN_SLOT; slot++) {
    table.storeEntry(table.entryWord(mfn, slot), 0, 0);
  }
  if (strict) fillRoMpt(table, mfn);
}

/** Shows the M2P in an address space. */
export function fillRoMpt(table: FrameTable, root: Mfn): void {
  const { m2p } = table;
  table.storeEntry(table.entryWord(root, ROOT_PAGETABLE_FIRST_XEN_SLOT), m2p.rootEntryLow, m2p.rootEntryHigh);
}

/** Hides the M2P from an address space: a user's root of a strict guest. */
export function zapRoMpt(table: FrameTable, root: Mfn): void {
  const word = table.entryWord(root, ROOT_PAGETABLE_FIRST_XEN_SLOT);
  if (table.words[word] === 0) return;
  table.storeEntry(word, 0, 0);
  table.noteTableChange();
}
