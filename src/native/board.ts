/**
 * The board of a bare machine: an interrupt controller, a timer, a serial port, a clock and the switches, wired to their
 * ports and to each other. docs/native.md has the table.
 */
import type { Clock } from '../hypervisor/clock.ts';
import type { TimerQueue } from '../hypervisor/timers.ts';
import { InterruptController } from './devices/pic.ts';
import { IntervalTimer } from './devices/pit.ts';
import { PowerControl, type PowerSwitches } from './devices/power.ts';
import { RealTimeClock } from './devices/rtc.ts';
import { SerialPort } from './devices/uart.ts';
import { IoPorts } from './ports.ts';

const TIMER_IRQ = 0;
const SERIAL_IRQ = 4;

export interface BoardOptions {
  readonly clock: Clock;
  readonly timers: TimerQueue;
  /** An interrupt waits for the processor. */
  readonly onInterrupt: () => void;
  /** What the guest prints on its serial port. */
  readonly onOutput: (bytes: Uint8Array) => void;
  /** The serial port takes input again after it had refused some. */
  readonly onDrain: () => void;
  readonly switches: PowerSwitches;
  /** Milliseconds since 1970 at the clock's zero. */
  readonly wallClockMs: number;
}

export class Board {
  readonly ports = new IoPorts();
  readonly pic: InterruptController;
  readonly pit: IntervalTimer;
  readonly serial: SerialPort;
  private readonly power: PowerControl;

  constructor(options: BoardOptions) {
    const { clock, timers, onOutput, onDrain } = options;
    const { ports } = this;
    this.pic = new InterruptController(options.onInterrupt);
    const line = (irq: number) => (level: boolean) => this.pic.setLine(irq, level);
    this.pit = new IntervalTimer({ clock, timers, setLine: line(TIMER_IRQ) });
    this.serial = new SerialPort({ clock, timers, setLine: line(SERIAL_IRQ), onOutput, onDrain });
    this.power = new PowerControl(options.switches);
    ports.connect(this.pic, 0x20, 2);
    ports.connect(this.pic, 0xa0, 2);
    ports.connect(this.pit, 0x40, 4);
    ports.connect(this.pit, 0x61);
    ports.connect(new RealTimeClock(clock, options.wallClockMs), 0x70, 2);
    ports.connect(this.serial, 0x3f8, 8);
    for (const port of [0x60, 0x64, 0xe9, 0x604, 0x605, 0xcf9]) ports.connect(this.power, port);
  }

  /** Passes on what the guest has said so far. */
  flush(): void {
    this.serial.flush();
    this.power.flush();
  }

  /** Stops everything that time drives. */
  release(): void {
    this.pit.release();
    this.flush();
  }
}
