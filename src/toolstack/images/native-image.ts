/**
 * A kernel for the bare machine: a 64-bit ELF file, or a Linux bzImage with one inside, loaded at its physical addresses.
 * Unlike a kernel for Xen it need not say anything: there are no notes to look for.
 */
import { isBzImage } from './bzimage.ts';
import { type Elf, parseElf, programTypes } from './elf.ts';
import { ImageError } from './error.ts';
import { unpackKernel } from './kernel.ts';
import { ImageReader } from './reader.ts';
import { type SymbolTable, symbolTable } from './symbols.ts';

/** A stretch of the image in the machine's memory. */
export interface NativeSegment {
  readonly physical: number;
  /** Where the image is linked: a signed 64-bit address. */
  readonly virtual: number;
  /** What the file holds of it (a view, not a copy); zeros follow up to `memorySize`. */
  readonly bytes: Uint8Array;
  readonly memorySize: number;
}

export interface NativeImage {
  readonly name: string;
  readonly segments: readonly NativeSegment[];
  /** Physical or virtual, as the ELF header has it. */
  readonly entry: number;
  /** The setup header of a bzImage, from its byte 0x1f1 on. */
  readonly setupHeader: Uint8Array | undefined;
  readonly symbols: SymbolTable;
}

const SETUP_HEADER = 0x1f1;
/** The byte after the header's first jump tells where the header ends. */
const SETUP_HEADER_END = 0x202;
const SETUP_HEADER_LENGTH = 0x201;
const MAX_PHYSICAL = 2 ** 32;

/** Reads a kernel for the bare machine. `name` is what errors call it. Raises ImageError, and nothing else. */
export async function loadNativeImage(bytes: Uint8Array, name: string): Promise<NativeImage> {
  const elf = parseElf(await unpackKernel(bytes, name), name);
  if (elf.width !== 64) {
    throw new ImageError(name, 'a 32-bit kernel; the bare machine starts 64-bit ones (x86-64 ELF)');
  }
  const segments = loadSegments(elf);
  return {
    name,
    segments,
    entry: elf.entry,
    setupHeader: setupHeader(new ImageReader(bytes, name)),
    symbols: symbolTable(elf, segments),
  };
}

function loadSegments({ reader, programHeaders }: Elf): NativeSegment[] {
  const loadable = programHeaders.filter(
    ({ type, memorySize }) => type === programTypes.load && memorySize > 0,
  );
  if (loadable.length === 0) throw reader.error('nothing to load: no program header of type LOAD');
  return loadable.map(({ offset, fileSize, memorySize, physicalAddress, virtualAddress }) => {
    if (fileSize < 0 || fileSize > memorySize) {
      throw reader.error('corrupt: a segment is larger in the file than in memory');
    }
    if (physicalAddress < 0 || physicalAddress + memorySize > MAX_PHYSICAL) {
      throw reader.error('expected physical addresses below 4 GiB in its program headers');
    }
    const bytes = reader.slice(offset, fileSize, 'a loadable segment');
    return { physical: physicalAddress, virtual: virtualAddress, bytes, memorySize };
  });
}

function setupHeader(reader: ImageReader): Uint8Array | undefined {
  if (!isBzImage(reader)) return undefined;
  const end = SETUP_HEADER_END + reader.u8(SETUP_HEADER_LENGTH, 'the setup header');
  return reader.slice(SETUP_HEADER, end - SETUP_HEADER, 'the setup header');
}
