/**
 * Two 8259A interrupt controllers as a PC has them: the second one's output is input 2 of the first. IRQ 0 is the timer,
 * IRQ 4 the serial port.
 *
 *     port 0x20, 0xa0   write: ICW1 (bit 4), OCW3 (bit 3), OCW2 (neither)      read: IRR, ISR or a poll
 *     port 0x21, 0xa1   write: ICW2 to ICW4 after ICW1, then OCW1, the mask    read: the mask
 *
 * Inputs are edge-triggered. (Intel 8259A data sheet, order number 231468.)
 */
import type { PortDevice } from '../ports.ts';

const INPUTS = 8;
const CASCADE = 2;
/** Where an input that has gone shows up. */
const SPURIOUS = 7;
const SECOND_BASE = 0xa0;

const ICW1_ICW4 = 0x01;
const ICW1_SINGLE = 0x02;
const ICW1 = 0x10;
const ICW4_AUTO_EOI = 0x02;
const OCW3 = 0x08;
const OCW3_READ = 0x02;
const OCW3_READ_ISR = 0x01;
const OCW3_POLL = 0x04;
const OCW3_SPECIAL_MASK = 0x40;
const OCW3_SPECIAL_MASK_ON = 0x20;
const OCW2_EOI = 0x20;
const OCW2_SPECIFIC = 0x40;
const OCW2_ROTATE = 0x80;
const POLL_PENDING = 0x80;

/** One 8259A. */
class Controller {
  /** Requests that wait, and those that are being served. */
  requests = 0;
  inService = 0;
  mask = 0xff;
  private lines = 0;
  /** First of eight vectors. */
  private base = 0;
  /** Next initialisation word that port 1 takes: 2, 3 or 4; 0: initialised. */
  private expected = 0;
  private wantsIcw4 = false;
  private single = false;
  private autoEoi = false;
  private rotatesOnAutoEoi = false;
  private specialMask = false;
  private readsInService = false;
  private polled = false;
  /** The input of the highest priority. */
  private first = 0;

  setLine(input: number, level: boolean): void {
    const bit = 1 << input;
    if (level && (this.lines & bit) === 0) this.requests |= bit;
    this.lines = level ? this.lines | bit : this.lines & ~bit;
  }

  /** The input that may interrupt now, or −1. */
  pending(): number {
    const request = this.highest(this.requests & ~this.mask);
    if (request < 0) return -1;
    const served = this.highest(this.served);
    return served < 0 || this.rank(request) < this.rank(served) ? request : -1;
  }

  /** What is being served, as far as it counts: in special mask mode a masked input does not. */
  private get served(): number {
    return this.specialMask ? this.inService & ~this.mask : this.inService;
  }

  /** The processor takes an interrupt: its vector. */
  acknowledge(input: number): number {
    const bit = 1 << input;
    if (input === this.pending()) {
      this.requests &= ~bit;
      if (!this.autoEoi) this.inService |= bit;
      else if (this.rotatesOnAutoEoi) this.first = (input + 1) % INPUTS;
    }
    return this.base + input;
  }

  read(port: number): number {
    if (this.polled) {
      this.polled = false;
      const input = this.pending();
      if (input < 0) return 0;
      this.acknowledge(input);
      return POLL_PENDING | input;
    }
    if (port === 1) return this.mask;
    return this.readsInService ? this.inService : this.requests;
  }

  write(port: number, value: number): void {
    if (port === 1) this.writeData(value);
    else if ((value & ICW1) !== 0) this.initialise(value);
    else if ((value & OCW3) !== 0) this.writeOcw3(value);
    else this.writeOcw2(value);
  }

  private initialise(icw1: number): void {
    // The lines stay as they are: one that is high has to fall and rise again.
    this.requests = this.inService = this.mask = this.first = 0;
    this.autoEoi = this.specialMask = this.readsInService = this.polled = this.rotatesOnAutoEoi = false;
    this.wantsIcw4 = (icw1 & ICW1_ICW4) !== 0;
    this.single = (icw1 & ICW1_SINGLE) !== 0;
    this.expected = 2;
  }

  private writeData(value: number): void {
    if (this.expected === 0) {
      this.mask = value;
    } else if (this.expected === 2) {
      this.base = value & 0xf8;
      this.expected = !this.single ? 3 : this.wantsIcw4 ? 4 : 0;
    } else if (this.expected === 3) {
      this.expected = this.wantsIcw4 ? 4 : 0;
    } else {
      this.autoEoi = (value & ICW4_AUTO_EOI) !== 0;
      this.expected = 0;
    }
  }

  private writeOcw2(value: number): void {
    const rotate = (value & OCW2_ROTATE) !== 0;
    if ((value & OCW2_EOI) === 0) {
      if ((value & OCW2_SPECIFIC) === 0) this.rotatesOnAutoEoi = rotate;
      else if (rotate) this.first = ((value & 7) + 1) % INPUTS;
      return;
    }
    const input = (value & OCW2_SPECIFIC) !== 0 ? value & 7 : this.highest(this.served);
    if (input < 0) return;
    this.inService &= ~(1 << input);
    if (rotate) this.first = (input + 1) % INPUTS;
  }

  private writeOcw3(value: number): void {
    if ((value & OCW3_POLL) !== 0) this.polled = true;
    if ((value & OCW3_READ) !== 0) this.readsInService = (value & OCW3_READ_ISR) !== 0;
    if ((value & OCW3_SPECIAL_MASK) !== 0) this.specialMask = (value & OCW3_SPECIAL_MASK_ON) !== 0;
  }

  /** Place of an input in the order of priorities, 0 first. */
  private rank(input: number): number {
    return (input - this.first + INPUTS) % INPUTS;
  }

  private highest(inputs: number): number {
    for (let i = 0; i < INPUTS; i++) {
      const input = (this.first + i) % INPUTS;
      if ((inputs & (1 << input)) !== 0) return input;
    }
    return -1;
  }
}

export class InterruptController implements PortDevice {
  private readonly first = new Controller();
  private readonly second = new Controller();
  private readonly onRequest: () => void;

  /** `onRequest` is called whenever an interrupt waits for the processor after something has changed. */
  constructor(onRequest: () => void) {
    this.onRequest = onRequest;
  }

  /** Whether the processor's INTR is raised. */
  get requesting(): boolean {
    return this.first.pending() >= 0;
  }

  /** The level of IRQ 0 to 15. */
  setLine(irq: number, level: boolean): void {
    if (irq < INPUTS) this.first.setLine(irq, level);
    else this.second.setLine(irq - INPUTS, level);
    this.changed();
  }

  /** A rising edge on an IRQ. */
  pulse(irq: number): void {
    this.setLine(irq, false);
    this.setLine(irq, true);
  }

  /** The processor takes the interrupt that waits: its vector. One that has gone meanwhile is IRQ 7, spurious. */
  acknowledge(): number {
    const input = this.first.pending();
    let vector: number;
    if (input !== CASCADE) {
      vector = this.first.acknowledge(input < 0 ? SPURIOUS : input);
    } else {
      this.first.acknowledge(CASCADE);
      const behind = this.second.pending();
      vector = this.second.acknowledge(behind < 0 ? SPURIOUS : behind);
    }
    this.cascade();
    return vector;
  }

  read(port: number): number {
    const value = this.controllerAt(port).read(port & 1);
    this.changed();
    return value;
  }

  write(port: number, value: number): void {
    this.controllerAt(port).write(port & 1, value);
    this.changed();
  }

  private controllerAt(port: number): Controller {
    return port < SECOND_BASE ? this.first : this.second;
  }

  private cascade(): void {
    const waits = this.second.pending() >= 0;
    // Several requests of the second controller follow each other without its output falling: each is an edge here.
    if (waits) this.first.setLine(CASCADE, false);
    this.first.setLine(CASCADE, waits);
  }

  private changed(): void {
    this.cascade();
    if (this.requesting) this.onRequest();
  }
}
