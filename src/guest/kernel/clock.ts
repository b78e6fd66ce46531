/**
 * The clock's tick: while anybody runs the timer interrupts after each slice; while nobody does it is set for the next one
 * who wants to wake, or not at all.
 */
import { TrapFrame } from '../machine/trap-frame';
import { onInterruptEnd, onTimer } from '../paravirt/handlers';
import {
  disableInterrupts,
  safeHalt,
  schedClock,
  setNextEvent,
  stopTimer,
  timeInit,
} from '../paravirt/operations';
import {
  anyReady,
  currentTask,
  exitTask,
  SLICE,
  schedule,
  switchIfWanted,
  wakeSleepers,
  wantSwitch,
} from './tasks';

/** 128 and the number of SIGINT, as shells have it. */
const STATUS_INTERRUPTED: u32 = 130;
const USER_RING: u64 = 3;

export let ticks: u64 = 0;
let bootedAt: u64 = 0;

export function startClock(): void {
  timeInit();
  onTimer(tick);
  onInterruptEnd(interruptEnd);
}

/** The moment from which `uptime` counts. */
export function noteStart(): void {
  bootedAt = schedClock();
}

export function uptime(): u64 {
  return schedClock() - bootedAt;
}

function tick(): void {
  ticks++;
  wakeSleepers(schedClock());
  wantSwitch();
  if (currentTask().number !== 0) setNextEvent(SLICE);
}

/** Every interrupt's end: here tasks lose the processor, in the middle of whatever they do. */
function interruptEnd(frame: usize): void {
  switchIfWanted();
  endIfKilled(frame);
}

/** A task that somebody wants to end does so on the way back to its user's code, where it holds nothing of the kernel's. */
export function endIfKilled(frame: usize): void {
  if (currentTask().killed && (changetype<TrapFrame>(frame).cs & 3) === USER_RING)
    exitTask(STATUS_INTERRUPTED);
}

/** What the first task does for the rest of its life. */
export function idle(): void {
  for (;;) {
    disableInterrupts();
    const now = schedClock();
    const next = wakeSleepers(now);
    if (anyReady()) {
      schedule();
      continue;
    }
    if (next !== 0) setNextEvent(next - now);
    else stopTimer();
    safeHalt();
  }
}
