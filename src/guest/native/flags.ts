/** The hot four on the processor itself: RFLAGS.IF, nothing else of the flags. `patch.ts` has them as instructions. */
import { cli, hlt, readFlags, sti, stiHlt } from '../machine/processor';

const FLAG_INTERRUPT: u64 = 0x200;

/** irq.save_fl */
export function nativeSaveInterrupts(): u64 {
  return readFlags() & FLAG_INTERRUPT;
}

/** irq.irq_disable */
export function nativeDisableInterrupts(): void {
  cli();
}

/** irq.irq_enable */
export function nativeEnableInterrupts(): void {
  sti();
}

/** irq.restore_fl: other flags, IOPL above all, are none of its business. */
export function nativeRestoreInterrupts(flags: u64): void {
  if ((flags & FLAG_INTERRUPT) !== 0) sti();
  else cli();
}

/** irq.safe_halt */
export function nativeSafeHalt(): void {
  stiHlt();
}

/** irq.halt: an NMI would wake it, to no purpose. */
export function nativeHaltProcessor(): void {
  cli();
  for (;;) hlt();
}
