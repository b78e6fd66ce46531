/**
 * The "zero page" of Linux's boot protocol, as far as a loader fills it in. (Linux, Documentation/arch/x86/boot.rst and
 * zero-page.rst; arch/x86/include/uapi/asm/bootparam.h.)
 */
import type { MachineMemory, Maddr } from '../../machine/memory.ts';
import {
  COMMAND_LINE_ADDRESS,
  COMMAND_LINE_BYTES,
  KERNEL_FLOOR,
  LOW_MEMORY_END,
  type MachinePlan,
} from './plan.ts';

const E820_COUNT = 0x1e8;
const SETUP_HEADER = 0x1f1;
const BOOT_FLAG = 0x1fe;
const MAGIC = 0x202;
const VERSION = 0x206;
const LOADER = 0x210;
const LOAD_FLAGS = 0x211;
const RAMDISK_START = 0x218;
const RAMDISK_BYTES = 0x21c;
const COMMAND_LINE = 0x228;
const KERNEL_ALIGNMENT = 0x230;
const LOAD_FLAGS_64 = 0x236;
const COMMAND_LINE_SIZE = 0x238;
const SETUP_HEADER_LIMIT = 0x290;
const E820_TABLE = 0x2d0;
const E820_ENTRY_BYTES = 20;

const BOOT_FLAG_VALUE = 0xaa55;
const MAGIC_VALUE = 0x53726448; // "HdrS"
/** 2.15: the newest without anything that we would have to serve. */
const VERSION_VALUE = 0x20f;
const LOADER_UNDEFINED = 0xff;
const LOADED_HIGH = 0x01;
const KERNEL_64 = 0x0001;
const ALIGNMENT_VALUE = 0x200000;

const E820_RAM = 1;
const E820_RESERVED = 2;

/** The memory map: conventional memory, the hole below 1 MiB, and the rest. */
export function memoryMap(memoryBytes: number): { start: number; bytes: number; type: number }[] {
  return [
    { start: 0, bytes: LOW_MEMORY_END, type: E820_RAM },
    { start: LOW_MEMORY_END, bytes: KERNEL_FLOOR - LOW_MEMORY_END, type: E820_RESERVED },
    { start: KERNEL_FLOOR, bytes: memoryBytes - KERNEL_FLOOR, type: E820_RAM },
  ];
}

/** Writes boot_params at a machine address; the page is zero. `setupHeader` is that of the kernel's bzImage, if it has one. */
export function writeBootParams(
  memory: MachineMemory,
  at: Maddr,
  plan: MachinePlan,
  setupHeader: Uint8Array | undefined,
): void {
  const { view } = memory;
  const page = memory.host(at);
  if (setupHeader !== undefined) {
    memory.writeBytes(at + SETUP_HEADER, setupHeader.subarray(0, SETUP_HEADER_LIMIT - SETUP_HEADER));
  } else {
    view.setUint32(page + MAGIC, MAGIC_VALUE, true);
    view.setUint16(page + VERSION, VERSION_VALUE, true);
    view.setUint32(page + KERNEL_ALIGNMENT, ALIGNMENT_VALUE, true);
    view.setUint16(page + LOAD_FLAGS_64, KERNEL_64, true);
    view.setUint32(page + COMMAND_LINE_SIZE, COMMAND_LINE_BYTES - 1, true);
  }
  view.setUint16(page + BOOT_FLAG, BOOT_FLAG_VALUE, true);
  view.setUint8(page + LOADER, LOADER_UNDEFINED);
  view.setUint8(page + LOAD_FLAGS, view.getUint8(page + LOAD_FLAGS) | LOADED_HIGH);
  view.setUint32(page + COMMAND_LINE, COMMAND_LINE_ADDRESS, true);
  if (plan.ramdisk !== undefined) {
    view.setUint32(page + RAMDISK_START, plan.ramdisk.start, true);
    view.setUint32(page + RAMDISK_BYTES, plan.ramdisk.bytes, true);
  }
  const map = memoryMap(plan.memoryBytes);
  view.setUint8(page + E820_COUNT, map.length);
  for (const [i, { start, bytes, type }] of map.entries()) {
    const entry = page + E820_TABLE + i * E820_ENTRY_BYTES;
    view.setUint32(entry, start, true);
    view.setUint32(entry + 8, bytes, true);
    view.setUint32(entry + 16, type, true);
  }
}
