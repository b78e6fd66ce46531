/**
 * Interrupts: two 8259A controllers, whose sixteen inputs become vectors 0x20 to 0x2f. A back end's own handlers stand behind
 * two of them (time.ts, console.ts); the gates are tables.ts's. (Intel 8259A data sheet.)
 */
import { inb, outb } from '../machine/processor';
import { TrapFrame } from '../machine/trap-frame';
import { afterInterrupt, onTrap } from '../paravirt/handlers';
import { enterInterrupt, leaveInterrupt } from '../paravirt/lazy';

export const FIRST_VECTOR: u32 = 0x20;
export const IRQS: u32 = 16;

const FIRST: u32 = 0x20;
const SECOND: u32 = 0xa0;
const CASCADE: u32 = 2;
/** Inputs that go without a request show up as these; they want no EOI from where they claim to come. */
const SPURIOUS_FIRST: u32 = 7;
const SPURIOUS_SECOND: u32 = 15;
const READ_IN_SERVICE: u32 = 0x0b;
const IN_SERVICE_7: u32 = 0x80;
const EOI: u32 = 0x20;

/** Table indices of `() => void`, by IRQ; 0: none. */
const handlers: usize = memory.data(16 * 4, 4);
let masks: u32 = 0xffff;

/** irq.init_IRQ: both controllers from the beginning (ICW1 to ICW4), everything masked but the cascade. */
export function nativeInitInterrupts(): void {
  outb(FIRST, 0x11);
  outb(SECOND, 0x11);
  outb(FIRST + 1, FIRST_VECTOR);
  outb(SECOND + 1, FIRST_VECTOR + 8);
  outb(FIRST + 1, 1 << CASCADE);
  outb(SECOND + 1, CASCADE);
  outb(FIRST + 1, 1);
  outb(SECOND + 1, 1);
  masks = 0xffff & ~(1 << CASCADE);
  writeMasks();
  for (let irq: u32 = 0; irq < IRQS; irq++) onTrap(FIRST_VECTOR + irq, interrupt);
}

/** Sets the handler of an IRQ and lets it come. */
export function onInterrupt(irq: u32, handler: () => void): void {
  store<u32>(handlers + irq * 4, handler.index);
  masks &= ~(1 << irq);
  writeMasks();
}

function writeMasks(): void {
  outb(FIRST + 1, masks & 0xff);
  outb(SECOND + 1, masks >> 8);
}

/** Every interrupt arrives here, disabled. The controller hears the end before the kernel may switch tasks. */
function interrupt(frame: usize): void {
  const irq = <u32>changetype<TrapFrame>(frame).vector - FIRST_VECTOR;
  enterInterrupt();
  if (!isSpurious(irq)) {
    if (irq >= 8) outb(SECOND, EOI);
    outb(FIRST, EOI);
    const handler = load<u32>(handlers + irq * 4);
    if (handler !== 0) call_indirect<void>(handler);
  }
  leaveInterrupt();
  afterInterrupt(frame);
}

function isSpurious(irq: u32): bool {
  if (irq !== SPURIOUS_FIRST && irq !== SPURIOUS_SECOND) return false;
  const controller = irq === SPURIOUS_FIRST ? FIRST : SECOND;
  outb(controller, READ_IN_SERVICE);
  if ((inb(controller) & IN_SERVICE_7) !== 0) return false;
  // The first controller did serve its input from the second.
  if (irq === SPURIOUS_SECOND) outb(FIRST, EOI);
  return true;
}
