/**
 * Kernel images, in reading order:
 *
 *   kernel.ts      the whole way: loadKernelImage
 *   bzimage.ts     where the compressed kernel lies in a Linux bzImage
 *   payload.ts     which compressions there are; the limits on what they may unpack to
 *   gzip.ts zstd.ts lz4.ts xz.ts (with bcj.ts and crc32.ts)    each of them
 *   elf.ts         headers, segments, sections
 *   native-image.ts  the way for the bare machine, which asks for less
 *   xen-info.ts    what the kernel says to Xen: defaults and checks
 *   statements.ts  … what there is to say
 *   notes.ts       … in ELF notes
 *   guest-info.ts  … in the older __xen_guest string
 *   bsd-symbols.ts the symbol table that BSD kernels want behind them
 *   symbols.ts     names for addresses; kallsyms.ts: those that Linux carries in itself; symbol-file.ts: those that a user gives
 *   reader.ts      bounds-checked reads; error.ts: the error they raise
 */

export { ImageError } from './error.ts';
export { type KernelImage, type KernelSegment, loadKernelImage, unpackKernel } from './kernel.ts';
export { loadNativeImage, type NativeImage, type NativeSegment } from './native-image.ts';
export type { L1MfnValid, PaeMode } from './statements.ts';
export type { SymbolTable } from './symbols.ts';
export type { XenImageInfo } from './xen-info.ts';
