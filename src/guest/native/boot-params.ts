/** What the loader says: memory map and command line, out of boot_params (Linux, Documentation/arch/x86/zero-page.rst). */
import { imageEnd } from '../machine/image';
import { load8, load32, load64 } from '../machine/memory';

const PAGE_SIZE: usize = 4096;
const E820_COUNT: u64 = 0x1e8;
const E820_TABLE: u64 = 0x2d0;
const E820_BYTES: u64 = 20;
const COMMAND_LINE: u64 = 0x228;
const MOST_ENTRIES: u32 = 32;
const COMMAND_LINE_BYTES: u32 = 2048;

const map: usize = memory.data(32 * 20, 8);
const line: usize = memory.data(2048, 8);
let entries: u32 = 0;

/** Copies what the loader left in low memory, which is the kernel's from now on. */
export function readBootParams(at: u64): void {
  entries = load8(at + E820_COUNT);
  if (entries > MOST_ENTRIES) entries = MOST_ENTRIES;
  for (let i: u32 = 0; i < entries; i++) {
    const entry = at + E820_TABLE + <u64>i * E820_BYTES;
    const into = map + i * <usize>E820_BYTES;
    store<u64>(into, load64(entry));
    store<u64>(into, load64(entry + 8), 8);
    store<u32>(into, load32(entry + 16), 16);
  }
  const text = <u64>load32(at + COMMAND_LINE);
  for (let i: u32 = 0; i < COMMAND_LINE_BYTES - 1; i++) {
    const byte = load8(text + <u64>i);
    store<u8>(line + i, <u8>byte);
    if (byte === 0) break;
  }
}

/** The kernel's command line, ended by a zero byte. */
export function commandLine(): usize {
  return line;
}

/** The first byte behind the image: memory from here up is the kernel's, to the RAM disk or the end. */
export function freeMemoryStart(): usize {
  return (imageEnd() + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

/** init.memory_setup: the loader's map, as it is. */
export function nativeMemorySetup(into: usize, room: u32): u32 {
  memory.copy(into, map, (entries < room ? entries : room) * <usize>E820_BYTES);
  return entries;
}
