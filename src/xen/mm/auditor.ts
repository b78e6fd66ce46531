/**
 * The auditor: works out every owner, type and count anew, from what holds references, and compares.
 *
 * The frame table is kept up to date by thousands of small steps; one missed or doubled step is a hole through which one
 * domain reaches another, or a frame that is never free again. The auditor takes none of those steps. It starts from the
 * holders (allocations, pins, roots of vCPUs, descriptor tables, whoever else registered) and walks all entries of all
 * validated tables. Tests call it after everything that touches page tables.
 */
import type { Mfn } from '../../machine/memory.ts';
import { DomainMemory } from './domain-memory.ts';
import type { FrameTable } from './frame-table.ts';
import {
  ENTRIES_PER_TABLE,
  HIGH_GUEST_KERNEL,
  INVALID_MFN,
  isGuestSlot,
  isTableType,
  L1_DISALLOW_MASK,
  NO_MFN,
  OWNER_NONE,
  PAGE_GLOBAL,
  PAGE_PRESENT,
  PAGE_RW,
  PAGE_USER,
  PGC_allocated,
  PGC_count_mask,
  PGC_xen_heap,
  PGT_count_mask,
  PGT_pinned,
  PGT_root_page_table,
  PGT_seg_desc_page,
  PGT_type_mask,
  PGT_validated,
  PGT_writable_page,
  ROOT_PAGETABLE_FIRST_XEN_SLOT,
  TABLE_DISALLOW_MASK,
  tableLevel,
  tableType,
} from './page-info.ts';
import { entryMfn } from './page-types.ts';

/** Everything that is wrong, one line each; empty when all is well. */
export function audit(table: FrameTable): string[] {
  return new Audit(table).run();
}

class Audit {
  private readonly table: FrameTable;
  private readonly references: Int32Array;
  private readonly uses: Int32Array;
  private readonly linear: Int32Array;
  private readonly found: string[] = [];

  constructor(table: FrameTable) {
    this.table = table;
    this.references = new Int32Array(table.frames);
    this.uses = new Int32Array(table.frames);
    this.linear = new Int32Array(table.frames);
  }

  run(): string[] {
    const { table } = this;
    for (let mfn = 0; mfn < table.frames; mfn++) {
      if (table.owner[mfn] !== OWNER_NONE) this.collectFrame(mfn);
    }
    for (const owner of table.domains.values()) {
      if (owner instanceof DomainMemory) this.collectDomain(owner);
    }
    for (let mfn = 0; mfn < table.frames; mfn++) this.compare(mfn);
    this.countPages();
    return this.found;
  }

  private wrong(mfn: Mfn, what: string): void {
    this.found.push(`${this.table.describe(mfn)}: ${what}`);
  }

  // -------------------------------------------------------------- holders

  /** Somebody holds a reference, and if `type` is not 0 a use as that type. */
  private hold(mfn: Mfn, type: number, holder: string): void {
    const { table } = this;
    if (!table.isValid(mfn)) {
      this.found.push(`${holder} holds frame ${mfn}, which the machine does not have`);
      return;
    }
    this.references[mfn]!++;
    if (type === 0) return;
    this.uses[mfn]!++;
    if ((table.typeInfo[mfn]! & PGT_type_mask) !== type)
      this.wrong(mfn, `${holder} needs type ${type >>> 29}`);
  }

  private collectFrame(mfn: Mfn): void {
    const { table } = this;
    const info = table.typeInfo[mfn]!;
    const count = table.countInfo[mfn]!;
    if ((count & PGC_allocated) !== 0) this.references[mfn]!++;
    // The count that share_xen_page_with_guest starts with.
    if ((count & PGC_xen_heap) !== 0) this.uses[mfn]!++;
    if ((info & PGT_pinned) !== 0) this.hold(mfn, info & PGT_type_mask, 'a pin');
    if (isTableType(info) && (info & PGT_validated) !== 0 && (info & PGT_count_mask) !== 0) {
      this.collectTable(mfn, tableLevel(info));
    }
  }

  private collectDomain(memory: DomainMemory): void {
    for (const vcpu of memory.domain.vcpus) {
      const name = `vCPU d${memory.id}v${vcpu.id}`;
      if (vcpu.kernelTable !== NO_MFN) this.hold(vcpu.kernelTable, PGT_root_page_table, name);
      if (vcpu.userTable !== NO_MFN) this.hold(vcpu.userTable, PGT_root_page_table, name);
      for (const mfn of vcpu.gdtFrames) if (mfn !== NO_MFN) this.hold(mfn, PGT_seg_desc_page, name);
    }
    for (const mfn of memory.ldt.held()) this.hold(mfn, PGT_seg_desc_page, `an LDT of d${memory.id}`);
    for (const mfn of memory.keptWritable)
      this.hold(mfn, PGT_writable_page, `the toolstack of d${memory.id}`);
    for (const source of memory.referenceSources) {
      source((mfn, type) => this.hold(mfn, type, `a holder in d${memory.id}`));
    }
  }

  private collectTable(mfn: Mfn, level: number): void {
    const { table } = this;
    for (let slot = 0; slot < ENTRIES_PER_TABLE; slot++) {
      const word = table.entryWord(mfn, slot);
      const low = table.words[word]!;
      const high = table.words[word + 1]!;
      if (!isGuestSlot(level, slot)) this.checkXenSlot(mfn, slot, low, high);
      else if ((low & PAGE_PRESENT) === 0) continue;
      else if (level === 1) this.collectL1Entry(mfn, slot, low, high);
      else this.collectTableEntry(mfn, level, slot, low, high);
    }
  }

  private collectL1Entry(table: Mfn, slot: number, low: number, high: number): void {
    const frames = this.table;
    const mfn = entryMfn(low, high);
    const where = `slot ${slot}`;
    if ((low & L1_DISALLOW_MASK) !== 0) this.wrong(table, `${where} has forbidden flags`);
    if ((low & PAGE_USER) === 0 || ((high & HIGH_GUEST_KERNEL) === 0 && (low & PAGE_GLOBAL) === 0)) {
      this.wrong(table, `${where} was not adjusted`);
    }
    if (mfn === INVALID_MFN || !frames.isValid(mfn)) {
      this.wrong(table, `${where} names no frame`);
      return;
    }
    if (frames.owner[mfn] !== frames.owner[table]) this.wrong(mfn, `mapped by domain ${frames.owner[table]}`);
    this.hold(mfn, (low & PAGE_RW) !== 0 ? PGT_writable_page : 0, `entry ${table.toString(16)}[${slot}]`);
  }

  private collectTableEntry(table: Mfn, level: number, slot: number, low: number, high: number): void {
    const frames = this.table;
    const mfn = entryMfn(low, high);
    if ((low & TABLE_DISALLOW_MASK) !== 0 || (low & PAGE_USER) === 0) {
      this.wrong(table, `slot ${slot} has forbidden flags, or was not adjusted`);
    }
    if (mfn === INVALID_MFN || !frames.isValid(mfn)) {
      this.wrong(table, `slot ${slot} names no frame`);
      return;
    }
    const isLinear = (frames.typeInfo[mfn]! & PGT_type_mask) === tableType(level);
    if (isLinear && (low & PAGE_RW) !== 0) this.wrong(table, `slot ${slot} is linear and writable`);
    if (mfn === table) return;
    if (frames.owner[mfn] !== frames.owner[table])
      this.wrong(mfn, `a table of domain ${frames.owner[table]}`);
    if (isLinear) {
      this.linear[table]!++;
      this.linear[mfn]!--;
    }
    this.hold(mfn, tableType(isLinear ? level : level - 1), `entry ${table.toString(16)}[${slot}]`);
  }

  private checkXenSlot(mfn: Mfn, slot: number, low: number, high: number): void {
    const { m2p } = this.table;
    const isM2P =
      slot === ROOT_PAGETABLE_FIRST_XEN_SLOT && low === m2p.rootEntryLow && high === m2p.rootEntryHigh;
    if ((low | high) !== 0 && !isM2P) this.wrong(mfn, `slot ${slot}, which is Xen's, holds something else`);
  }

  // -------------------------------------------------------------- comparison

  private compare(mfn: Mfn): void {
    const { table } = this;
    const info = table.typeInfo[mfn]!;
    const count = table.countInfo[mfn]!;
    const references = count & PGC_count_mask;
    const uses = info & PGT_count_mask;
    if (references !== this.references[mfn])
      this.wrong(mfn, `should have ${this.references[mfn]} references`);
    if (uses !== this.uses[mfn]) this.wrong(mfn, `should have ${this.uses[mfn]} uses`);
    if (uses !== 0 && (info & PGT_validated) === 0) this.wrong(mfn, 'is used but was not validated');
    if (uses !== 0 && table.linearPtCount[mfn] !== this.linear[mfn]) {
      this.wrong(mfn, `has linear count ${table.linearPtCount[mfn]}, should have ${this.linear[mfn]}`);
    }
    if (table.owner[mfn] === OWNER_NONE) {
      if (count !== 0 || info !== 0) this.wrong(mfn, 'belongs to nobody but is in use');
      if (!table.m2p.isInvalid(mfn)) this.wrong(mfn, 'belongs to nobody but has an M2P entry');
    } else {
      if (mfn !== NO_MFN && table.heap.isFree(mfn)) this.wrong(mfn, 'is owned but free to be allocated');
      if (references === 0) this.wrong(mfn, 'is owned but was never freed');
    }
  }

  private countPages(): void {
    const { table } = this;
    const pages = new Map<number, number>();
    for (let mfn = 0; mfn < table.frames; mfn++) {
      const owner = table.owner[mfn]!;
      if ((table.countInfo[mfn]! & PGC_xen_heap) === 0) pages.set(owner, (pages.get(owner) ?? 0) + 1);
    }
    for (const owner of table.domains.values()) {
      if (!(owner instanceof DomainMemory)) continue;
      const counted = pages.get(owner.id) ?? 0;
      const { totPages } = owner.domain;
      if (counted !== totPages) this.found.push(`domain ${owner.id} owns ${counted} pages, not ${totPages}`);
    }
  }
}
