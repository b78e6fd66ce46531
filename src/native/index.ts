/**
 * The bare machine: what a kernel finds that was built for no hypervisor. A 64-bit processor in ring 0, an interrupt
 * controller, a timer, a serial port; docs/native.md is its manual.
 *
 * Reading order: `builder/` (`plan.ts`, `page-tables.ts`, `boot-params.ts`, `build.ts`) how it starts; `domain.ts`,
 * `vcpu.ts`, `exceptions.ts` how it runs; `deliver.ts`, `tables.ts`, `system-call.ts` how the kernel is entered;
 * `privileged.ts`, `control.ts`, `msr.ts`, `cpuid.ts`, `port-instructions.ts` what it may do; `board.ts`, `ports.ts`
 * and `devices/` what surrounds it.
 */
export { buildMachine, type MachineConfig } from './builder/build.ts';
export { MachineBuildError } from './builder/errors.ts';
export type { BootableKernel } from './builder/plan.ts';
export type { NativeDomain } from './domain.ts';
