/**
 * Grants: pages of ours that another domain may map or copy, each said in an entry of a table that Xen reads. Version 1,
 * with entries of 8 bytes; a reference is an entry's number. The first eight are the toolstack's. (public/grant_table.h)
 */
import { DOMID_SELF } from '../../abi/xen/numbers/domain.ts';
import {
  GNTTAB_NR_RESERVED_ENTRIES,
  GNTTABOP_setup_table,
  GTF_permit_access,
  GTF_reading,
  GTF_readonly,
  GTF_writing,
} from '../../abi/xen/numbers/grant_table.ts';
import {
  gnttab_setup_table_dom,
  gnttab_setup_table_frame_list,
  gnttab_setup_table_nr_frames,
  gnttab_setup_table_status,
  grant_entry_v1_domid,
  grant_entry_v1_flags,
  grant_entry_v1_frame,
  SIZEOF_gnttab_setup_table,
  SIZEOF_grant_entry_v1,
} from '../abi/structures';
import { compareExchange32, fence, native } from '../machine/memory';
import { HYPERVISOR_grant_table_op } from './hypercall';
import { mapFrame, unmapFrame } from './mapping';
import { onSuspend } from './suspend-hooks';
import { Mfn } from './types';

/** References that a table of one page has. */
export const GRANTS: u32 = 512;
/** What a call that gives a reference returns when there is none. */
export const NO_GRANT: u32 = 0xffffffff;

let table: usize = 0;
/** References that are free, as a stack. */
const free: usize = memory.data(512 * 4, 4);
let freeCount: usize = 0;
const argument: usize = memory.data(SIZEOF_gnttab_setup_table, 8);
const frames: usize = memory.data(8, 8);

/** Gets a table of one page and maps it at `page`. Returns false if Xen has none. */
export function setupGrants(page: usize): bool {
  if (!mapTable(page)) return false;
  table = page;
  freeAll();
  onSuspend(unmapTable, mapTableAgain);
  return true;
}

function unmapTable(): void {
  unmapFrame(table);
}

/** A resume finds a new table, and whoever granted something grants it again. */
function mapTableAgain(cancelled: bool): void {
  if (!mapTable(table)) unreachable();
  if (!cancelled) freeAll();
}

function freeAll(): void {
  freeCount = 0;
  for (let reference = GRANTS - 1; reference >= <u32>GNTTAB_NR_RESERVED_ENTRIES; reference--)
    giveBack(reference);
}

function mapTable(page: usize): bool {
  store<u16>(argument, DOMID_SELF, gnttab_setup_table_dom);
  store<u32>(argument, 1, gnttab_setup_table_nr_frames);
  store<Word>(argument, <Word>native(frames), gnttab_setup_table_frame_list);
  if (HYPERVISOR_grant_table_op(GNTTABOP_setup_table, argument, 1) !== 0) return false;
  if (load<i16>(argument, gnttab_setup_table_status) !== 0) return false;
  return mapFrame(page, load<Mfn>(frames)) === 0;
}

function giveBack(reference: u32): void {
  store<u32>(free + freeCount * 4, reference);
  freeCount++;
}

function entryOf(reference: u32): usize {
  return table + reference * SIZEOF_grant_entry_v1;
}

/** Lets `domain` map our machine frame. Returns the reference, or NO_GRANT. */
export function grantAccess(domain: u32, mfn: Mfn, readonly: bool): u32 {
  if (freeCount === 0) return NO_GRANT;
  freeCount--;
  const reference = load<u32>(free + freeCount * 4);
  const entry = entryOf(reference);
  store<u16>(entry, domain, grant_entry_v1_domid);
  store<u32>(entry, <u32>mfn, grant_entry_v1_frame);
  // The flags make it valid, so they come last.
  fence();
  store<u16>(entry, <u16>(GTF_permit_access | (readonly ? GTF_readonly : 0)), grant_entry_v1_flags);
  return reference;
}

/** Takes it back. Returns false, and nothing has changed, while the other domain has it mapped. */
export function endAccess(reference: u32): bool {
  const entry = entryOf(reference);
  for (;;) {
    // Flags and domain are one word: what Xen adds to it must not get lost.
    const word = load<u32>(entry);
    if ((word & (GTF_reading | GTF_writing)) !== 0) return false;
    if (<u32>compareExchange32(native(entry), word, word & 0xffff0000) === word) break;
  }
  giveBack(reference);
  return true;
}
