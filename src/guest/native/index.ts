/**
 * The back end for the bare machine (docs/native.md). Reading order: `start.ts`, `install.ts`; `tables.ts`, `interrupts.ts`,
 * `time.ts`, `console.ts`; `flags.ts` and `patch.ts` for the hot four, `cpu.ts`, `mmu.ts`.
 */
export { commandLine, freeMemoryStart } from './boot-params';
export { physicalOf, virtualOf } from './mmu';
export { startNative } from './start';
