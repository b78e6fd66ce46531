/** One end of a GNTTABOP_copy: a page of the caller's, or one lent to it, held while bytes move. */
import { GNTST_bad_page, GNTST_general_error, GNTST_okay } from '../../abi/xen/numbers/grant_table.ts';
import type { Mfn } from '../../machine/memory.ts';
import type { XenDomain } from '../domain.ts';
import type { DomainMemory } from '../mm/domain-memory.ts';
import { PGT_writable_page } from '../mm/page-info.ts';
import { getPageType, putPageType } from '../mm/page-types.ts';
import type { GrantTable } from './table.ts';

export interface Claim {
  /** Whose page it is. */
  readonly domain: XenDomain;
  /** `name` is a grant reference, rather than a frame. */
  readonly byRef: boolean;
  readonly name: number;
  readonly readOnly: boolean;
  /** Set by `claimCopyEnd`. */
  mfn?: Mfn;
}

/** Holds the page for `caller`. Returns GNTST_okay, and then `dropClaim` must follow, or another GNTST_*. */
export function claimCopyEnd(claim: Claim, caller: number): number {
  const mm = claim.domain.mm as DomainMemory;
  if (claim.byRef) {
    const grants = claim.domain.grants as GrantTable;
    const status = grants.acquire(claim.name, caller, claim.readOnly, false);
    if (status !== GNTST_okay) return status;
    claim.mfn = grants.frameOf(claim.name);
  } else {
    if (!mm.getPage(claim.name)) return GNTST_bad_page;
    claim.mfn = claim.name;
  }
  if (claim.readOnly || getPageType(mm.table, claim.mfn, PGT_writable_page) === 0) return GNTST_okay;
  dropReference(claim, mm);
  return GNTST_general_error;
}

export function dropClaim(claim: Claim): void {
  const mm = claim.domain.mm as DomainMemory;
  if (!claim.readOnly) putPageType(mm.table, claim.mfn!);
  dropReference(claim, mm);
}

function dropReference(claim: Claim, mm: DomainMemory): void {
  if (claim.byRef) (claim.domain.grants as GrantTable).releaseUse(claim.name, claim.readOnly);
  else mm.putPage(claim.mfn!);
}
