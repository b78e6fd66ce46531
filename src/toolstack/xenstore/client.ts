/**
 * The store for code in this process: what `xl` does through a socket, the toolstack does through these
 * calls.
 *
 * All calls are synchronous. A client speaks for one domain, by default the control domain, with that
 * domain's permissions and quotas. Values given as text are stored as UTF-8.
 */

import {
  makeDirectory,
  type Request,
  readDirectory,
  readPermissions,
  readValue,
  removeNode,
  writePermissions,
  writeValue,
} from './operations.ts';
import { canonicalPath } from './paths.ts';
import { type Actor, formatPermissions, parsePermissions } from './permissions.ts';
import type { Account, Quota } from './quota.ts';
import type { Store, Tree } from './store.ts';
import { Transaction } from './transaction.ts';
import { WatchList } from './watches.ts';
import { PAYLOAD_MAX, XenstoreError } from './wire.ts';

/** What a client needs of the daemon. */
export interface ClientHost {
  readonly store: Store;
  readonly quota: Quota;
  domainExists(domid: number): boolean;
  /** Runs one request; events that it causes are delivered after it. */
  perform<T>(request: () => T): T;
  queueEvent(deliver: () => void): void;
  clientClosed(client: XenstoreClient): void;
}

/** A watch that can be ended. */
export interface Subscription {
  stop(): void;
}

/** Called with the path that changed; relative if the watch was. */
export type WatchCallback = (path: string, subscription: Subscription) => void;

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const COMMIT_ATTEMPTS = 8;

/** Reads and writes in one view of the tree. Every call may raise XenstoreError. */
class View {
  protected readonly host: ClientHost;
  private readonly request: Request;

  constructor(host: ClientHost, actor: Actor & { readonly account: Account }, tree: Tree) {
    this.host = host;
    this.request = { actor, tree, quota: host.quota, domainExists: (domid) => host.domainExists(domid) };
  }

  read(path: string): Uint8Array {
    return this.run(path, readValue).slice();
  }

  readText(path: string): string {
    return decoder.decode(this.run(path, readValue));
  }

  /** The text at a path, or undefined if there is none. */
  findText(path: string): string | undefined {
    try {
      return this.readText(path);
    } catch (error) {
      if (error instanceof XenstoreError && error.errorName === 'ENOENT') return undefined;
      throw error;
    }
  }

  write(path: string, value: string | Uint8Array): void {
    const bytes = typeof value === 'string' ? encoder.encode(value) : value.slice();
    if (path.length + 1 + bytes.length > PAYLOAD_MAX) {
      throw new XenstoreError(
        'E2BIG',
        `path and value have ${path.length + 1 + bytes.length} bytes, at most ${PAYLOAD_MAX} fit`,
      );
    }
    this.run(path, (request, at) => writeValue(request, at, bytes));
  }

  mkdir(path: string): void {
    this.run(path, makeDirectory);
  }

  rm(path: string): void {
    this.run(path, removeNode);
  }

  /** The names of the children, oldest first. */
  directory(path: string): string[] {
    return [...this.run(path, readDirectory).children];
  }

  /** Permissions such as `['n0', 'r5']`, the owner first. */
  getPermissions(path: string): string[] {
    return formatPermissions(this.run(path, readPermissions));
  }

  setPermissions(path: string, permissions: readonly string[]): void {
    this.run(path, (request, at) => writePermissions(request, at, parsePermissions(permissions)));
  }

  private run<T>(path: string, operation: (request: Request, path: string) => T): T {
    return this.host.perform(() => operation(this.request, canonicalPath(path, this.request.actor.domid)));
  }
}

/** A view that becomes visible with `commit`. */
export class XenstoreTransaction extends View {
  private readonly client: XenstoreClient;
  private readonly transaction: Transaction;

  constructor(host: ClientHost, client: XenstoreClient, transaction: Transaction) {
    super(host, client, transaction);
    this.client = client;
    this.transaction = transaction;
  }

  /** Raises EAGAIN if something that was read here has changed meanwhile: start again. */
  commit(): void {
    this.end();
    this.host.perform(() => this.transaction.commit());
  }

  abort(): void {
    this.end();
    this.transaction.abort();
  }

  private end(): void {
    if (!this.client.transactions.delete(this.transaction.id)) {
      throw new XenstoreError('ENOENT', 'the transaction has ended already');
    }
  }
}

export class XenstoreClient extends View implements Actor {
  readonly domid: number;
  readonly privileged: boolean;
  readonly target = null;
  readonly account: Account;
  readonly watches: WatchList;
  readonly transactions = new Map<number, Transaction>();
  private readonly callbacks = new Map<string, (path: string) => void>();
  private lastToken = 0;
  private lastTransaction = 0;

  constructor(host: ClientHost, domid: number, account: Account) {
    const actor = { domid, privileged: domid === 0, target: null, account };
    super(host, actor, host.store);
    this.domid = domid;
    this.privileged = actor.privileged;
    this.account = account;
    this.watches = new WatchList(this);
  }

  /**
   * Watches a path and all below it, or only `depth` levels. The callback is called once before this returns
   * and then after each change, never inside another request. Special paths such as `@releaseDomain` work
   * too.
   */
  watch(path: string, callback: WatchCallback, depth?: number): Subscription {
    const token = `${++this.lastToken}`;
    const subscription = { stop: () => this.unwatch(path, token) };
    this.host.perform(() => {
      const watch = this.watches.add(path, token, depth, this.host.quota);
      this.callbacks.set(token, (changed) => callback(changed, subscription));
      this.sendEvent(this.watches.reportedPath(watch, watch.path), token);
    });
    return subscription;
  }

  begin(): XenstoreTransaction {
    if (!this.privileged && this.account.transactions >= this.host.quota.transactions) {
      throw new XenstoreError('ENOSPC', `at most ${this.host.quota.transactions} transactions may be open`);
    }
    const transaction = new Transaction(++this.lastTransaction, this.host.store, this, this.host.quota);
    this.transactions.set(transaction.id, transaction);
    return new XenstoreTransaction(this.host, this, transaction);
  }

  /** Runs `change` in a transaction and commits it, again as long as others interfere. */
  transact<T>(change: (view: XenstoreTransaction) => T): T {
    for (let attempt = 1; ; attempt++) {
      const transaction = this.begin();
      let result: T;
      try {
        result = change(transaction);
      } catch (error) {
        transaction.abort();
        throw error;
      }
      try {
        transaction.commit();
        return result;
      } catch (error) {
        const again =
          error instanceof XenstoreError && error.errorName === 'EAGAIN' && attempt < COMMIT_ATTEMPTS;
        if (!again) throw error;
      }
    }
  }

  /** The daemon has an event for a watch of this client. */
  sendEvent(path: string, token: string): void {
    // The watch may have been ended by a callback that came before.
    this.host.queueEvent(() => this.callbacks.get(token)?.(path));
  }

  /** Ends all watches and transactions. */
  close(): void {
    this.watches.clear();
    this.callbacks.clear();
    for (const transaction of this.transactions.values()) transaction.abort();
    this.transactions.clear();
    this.host.clientClosed(this);
  }

  private unwatch(path: string, token: string): void {
    if (this.callbacks.delete(token)) this.watches.remove(path, token);
  }
}
