/**
 * What a guest may use up, and what it has used.
 *
 * The limits and their defaults are those of Xen 4.17's xenstored (tools/xenstore/xenstored_core.c). They
 * bind guests only; the control domain is trusted. Every structure that a guest can make grow is counted in
 * its account.
 */

export interface Quota {
  /** Nodes that a domain owns. */
  nodes: number;
  watches: number;
  /** Open transactions. */
  transactions: number;
  /** Requests whose answer, or whose watch events to the control domain, are not delivered yet. */
  outstanding: number;
  /** Nodes that one transaction touches. */
  transactionNodes: number;
  /** Bytes held for a domain: its nodes, open transactions, watches and undelivered messages. */
  memory: number;
  /** Bytes of one node: value, names of children, permissions and a fixed part. A node stays below it. */
  nodeSize: number;
  /** Bytes of a path below the domain's directory. */
  pathLength: number;
  /** Entries in one node's permissions. */
  permissions: number;
}

export const DEFAULT_QUOTA: Readonly<Quota> = {
  nodes: 1000,
  watches: 128,
  transactions: 10,
  outstanding: 20,
  transactionNodes: 1024,
  memory: 2.5 * 1024 * 1024,
  nodeSize: 2048,
  pathLength: 2048,
  permissions: 5,
};

/** What one domain uses at present; the names are those of `Quota`. */
export class Account {
  nodes = 0;
  watches = 0;
  transactions = 0;
  outstanding = 0;
  memory = 0;
}

/** The accounts of all domains. One is made when it is first asked for. */
export class Accounts {
  private readonly byDomid = new Map<number, Account>();

  of(domid: number): Account {
    let account = this.byDomid.get(domid);
    if (!account) {
      account = new Account();
      this.byDomid.set(domid, account);
    }
    return account;
  }

  forget(domid: number): void {
    this.byDomid.delete(domid);
  }
}
