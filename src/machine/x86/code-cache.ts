/**
 * Decoded code, by machine frame.
 *
 * A *code page* is what one frame decodes to in one mode: a table of 4096 record addresses, one per byte offset, and
 * the records that it points to. Code is found by frame, not by virtual address, so processes that share a library
 * share its records. Records are only ever appended; when a frame's code changes its records are turned into STOPs
 * (a run that is executing one then ends by itself) and the table is cleared. When the arena is full, everything goes.
 *
 * The lines of a frame that hold decoded bytes are marked in the code-line masks, 64 bytes a bit: a store to another
 * line of the same page costs nothing here.
 */
import {
  CODE_TABLE_SIZE,
  CPU,
  CPU_CODE_CHANGED,
  ENGINE_CODE_LINES,
  HEAT_MISSES,
  HEAT_SHIFT,
  MODE_CHECKED_FS,
  MODE_LONG,
  STEP_RECORDS,
  STEP_RECORDS_SIZE,
} from '../layout.ts';
import type { HostAddress, MachineMemory, Maddr, Mfn } from '../memory.ts';
import { PAGE_SIZE } from '../memory.ts';
import { type Decoder, Decoding } from './decoder.ts';
import {
  PSEUDO_LINK,
  PSEUDO_NEXT_PAGE,
  PSEUDO_STOP,
  PSEUDO_STRADDLE,
  REC_DISPLACEMENT,
  REC_HANDLER,
  REC_HEAT,
  REC_LINK,
  REC_OFFSET,
  REC_RUN,
  RECORD_SIZE,
  RUN_LIMIT,
} from './record.ts';

const PSEUDO_LIMIT = PSEUDO_STRADDLE;

/**
 * Where the table of a decoded page stands among its frame's words (ENGINE_CODE_PAGES), −1 for nowhere. Two modes have a
 * place there, so that generated code finds their pages by itself: 64-bit mode, and the one of 32-bit programs, whose FS
 * is null.
 */
export function codePageSlot(mode: number): number {
  return mode === MODE_LONG ? 0 : mode === MODE_CHECKED_FS ? 4 : -1;
}

export interface CodePage {
  readonly mfn: Mfn;
  /** Bits of MODE_*. */
  readonly mode: number;
  /** 64-bit mode. */
  readonly long: boolean;
  /** Address of the table of records. */
  readonly table: HostAddress;
  /** First and one past the last record of each block, in pairs. */
  readonly blocks: number[];
  /** Counts how often what was decoded was dropped. */
  version: number;
  /** Numbers of the compiled functions that begin here. */
  readonly functions: number[];
  /** Pages whose last instruction ends in this frame. */
  readonly straddlers: Set<CodePage>;
}

/** What the cache needs to know of the address space: the frame of the page after the one being decoded. */
export interface FollowingPage {
  /** Host address of the frame that the next virtual page is fetched from, 0 if fetching there would fault. */
  next(): HostAddress;
}

export class CodeCache {
  private readonly memory: MachineMemory;
  private readonly decoder: Decoder;
  /** The pages of each frame, one for each mode that it was executed in. */
  private readonly pages = new Map<Mfn, CodePage[]>();
  private readonly byTable = new Map<HostAddress, CodePage>();
  private readonly limit: number;
  private top: number;
  /** Counts flushes and invalidations: a record address is good only within one generation. */
  generation = 0;
  /** Called when everything decoded is dropped, and when a frame gets its first decoded line. */
  onFlush: () => void = () => {};
  onFirstCode: (page: HostAddress) => void = () => {};
  /** Called with the compiled functions of a page whose decoded code is dropped: `stale` if it changed, else for want of room. */
  onForget: (functions: readonly number[], stale: boolean) => void = () => {};
  /** Instructions decoded, for statistics. */
  decoded = 0;

  constructor(memory: MachineMemory, decoder: Decoder) {
    this.memory = memory;
    this.decoder = decoder;
    this.top = memory.codeCache;
    this.limit = memory.codeCache + memory.codeCacheBytes;
  }

  /** The code page of a frame in a mode, made if need be. */
  page(mfn: Mfn, mode: number): CodePage {
    const { memory } = this;
    const others = this.pages.get(mfn);
    if (others !== undefined) {
      for (const page of others) if (page.mode === mode) return page;
    }
    this.reserve(CODE_TABLE_SIZE + RUN_LIMIT * 2 * RECORD_SIZE);
    const page: CodePage = {
      mfn,
      mode,
      long: (mode & MODE_LONG) !== 0,
      table: this.top,
      blocks: [],
      version: 0,
      functions: [],
      straddlers: new Set(),
    };
    memory.u8.fill(0, this.top, this.top + CODE_TABLE_SIZE);
    this.top += CODE_TABLE_SIZE;
    // Making room may have dropped the others.
    const known = this.pages.get(mfn);
    if (known === undefined) this.pages.set(mfn, [page]);
    else known.push(page);
    const slot = codePageSlot(mode);
    if (slot >= 0) memory.u32[(memory.codePages + mfn * 8 + slot) >>> 2] = page.table;
    this.byTable.set(page.table, page);
    return page;
  }

  /** The code pages of a frame, one for each mode that it has been decoded in. */
  known(mfn: Mfn): readonly CodePage[] {
    return this.pages.get(mfn) ?? [];
  }

  /** The page whose table lies at an address. */
  pageOfTable(table: HostAddress): CodePage | undefined {
    return this.byTable.get(table);
  }

  /** Drops everything if `bytes` more would not fit. Returns true if it did. */
  reserve(bytes: number): boolean {
    if (this.top + bytes <= this.limit) return false;
    this.flush();
    return true;
  }

  /** True when a block can be decoded without a flush. */
  hasRoom(): boolean {
    return this.top + CODE_TABLE_SIZE * 2 + (RUN_LIMIT + 4) * 2 * RECORD_SIZE <= this.limit;
  }

  flush(): void {
    for (const page of this.byTable.values()) {
      this.unmarkLines(page.mfn);
      const word = (this.memory.codePages >>> 2) + page.mfn * 2;
      this.memory.u32.fill(0, word, word + 2);
      this.forget(page, false);
    }
    this.pages.clear();
    this.byTable.clear();
    this.top = this.memory.codeCache;
    this.noteChange();
    this.onFlush();
  }

  /** The record at `offset` of a page, or 0. */
  lookup(page: CodePage, offset: number): number {
    return this.memory.u32[(page.table + offset * 4) >>> 2]!;
  }

  /**
   * Decodes from `offset` on, up to an instruction that ends a run, to known code or to the page's end. Returns the
   * first record. `following` is asked when an instruction continues on the next page.
   */
  decodeBlock(page: CodePage, offset: number, following: FollowingPage): number {
    const { memory, decoder } = this;
    const host = memory.framesBase + page.mfn * PAGE_SIZE;
    const first = this.top;
    let at = offset;
    let record = first;
    let count = 0;
    for (;;) {
      if (at >= PAGE_SIZE) {
        this.pseudo(record, PSEUDO_NEXT_PAGE, at, 0);
        break;
      }
      const known = this.lookup(page, at);
      if (known !== 0 || count >= RUN_LIMIT) {
        this.pseudo(record, known !== 0 ? PSEUDO_LINK : PSEUDO_STOP, at, known);
        break;
      }
      if (decoder.decode(host + at, PAGE_SIZE - at, at, page.mode, record) === Decoding.NeedMore) {
        if (count > 0) {
          // An instruction that continues on the next page starts a block of its own: jump to it like to any other.
          this.pseudo(record, PSEUDO_STOP, at, 0);
          break;
        }
        const straddled = this.decodeStraddler(page, at, following);
        if (straddled === 0) return 0;
        memory.u32[(page.table + at * 4) >>> 2] = straddled;
        return straddled;
      }
      memory.u32[(page.table + at * 4) >>> 2] = record;
      this.markLines(page.mfn, at, decoder.length);
      at += decoder.length;
      record += RECORD_SIZE;
      count++;
      if (decoder.ends) {
        // A run that goes on after an instruction that ended it starts anew: leave a record to land on.
        const next = at < PAGE_SIZE ? this.lookup(page, at) : 0;
        if (at >= PAGE_SIZE) this.pseudo(record, PSEUDO_NEXT_PAGE, at, 0);
        else this.pseudo(record, next !== 0 ? PSEUDO_LINK : PSEUDO_STOP, at, next);
        break;
      }
    }
    record += RECORD_SIZE;
    this.closeBlock(page, first, record);
    this.decoded += count;
    return first;
  }

  /** Writes the run lengths, from the end backwards, and keeps the block. */
  private closeBlock(page: CodePage, first: number, end: number): void {
    const { u8, view, heat } = this.memory;
    let run = 0;
    for (let r = end - RECORD_SIZE; r >= first; r -= RECORD_SIZE) {
      const pseudo = view.getUint16(r + REC_HANDLER, true) <= PSEUDO_LIMIT;
      if (!pseudo) run++;
      view.setUint16(r + REC_HEAT, 0, true);
      view.setUint32(heat + (r >>> HEAT_SHIFT) + HEAT_MISSES, 0, true);
      u8[r + REC_RUN] = run;
    }
    page.blocks.push(first, end);
    this.top = end;
  }

  private pseudo(record: number, handler: number, offset: number, link: number): void {
    const { u8, view } = this.memory;
    u8.fill(0, record, record + RECORD_SIZE);
    view.setUint16(record + REC_HANDLER, handler, true);
    view.setUint16(record + REC_OFFSET, offset, true);
    view.setUint32(record + REC_LINK, link, true);
  }

  /**
   * An instruction whose last bytes lie on the next page: guarded, because the next virtual page may come to map
   * another frame, and dropped when either frame's code changes. Returns 0 where the next page cannot be fetched.
   */
  private decodeStraddler(page: CodePage, offset: number, following: FollowingPage): number {
    const { memory, decoder } = this;
    const next = following.next();
    if (next === 0) return 0;
    const here = PAGE_SIZE - offset;
    const buffer = STEP_RECORDS + STEP_RECORDS_SIZE; // sixteen spare bytes and more above the step records
    memory.u8.copyWithin(
      buffer,
      memory.framesBase + page.mfn * PAGE_SIZE + offset,
      memory.framesBase + page.mfn * PAGE_SIZE + PAGE_SIZE,
    );
    memory.u8.copyWithin(buffer + here, next, next + 16);
    const first = this.top;
    this.pseudo(first, PSEUDO_STRADDLE, offset, 0);
    decoder.decode(buffer, 16, offset, page.mode, first + RECORD_SIZE);
    // What follows lies in the next page, at an offset that only the instruction's length tells.
    this.pseudo(first + 2 * RECORD_SIZE, PSEUDO_NEXT_PAGE, offset + decoder.length, 0);
    this.markLines(page.mfn, offset, here);
    const nextMfn = (next - memory.framesBase) / PAGE_SIZE;
    const nextPage = this.page(nextMfn, page.mode);
    memory.view.setUint32(first + REC_DISPLACEMENT, nextPage.table, true);
    // At least one byte of it was looked at, even where the instruction turned out to be none.
    this.markLines(nextMfn, 0, Math.max(1, decoder.length - here));
    nextPage.straddlers.add(page);
    this.closeBlock(page, first, first + 3 * RECORD_SIZE);
    this.decoded++;
    return first;
  }

  private markLines(mfn: Mfn, offset: number, length: number): void {
    const { i32 } = this.memory;
    const at = (this.memory.u32[ENGINE_CODE_LINES >> 2]! + mfn * 8) >>> 2;
    if ((i32[at]! | i32[at + 1]!) === 0) this.onFirstCode(this.memory.framesBase + mfn * PAGE_SIZE);
    const last = (offset + length - 1) >> 6;
    for (let line = offset >> 6; line <= last; line++) {
      if (line < 32) i32[at]! |= 1 << line;
      else i32[at + 1]! |= 1 << (line - 32);
    }
  }

  /** Bytes of memory were written: code that was decoded from there is dropped. */
  written(maddr: Maddr, length: number): void {
    const end = maddr + length;
    for (let at = maddr; at < end; ) {
      const mfn = Math.floor(at / PAGE_SIZE);
      const offset = at - mfn * PAGE_SIZE;
      const count = Math.min(end - at, PAGE_SIZE - offset);
      if (this.touches(mfn, offset, count)) this.invalidate(mfn);
      at += count;
    }
  }

  /** True if any of the bytes [offset, offset + length) of a frame lies in a line that holds decoded code. */
  touches(mfn: Mfn, offset: number, length: number): boolean {
    const { i32 } = this.memory;
    const at = (this.memory.u32[ENGINE_CODE_LINES >> 2]! + mfn * 8) >>> 2;
    const last = (offset + length - 1) >> 6;
    for (let line = offset >> 6; line <= last; line++) {
      if (((line < 32 ? i32[at]! >>> line : i32[at + 1]! >>> (line - 32)) & 1) !== 0) return true;
    }
    return false;
  }

  /**
   * Drops what a frame decoded to, in every mode, and pages whose last instruction reached into it; so on along a chain
   * of such pages, which a guest can make as long as the cache has room for, hence no recursion.
   */
  invalidate(mfn: Mfn): void {
    this.noteChange();
    this.stopSteps();
    const stale = [mfn];
    for (let next = stale.pop(); next !== undefined; next = stale.pop()) {
      this.unmarkLines(next);
      for (const page of this.pages.get(next) ?? []) {
        this.drop(page);
        for (const other of page.straddlers) if (other !== page) stale.push(other.mfn);
        page.straddlers.clear();
      }
    }
  }

  /** Records are dropped: whoever keeps the address of one must notice. */
  private noteChange(): void {
    this.generation++;
    this.memory.i32[(CPU + CPU_CODE_CHANGED) >> 2] = 1;
  }

  private unmarkLines(mfn: Mfn): void {
    const { i32 } = this.memory;
    const at = (this.memory.u32[ENGINE_CODE_LINES >> 2]! + mfn * 8) >>> 2;
    i32[at] = 0;
    i32[at + 1] = 0;
  }

  private drop(page: CodePage): void {
    const { u8, view } = this.memory;
    for (let i = 0; i < page.blocks.length; i += 2) {
      for (let r = page.blocks[i]!; r < page.blocks[i + 1]!; r += RECORD_SIZE) {
        view.setUint16(r + REC_HANDLER, PSEUDO_STOP, true);
        u8[r + REC_RUN] = 0;
      }
    }
    page.blocks.length = 0;
    this.forget(page, true);
    u8.fill(0, page.table, page.table + CODE_TABLE_SIZE);
  }

  /** What was compiled from a page is not entered again. */
  private forget(page: CodePage, stale: boolean): void {
    page.version++;
    if (page.functions.length > 0) this.onForget(page.functions.splice(0), stale);
  }

  /** The copies that a single step runs from are stale too. */
  private stopSteps(): void {
    for (let r = STEP_RECORDS; r < STEP_RECORDS + STEP_RECORDS_SIZE; r += RECORD_SIZE) {
      this.memory.view.setUint16(r + REC_HANDLER, PSEUDO_STOP, true);
      this.memory.u8[r + REC_RUN] = 0;
    }
  }
}
