/** The console: a 16550A at the first serial port. And the switches of the machine. (National PC16550D data sheet.) */
import { breakpoint, cli, hlt, inb, lidt, outb, outw } from '../machine/processor';
import { consoleInputInterrupt } from '../paravirt/handlers';
import { onInterrupt } from './interrupts';

const SERIAL_IRQ: u32 = 4;
const DATA: u32 = 0x3f8;
const INTERRUPTS: u32 = 0x3f9;
const FIFO: u32 = 0x3fa;
const LINE: u32 = 0x3fb;
const MODEM: u32 = 0x3fc;
const STATUS: u32 = 0x3fd;
const STATUS_RECEIVED: u32 = 0x01;
const STATUS_EMPTY: u32 = 0x20;
const STATUS_IDLE: u32 = 0x40;
const INTERRUPT_RECEIVED: u32 = 0x01;
/** FIFOs on and cleared, an interrupt from the first byte on. */
const FIFO_START: u32 = 0x07;
const LINE_8N1: u32 = 0x03;
/** DTR, RTS, and OUT2, through which interrupts leave. */
const MODEM_READY: u32 = 0x0b;

const POWER_PORT: u32 = 0x604;
const POWER_OFF: u32 = 0x2000;
const KEYBOARD_PORT: u32 = 0x64;
const KEYBOARD_RESET: u32 = 0xfe;
const RESET_PORT: u32 = 0xcf9;
const RESET_NOW: u32 = 0x06;

const noTable: usize = memory.data(16, 8);

/** The console writes from the start on; what is typed waits for `consoleSetup`. */
export function startConsole(): void {
  outb(INTERRUPTS, 0);
  outb(LINE, LINE_8N1);
  outb(FIFO, FIFO_START);
  outb(MODEM, 0x01);
}

/** The controllers take edges: as long as something is there, it is told. */
function input(): void {
  while ((inb(STATUS) & STATUS_RECEIVED) !== 0) {
    const before = received;
    consoleInputInterrupt();
    // A kernel that does not take it does not want it.
    if (received === before) inb(DATA);
  }
}

/** Bytes taken so far. */
let received: u64 = 0;

/** console.setup */
export function nativeConsoleSetup(): void {
  onInterrupt(SERIAL_IRQ, input);
  outb(MODEM, MODEM_READY);
  outb(INTERRUPTS, INTERRUPT_RECEIVED);
}

/** console.write */
export function nativeConsoleWrite(text: usize, bytes: usize): usize {
  let written: usize = 0;
  while (written < bytes && (inb(STATUS) & STATUS_EMPTY) !== 0) outb(DATA, load<u8>(text + written++));
  return written;
}

/** console.read */
export function nativeConsoleRead(into: usize, bytes: usize): usize {
  let count: usize = 0;
  while (count < bytes && (inb(STATUS) & STATUS_RECEIVED) !== 0) store<u8>(into + count++, <u8>inb(DATA));
  received += <u64>count;
  return count;
}

/** Nothing more happens but that the last bytes leave the port, which the end of the machine would cut off. */
function finish(): void {
  cli();
  while ((inb(STATUS) & STATUS_IDLE) === 0) {}
}

/** machine.power_off */
export function nativePowerOff(): void {
  finish();
  outw(POWER_PORT, POWER_OFF);
  for (;;) hlt();
}

/** machine.restart: the keyboard controller, or the chipset. */
export function nativeRestart(): void {
  finish();
  outb(KEYBOARD_PORT, KEYBOARD_RESET);
  outb(RESET_PORT, RESET_NOW);
  for (;;) hlt();
}

/** machine.crash: an exception that has no table to go to shuts the processor down. */
export function nativeCrash(): void {
  finish();
  lidt(noTable);
  breakpoint();
}
