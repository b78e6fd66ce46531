/**
 * Whose frames a hypercall may speak of: its own domain's, unless it names another, which a domain without privilege may
 * not. (Xen 4.17, common/page_alloc.c: get_pg_owner; include/xsm/dummy.h: XSM_TARGET.)
 */
import { DOMID_IO, DOMID_SELF, DOMID_XEN, XEN_EPERM, XEN_ESRCH } from '../../abi/xen/numbers/index.ts';
import { HOST_DOMAIN } from '../events/index.ts';
import type { DomainMemory } from './domain-memory.ts';

/**
 * Checks the domain number of a page owner as get_pg_owner does: 0 for the caller itself, named as DOMID_SELF, else the
 * negative errno that the lookup or the permission check gives.
 */
export function checkPageOwner(memory: DomainMemory, domid: number): number {
  if (domid === DOMID_SELF) return 0;
  // A domain may not name itself by number here.
  if (domid === memory.id) return -XEN_ESRCH;
  if (domid === DOMID_IO || domid === DOMID_XEN) return -XEN_EPERM;
  return domainExists(memory, domid) ? -XEN_EPERM : -XEN_ESRCH;
}

/** As `checkPageOwner`, for the hypercalls that accept the caller's own number. (rcu_lock_domain_by_any_id) */
export function checkAnyDomain(memory: DomainMemory, domid: number): number {
  if (domid === DOMID_SELF || domid === memory.id) return 0;
  return domainExists(memory, domid) ? -XEN_EPERM : -XEN_ESRCH;
}

/** Whether a domain has this number. That of the toolstack always has one, although it has no memory here. */
export function domainExists(memory: DomainMemory, domid: number): boolean {
  return domid === HOST_DOMAIN || memory.table.domains.has(domid);
}
