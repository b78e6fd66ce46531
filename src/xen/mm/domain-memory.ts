/**
 * The memory of one domain: what the domain builder, the hypercalls and the rest of Xen ask for. Read `page-types.ts`
 * first.
 *
 *     new DomainMemory(frameTable, domain)
 *     allocatePages(order)        frames for the guest; the builder writes images and page tables into them
 *     setPfn(mfn, pfn)            their numbers in the M2P
 *     pinTable(root, 4)           checks the initial page tables
 *     installRoots(vcpu, root)    what the vCPU starts with
 *     ...the guest runs...
 *     release()                   every frame is free again
 *
 * (Xen 4.17, common/page_alloc.c, arch/x86/mm.c, arch/x86/domain.c.)
 */

import { VMASST_TYPE_m2p_strict, XEN_EINVAL, XEN_ENXIO, XEN_EPERM } from '../../abi/xen/numbers/index.ts';
import { shared_info } from '../../abi/xen/structures/shared-info.ts';
import { CPU_CR3 } from '../../machine/layout.ts';
import type { Gva, Mfn, Pfn } from '../../machine/memory.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import type { DomainMemory as DomainMemoryPart } from '../parts.ts';
import type { FrameOwner, FrameTable } from './frame-table.ts';
import { LdtFrames } from './ldt.ts';
import type { MemoryMapEntry } from './memory-map.ts';
import {
  NO_MFN,
  PGC_xen_heap,
  PGT_pinned,
  PGT_root_page_table,
  PGT_type_mask,
  PGT_writable_page,
  tableType,
} from './page-info.ts';
import { fillRoMpt, getPageAndType, putPageAndType, zapRoMpt } from './page-types.ts';
import { handlePageFault } from './ptwr.ts';
import type { MmuDomain, MmuVcpu } from './vcpu.ts';

/** Reports one reference that somebody outside `mm/` holds; `type` is PGT_*, or 0 for a plain reference. */
export type ReferenceReport = (mfn: Mfn, type: number) => void;

export class DomainMemory implements DomainMemoryPart, FrameOwner {
  readonly table: FrameTable;
  readonly domain: MmuDomain;
  readonly ldt: LdtFrames;
  dying = false;
  /** What the toolstack says of its memory; empty: nothing. */
  memoryMap: readonly MemoryMapEntry[] = [];
  /** Frames that `keepWritable` holds. */
  readonly keptWritable: Mfn[] = [];
  /** Who else holds references on frames of this domain: the auditor asks them. */
  readonly referenceSources: ((report: ReferenceReport) => void)[] = [];

  constructor(table: FrameTable, domain: MmuDomain) {
    this.table = table;
    this.domain = domain;
    this.ldt = new LdtFrames(table, domain.id);
    table.domains.set(domain.id, this);
  }

  get id(): number {
    return this.domain.id;
  }
  get m2pStrict(): boolean {
    return this.domain.hasAssist(VMASST_TYPE_m2p_strict);
  }

  // -------------------------------------------------------------- frames

  /**
   * Gives the domain 2^order neighbouring frames, aligned to their number, zeroed; returns the first, or NO_MFN if
   * the machine or the domain's limit has no room. (alloc_domheap_pages)
   */
  allocatePages(order = 0): Mfn {
    const count = 2 ** order;
    const { domain, table } = this;
    if (this.dying || domain.totPages + count > domain.maxPages) return NO_MFN;
    const mfn = order === 0 ? table.heap.tryAllocate() : table.heap.tryAllocateContiguous(count, count);
    if (mfn === NO_MFN) return NO_MFN;
    for (let i = 0; i < count; i++) table.assignPage(mfn + i, this);
    domain.totPages += count;
    return mfn;
  }

  /** Shares a zeroed frame of Xen's with the domain: shared_info, a grant table. NO_MFN if none is left. */
  allocateSharedPage(readOnly = false): Mfn {
    const { table } = this;
    const mfn = table.heap.tryAllocate();
    if (mfn === NO_MFN) return NO_MFN;
    table.shareXenPage(mfn, this.id, readOnly);
    return mfn;
  }

  /** Xen gives up its part in a shared frame; it becomes free when the guest maps it nowhere any more. */
  releaseSharedPage(mfn: Mfn): void {
    this.table.putPageAllocRef(mfn);
  }

  /**
   * Keeps an ordinary frame what it is, writable memory of this domain, until the domain ends: the toolstack writes to
   * it, so it must become neither free nor a page table. As the mapping of a ring in domain 0 does. False if it is
   * something else already.
   */
  keepWritable(mfn: Mfn): boolean {
    if (!this.getPageAndType(mfn, PGT_writable_page)) return false;
    this.keptWritable.push(mfn);
    return true;
  }

  /** Records the pseudo-physical number of a frame in the M2P. */
  setPfn(mfn: Mfn, pfn: Pfn): void {
    this.table.m2p.setPfn(mfn, pfn);
  }

  /**
   * Gives a frame back: it becomes free when its last user is gone. 0 or a negative errno. Frames that Xen shares with
   * the domain are Xen's to free: it goes on writing to them. (guest_remove_page; a Xen heap page does not go back to the
   * heap there either.)
   */
  removePage(mfn: Mfn): number {
    if (!this.table.isValid(mfn) || (this.table.countInfo[mfn]! & PGC_xen_heap) !== 0) return -XEN_EINVAL;
    if (!this.getPage(mfn)) return -XEN_ENXIO;
    this.table.putPageAllocRef(mfn);
    this.table.putPage(mfn);
    return 0;
  }

  /** The highest frame number that the guest says it uses; it counts them in shared_info. (domain_get_maximum_gpfn) */
  highestPfn(): number {
    const { sharedInfo } = this.domain;
    if (sharedInfo === 0) return 0;
    const at = sharedInfo + shared_info.x64.offset.arch_max_pfn;
    const { memory } = this.table;
    const count = memory.read32(at + 4) * 4294967296 + memory.readU32(at);
    return (count === 0 ? 1 : count) - 1;
  }

  frameFreed(): void {
    this.domain.totPages--;
    if (this.dying && this.domain.totPages === 0) this.table.domains.delete(this.id);
  }

  getPage(mfn: Mfn): boolean {
    return this.table.getPage(mfn, this.id);
  }
  putPage(mfn: Mfn): void {
    this.table.putPage(mfn);
  }

  getPageAndType(mfn: Mfn, type: number): boolean {
    return getPageAndType(this.table, mfn, type, this.id) === 0;
  }
  putPageAndType(mfn: Mfn): void {
    putPageAndType(this.table, mfn);
  }

  pageType(mfn: Mfn): number {
    return this.table.isValid(mfn) ? this.table.typeInfo[mfn]! & PGT_type_mask : 0;
  }

  // -------------------------------------------------------------- page tables

  /** Checks a table of `level` 1 to 4 and all below it, and keeps them checked. 0 or a negative errno. */
  pinTable(mfn: Mfn, level: number): number {
    const { table } = this;
    const error = getPageAndType(table, mfn, tableType(level), this.id);
    if (error !== 0) return error;
    if ((table.typeInfo[mfn]! & PGT_pinned) !== 0) {
      putPageAndType(table, mfn);
      return -XEN_EINVAL;
    }
    table.typeInfo[mfn] = table.typeInfo[mfn]! | PGT_pinned;
    return 0;
  }

  /** 0 or a negative errno. */
  unpinTable(mfn: Mfn): number {
    const { table } = this;
    if (!this.getPage(mfn)) return -XEN_EINVAL;
    const info = table.typeInfo[mfn]!;
    const pinned = (info & PGT_pinned) !== 0;
    if (pinned) {
      table.typeInfo[mfn] = info & ~PGT_pinned;
      putPageAndType(table, mfn);
    }
    table.putPage(mfn);
    return pinned ? 0 : -XEN_EINVAL;
  }

  /**
   * Gives a vCPU that is not running its first roots; 0 as `userTable`: none. 0 or a negative errno, and then the vCPU
   * has none. (arch_set_info_guest)
   */
  installRoots(vcpu: MmuVcpu, kernelTable: Mfn, userTable: Mfn = NO_MFN): number {
    const { table } = this;
    if (vcpu.kernelTable !== NO_MFN || vcpu.userTable !== NO_MFN) return -XEN_EPERM;
    const error = getPageAndType(table, kernelTable, PGT_root_page_table, this.id);
    if (error !== 0) return error;
    if (userTable !== NO_MFN) {
      const userError = getPageAndType(table, userTable, PGT_root_page_table, this.id);
      if (userError !== 0) {
        putPageAndType(table, kernelTable);
        return userError;
      }
      if (this.m2pStrict) zapRoMpt(table, userTable);
    }
    if (!this.m2pStrict) fillRoMpt(table, kernelTable);
    vcpu.kernelTable = kernelTable;
    vcpu.userTable = userTable;
    const root = (vcpu.kernelMode ? kernelTable : userTable) * PAGE_SIZE;
    vcpu.state.set(CPU_CR3, root | 0, 0);
    return 0;
  }

  newKernelTable(vcpuId: number, mfn: Mfn): number {
    return this.newGuestCr3(this.domain.vcpus[vcpuId]!, mfn);
  }

  /** Loads another root for the kernel of the running vCPU. 0 or a negative errno. (new_guest_cr3) */
  newGuestCr3(vcpu: MmuVcpu, mfn: Mfn): number {
    const { table } = this;
    const old = vcpu.kernelTable;
    if (old === mfn) {
      this.loadRoot(vcpu);
      return 0;
    }
    const error = getPageAndType(table, mfn, PGT_root_page_table, this.id);
    if (error !== 0) return error;
    this.ldt.release(vcpu.id);
    if (!this.m2pStrict) fillRoMpt(table, mfn);
    vcpu.kernelTable = mfn;
    this.loadRoot(vcpu);
    if (old !== NO_MFN) putPageAndType(table, old);
    return 0;
  }

  /** Sets the root of user mode, which is loaded when the kernel returns to it; NO_MFN: none. */
  newUserBaseptr(vcpu: MmuVcpu, mfn: Mfn): number {
    const { table } = this;
    const old = vcpu.userTable;
    if (old === mfn) return 0;
    if (mfn !== NO_MFN) {
      const error = getPageAndType(table, mfn, PGT_root_page_table, this.id);
      if (error !== 0) return error;
      if (this.m2pStrict) zapRoMpt(table, mfn);
    }
    vcpu.userTable = mfn;
    if (old !== NO_MFN) putPageAndType(table, old);
    return 0;
  }

  private loadRoot(vcpu: MmuVcpu): void {
    this.table.loadRoot((vcpu.kernelMode ? vcpu.kernelTable : vcpu.userTable) * PAGE_SIZE);
  }

  invalidatePage(gva: Gva): void {
    this.table.tlb.invalidatePage(gva);
  }

  handlePageFault(vcpuId: number, address: Gva, errorCode: number): boolean {
    return handlePageFault(this, this.domain.vcpus[vcpuId]!, address, errorCode);
  }

  /** The frame of a vCPU's LDT that holds byte `offset` of it, checked; NO_MFN if the guest has none there. */
  ldtFrame(vcpuId: number, offset: number): Mfn {
    return this.ldt.frame(this.domain.vcpus[vcpuId]!, offset);
  }

  // -------------------------------------------------------------- the end

  release(): void {
    if (this.dying) return;
    this.dying = true;
    for (const vcpu of this.domain.vcpus) this.releaseVcpu(vcpu);
    for (const mfn of this.keptWritable) this.putPageAndType(mfn);
    this.keptWritable.length = 0;
    this.relinquish();
    if (this.domain.totPages === 0) this.table.domains.delete(this.id);
  }

  /** Drops what a vCPU holds: its roots, its GDT and LDT. (vcpu_destroy_pagetables) */
  releaseVcpu(vcpu: MmuVcpu): void {
    const { table } = this;
    const { kernelTable, userTable } = vcpu;
    vcpu.kernelTable = NO_MFN;
    vcpu.userTable = NO_MFN;
    if (kernelTable !== NO_MFN) putPageAndType(table, kernelTable);
    if (userTable !== NO_MFN) putPageAndType(table, userTable);
    this.ldt.release(vcpu.id);
    for (let i = 0; i < vcpu.gdtFrames.length; i++) {
      const mfn = vcpu.gdtFrames[i]!;
      if (mfn === NO_MFN) continue;
      vcpu.gdtFrames[i] = NO_MFN;
      putPageAndType(table, mfn);
    }
  }

  /**
   * Unpins and gives back all frames. Nothing can stay behind in a circle: tables of one level that use each other form
   * no chains, so each loses its last use when the ones above it are gone. What others still hold becomes free with them.
   */
  private relinquish(): void {
    const { table } = this;
    const { owner, typeInfo } = table;
    for (let mfn = 0; mfn < table.frames; mfn++) {
      if (owner[mfn] !== this.id || !this.getPage(mfn)) continue;
      if ((typeInfo[mfn]! & PGT_pinned) !== 0) {
        typeInfo[mfn] = typeInfo[mfn]! & ~PGT_pinned;
        putPageAndType(table, mfn);
      }
      table.putPageAllocRef(mfn);
      table.putPage(mfn);
    }
  }
}

/** The memory of a vCPU's domain. */
export function memoryOf(vcpu: MmuVcpu): DomainMemory {
  const { mm } = vcpu.domain;
  if (!(mm instanceof DomainMemory)) {
    throw new TypeError(
      `expected domain ${vcpu.domain.id} to have a DomainMemory of xen/mm, found another object`,
    );
  }
  return mm;
}
