/**
 * The tree that everybody shares.
 *
 * A node is immutable: a change replaces it and gives the new one the next number of a counter, its
 * *generation*. That number is what transactions compare (transaction.ts) and what DIRECTORY_PART reports.
 * Nodes are kept in one map by path, each with the names of its children in the order in which they came.
 *
 * The store knows neither who asks nor whether he may (operations.ts), only how to keep the books straight:
 * with every change it moves the node's number and bytes between the accounts of the owners.
 */

import { childPath } from './paths.ts';
import { Access, type Permission, withoutDomain } from './permissions.ts';
import type { Accounts } from './quota.ts';

export interface NodeContent {
  readonly permissions: readonly Permission[];
  readonly value: Uint8Array;
  /** Leaf names. */
  readonly children: readonly string[];
}

export interface StoreNode extends NodeContent {
  readonly generation: number;
}

/** A node was created, changed or removed: what watches are told. */
export interface Change {
  readonly path: string;
  /** The node as it was, if it was there. */
  readonly before: StoreNode | undefined;
  /** Only watches on this very path are meant: the removal of an ancestor tells the others. */
  readonly exact: boolean;
}

/** What operations work on: the store itself, or a transaction's view of it. */
export interface Tree {
  read(path: string): StoreNode | undefined;
  write(path: string, content: NodeContent): void;
  remove(path: string): void;
  /** Tells of a change, now or when it is committed. */
  announce(change: Change): void;
  /** How many nodes a domain owns in this view. */
  nodesOwned(domid: number): number;
}

/**
 * Bytes that a node counts for: as in xenstored's record, 24 plus 8 a permission, the value, and the names.
 */
export function nodeBytes(node: NodeContent): number {
  let bytes = 24 + 8 * node.permissions.length + node.value.length;
  for (const name of node.children) bytes += name.length + 1;
  return bytes;
}

const EMPTY = new Uint8Array(0);

export class Store implements Tree {
  readonly accounts: Accounts;
  private readonly nodes = new Map<string, StoreNode>();
  private readonly onChange: (change: Change) => void;
  private lastGeneration = 0;

  /** A store with the nodes that xenstored makes at its start: `/`, `/tool`, `/tool/xenstored`. */
  constructor(accounts: Accounts, onChange: (change: Change) => void) {
    this.accounts = accounts;
    this.onChange = onChange;
    const permissions = [{ domid: 0, access: Access.NONE }];
    this.write('/', { permissions, value: EMPTY, children: ['tool'] });
    this.write('/tool', { permissions, value: EMPTY, children: ['xenstored'] });
    this.write('/tool/xenstored', { permissions, value: EMPTY, children: [] });
  }

  read(path: string): StoreNode | undefined {
    return this.nodes.get(path);
  }

  write(path: string, content: NodeContent): void {
    this.charge(path, this.nodes.get(path), -1);
    const node = { ...content, generation: ++this.lastGeneration };
    this.nodes.set(path, node);
    this.charge(path, node, 1);
  }

  remove(path: string): void {
    this.charge(path, this.nodes.get(path), -1);
    this.nodes.delete(path);
  }

  announce(change: Change): void {
    this.onChange(change);
  }

  nodesOwned(domid: number): number {
    return this.accounts.of(domid).nodes;
  }

  /** Paths of the topmost nodes that a domain owns: none of them lies below another. */
  ownedBy(domid: number): string[] {
    const found: string[] = [];
    const visit = (path: string): void => {
      const node = this.nodes.get(path)!;
      if (node.permissions[0]!.domid === domid) found.push(path);
      else for (const name of node.children) visit(childPath(path, name));
    };
    visit('/');
    return found;
  }

  /** Takes a dead domain out of all permissions, lest a later domain of the same number inherit them. */
  forgetDomain(domid: number): void {
    for (const [path, node] of [...this.nodes]) {
      const permissions = withoutDomain(node.permissions, domid);
      if (permissions !== node.permissions) this.write(path, { ...node, permissions });
    }
  }

  /** Recomputes the books from scratch. Gives one line for each thing that is wrong. */
  audit(): string[] {
    const faults: string[] = [];
    const reached = new Set<string>();
    const owned = new Map<number, number>();
    const visit = (path: string): void => {
      const node = this.nodes.get(path);
      if (!node) {
        faults.push(`${path} is a child of its parent but does not exist`);
        return;
      }
      if (reached.has(path)) {
        faults.push(`${path} is listed twice`);
        return;
      }
      reached.add(path);
      const owner = node.permissions[0]!.domid;
      owned.set(owner, (owned.get(owner) ?? 0) + 1);
      for (const name of node.children) visit(childPath(path, name));
    };
    visit('/');
    for (const path of this.nodes.keys()) if (!reached.has(path)) faults.push(`${path} cannot be reached`);
    for (const [domid, count] of owned) {
      const counted = this.accounts.of(domid).nodes;
      if (counted !== count) faults.push(`domain ${domid} owns ${count} nodes, its account says ${counted}`);
    }
    return faults;
  }

  private charge(path: string, node: StoreNode | undefined, sign: 1 | -1): void {
    if (!node) return;
    const account = this.accounts.of(node.permissions[0]!.domid);
    account.nodes += sign;
    account.memory += sign * (path.length + nodeBytes(node));
  }
}
