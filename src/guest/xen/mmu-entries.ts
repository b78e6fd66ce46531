/**
 * Setting page-table entries. An entry of a page that Xen does not watch yet is a store. One of a page that it watches is a
 * request: in the lazy mode one of many, otherwise a hypercall of its own.
 */

import { MMU_NORMAL_PT_UPDATE, MMU_PT_UPDATE_PRESERVE_AD, UVMF_INVLPG } from '../../abi/xen/numbers/mmu.ts';
import { exchange64, native } from '../machine/memory';
import { AddressSpace } from '../paravirt/address-space';
import { LAZY_MMU, lazyMode } from '../paravirt/lazy';
import { HYPERVISOR_update_va_mapping } from './hypercall';
import { queueUpdate } from './mmu-requests';
import { mcBatch, mcFlush, mcIssue } from './multicall';
import { virtToMachine } from './page';
import { makePte, PTE_PRESENT, PTE_WRITE } from './page-entry';
import { rootTable } from './page-walk';
import { isTablePage } from './table-pages';

/** Of this size is half of a root: the user's entries come first. */
const USER_ENTRIES_BYTES: usize = 2048;

/** An entry of a table of any level, in a page that is watched or not. */
export function setEntry(entry: usize, value: u64): void {
  if (!isTablePage(entry)) {
    store<u64>(entry, value);
    return;
  }
  update(entry, MMU_NORMAL_PT_UPDATE, value);
}

function update(entry: usize, kind: u64, value: u64): void {
  mcBatch();
  queueUpdate(virtToMachine(entry), kind, value);
  mcIssue(LAZY_MMU);
}

/** mmu.set_pte */
export function xenSetPte(entry: usize, value: u64): void {
  setEntry(entry, value);
}

/**
 * mmu.set_pte while the kernel completes the tables that Xen gave it: it maps all its memory writable, the tables among it.
 * Those are mapped read-only already, and Xen insists on it; so what is read-only stays read-only, and all else about an
 * entry may change. (Linux: xen_set_pte_init.)
 */
export function xenSetPteInit(entry: usize, value: u64): void {
  const present = load<u64>(entry);
  const readOnly = (present & (PTE_PRESENT | PTE_WRITE)) === PTE_PRESENT;
  setEntry(entry, readOnly ? value & ~PTE_WRITE : value);
}

/** mmu.set_pte_at: with the address at hand, an entry of the space that is loaded needs no look for its table. */
export function xenSetPteAt(space: usize, address: u64, entry: usize, value: u64): void {
  if (lazyMode() === 0 && isTablePage(entry) && isLoaded(space)) {
    mcFlushBefore();
    if (HYPERVISOR_update_va_mapping(address, value, 0) === 0) return;
  }
  setEntry(entry, value);
}

/** mmu.set_pmd, mmu.set_pud */
export function xenSetPmd(entry: usize, value: u64): void {
  setEntry(entry, value);
}

/** mmu.set_pgd: the user's root, if there is one, has the same entries in its lower half. */
export function xenSetPgd(space: usize, entry: usize, value: u64): void {
  const root = changetype<AddressSpace>(space).root;
  const userRoot = changetype<AddressSpace>(space).userRoot;
  setEntry(entry, value);
  const offset = entry - root;
  if (userRoot !== 0 && offset < USER_ENTRIES_BYTES) setEntry(userRoot + offset, value);
}

/** mmu.ptep_get_and_clear: Xen carries out an exchange on a table that it watches, so nothing the processor set is lost. */
export function xenGetAndClearPte(entry: usize): u64 {
  mcFlushBefore();
  return exchange64(native(entry), 0);
}

/** mmu.ptep_modify_prot_start: the entry stays, for the end keeps what the processor sets meanwhile. */
export function xenStartProtectionChange(_space: usize, _address: u64, entry: usize): u64 {
  return load<u64>(entry);
}

/** mmu.ptep_modify_prot_commit */
export function xenCommitProtectionChange(_space: usize, _address: u64, entry: usize, value: u64): void {
  if (isTablePage(entry)) update(entry, MMU_PT_UPDATE_PRESERVE_AD, value);
  else store<u64>(entry, value);
}

/** mmu.set_fixmap */
export function xenSetFixmap(page: usize, physical: u64, flags: u64): void {
  mcFlushBefore();
  if (HYPERVISOR_update_va_mapping(native(page), makePte(physical | flags), UVMF_INVLPG) !== 0) unreachable();
}

/** Makes what the batch holds, for a request that goes another way and must not overtake it. */
export function mcFlushBefore(): void {
  mcBatch();
  mcFlush();
  mcIssue(0);
}

let loaded: usize = 0;

/** Notes which space's tables the processor walks; 0: the kernel's own alone. */
export function setLoadedSpace(space: usize): void {
  loaded = space;
}

export function loadedSpace(): usize {
  return loaded;
}

function isLoaded(space: usize): bool {
  return space === loaded || changetype<AddressSpace>(space).root === rootTable();
}
