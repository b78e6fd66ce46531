/** The tables of operations, filled in for the bare machine: most of them are one instruction. */
import { nativeInterruptReturn } from '../machine/trap-frame';
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
import { nativeMemorySetup } from './boot-params';
import {
  nativeConsoleRead,
  nativeConsoleSetup,
  nativeConsoleWrite,
  nativeCrash,
  nativePowerOff,
  nativeRestart,
} from './console';
import {
  nativeApicIcrRead,
  nativeApicIcrWrite,
  nativeApicRead,
  nativeApicSafeWaitIcrIdle,
  nativeApicWaitIcrIdle,
  nativeApicWrite,
  nativeClts,
  nativeCpuid,
  nativeEndContextSwitch,
  nativeGetDebugRegister,
  nativeIoDelay,
  nativeReadCr0,
  nativeReadCr4,
  nativeReadMsr,
  nativeReadTsc,
  nativeSetDebugRegister,
  nativeSetIoplMask,
  nativeStartContextSwitch,
  nativeWriteBackCaches,
  nativeWriteCr0,
  nativeWriteCr4,
  nativeWriteMsr,
} from './cpu';
import {
  nativeDisableInterrupts,
  nativeEnableInterrupts,
  nativeHaltProcessor,
  nativeRestoreInterrupts,
  nativeSafeHalt,
  nativeSaveInterrupts,
} from './flags';
import { nativeInitInterrupts } from './interrupts';
import {
  nativeAllocTable,
  nativeCommitProtectionChange,
  nativeEnterLazyMmu,
  nativeExitSpace,
  nativeFlushLazyMmu,
  nativeFlushTlbKernel,
  nativeFlushTlbOthers,
  nativeFlushTlbSingle,
  nativeFlushTlbUser,
  nativeGetAndClearPte,
  nativeLeaveLazyMmu,
  nativePagetableSetupDone,
  nativePagetableSetupStart,
  nativePgdAlloc,
  nativePgdFree,
  nativeReadCr2,
  nativeReadCr3,
  nativeReleaseTable,
  nativeSameEntry,
  nativeSetEntry,
  nativeSetFixmap,
  nativeSetPgd,
  nativeSetPteAt,
  nativeSpaceChanged,
  nativeStartProtectionChange,
  nativeWriteCr2,
  nativeWriteCr3,
} from './mmu';
import { nativePatch } from './patch';
import {
  nativeEnableSystemCalls,
  nativeLoadGdt,
  nativeLoadIdt,
  nativeLoadSp0,
  nativeLoadTaskRegister,
  nativeLoadTls,
  nativeSetLdt,
  nativeTrapEntry,
  nativeWriteDescriptor,
  nativeWriteFsBase,
  nativeWriteIdtEntry,
} from './tables';
import {
  nativeGetTscKhz,
  nativeGetWallclock,
  nativeSchedClock,
  nativeSetNextEvent,
  nativeSetWallclock,
  nativeStopTimer,
  nativeTimeInit,
} from './time';

/** init.arch_setup: nothing is left to do. */
function nothing(): void {}

/** Puts our functions behind every operation. */
export function installNativeOperations(): void {
  setOperation(slotOfMemorySetup(), nativeMemorySetup.index);
  setOperation(slotOfArchSetup(), nothing.index);
  setOperation(slotOfPatchOperation(), nativePatch.index);

  setOperation(slotOfSaveFlags(), nativeSaveInterrupts.index);
  setOperation(slotOfRestoreFlags(), nativeRestoreInterrupts.index);
  setOperation(slotOfDisableInterrupts(), nativeDisableInterrupts.index);
  setOperation(slotOfEnableInterrupts(), nativeEnableInterrupts.index);
  setOperation(slotOfInitInterrupts(), nativeInitInterrupts.index);
  setOperation(slotOfSafeHalt(), nativeSafeHalt.index);
  setOperation(slotOfHaltProcessor(), nativeHaltProcessor.index);

  setOperation(slotOfTimeInit(), nativeTimeInit.index);
  setOperation(slotOfSchedClock(), nativeSchedClock.index);
  setOperation(slotOfGetWallclock(), nativeGetWallclock.index);
  setOperation(slotOfSetWallclock(), nativeSetWallclock.index);
  setOperation(slotOfGetTscKhz(), nativeGetTscKhz.index);
  setOperation(slotOfSetNextEvent(), nativeSetNextEvent.index);
  setOperation(slotOfStopTimer(), nativeStopTimer.index);

  setOperation(slotOfCpuid(), nativeCpuid.index);
  setOperation(slotOfReadCr0(), nativeReadCr0.index);
  setOperation(slotOfWriteCr0(), nativeWriteCr0.index);
  setOperation(slotOfClts(), nativeClts.index);
  setOperation(slotOfReadCr4(), nativeReadCr4.index);
  setOperation(slotOfWriteCr4(), nativeWriteCr4.index);
  setOperation(slotOfGetDebugRegister(), nativeGetDebugRegister.index);
  setOperation(slotOfSetDebugRegister(), nativeSetDebugRegister.index);
  setOperation(slotOfReadMsr(), nativeReadMsr.index);
  setOperation(slotOfWriteMsr(), nativeWriteMsr.index);
  setOperation(slotOfReadTsc(), nativeReadTsc.index);
  setOperation(slotOfWriteBackCaches(), nativeWriteBackCaches.index);
  setOperation(slotOfIoDelay(), nativeIoDelay.index);
  setOperation(slotOfLoadGdt(), nativeLoadGdt.index);
  setOperation(slotOfWriteGdtEntry(), nativeWriteDescriptor.index);
  setOperation(slotOfLoadIdt(), nativeLoadIdt.index);
  setOperation(slotOfWriteIdtEntry(), nativeWriteIdtEntry.index);
  setOperation(slotOfSetLdt(), nativeSetLdt.index);
  setOperation(slotOfWriteLdtEntry(), nativeWriteDescriptor.index);
  setOperation(slotOfLoadTaskRegister(), nativeLoadTaskRegister.index);
  setOperation(slotOfLoadTls(), nativeLoadTls.index);
  setOperation(slotOfLoadSp0(), nativeLoadSp0.index);
  setOperation(slotOfWriteFsBase(), nativeWriteFsBase.index);
  setOperation(slotOfSetIoplMask(), nativeSetIoplMask.index);
  setOperation(slotOfTrapEntry(), nativeTrapEntry.index);
  setOperation(slotOfEnableSystemCalls(), nativeEnableSystemCalls.index);
  setOperation(slotOfStartContextSwitch(), nativeStartContextSwitch.index);
  setOperation(slotOfEndContextSwitch(), nativeEndContextSwitch.index);

  setOperation(slotOfApicRead(), nativeApicRead.index);
  setOperation(slotOfApicWrite(), nativeApicWrite.index);
  setOperation(slotOfApicIcrRead(), nativeApicIcrRead.index);
  setOperation(slotOfApicIcrWrite(), nativeApicIcrWrite.index);
  setOperation(slotOfApicWaitIcrIdle(), nativeApicWaitIcrIdle.index);
  setOperation(slotOfApicSafeWaitIcrIdle(), nativeApicSafeWaitIcrIdle.index);

  setOperation(slotOfReadCr2(), nativeReadCr2.index);
  setOperation(slotOfWriteCr2(), nativeWriteCr2.index);
  setOperation(slotOfReadCr3(), nativeReadCr3.index);
  setOperation(slotOfWriteCr3(), nativeWriteCr3.index);
  setOperation(slotOfActivateSpace(), nativeSpaceChanged.index);
  setOperation(slotOfDuplicatedSpace(), nativeSpaceChanged.index);
  setOperation(slotOfExitSpace(), nativeExitSpace.index);
  setOperation(slotOfFlushTlbUser(), nativeFlushTlbUser.index);
  setOperation(slotOfFlushTlbKernel(), nativeFlushTlbKernel.index);
  setOperation(slotOfFlushTlbSingle(), nativeFlushTlbSingle.index);
  setOperation(slotOfFlushTlbOthers(), nativeFlushTlbOthers.index);
  setOperation(slotOfPgdAlloc(), nativePgdAlloc.index);
  setOperation(slotOfPgdFree(), nativePgdFree.index);
  setOperation(slotOfAllocPte(), nativeAllocTable.index);
  setOperation(slotOfAllocPmd(), nativeAllocTable.index);
  setOperation(slotOfAllocPud(), nativeAllocTable.index);
  setOperation(slotOfReleasePte(), nativeReleaseTable.index);
  setOperation(slotOfReleasePmd(), nativeReleaseTable.index);
  setOperation(slotOfReleasePud(), nativeReleaseTable.index);
  setOperation(slotOfSetPte(), nativeSetEntry.index);
  setOperation(slotOfSetPteAt(), nativeSetPteAt.index);
  setOperation(slotOfSetPmd(), nativeSetEntry.index);
  setOperation(slotOfSetPud(), nativeSetEntry.index);
  setOperation(slotOfSetPgd(), nativeSetPgd.index);
  setOperation(slotOfGetAndClearPte(), nativeGetAndClearPte.index);
  setOperation(slotOfStartProtectionChange(), nativeStartProtectionChange.index);
  setOperation(slotOfCommitProtectionChange(), nativeCommitProtectionChange.index);
  setOperation(slotOfMakePte(), nativeSameEntry.index);
  setOperation(slotOfPteVal(), nativeSameEntry.index);
  setOperation(slotOfPagetableSetupStart(), nativePagetableSetupStart.index);
  setOperation(slotOfPagetableSetupDone(), nativePagetableSetupDone.index);
  setOperation(slotOfSetFixmap(), nativeSetFixmap.index);
  setOperation(slotOfEnterLazyMmu(), nativeEnterLazyMmu.index);
  setOperation(slotOfLeaveLazyMmu(), nativeLeaveLazyMmu.index);
  setOperation(slotOfFlushLazyMmu(), nativeFlushLazyMmu.index);

  setOperation(slotOfConsoleSetup(), nativeConsoleSetup.index);
  setOperation(slotOfConsoleWrite(), nativeConsoleWrite.index);
  setOperation(slotOfConsoleRead(), nativeConsoleRead.index);

  setOperation(slotOfPowerOff(), nativePowerOff.index);
  setOperation(slotOfRestart(), nativeRestart.index);
  setOperation(slotOfCrash(), nativeCrash.index);
  setOperationAddress(slotOfIret(), nativeInterruptReturn());
}
