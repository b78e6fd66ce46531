/** The toolstack's end of an event channel: what xenconsoled and xenstored hold for each domain. */

export class EventChannelError extends Error {
  override readonly name = 'EventChannelError';
}

/** The guest's end, as the host's end uses it. */
interface GuestEnd {
  raise(port: number): void;
  farEndClosed(port: number, domain: number): void;
}

export class HostChannel {
  private guest: GuestEnd | undefined;
  /** The guest's port. */
  readonly port: number;
  private readonly onEvent: () => void;

  /** Made by `EventChannels.bindHost` only. */
  constructor(guest: GuestEnd, port: number, onEvent: () => void) {
    this.guest = guest;
    this.port = port;
    this.onEvent = onEvent;
  }

  /** False once either side has closed. */
  get open(): boolean {
    return this.guest !== undefined;
  }

  /** Raises the event in the guest; does nothing if the guest has closed its port. */
  notify(): void {
    this.guest?.raise(this.port);
  }

  /** Lets go: the guest's port waits for the host again. */
  close(): void {
    const { guest } = this;
    this.guest = undefined;
    guest?.farEndClosed(this.port, 0);
  }

  /** The guest sent. */
  receive(): void {
    this.onEvent();
  }

  /** The guest closed its port. */
  farEndClosed(): void {
    this.guest = undefined;
  }
}
