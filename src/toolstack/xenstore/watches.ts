/**
 * Watches: who wants to hear of changes below which path.
 *
 * A watch has a path, a token that comes back with each event, and maybe a depth: the levels below the path
 * that it covers. The event carries the path that changed, relative if the watch was set with a relative
 * path. Paths that start with `@` are special: they match `@introduceDomain` and `@releaseDomain`, with depth
 * 1 reported as `@releaseDomain/<domid>`, and `@releaseDomain/<domid>` may be watched by itself
 * (docs/misc/xenstore.txt, WATCH).
 */

import { quoted } from '../quoted.ts';
import { canonicalPath, checkPath, domainPath, levelsBelow } from './paths.ts';
import type { Account, Quota } from './quota.ts';
import { RELATIVE_PATH_MAX, XenstoreError } from './wire.ts';

export interface Watch {
  /** Absolute, or special. */
  readonly path: string;
  readonly token: string;
  readonly relative: boolean;
  /** Undefined: all levels. */
  readonly depth: number | undefined;
}

export interface WatchOwner {
  readonly domid: number;
  readonly privileged: boolean;
  readonly account: Account;
}

/** The watches of one connection. */
export class WatchList {
  private readonly owner: WatchOwner;
  private watches: Watch[] = [];

  constructor(owner: WatchOwner) {
    this.owner = owner;
  }

  get size(): number {
    return this.watches.length;
  }

  /**
   * Adds a watch. Raises EINVAL for an illegal path, EEXIST if the same path and token are watched already,
   * E2BIG beyond the quota of watches and ENOMEM beyond that of memory.
   */
  add(path: string, token: string, depth: number | undefined, quota: Quota): Watch {
    const { owner } = this;
    const watch = { path: canonicalPath(path, owner.domid), token, relative: !/^[/@]/.test(path), depth };
    if (!path.startsWith('@')) checkPath(watch.path, quota.pathLength);
    else if (path.length > RELATIVE_PATH_MAX) throw new XenstoreError('EINVAL', 'a special path is too long');
    if (this.find(watch.path, token) >= 0)
      throw new XenstoreError('EEXIST', `${quoted(path)} is watched with this token already`);
    if (!owner.privileged && owner.account.watches >= quota.watches) {
      throw new XenstoreError('E2BIG', `domain ${owner.domid} may have at most ${quota.watches} watches`);
    }
    if (!owner.privileged && owner.account.memory + watchBytes(watch) > quota.memory) {
      throw new XenstoreError('ENOMEM', `domain ${owner.domid} may use at most ${quota.memory} bytes`);
    }
    this.watches.push(watch);
    owner.account.watches++;
    owner.account.memory += watchBytes(watch);
    return watch;
  }

  /** Raises ENOENT if there is no such watch. */
  remove(path: string, token: string): void {
    const index = this.find(canonicalPath(path, this.owner.domid), token);
    if (index < 0) throw new XenstoreError('ENOENT', `${quoted(path)} is not watched with this token`);
    this.release(this.watches.splice(index, 1));
  }

  clear(): void {
    this.release(this.watches);
    this.watches = [];
  }

  /** Calls back for each watch that covers a changed node, with the path to report. */
  match(path: string, exact: boolean, found: (watch: Watch, reported: string) => void): void {
    for (const watch of this.watches) {
      const levels = levelsBelow(path, watch.path);
      if (levels === undefined || (exact && levels > 0)) continue;
      if (watch.depth === undefined || levels <= watch.depth) found(watch, this.reportedPath(watch, path));
    }
  }

  /** The same for `@introduceDomain` and `@releaseDomain`. */
  matchSpecial(event: string, domid: number, found: (watch: Watch, reported: string) => void): void {
    const full = `${event}/${domid}`;
    for (const watch of this.watches) {
      if (watch.path === full) found(watch, full);
      else if (watch.path === event) found(watch, watch.depth ? full : event);
    }
  }

  /** How an absolute path is told to the owner of a watch. */
  reportedPath(watch: Watch, path: string): string {
    return watch.relative ? path.slice(domainPath(this.owner.domid).length + 1) : path;
  }

  private find(path: string, token: string): number {
    return this.watches.findIndex((watch) => watch.path === path && watch.token === token);
  }

  private release(watches: readonly Watch[]): void {
    this.owner.account.watches -= watches.length;
    for (const watch of watches) this.owner.account.memory -= watchBytes(watch);
  }
}

function watchBytes(watch: Watch): number {
  return watch.path.length + watch.token.length;
}
