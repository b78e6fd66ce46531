/**
 * Profiles of guests. In the order of reading:
 *
 *   call-tree.ts       what a profile holds
 *   profiler.ts        how a sample is taken and gets its names
 *   orc.ts             up the stack of a Linux kernel
 *   frame-pointers.ts  up any other stack
 *   linux.ts           which process runs
 *   formats.ts         the profile as text
 */
import type { ProfileOptions } from '../api.ts';
import { readSymbolFile } from '../images/symbol-file.ts';
import { DEFAULT_INTERVAL, Profiler } from './profiler.ts';

export { formatProfile, PROFILE_FORMATS, type ProfileFormat } from './formats.ts';
export { type KnownImage, Profiler } from './profiler.ts';

/** A profiler as the options want it. Raises ImageError for a file of symbols that has none. */
export function profilerOf({ interval = DEFAULT_INTERVAL, symbolFiles = [] }: ProfileOptions): Profiler {
  return new Profiler(
    interval,
    symbolFiles.map(({ bytes, name }) => readSymbolFile(bytes, name)),
  );
}
