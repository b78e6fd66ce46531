/**
 * From RIP to a record: looks RIP up in the TLB and in the decoded pages, translates and decodes what is not known yet, and
 * leads what has stopped in front of it there from then on.
 *
 * The mode of the code is taken from the segment registers each time. In checked code (see "Modes and checked code" in
 * docs/engine.md) RIP is an offset in CS, whose base and limit count; everywhere else it is the linear address.
 */
import {
  CPU,
  CPU_CODE_BASE,
  CPU_CODE_LIMIT,
  CPU_CODE_SLOT,
  CPU_RIP,
  MODE_CHECKED,
  MODE_LONG,
  REG_PAGE,
  TLB_CODE,
  TLB_EXECUTE,
} from '../layout.ts';
import type { HostAddress, MachineMemory, Mfn } from '../memory.ts';
import { PAGE_SIZE } from '../memory.ts';
import { isNearBreakpoint } from './breakpoints.ts';
import { type CodeCache, codePageSlot, type FollowingPage } from './code-cache.ts';
import {
  PSEUDO_LINK,
  PSEUDO_STOP,
  PSEUDO_STRADDLE,
  REC_DISPLACEMENT,
  REC_HANDLER,
  REC_LINK,
  REC_OFFSET,
} from './record.ts';
import { VECTOR_GP } from './registers.ts';
import type { VcpuState } from './state.ts';
import { ACCESS_FETCH, type SupportExports } from './support-exports.ts';
import type { TlbBanks } from './tlb-banks.ts';
import { tlbEntryAt } from './tlb-entry.ts';

export class InstructionFetch implements FollowingPage {
  /** Mode of the code at RIP, when its record was last looked for: bits of MODE_*. */
  mode = MODE_LONG;
  private readonly memory: MachineMemory;
  private readonly cpu: VcpuState;
  private readonly support: SupportExports;
  private readonly banks: TlbBanks;
  private readonly codeCache: CodeCache;
  /** Whether a breakpoint of instructions may lie ahead of RIP then: one instruction at a time is to be executed. */
  isNearBreakpoint = false;
  /** Low half of the linear address then. */
  linearLow = 0;
  /** The page that is being decoded, for `next`. */
  private pageLow = 0;
  private pageHigh = 0;
  /** The page after it was given its execute tag. */
  private hasNext = false;

  /** `cpu`: the state at the active place. */
  constructor(
    memory: MachineMemory,
    cpu: VcpuState,
    support: SupportExports,
    banks: TlbBanks,
    codeCache: CodeCache,
  ) {
    this.memory = memory;
    this.cpu = cpu;
    this.support = support;
    this.banks = banks;
    this.codeCache = codeCache;
  }

  get isChecked(): boolean {
    return (this.mode & MODE_CHECKED) !== 0;
  }

  /** The record at RIP: known, or decoded now. 0 if fetching faults; the exception is then noted. */
  record(): HostAddress {
    const { memory, cpu } = this;
    const { view } = memory;
    const mode = cpu.codeMode();
    this.mode = mode;
    memory.i32[(CPU + CPU_CODE_SLOT) >> 2] = codePageSlot(mode);
    let low = cpu.low(CPU_RIP);
    // Outside 64-bit mode the instruction after the last one of 4 GiB is the first.
    const high = (mode & MODE_LONG) !== 0 ? cpu.high(CPU_RIP) : 0;
    if (high !== cpu.high(CPU_RIP)) cpu.set(CPU_RIP, low, 0);
    if ((mode & MODE_CHECKED) !== 0) {
      if (this.isBeyondLimit(low, high)) return this.fault();
      low = (low + memory.i32[(CPU + CPU_CODE_BASE) >> 2]!) | 0;
    }
    this.linearLow = low;
    const pageLow = low & -PAGE_SIZE;
    const offset = low & (PAGE_SIZE - 1);
    // Before anything is looked up: even known code may be decoded afresh, and a flush forgets what was found.
    if (!this.codeCache.hasRoom()) this.codeCache.flush();
    this.banks.useMode(mode);
    cpu.set(REG_PAGE, pageLow, high);
    this.isNearBreakpoint = isNearBreakpoint(cpu, low, high);
    const entry = tlbEntryAt(low, this.banks.current);
    if (
      view.getInt32(entry + TLB_EXECUTE, true) === pageLow &&
      view.getInt32(entry + TLB_EXECUTE + 4, true) === high
    ) {
      const record = memory.u32[(view.getUint32(entry + TLB_CODE, true) + offset * 4) >>> 2]!;
      if (record !== 0) return this.straddlerStillGood(record, low, high);
    }
    const host = this.translate(low, high);
    if (host === 0) return 0;
    const page = this.codeCache.page(this.frameOf(host), mode);
    if (!this.isNearBreakpoint) this.support.setCodePage(low, high, page.table);
    const known = this.codeCache.lookup(page, offset);
    if (known !== 0) return this.straddlerStillGood(known, low, high);
    this.pageLow = pageLow;
    this.pageHigh = high;
    return this.codeCache.decodeBlock(page, offset, this);
  }

  /** For the code cache: where the page after the one being decoded is fetched from. */
  next(): HostAddress {
    const low = (this.pageLow + PAGE_SIZE) | 0;
    const high = low === 0 ? this.pageHigh + 1 : this.pageHigh;
    const wraps = low === 0 && (this.mode & MODE_LONG) === 0;
    // Where segments have no base, nothing lies beyond 4 GiB; what one with a base holds goes on at 0.
    if (
      (wraps && !this.isChecked) ||
      this.isBeyondLimit((low - this.memory.i32[(CPU + CPU_CODE_BASE) >> 2]!) | 0, 0)
    ) {
      return this.fault();
    }
    const host = this.translate(low, wraps ? 0 : high);
    if (host === 0) return 0;
    // With the execute tag, so that the guard of the instruction can compare it: that does not wrap.
    this.support.setCodePage(low, high, this.codeCache.page(this.frameOf(host), this.mode).table);
    this.hasNext = true;
    return host;
  }

  /** Takes its execute tag from the page after the last one again: a breakpoint may lie in it. */
  forgetNext(): void {
    if (!this.hasNext) return;
    const low = (this.pageLow + PAGE_SIZE) | 0;
    this.support.invalidatePage(low, low === 0 ? this.pageHigh + 1 : this.pageHigh);
    this.hasNext = false;
  }

  /** A STOP in front of the record that was last looked for becomes a link to it, if they are in one page. */
  linkStop(stop: HostAddress, record: HostAddress): void {
    const { view } = this.memory;
    if (view.getUint16(stop + REC_HANDLER, true) !== PSEUDO_STOP) return;
    if (view.getUint16(stop + REC_OFFSET, true) >= PAGE_SIZE) return;
    if (view.getUint16(stop + REC_OFFSET, true) !== (this.linearLow & (PAGE_SIZE - 1))) return;
    view.setUint16(stop + REC_HANDLER, PSEUDO_LINK, true);
    view.setUint32(stop + REC_LINK, record, true);
  }

  /** Whether an offset in CS lies outside its limit; only where limits are looked at. */
  private isBeyondLimit(low: number, high: number): boolean {
    if ((this.mode & (MODE_CHECKED | MODE_LONG)) !== MODE_CHECKED) return false;
    return high !== 0 || low >>> 0 > this.memory.u32[(CPU + CPU_CODE_LIMIT) >> 2]!;
  }

  /** A record is good, unless its guard says that another frame follows now: what has left for that is decoded afresh. */
  private straddlerStillGood(record: HostAddress, low: number, high: number): HostAddress {
    const { view } = this.memory;
    if (view.getUint16(record + REC_HANDLER, true) !== PSEUDO_STRADDLE) return record;
    this.pageLow = low & -PAGE_SIZE;
    this.pageHigh = high;
    const next = this.next();
    if (next === 0) return 0;
    const following = this.codeCache.page(this.frameOf(next), this.mode);
    if (view.getUint32(record + REC_DISPLACEMENT, true) === following.table) return record;
    const mfn = this.frameOf(this.translate(low, high));
    this.codeCache.invalidate(mfn);
    return this.codeCache.decodeBlock(this.codeCache.page(mfn, this.mode), low & (PAGE_SIZE - 1), this);
  }

  private translate(low: number, high: number): HostAddress {
    return this.support.translate(low, high, ACCESS_FETCH) >>> 0;
  }

  private frameOf(host: HostAddress): Mfn {
    return Math.floor((host - this.memory.framesBase) / PAGE_SIZE);
  }

  private fault(): 0 {
    this.cpu.noteException(VECTOR_GP, 0);
    return 0;
  }
}
