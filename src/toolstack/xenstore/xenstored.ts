/**
 * The xenstore daemon: one tree, the domains that may speak to it, and the events that go between them.
 *
 * Everything happens in the call that causes it; there is no timer and no promise. A request is handled to
 * its end; only then does `settle` deliver what it caused: callbacks of local watches, output to rings and
 * sockets, and more input from those that had been held back. So no callback ever runs in the middle of a
 * request. Unlike xenstored there is therefore no limit on writes per second and no time after which an event
 * expires: an event that does not fit is dropped at once.
 */

import { quoted } from '../quoted.ts';
import type { Notify, SharedPage } from '../shared-page.ts';
import { XenstoreClient } from './client.ts';
import { Connection, Outstanding } from './connection.ts';
import { runControl } from './control.ts';
import { checkPermissions, type Request, removeSubtree } from './operations.ts';
import { parentPath } from './paths.ts';
import { Access, accessOf, type Permission, withoutDomain } from './permissions.ts';
import { type Account, Accounts, DEFAULT_QUOTA, type Quota } from './quota.ts';
import { answer } from './requests.ts';
import { XenstoreRing } from './ring.ts';
import { type Change, Store } from './store.ts';
import { encodeStrings, type Message, MessageType, XenstoreError } from './wire.ts';

/** What carries a guest's ring. */
export interface RingCarrier {
  readonly page: SharedPage;
  readonly notify: Notify;
}

export interface XenstoredOptions {
  /** Limits that differ from `DEFAULT_QUOTA`. */
  readonly quota?: Partial<Quota>;
  /** Finds the page and event channel of an INTRODUCE message that comes over a socket. */
  readonly mapRing?: (domid: number, gfn: number, port: number) => RingCarrier | null;
  /** Takes lines for the operator. */
  readonly log?: (line: string) => void;
}

interface Domain {
  ring: XenstoreRing | null;
  /** Its shutdown has been announced. */
  shutdown: boolean;
}

type Endpoint = Connection | XenstoreClient;

const SPECIAL_EVENTS = ['@introduceDomain', '@releaseDomain'] as const;
type SpecialEvent = (typeof SPECIAL_EVENTS)[number];

export class Xenstored {
  readonly quota: Quota;
  readonly store: Store;
  private readonly options: XenstoredOptions;
  private readonly accounts = new Accounts();
  private readonly domains = new Map<number, Domain>([[0, { ring: null, shutdown: false }]]);
  private readonly endpoints = new Set<Endpoint>();
  private readonly special = new Map<SpecialEvent, readonly Permission[]>();

  private depth = 0;
  private settling = false;
  private cause: Outstanding | null = null;
  private localEvents: (() => void)[] = [];
  private readonly withOutput = new Set<Connection>();
  private readonly stalled = new Set<Connection>();

  constructor(options: XenstoredOptions = {}) {
    this.options = options;
    this.quota = { ...DEFAULT_QUOTA, ...options.quota };
    this.store = new Store(this.accounts, (change) => this.changed(change));
    for (const event of SPECIAL_EVENTS) this.special.set(event, [{ domid: 0, access: Access.NONE }]);
  }

  // ---------------------------------------------------------------- for the toolstack

  /** A client for code in this process, by default with all rights. */
  client(domid = 0): XenstoreClient {
    const client = new XenstoreClient(this, domid, this.accounts.of(domid));
    this.endpoints.add(client);
    return client;
  }

  /** A connection for a byte stream such as a socket. Only the control domain's (0) have all rights. */
  connect(domid = 0): Connection {
    const connection = new Connection(this, domid, this.accounts.of(domid));
    this.endpoints.add(connection);
    return connection;
  }

  /** A domain exists from now on: nodes may be given to it. Must come before its entries are written. */
  createDomain(domid: number): void {
    if (!this.domains.has(domid)) this.domains.set(domid, { ring: null, shutdown: false });
  }

  /**
   * Starts to serve a domain's ring and tells those who watch `@introduceDomain`. For a domain that is served
   * already, it replaces the ring, as after a restore. The kicks of the guest go to `poll`.
   */
  introduce(domid: number, carrier: RingCarrier): void {
    this.perform(() => {
      this.createDomain(domid);
      const domain = this.domains.get(domid)!;
      const first = domain.ring === null;
      domain.ring = new XenstoreRing(
        domain.ring?.connection ?? this.connect(domid),
        carrier.page,
        carrier.notify,
      );
      if (first) this.fireSpecial('@introduceDomain', domid);
    });
  }

  /** The guest has kicked its event channel: serve its ring. */
  poll(domid: number): void {
    this.domains.get(domid)?.ring?.poll();
  }

  /** The domain has shut down or crashed but still exists: tells those who watch `@releaseDomain`, once. */
  domainShutdown(domid: number): void {
    const domain = this.domains.get(domid);
    if (!domain?.ring || domain.shutdown) return;
    domain.shutdown = true;
    this.perform(() => this.fireSpecial('@releaseDomain', domid));
  }

  /**
   * The domain is gone: its connections are closed, its nodes removed, its number means nobody any more. Its page is
   * not touched after this, so call it before the frames of the domain are given away.
   */
  destroyDomain(domid: number): void {
    const domain = this.domains.get(domid);
    if (domid === 0 || !domain) return;
    this.perform(() => {
      for (const endpoint of [...this.endpoints]) if (endpoint.domid === domid) endpoint.close();
      for (const path of this.store.ownedBy(domid)) if (path !== '/') removeSubtree(this.store, path);
      for (const endpoint of this.endpoints) {
        if (endpoint instanceof Connection && endpoint.target === domid) endpoint.target = null;
        for (const transaction of endpoint.transactions.values()) transaction.forgetDomain(domid);
      }
      this.store.forgetDomain(domid);
      for (const [event, list] of this.special) this.special.set(event, withoutDomain(list, domid));
      this.domains.delete(domid);
      this.accounts.forget(domid);
      if (domain.ring) this.fireSpecial('@releaseDomain', domid);
    });
  }

  /** Faults of the books, one line each; none in a sound store. */
  audit(): string[] {
    return this.store.audit();
  }

  // ---------------------------------------------------------------- for requests and CONTROL

  domainExists(domid: number): boolean {
    return this.domains.has(domid);
  }

  isIntroduced(domid: number): boolean {
    return domid === 0 || (this.domains.get(domid)?.ring ?? null) !== null;
  }

  introduceByFrame(domid: number, gfn: number, port: number): void {
    if (domid === 0 || port === 0) throw new XenstoreError('EINVAL', 'expected a guest and an event channel');
    const carrier = this.options.mapRing?.(domid, gfn, port);
    if (!carrier) throw new XenstoreError('ENOENT', `frame ${gfn} of domain ${domid} cannot be mapped`);
    this.introduce(domid, carrier);
  }

  releaseDomain(domid: number): void {
    this.connected(domid);
    this.destroyDomain(domid);
  }

  resumeDomain(domid: number): void {
    this.connected(domid).shutdown = false;
  }

  setTarget(domid: number, target: number): void {
    this.connected(target);
    this.connected(domid).ring.connection.target = target;
  }

  setSpecialPermissions(request: Request, path: string, permissions: readonly Permission[]): void {
    const event = SPECIAL_EVENTS.find((name) => name === path);
    if (!event) throw new XenstoreError('EINVAL', `there is no event ${quoted(path)}`);
    const checked = checkPermissions(request, permissions);
    if ((accessOf(request.actor, this.special.get(event)!) & Access.OWNER) === 0) {
      throw new XenstoreError('EACCES', `domain ${request.actor.domid} does not own ${path}`);
    }
    this.special.set(event, checked);
  }

  control(command: string, parameters: readonly string[]): string {
    return runControl(this, command, parameters);
  }

  log(line: string): void {
    this.options.log?.(line);
  }

  accountOf(domid: number): Account | undefined {
    return this.domains.has(domid) ? this.accounts.of(domid) : undefined;
  }

  // ---------------------------------------------------------------- for connections and clients

  /** Answers one message of a connection. */
  handle(connection: Connection, message: Message): void {
    this.perform(() => {
      const outer = this.cause;
      this.cause = connection.privileged ? null : new Outstanding(connection.account);
      const header = {
        type: message.type,
        requestId: message.requestId,
        transactionId: message.transactionId,
      };
      try {
        const { payload, afterwards } = answer(this, connection, message);
        connection.reply({ ...header, payload }, this.cause);
        afterwards?.();
      } catch (error) {
        if (!(error instanceof XenstoreError)) throw error;
        const payload = encodeStrings([error.errorName]);
        connection.reply({ ...header, type: MessageType.ERROR, payload }, this.cause);
      } finally {
        this.cause = outer;
      }
    });
  }

  /** Runs one request to its end, then delivers what it caused. */
  perform<T>(request: () => T): T {
    this.depth++;
    try {
      return request();
    } finally {
      this.depth--;
      this.settle();
    }
  }

  queueEvent(deliver: () => void): void {
    this.localEvents.push(deliver);
  }

  hasOutput(connection: Connection): void {
    this.withOutput.add(connection);
    this.settle();
  }

  hasStalled(connection: Connection): void {
    this.stalled.add(connection);
  }

  hasClosed(connection: Connection): void {
    this.endpoints.delete(connection);
    this.withOutput.delete(connection);
    this.stalled.delete(connection);
  }

  clientClosed(client: XenstoreClient): void {
    this.endpoints.delete(client);
  }

  // ---------------------------------------------------------------- inside

  private connected(domid: number): Domain & { ring: XenstoreRing } {
    if (domid === 0) throw new XenstoreError('EINVAL', 'expected a guest, found the control domain');
    const domain = this.domains.get(domid);
    if (!domain?.ring) throw new XenstoreError('ENOENT', `domain ${domid} is not introduced`);
    return domain as Domain & { ring: XenstoreRing };
  }

  private changed({ path, before, exact }: Change): void {
    const seen = [before, this.store.read(path), this.store.read(parentPath(path))];
    for (const endpoint of this.endpoints) {
      if (endpoint.watches.size === 0) continue;
      // Whoever could read the node before or can after hears of it, and so does whoever can list its parent.
      if (!seen.some((node) => node && (accessOf(endpoint, node.permissions) & Access.READ) !== 0)) continue;
      endpoint.watches.match(path, exact, (watch, reported) =>
        endpoint.sendEvent(reported, watch.token, this.cause),
      );
    }
  }

  private fireSpecial(event: SpecialEvent, domid: number): void {
    for (const endpoint of this.endpoints) {
      if ((accessOf(endpoint, this.special.get(event)!) & Access.READ) === 0) continue;
      endpoint.watches.matchSpecial(event, domid, (watch, reported) =>
        endpoint.sendEvent(reported, watch.token, null),
      );
    }
  }

  /**
   * Delivers until nothing is left, unless a request is being handled or a delivery is under way further out.
   */
  private settle(): void {
    if (this.depth > 0 || this.settling) return;
    this.settling = true;
    try {
      while (this.settleOne());
    } finally {
      this.settling = false;
    }
  }

  private settleOne(): boolean {
    const deliver = this.localEvents.shift();
    if (deliver) {
      deliver();
      return true;
    }
    for (const connection of this.withOutput) {
      this.withOutput.delete(connection);
      connection.onOutput();
      return true;
    }
    for (const connection of this.stalled) {
      if (!connection.canAccept) continue;
      this.stalled.delete(connection);
      connection.onInput();
      return true;
    }
    return false;
  }
}
