/**
 * Compiles guest sources to plain WebAssembly that a test can run in Node. Everything is as in a kernel's build except
 * for where things lie: the module's memory stands in for the machine's, from address 0 (KERNEL_BASE = 0).
 */
import { compileSources } from './compiler.ts';

/** Bytes of memory that a guest under test has. */
export const TEST_MEMORY_BYTES = 16 << 20;
/** Below this lies nothing of the guest's: its static data begins here. */
export const TEST_DATA_BASE = 0x10000;

export interface CompileOptions {
  /** The machine word, 64 unless told. */
  readonly wordBits?: 32 | 64 | undefined;
  /** Bytes of memory; a multiple of 64 KiB. */
  readonly memoryBytes?: number | undefined;
}

/** The module of a guest source with its imports; `entry` from the project's folder. Throws with the compiler's messages. */
export function compileForTest(entry: string, options: CompileOptions = {}): Promise<Uint8Array> {
  const { wordBits = 64, memoryBytes = TEST_MEMORY_BYTES } = options;
  return compileSources({
    entries: [entry],
    wordBits,
    kernelBase: 0,
    dataBase: TEST_DATA_BASE,
    memoryBytes,
    flags: ['-O2'],
  });
}
