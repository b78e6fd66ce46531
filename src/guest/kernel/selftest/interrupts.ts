/** irq: the hot four, interrupts that become pending while they are disabled, waiting. */
import { onTimer } from '../../paravirt/handlers';
import {
  disableInterrupts,
  enableInterrupts,
  restoreFlags,
  safeHalt,
  saveFlags,
  schedClock,
  setNextEvent,
  stopTimer,
} from '../../paravirt/operations';
import { bindIpi, closePort, maskPort, notifyPort, onEvent, unmaskPort } from '../../xen/events';
import { check, checkEqual } from './output';

const MILLISECOND: u64 = 1000000;

let events: u32 = 0;
/** So late a timer may be where an emulator that has others beside it is the machine. */
const LATENESS: u64 = 40 * MILLISECOND;

let ticks: u32 = 0;
let maskedInHandler: bool = false;

function event(_port: u32): void {
  events++;
  maskedInHandler = saveFlags() === 0;
}

function tick(): void {
  ticks++;
}

/** Waits for a timer interrupt; others, such as the console's, come too. Interrupts are enabled afterwards. */
function waitForTick(): void {
  disableInterrupts();
  for (const before = ticks; ticks === before; ) {
    safeHalt();
    if (ticks === before) disableInterrupts();
  }
}

export function testFlags(): void {
  disableInterrupts();
  checkEqual('irq_disable, save_fl', saveFlags(), 0);
  enableInterrupts();
  checkEqual('irq_enable, save_fl', saveFlags(), 0x200);
  const enabled = saveFlags();
  disableInterrupts();
  const disabled = saveFlags();
  restoreFlags(enabled);
  checkEqual('restore_fl: enabled', saveFlags(), 0x200);
  restoreFlags(disabled);
  checkEqual('restore_fl: disabled', saveFlags(), 0);
  restoreFlags(0x246);
  checkEqual('restore_fl looks at its own bit', saveFlags(), 0x200);
  restoreFlags(0x46);
  checkEqual('restore_fl looks at nothing else', saveFlags(), 0);
}

/** Event channels, which only Xen has. */
export function testPendingOnUnmask(): void {
  const port = bindIpi(0);
  check('an event channel of our own', port !== 0);
  onEvent(port, event);
  unmaskPort(port);
  disableInterrupts();
  events = 0;
  notifyPort(port);
  checkEqual('no event while they are disabled', events, 0);
  enableInterrupts();
  checkEqual('irq_enable sees to what is pending', events, 1);
  check('a handler runs with events masked', maskedInHandler);
  checkEqual('and they are let through again after it', saveFlags(), 0x200);
  disableInterrupts();
  notifyPort(port);
  restoreFlags(0x200);
  checkEqual('restore_fl sees to what is pending', events, 2);
  notifyPort(port);
  checkEqual('an enabled event comes at once', events, 3);
  maskPort(port);
  notifyPort(port);
  checkEqual('a masked port is silent', events, 3);
  unmaskPort(port);
  checkEqual('until it is unmasked', events, 4);
  disableInterrupts();
  checkEqual('a port is closed', <u64>closePort(port), 0);
}

function waste(nanoseconds: u64): void {
  const start = schedClock();
  while (schedClock() - start < nanoseconds) {
    // Nothing but time.
  }
}

export function testTimer(): void {
  onTimer(tick);
  disableInterrupts();
  ticks = 0;
  setNextEvent(MILLISECOND);
  waste(LATENESS);
  checkEqual('no interrupt while they are disabled', ticks, 0);
  enableInterrupts();
  checkEqual('irq_enable lets it in', ticks, 1);
  disableInterrupts();
  setNextEvent(MILLISECOND);
  waste(LATENESS);
  restoreFlags(0x200);
  checkEqual('so does restore_fl', ticks, 2);
  ticks = 0;
  const before = schedClock();
  setNextEvent(2 * MILLISECOND);
  waitForTick();
  const after = schedClock();
  checkEqual('safe_halt waits for the timer', ticks, 1);
  check('no shorter than was asked for', after - before >= 2 * MILLISECOND);
  checkEqual('safe_halt leaves interrupts enabled', saveFlags(), 0x200);
  setNextEvent(5 * MILLISECOND);
  setNextEvent(1 * MILLISECOND);
  waitForTick();
  checkEqual('a new event takes the place of the old one', ticks, 2);
  setNextEvent(1 * MILLISECOND);
  stopTimer();
  waste(3 * MILLISECOND);
  checkEqual('shutdown stops it', ticks, 2);
  disableInterrupts();
}
