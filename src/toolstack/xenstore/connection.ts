/**
 * One client that talks in bytes: a guest behind a ring (ring.ts) or a program behind a socket.
 *
 * Bytes go in with `receive`, come out with `pull`; whoever carries them sets the callbacks. Nothing waits
 * inside:
 *
 *     carrier --receive--> reader --message--> daemon --send--> output queue --pull--> carrier
 *
 * Back-pressure runs the other way. A request of a guest is outstanding until its answer is pulled, and so are
 * the events that it caused to the control domain; with too many outstanding, the guest is not read from any
 * more (`canAccept`). So a guest that lets its answers lie holds only a few, and none can flood the toolstack.
 * Events to other guests do not count, as a guest that sleeps must not stall its neighbour: they are bounded by
 * the receiver's quota of memory, beyond which they are dropped, and one that still waits is not queued twice.
 *
 * A guest that breaks the protocol is ignored from then on: all it had is dropped, nothing is read or
 * written.
 */

import type { Actor } from './permissions.ts';
import type { Account, Quota } from './quota.ts';
import type { Transaction } from './transaction.ts';
import { WatchList } from './watches.ts';
import {
  encodeMessage,
  encodeStrings,
  HEADER_BYTES,
  type Message,
  MessageReader,
  MessageType,
  PAYLOAD_MAX,
  ProtocolError,
} from './wire.ts';

/** Why a connection is ignored: the values of the ring's error word in io/xs_wire.h. */
export const ConnectionFault = { NONE: 0, COMM: 1, RINGIDX: 2, PROTO: 3 } as const;

export type ConnectionFault = (typeof ConnectionFault)[keyof typeof ConnectionFault];

/** What a connection needs of the daemon. */
export interface ConnectionHost {
  readonly quota: Quota;
  handle(connection: Connection, message: Message): void;
  /** The connection has output: call its `onOutput` when no request is being handled. */
  hasOutput(connection: Connection): void;
  /** The connection stopped reading: call its `onInput` once `canAccept` holds again. */
  hasStalled(connection: Connection): void;
  hasClosed(connection: Connection): void;
}

/** A guest's request, until everything it caused has left. */
export class Outstanding {
  private readonly account: Account;
  private parts = 0;

  constructor(account: Account) {
    this.account = account;
  }

  hold(): void {
    if (this.parts++ === 0) this.account.outstanding++;
  }

  release(): void {
    if (--this.parts === 0) this.account.outstanding--;
  }
}

interface Queued {
  readonly bytes: Uint8Array;
  sent: number;
  readonly outstanding: Outstanding | null;
  /** What makes two events the same; null for answers. */
  readonly eventKey: string | null;
}

export class Connection implements Actor {
  readonly domid: number;
  readonly privileged: boolean;
  readonly account: Account;
  readonly watches: WatchList;
  readonly transactions = new Map<number, Transaction>();
  target: number | null = null;
  /** How often the connection was reset: a carrier that finds another number starts over. */
  epoch = 0;

  /** There is output to pull. Called outside of `receive` and `pull`. */
  onOutput: () => void = () => {};
  /** A connection that took less than it was given accepts again. */
  onInput: () => void = () => {};
  /** The connection is ignored from now on. A socket should be closed. */
  onFault: (fault: ConnectionFault) => void = () => {};

  private readonly host: ConnectionHost;
  private readonly reader = new MessageReader();
  private state: 'open' | 'ignored' | 'closed' = 'open';
  private queue: Queued[] = [];
  private waitingEvents = new Set<string>();
  private nextTransactionId = 1;

  constructor(host: ConnectionHost, domid: number, account: Account) {
    this.host = host;
    this.domid = domid;
    this.privileged = domid === 0;
    this.account = account;
    this.watches = new WatchList(this);
  }

  get isOpen(): boolean {
    return this.state === 'open';
  }

  get pending(): boolean {
    return this.queue.length > 0;
  }

  /** Whether another request may be read. */
  get canAccept(): boolean {
    if (this.state !== 'open') return false;
    const { quota } = this.host;
    return (
      this.privileged || (this.account.outstanding < quota.outstanding && this.account.memory <= quota.memory)
    );
  }

  /**
   * Takes bytes of the client and handles each request as it is complete. Gives the number of bytes taken:
   * fewer than given if the connection has stalled (wait for `onInput`) or is not open any more.
   */
  receive(bytes: Uint8Array): number {
    let taken = 0;
    while (taken < bytes.length && this.isOpen) {
      if (!this.canAccept) {
        this.host.hasStalled(this);
        break;
      }
      try {
        taken += this.reader.take(bytes.subarray(taken));
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        this.fail(ConnectionFault.PROTO);
        break;
      }
      if (this.reader.message) this.host.handle(this, this.reader.message);
    }
    return taken;
  }

  /** Moves output into `into` and gives its length in bytes. To be called from `onOutput` only. */
  pull(into: Uint8Array): number {
    let length = 0;
    let done = 0;
    while (done < this.queue.length && length < into.length) {
      const item = this.queue[done]!;
      const part = item.bytes.subarray(item.sent, item.sent + into.length - length);
      into.set(part, length);
      length += part.length;
      item.sent += part.length;
      if (item.sent < item.bytes.length) break;
      this.release(item);
      done++;
    }
    if (done > 0) this.queue.splice(0, done);
    return length;
  }

  /** The carrier has room again: leads to `onOutput` if there is output. */
  resumeOutput(): void {
    if (this.pending) this.host.hasOutput(this);
  }

  /** Queues an answer. */
  reply(message: Message, outstanding: Outstanding | null): void {
    if (this.state === 'open')
      this.enqueue({ bytes: encodeMessage(message), sent: 0, outstanding, eventKey: null });
  }

  /** Queues a watch event, unless the very same still waits or there is no room for it. */
  sendEvent(path: string, token: string, cause: Outstanding | null): void {
    const payload = encodeStrings([path, token]);
    if (this.state !== 'open' || payload.length > PAYLOAD_MAX) return;
    // Two special events with one text may be about two domains.
    const eventKey = path.startsWith('@') ? null : `${path}\0${token}`;
    if (eventKey !== null && this.waitingEvents.has(eventKey)) return;
    if (!this.privileged && this.account.memory + payload.length + HEADER_BYTES > this.host.quota.memory)
      return;
    if (eventKey !== null) this.waitingEvents.add(eventKey);
    const bytes = encodeMessage({ type: MessageType.WATCH_EVENT, requestId: 0, transactionId: 0, payload });
    this.enqueue({ bytes, sent: 0, outstanding: this.privileged ? cause : null, eventKey });
  }

  /** A number that no open transaction of this connection has. */
  newTransactionId(): number {
    while (this.nextTransactionId === 0 || this.transactions.has(this.nextTransactionId))
      this.advanceTransactionId();
    const id = this.nextTransactionId;
    this.advanceTransactionId();
    return id;
  }

  dropTransactions(): void {
    for (const transaction of this.transactions.values()) transaction.abort();
    this.transactions.clear();
  }

  /** Ignores the client from now on. */
  fail(fault: ConnectionFault): void {
    if (this.state !== 'open') return;
    this.state = 'ignored';
    this.drop();
    this.onFault(fault);
  }

  /** Back to a fresh connection: no watches, no transactions, nothing half read or half written. */
  reset(): void {
    if (this.state === 'closed') return;
    this.drop();
    this.epoch++;
    this.state = 'open';
  }

  close(): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.drop();
    this.host.hasClosed(this);
  }

  private drop(): void {
    this.watches.clear();
    this.dropTransactions();
    this.reader.reset();
    for (const item of this.queue) this.release(item);
    this.queue = [];
  }

  private enqueue(item: Queued): void {
    item.outstanding?.hold();
    this.account.memory += item.bytes.length;
    this.queue.push(item);
    this.host.hasOutput(this);
  }

  private release(item: Queued): void {
    this.account.memory -= item.bytes.length;
    item.outstanding?.release();
    if (item.eventKey !== null) this.waitingEvents.delete(item.eventKey);
  }

  private advanceTransactionId(): void {
    this.nextTransactionId = (this.nextTransactionId + 1) >>> 0;
  }
}
