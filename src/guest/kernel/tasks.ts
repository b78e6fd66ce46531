/**
 * Tasks: each has a stack in the kernel, and a user's has an address space. One runs at a time; the timer takes the processor
 * away from it (clock.ts), or it gives it up by waiting for something.
 *
 *              createTask              schedule                   exitTask           its parent's wait
 *     FREE ───────────────▶ READY ◀──────────────▶ (current) ─────────────▶ ENDED ─────────────────▶ FREE
 *                             ▲                        │
 *                             └── wake ── ASLEEP ◀─────┘ until a time, a child's end, or a key
 *
 * All of the kernel's data is guarded by one rule: whoever touches it has interrupts disabled, and nobody is switched away
 * from who does not ask for it. So system calls and faults, which begin disabled, need no locks at all.
 */
import { prepareStack, switchStack } from '../machine/stack';
import {
  disableInterrupts,
  enableInterrupts,
  endContextSwitch,
  loadSp0,
  restoreFlags,
  saveFlags,
  schedClock,
  setNextEvent,
  startContextSwitch,
  writeCr3,
} from '../paravirt/operations';
import { PAGE } from './entries';
import { takePages } from './pages';
import { destroySpace } from './spaces';

export const FREE: u32 = 0;
export const READY: u32 = 1;
export const ASLEEP: u32 = 2;
export const ENDED: u32 = 3;

/** What a task that is asleep waits for. */
export const FOR_TIME: u32 = 1;
export const FOR_CHILD: u32 = 2;
export const FOR_INPUT: u32 = 3;

export const NAME_BYTES: usize = 16;
/** How long a task may run while others want to. */
export const SLICE: u64 = 10000000;

const MOST_TASKS: usize = 48;
const STACK_PAGES: usize = 2;
const STACK_BYTES: usize = STACK_PAGES * PAGE;

@unmanaged
export class Task {
  number: u32;
  state: u32;
  /** FOR_…, of a task that is asleep. */
  waitsFor: u32;
  /** Somebody wants its end; it comes when it would go back to its user's code. */
  killed: bool;
  /** The task that may wait for its end; 0: nobody. */
  parent: usize;
  exitStatus: u32;
  /** Its address space; 0 for a thread of the kernel. */
  space: usize;
  /** Its stack in the kernel, which belongs to the place in the table; and where it was left. */
  stackTop: usize;
  stackPointer: usize;
  /** A thread's function, by its table index. */
  entry: u32;
  argument: usize;
  /** When it wants to wake, by sched_clock. */
  wakeAt: u64;
  /** Nanoseconds that it ran, and since when it runs. */
  ran: u64;
  since: u64;
  /** Its name, with a zero at the end. */
  name0: u64;
  name1: u64;
}

const SIZEOF_Task: usize = (offsetof<Task>() + 7) & ~7;
const table: usize = memory.data(48 * 128, 8);

/** The first is what the start becomes: it runs when nobody else wants to. */
export let current: usize = table;
/** Whether the processor should go to somebody else at the next chance. */
let wanted: bool = false;
/** The space whose tables are loaded; 0: the kernel's own. A thread of the kernel keeps what it finds. */
let loadedSpace: usize = 0;
let nextNumber: u32 = 1;
/** The stacks of all places in the table but the first, whose stack is the one that the kernel began on. */
let stacks: usize = 0;
export let switches: u64 = 0;

export function taskAt(index: usize): Task {
  return changetype<Task>(table + index * SIZEOF_Task);
}

export function taskCount(): usize {
  return MOST_TASKS;
}

export function currentTask(): Task {
  return changetype<Task>(current);
}

/**
 * Makes the code that runs now the first task. Takes the stacks of all others, while there are still pages side by side:
 * once memory has run out, what comes back are single ones.
 */
export function startTasks(name: string): void {
  if (SIZEOF_Task > 128) unreachable();
  stacks = takePages((MOST_TASKS - 1) * STACK_PAGES);
  if (stacks === 0) unreachable();
  const task = taskAt(0);
  task.state = READY;
  task.since = schedClock();
  nameTask(task, name);
}

function nameTask(task: Task, name: string): void {
  const at = changetype<usize>(task) + offsetof<Task>('name0');
  for (let i = 0; i < name.length && <usize>i < NAME_BYTES - 1; i++)
    store<u8>(at + i, load<u16>(changetype<usize>(name) + 2 * i));
}

/** Copies a name that ends with a zero. */
export function renameTask(task: Task, name: usize): void {
  const at = nameOf(task);
  memory.fill(at, 0, NAME_BYTES);
  for (let i: usize = 0; i < NAME_BYTES - 1 && load<u8>(name + i) !== 0; i++)
    store<u8>(at + i, load<u8>(name + i));
}

export function nameOf(task: Task): usize {
  return changetype<usize>(task) + offsetof<Task>('name0');
}

/** A task that is not READY yet, with a stack; null without a place. With interrupts disabled. */
export function newTask(parent: usize): Task | null {
  for (let i: usize = 1; i < MOST_TASKS; i++) {
    const task = taskAt(i);
    const abandoned = task.state === ENDED && task.parent === 0;
    if (task.state !== FREE && !abandoned) continue;
    memory.fill(changetype<usize>(task), 0, SIZEOF_Task);
    task.stackTop = stacks + i * STACK_BYTES;
    task.number = nextNumber++;
    task.parent = parent;
    return task;
  }
  return null;
}

/** Has `task` begin with `entry(argument)`, on its own stack below `top`, interrupts disabled. */
export function setStart(task: Task, top: usize, entry: (argument: usize) => void, argument: usize): void {
  task.stackPointer = prepareStack(top & ~15, entry.index, argument);
  task.state = READY;
}

/** A thread of the kernel, which runs `entry(argument)` with interrupts enabled, and may be interrupted by others. */
export function createThread(name: string, entry: (argument: usize) => void, argument: usize): Task | null {
  const state = saveFlags();
  disableInterrupts();
  const task = newTask(0);
  if (task !== null) {
    nameTask(task, name);
    task.entry = entry.index;
    task.argument = argument;
    setStart(task, task.stackTop, runThread, changetype<usize>(task));
  }
  restoreFlags(state);
  return task;
}

function runThread(thread: usize): void {
  const task = changetype<Task>(thread);
  enableInterrupts();
  call_indirect<void>(task.entry, task.argument);
  disableInterrupts();
  exitTask(0);
}

/** Gives the processor to the next task that wants it. With interrupts disabled; comes back when it is this one's turn. */
export function schedule(): void {
  wanted = false;
  const next = nextReady();
  if (changetype<usize>(next) === current) return;
  const before = currentTask();
  const now = schedClock();
  before.ran += now - before.since;
  next.since = now;
  // Who runs alone is not interrupted; the first task sets the timer itself.
  if (changetype<usize>(before) === table) setNextEvent(SLICE);
  current = changetype<usize>(next);
  switches++;
  startContextSwitch();
  loadSp0(next.stackTop);
  if (next.space !== 0) loadSpace(next.space);
  endContextSwitch();
  switchStack(changetype<usize>(before) + offsetof<Task>('stackPointer'), next.stackPointer);
}

function nextReady(): Task {
  const from = (current - table) / SIZEOF_Task;
  for (let i: usize = 1; i <= MOST_TASKS; i++) {
    const index = (from + i) % MOST_TASKS;
    if (index !== 0 && taskAt(index).state === READY) return taskAt(index);
  }
  return taskAt(0);
}

/** Whether somebody but the first task wants to run. */
export function anyReady(): bool {
  for (let i: usize = 1; i < MOST_TASKS; i++) if (taskAt(i).state === READY) return true;
  return false;
}

/** Loads a space, if it is not there already. */
export function loadSpace(space: usize): void {
  if (space === loadedSpace) return;
  writeCr3(space);
  loadedSpace = space;
}

/** Takes a space apart, which no task uses any more. */
export function endSpace(space: usize): void {
  destroySpace(space);
  if (space === loadedSpace) loadedSpace = 0;
}

/** At the next chance, somebody else. */
export function wantSwitch(): void {
  wanted = true;
}

/** The chance: an interrupt or a system call is at its end. */
export function switchIfWanted(): void {
  if (wanted) schedule();
}

/** Waits; somebody calls `wake`, or the time comes. With interrupts disabled. */
export function sleepFor(reason: u32, wakeAt: u64): void {
  const task = currentTask();
  task.state = ASLEEP;
  task.waitsFor = reason;
  task.wakeAt = wakeAt;
  schedule();
}

export function wake(task: Task): void {
  if (task.state !== ASLEEP) return;
  task.state = READY;
  task.wakeAt = 0;
  wanted = true;
}

/** Wakes those whose time has come. Returns when the next one's comes; 0: nobody waits for a time. */
export function wakeSleepers(now: u64): u64 {
  let earliest: u64 = 0;
  for (let i: usize = 1; i < MOST_TASKS; i++) {
    const task = taskAt(i);
    if (task.state !== ASLEEP || task.wakeAt === 0) continue;
    if (task.wakeAt <= now) wake(task);
    else if (earliest === 0 || task.wakeAt < earliest) earliest = task.wakeAt;
  }
  return earliest;
}

/** Has a task end as soon as it would go on in its user's code, wherever it waits now. */
export function killTask(task: Task): void {
  task.killed = true;
  wake(task);
}

/** The end of the task that runs. Its memory goes now. Does not return. */
export function exitTask(status: u32): void {
  disableInterrupts();
  const task = currentTask();
  task.exitStatus = status;
  task.state = ENDED;
  if (task.space !== 0) {
    const space = task.space;
    task.space = 0;
    endSpace(space);
  }
  for (let i: usize = 1; i < MOST_TASKS; i++) {
    if (taskAt(i).parent === current) taskAt(i).parent = 0;
  }
  if (task.parent !== 0) {
    const parent = changetype<Task>(task.parent);
    if (parent.waitsFor === FOR_CHILD) wake(parent);
  }
  schedule();
  unreachable();
}

/**
 * Waits until a child of the task that runs has ended: `number`'s, or anybody's if that is 0. Returns its number, with its
 * status at `status`; 0: there is no such child, or this task is to end.
 */
export function waitForChild(number: u32, status: usize): u32 {
  let child = findChild(number);
  while (child !== null && child.state !== ENDED && !currentTask().killed) {
    sleepFor(FOR_CHILD, 0);
    child = findChild(number);
  }
  if (child === null || child.state !== ENDED) return 0;
  child.state = FREE;
  child.parent = 0;
  store<u32>(status, child.exitStatus);
  return child.number;
}

/** A child of the task that runs, one that has ended if there is such a one. */
function findChild(number: u32): Task | null {
  let child: Task | null = null;
  for (let i: usize = 1; i < MOST_TASKS; i++) {
    const task = taskAt(i);
    if (task.state === FREE || task.parent !== current || (number !== 0 && task.number !== number)) continue;
    if (child === null || task.state === ENDED) child = task;
  }
  return child;
}

/** A task by its number. */
export function findTask(number: u32): Task | null {
  for (let i: usize = 0; i < MOST_TASKS; i++) {
    if (taskAt(i).state !== FREE && taskAt(i).number === number) return taskAt(i);
  }
  return null;
}
