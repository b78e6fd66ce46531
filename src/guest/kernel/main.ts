/**
 * The kernel's entry file: what Xen or a boot loader starts, and what entry stubs call. Reading order: `start.ts`;
 * `entries.ts`, `pages.ts`, `spaces.ts`; `tasks.ts`, `clock.ts`; `traps.ts`, `panic.ts`; `programs.ts`, `system-calls.ts`;
 * `text.ts`, `console.ts`, and `shell`.
 */

import { start_info_cmd_line } from '../abi/structures';
import { commandLine, freeMemoryStart as nativeFreeMemory } from '../native/boot-params';
import { startNative } from '../native/start';
import { maxPfn } from '../xen/page';
import { setPageAllocator } from '../xen/pages';
import { freeMemoryStart, startXen } from '../xen/start';
import { PAGE } from './entries';
import { dropPage, takeAnyPage } from './pages';
import { startKernel } from './start';

export { handleTrap } from '../paravirt/handlers';
export { xenEventUpcall, xenFailsafeUpcall } from '../xen/upcalls';

/** Xen's entry, with start_info, on the boot stack, events masked. */
export function xenStart(startInfo: usize): void {
  startXen(startInfo);
  setPageAllocator(takeAnyPage, dropPage);
  startKernel(freeMemoryStart(), <u64>maxPfn * <u64>PAGE, startInfo + start_info_cmd_line);
}

/** The bare machine's entry, with boot_params, on the boot stack, interrupts disabled. */
export function nativeStart(bootParams: u64): void {
  startNative(bootParams);
  startKernel(nativeFreeMemory(), 0, commandLine());
}
