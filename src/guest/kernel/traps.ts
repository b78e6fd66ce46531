/** Traps: the IDT, page faults, and those that nobody wants, which end the task, or the kernel. */
import { TrapFrame } from '../machine/trap-frame';
import { onOtherTraps, onSystemCall, onTrap } from '../paravirt/handlers';
import { kernelCs } from '../paravirt/info';
import { enableSystemCalls, loadIdt, readCr2, trapEntry } from '../paravirt/operations';
import { endIfKilled } from './clock';
import { takePage } from './pages';
import { panic, printPlace } from './panic';
import { NO_MEMORY, RESOLVED, resolveFault } from './spaces';
import { systemCall } from './system-calls';
import { currentTask, exitTask, nameOf } from './tasks';
import { print, printHex, printNumber, printWord } from './text';

const VECTORS: u32 = 32;
const PAGE_FAULT: u32 = 14;
const GATE_INTERRUPT: u64 = 0x8e;
const FAULT_WRITE: u64 = 2;
const USER_RING: u64 = 3;
/** 128 and the number of SIGSEGV. */
const STATUS_FAULT: u32 = 139;
/** 128 and the number of SIGKILL, by which Linux ends who wants more memory than there is. */
const STATUS_NO_MEMORY: u32 = 137;

/** All gates disable interrupts on the way in. */
export function startTraps(): void {
  const idt = takePage();
  for (let vector: u32 = 0; vector < VECTORS; vector++) {
    const entry = trapEntry(vector);
    const offset = (entry & 0xffff) | ((entry & 0xffff0000) << 32);
    store<u64>(idt + vector * 16, offset | ((<u64>kernelCs) << 16) | (GATE_INTERRUPT << 40));
    store<u64>(idt + vector * 16, entry >> 32, 8);
  }
  onOtherTraps(unexpected);
  onTrap(PAGE_FAULT, pageFault);
  loadIdt(idt, VECTORS);
  onSystemCall(systemCall);
  enableSystemCalls();
}

function isUser(frame: TrapFrame): bool {
  return (frame.cs & 3) === USER_RING;
}

function pageFault(at: usize): void {
  const frame = changetype<TrapFrame>(at);
  if (!isUser(frame)) {
    unexpected(at);
    return;
  }
  const outcome = resolveFault(currentTask().space, readCr2(), (frame.error & FAULT_WRITE) !== 0);
  if (outcome === NO_MEMORY) endWithoutMemory();
  if (outcome !== RESOLVED) unexpected(at);
  endIfKilled(at);
}

function endWithoutMemory(): void {
  printWord(nameOf(currentTask()));
  print(': no memory is left\n');
  exitTask(STATUS_NO_MEMORY);
}

function unexpected(at: usize): void {
  const frame = changetype<TrapFrame>(at);
  if (isUser(frame)) {
    printWord(nameOf(currentTask()));
    print(': ');
  }
  print('trap ');
  printNumber(frame.vector);
  print(', error ');
  printHex(frame.error);
  if (frame.vector === <u64>PAGE_FAULT) {
    print(', address ');
    printHex(readCr2());
  }
  print(', at ');
  if (isUser(frame)) printHex(frame.rip);
  else printPlace(frame.rip);
  print('\n');
  if (isUser(frame)) exitTask(STATUS_FAULT);
  panic('a trap in the kernel');
}
