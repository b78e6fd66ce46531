/**
 * Where everything lies in a new machine's memory, and whether it fits. Addresses are physical, in bytes.
 *
 *     0x1000    GDT
 *     0x2000    page tables, at most 16 pages
 *     0x12000   boot_params
 *     0x13000   command line
 *     0x14000   stack, growing down from 0x18000
 *     0x9fc00   … 0xfffff reserved in the memory map, and empty
 *     0x100000  the kernel, wherever it says, at or above this address
 *     …         the initial RAM disk, at the end of memory below 4 GiB
 */
import { PAGE_SIZE } from '../../machine/memory.ts';
import { MachineBuildError } from './errors.ts';

export const GDT_ADDRESS = 0x1000;
export const TABLES_ADDRESS = 0x2000;
export const BOOT_PARAMS_ADDRESS = 0x12000;
export const COMMAND_LINE_ADDRESS = 0x13000;
export const STACK_TOP = 0x18000;
export const LOW_MEMORY_END = 0x9fc00;
export const KERNEL_FLOOR = 0x100000;
/** With its terminator: a page less one byte is what Linux takes at most, half of it what it keeps. */
export const COMMAND_LINE_BYTES = 2048;
/** The upper half's last 2 GiB: where kernels are linked. */
export const WINDOW = -0x80000000;
const WINDOW_BYTES = 0x80000000;
export const LARGE_PAGE = 0x200000;

/** What the builder needs to know of a kernel; the toolstack's images are such. */
export interface BootableKernel {
  /** What errors call it. */
  readonly name: string;
  readonly segments: readonly {
    readonly physical: number;
    /** Where the image is linked: a signed 64-bit address. */
    readonly virtual: number;
    /** Zeros follow, up to `memorySize`. */
    readonly bytes: Uint8Array;
    readonly memorySize: number;
  }[];
  /** Physical or virtual. */
  readonly entry: number;
  /** The setup header of a bzImage, from its byte 0x1f1 on. */
  readonly setupHeader?: Uint8Array | undefined;
}

export interface MachinePlan {
  readonly memoryBytes: number;
  /** Past the kernel's last byte. */
  readonly kernelEnd: number;
  /** Where RIP begins: an address that the builder's page tables map. */
  readonly entry: number;
  readonly ramdisk: { readonly start: number; readonly bytes: number } | undefined;
  /** Physical address that the window at −2 GiB begins with, and how much of memory it shows; 0 bytes: there is none. */
  readonly window: { readonly physical: number; readonly bytes: number };
}

/** Plans a machine of `memoryBytes`. Raises MachineBuildError. */
export function planMachine(
  kernel: BootableKernel,
  memoryBytes: number,
  ramdiskBytes: number | undefined,
): MachinePlan {
  const { name, segments } = kernel;
  for (const { physical, memorySize } of segments) {
    if (physical < KERNEL_FLOOR) {
      throw new MachineBuildError(
        `${name}: expected to be loaded at physical address 1 MiB or above, found ${hex(physical)}`,
      );
    }
    if (physical + memorySize > memoryBytes) {
      throw new MachineBuildError(
        `${name}: too little memory: the image reaches ${mebibytes(physical + memorySize)} MiB, the machine has ${memoryBytes >>> 20}`,
      );
    }
  }
  const kernelEnd = Math.max(...segments.map(({ physical, memorySize }) => physical + memorySize));
  const upper = planWindow(kernel, memoryBytes);
  let ramdisk: MachinePlan['ramdisk'];
  if (ramdiskBytes !== undefined) {
    const start = Math.floor((memoryBytes - ramdiskBytes) / PAGE_SIZE) * PAGE_SIZE;
    if (start < kernelEnd) {
      throw new MachineBuildError(
        `${name}: too little memory: the kernel and its RAM disk take ${mebibytes(kernelEnd + ramdiskBytes)} MiB, the machine has ${memoryBytes >>> 20}`,
      );
    }
    ramdisk = { start, bytes: ramdiskBytes };
  }
  const mapped = isMapped(kernel.entry, memoryBytes, upper.bytes);
  if (!mapped) {
    throw new MachineBuildError(`${name}: its entry point ${hex(kernel.entry)} is nowhere in its segments`);
  }
  return { memoryBytes, kernelEnd, entry: kernel.entry, ramdisk, window: upper };
}

function isMapped(entry: number, memoryBytes: number, windowBytes: number): boolean {
  if (entry >= 0) return entry < memoryBytes;
  return entry >= WINDOW && entry < WINDOW + windowBytes;
}

/** A kernel that is linked in the last 2 GiB finds itself there, too, with the memory that follows. */
function planWindow({ name, segments }: BootableKernel, memoryBytes: number): MachinePlan['window'] {
  const high = segments.filter(({ virtual }) => virtual >= WINDOW && virtual < 0);
  if (high.length === 0) return { physical: 0, bytes: 0 };
  const starts = new Set(high.map(({ virtual, physical }) => physical - (virtual - WINDOW)));
  const [physical] = starts;
  if (starts.size > 1 || physical! < 0 || physical! % LARGE_PAGE !== 0) {
    throw new MachineBuildError(
      `${name}: expected a multiple of 2 MiB at the virtual address -2 GiB, the same for all segments, found ${[...starts].map(hex).join(', ')}`,
    );
  }
  return { physical: physical!, bytes: Math.min(WINDOW_BYTES, memoryBytes - physical!) };
}

function mebibytes(bytes: number): number {
  return Math.ceil(bytes / 2 ** 20);
}

function hex(value: number): string {
  return value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
}
