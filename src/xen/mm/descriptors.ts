/**
 * Which segment descriptors a guest may put into its GDT and LDT.
 *
 * Everything that could raise privilege is refused or defused: a descriptor's DPL is brought down to the ring the
 * guest's kernel runs in, system descriptors other than call gates are refused, and a call gate loses its DPL, so that
 * using one faults and can be emulated. (Xen 4.17, arch/x86/pv/descriptor-tables.c: check_descriptor.)
 */
import { FLAT_KERNEL_CS } from '../../abi/xen/numbers/arch-x86_64.ts';
import type { Mfn } from '../../machine/memory.ts';
import type { FrameTable } from './frame-table.ts';
import { ENTRIES_PER_TABLE } from './page-info.ts';

// Bits of a descriptor's high word.
const SEGMENT_TYPE = 0xf << 8;
const SEGMENT_S = 1 << 12;
const SEGMENT_DPL_SHIFT = 13;
const SEGMENT_DPL = 3 << SEGMENT_DPL_SHIFT;
const SEGMENT_P = 1 << 15;
const CALL_GATE = 0xc00;

/** The ring of a 64-bit guest's kernel. */
const GUEST_KERNEL_RPL = 3;
/** Entries of a GDT that are a guest's; Xen's follow. */
const FIRST_RESERVED_GDT_ENTRY = 14 * 512;

/** A descriptor that is being checked: both words are brought into the form that may be stored. */
export interface MutableDescriptor {
  low: number;
  high: number;
}

/** Whether a 64-bit guest may store the descriptor; adjusts it where Xen would. */
export function checkDescriptor(descriptor: MutableDescriptor): boolean {
  let { low, high } = descriptor;
  // One that is not present always faults, so it is safe.
  if ((high & SEGMENT_P) === 0) return true;
  const dpl = Math.max((high & SEGMENT_DPL) >>> SEGMENT_DPL_SHIFT, GUEST_KERNEL_RPL);
  high = (high & ~SEGMENT_DPL) | (dpl << SEGMENT_DPL_SHIFT);
  if ((high & SEGMENT_S) === 0) {
    // Type 0 is harmless: it is the second half of a call gate.
    if ((high & SEGMENT_TYPE) === 0) return true;
    if ((high & SEGMENT_TYPE) !== CALL_GATE) return false;
    const selector = low >>> 16;
    if (!isGateSelectorOkay(selector)) return false;
    if ((high & 0xff) !== 0) return false;
    high &= ~SEGMENT_DPL;
    low = (low & 0xffff) | (((selector & ~3) | dpl) << 16);
  }
  descriptor.low = low | 0;
  descriptor.high = high | 0;
  return true;
}

function isGateSelectorOkay(selector: number): boolean {
  return selector >>> 3 < FIRST_RESERVED_GDT_ENTRY || selector === FLAT_KERNEL_CS || (selector & 4) !== 0;
}

const descriptor: MutableDescriptor = { low: 0, high: 0 };

/** Checks all descriptors of a frame, adjusting them in place; false if one is not allowed. (validate_segdesc_page) */
export function validateSegdescPage(table: FrameTable, mfn: Mfn): boolean {
  for (let i = 0; i < ENTRIES_PER_TABLE; i++) {
    const word = table.entryWord(mfn, i);
    const low = table.words[word]!;
    const high = table.words[word + 1]!;
    descriptor.low = low;
    descriptor.high = high;
    if (!checkDescriptor(descriptor)) return false;
    if (descriptor.low !== low || descriptor.high !== high) {
      table.storeEntry(word, descriptor.low, descriptor.high);
    }
  }
  return true;
}
