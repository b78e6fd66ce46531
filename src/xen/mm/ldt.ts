/**
 * The LDT frames of a domain's vCPUs, checked one by one when a selector first needs them.
 *
 * A guest names its LDT by virtual address. Each page of it becomes a descriptor page at first use and stays one, so
 * the guest cannot change a descriptor behind Xen's back, until the LDT or the kernel's root changes.
 * (Xen 4.17, arch/x86/pv/mm.c: pv_map_ldt_shadow_page; arch/x86/pv/descriptor-tables.c: pv_destroy_ldt.)
 */
import type { Mfn } from '../../machine/memory.ts';
import { PAGE_SHIFT, PAGE_SIZE } from '../../machine/memory.ts';
import type { FrameTable } from './frame-table.ts';
import { NO_MFN, PAGE_PRESENT, PGT_seg_desc_page } from './page-info.ts';
import { entryMfn, getPageAndType, putPageAndType } from './page-types.ts';
import type { MmuVcpu } from './vcpu.ts';
import { guestL1eWord, NO_ENTRY } from './walk.ts';

/** 8192 descriptors of 8 bytes. */
const LDT_FRAMES = 16;

export class LdtFrames {
  private readonly table: FrameTable;
  private readonly domid: number;
  private readonly byVcpu: Int32Array[] = [];

  constructor(table: FrameTable, domid: number) {
    this.table = table;
    this.domid = domid;
  }

  /** The frame that holds byte `offset` of the vCPU's LDT; NO_MFN where there is no page fit for descriptors. */
  frame(vcpu: MmuVcpu, offset: number): Mfn {
    const { table } = this;
    if (offset < 0 || offset >>> 3 >= vcpu.ldtEntries) return NO_MFN;
    const frames = (this.byVcpu[vcpu.id] ??= new Int32Array(LDT_FRAMES));
    const index = offset >>> PAGE_SHIFT;
    const known = frames[index]!;
    if (known !== NO_MFN) return known;
    const word = guestL1eWord(table, vcpu.kernelTable, vcpu.ldtBase + index * PAGE_SIZE);
    if (word === NO_ENTRY) return NO_MFN;
    const low = table.words[word]!;
    if ((low & PAGE_PRESENT) === 0) return NO_MFN;
    const mfn = entryMfn(low, table.words[word + 1]!);
    if (getPageAndType(table, mfn, PGT_seg_desc_page, this.domid) !== 0) return NO_MFN;
    frames[index] = mfn;
    return mfn;
  }

  /** Gives up the frames of a vCPU's LDT; true if it had any. */
  release(vcpuId: number): boolean {
    const frames = this.byVcpu[vcpuId];
    if (frames === undefined) return false;
    let dropped = false;
    for (let i = 0; i < LDT_FRAMES; i++) {
      const mfn = frames[i]!;
      if (mfn === NO_MFN) continue;
      frames[i] = NO_MFN;
      putPageAndType(this.table, mfn);
      dropped = true;
    }
    return dropped;
  }

  /** All frames that are held, for the auditor. */
  *held(): Iterable<Mfn> {
    for (const frames of this.byVcpu) {
      if (frames === undefined) continue;
      for (const mfn of frames) if (mfn !== NO_MFN) yield mfn;
    }
  }
}
