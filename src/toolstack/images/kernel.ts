/**
 * From a file to a kernel that a domain can be built of: unpack it, read its ELF headers, read what it says
 * to Xen. What stands here is the order of things; each step is a file beside this one.
 */

import type { Gva } from '../../machine/memory.ts';
import { bzImagePayload, isBzImage } from './bzimage.ts';
import { type Elf, isElf, parseElf } from './elf.ts';
import { ImageError } from './error.ts';
import { compressionOf, unpackPayload } from './payload.ts';
import { ImageReader } from './reader.ts';
import { type SymbolTable, symbolTable } from './symbols.ts';
import { isLoadable, readXenInfo, type XenImageInfo } from './xen-info.ts';

/** A stretch of the image in the guest's memory. */
export interface KernelSegment {
  /**
   * The guest virtual address of its first byte: VIRT_BASE + physical. Not the ELF header's, which Xen
   * ignores.
   */
  readonly virtual: Gva;
  /** Its pseudo-physical address: bytes from the beginning of the domain's memory. */
  readonly physical: number;
  /** What the file holds of it (a view, not a copy); zeros follow up to `memorySize`. */
  readonly bytes: Uint8Array;
  readonly memorySize: number;
}

export interface KernelImage {
  readonly name: string;
  /** 32 for an i386 kernel, 64 for x86-64. */
  readonly width: 32 | 64;
  readonly segments: readonly KernelSegment[];
  readonly info: XenImageInfo;
  readonly symbols: SymbolTable;
}

/** All segments together may not be larger: beyond it a header lies. */
const maxImageBytes = 2 ** 30;

/**
 * Reads a kernel for a Xen PV domain: a bzImage, a plain ELF file, or a gzip'd one. `name` is what errors
 * call it. The result's segments are views of `bytes` where nothing had to be unpacked. Raises ImageError,
 * and nothing else, for whatever is wrong with the file.
 */
export async function loadKernelImage(bytes: Uint8Array, name: string): Promise<KernelImage> {
  const elf = parseElf(await unpackKernel(bytes, name), name);
  const info = readXenInfo(elf);
  const segments = loadSegments(elf, info);
  const symbols = symbolTable(elf, segments);
  return { name, width: elf.width, segments, info, symbols };
}

/** The ELF file inside `bytes`. Raises ImageError if there is none or it cannot be unpacked. */
export async function unpackKernel(bytes: Uint8Array, name: string): Promise<Uint8Array> {
  const reader = new ImageReader(bytes, name);
  if (isElf(reader)) return bytes;
  let unpacked: Uint8Array;
  if (isBzImage(reader)) {
    unpacked = await unpackPayload(bzImagePayload(reader), name);
  } else if (compressionOf(bytes) === 'gzip') {
    unpacked = await unpackPayload(bytes, name);
  } else {
    throw new ImageError(name, notAKernel(bytes));
  }
  if (!isElf(new ImageReader(unpacked, name))) {
    throw new ImageError(name, 'not a kernel image: what it unpacks to is not an ELF file');
  }
  return unpacked;
}

function notAKernel(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'not a kernel image: the file is empty';
  const compression = compressionOf(bytes);
  const found = compression === undefined ? '' : `; a plain ${compression} file is not supported`;
  return `not a kernel image: expected a bzImage, an ELF file or a gzip'd ELF file${found}`;
}

function loadSegments({ reader, programHeaders }: Elf, info: XenImageInfo): KernelSegment[] {
  const place = (physicalAddress: number, bytes: Uint8Array, memorySize: number): KernelSegment => {
    const physical = physicalAddress - info.paddrOffset;
    return { virtual: info.virtBase + physical, physical, bytes, memorySize };
  };
  const segments = programHeaders.filter(isLoadable).map((header) => {
    if (header.fileSize > header.memorySize) {
      throw reader.error('corrupt: a segment is larger in the file than in memory');
    }
    const bytes = reader.slice(header.offset, header.fileSize, 'a loadable segment');
    return place(header.physicalAddress, bytes, header.memorySize);
  });
  if (info.bsdSymbols !== undefined) {
    const { physicalAddress, bytes } = info.bsdSymbols;
    segments.push(place(physicalAddress, bytes, bytes.length));
  }
  const total = segments.reduce((sum, { memorySize }) => sum + memorySize, 0);
  if (total > maxImageBytes || info.virtEnd - info.virtStart > maxImageBytes) {
    throw reader.error(
      `corrupt: the image wants ${Math.max(total, info.virtEnd - info.virtStart)} bytes of memory`,
    );
  }
  return segments;
}
