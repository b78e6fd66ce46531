/**
 * A kernel for the operations whose effect shows elsewhere than where they are called: in a user's program, in a second
 * vCPU, in the TLB, or in how the domain ends. It says what it found as the self-test does, with its words and pages, on
 * whatever it runs on. On its command line: `halt` stops the processor instead; `caches` and `delay` call these two
 * a thousand times, which shows in the host's count of exits alone, and `nothing` is what to compare with. `vcpus` tries
 * the second vCPU, for which the domain needs two, and says by its end whether all was well.
 */
import { start_info_cmd_line } from '../../abi/structures';
import { returnPage, setFreeMemory, takePage } from '../../kernel/selftest/memory';
import { endLine, failed, figure, passed, say } from '../../kernel/selftest/output';
import { commandLine, freeMemoryStart as nativeFreeMemory } from '../../native/boot-params';
import { startNative } from '../../native/start';
import { setPageAllocator } from '../../xen/pages';
import { freeMemoryStart, startXen } from '../../xen/start';
import { ON_XEN, platform } from '../info';
import {
  archSetup,
  consoleSetup,
  crash,
  enableInterrupts,
  haltProcessor,
  initInterrupts,
  ioDelay,
  powerOff,
  setNextEvent,
  timeInit,
  writeBackCaches,
} from '../operations';
import { setupTraps, setupUser, testGates, testPorts, testTaskRegister } from './privileges';
import { testOtherTlbs } from './tlb';
import { hasSecondVcpu, testFailsafe, testPlacement } from './vcpus';

// The entry stubs find these by name.
export { xenEventUpcall, xenFailsafeUpcall } from '../../xen/upcalls';
export { handleTrap } from '../handlers';

const CALLS = 1000;

/** Xen's entry. */
export function xenStart(startInfo: usize): void {
  startXen(startInfo);
  setFreeMemory(freeMemoryStart());
  setPageAllocator(takePage, returnPage);
  run(startInfo + start_info_cmd_line);
}

/** The bare machine's entry. */
export function nativeStart(bootParams: u64): void {
  startNative(bootParams);
  setFreeMemory(nativeFreeMemory());
  run(commandLine());
}

/** By the first letter of the command line. */
function run(line: usize): void {
  const letter = load<u8>(line);
  initInterrupts();
  archSetup();
  consoleSetup();
  if (letter === 0x68) halt();
  if (letter === 0x63) for (let i = 0; i < CALLS; i++) writeBackCaches();
  if (letter === 0x64) for (let i = 0; i < CALLS; i++) ioDelay();
  if (letter === 0) testAll();
  if (letter === 0x76) {
    setupTraps();
    testFailsafe();
    if (failed !== 0) crash();
  }
  powerOff();
}

/** With an interrupt to come, which must not wake it. */
function halt(): void {
  timeInit();
  say('halting');
  endLine();
  setNextEvent(1000000);
  enableInterrupts();
  haltProcessor();
  say('not ok: it came back');
  endLine();
}

function testAll(): void {
  setupTraps();
  testOtherTlbs();
  testTaskRegister();
  setupUser();
  testPorts();
  testGates();
  if (platform === ON_XEN) {
    testPlacement();
    if (hasSecondVcpu()) testFailsafe();
  }
  figure('passed', passed);
  figure('failed', failed);
  say('done');
  endLine();
}
