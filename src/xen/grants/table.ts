/**
 * The grant table of one domain: which of its frames it lends, to whom, and who is using them right now.
 *
 * The table itself is memory that the domain writes (version 1: eight bytes an entry, 512 entries a frame). What Xen
 * promised must not depend on it, so the first use of an entry copies its domain and frame into an *active* entry; the
 * two status bits in the table tell the granter not to revoke it meanwhile.
 *
 *     entry   | flags 16 | domid 16 | frame 32 |      GTF_reading, GTF_writing are Xen's to set
 *
 * (Xen 4.17, xen/common/grant_table.c; public/grant_table.h. Version 2 is switched off, as by xl.cfg's
 * max_grant_version=1.)
 */
import {
  GNTST_bad_gntref,
  GNTST_bad_page,
  GNTST_eagain,
  GNTST_general_error,
  GNTST_okay,
  GTF_permit_access,
  GTF_reading,
  GTF_readonly,
  GTF_sub_page,
  GTF_type_mask,
  GTF_writing,
} from '../../abi/xen/numbers/grant_table.ts';
import { grant_entry_v1 } from '../../abi/xen/structures/grant_table.ts';
import type { Maddr, Mfn } from '../../machine/memory.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import type { DomainMemory, ReferenceReport } from '../mm/domain-memory.ts';

const ENTRY = grant_entry_v1.x64;
const { flags: FLAGS, domid: DOMID, frame: FRAME } = ENTRY.offset;
export const ENTRIES_PER_FRAME = PAGE_SIZE / ENTRY.size;
/** xl's default for `max_grant_frames`. */
export const DEFAULT_MAX_FRAMES = 64;
/** Uses of one entry at a time. */
const PIN_LIMIT = 255;

/** An entry in use. */
interface ActiveEntry {
  readonly domain: number;
  readonly mfn: Mfn;
  readers: number;
  writers: number;
}

export class GrantTable {
  readonly version = 1;
  readonly maxFrames: number;
  /** The frames of the table itself. */
  readonly frames: Mfn[] = [];
  private readonly mm: DomainMemory;
  private readonly active = new Map<number, ActiveEntry>();

  /** The table starts with one frame, or with none if the machine has none left. */
  constructor(mm: DomainMemory, maxFrames = DEFAULT_MAX_FRAMES) {
    this.mm = mm;
    this.maxFrames = maxFrames;
    this.grow(1);
  }

  /** Entries that the table has room for. */
  get size(): number {
    return this.frames.length * ENTRIES_PER_FRAME;
  }

  /** Makes it at least `frames` frames long, `maxFrames` at most; false if the machine has none left. */
  grow(frames: number): boolean {
    while (this.frames.length < frames) {
      const mfn = this.mm.allocateSharedPage();
      if (mfn === 0) return false;
      this.frames.push(mfn);
    }
    return true;
  }

  /** Lends a frame, as the domain itself would: how the toolstack presets the reserved entries. */
  permit(ref: number, domain: number, mfn: Mfn): void {
    const { memory } = this.mm.table;
    const at = this.entry(ref);
    memory.write16(at + DOMID, domain);
    memory.write32(at + FRAME, mfn);
    memory.write16(at + FLAGS, GTF_permit_access);
  }

  /**
   * Takes an entry into use by `domain`, with a reference on its frame; `mapping`: not for a copy. On GNTST_okay
   * `frameOf` tells the frame, and `releaseUse` must follow.
   */
  acquire(ref: number, domain: number, readOnly: boolean, mapping: boolean): number {
    if (ref >= this.size) return GNTST_bad_gntref;
    const active = this.active.get(ref);
    if (active !== undefined) {
      if (active.domain !== domain || active.readers + active.writers >= PIN_LIMIT)
        return GNTST_general_error;
      if (!readOnly && active.writers === 0) {
        const status = this.setStatus(ref, domain, true, mapping, false);
        if (status !== GNTST_okay) return status;
      }
      if (!this.mm.getPage(active.mfn)) return GNTST_bad_page;
      if (readOnly) active.readers++;
      else active.writers++;
      return GNTST_okay;
    }
    const status = this.setStatus(ref, domain, !readOnly, mapping, true);
    if (status !== GNTST_okay) return status;
    const mfn = this.mm.table.memory.readU32(this.entry(ref) + FRAME);
    if (!this.mm.getPage(mfn)) {
      this.clearStatus(ref, GTF_reading | GTF_writing);
      return GNTST_bad_page;
    }
    this.active.set(ref, { domain, mfn, readers: readOnly ? 1 : 0, writers: readOnly ? 0 : 1 });
    return GNTST_okay;
  }

  /** The frame of an entry in use. */
  frameOf(ref: number): Mfn {
    return this.active.get(ref)!.mfn;
  }

  /** Ends one use of an entry, and drops its reference. */
  releaseUse(ref: number, readOnly: boolean): void {
    const active = this.active.get(ref)!;
    if (readOnly) active.readers--;
    else active.writers--;
    if (!readOnly && active.writers === 0) this.clearStatus(ref, GTF_writing);
    if (active.readers + active.writers === 0) {
      this.active.delete(ref);
      this.clearStatus(ref, GTF_reading);
    }
    this.mm.putPage(active.mfn);
  }

  /** The references that uses hold now, for the auditor. */
  reportReferences(report: ReferenceReport): void {
    for (const { mfn, readers, writers } of this.active.values()) {
      for (let i = 0; i < readers + writers; i++) report(mfn, 0);
    }
  }

  /** GNTTABOP_swap_grant_ref: exchanges two entries that are not in use. */
  swap(first: number, second: number): number {
    if (first >= this.size || second >= this.size) return GNTST_bad_gntref;
    if (first === second) return GNTST_okay;
    if (this.active.has(first) || this.active.has(second)) return GNTST_eagain;
    const { memory } = this.mm.table;
    const [one, two] = [new Uint8Array(ENTRY.size), new Uint8Array(ENTRY.size)];
    memory.readBytes(this.entry(first), one);
    memory.readBytes(this.entry(second), two);
    memory.writeBytes(this.entry(first), two);
    memory.writeBytes(this.entry(second), one);
    return GNTST_okay;
  }

  /** When the domain is destroyed. */
  release(): void {
    for (const { mfn, readers, writers } of this.active.values()) {
      for (let i = 0; i < readers + writers; i++) this.mm.putPage(mfn);
    }
    this.active.clear();
    for (const mfn of this.frames) this.mm.releaseSharedPage(mfn);
    this.frames.length = 0;
  }

  private entry(ref: number): Maddr {
    const frame = this.frames[Math.floor(ref / ENTRIES_PER_FRAME)]!;
    return frame * PAGE_SIZE + (ref % ENTRIES_PER_FRAME) * ENTRY.size;
  }

  /** Marks an entry as read or written; `first`: nobody uses it yet, so it must be an offer to `domain`. */
  private setStatus(ref: number, domain: number, write: boolean, mapping: boolean, first: boolean): number {
    const { memory } = this.mm.table;
    const at = this.entry(ref);
    const flags = memory.read16(at + FLAGS);
    const mask = mapping ? GTF_type_mask | GTF_sub_page : GTF_type_mask;
    if (first && ((flags & mask) !== GTF_permit_access || memory.read16(at + DOMID) !== domain)) {
      return GNTST_general_error;
    }
    if (write && (flags & GTF_readonly) !== 0) return GNTST_general_error;
    memory.write16(at + FLAGS, flags | GTF_reading | (write ? GTF_writing : 0));
    return GNTST_okay;
  }

  private clearStatus(ref: number, bits: number): void {
    const { memory } = this.mm.table;
    const at = this.entry(ref) + FLAGS;
    memory.write16(at, memory.read16(at) & ~bits);
  }
}
