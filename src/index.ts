/**
 * The library: a host, its domains, their consoles as streams.
 *
 *     const host = await Host.create({ memoryMib: 512 });
 *     const domain = await host.createDomain({ kernel: await readFile('vmlinuz') });
 *     void host.run();
 *     for await (const bytes of domain.console.readable) process.stdout.write(bytes);
 *     console.log((await domain.exited).reason);
 *
 * It needs neither Node nor a page: only what both have. What is not exported here may change without notice.
 */
export { builtinGuest } from './guest/builtin.ts';
export { buildTinyGuest } from './guest/tiny/guest.ts';
export type { CrashReport } from './hypervisor/crash-report.ts';
export { OutOfFramesError } from './hypervisor/frames.ts';
export { MemoryError } from './machine/memory.ts';
export { MachineBuildError } from './native/index.ts';
export * from './toolstack/api.ts';
export { type CpioEntry, CpioError, cpio, writeCpio } from './toolstack/cpio.ts';
export { crashText, type DisassembledInstruction, type Disassembler } from './toolstack/crash-text.ts';
export { ImageError, type SymbolTable } from './toolstack/images/index.ts';
export { type BusyboxInitramfs, buildBusyboxInitramfs } from './toolstack/initramfs.ts';
export { Host } from './toolstack/library.ts';
export { DomainBuildError, TooLittleMemoryError } from './xen/builder/index.ts';
