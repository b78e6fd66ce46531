/**
 * A kernel that tests the paravirtual operations on the host that it runs on, each through its own call site, says what it
 * found, and powers off. One image for all hosts: the entry tells which it is, and the rest is the same, but for what only
 * a Xen guest has. `mark`s (memory.ts) let a test outside count hypercalls between two moments.
 */
import { start_info_cmd_line } from '../../abi/structures';
import { commandLine, freeMemoryStart as nativeFreeMemory } from '../../native/boot-params';
import { startNative } from '../../native/start';
import { ON_XEN, platform } from '../../paravirt/info';
import {
  archSetup,
  consoleRead,
  consoleSetup,
  crash,
  disableInterrupts,
  initInterrupts,
  powerOff,
  restart,
  restoreFlags,
  saveFlags,
  schedClock,
  timeInit,
} from '../../paravirt/operations';
import { applyPatches, sitesLeft, sitesPatched } from '../../paravirt/patch';
import { setPageAllocator } from '../../xen/pages';
import { freeMemoryStart, startXen } from '../../xen/start';
import { testBreakpoints } from './breakpoints';
import { testBalloon, testFrames, testGrants, testInfo, testRefusals, testXenstore } from './domain';
import { testFlags, testPendingOnUnmask, testTimer } from './interrupts';
import { returnPage, setFreeMemory, takePage } from './memory';
import { check, checkEqual, endLine, failed, figure, passed, say } from './output';
import { testClocks, testRegisters, testSegments } from './processor';
import { testAdoptedTables, testBatches, testSpaces } from './tables';
import { testTraps } from './traps';
import { testUserMode } from './user';

// The entry stubs find these by name.
export { handleTrap } from '../../paravirt/handlers';
export { xenEventUpcall, xenFailsafeUpcall } from '../../xen/upcalls';

const room: usize = memory.data(16);

/** Xen's entry. */
export function xenStart(startInfo: usize): void {
  startXen(startInfo);
  setFreeMemory(freeMemoryStart());
  setPageAllocator(takePage, returnPage);
  testOrEnd(startInfo + start_info_cmd_line);
}

/** The bare machine's entry. */
export function nativeStart(bootParams: u64): void {
  startNative(bootParams);
  setFreeMemory(nativeFreeMemory());
  testOrEnd(commandLine());
}

/** Tests, unless the command line asks for another end: `restart`, `crash`. */
function testOrEnd(line: usize): void {
  const letter = load<u8>(line);
  if (letter === 0x72) restart();
  if (letter === 0x63) crash();
  testAll();
}

function testAll(): void {
  testTraps();
  testBreakpoints();
  testInfo();
  testFlags();
  initInterrupts();
  archSetup();
  consoleSetup();
  timeInit();
  testTimer();
  testClocks();
  testRegisters();
  testSegments();
  testAdoptedTables();
  testBatches();
  testSpaces();
  testUserMode();
  checkEqual('the console has no input', consoleRead(room, 16), 0);
  if (platform === ON_XEN) testDomain();
  disableInterrupts();
  const before = costOfFlags();
  applyPatches();
  const after = costOfFlags();
  figure('sites patched', sitesPatched);
  figure('sites left', sitesLeft);
  check('patching', sitesPatched > 0 && sitesLeft === 0);
  figure('nanoseconds for 1000 rounds of save_fl, irq_disable, restore_fl, called', before);
  figure('nanoseconds for 1000 rounds of save_fl, irq_disable, restore_fl, patched', after);
  testFlags();
  testTimer();
  if (platform === ON_XEN) testPendingOnUnmask();
  figure('passed', passed);
  figure('failed', failed);
  say('done');
  endLine();
  powerOff();
}

/** What only a Xen guest has. */
function testDomain(): void {
  testPendingOnUnmask();
  testFrames();
  testBalloon();
  testGrants();
  testXenstore();
  testRefusals();
}

/** How long the hot four take. */
function costOfFlags(): u64 {
  const start = schedClock();
  for (let i = 0; i < 1000; i++) {
    const flags = saveFlags();
    disableInterrupts();
    restoreFlags(flags);
  }
  return schedClock() - start;
}
