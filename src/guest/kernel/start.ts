/** The start, once a back end stands behind the operations: from here on nobody asks on what this runs. */
import { ON_XEN, platform } from '../paravirt/info';
import {
  archSetup,
  enableInterrupts,
  initInterrupts,
  pagetableSetupDone,
  pagetableSetupStart,
  readCr0,
  writeCr0,
} from '../paravirt/operations';
import { applyPatches, sitesPatched } from '../paravirt/patch';
import { idle, noteStart, startClock, uptime } from './clock';
import { startConsole } from './console';
import { freePages, startPages, totalPages } from './pages';
import { setRoot } from './shell/memory-commands';
import { shell } from './shell/shell';
import { createThread, startTasks } from './tasks';
import { print, printNumber, printSeconds } from './text';
import { startTraps } from './traps';

/** What is read-only is so for the kernel, too: a system call that writes to a user's page must not write to a shared one. */
const CR0_WRITE_PROTECT: u64 = 0x10000;

/**
 * Memory from `freeMemory` on is ours, up to `limit` (physical; 0: to where the RAM ends). What the command line has behind
 * `shell=` is for the shell. Does not return.
 */
export function startKernel(freeMemory: usize, limit: u64, commandLine: usize): void {
  noteStart();
  const root = pagetableSetupStart();
  startPages(freeMemory, limit, root);
  pagetableSetupDone();
  setRoot(root);
  startTraps();
  writeCr0(readCr0() | CR0_WRITE_PROTECT);
  initInterrupts();
  archSetup();
  startTasks('idle');
  startClock();
  startConsole();
  applyPatches();
  greet();
  createThread('shell', shell, commandLine);
  enableInterrupts();
  idle();
}

function greet(): void {
  print('ringone: a small kernel, ');
  print(platform === ON_XEN ? 'paravirtualized above Xen' : 'on the bare machine');
  print('\n');
  printNumber(<u64>totalPages / 256);
  print(' MiB, ');
  printNumber(<u64>freePages * 4);
  print(' KiB free, ');
  printNumber(sitesPatched);
  print(' calls patched, ready after ');
  printSeconds(uptime());
  print(' s. Type help.\n');
}
