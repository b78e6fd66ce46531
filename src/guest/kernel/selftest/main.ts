/**
 * A kernel that tests the paravirtual operations on the host that it runs on, each through its own call site, says what it
 * found, and powers off. One image for all hosts: the entry tells which it is, and the rest is the same, but for what only
 * a Xen guest has. `mark`s (memory.ts) let a test outside count hypercalls between two moments.
 */
import { freeMemoryStart as nativeFreeMemory } from '../../native/boot-params';
import { startNative } from '../../native/start';
import { ON_XEN, platform } from '../../paravirt/info';
import {
  archSetup,
  consoleSetup,
  disableInterrupts,
  initInterrupts,
  powerOff,
  restoreFlags,
  saveFlags,
  schedClock,
  timeInit,
} from '../../paravirt/operations';
import { applyPatches, sitesLeft, sitesPatched } from '../../paravirt/patch';
import { setPageAllocator } from '../../xen/pages';
import { freeMemoryStart, startXen } from '../../xen/start';
import { testBalloon, testFrames, testGrants, testInfo, testXenstore } from './domain';
import { testFlags, testPendingOnUnmask, testTimer } from './interrupts';
import { returnPage, setFreeMemory, takePage } from './memory';
import { check, endLine, failed, figure, passed, say } from './output';
import { testClocks, testFailsafe, testRegisters, testSegments } from './processor';
import { testAdoptedTables, testBatches, testSpaces } from './tables';
import { testTraps } from './traps';

// The entry stubs find these by name.
export { handleTrap } from '../../paravirt/handlers';
export { xenEventUpcall, xenFailsafeUpcall } from '../../xen/upcalls';

/** Xen's entry. */
export function xenStart(startInfo: usize): void {
  startXen(startInfo);
  setFreeMemory(freeMemoryStart());
  setPageAllocator(takePage, returnPage);
  testAll();
}

/** The bare machine's entry. */
export function nativeStart(bootParams: u64): void {
  startNative(bootParams);
  setFreeMemory(nativeFreeMemory());
  testAll();
}

function testAll(): void {
  testTraps();
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
  testFailsafe();
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
