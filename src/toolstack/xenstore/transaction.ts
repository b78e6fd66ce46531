/**
 * A transaction: a private view of the tree that becomes visible all at once, or not at all.
 *
 * The first touch of a path, read or write, existing or not, copies the shared node (a reference: nodes are
 * immutable) and notes its generation. From then on the transaction sees only its own copy. At the end each
 * noted generation is compared with the shared tree: if one differs, somebody changed what this transaction
 * has seen, and the commit is refused with EAGAIN. Changes elsewhere do not matter. Creating or removing a
 * node changes its parent, so two transactions that add children to one directory conflict. This is what
 * xenstored does (tools/xenstore/xenstored_transaction.c in Xen 4.17).
 */

import { withoutDomain } from './permissions.ts';
import type { Account, Quota } from './quota.ts';
import { type Change, type NodeContent, nodeBytes, type Store, type StoreNode, type Tree } from './store.ts';
import { XenstoreError } from './wire.ts';

interface Touched {
  /** The shared node at first touch. */
  readonly original: StoreNode | undefined;
  current: StoreNode | undefined;
  modified: boolean;
  /** The bytes that the written copy is charged with while the transaction is open. */
  charged: number;
  announce: Change | null;
}

export interface TransactionOwner {
  readonly privileged: boolean;
  readonly account: Account;
}

export class Transaction implements Tree {
  readonly id: number;
  private readonly store: Store;
  private readonly owner: TransactionOwner;
  private readonly quota: Quota;
  private readonly touched = new Map<string, Touched>();
  /** By owner: nodes that exist here and not there, minus those that exist there and not here. */
  private readonly nodesGained = new Map<number, number>();
  private failed = false;
  private conflict = false;

  constructor(id: number, store: Store, owner: TransactionOwner, quota: Quota) {
    this.id = id;
    this.store = store;
    this.owner = owner;
    this.quota = quota;
    owner.account.transactions++;
  }

  read(path: string): StoreNode | undefined {
    return this.touch(path).current;
  }

  write(path: string, content: NodeContent): void {
    const touched = this.touch(path);
    this.countNode(touched.current, -1);
    // The generation is only final when the node is committed; until then the one it had will do.
    touched.current = { ...content, generation: touched.original?.generation ?? 0 };
    this.countNode(touched.current, 1);
    this.modify(touched, path.length + nodeBytes(content));
  }

  remove(path: string): void {
    const touched = this.touch(path);
    this.countNode(touched.current, -1);
    touched.current = undefined;
    this.modify(touched, path.length);
  }

  announce(change: Change): void {
    const touched = this.touch(change.path);
    // One event a node; one for everybody above outweighs one for the node alone.
    if (!touched.announce || !change.exact) touched.announce = { ...change, before: touched.original };
  }

  nodesOwned(domid: number): number {
    return this.store.nodesOwned(domid) + (this.nodesGained.get(domid) ?? 0);
  }

  /** A change inside ran out of something: what is here is incomplete and must not be committed. */
  fail(): void {
    this.failed = true;
  }

  /**
   * A domain has died: what this transaction has written for it must not reach a successor of the same
   * number.
   */
  forgetDomain(domid: number): void {
    for (const { modified, current } of this.touched.values()) {
      if (modified && current && withoutDomain(current.permissions, domid) !== current.permissions)
        this.conflict = true;
    }
  }

  /**
   * Ends the transaction and makes its changes visible. Raises EAGAIN if another change got in between,
   * ENOMEM if an operation inside had failed for want of room, ENOSPC if the owner would own too many nodes.
   * It is over in any case.
   */
  commit(): void {
    this.abort();
    if (this.failed) throw new XenstoreError('ENOMEM', 'an operation of this transaction hit a quota');
    for (const [path, { original }] of this.touched) {
      if (this.conflict || this.store.read(path)?.generation !== original?.generation) {
        throw new XenstoreError('EAGAIN', `${path} was changed while the transaction was open`);
      }
    }
    if (!this.owner.privileged) {
      for (const [domid, gained] of this.nodesGained) {
        if (domid !== 0 && gained > 0 && this.store.nodesOwned(domid) + gained > this.quota.nodes) {
          throw new XenstoreError('ENOSPC', `domain ${domid} would own more than ${this.quota.nodes} nodes`);
        }
      }
    }
    for (const [path, { original, current, modified }] of this.touched) {
      if (!modified) continue;
      if (current) this.store.write(path, current);
      else if (original) this.store.remove(path);
    }
    for (const { announce } of this.touched.values()) if (announce) this.store.announce(announce);
  }

  /** Ends the transaction and drops its changes. */
  abort(): void {
    this.owner.account.transactions--;
    for (const touched of this.touched.values()) this.owner.account.memory -= touched.charged;
  }

  private touch(path: string): Touched {
    const known = this.touched.get(path);
    if (known) return known;
    if (!this.owner.privileged && this.touched.size >= this.quota.transactionNodes) {
      throw new XenstoreError('ENOSPC', `a transaction touches at most ${this.quota.transactionNodes} nodes`);
    }
    const original = this.store.read(path);
    // A touched path is charged even if nothing is written: a thousand long names add up.
    const touched = { original, current: original, modified: false, charged: 0, announce: null };
    this.charge(touched, path.length);
    this.touched.set(path, touched);
    return touched;
  }

  private modify(touched: Touched, bytes: number): void {
    this.charge(touched, bytes);
    touched.modified = true;
  }

  private charge(touched: Touched, bytes: number): void {
    const { privileged, account } = this.owner;
    const growth = bytes - touched.charged;
    if (!privileged && growth > 0 && account.memory + growth > this.quota.memory) {
      throw new XenstoreError('ENOMEM', `an open transaction would exceed ${this.quota.memory} bytes`);
    }
    account.memory += growth;
    touched.charged = bytes;
  }

  private countNode(node: StoreNode | undefined, by: 1 | -1): void {
    const owner = node?.permissions[0]?.domid;
    if (owner !== undefined) this.nodesGained.set(owner, (this.nodesGained.get(owner) ?? 0) + by);
  }
}
