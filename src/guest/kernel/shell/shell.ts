/** The shell: a thread of the kernel that reads lines and does what they say. `help` lists it all. */
import { EmbeddedFile, filesEnd, filesStart } from '../../machine/image';
import { disableInterrupts, enableInterrupts, powerOff, restart } from '../../paravirt/operations';
import { LINE_BYTES, lineCut, readLine, setForeground } from '../console';
import { panic } from '../panic';
import { findProgram, spawn } from '../programs';
import { currentTask, findTask, killTask, Task, waitForChild } from '../tasks';
import { flush, isText, print, printBytes, printNumber, printWord } from '../text';
import { free, pageTable } from './memory-commands';
import { processes, uptimeCommand } from './task-commands';
import { argument, MOST_WORDS, numberArgument, splitWords, wordCount } from './words';
import { eventChannels, hypercalls, physToMachine } from './xen-commands';

/** LINE_BYTES. */
const line: usize = memory.data(128);
/** shell= */
const SCRIPT: usize = memory.data<u8>([0x73, 0x68, 0x65, 0x6c, 0x6c, 0x3d]);
const SCRIPT_BYTES: usize = 6;
const SEMICOLON: u32 = 0x3b;
const status: usize = memory.data(4, 4);

/** Begins with the commands of the kernel's command line, then reads. Never ends. */
export function shell(commandLine: usize): void {
  obeyCommandLine(commandLine);
  for (;;) {
    print('> ');
    flush();
    readLine(line);
    obey(lineCut);
  }
}

/** Behind the text `shell=`, commands with semicolons between them. */
function obeyCommandLine(commandLine: usize): void {
  let at = commandLine;
  while (!beginsScript(at)) if (load<u8>(at++) === 0) return;
  for (at += SCRIPT_BYTES; ; at++) {
    let length: usize = 0;
    let cut = false;
    while (load<u8>(at) !== 0 && load<u8>(at) !== SEMICOLON) {
      if (length + 1 < LINE_BYTES) store<u8>(line + length++, load<u8>(at));
      else cut = true;
      at++;
    }
    store<u8>(line + length, 0);
    print('> ');
    printWord(line);
    print('\n');
    obey(cut);
    if (load<u8>(at) === 0) return;
  }
}

/** Whether the text at `at` goes on with `shell=`. */
function beginsScript(at: usize): bool {
  return memory.compare(at, SCRIPT, SCRIPT_BYTES) === 0;
}

/** Does what the line says, all of it or nothing. */
function obey(cut: bool): void {
  if (cut) refuse(<u32>LINE_BYTES - 1, ' characters');
  else if (!splitWords(line)) refuse(MOST_WORDS, ' words');
  else if (wordCount > 0) command(argument(0));
}

function refuse(most: u32, what: string): void {
  print('expected at most ');
  printNumber(most);
  print(what);
  print('; nothing was done\n');
}

function command(name: usize): void {
  if (isText(name, 'help')) help();
  else if (isText(name, 'ps')) processes();
  else if (isText(name, 'free')) free();
  else if (isText(name, 'uptime')) uptimeCommand();
  else if (isText(name, 'pgtable')) pageTable();
  else if (isText(name, 'p2m')) physToMachine();
  else if (isText(name, 'evtchn')) eventChannels();
  else if (isText(name, 'hypercalls')) hypercalls();
  else if (isText(name, 'run')) run();
  else if (isText(name, 'kill')) kill();
  else if (isText(name, 'panic')) panic('the shell was asked for it');
  else if (isText(name, 'reboot')) restart();
  else if (isText(name, 'halt')) powerOff();
  else {
    printWord(name);
    print(': no such command; help lists them\n');
  }
}

function help(): void {
  print('help                     this list\n');
  print('ps                       tasks\n');
  print('free                     memory\n');
  print('uptime                   time, ticks, switches, faults\n');
  print('pgtable [TASK] [ADDRESS] the tables down to an address (hexadecimal), of a task or the kernel\n');
  print('p2m                      what stands behind our frames (Xen)\n');
  print('evtchn                   event channels (Xen)\n');
  print('hypercalls               what was asked of the hypervisor, and what asking costs (Xen)\n');
  print('run PROGRAM [WORDS] [&]  start a program:');
  for (let at = filesStart(); at < filesEnd(); at += offsetof<EmbeddedFile>()) {
    print(' ');
    printBytes(changetype<EmbeddedFile>(at).name, changetype<EmbeddedFile>(at).nameBytes);
  }
  print('\nkill TASK                end one\n');
  print('panic, reboot, halt      ways to leave\n');
}

/** Words behind `run` are the program's. */
function run(): void {
  if (wordCount < 2) {
    print('run: expected a program; help lists them\n');
    return;
  }
  const background = wordCount > 2 && isText(argument(wordCount - 1), '&');
  const count = wordCount - 1 - (background ? 1 : 0);
  const file = findProgram(argument(1));
  if (file === null) {
    printWord(argument(1));
    print(': no such program; help lists them\n');
    return;
  }
  disableInterrupts();
  const task = spawn(file, argument(1), count, background ? 0 : changetype<usize>(currentTask()));
  if (task === null) print('run: no memory, or too many tasks\n');
  else if (background) {
    print('task ');
    printNumber(task.number);
    print('\n');
  } else waitFor(task);
  enableInterrupts();
}

function waitFor(task: Task): void {
  setForeground(changetype<usize>(task));
  waitForChild(task.number, status);
  setForeground(0);
  if (load<u32>(status) === 0) return;
  print('status ');
  printNumber(load<u32>(status));
  print('\n');
}

function kill(): void {
  const task = findTask(<u32>numberArgument(1, 10));
  if (task === null || task.space === 0) print('kill: expected the number of a program\n');
  else killTask(task);
}
