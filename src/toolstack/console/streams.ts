/**
 * The ends of a console as web streams, which Node and browsers both have.
 *
 * A stream of output is filled by `push`, from inside the run loop, and never refuses: whether the guest is held back
 * when its reader is slow is decided by whoever pushes. Input waits in the writer until the guest's console takes it.
 */

/** Bytes that may wait for the reader before `onFull` is called. */
const OUTPUT_BYTES = 65536;

export class OutputStream {
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  private controller!: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
  private open = true;
  private full = false;
  private readonly onFull: () => void;

  /** `onFull` and `onRoom` take turns as the reader falls behind and catches up. */
  constructor(onFull: () => void = () => {}, onRoom: () => void = () => {}) {
    this.onFull = onFull;
    const room = () => {
      if (!this.full) return;
      this.full = false;
      onRoom();
    };
    this.readable = new ReadableStream<Uint8Array<ArrayBuffer>>(
      {
        start: (controller) => {
          this.controller = controller;
        },
        pull: room,
        cancel: () => {
          this.open = false;
          room();
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: OUTPUT_BYTES }),
    );
  }

  /** Takes bytes for the reader; drops them once the stream is closed or the reader has gone. */
  push(bytes: Uint8Array<ArrayBuffer>): void {
    if (!this.open) return;
    this.controller.enqueue(bytes);
    if (!this.full && this.controller.desiredSize! <= 0) {
      this.full = true;
      this.onFull();
    }
  }

  /** No more will come. */
  close(): void {
    if (!this.open) return;
    this.open = false;
    this.controller.close();
  }
}

export class InputStream {
  readonly writable: WritableStream<Uint8Array>;
  private readonly take: (bytes: Uint8Array) => number;
  private open = true;
  private waiting: { rest: Uint8Array; settle: () => void } | undefined;

  /** `take` passes bytes on and says how many were taken; `drained` is to be called when it takes more. */
  constructor(take: (bytes: Uint8Array) => number, enter: (action: () => void) => void) {
    this.take = take;
    this.writable = new WritableStream<Uint8Array>({
      write: (bytes) =>
        new Promise((resolve) => {
          enter(() => {
            this.waiting = { rest: bytes, settle: resolve };
            this.drained();
          });
        }),
    });
  }

  /** There may be room again. */
  drained(): void {
    const { waiting } = this;
    if (waiting === undefined) return;
    if (this.open) waiting.rest = waiting.rest.subarray(this.take(waiting.rest));
    if (this.open && waiting.rest.length > 0) return;
    this.waiting = undefined;
    waiting.settle();
  }

  /** Nobody reads any more: what is written from now on is dropped, without an error. */
  close(): void {
    this.open = false;
    this.drained();
  }
}
