/**
 * The machine-to-phys table: for each machine frame, the pseudo-physical frame number that its owner gave it.
 *
 * It is an array of 64-bit words in machine frames of Xen's, indexed by frame number, and every guest can read it at
 * 0xffff800000000000: a chain of tables of Xen's own leads there and is hung into slot 256 of each validated root. What
 * lies beyond the machine's last frame is not mapped, so a guest that looks up a foreign number takes a page fault and
 * can recover from it. Frames that are no guest's read INVALID (all ones).
 *
 *     L4[256] -> L3[0] -> L2 -> L1 ... -> the frames of the array
 *
 * (Xen 4.17, arch/x86/x86_64/mm.c: paging_init, set_gpfn_from_mfn.)
 */
import { DOMID_XEN } from '../../abi/xen/numbers/index.ts';
import type { Mfn, Pfn } from '../../machine/memory.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import type { FrameTable } from './frame-table.ts';
import {
  ENTRIES_PER_TABLE,
  HIGH_NX,
  PAGE_ACCESSED,
  PAGE_DIRTY,
  PAGE_PRESENT,
  PAGE_USER,
} from './page-info.ts';

const TWO_32 = 4294967296;
const BYTES_PER_ENTRY = 8;
const TABLE_FLAGS = PAGE_PRESENT | PAGE_USER | PAGE_ACCESSED;
const LEAF_FLAGS = TABLE_FLAGS | PAGE_DIRTY;

/** The machine is too small for its own M2P. */
export class M2PError extends Error {
  override readonly name = 'M2PError';
}

export class MachineToPhys {
  /** First frame of the array; the others follow it. */
  readonly firstFrame: Mfn;
  /** Frames of the array. */
  readonly frameCount: number;
  /** What slot 256 of a root holds, low and high half. */
  readonly rootEntryLow: number;
  readonly rootEntryHigh = HIGH_NX;
  private readonly words: Int32Array;
  private readonly firstWord: number;

  constructor(table: FrameTable) {
    const { memory, heap } = table;
    this.frameCount = Math.ceil((table.frames * BYTES_PER_ENTRY) / PAGE_SIZE);
    this.firstFrame = heap.tryAllocateContiguous(this.frameCount);
    if (this.firstFrame === 0) throw noRoom(this.frameCount);
    for (let i = 0; i < this.frameCount; i++) table.shareXenPage(this.firstFrame + i, DOMID_XEN, true);
    this.words = memory.i32;
    this.firstWord = (memory.framesBase + this.firstFrame * PAGE_SIZE) >>> 2;
    memory.fill(this.firstFrame * PAGE_SIZE, 0xff, this.frameCount * PAGE_SIZE);

    const newTable = (): Mfn => {
      const mfn = table.allocateXenPage();
      if (mfn === 0) throw noRoom(1);
      return mfn;
    };
    const link = (parent: Mfn, slot: number, child: Mfn, flags: number) =>
      table.storeEntry(table.entryWord(parent, slot), (child << 12) | flags, HIGH_NX);
    const l3 = newTable();
    let l2 = 0;
    let l1 = 0;
    for (let i = 0; i < this.frameCount; i++) {
      if (i % ENTRIES_PER_TABLE ** 2 === 0) {
        l2 = newTable();
        link(l3, i / ENTRIES_PER_TABLE ** 2, l2, TABLE_FLAGS);
      }
      if (i % ENTRIES_PER_TABLE === 0) {
        l1 = newTable();
        link(l2, (i / ENTRIES_PER_TABLE) % ENTRIES_PER_TABLE, l1, TABLE_FLAGS);
      }
      link(l1, i % ENTRIES_PER_TABLE, this.firstFrame + i, LEAF_FLAGS);
    }
    this.rootEntryLow = (l3 << 12) | TABLE_FLAGS;
  }

  /** set_gpfn_from_mfn(): `low` and `high` are the halves of the guest's frame number, or of whatever it stores. */
  set(mfn: Mfn, low: number, high: number): void {
    const word = this.firstWord + mfn * 2;
    this.words[word] = low;
    this.words[word + 1] = high;
  }

  setPfn(mfn: Mfn, pfn: Pfn): void {
    this.set(mfn, pfn | 0, Math.floor(pfn / TWO_32) | 0);
  }

  /** The frame is no guest's. */
  invalidate(mfn: Mfn): void {
    this.set(mfn, -1, -1);
  }

  low(mfn: Mfn): number {
    return this.words[this.firstWord + mfn * 2]!;
  }
  high(mfn: Mfn): number {
    return this.words[this.firstWord + mfn * 2 + 1]!;
  }

  /** Whether nothing is recorded for the frame. */
  isInvalid(mfn: Mfn): boolean {
    return (this.low(mfn) & this.high(mfn)) === -1;
  }

  /** The frame at which the 2 MiB part `i` of the table starts, as XENMEM_machphys_mfn_list tells it. */
  extent(i: number): Mfn {
    return this.firstFrame + i * ENTRIES_PER_TABLE;
  }
  /** Parts of 2 MiB. */
  get extents(): number {
    return Math.ceil(this.frameCount / ENTRIES_PER_TABLE);
  }
}

function noRoom(frames: number): M2PError {
  return new M2PError(`${frames} machine frames wanted for the machine-to-phys table, but they are not free`);
}
