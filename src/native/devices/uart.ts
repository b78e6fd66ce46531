/**
 * A 16550A serial port at 0x3f8, IRQ 4: the console. Bytes leave at once, and come as fast as the guest takes them; the line's
 * speed and format are kept and mean nothing. Whoever types waits for RTS, once the guest has shown that it knows of it, and
 * repeats what a cleared FIFO has lost: what is typed ahead survives a driver that probes.
 *
 *     3f8  data, or the divisor's low byte      3fc  modem control
 *     3f9  interrupt enable, or its high byte   3fd  line status
 *     3fa  interrupt identity; FIFO control     3fe  modem status
 *     3fb  line control                         3ff  scratch
 *
 * (National Semiconductor PC16550D data sheet.)
 */
import type { Clock } from '../../hypervisor/clock.ts';
import { Timer, type TimerQueue } from '../../hypervisor/timers.ts';
import type { PortDevice } from '../ports.ts';

const IER_RECEIVED = 0x01;
const IER_EMPTY = 0x02;
const IER_MASK = 0x0f;
const IIR_NONE = 0x01;
const IIR_EMPTY = 0x02;
const IIR_RECEIVED = 0x04;
const IIR_TIMEOUT = 0x0c;
const IIR_FIFO = 0xc0;
const FCR_ENABLE = 0x01;
const FCR_CLEAR_RECEIVED = 0x02;
const LCR_DIVISOR = 0x80;
const MCR_RTS = 0x02;
const MCR_OUT2 = 0x08;
const MCR_LOOP = 0x10;
const MCR_MASK = 0x1f;
const LSR_DATA = 0x01;
const LSR_OVERRUN = 0x02;
const LSR_EMPTY = 0x60;
/** Carrier, data set ready, clear to send: somebody is at the other end. */
const MSR_CONNECTED = 0xb0;

const FIFO_BYTES = 16;
/** Received bytes from which on the FIFO interrupts, by FCR's upper bits. */
const TRIGGERS = [1, 4, 8, 14];
const OUTPUT_BYTES = 1024;
/** Output waits so long for more. */
const OUTPUT_DELAY_NS = 1e6;
const BACKLOG_BYTES = 65536;

export interface SerialPortOptions {
  readonly clock: Clock;
  readonly timers: TimerQueue;
  readonly setLine: (level: boolean) => void;
  /** Takes what the guest prints; the array is the receiver's to keep. */
  readonly onOutput: (bytes: Uint8Array) => void;
  /** `type` had refused bytes, and there is room again. */
  readonly onDrain: () => void;
}

export class SerialPort implements PortDevice {
  private readonly options: SerialPortOptions;
  private readonly flushTimer: Timer;
  private readonly output = new Uint8Array(OUTPUT_BYTES);
  private outputLength = 0;
  private paused = false;
  /** What has been typed: `waiting` bytes from `head`. The guest's FIFO is the first of it. */
  private readonly input = new Uint8Array(BACKLOG_BYTES);
  private head = 0;
  private waiting = 0;
  private refused = false;
  /** Bytes of `input` that are in the FIFO (or, without one, in the data register). */
  private received = 0;
  /** Bytes that the port sends itself under MCR's loop. */
  private looped: number[] = [];
  private overrun = false;
  private enabled = 0;
  /** The transmitter has become empty since the guest last heard of it. */
  private emptied = false;
  private fifo = 0;
  private lineControl = 0;
  private modemControl = 0;
  /** The guest has written to modem control: from then on RTS says whether it wants to be sent anything. */
  private usesModemControl = false;
  private divisor = 1;
  private scratch = 0;

  constructor(options: SerialPortOptions) {
    this.options = options;
    this.flushTimer = new Timer(() => this.flush());
  }

  // -------------------------------------------------------------- the outside

  /** Types bytes to the guest; says how many were taken. */
  type(bytes: Uint8Array): number {
    const { input } = this;
    const count = Math.min(bytes.length, input.length - this.waiting);
    for (let i = 0; i < count; i++) input[(this.head + this.waiting + i) % input.length] = bytes[i]!;
    this.waiting += count;
    if (count < bytes.length) this.refused = true;
    this.receive();
    return count;
  }

  /** Nobody reads the output: the transmitter stays full until `resumeOutput`. */
  pauseOutput(): void {
    this.paused = true;
  }
  resumeOutput(): void {
    if (!this.paused) return;
    this.paused = false;
    this.emptied = true;
    this.update();
  }

  /** Passes on what has been printed. */
  flush(): void {
    this.options.timers.cancel(this.flushTimer);
    if (this.outputLength === 0) return;
    const bytes = this.output.slice(0, this.outputLength);
    this.outputLength = 0;
    this.options.onOutput(bytes);
  }

  // -------------------------------------------------------------- the guest

  read(port: number): number {
    switch (port & 7) {
      case 0:
        return this.divisorOpen ? this.divisor & 0xff : this.takeByte();
      case 1:
        return this.divisorOpen ? this.divisor >> 8 : this.enabled;
      case 2:
        return this.identify();
      case 3:
        return this.lineControl;
      case 4:
        return this.modemControl;
      case 5:
        return this.lineStatus();
      case 6:
        return this.modemStatus();
      default:
        return this.scratch;
    }
  }

  write(port: number, value: number): void {
    switch (port & 7) {
      case 0:
        if (this.divisorOpen) this.divisor = (this.divisor & 0xff00) | value;
        else this.send(value);
        break;
      case 1:
        if (this.divisorOpen) this.divisor = (this.divisor & 0xff) | (value << 8);
        else this.enable(value & IER_MASK);
        break;
      case 2:
        this.controlFifo(value);
        break;
      case 3:
        this.lineControl = value;
        break;
      case 4:
        this.modemControl = value & MCR_MASK;
        this.usesModemControl = true;
        this.receive();
        break;
      case 7:
        this.scratch = value;
        break;
      default:
        break;
    }
    this.update();
  }

  private get divisorOpen(): boolean {
    return (this.lineControl & LCR_DIVISOR) !== 0;
  }
  private get loops(): boolean {
    return (this.modemControl & MCR_LOOP) !== 0;
  }
  private get available(): number {
    return this.loops ? this.looped.length : this.received;
  }

  private enable(value: number): void {
    // Enabling the interrupt while the transmitter is empty raises it.
    if ((value & ~this.enabled & IER_EMPTY) !== 0) this.emptied = true;
    this.enabled = value;
  }

  private controlFifo(value: number): void {
    // What has been typed comes again: as if it had been typed a little later.
    if (((value ^ this.fifo) & FCR_ENABLE) !== 0 || (value & FCR_CLEAR_RECEIVED) !== 0)
      this.looped.length = 0;
    this.fifo = (value & FCR_ENABLE) !== 0 ? value & 0xc1 : 0;
    this.receive();
  }

  private send(value: number): void {
    if (this.loops) {
      if (this.looped.length < this.depth) this.looped.push(value);
      else this.overrun = true;
    } else {
      this.output[this.outputLength++] = value;
      const { timers, clock } = this.options;
      if (this.outputLength === OUTPUT_BYTES) this.flush();
      else if (!this.flushTimer.active) timers.set(this.flushTimer, clock.nowNs() + OUTPUT_DELAY_NS);
    }
    this.emptied = !this.paused;
  }

  private get depth(): number {
    return (this.fifo & FCR_ENABLE) !== 0 ? FIFO_BYTES : 1;
  }

  private takeByte(): number {
    let value = 0;
    if (this.loops) {
      value = this.looped.shift() ?? 0;
    } else if (this.received > 0) {
      value = this.input[this.head]!;
      this.head = (this.head + 1) % this.input.length;
      this.waiting--;
      this.received--;
    }
    this.receive();
    if (this.refused && this.waiting < this.input.length) {
      this.refused = false;
      this.options.onDrain();
    }
    return value;
  }

  /** Moves what has been typed into the FIFO, as far as there is room; without RTS it stays with whoever types. */
  private receive(): void {
    const ready = !this.usesModemControl || (this.modemControl & MCR_RTS) !== 0;
    this.received = ready ? Math.min(this.waiting, this.depth) : 0;
    this.update();
  }

  private lineStatus(): number {
    const status =
      (this.available > 0 ? LSR_DATA : 0) |
      (this.overrun ? LSR_OVERRUN : 0) |
      (this.paused && !this.loops ? 0 : LSR_EMPTY);
    this.overrun = false;
    return status;
  }

  private modemStatus(): number {
    if (!this.loops) return MSR_CONNECTED;
    const { modemControl } = this;
    // RTS, DTR, OUT1, OUT2 come back as CTS, DSR, RI, DCD.
    return (
      ((modemControl & 2) << 3) |
      ((modemControl & 1) << 5) |
      ((modemControl & 4) << 4) |
      ((modemControl & 8) << 4)
    );
  }

  private identity(): number {
    if ((this.enabled & IER_RECEIVED) !== 0 && this.available > 0) {
      return this.available >= TRIGGERS[this.fifo >> 6]! ? IIR_RECEIVED : IIR_TIMEOUT;
    }
    return (this.enabled & IER_EMPTY) !== 0 && this.emptied ? IIR_EMPTY : IIR_NONE;
  }

  private identify(): number {
    const identity = this.identity();
    if (identity === IIR_EMPTY) {
      this.emptied = false;
      this.update();
    }
    return identity | ((this.fifo & FCR_ENABLE) !== 0 ? IIR_FIFO : 0);
  }

  /** The interrupt leaves the port through OUT2. */
  private update(): void {
    const open = (this.modemControl & (MCR_OUT2 | MCR_LOOP)) === MCR_OUT2;
    this.options.setLine(open && this.identity() !== IIR_NONE);
  }
}
