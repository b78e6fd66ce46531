/** Commands about tasks and time. */
import { schedClock } from '../../paravirt/operations';
import { ticks, uptime } from '../clock';
import { copyFaults, demandFaults, Space } from '../spaces';
import { systemCalls } from '../system-calls';
import {
  currentTask,
  ENDED,
  FOR_CHILD,
  FOR_INPUT,
  FREE,
  nameOf,
  READY,
  switches,
  Task,
  taskAt,
  taskCount,
} from '../tasks';
import { print, printNumber, printNumberTo, printSeconds, printWord, spaceTo } from '../text';

function stateOf(task: Task): string {
  if (task === currentTask()) return 'running';
  if (task.state === READY) return 'ready';
  if (task.state === ENDED) return 'ended';
  if (task.waitsFor === FOR_INPUT) return 'reads';
  return task.waitsFor === FOR_CHILD ? 'waits' : 'sleeps';
}

export function processes(): void {
  print('TASK STATE     PAGES  TABLES  SECONDS  NAME\n');
  for (let i: usize = 0; i < taskCount(); i++) {
    const task = taskAt(i);
    if (task.state === FREE || (task.state === ENDED && task.parent === 0)) continue;
    printNumberTo(task.number, 4);
    spaceTo(5);
    print(stateOf(task));
    printNumberTo(task.space === 0 ? 0 : changetype<Space>(task.space).pages, 20);
    printNumberTo(task.space === 0 ? 0 : changetype<Space>(task.space).tables, 28);
    spaceTo(31);
    printSeconds(task === currentTask() ? task.ran + schedClock() - task.since : task.ran);
    spaceTo(39);
    printWord(nameOf(task));
    print('\n');
  }
}

export function uptimeCommand(): void {
  printSeconds(uptime());
  print(' s, ');
  count(ticks, ' ticks, ');
  count(switches, ' switches, ');
  count(systemCalls, ' system calls, ');
  count(demandFaults, ' pages on demand, ');
  count(copyFaults, ' on write\n');
}

function count(value: u64, what: string): void {
  printNumber(value);
  print(what);
}
