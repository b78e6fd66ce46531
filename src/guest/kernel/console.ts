/**
 * The keyboard's side of the console: keys wait in a ring until somebody reads, and a line editor makes lines of them.
 *
 *     left, right, Home, End (^A, ^E)   move        Backspace, Delete      take a character away
 *     up, down (^P, ^N)                 lines that were typed before       ^U, ^K   to the line's beginning, end
 *
 * The keyboard is the foreground program's while there is one, else the shell's: so one task reads at a time. ^C ends that
 * program; the shell's line it empties.
 */
import { onConsoleInput } from '../paravirt/handlers';
import {
  consoleRead,
  consoleSetup,
  disableInterrupts,
  restoreFlags,
  saveFlags,
} from '../paravirt/operations';
import { currentTask, FOR_INPUT, killTask, sleepFor, Task, wake } from './tasks';
import { flush, put } from './text';

const KEYS: u32 = 1024;
const keys: usize = memory.data(1024);
let produced: u32 = 0;
let consumed: u32 = 0;
const chunk: usize = memory.data(16);
const CHUNK: usize = 16;
/** The task that waits for a key; 0: nobody. */
let reader: usize = 0;
/** The task that may read, and that ^C ends; 0: none, and the shell reads. */
let foreground: usize = 0;

export const LINE_BYTES: usize = 128;
const REMEMBERED: u32 = 8;
/** Lines typed before, the last at (`typed` - 1) modulo REMEMBERED, each with a zero at its end. */
const history: usize = memory.data(8 * 128);
let typed: u32 = 0;

const CONTROL_A: u32 = 1;
const CONTROL_C: u32 = 3;
const CONTROL_E: u32 = 5;
const CONTROL_K: u32 = 11;
const CONTROL_N: u32 = 14;
const CONTROL_P: u32 = 16;
const CONTROL_U: u32 = 21;
const BACKSPACE: u32 = 8;
const TAB: u32 = 9;
const ENTER: u32 = 13;
const LINE_FEED: u32 = 10;
const ESCAPE: u32 = 27;
const DELETE: u32 = 127;

export function startConsole(): void {
  onConsoleInput(input);
  consoleSetup();
  input();
}

/** Gives the keyboard to a program; 0: takes it back. */
export function setForeground(task: usize): void {
  foreground = task;
}

/** Whether the program that runs is the one that may read. */
export function inForeground(): bool {
  return changetype<usize>(currentTask()) === foreground;
}

/** Takes what was typed. With interrupts disabled. */
function input(): void {
  for (let bytes = consoleRead(chunk, CHUNK); bytes > 0; bytes = consoleRead(chunk, CHUNK)) {
    for (let i: usize = 0; i < bytes; i++) takeKey(load<u8>(chunk + i));
  }
  if (reader !== 0 && produced !== consumed) wake(changetype<Task>(reader));
}

function takeKey(key: u32): void {
  if (key === CONTROL_C && foreground !== 0) {
    killTask(changetype<Task>(foreground));
    return;
  }
  // A ring that is full drops what comes.
  if (produced - consumed < KEYS) store<u8>(keys + (produced++ & (KEYS - 1)), <u8>key);
}

/** The next key; waits for it. -1: this task is to end. */
function readKey(): i32 {
  flush();
  const state = saveFlags();
  disableInterrupts();
  while (produced === consumed && !currentTask().killed) {
    reader = changetype<usize>(currentTask());
    sleepFor(FOR_INPUT, 0);
  }
  reader = 0;
  const key = produced === consumed ? -1 : <i32>load<u8>(keys + (consumed++ & (KEYS - 1)));
  restoreFlags(state);
  return key;
}

/** The line that is edited: where, its length, where the next character goes. */
let line: usize = 0;
let length: usize = 0;
let cursor: usize = 0;
/** Which of the lines before is shown: 0 for the new one. */
let back: u32 = 0;
/** Whether characters found no room at its end; who then takes some away has seen that, and means what is left. */
export let lineCut: bool = false;

/** Reads a line of less than LINE_BYTES to `into`, a zero at its end. Returns its length; -1: this task is to end. */
export function readLine(into: usize): i32 {
  line = into;
  length = 0;
  cursor = 0;
  back = 0;
  lineCut = false;
  for (;;) {
    const key = readKey();
    if (key < 0) return -1;
    if (key === <i32>ENTER || key === <i32>LINE_FEED) break;
    edit(<u32>key);
  }
  moveTo(length);
  put(LINE_FEED);
  store<u8>(line + length, 0);
  remember();
  return <i32>length;
}

function edit(key: u32): void {
  if (key === ESCAPE) editSequence();
  else if (key === CONTROL_A) moveTo(0);
  else if (key === CONTROL_E) moveTo(length);
  else if (key === CONTROL_K) remove(cursor, length);
  else if (key === CONTROL_U) remove(0, cursor);
  else if (key === CONTROL_C) remove(0, length);
  else if (key === CONTROL_P) recall(back + 1);
  else if (key === CONTROL_N) recall(back - 1);
  else if (key === BACKSPACE || key === DELETE) {
    if (cursor > 0) remove(cursor - 1, cursor);
  } else if (key === TAB) insert(0x20);
  else if (key >= 0x20 && key < DELETE) insert(key);
}

/** What follows Escape: [A up, [B down, [C right, [D left, [H Home, [F End, [3~ Delete. */
function editSequence(): void {
  if (readKey() !== 0x5b) return;
  const key = readKey();
  if (key === 0x41) recall(back + 1);
  else if (key === 0x42) recall(back - 1);
  else if (key === 0x43 && cursor < length) moveTo(cursor + 1);
  else if (key === 0x44 && cursor > 0) moveTo(cursor - 1);
  else if (key === 0x48) moveTo(0);
  else if (key === 0x46) moveTo(length);
  else if (key === 0x33) {
    readKey();
    if (cursor < length) remove(cursor, cursor + 1);
  }
}

function moveTo(place: usize): void {
  while (cursor > place) {
    put(BACKSPACE);
    cursor--;
  }
  while (cursor < place) put(load<u8>(line + cursor++));
}

function insert(key: u32): void {
  if (length + 1 >= LINE_BYTES) {
    lineCut = true;
    return;
  }
  memory.copy(line + cursor + 1, line + cursor, length - cursor);
  store<u8>(line + cursor, <u8>key);
  length++;
  const place = cursor + 1;
  moveTo(length);
  moveTo(place);
}

/** Takes characters away, and shows what is left of the line from there on. */
function remove(from: usize, to: usize): void {
  if (to > from) lineCut = false;
  moveTo(from);
  memory.copy(line + from, line + to, length - to);
  const shorter = length - (to - from);
  for (let i = from; i < length; i++) put(i < shorter ? load<u8>(line + i) : 0x20);
  cursor = length;
  length = shorter;
  moveTo(from);
}

function remember(): void {
  if (length === 0) return;
  memory.copy(history + (typed++ % REMEMBERED) * LINE_BYTES, line, length + 1);
}

/** Shows the line that was typed `which` lines ago; 0: an empty one. */
function recall(which: u32): void {
  if (which > typed || which > REMEMBERED || back + which === 0) return;
  back = which;
  remove(0, length);
  if (which === 0) return;
  const old = history + ((typed - which) % REMEMBERED) * LINE_BYTES;
  while (load<u8>(old + length) !== 0) insert(load<u8>(old + length));
}
