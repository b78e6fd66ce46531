/**
 * The backend of the PV console: what xenconsoled is to a guest's `hvc0`.
 *
 *     offset 0     in[1024]         we write, guest reads
 *            1024  out[2048]        guest writes, we read
 *            3072  in_cons   3076  in_prod   3080  out_cons   3084  out_prod
 *
 * Indices run freely modulo 2^32 (struct xencons_interface in Xen's public header io/console.h). The page is
 * the guest's to scribble on. As in tools/console/daemon/io.c, a pair of indices that lie further apart than
 * their ring is left alone: nothing moves in that direction until the guest repairs them. What one `poll`
 * does is bounded by the two rings.
 */

import type { Notify, SharedPage } from '../shared-page.ts';

export const CONSOLE_IN_BYTES = 1024;
export const CONSOLE_OUT_BYTES = 2048;

/** Byte offsets in the page. */
export const ConsoleOffset = {
  IN: 0,
  OUT: 1024,
  IN_CONS: 3072,
  IN_PROD: 3076,
  OUT_CONS: 3080,
  OUT_PROD: 3084,
} as const;

const DEFAULT_BACKLOG_BYTES = 64 * 1024;

export interface ConsoleOptions {
  /** Takes what the guest prints, up to 2048 bytes at a time; the array is the receiver's to keep. */
  readonly onOutput: (bytes: Uint8Array) => void;
  /** `write` had refused bytes, and there is room again. */
  readonly onDrain?: () => void;
  /** How many bytes of input may wait for the guest beyond what its ring holds; 64 KiB by default. */
  readonly backlogBytes?: number;
}

export class PvConsole {
  private readonly page: SharedPage;
  private readonly notify: Notify;
  private readonly options: ConsoleOptions;
  /** A ring of our own: `waiting` bytes from `head`. */
  private readonly backlog: Uint8Array;
  private head = 0;
  private waiting = 0;
  private refused = false;
  private paused = false;

  constructor(page: SharedPage, notify: Notify, options: ConsoleOptions) {
    this.page = page;
    this.notify = notify;
    this.options = options;
    this.backlog = new Uint8Array(options.backlogBytes ?? DEFAULT_BACKLOG_BYTES);
  }

  /** Bytes of input that the guest's ring has not had room for yet. */
  get inputWaiting(): number {
    return this.waiting;
  }

  /** To be called when the guest kicks its event channel, and once at its end to get its last words. */
  poll(): void {
    const printed = this.takeOutput();
    const moved = this.feedInput();
    if (printed || moved) this.notify();
    if (printed) this.options.onOutput(printed);
    if (this.refused && this.waiting < this.backlog.length) {
      this.refused = false;
      this.options.onDrain?.();
    }
  }

  /**
   * Types bytes to the guest. Gives how many were taken: fewer than given if the backlog is full, after which
   * `onDrain` tells when to try the rest.
   */
  write(bytes: Uint8Array): number {
    const { backlog } = this;
    let taken = 0;
    let moved = false;
    for (;;) {
      const tail = (this.head + this.waiting) % backlog.length;
      const room = Math.min(backlog.length - this.waiting, backlog.length - tail, bytes.length - taken);
      if (room <= 0) break;
      backlog.set(bytes.subarray(taken, taken + room), tail);
      this.waiting += room;
      taken += room;
      moved = this.feedInput() || moved;
    }
    if (taken < bytes.length) this.refused = true;
    if (moved) this.notify();
    return taken;
  }

  /** Stops taking output: a guest that prints more than its ring holds has to wait. */
  pauseOutput(): void {
    this.paused = true;
  }

  resumeOutput(): void {
    if (!this.paused) return;
    this.paused = false;
    this.poll();
  }

  private takeOutput(): Uint8Array | null {
    if (this.paused) return null;
    const { page } = this;
    const consumer = page.read32(ConsoleOffset.OUT_CONS) >>> 0;
    const length = (page.read32(ConsoleOffset.OUT_PROD) - consumer) >>> 0;
    if (length === 0 || length > CONSOLE_OUT_BYTES) return null;
    const bytes = new Uint8Array(length);
    const start = consumer % CONSOLE_OUT_BYTES;
    const straight = Math.min(length, CONSOLE_OUT_BYTES - start);
    page.readBytes(ConsoleOffset.OUT + start, bytes.subarray(0, straight));
    if (straight < length) page.readBytes(ConsoleOffset.OUT, bytes.subarray(straight));
    page.write32(ConsoleOffset.OUT_CONS, consumer + length);
    return bytes;
  }

  private feedInput(): boolean {
    const { page, backlog } = this;
    if (this.waiting === 0) return false;
    const producer = page.read32(ConsoleOffset.IN_PROD) >>> 0;
    const used = (producer - page.read32(ConsoleOffset.IN_CONS)) >>> 0;
    if (used >= CONSOLE_IN_BYTES) return false;
    let fed = 0;
    const count = Math.min(this.waiting, CONSOLE_IN_BYTES - used);
    while (fed < count) {
      const start = (producer + fed) % CONSOLE_IN_BYTES;
      const length = Math.min(count - fed, CONSOLE_IN_BYTES - start, backlog.length - this.head);
      page.writeBytes(ConsoleOffset.IN + start, backlog.subarray(this.head, this.head + length));
      this.head = (this.head + length) % backlog.length;
      this.waiting -= length;
      fed += length;
    }
    page.write32(ConsoleOffset.IN_PROD, producer + fed);
    return true;
  }
}
