/**
 * Page tables as they are: an entry is a word of memory, and what the TLB must forget it is told. All memory lies at
 * KERNEL_BASE and up, in large pages that the start left there; a small page's place in them is made by splitting.
 */
import { exchange64, native, store64 } from '../machine/memory';
import { invlpg, readCr2, readCr3, readCr4, writeCr2, writeCr3, writeCr4 } from '../machine/processor';
import { AddressSpace } from '../paravirt/address-space';
import { enterLazyMmuMode, leaveLazyMmuMode } from '../paravirt/lazy';

const WHOLE: u64 = ~(<u64>0);
const PAGE_SIZE: usize = 4096;
const ENTRIES: usize = 512;
const KERNEL_ENTRIES: usize = 256;
const PRESENT: u64 = 1;
const LARGE: u64 = 0x80;
const GLOBAL_PAGES: u64 = 0x80;
const ADDRESS: u64 = 0x000ffffffffff000;
const TABLE_FLAGS: u64 = 0x63;

/** Tables for splitting, before a kernel has memory to give: so many pages of 2 MiB can be split. */
const SPLITS: u32 = 8;
const room: usize = memory.data(9 * 4096, 16);
let splits: u32 = 0;

/** The physical address of a place in this module's memory, and back. */
export function physicalOf(pointer: usize): u64 {
  return <u64>(pointer - <usize>KERNEL_BASE);
}
export function virtualOf(physical: u64): usize {
  return <usize>KERNEL_BASE + <usize>physical;
}

function rootTable(): usize {
  return virtualOf(readCr3() & ADDRESS);
}

/** mmu.read_cr2 */
export function nativeReadCr2(): u64 {
  return readCr2();
}

/** mmu.write_cr2 */
export function nativeWriteCr2(value: u64): void {
  writeCr2(value);
}

/** mmu.read_cr3 */
export function nativeReadCr3(): u64 {
  return readCr3() & ADDRESS;
}

/** mmu.write_cr3 */
export function nativeWriteCr3(space: usize): void {
  writeCr3(physicalOf(changetype<AddressSpace>(space).root));
}

/** mmu.activate_mm, mmu.dup_mmap: nobody has to be told. */
export function nativeSpaceChanged(_space: usize): void {}

/** mmu.exit_mmap: what the TLB knows of it goes with the next CR3. */
export function nativeExitSpace(space: usize): void {
  const record = changetype<AddressSpace>(space);
  if (kernelRoot !== 0 && record.root === rootTable()) writeCr3(physicalOf(kernelRoot));
}

/** mmu.flush_tlb_user */
export function nativeFlushTlbUser(): void {
  writeCr3(readCr3());
}

/** mmu.flush_tlb_kernel: global pages, too. */
export function nativeFlushTlbKernel(): void {
  const cr4 = readCr4();
  if ((cr4 & GLOBAL_PAGES) === 0) {
    writeCr3(readCr3());
    return;
  }
  writeCr4(cr4 & ~GLOBAL_PAGES);
  writeCr4(cr4);
}

/** mmu.flush_tlb_single */
export function nativeFlushTlbSingle(address: u64): void {
  invlpg(address);
}

/** mmu.flush_tlb_others: of all processors that use the space this is the only one. */
export function nativeFlushTlbOthers(_space: usize, address: u64): void {
  if (address === WHOLE) nativeFlushTlbKernel();
  else invlpg(address);
}

/** mmu.pgd_alloc */
export function nativePgdAlloc(space: usize, page: usize): i32 {
  const record = changetype<AddressSpace>(space);
  const from = kernelRoot !== 0 ? kernelRoot : rootTable();
  memory.fill(page, 0, PAGE_SIZE);
  memory.copy(page + KERNEL_ENTRIES * 8, from + KERNEL_ENTRIES * 8, (ENTRIES - KERNEL_ENTRIES) * 8);
  record.root = page;
  record.userRoot = 0;
  record.pinned = false;
  return 0;
}

/** mmu.pgd_free */
export function nativePgdFree(space: usize): void {
  nativeExitSpace(space);
  changetype<AddressSpace>(space).root = 0;
}

/** mmu.alloc_pte, mmu.alloc_pmd, mmu.alloc_pud: any page can be a table. */
export function nativeAllocTable(_space: usize, _page: usize): void {}

/** mmu.release_pte, mmu.release_pmd, mmu.release_pud */
export function nativeReleaseTable(_page: usize): void {}

/** mmu.set_pte, mmu.set_pmd, mmu.set_pud */
export function nativeSetEntry(entry: usize, value: u64): void {
  store<u64>(entry, value);
}

/** mmu.set_pte_at */
export function nativeSetPteAt(_space: usize, _address: u64, entry: usize, value: u64): void {
  store<u64>(entry, value);
}

/** mmu.set_pgd */
export function nativeSetPgd(_space: usize, entry: usize, value: u64): void {
  store<u64>(entry, value);
}

/** mmu.ptep_get_and_clear */
export function nativeGetAndClearPte(entry: usize): u64 {
  return exchange64(native(entry), 0);
}

/** mmu.ptep_modify_prot_start: while the entry is 0 the processor sets no bits in it. */
export function nativeStartProtectionChange(_space: usize, _address: u64, entry: usize): u64 {
  return exchange64(native(entry), 0);
}

/** mmu.ptep_modify_prot_commit */
export function nativeCommitProtectionChange(_space: usize, _address: u64, entry: usize, value: u64): void {
  store64(native(entry), value);
}

/** mmu.make_pte, mmu.pte_val: physical addresses are the machine's. */
export function nativeSameEntry(value: u64): u64 {
  return value;
}

/** The root that the kernel was started with. */
let kernelRoot: usize = 0;

/** mmu.pagetable_setup_start */
export function nativePagetableSetupStart(): usize {
  kernelRoot = rootTable();
  return kernelRoot;
}

/** mmu.pagetable_setup_done: the identity map of the start was for the start. */
export function nativePagetableSetupDone(): void {
  store<u64>(kernelRoot, 0);
  nativeFlushTlbKernel();
}

/** mmu.set_fixmap */
export function nativeSetFixmap(page: usize, physical: u64, flags: u64): void {
  const address = native(page);
  let table = rootTable();
  for (let shift: u64 = 39; shift > 12; shift -= 9) {
    const at = table + <usize>((address >> shift) & 511) * 8;
    const entry = load<u64>(at);
    if ((entry & PRESENT) === 0) unreachable();
    table = (entry & LARGE) !== 0 ? split(at, entry) : virtualOf(entry & ADDRESS);
  }
  store<u64>(table + <usize>((address >> 12) & 511) * 8, (physical & ADDRESS) | flags);
  invlpg(address);
}

/** A large page as 512 small ones: gives the table. */
function split(at: usize, entry: u64): usize {
  if (splits === SPLITS) unreachable();
  const first = (room + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
  const table = first + <usize>splits * PAGE_SIZE;
  splits++;
  for (let i: usize = 0; i < ENTRIES; i++) store<u64>(table + i * 8, (entry & ~LARGE) + <u64>(i * PAGE_SIZE));
  store<u64>(at, physicalOf(table) | TABLE_FLAGS | (entry & 4));
  return table;
}

/** mmu.lazy_mode.enter: there is nothing to gain, but its rules are kept. */
export function nativeEnterLazyMmu(): void {
  enterLazyMmuMode();
}

/** mmu.lazy_mode.leave */
export function nativeLeaveLazyMmu(): void {
  leaveLazyMmuMode();
}

/** mmu.lazy_mode.flush */
export function nativeFlushLazyMmu(): void {}
