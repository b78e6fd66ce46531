/**
 * The time of day as a PC keeps it: the registers of an MC146818 behind ports 0x70 (index) and 0x71 (data), in UTC, BCD and
 * 24 hours. The clock cannot be set, and interrupts nobody; what is written to the other registers is kept.
 */
import type { Clock } from '../../hypervisor/clock.ts';
import type { PortDevice } from '../ports.ts';

const REGISTERS = 128;
const STATUS_A = 10;
const STATUS_B = 11;
const STATUS_C = 12;
const STATUS_D = 13;
const CENTURY = 0x32;
/** A time base of 32.768 kHz, and the usual rate. */
const STATUS_A_VALUE = 0x26;
const STATUS_B_24_HOURS = 0x02;
/** The battery is good. */
const STATUS_D_VALUE = 0x80;

export class RealTimeClock implements PortDevice {
  private readonly registers = new Uint8Array(REGISTERS);
  private readonly clock: Clock;
  private readonly startMs: number;
  private index = 0;

  /** `startMs`: milliseconds since 1970 at the clock's zero. */
  constructor(clock: Clock, startMs: number) {
    this.clock = clock;
    this.startMs = startMs;
  }

  read(port: number): number {
    return (port & 1) === 0 ? 0xff : this.register(this.index);
  }

  write(port: number, value: number): void {
    if ((port & 1) === 0) this.index = value & (REGISTERS - 1);
    else this.registers[this.index] = value;
  }

  private register(index: number): number {
    const time = new Date(this.startMs + this.clock.nowNs() / 1e6);
    switch (index) {
      case 0:
        return bcd(time.getUTCSeconds());
      case 2:
        return bcd(time.getUTCMinutes());
      case 4:
        return bcd(time.getUTCHours());
      case 6:
        return time.getUTCDay() + 1;
      case 7:
        return bcd(time.getUTCDate());
      case 8:
        return bcd(time.getUTCMonth() + 1);
      case 9:
        return bcd(time.getUTCFullYear() % 100);
      case CENTURY:
        return bcd(Math.floor(time.getUTCFullYear() / 100));
      case STATUS_A:
        return STATUS_A_VALUE;
      case STATUS_B:
        return STATUS_B_24_HOURS;
      case STATUS_C:
        return 0;
      case STATUS_D:
        return STATUS_D_VALUE;
      default:
        return this.registers[index]!;
    }
  }
}

function bcd(value: number): number {
  return ((value / 10) << 4) | (value % 10);
}
