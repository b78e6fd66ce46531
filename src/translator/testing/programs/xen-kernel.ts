/**
 * A kernel that tries the machine it was translated for, above Xen: traps and their frames, accesses that may fault,
 * events, stacks, operations and their patch sites, what the image carries. A line for each, then it powers off.
 */
import {
  bootStackBottom,
  bootStackTop,
  callOnStack,
  compareExchange64,
  copy,
  cpuid,
  dataEnd,
  dataStart,
  divideWide,
  EmbeddedFile,
  ENTRY_STUB_BYTES,
  exchange64,
  filesEnd,
  filesStart,
  fill,
  fixException,
  forcedCpuid,
  framePointer,
  functionAddress,
  hypercall2,
  hypercall3,
  imageEnd,
  imageStart,
  increment64,
  load32,
  load64,
  lockAnd8,
  lockClearBit,
  lockOr8,
  lockSetBit,
  multiplyHigh,
  native,
  PatchSite,
  patchSitesEnd,
  patchSitesStart,
  prepareStack,
  probeCopy,
  probeLoad32,
  probeLoad64,
  probeStore64,
  setOperation,
  setOperationAddress,
  stackPointer,
  store64,
  switchStack,
  symbolAt,
  TrapFrame,
  textEnd,
  textStart,
  undefinedInstruction,
  VECTOR_EVENT,
  xenInterruptReturn,
} from '../../../guest/machine/index';
import { breakpoint } from '../../../guest/machine/processor';
import { check, decimal, endLine, text } from './print';

@external("entry.xenTraps", "handleTrap") declare function trapEntries(): u64;
@external("entry.xenEvent", "handleEvent") declare function eventEntry(): u64;
@external("entry.xenFailsafe", "handleTrap") declare function failsafeEntry(): u64;
@external("operation.slot", "cpu.iret") declare function iretSlot(): usize;
@external("operation", "test.twice") declare function twice(value: u64): u64;
@external("operation.room24", "test.thrice") declare function thrice(value: u64, more: u32): u64;
@external("operation.slot", "test.twice") declare function twiceSlot(): usize;
@external("operation.slot", "test.thrice") declare function thriceSlot(): usize;

const SET_TRAP_TABLE = 0;
const SET_CALLBACKS = 4;
const XEN_VERSION = 17;
const SCHED_OP = 29;
const EVENT_CHANNEL_OP = 32;
const UPDATE_VA_MAPPING = 14;
const BIND_IPI = 7;
const SEND = 4;
const KERNEL_CODE = 0xe033;
/** Nothing is mapped there in a new domain. */
const NOWHERE: u64 = 0xffffffff00000000;
const START_INFO_SHARED: usize = 40;
const START_INFO_PAGES: usize = 32;

const argument = memory.data(16, 8);
const table = memory.data(16 * 40, 8);
const scratch = memory.data(256, 16);
const sharedPage = memory.data(4096, 4096);
const stack = memory.data(4096, 16);
/** Where each of two stacks was left. */
const mainStack = memory.data(8, 8);
const otherStack = memory.data(8, 8);

let traps: u32 = 0;
let lastVector: u64 = 0;
let lastError: u64 = 0;
let events: u32 = 0;

/** The handler of all traps: steps over what was meant to trap. */
export function handleTrap(frame: usize): void {
  const registers = changetype<TrapFrame>(frame);
  traps++;
  lastVector = registers.vector;
  lastError = registers.error;
  if (fixException(frame)) return;
  if (registers.vector == 6) registers.rip += 2;
  else if (registers.vector == 3) registers.rax = 0x1234;
  else {
    text('unexpected trap ');
    decimal(registers.vector);
    endLine();
    powerOff();
  }
}

export function handleEvent(frame: usize): void {
  const registers = changetype<TrapFrame>(frame);
  store<u8>(sharedPage, 0); // evtchn_upcall_pending
  store<u64>(sharedPage + 8, 0); // evtchn_pending_sel
  store<u64>(sharedPage + 2048, 0); // evtchn_pending[0], as shared_info has it
  events++;
  lastVector = registers.vector;
}

function powerOff(): void {
  store<u32>(argument, 0);
  hypercall2(SCHED_OP, 2, native(argument));
  unreachable();
}

function setTrap(index: u32, vector: u32): void {
  const entry = table + 16 * index;
  store<u8>(entry, vector);
  store<u8>(entry, 3, 1);
  store<u16>(entry, KERNEL_CODE, 2);
  store<u64>(entry, trapEntries() + vector * ENTRY_STUB_BYTES, 8);
}

function trapTable(): void {
  setOperationAddress(iretSlot(), xenInterruptReturn());
  for (let vector: u32 = 0; vector < 20; vector++) setTrap(vector, vector);
  check('trap table', hypercall2(SET_TRAP_TABLE, native(table), 0) == 0);
  const gone = hypercall3(SET_CALLBACKS, eventEntry(), failsafeEntry(), 0);
  check('callbacks', gone == 0);
}

function trapTests(): void {
  undefinedInstruction();
  check('#UD comes and goes', traps == 1 && lastVector == 6);
  breakpoint();
  check('#BP comes and goes', traps == 2 && lastVector == 3);
  check('a load that faults', probeLoad64(NOWHERE, scratch) == 1 && traps == 3 && lastVector == 14);
  check('its error code', (lastError & ~4) == 0);
  check('a store that faults', probeStore64(NOWHERE, 1) == 1 && traps == 4 && (lastError & ~4) == 2);
  store<u64>(scratch, 0x1122334455667788);
  check(
    'a load that does not',
    probeLoad64(native(scratch), scratch + 8) == 0 && load<u64>(scratch + 8) == 0x1122334455667788,
  );
  check(
    'and a short one',
    probeLoad32(native(scratch + 4), scratch + 8) == 0 && load<u32>(scratch + 8) == 0x11223344,
  );
  check('a copy that faults at once', probeCopy(NOWHERE, native(scratch), 100) == 100);
  check(
    'a copy that does not',
    probeCopy(native(scratch + 64), native(scratch), 8) == 0 && load<u64>(scratch + 64) == load<u64>(scratch),
  );
}

function memoryTests(): void {
  const at = native(scratch);
  store64(at, 7);
  check(
    'compare and exchange',
    compareExchange64(at, 7, 9) == 7 &&
      load64(at) == 9 &&
      compareExchange64(at, 7, 1) == 9 &&
      load64(at) == 9,
  );
  check('exchange', exchange64(at, u64.MAX_VALUE) == 9 && load64(at) == u64.MAX_VALUE);
  lockAnd8(at, 0xf0);
  lockOr8(at + 1, 1);
  check('locked bytes', load32(at) == 0xfffffff0);
  check(
    'locked bits',
    lockClearBit(at, 36) == 1 &&
      lockClearBit(at, 36) == 0 &&
      lockSetBit(at, 36) == 0 &&
      load64(at) == 0xfffffffffffffff0,
  );
  store64(at, 0xffffffff);
  increment64(scratch);
  check('increment', load64(at) == 0x100000000);
  fill(at, 0x5a, 64);
  copy(at + 128, at + 1, 32);
  check('fill and copy', load<u64>(scratch + 152) == 0x5a5a5a5a5a5a5a5a);
  check(
    'wide arithmetic',
    multiplyHigh(u64.MAX_VALUE, 16) == 15 && divideWide(1, 0, 16) == 0x1000000000000000,
  );
}

function identification(): void {
  // Leaf 0x40000000 above Xen: "XenVMMXenVMM".
  forcedCpuid(0x40000000, 0, scratch);
  check('the forced CPUID', load<u32>(scratch + 4) == 0x566e6558);
  cpuid(0, 0, scratch);
  check('CPUID', load<u32>(scratch) > 0);
  check('a hypercall', hypercall2(XEN_VERSION, 0, 0) >= 0x40000);
}

function double(value: u64): u64 {
  return value * 2;
}

function triple(value: u64, more: u32): u64 {
  return value * 3 + more;
}

/** Both sites of `thrice` are patched: to LEA RAX, [RDI + 2 * RDI]; ADD RAX, RSI. */
function operationTests(): void {
  setOperation(twiceSlot(), double.index);
  setOperation(thriceSlot(), triple.index);
  check('operations', twice(21) == 42 && thrice(5, 2) == 17);
  let sites: u32 = 0;
  let patched: u32 = 0;
  for (let at = patchSitesStart(); at < patchSitesEnd(); at += offsetof<PatchSite>()) {
    const site = changetype<PatchSite>(at);
    sites++;
    if (site.slot != thriceSlot()) continue;
    if (site.bytes != 24 || site.clobbers != 0b111111000111) continue;
    if (load<u16>(site.address) != 0x14ff) continue;
    store<u64>(site.address, 0x90f001487f048d48); // 48 8d 04 7f; 48 01 f0; 90
    for (let i: usize = 8; i < 24; i++) store<u8>(site.address + i, 0x90);
    patched++;
  }
  check('patch sites', sites == 3 && patched == 2);
  setOperation(thriceSlot(), double.index);
  check('patched operations', thrice(100, 1) == 301);
  const indirect = triple.index;
  check('a call through the table', call_indirect<u64>(indirect, <u64>7, <u32>1) == 22);
  check(
    'addresses of functions',
    functionAddress(indirect) >= native(textStart()) && functionAddress(indirect) < native(textEnd()),
  );
}

function otherTask(value: usize): void {
  check('another stack', value == 77 && stackPointer() > stack && stackPointer() <= stack + 4096);
  switchStack(otherStack, load<u32>(mainStack));
  check('the other stack again', value == 77);
  switchStack(otherStack, load<u32>(mainStack));
}

function stackTests(): void {
  check('the boot stack', stackPointer() > bootStackBottom() && stackPointer() < bootStackTop());
  switchStack(mainStack, prepareStack(stack + 4096, otherTask.index, 77));
  check('back on the first', stackPointer() > bootStackBottom());
  switchStack(mainStack, load<u32>(otherStack));
  check('and once more', stackPointer() > bootStackBottom());
}

function eventTests(startInfo: usize): void {
  const frame = load<u64>(startInfo + START_INFO_SHARED) | 0x63;
  check('shared_info', hypercall3(UPDATE_VA_MAPPING, native(sharedPage), frame, 2) == 0);
  store<u32>(argument, 0);
  check('an IPI', hypercall2(EVENT_CHANNEL_OP, BIND_IPI, native(argument)) == 0);
  const port = load<u32>(argument + 4);
  lockClearBit(native(sharedPage + 2048 + 512), port); // evtchn_mask
  store<u32>(argument, port);
  hypercall2(EVENT_CHANNEL_OP, SEND, native(argument));
  check('no event while they are masked', events == 0);
  store<u8>(sharedPage + 1, 0); // evtchn_upcall_mask
  hypercall2(XEN_VERSION, 0, 0);
  check('an event', events == 1 && lastVector == VECTOR_EVENT);
}

function imageTests(): void {
  check(
    'the image',
    imageStart() == dataStart() &&
      dataEnd() <= textStart() &&
      textEnd() < bootStackTop() &&
      bootStackTop() <= imageEnd(),
  );
  let files: u32 = 0;
  for (let at = filesStart(); at < filesEnd(); at += offsetof<EmbeddedFile>()) {
    const file = changetype<EmbeddedFile>(at);
    files++;
    check(
      'a file',
      file.nameBytes == 5 &&
        load<u8>(file.name) == 0x68 &&
        file.dataBytes == 3 &&
        load<u8>(file.data + 2) == 9,
    );
  }
  check('all files', files == 1);
}

/** How many functions with a name are on the stack; 100 more if the outermost is the start. */
function callers(): u32 {
  let found: u32 = 0;
  for (let frame = framePointer(); frame != 0; frame = <usize>load<u64>(frame)) {
    const symbol = symbolAt(load<u64>(frame, 8));
    if (symbol === null) continue;
    found++;
    // "machine.start_on_xen"
    if (symbol.nameBytes == 20 && load<u8>(symbol.name, 8) == 0x73) found += 100;
  }
  return found;
}

function callersBelow(calls: u32): u32 {
  return calls == 0 ? callers() : callersBelow(calls - 1) & 0xffff;
}

function symbolTests(): void {
  // The compiler puts some calls in line, so their number is its own business.
  const found = callersBelow(traps);
  check('frames and symbols', found > 101 && found < 110);
  check('no symbol', symbolAt(0x1000) === null);
}

function onOtherStack(value: usize): void {
  check('called on a stack', value == 5 && stackPointer() <= stack + 4096);
  text('done after ');
  decimal(traps);
  text(' traps');
  endLine();
  powerOff();
}

export function xenStart(startInfo: usize): void {
  check(
    'start_info',
    (load<u64>(startInfo) & 0xffffff) == 0x6e6578 && load<u64>(startInfo + START_INFO_PAGES) > 0,
  );
  trapTable();
  trapTests();
  memoryTests();
  identification();
  operationTests();
  imageTests();
  symbolTests();
  eventTests(startInfo);
  stackTests();
  callOnStack(stack + 4096, onOtherStack.index, 5);
}
