/**
 * What a kernel says of itself to Xen: the result of reading its ELF notes (notes.ts) or the older
 * `__xen_guest` string (guest-info.ts), with the defaults and the checks of Xen 4.17,
 * xen/common/libelf/libelf-dominfo.c.
 *
 * Virtual addresses are signed numbers: those of the kernel's half of a 64-bit address space are negative.
 */

import { XENFEAT_dom0 } from '../../abi/xen/numbers/features.ts';
import type { Gva } from '../../machine/memory.ts';
import { quoted } from '../quoted.ts';
import { type BsdSymbols, bsdSymbols } from './bsd-symbols.ts';
import { type Elf, programTypes } from './elf.ts';
import { readGuestInfo } from './guest-info.ts';
import { readXenNotes } from './notes.ts';
import { hex, type ImageReader } from './reader.ts';
import type { XenStatements } from './statements.ts';

/** The statements, completed: every address is known, and the whole has passed Xen's checks. */
export interface XenImageInfo extends Readonly<XenStatements> {
  readonly source: 'notes' | '__xen_guest';
  readonly width: 32 | 64;
  readonly entry: Gva;
  readonly virtBase: Gva;
  readonly paddrOffset: number;
  /** The image's extent in virtual memory, from the first loaded byte to past the last. */
  readonly virtStart: Gva;
  readonly virtEnd: Gva;
  /** The symbols to load behind the kernel, where it asks for them and has any; `virtEnd` counts them in. */
  readonly bsdSymbols: BsdSymbols | undefined;
}

/**
 * Reads and checks what `elf` says to Xen. The first source that has anything to say wins: notes in PT_NOTE
 * segments, notes in SHT_NOTE sections, the `__xen_guest` section. Raises ImageError where the kernel is not
 * made for Xen PV, or its addresses contradict each other.
 */
export function readXenInfo(elf: Elf): XenImageInfo {
  const { reader } = elf;
  const notes = readXenNotes(elf);
  const statements = notes ?? readGuestInfo(elf);
  if (statements === undefined)
    throw reader.error('not a Xen PV kernel: no Xen ELF note and no __xen_guest section');
  checkOrigin(statements, elf.width, reader);

  const { virtBase = 0 } = statements;
  if (statements.paddrOffset !== undefined && statements.virtBase === undefined) {
    throw reader.error('corrupt Xen notes: PADDR_OFFSET is given, VIRT_BASE is not');
  }
  // The older interface dates from kernels whose ELF physical addresses were virtual ones.
  const paddrOffset = statements.paddrOffset ?? (notes === undefined ? virtBase : 0);
  const extent = physicalExtent(elf);
  const virtStart = extent.start + virtBase - paddrOffset;
  const symbols = statements.bsdSymtab ? bsdSymbols(elf, extent.end) : undefined;
  const physicalEnd = symbols ? symbols.physicalAddress + symbols.bytes.length : extent.end;
  const virtEnd = physicalEnd + virtBase - paddrOffset;
  const entry = statements.entry ?? elf.entry;
  const info: XenImageInfo = {
    ...statements,
    source: notes === undefined ? '__xen_guest' : 'notes',
    width: elf.width,
    entry,
    virtBase,
    paddrOffset,
    virtStart,
    virtEnd,
    bsdSymbols: symbols,
  };
  checkAddresses(info, reader);
  return info;
}

function checkOrigin(statements: XenStatements, width: 32 | 64, reader: ImageReader): void {
  const { loader, guestOs, xenVersion, pae, requiredFeatures, phys32Entry } = statements;
  if (phys32Entry !== undefined && !loader && !guestOs) {
    throw reader.error('not a Xen PV kernel: it has only the note PHYS32_ENTRY, for PVH');
  }
  if (!loader.startsWith('generic') && !guestOs.startsWith('linux')) {
    throw reader.error(
      `not a Xen PV kernel: its loader is ${quoted(loader)} and its OS ${quoted(guestOs)}, expected "generic" or "linux"`,
    );
  }
  if (!xenVersion.startsWith('xen-3.0')) {
    throw reader.error(`not a Xen PV kernel: made for ${quoted(xenVersion)}, expected "xen-3.0"`);
  }
  if (requiredFeatures & (1 << XENFEAT_dom0)) {
    throw reader.error('runs only as the initial domain (it requires the feature "dom0")');
  }
  if (width === 32 && pae === 'no') {
    throw reader.error('a 32-bit kernel without PAE, which Xen no longer runs');
  }
}

/** From the lowest to the highest byte that a loadable segment occupies, in ELF physical addresses. */
function physicalExtent({ programHeaders, reader }: Elf): { start: number; end: number } {
  const loadable = programHeaders.filter(isLoadable);
  if (loadable.length === 0)
    throw reader.error('corrupt: nothing to load, the ELF file has no loadable segment');
  return {
    start: Math.min(...loadable.map((header) => header.physicalAddress)),
    end: Math.max(...loadable.map((header) => header.physicalAddress + header.memorySize)),
  };
}

/**
 * Does the segment go into the guest's memory? One without any permission does not (libelf,
 * elf_phdr_is_loadable).
 */
export function isLoadable({ type, flags }: { type: number; flags: number }): boolean {
  return type === programTypes.load && (flags & 7) !== 0;
}

function checkAddresses(info: XenImageInfo, reader: ImageReader): void {
  const { width, virtStart, virtEnd, entry, virtBase, initP2m } = info;
  const [lowest, highest] = width === 64 ? [-(2 ** 47), 2 ** 47] : [0, 2 ** 32];
  const range = `${hex(virtStart)}..${hex(virtEnd)}`;
  if (virtStart < lowest || virtEnd > highest || (virtStart < 0 && virtEnd > 0)) {
    throw reader.error(
      `corrupt: the image would lie at ${range}, which is not an address range of ${width} bits`,
    );
  }
  // Both in one half: as unsigned numbers, which they are, negative ones are the larger.
  if (virtStart > virtEnd || virtBase > virtStart || virtBase < 0 !== virtStart < 0) {
    throw reader.error(`corrupt: the image would lie at ${range}, below its VIRT_BASE ${hex(virtBase)}`);
  }
  if (entry < virtStart || entry > virtEnd) {
    throw reader.error(`corrupt: its entry ${hex(entry)} lies outside the image, ${range}`);
  }
  if (initP2m !== undefined && (initP2m < lowest || initP2m >= highest)) {
    throw reader.error(`corrupt: INIT_P2M ${hex(initP2m)} is not an address of ${width} bits`);
  }
  if (initP2m !== undefined && initP2m >= virtStart && initP2m < virtEnd) {
    throw reader.error(`corrupt: INIT_P2M ${hex(initP2m)} lies inside the image, ${range}`);
  }
}
