/**
 * A kernel that tests the paravirtual operations on the host that it runs on, each through its own call site, says what it
 * found, and powers off. `mark`s (memory.ts) let a test outside count hypercalls between two moments.
 */
import {
  archSetup,
  consoleSetup,
  disableInterrupts,
  initInterrupts,
  powerOff,
  timeInit,
} from '../../paravirt/operations';
import { applyPatches, sitesLeft, sitesPatched } from '../../paravirt/patch';
import { startXen } from '../../xen/start';
import { testBalloon, testFrames, testGrants, testInfo, testXenstore } from './domain';
import { testFlags, testPendingOnUnmask, testTimer } from './interrupts';
import { useTestPages } from './memory';
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
  useTestPages();
  testTraps();
  testInfo();
  testFlags();
  initInterrupts();
  archSetup();
  consoleSetup();
  timeInit();
  testPendingOnUnmask();
  testTimer();
  testClocks();
  testRegisters();
  testSegments();
  testFrames();
  testAdoptedTables();
  testBatches();
  testSpaces();
  testBalloon();
  testGrants();
  testXenstore();
  testFailsafe();
  disableInterrupts();
  applyPatches();
  figure('sites patched', sitesPatched);
  figure('sites left', sitesLeft);
  check('patching', sitesPatched > 0 && sitesLeft === 0);
  testFlags();
  testPendingOnUnmask();
  testTimer();
  figure('passed', passed);
  figure('failed', failed);
  say('done');
  endLine();
  powerOff();
}
