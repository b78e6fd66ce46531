/**
 * The frame table: for each machine frame its owner, its type and its counts. Read `page-info.ts` first.
 *
 * Here live the references without a type (get_page, put_page) and the end of a frame's life; types and their validation
 * follow in `page-types.ts`. A frame is free when its last reference goes, not when its owner gives it back, so a frame
 * that is mapped anywhere is never handed to another domain.
 *
 * Cached translations. The processor keeps translations, and two moments are dangerous: a frame changes its type while a
 * writable translation is still cached, and a free frame is still reachable by one. Each downgrade of an entry advances
 * `epoch` and tells the processor, which then empties the caches of all address spaces that are not loaded before it
 * loads them again. Only the loaded one can be stale, so a frame remembers the epoch of its last use (`stamp`), and the
 * loaded one is flushed if it has not been since. Xen does the same with its TLB clock (arch/x86/flushtlb.c).
 *
 * Checking a table is bounded by the frames below it, each of which is checked once, so it is not preemptible, and the
 * states PGT_partial and PGT_locked do not exist; hypercalls over lists stop between entries. (Xen 4.17, arch/x86/mm.c, common/page_alloc.c.)
 */
import { DOMID_XEN } from '../../abi/xen/numbers/index.ts';
import type { Gva, MachineMemory, Maddr, Mfn } from '../../machine/memory.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import { MachineToPhys } from './m2p.ts';
import {
  OWNER_NONE,
  PGC_allocated,
  PGC_count_mask,
  PGC_xen_heap,
  PGT_count_mask,
  PGT_none,
  PGT_type_mask,
  PGT_validated,
  PGT_writable_page,
} from './page-info.ts';
import { NO_TRACE, type UpdateTrace } from './trace.ts';

/** What page tables need of the processor; `Processor` of `hypervisor/` is one. */
export interface TlbControl {
  /** The active vCPU: where the loaded root is read. */
  readonly cpu: { readonly cr3: Maddr };
  /** A present entry was changed or downgraded, in `slot` of a level-1 table or anywhere: address spaces not loaded now are stale. */
  noteTableChange(slot?: number): void;
  /** A table is no root any more. */
  forgetRoot(root: Maddr): void;
  /** Drops the loaded address space's translation of one page. */
  invalidatePage(gva: Gva): void;
  /** Loads a root; an address space that is stale loses all its translations, global ones included. */
  loadRoot(root: Maddr): void;
}

/** Where frames come from; `FrameAllocator` of `hypervisor/` is one. 0 means "none". */
export interface FrameHeap {
  readonly available: number;
  tryAllocate(): Mfn;
  tryAllocateContiguous(count: number, align?: number): Mfn;
  free(mfn: Mfn): void;
  isFree(mfn: Mfn): boolean;
}

/** What the frame table needs to know of a domain. */
export interface FrameOwner {
  readonly id: number;
  /** The domain is being destroyed, and gets no frames any more. */
  readonly dying: boolean;
  /** VMASST_TYPE_m2p_strict. */
  readonly m2pStrict: boolean;
  /** An ordinary frame of the domain has become free. */
  frameFreed(): void;
}

export interface FrameTableOptions {
  readonly memory: MachineMemory;
  readonly heap: FrameHeap;
  readonly tlb: TlbControl;
  /** Who watches page-table updates. */
  readonly trace?: UpdateTrace;
}

/** Something that validation should have made impossible; a mistake of this program, never of a guest. */
export class FrameTableError extends Error {
  override readonly name = 'FrameTableError';
}

export class FrameTable {
  readonly memory: MachineMemory;
  readonly heap: FrameHeap;
  readonly tlb: TlbControl;
  readonly trace: UpdateTrace;
  /** Machine frames in all. */
  readonly frames: number;
  /** Domain number, DOMID_XEN or OWNER_NONE. */
  readonly owner: Int32Array;
  readonly typeInfo: Int32Array;
  readonly countInfo: Int32Array;
  /** Entries for tables of the same level, if positive; uses in such entries, if negative. */
  readonly linearPtCount: Int16Array;
  readonly domains = new Map<number, FrameOwner>();
  readonly m2p: MachineToPhys;
  /** Machine memory as 32-bit words, and the word where frame 0 starts. */
  readonly words: Int32Array;
  readonly firstWord: number;
  /** `epoch` when the frame's last use as its type ended. */
  private readonly stamp: Float64Array;
  private epoch = 1;
  /** `epoch` when the loaded address space was last emptied. */
  private flushed = 1;

  constructor(options: FrameTableOptions) {
    const { memory } = options;
    this.memory = memory;
    this.heap = options.heap;
    this.tlb = options.tlb;
    this.trace = options.trace ?? NO_TRACE;
    this.frames = memory.frames;
    this.words = memory.i32;
    this.firstWord = memory.framesBase >>> 2;
    this.owner = new Int32Array(this.frames).fill(OWNER_NONE);
    this.typeInfo = new Int32Array(this.frames);
    this.countInfo = new Int32Array(this.frames);
    this.linearPtCount = new Int16Array(this.frames);
    this.stamp = new Float64Array(this.frames);
    this.m2p = new MachineToPhys(this);
  }

  /** mfn_valid(): whether the machine has such a frame. */
  isValid(mfn: Mfn): boolean {
    return mfn >= 0 && mfn < this.frames;
  }

  // -------------------------------------------------------------- references

  /** Takes a reference if the frame belongs to domain `domid`. */
  getPage(mfn: Mfn, domid: number): boolean {
    if (mfn < 0 || mfn >= this.frames || this.owner[mfn] !== domid) return false;
    const count = this.countInfo[mfn]!;
    // Not allocated, or so many references that one more would wrap.
    if (((count + 2) & PGC_count_mask) <= 2) return false;
    this.countInfo[mfn] = count + 1;
    return true;
  }

  /** Drops a reference; the last one frees the frame. */
  putPage(mfn: Mfn): void {
    const count = this.countInfo[mfn]!;
    if ((count & PGC_count_mask) === 0)
      throw new FrameTableError(`expected a reference to frame ${mfn}, found none`);
    this.countInfo[mfn] = count - 1;
    if ((count & PGC_count_mask) === 1) this.freePage(mfn);
  }

  /** The owner gives the frame back: drops the reference that PGC_allocated stands for. */
  putPageAllocRef(mfn: Mfn): void {
    const count = this.countInfo[mfn]!;
    if ((count & PGC_allocated) === 0) return;
    this.countInfo[mfn] = count & ~PGC_allocated;
    this.putPage(mfn);
  }

  /** Makes a frame taken from the heap one of the domain's. (assign_pages) */
  assignPage(mfn: Mfn, owner: FrameOwner): void {
    this.owner[mfn] = owner.id;
    this.typeInfo[mfn] = 0;
    this.countInfo[mfn] = PGC_allocated | 1;
  }

  /**
   * Shares a frame taken from the heap with a domain (or, with DOMID_XEN, keeps it for Xen): the extra type count keeps
   * it at "writable" or, for a read-only one, at "not writable". (share_xen_page_with_guest)
   */
  shareXenPage(mfn: Mfn, domid: number, readOnly: boolean): void {
    this.owner[mfn] = domid;
    this.typeInfo[mfn] = (readOnly ? PGT_none : PGT_writable_page) | PGT_validated | 1;
    this.countInfo[mfn] = PGC_xen_heap | PGC_allocated | 1;
  }

  /** Takes a zeroed frame for Xen itself; 0 if none is left. */
  allocateXenPage(): Mfn {
    const mfn = this.heap.tryAllocate();
    if (mfn === 0) return 0;
    this.shareXenPage(mfn, DOMID_XEN, true);
    return mfn;
  }

  /**
   * Removes a frame from its owner while nobody uses it, leaving it without owner but not in the heap: true if that was
   * possible. The domain's page count is untouched. (steal_page with MEMF_no_refcount)
   */
  stealPage(mfn: Mfn, domid: number): boolean {
    if (!this.isValid(mfn) || this.owner[mfn] !== domid) return false;
    if (this.countInfo[mfn] !== (PGC_allocated | 1)) return false;
    this.flushStale();
    this.countInfo[mfn] = 0;
    this.typeInfo[mfn] = 0;
    this.owner[mfn] = OWNER_NONE;
    return true;
  }

  /** Gives a frame without owner and references back to the heap. (free_domheap_page) */
  releaseToHeap(mfn: Mfn): void {
    this.flushStale();
    this.m2p.invalidate(mfn);
    this.heap.free(mfn);
  }

  private freePage(mfn: Mfn): void {
    const type = this.typeInfo[mfn]!;
    const count = this.countInfo[mfn]!;
    const special = (count & PGC_xen_heap) !== 0;
    if (!special && (type & PGT_count_mask) !== 0) {
      throw new FrameTableError(`expected frame ${mfn} to be unused when it is freed, found type uses left`);
    }
    const owner = this.domains.get(this.owner[mfn]!);
    this.countInfo[mfn] = 0;
    this.typeInfo[mfn] = 0;
    this.linearPtCount[mfn] = 0;
    this.owner[mfn] = OWNER_NONE;
    this.releaseToHeap(mfn);
    if (!special) owner?.frameFreed();
  }

  // -------------------------------------------------------------- cached translations

  /** A present entry was changed or downgraded, in `slot` of a level-1 table or, without it, anywhere. */
  noteTableChange(slot?: number): void {
    this.epoch++;
    this.tlb.noteTableChange(slot);
  }

  /** A level-4 table ceases to be one: its frame may become another root, for which nothing of this one may be taken. */
  forgetRoot(mfn: Mfn): void {
    this.epoch++;
    this.tlb.forgetRoot(mfn * PAGE_SIZE);
  }

  /**
   * Drops all translations of the loaded address space that could be stale: all of them, if anything has changed since
   * it was loaded, and none otherwise. Other address spaces need nothing: they are looked at when they are loaded.
   */
  flushLoaded(): void {
    const root = this.tlb.cpu.cr3;
    // Before the first vCPU runs no root is loaded.
    if (root !== 0) this.loadRoot(root);
    else this.flushed = this.epoch;
  }

  /** No cached translation may outlive the ownership of what it leads to. */
  private flushStale(): void {
    if (this.epoch > this.flushed) this.flushLoaded();
  }

  /** Loads a root, which is emptied if anything has changed since. */
  loadRoot(root: Maddr): void {
    this.tlb.loadRoot(root);
    this.flushed = this.epoch;
  }

  /** The frame's last use as its present type has ended. (set_tlbflush_timestamp) */
  stampLastUse(mfn: Mfn): void {
    this.stamp[mfn] = this.epoch;
  }

  /** The frame is about to change its type: no translation of its former life may be left. */
  flushForTypeChange(mfn: Mfn): void {
    if (this.stamp[mfn]! > this.flushed) this.flushLoaded();
  }

  // -------------------------------------------------------------- entries

  /** Index in `words` of an entry of a table. */
  entryWord(table: Mfn, slot: number): number {
    return this.firstWord + table * (PAGE_SIZE / 4) + slot * 2;
  }

  /** The slot of the entry whose index in `words` is `word`, in its table. */
  slotAt(word: number): number {
    return ((word - this.firstWord) >> 1) & (PAGE_SIZE / 8 - 1);
  }

  /** Stores an entry without any check; `word` is from `entryWord`. */
  storeEntry(word: number, low: number, high: number): void {
    this.memory.write64((word - this.firstWord) * 4, low, high);
  }

  /** One line about a frame, for reports. */
  describe(mfn: Mfn): string {
    const type = this.typeInfo[mfn]!;
    const names = ['none', 'l1', 'l2', 'l3', 'l4', 'seg_desc', 'shared', 'writable'];
    const name = names[(type & PGT_type_mask) >>> 29]!;
    const valid = (type & PGT_validated) !== 0 ? '' : ' unvalidated';
    return (
      `frame ${mfn.toString(16)}: owner ${this.owner[mfn]}, ${name}${valid}, ` +
      `${type & PGT_count_mask} uses, ${this.countInfo[mfn]! & PGC_count_mask} references`
    );
  }
}

const tables = new WeakMap<object, FrameTable>();

/** The one frame table of a host, made when it is first asked for: before that, no domain can own a frame. */
export function frameTableOf(host: {
  readonly memory: MachineMemory;
  readonly frames: FrameHeap;
  readonly processor: TlbControl;
  readonly trace?: UpdateTrace;
}): FrameTable {
  let table = tables.get(host);
  if (table === undefined) {
    const { memory, frames: heap, processor: tlb, trace = NO_TRACE } = host;
    table = new FrameTable({ memory, heap, tlb, trace });
    tables.set(host, table);
  }
  return table;
}
