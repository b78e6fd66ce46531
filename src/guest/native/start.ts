/**
 * The start on the bare machine: boot_params (Linux's zero page) says what memory there is; our tables take the place of the
 * loader's, and our functions stand behind the operations. A kernel calls `startNative` first of all, then goes on as on any
 * other machine.
 */
import { ON_NATIVE, setPlatform, setSelectors } from '../paravirt/info';
import { readBootParams } from './boot-params';
import { startConsole } from './console';
import { installNativeOperations } from './install';
import { KERNEL_CS, KERNEL_SS, startTables, USER_CS, USER_SS } from './tables';
import { startClock } from './time';

/** Starts on the bare machine: `bootParams` is what the entry gave. Interrupts are off and stay so. */
export function startNative(bootParams: u64): void {
  setPlatform(ON_NATIVE, false, 0);
  setSelectors(KERNEL_CS, KERNEL_SS, USER_CS, USER_SS);
  installNativeOperations();
  startTables();
  startConsole();
  startClock();
  readBootParams(bootParams);
}
