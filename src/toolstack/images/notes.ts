/**
 * The Xen ELF notes, all that xen/elfnote.h defines. A note is
 *
 *     namesz | descsz | type | name, padded to 4 | desc, padded to 4
 *
 * and counts only if its owner's name is "Xen". A later note of the same type wins. Follows Xen 4.17,
 * xen/common/libelf/libelf-dominfo.c, also in what it forgives: GRUB's 32-bit image ends in the middle of the
 * note it says it has, but the string it needs is there.
 */

import * as elfnote from '../../abi/xen/numbers/elfnote.ts';
import { type Elf, programTypes, sectionTypes } from './elf.ts';
import type { ImageReader } from './reader.ts';
import { addFeatures, noStatements, type XenStatements } from './statements.ts';

/** As in libelf: many headers may point at the same long run of notes, and reading must end. */
const maxNotes = 65536;
const noteHeaderBytes = 12;
/** Linux states one pair. Who states more than these, in all its notes, means something else. */
const maxL1MfnValid = 16;
const owner = 'Xen';

interface Note {
  readonly reader: ImageReader;
  /** Where desc begins in the file, and how long it says it is. */
  readonly at: number;
  readonly bytes: number;
}

/**
 * What each note does, by its number. Types that are not here (13 hexadecimal in Linux 6.12) are passed over.
 */
const handlers: Readonly<Record<number, (to: XenStatements, note: Note) => void>> = {
  [elfnote.XEN_ELFNOTE_INFO]: (to, note) => text(note, (value) => to.info.push(value)),
  [elfnote.XEN_ELFNOTE_ENTRY]: (to, note) => (to.entry = numeric(note)),
  [elfnote.XEN_ELFNOTE_HYPERCALL_PAGE]: (to, note) => (to.hypercallPage = numeric(note)),
  [elfnote.XEN_ELFNOTE_VIRT_BASE]: (to, note) => (to.virtBase = numeric(note)),
  [elfnote.XEN_ELFNOTE_PADDR_OFFSET]: (to, note) => (to.paddrOffset = numeric(note)),
  [elfnote.XEN_ELFNOTE_XEN_VERSION]: (to, note) => text(note, (value) => (to.xenVersion = value)),
  [elfnote.XEN_ELFNOTE_GUEST_OS]: (to, note) => text(note, (value) => (to.guestOs = value)),
  [elfnote.XEN_ELFNOTE_GUEST_VERSION]: (to, note) => text(note, (value) => (to.guestVersion = value)),
  [elfnote.XEN_ELFNOTE_LOADER]: (to, note) => text(note, (value) => (to.loader = value)),
  [elfnote.XEN_ELFNOTE_PAE_MODE]: (to, note) => text(note, (value) => setPaeMode(to, value)),
  [elfnote.XEN_ELFNOTE_FEATURES]: (to, note) => text(note, (value) => addFeatures(to, value, note.reader)),
  [elfnote.XEN_ELFNOTE_BSD_SYMTAB]: (to, note) => text(note, (value) => (to.bsdSymtab ||= value === 'yes')),
  [elfnote.XEN_ELFNOTE_HV_START_LOW]: (to, note) => (to.hvStartLow = numeric(note)),
  [elfnote.XEN_ELFNOTE_L1_MFN_VALID]: addL1MfnValid,
  [elfnote.XEN_ELFNOTE_SUSPEND_CANCEL]: (to, note) => (to.suspendCancel = numeric(note) !== 0),
  [elfnote.XEN_ELFNOTE_INIT_P2M]: (to, note) => (to.initP2m = numeric(note)),
  [elfnote.XEN_ELFNOTE_MOD_START_PFN]: (to, note) => (to.modStartPfn = numeric(note) !== 0),
  [elfnote.XEN_ELFNOTE_SUPPORTED_FEATURES]: addSupportedFeatures,
  [elfnote.XEN_ELFNOTE_PHYS32_ENTRY]: (to, note) => (to.phys32Entry = numeric(note)),
};

/**
 * What the Xen notes of `elf` state, or undefined if there is none. Sections are looked at only where no
 * segment had a Xen note. Raises ImageError where notes lie outside the file, are too many, or require an
 * unknown feature.
 */
export function readXenNotes({ reader, programHeaders, sections }: Elf): XenStatements | undefined {
  const statements = noStatements();
  const budget = { notes: maxNotes };
  let found = 0;
  for (const { type, offset, fileSize } of programHeaders) {
    // Some binutils left the offset of a note segment zero; there are no notes in the ELF header.
    if (type !== programTypes.note || offset === 0) continue;
    found += readRun(reader, offset, fileSize, statements, budget);
  }
  if (found === 0) {
    for (const { type, offset, size } of sections) {
      if (type === sectionTypes.note) found += readRun(reader, offset, size, statements, budget);
    }
  }
  return found === 0 ? undefined : statements;
}

/** Reads one run of notes into `to`; returns how many were Xen's. */
function readRun(
  reader: ImageReader,
  start: number,
  bytes: number,
  to: XenStatements,
  budget: { notes: number },
): number {
  reader.require(start, bytes, 'a run of ELF notes');
  let found = 0;
  for (let at = start; at < start + bytes && reader.holds(at, noteHeaderBytes); ) {
    if (budget.notes-- === 0) throw reader.error('corrupt: too many ELF notes');
    const nameBytes = roundUp4(reader.u32(at, 'an ELF note'));
    const descBytes = reader.u32(at + 4, 'an ELF note');
    const handler = handlers[reader.u32(at + 8, 'an ELF note')];
    const descAt = at + noteHeaderBytes + nameBytes;
    if (reader.string(at + noteHeaderBytes) === owner) {
      handler?.(to, { reader, at: descAt, bytes: descBytes });
      found++;
    }
    at = descAt + roundUp4(descBytes);
  }
  return found;
}

/** A number of 1, 2, 4 or 8 bytes; other lengths read as 0, as in Xen. */
function numeric({ reader, at, bytes }: Note): number {
  const what = 'the value of a Xen note';
  if (bytes === 8) return reader.i64(at, what);
  if (bytes === 4) return reader.u32(at, what);
  if (bytes === 2) return reader.u16(at, what);
  return bytes === 1 ? reader.u8(at, what) : 0;
}

/**
 * Hands a string note's value on. It ends at its NUL, whatever length the note states; without one it is
 * ignored.
 */
function text({ reader, at }: Note, use: (value: string) => void): void {
  const value = reader.string(at);
  if (value !== undefined) use(value);
}

/**
 * A kernel new enough for notes keeps its top table anywhere: `yes` means what the older string calls
 * extended-cr3.
 */
function setPaeMode(to: XenStatements, value: string): void {
  if (value === 'yes') to.pae = 'extended-cr3';
  if (value.includes('bimodal')) to.pae = 'bimodal';
}

/** An array of submaps, of which only the first exists. */
function addSupportedFeatures(to: XenStatements, { reader, at, bytes }: Note): void {
  if (bytes === 0 || bytes % 4 !== 0) return;
  to.supportedFeatures = (to.supportedFeatures | reader.u32(at, 'a Xen note')) >>> 0;
}

function addL1MfnValid(to: XenStatements, note: Note): void {
  const pairs = note.bytes === 8 ? 1 : Math.floor(note.bytes / 16);
  if (to.l1MfnValid.length + pairs > maxL1MfnValid) {
    throw note.reader.error('corrupt: too many pairs in its notes L1_MFN_VALID');
  }
  to.l1MfnValid.push(...l1MfnValid(note));
}

function l1MfnValid({ reader, at, bytes }: Note): XenStatements['l1MfnValid'] {
  // Pairs of machine addresses: 8 bytes each, 4 in a 32-bit kernel without PAE, which states a single pair.
  if (bytes === 8) {
    const low = (offset: number) => reader.u32(offset, 'a Xen note');
    return [{ maskLow: low(at), maskHigh: 0, valueLow: low(at + 4), valueHigh: 0 }];
  }
  reader.require(at, bytes, 'a Xen note');
  return Array.from({ length: Math.floor(bytes / 16) }, (_, pair) => {
    const word = (index: number) => reader.u32(at + pair * 16 + index * 4, 'a Xen note');
    return { maskLow: word(0), maskHigh: word(1), valueLow: word(2), valueHigh: word(3) };
  });
}

function roundUp4(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}
