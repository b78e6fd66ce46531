/**
 * How a guest ends: the switches that every PC kernel knows.
 *
 *     0x604, 0x605   PM1a control as QEMU's PC places it: SLP_EN (0x2000, in the second byte) powers off
 *     0x64           the keyboard controller: command 0xfe pulses the reset line; reads say "ready, nothing there"
 *     0xcf9          the reset control register: bit 2 resets
 *     0xe9           every byte goes to the emergency console; reads give 0xe9
 *
 * (ACPI 6.4, 4.8.3.2; Intel ICH9 data sheet, 13.7.5; the last is Bochs's.)
 */
import type { PortDevice } from '../ports.ts';

const PM1_CONTROL_HIGH = 0x605;
const SLP_EN_HIGH = 0x20;
const KEYBOARD_DATA = 0x60;
const KEYBOARD = 0x64;
const PULSE_RESET = 0xfe;
const RESET_CONTROL = 0xcf9;
const RESET_CPU = 0x04;
const DEBUG = 0xe9;
const NEWLINE = 10;
const LONGEST_LINE = 1024;

export interface PowerSwitches {
  powerOff(): void;
  reset(): void;
  /** Takes whole lines, or as much as fits. */
  emergencyOutput(line: Uint8Array): void;
}

export class PowerControl implements PortDevice {
  private readonly switches: PowerSwitches;
  private line: number[] = [];

  constructor(switches: PowerSwitches) {
    this.switches = switches;
  }

  read(port: number): number {
    if (port === DEBUG) return DEBUG;
    return port === KEYBOARD || port === KEYBOARD_DATA || port === RESET_CONTROL ? 0 : 0xff;
  }

  write(port: number, value: number): void {
    if (port === PM1_CONTROL_HIGH && (value & SLP_EN_HIGH) !== 0) this.switches.powerOff();
    else if (port === KEYBOARD && value === PULSE_RESET) this.switches.reset();
    else if (port === RESET_CONTROL && (value & RESET_CPU) !== 0) this.switches.reset();
    else if (port === DEBUG) this.print(value);
  }

  /** Passes on a line that has not ended. */
  flush(): void {
    if (this.line.length === 0) return;
    this.switches.emergencyOutput(Uint8Array.from(this.line));
    this.line = [];
  }

  private print(value: number): void {
    this.line.push(value);
    if (value === NEWLINE || this.line.length === LONGEST_LINE) this.flush();
  }
}
