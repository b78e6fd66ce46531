/**
 * The tables of operations, filled in for Xen. "A simple matter of a structure assignment", the Xen commit calls it: each
 * operation gets its function, and with that the kernel is one for Xen.
 */
import { xenInterruptReturn } from '../machine/trap-frame';
import {
  setOperation,
  setOperationAddress,
  slotOfActivateSpace,
  slotOfAllocPmd,
  slotOfAllocPte,
  slotOfAllocPud,
  slotOfApicIcrRead,
  slotOfApicIcrWrite,
  slotOfApicRead,
  slotOfApicSafeWaitIcrIdle,
  slotOfApicWaitIcrIdle,
  slotOfApicWrite,
  slotOfArchSetup,
  slotOfClts,
  slotOfCommitProtectionChange,
  slotOfConsoleRead,
  slotOfConsoleSetup,
  slotOfConsoleWrite,
  slotOfCpuid,
  slotOfCrash,
  slotOfDisableInterrupts,
  slotOfDuplicatedSpace,
  slotOfEnableInterrupts,
  slotOfEnableSystemCalls,
  slotOfEndContextSwitch,
  slotOfEnterLazyMmu,
  slotOfExitSpace,
  slotOfFlushLazyMmu,
  slotOfFlushTlbKernel,
  slotOfFlushTlbOthers,
  slotOfFlushTlbSingle,
  slotOfFlushTlbUser,
  slotOfGetAndClearPte,
  slotOfGetDebugRegister,
  slotOfGetTscKhz,
  slotOfGetWallclock,
  slotOfHaltProcessor,
  slotOfInitInterrupts,
  slotOfIoDelay,
  slotOfIret,
  slotOfLeaveLazyMmu,
  slotOfLoadGdt,
  slotOfLoadIdt,
  slotOfLoadSp0,
  slotOfLoadTaskRegister,
  slotOfLoadTls,
  slotOfMakePte,
  slotOfMemorySetup,
  slotOfPagetableSetupDone,
  slotOfPagetableSetupStart,
  slotOfPatchOperation,
  slotOfPgdAlloc,
  slotOfPgdFree,
  slotOfPowerOff,
  slotOfPteVal,
  slotOfReadCr0,
  slotOfReadCr2,
  slotOfReadCr3,
  slotOfReadCr4,
  slotOfReadMsr,
  slotOfReadTsc,
  slotOfReleasePmd,
  slotOfReleasePte,
  slotOfReleasePud,
  slotOfRestart,
  slotOfRestoreFlags,
  slotOfSafeHalt,
  slotOfSaveFlags,
  slotOfSchedClock,
  slotOfSetDebugRegister,
  slotOfSetFixmap,
  slotOfSetIoplMask,
  slotOfSetLdt,
  slotOfSetNextEvent,
  slotOfSetPgd,
  slotOfSetPmd,
  slotOfSetPte,
  slotOfSetPteAt,
  slotOfSetPud,
  slotOfSetWallclock,
  slotOfStartContextSwitch,
  slotOfStartProtectionChange,
  slotOfStopTimer,
  slotOfTimeInit,
  slotOfTrapEntry,
  slotOfWriteBackCaches,
  slotOfWriteCr0,
  slotOfWriteCr2,
  slotOfWriteCr3,
  slotOfWriteCr4,
  slotOfWriteFsBase,
  slotOfWriteGdtEntry,
  slotOfWriteIdtEntry,
  slotOfWriteLdtEntry,
  slotOfWriteMsr,
} from '../paravirt/slots';
import {
  xenApicIcrRead,
  xenApicIcrWrite,
  xenApicRead,
  xenApicSafeWaitIcrIdle,
  xenApicWaitIcrIdle,
  xenApicWrite,
} from './apic';
import { xenConsoleRead, xenConsoleSetup, xenConsoleWrite } from './console';
import {
  xenClts,
  xenCpuid,
  xenEndContextSwitch,
  xenGetDebugRegister,
  xenIoDelay,
  xenReadCr0,
  xenReadCr4,
  xenReadMsr,
  xenReadTsc,
  xenSetDebugRegister,
  xenSetIoplMask,
  xenStartContextSwitch,
  xenWriteBackCaches,
  xenWriteCr0,
  xenWriteCr4,
  xenWriteMsr,
} from './cpu';
import {
  xenDisableInterrupts,
  xenEnableInterrupts,
  xenRestoreInterrupts,
  xenSaveInterrupts,
} from './event-mask';
import { maskAllPorts } from './events';
import { xenMemorySetup } from './memory-map';
import {
  xenEnterLazyMmu,
  xenFlushLazyMmu,
  xenFlushTlb,
  xenFlushTlbOthers,
  xenFlushTlbSingle,
  xenLeaveLazyMmu,
  xenPagetableSetupDone,
  xenPagetableSetupStart,
  xenReadCr2,
  xenWriteCr2,
} from './mmu';
import {
  xenCommitProtectionChange,
  xenGetAndClearPte,
  xenSetFixmap,
  xenSetPgd,
  xenSetPmd,
  xenSetPte,
  xenSetPteAt,
  xenStartProtectionChange,
} from './mmu-entries';
import {
  xenActivateSpace,
  xenAllocTable,
  xenExitSpace,
  xenPgdAlloc,
  xenPgdFree,
  xenReadCr3,
  xenReleaseTable,
  xenWriteCr3,
} from './mmu-spaces';
import { makePte, pteVal } from './page-entry';
import { xenPatch } from './patch';
import {
  xenLoadGdt,
  xenLoadSp0,
  xenLoadTaskRegister,
  xenLoadTls,
  xenSetLdt,
  xenWriteDescriptor,
  xenWriteFsBase,
} from './segments';
import { xenCrash, xenHaltProcessor, xenPowerOff, xenRestart, xenSafeHalt } from './shutdown';
import {
  xenGetTscKhz,
  xenGetWallclock,
  xenSchedClock,
  xenSetNextEvent,
  xenSetWallclock,
  xenStopTimer,
  xenTimeInit,
} from './time';
import { xenEnableSystemCalls, xenLoadIdt, xenTrapEntry, xenWriteIdtEntry } from './traps';

/** init.arch_setup: what there was to do was done before the kernel's first line. */
function xenArchSetup(): void {}

/** irq.init_IRQ: events are delivered already; ports are masked until someone binds one. */
function xenInitInterrupts(): void {
  maskAllPorts();
}

/** Fills the tables. */
export function installOperations(): void {
  installInit();
  installIrq();
  installTime();
  installCpu();
  installApic();
  installMmu();
  installConsole();
  installMachine();
}

function installInit(): void {
  setOperation(slotOfMemorySetup(), xenMemorySetup.index);
  setOperation(slotOfArchSetup(), xenArchSetup.index);
  setOperation(slotOfPatchOperation(), xenPatch.index);
}

function installIrq(): void {
  setOperation(slotOfSaveFlags(), xenSaveInterrupts.index);
  setOperation(slotOfRestoreFlags(), xenRestoreInterrupts.index);
  setOperation(slotOfDisableInterrupts(), xenDisableInterrupts.index);
  setOperation(slotOfEnableInterrupts(), xenEnableInterrupts.index);
  setOperation(slotOfInitInterrupts(), xenInitInterrupts.index);
  setOperation(slotOfSafeHalt(), xenSafeHalt.index);
  setOperation(slotOfHaltProcessor(), xenHaltProcessor.index);
}

function installTime(): void {
  setOperation(slotOfTimeInit(), xenTimeInit.index);
  setOperation(slotOfSchedClock(), xenSchedClock.index);
  setOperation(slotOfGetWallclock(), xenGetWallclock.index);
  setOperation(slotOfSetWallclock(), xenSetWallclock.index);
  setOperation(slotOfGetTscKhz(), xenGetTscKhz.index);
  setOperation(slotOfSetNextEvent(), xenSetNextEvent.index);
  setOperation(slotOfStopTimer(), xenStopTimer.index);
}

function installCpu(): void {
  setOperation(slotOfCpuid(), xenCpuid.index);
  setOperation(slotOfReadCr0(), xenReadCr0.index);
  setOperation(slotOfWriteCr0(), xenWriteCr0.index);
  setOperation(slotOfClts(), xenClts.index);
  setOperation(slotOfReadCr4(), xenReadCr4.index);
  setOperation(slotOfWriteCr4(), xenWriteCr4.index);
  setOperation(slotOfGetDebugRegister(), xenGetDebugRegister.index);
  setOperation(slotOfSetDebugRegister(), xenSetDebugRegister.index);
  setOperation(slotOfReadMsr(), xenReadMsr.index);
  setOperation(slotOfWriteMsr(), xenWriteMsr.index);
  setOperation(slotOfReadTsc(), xenReadTsc.index);
  setOperation(slotOfWriteBackCaches(), xenWriteBackCaches.index);
  setOperation(slotOfIoDelay(), xenIoDelay.index);
  setOperation(slotOfLoadGdt(), xenLoadGdt.index);
  setOperation(slotOfWriteGdtEntry(), xenWriteDescriptor.index);
  setOperation(slotOfLoadIdt(), xenLoadIdt.index);
  setOperation(slotOfWriteIdtEntry(), xenWriteIdtEntry.index);
  setOperation(slotOfSetLdt(), xenSetLdt.index);
  setOperation(slotOfWriteLdtEntry(), xenWriteDescriptor.index);
  setOperation(slotOfLoadTaskRegister(), xenLoadTaskRegister.index);
  setOperation(slotOfLoadTls(), xenLoadTls.index);
  setOperation(slotOfLoadSp0(), xenLoadSp0.index);
  setOperation(slotOfWriteFsBase(), xenWriteFsBase.index);
  setOperation(slotOfSetIoplMask(), xenSetIoplMask.index);
  setOperation(slotOfTrapEntry(), xenTrapEntry.index);
  setOperation(slotOfEnableSystemCalls(), xenEnableSystemCalls.index);
  setOperation(slotOfStartContextSwitch(), xenStartContextSwitch.index);
  setOperation(slotOfEndContextSwitch(), xenEndContextSwitch.index);
  setOperationAddress(slotOfIret(), xenInterruptReturn());
}

function installApic(): void {
  setOperation(slotOfApicRead(), xenApicRead.index);
  setOperation(slotOfApicWrite(), xenApicWrite.index);
  setOperation(slotOfApicIcrRead(), xenApicIcrRead.index);
  setOperation(slotOfApicIcrWrite(), xenApicIcrWrite.index);
  setOperation(slotOfApicWaitIcrIdle(), xenApicWaitIcrIdle.index);
  setOperation(slotOfApicSafeWaitIcrIdle(), xenApicSafeWaitIcrIdle.index);
}

function installMmu(): void {
  setOperation(slotOfReadCr2(), xenReadCr2.index);
  setOperation(slotOfWriteCr2(), xenWriteCr2.index);
  setOperation(slotOfReadCr3(), xenReadCr3.index);
  setOperation(slotOfWriteCr3(), xenWriteCr3.index);
  setOperation(slotOfActivateSpace(), xenActivateSpace.index);
  setOperation(slotOfDuplicatedSpace(), xenActivateSpace.index);
  setOperation(slotOfExitSpace(), xenExitSpace.index);
  setOperation(slotOfFlushTlbUser(), xenFlushTlb.index);
  setOperation(slotOfFlushTlbKernel(), xenFlushTlb.index);
  setOperation(slotOfFlushTlbSingle(), xenFlushTlbSingle.index);
  setOperation(slotOfFlushTlbOthers(), xenFlushTlbOthers.index);
  setOperation(slotOfPgdAlloc(), xenPgdAlloc.index);
  setOperation(slotOfPgdFree(), xenPgdFree.index);
  setOperation(slotOfAllocPte(), xenAllocTable.index);
  setOperation(slotOfAllocPmd(), xenAllocTable.index);
  setOperation(slotOfAllocPud(), xenAllocTable.index);
  setOperation(slotOfReleasePte(), xenReleaseTable.index);
  setOperation(slotOfReleasePmd(), xenReleaseTable.index);
  setOperation(slotOfReleasePud(), xenReleaseTable.index);
  setOperation(slotOfSetPte(), xenSetPte.index);
  setOperation(slotOfSetPteAt(), xenSetPteAt.index);
  setOperation(slotOfSetPmd(), xenSetPmd.index);
  setOperation(slotOfSetPud(), xenSetPmd.index);
  setOperation(slotOfSetPgd(), xenSetPgd.index);
  setOperation(slotOfGetAndClearPte(), xenGetAndClearPte.index);
  setOperation(slotOfStartProtectionChange(), xenStartProtectionChange.index);
  setOperation(slotOfCommitProtectionChange(), xenCommitProtectionChange.index);
  setOperation(slotOfMakePte(), makePte.index);
  setOperation(slotOfPteVal(), pteVal.index);
  setOperation(slotOfPagetableSetupStart(), xenPagetableSetupStart.index);
  setOperation(slotOfPagetableSetupDone(), xenPagetableSetupDone.index);
  setOperation(slotOfSetFixmap(), xenSetFixmap.index);
  setOperation(slotOfEnterLazyMmu(), xenEnterLazyMmu.index);
  setOperation(slotOfLeaveLazyMmu(), xenLeaveLazyMmu.index);
  setOperation(slotOfFlushLazyMmu(), xenFlushLazyMmu.index);
}

function installConsole(): void {
  setOperation(slotOfConsoleSetup(), xenConsoleSetup.index);
  setOperation(slotOfConsoleWrite(), xenConsoleWrite.index);
  setOperation(slotOfConsoleRead(), xenConsoleRead.index);
}

function installMachine(): void {
  setOperation(slotOfPowerOff(), xenPowerOff.index);
  setOperation(slotOfRestart(), xenRestart.index);
  setOperation(slotOfCrash(), xenCrash.index);
}
