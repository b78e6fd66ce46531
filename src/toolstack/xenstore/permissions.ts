/**
 * Who may read and write a node.
 *
 * A node carries a list such as `n0 r5 b7`. The first entry names the owner, who may do everything, and by
 * its letter what domains get that the list does not mention; the others name one domain each
 * (docs/misc/xenstore.txt, SET_PERMS). The control domain may do everything everywhere. A domain that acts
 * for another (SET_TARGET) also has what its target has.
 */

import { quoted } from '../quoted.ts';
import { XenstoreError } from './wire.ts';

export const Access = { NONE: 0, READ: 1, WRITE: 2, OWNER: 4 } as const;

const ALL = Access.READ | Access.WRITE | Access.OWNER;
const LETTERS = ['n', 'r', 'w', 'b'] as const;

export interface Permission {
  readonly domid: number;
  /** `Access.READ` and `Access.WRITE`, or'ed. */
  readonly access: number;
  /**
   * The domain meant here is gone (or never was): a later domain of the same number gets nothing from this
   * entry.
   */
  readonly stale?: boolean;
}

/** Whoever asks for something: a guest's connection, a socket, the toolstack itself. */
export interface Actor {
  readonly domid: number;
  /** The control domain: no permission check, no quota. */
  readonly privileged: boolean;
  /** The domain that this one acts for, else null. */
  readonly target: number | null;
}

/** The access that a list gives to an actor. */
export function accessOf(actor: Actor, permissions: readonly Permission[]): number {
  const means = (domid: number) => domid === actor.domid || domid === actor.target;
  const [owner, ...others] = permissions as readonly [Permission, ...Permission[]];
  if (actor.privileged || means(owner.domid)) return ALL;
  return (others.find((entry) => !entry.stale && means(entry.domid)) ?? owner).access;
}

/** `['n0', 'r5']` as a list. Numbers may be decimal or, after `0x`, hexadecimal. Raises EINVAL. */
export function parsePermissions(texts: readonly string[]): Permission[] {
  if (texts.length === 0)
    throw new XenstoreError('EINVAL', 'a node needs at least the permission of its owner');
  return texts.map((text) => {
    const match = /^([nrwb])(0x[0-9a-fA-F]{1,4}|\d{1,5})$/.exec(text);
    const domid = Number(match?.[2]);
    if (!match || domid > 0xffff)
      throw new XenstoreError('EINVAL', `${quoted(text)} is no permission such as n0 or r5`);
    return { domid, access: LETTERS.indexOf(match[1] as (typeof LETTERS)[number]) };
  });
}

/** The inverse of `parsePermissions`. */
export function formatPermissions(permissions: readonly Permission[]): string[] {
  return permissions.map(({ domid, access }) => `${LETTERS[access]}${domid}`);
}

/**
 * The list without a domain that has died: what it owned goes to the control domain, other entries go stale.
 */
export function withoutDomain(permissions: readonly Permission[], domid: number): readonly Permission[] {
  if (!permissions.some((entry) => entry.domid === domid && !entry.stale)) return permissions;
  return permissions.map((entry, index) => {
    if (entry.domid !== domid) return entry;
    return index === 0 ? { domid: 0, access: entry.access } : { ...entry, stale: true };
  });
}
