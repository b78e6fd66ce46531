/**
 * The ring: how a guest's bytes reach its connection through one shared page.
 *
 *     offset 0     req[1024]        guest writes, we read
 *            1024  rsp[1024]        we write, guest reads
 *            2048  req_cons   2052  req_prod   2056  rsp_cons   2060  rsp_prod
 *            2064  server_features  2068  connection  2072  error
 *
 * Indices run freely modulo 2^32; the byte with index i lies at i modulo 1024 (struct
 * xenstore_domain_interface in io/xs_wire.h, docs/misc/xenstore-ring.txt). All of the page is the guest's to
 * scribble on: indices that are more than 1024 apart end the connection, with the reason in `error`, and harm
 * nobody else. A guest may ask for a fresh start by writing 1 to `connection`.
 */

import type { Notify, SharedPage } from '../shared-page.ts';
import { type Connection, ConnectionFault } from './connection.ts';

export const RING_BYTES = 1024;

/** Byte offsets in the page. */
export const RingOffset = {
  REQ: 0,
  RSP: 1024,
  REQ_CONS: 2048,
  REQ_PROD: 2052,
  RSP_CONS: 2056,
  RSP_PROD: 2060,
  SERVER_FEATURES: 2064,
  CONNECTION: 2068,
  ERROR: 2072,
} as const;

/** Bits of `server_features`. */
export const ServerFeature = { RECONNECTION: 1, ERROR: 2, WATCH_DEPTH: 4 } as const;

const RECONNECT = 1;
const CONNECTED = 0;

export class XenstoreRing {
  readonly connection: Connection;
  private readonly page: SharedPage;
  private readonly notify: Notify;
  private readonly input = new Uint8Array(RING_BYTES);
  private readonly output = new Uint8Array(RING_BYTES);
  private polling = false;
  /** Bytes that may still be read before the guest kicks again. */
  private budget = 0;

  /** Attaches a connection to a page. The ring is empty afterwards, whatever was in it. */
  constructor(connection: Connection, page: SharedPage, notify: Notify) {
    this.connection = connection;
    this.page = page;
    this.notify = notify;
    connection.onOutput = () => this.flush();
    connection.onInput = () => this.serve();
    connection.onFault = (fault) => page.write32(RingOffset.ERROR, fault);
    page.write32(
      RingOffset.SERVER_FEATURES,
      ServerFeature.RECONNECTION | ServerFeature.ERROR | ServerFeature.WATCH_DEPTH,
    );
    this.reset();
  }

  /**
   * To be called when the guest kicks its event channel. Handles what is in the ring, at most one ring full, even if
   * the connection stalls on the way and goes on later: a guest that puts more in meanwhile has to kick again.
   */
  poll(): void {
    this.budget = RING_BYTES;
    this.serve();
  }

  private serve(): void {
    if (this.polling) return;
    this.polling = true;
    try {
      if (this.page.read32(RingOffset.CONNECTION) >>> 0 === RECONNECT) this.reset();
      this.connection.resumeOutput();
      this.read();
    } finally {
      this.polling = false;
    }
  }

  private read(): void {
    const { page, connection } = this;
    const { epoch } = connection;
    let moved = false;
    while (connection.isOpen && this.budget > 0) {
      const consumer = page.read32(RingOffset.REQ_CONS) >>> 0;
      const used = (page.read32(RingOffset.REQ_PROD) - consumer) >>> 0;
      if (used > RING_BYTES) connection.fail(ConnectionFault.RINGIDX);
      if (used === 0 || !connection.isOpen) break;
      const start = consumer % RING_BYTES;
      const bytes = this.input.subarray(0, Math.min(used, RING_BYTES - start, this.budget));
      page.readBytes(RingOffset.REQ + start, bytes);
      const taken = connection.receive(bytes);
      // A request may have led to a new introduction of this very domain, which emptied the ring.
      if (taken === 0 || !connection.isOpen || connection.epoch !== epoch) break;
      page.write32(RingOffset.REQ_CONS, consumer + taken);
      this.budget -= taken;
      moved = true;
    }
    if (moved) this.notify();
  }

  private flush(): void {
    const { page, connection } = this;
    let moved = false;
    while (connection.pending) {
      const producer = page.read32(RingOffset.RSP_PROD) >>> 0;
      const used = (producer - page.read32(RingOffset.RSP_CONS)) >>> 0;
      if (used > RING_BYTES) connection.fail(ConnectionFault.RINGIDX);
      if (used >= RING_BYTES) break;
      const start = producer % RING_BYTES;
      const room = Math.min(RING_BYTES - used, RING_BYTES - start);
      const bytes = this.output.subarray(0, connection.pull(this.output.subarray(0, room)));
      page.writeBytes(RingOffset.RSP + start, bytes);
      page.write32(RingOffset.RSP_PROD, producer + bytes.length);
      moved = true;
    }
    if (moved) this.notify();
  }

  /** Drops everything, empties the ring and tells the guest that it is connected. */
  private reset(): void {
    const { page } = this;
    this.connection.reset();
    for (const offset of [
      RingOffset.REQ_CONS,
      RingOffset.REQ_PROD,
      RingOffset.RSP_CONS,
      RingOffset.RSP_PROD,
    ]) {
      page.write32(offset, 0);
    }
    page.write32(RingOffset.ERROR, ConnectionFault.NONE);
    const asked = page.read32(RingOffset.CONNECTION) >>> 0 === RECONNECT;
    page.write32(RingOffset.CONNECTION, CONNECTED);
    if (asked) this.notify();
  }
}
