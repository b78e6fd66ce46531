/**
 * The person's end of the guest's console: stdin and stdout, a terminal in raw mode if stdin is one.
 *
 * In raw mode every key goes to the guest, Ctrl-C too; Ctrl-] is the way out. Whatever happens, the terminal is put back
 * as it was.
 */
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

/** Ctrl-]: as in `xl console`. */
const LEAVE = 0x1d;

export type Input = Readable & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown };

export class Terminal {
  /** Gets what is typed; the next chunk comes when it has settled. May be replaced at any time. */
  onInput: (bytes: Uint8Array) => Promise<void> = () => Promise.resolve();
  private readonly input: Input;
  private readonly raw: boolean;
  private readonly onLeave: () => void;
  private readonly restore = () => this.setRaw(false);

  /** Begins to read. `onLeave` is called at Ctrl-], if the input is a terminal. */
  constructor(input: Input, onLeave: () => void) {
    this.input = input;
    this.raw = input.isTTY === true;
    this.onLeave = onLeave;
    if (this.raw) {
      process.on('exit', this.restore);
      this.setRaw(true);
    }
    input.on('data', this.take);
    // A terminal that has gone away is like the end of input, which does not end the guest.
    input.on('error', () => {});
  }

  /** Stops reading and gives the terminal back. */
  close(): void {
    this.input.off('data', this.take);
    this.input.pause();
    this.setRaw(false);
    process.off('exit', this.restore);
  }

  private readonly take = (chunk: Buffer): void => {
    const leave = this.raw ? chunk.indexOf(LEAVE) : -1;
    const bytes = leave < 0 ? chunk : chunk.subarray(0, leave);
    if (bytes.length > 0) {
      // Nothing more is read until the guest has room, so that a pipe holds its writer back.
      this.input.pause();
      void this.onInput(bytes).then(() => this.input.resume());
    }
    if (leave >= 0) this.onLeave();
  };

  private setRaw(raw: boolean): void {
    if (!this.raw) return;
    try {
      this.input.setRawMode?.(raw);
    } catch {
      // The terminal has gone away: there is nothing to restore.
    }
  }
}

/** Writes all of a stream of bytes to an output, no faster than it takes them. */
export async function pump(
  from: ReadableStream<Uint8Array>,
  to: Writable,
  onFirst: () => void,
  change: (chunk: Uint8Array) => Uint8Array = (chunk) => chunk,
): Promise<void> {
  const reader = from.getReader();
  for (let first = true; ; first = false) {
    const { value } = await reader.read();
    if (value === undefined) return;
    if (first) onFirst();
    if (!to.writable) continue;
    if (!to.write(change(value))) await drained(to);
  }
}

/** How long a run that was interrupted waits for a reader to take what was printed until then. */
const PATIENCE_MS = 500;

/** Settles when readers have had their time after an interruption. */
export function patience(): Promise<void> {
  return sleep(PATIENCE_MS, undefined, { ref: false });
}

/** Settles when everything that was written to the outputs has left the process, or nobody takes it any more. */
export async function delivered(...outputs: readonly Writable[]): Promise<void> {
  await Promise.all(outputs.map((to) => new Promise<void>((resolve) => to.write('', () => resolve()))));
}

function drained(to: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      for (const event of ['drain', 'close', 'error']) to.off(event, done);
      resolve();
    };
    for (const event of ['drain', 'close', 'error']) to.on(event, done);
  });
}
