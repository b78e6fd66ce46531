/**
 * Address spaces: making, pinning, loading and unpinning them.
 *
 * Xen looks at a table when it begins to be one, entry by entry, and again at each change. So a new space is filled while
 * nobody watches, and *pinned* once, when it is about to be used: all its tables become read-only and Xen checks them in one
 * go. At its end it is *unpinned*, and taken apart like ordinary memory.
 *
 *      pgdAlloc      fill, copy       activate, dup            set_… through Xen          exit          free
 *     ────────── plain stores ───────────▌ pinned ─────────────────────────────────────────▌─ plain stores ──
 *
 * A 64-bit kernel and its user mode both run in ring 3, so that the user must not see the kernel's half; a space has two
 * roots then, and the user's has the lower half alone. Tables below the roots belong to both.
 */
import {
  MMUEXT_NEW_BASEPTR,
  MMUEXT_NEW_USER_BASEPTR,
  MMUEXT_PIN_L3_TABLE,
  MMUEXT_PIN_L4_TABLE,
  MMUEXT_UNPIN_TABLE,
} from '../../abi/xen/numbers/mmu.ts';
import { AddressSpace } from '../paravirt/address-space';
import { LAZY_CPU, LAZY_MMU } from '../paravirt/lazy';
import { loadedSpace, mcFlushBefore, setLoadedSpace } from './mmu-entries';
import { queueExtended, queueProtection } from './mmu-requests';
import { mcBatch, mcFlush, mcIssue } from './multicall';
import { mfnToVirt, physicalOf, virtToMfn } from './page';
import { PTE_PRESENT, pteMfn } from './page-entry';
import { LEVELS, rootTable } from './page-walk';
import { allocatePage, freePage } from './pages';
import { isTablePage, markTable } from './table-pages';
import { PAGE_SIZE } from './types';

const ENTRIES: usize = 512;
/** The lower half of a root is the user's, the entries after it are Xen's, and the kernel's follow. */
const USER_ENTRIES: usize = 256;
const FIRST_KERNEL_ENTRY: usize = 272;
const PIN: u32 = WORD_BITS === 64 ? MMUEXT_PIN_L4_TABLE : MMUEXT_PIN_L3_TABLE;

/** mmu.pgd_alloc */
export function xenPgdAlloc(space: usize, page: usize): i32 {
  const record = changetype<AddressSpace>(space);
  const userRoot = allocatePage();
  if (userRoot === 0) return -1;
  memory.fill(userRoot, 0, PAGE_SIZE);
  memory.fill(page, 0, PAGE_SIZE);
  for (let i = FIRST_KERNEL_ENTRY; i < ENTRIES; i++) store<u64>(page + i * 8, load<u64>(rootTable() + i * 8));
  record.root = page;
  record.userRoot = userRoot;
  record.pinned = false;
  return 0;
}

/** mmu.pgd_free */
export function xenPgdFree(space: usize): void {
  const record = changetype<AddressSpace>(space);
  xenExitSpace(space);
  if (record.userRoot !== 0) freePage(record.userRoot);
  record.root = 0;
  record.userRoot = 0;
}

/** mmu.activate_mm, mmu.dup_mmap */
export function xenActivateSpace(space: usize): void {
  if (!changetype<AddressSpace>(space).pinned) pin(space);
}

/** mmu.exit_mmap: if it is loaded, the kernel's own tables are loaded in its place. */
export function xenExitSpace(space: usize): void {
  const record = changetype<AddressSpace>(space);
  if (space === loadedSpace()) loadKernelSpace();
  if (record.pinned) unpin(space);
}

/** Does something to each table of a space, lower ones first; its roots last. */
function protectTables(space: usize, writable: bool): void {
  const record = changetype<AddressSpace>(space);
  for (let i: usize = 0; i < USER_ENTRIES; i++)
    protectBelow(load<u64>(record.root + i * 8), LEVELS - 1, writable);
  protect(record.root, writable);
  if (record.userRoot !== 0) protect(record.userRoot, writable);
}

/** `entry` leads to a table of `level`, if it leads anywhere. */
function protectBelow(entry: u64, level: u64, writable: bool): void {
  if ((entry & PTE_PRESENT) === 0) return;
  const table = mfnToVirt(pteMfn(entry));
  if (level > 1) {
    for (let i: usize = 0; i < ENTRIES; i++) protectBelow(load<u64>(table + i * 8), level - 1, writable);
  }
  protect(table, writable);
}

function protect(table: usize, writable: bool): void {
  // A table that several spaces share would be protected once; the kernel's own are, from the start.
  if (isTablePage(table) !== writable) return;
  queueProtection(table, writable);
  markTable(table, !writable);
}

function pin(space: usize): void {
  const record = changetype<AddressSpace>(space);
  mcBatch();
  protectTables(space, false);
  queueExtended(PIN, <u64>virtToMfn(record.root), 0);
  if (record.userRoot !== 0) queueExtended(PIN, <u64>virtToMfn(record.userRoot), 0);
  record.pinned = true;
  mcFlush();
  mcIssue(LAZY_MMU);
}

function unpin(space: usize): void {
  const record = changetype<AddressSpace>(space);
  mcBatch();
  queueExtended(MMUEXT_UNPIN_TABLE, <u64>virtToMfn(record.root), 0);
  if (record.userRoot !== 0) queueExtended(MMUEXT_UNPIN_TABLE, <u64>virtToMfn(record.userRoot), 0);
  protectTables(space, true);
  record.pinned = false;
  mcFlush();
  mcIssue(LAZY_MMU);
}

/** mmu.write_cr3: in a switch of tasks a part of its one multicall. */
export function xenWriteCr3(space: usize): void {
  const record = changetype<AddressSpace>(space);
  if (!record.pinned) pin(space);
  mcBatch();
  queueExtended(MMUEXT_NEW_BASEPTR, <u64>virtToMfn(record.root), 0);
  if (WORD_BITS === 64) queueExtended(MMUEXT_NEW_USER_BASEPTR, <u64>virtToMfn(record.userRoot), 0);
  setLoadedSpace(space);
  mcIssue(LAZY_CPU);
}

/** Loads the kernel's own tables, which have no user half. */
export function loadKernelSpace(): void {
  mcFlushBefore();
  mcBatch();
  queueExtended(MMUEXT_NEW_BASEPTR, <u64>virtToMfn(rootTable()), 0);
  if (WORD_BITS === 64) queueExtended(MMUEXT_NEW_USER_BASEPTR, 0, 0);
  setLoadedSpace(0);
  mcFlush();
  mcIssue(0);
}

/** mmu.read_cr3 */
export function xenReadCr3(): u64 {
  const space = loadedSpace();
  return physicalOf(space === 0 ? rootTable() : changetype<AddressSpace>(space).root);
}

/** mmu.alloc_pte, mmu.alloc_pmd, mmu.alloc_pud: into a space that Xen watches only read-only pages can be linked. */
export function xenAllocTable(space: usize, page: usize): void {
  if (space !== 0 && !changetype<AddressSpace>(space).pinned) return;
  mcBatch();
  if (!isTablePage(page)) {
    queueProtection(page, false);
    markTable(page, true);
  }
  mcIssue(LAZY_MMU);
}

/** mmu.release_pte, mmu.release_pmd, mmu.release_pud */
export function xenReleaseTable(page: usize): void {
  if (!isTablePage(page)) return;
  mcBatch();
  queueProtection(page, true);
  markTable(page, false);
  mcIssue(LAZY_MMU);
}
