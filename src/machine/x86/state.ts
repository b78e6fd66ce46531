/**
 * The architectural state of one vCPU, as the hypervisor sees it.
 *
 * The engine runs on one fixed place in memory (CPU in `layout.ts`). The state of a vCPU that is not running is a copy
 * elsewhere; `base` says where it is at the moment, so the accessors serve both. 64-bit values are read as halves, or
 * as a `Gva` where they are addresses.
 */
import {
  CPU_ALIGN,
  CPU_CODE_BASE,
  CPU_CODE_LIMIT,
  CPU_CODE_MASK,
  CPU_CPL,
  CPU_CR0,
  CPU_CR2,
  CPU_CR3,
  CPU_CR4,
  CPU_EFER,
  CPU_EXIT_ADDRESS,
  CPU_EXIT_ERROR,
  CPU_EXIT_LENGTH,
  CPU_EXIT_VECTOR,
  CPU_FLAG_CARRY,
  CPU_FLAG_META,
  CPU_FLAG_RESULT,
  CPU_FLAGS_OTHER,
  CPU_FPU_BLOCKED,
  CPU_LONG,
  CPU_MODE,
  CPU_OFFSET_MASKS,
  CPU_PHYSICAL_BASE,
  CPU_PHYSICAL_FRAMES,
  CPU_REGS,
  CPU_RETIRED,
  CPU_RIP,
  CPU_SEG_BOUNDS,
  CPU_SEG_SLOTS,
  CPU_SEGMENTS,
  CPU_SIZE,
  CPU_STACK_KEEP,
  CPU_STACK_MASK,
  MODE_CHECKED,
  MODE_CHECKED_FS,
  MODE_CHECKED_GS,
  MODE_CODE16,
  MODE_LONG,
  SEG_BOUNDS_SIZE,
  SEG_SLOT_SIZE,
  SEGMENT_SIZE,
} from '../layout.ts';
import type { Gva, HostAddress, MachineMemory } from '../memory.ts';
import { decodeFlags, encodeCarry, encodeMeta, encodeResult } from './flags.ts';
import {
  ARITHMETIC_FLAGS,
  CS,
  DS,
  ES,
  FLAG_AC,
  FLAG_ONE,
  FS,
  GS,
  SS,
  VECTOR_NM,
  VECTOR_UD,
} from './registers.ts';

const TWO_32 = 4294967296;

/** Attributes of a segment register: bits 8–23 of a descriptor's high word, moved to 0–15 (type, S, DPL, P … AVL, L, D, G). */
export const ATTR_TYPE_CODE = 0x008;
/** Data: it expands downwards. Code: it is conforming. */
export const ATTR_TYPE_DOWN = 0x004;
export const ATTR_TYPE_CONFORMING = 0x004;
/** Data: it may be written. Code: it may be read. */
export const ATTR_TYPE_WRITE = 0x002;
export const ATTR_TYPE_READ = 0x002;
export const ATTR_S = 0x010;
export const ATTR_DPL_SHIFT = 5;
export const ATTR_P = 0x080;
export const ATTR_L = 0x2000;
export const ATTR_D = 0x4000;
export const ATTR_G = 0x8000;

const CR0_MP = 1 << 1;
const CR0_EM = 1 << 2;
const CR0_TS = 1 << 3;
const CR0_AM = 1 << 18;
const CR4_OSFXSR = 1 << 9;

export class VcpuState {
  readonly memory: MachineMemory;
  /** Where the state is now. */
  base: HostAddress;
  /** Where the state lies while the vCPU is not the active one. */
  readonly home: HostAddress;
  /** The place at `home` may belong to another vCPU now: nothing is written back there. */
  released = false;
  private readonly i32: Int32Array;

  constructor(memory: MachineMemory, base: HostAddress) {
    this.memory = memory;
    this.base = base;
    this.home = base;
    this.i32 = memory.i32;
  }

  /** Power-on values: everything zero but what must not be. */
  reset(): void {
    const { u8, view } = this.memory;
    u8.fill(0, this.base, this.base + CPU_SIZE);
    for (let slot = 0; slot < 8; slot++) {
      view.setInt32(this.base + CPU_SEG_SLOTS + slot * SEG_SLOT_SIZE + 8, -1, true);
      view.setInt32(this.base + CPU_SEG_SLOTS + slot * SEG_SLOT_SIZE + 12, -1, true);
    }
    this.refreshBounds();
    const masks = (this.base + CPU_OFFSET_MASKS) >> 2;
    this.i32.set([-1, -1, -1, 0, 0xffff, 0], masks);
    this.setPhysicalMemory(this.memory.framesBase, this.memory.frames);
    this.resetFpu();
    this.rflags = FLAG_ONE;
    this.refreshFpuBlocked();
  }

  /** What page walks of this vCPU can reach: `frames` frames from a host address on; after a reset, the whole machine. */
  setPhysicalMemory(base: HostAddress, frames: number): void {
    this.i32[(this.base + CPU_PHYSICAL_BASE) >> 2] = base;
    this.i32[(this.base + CPU_PHYSICAL_FRAMES) >> 2] = frames;
  }

  /** FNINIT, and MXCSR's power-on value. */
  resetFpu(): void {
    const { view } = this.memory;
    view.setUint16(this.base + 0x300, 0x37f, true);
    view.setUint16(this.base + 0x302, 0, true);
    view.setUint32(this.base + 0x304, 0, true);
    view.setUint8(this.base + 0x308, 0xff);
    view.setUint32(this.base + 0x320, 0x1f80, true);
  }

  // -------------------------------------------------------------- 64-bit words

  low(offset: number): number {
    return this.i32[(this.base + offset) >> 2]!;
  }
  high(offset: number): number {
    return this.i32[(this.base + offset + 4) >> 2]!;
  }
  set(offset: number, low: number, high: number): void {
    const at = (this.base + offset) >> 2;
    this.i32[at] = low;
    this.i32[at + 1] = high;
  }
  private address(offset: number): number {
    return this.high(offset) * TWO_32 + (this.low(offset) >>> 0);
  }
  private setAddress(offset: number, value: number): void {
    this.set(offset, value | 0, Math.floor(value / TWO_32) | 0);
  }
  private word(offset: number): number {
    return this.i32[(this.base + offset) >> 2]!;
  }

  // -------------------------------------------------------------- general registers

  /** Low half of general register `n`, signed. */
  regLow(n: number): number {
    return this.low(CPU_REGS + n * 8);
  }
  regHigh(n: number): number {
    return this.high(CPU_REGS + n * 8);
  }
  setReg(n: number, low: number, high: number): void {
    this.set(CPU_REGS + n * 8, low, high);
  }
  /** A register as a signed number: exact for canonical addresses (|value| < 2^53). */
  reg(n: number): Gva {
    return this.address(CPU_REGS + n * 8);
  }
  /** Sets a register from a signed number of at most 53 bits, sign-extended to 64. */
  setRegNumber(n: number, value: number): void {
    this.setAddress(CPU_REGS + n * 8, value);
  }

  get rip(): Gva {
    return this.address(CPU_RIP);
  }
  set rip(value: Gva) {
    this.setAddress(CPU_RIP, value);
  }

  /** RFLAGS, arithmetic flags computed. */
  get rflags(): number {
    const arithmetic = decodeFlags(
      this.low(CPU_FLAG_RESULT),
      this.high(CPU_FLAG_RESULT),
      this.low(CPU_FLAG_CARRY),
      this.high(CPU_FLAG_CARRY),
      this.word(CPU_FLAG_META),
    );
    return arithmetic | this.word(CPU_FLAGS_OTHER);
  }
  set rflags(value: number) {
    this.set(CPU_FLAG_RESULT, encodeResult(value), 0);
    this.set(CPU_FLAG_CARRY, encodeCarry(value), 0);
    this.i32[(this.base + CPU_FLAG_META) >> 2] = encodeMeta(value);
    this.i32[(this.base + CPU_FLAGS_OTHER) >> 2] = (value & ~ARITHMETIC_FLAGS) | FLAG_ONE;
  }

  // -------------------------------------------------------------- segments

  selector(segment: number): number {
    return this.word(CPU_SEGMENTS + segment * SEGMENT_SIZE);
  }
  attributes(segment: number): number {
    return this.word(CPU_SEGMENTS + segment * SEGMENT_SIZE + 4);
  }
  /** Limit in bytes, inclusive, unsigned. */
  limit(segment: number): number {
    return this.word(CPU_SEGMENTS + segment * SEGMENT_SIZE + 8) >>> 0;
  }
  segmentBase(segment: number): Gva {
    return this.address(CPU_SEGMENTS + segment * SEGMENT_SIZE + 16);
  }
  /** Loads a segment register's visible and hidden parts. For CS it also sets the mode (64-bit or compatibility). */
  setSegment(segment: number, selector: number, attributes: number, limit: number, base: number): void {
    const at = (this.base + CPU_SEGMENTS + segment * SEGMENT_SIZE) >> 2;
    this.i32[at] = selector;
    this.i32[at + 1] = attributes;
    this.i32[at + 2] = limit | 0;
    this.setAddress(CPU_SEGMENTS + segment * SEGMENT_SIZE + 16, base);
    if (segment === CS) this.i32[(this.base + CPU_LONG) >> 2] = (attributes & ATTR_L) !== 0 ? 1 : 0;
    this.refreshSlots();
  }
  /** Sets only the base (FS and GS in 64-bit mode). */
  setSegmentBase(segment: number, low: number, high: number): void {
    this.set(CPU_SEGMENTS + segment * SEGMENT_SIZE + 16, low, high);
    this.refreshSlots();
  }

  /** Recomputes what depends on the segment registers: the operand address slots (`CPU_SEG_SLOTS`), bounds and mode. */
  private refreshSlots(): void {
    const long = this.longMode;
    for (let segment = 0; segment < 6; segment++) {
      const slot = CPU_SEG_SLOTS + (segment + 1) * SEG_SLOT_SIZE;
      const based = !long || segment >= 4;
      const from = CPU_SEGMENTS + segment * SEGMENT_SIZE + 16;
      this.set(slot, based ? this.low(from) : 0, based && long ? this.high(from) : 0);
      this.set(slot + 8, -1, long ? -1 : 0);
    }
    // In 64-bit mode there are no bounds: they change only on the way there.
    if (!long || this.word(CPU_MODE) !== MODE_LONG) this.refreshBounds();
  }

  private refreshBounds(): void {
    const long = this.longMode;
    this.setBounds(-1, 0, -1, -1);
    for (let segment = 0; segment < 6; segment++) {
      if (long) this.setBounds(segment, 0, -1, -1);
      else this.refreshSegmentBounds(segment);
    }
    const based = long ? -1 : CPU_SEGMENTS + CS * SEGMENT_SIZE;
    this.set(CPU_CODE_BASE, long ? 0 : this.low(based + 16), 0);
    this.set(CPU_CODE_LIMIT, long ? -1 : this.limit(CS), long ? -1 : 0);
    this.set(CPU_CODE_MASK, -1, long ? -1 : 0);
    const wide = (this.attributes(SS) & ATTR_D) !== 0;
    this.set(CPU_STACK_MASK, wide ? -1 : 0xffff, 0);
    this.set(CPU_STACK_KEEP, wide ? 0 : ~0xffff, wide ? 0 : -1);
    this.i32[(this.base + CPU_MODE) >> 2] = long ? MODE_LONG : this.compatibilityMode();
  }

  /** What lies within a segment outside 64-bit mode, by Intel SDM 3A, 5.3 and 5.5; a null one holds nothing. */
  private refreshSegmentBounds(segment: number): void {
    const attributes = this.attributes(segment);
    const limit = this.limit(segment);
    if ((attributes & (ATTR_P | ATTR_S)) !== (ATTR_P | ATTR_S)) {
      this.setBounds(segment, 0, 0, 0);
      return;
    }
    const code = (attributes & ATTR_TYPE_CODE) !== 0;
    const down = !code && (attributes & ATTR_TYPE_DOWN) !== 0;
    // Of a segment that expands downwards the limit is the last byte outside, and its top follows from its size bit.
    const end = !down ? limit + 1 : (attributes & ATTR_D) !== 0 ? TWO_32 : 0x10000;
    const readable = !code || (attributes & ATTR_TYPE_READ) !== 0;
    const writable = !code && (attributes & ATTR_TYPE_WRITE) !== 0;
    this.setBounds(segment, down ? limit + 1 : 0, readable ? end : 0, writable ? end : 0);
  }

  /** −1 as an end: none. */
  private setBounds(segment: number, first: number, readEnd: number, writeEnd: number): void {
    const at = CPU_SEG_BOUNDS + (segment + 1) * SEG_BOUNDS_SIZE;
    this.setAddress(at, first);
    this.setAddress(at + 8, readEnd);
    this.setAddress(at + 16, writeEnd);
  }

  /** The mode of code outside 64-bit mode: whether anything about its segments has to be checked. */
  private compatibilityMode(): number {
    const code = this.attributes(CS);
    if ((code & ATTR_D) === 0) return MODE_CHECKED | MODE_CODE16;
    const flatCode = this.limit(CS) === 0xffffffff && this.segmentBase(CS) === 0;
    const wideStack = (this.attributes(SS) & ATTR_D) !== 0;
    if (!flatCode || !wideStack) return MODE_CHECKED;
    // A base could move the end of the segment into the address space. FS and GS have bases for a living.
    for (const segment of [SS, DS, ES]) {
      if (!this.isFlat(segment) || this.segmentBase(segment) !== 0) return MODE_CHECKED;
    }
    return (this.isFlat(FS) ? 0 : MODE_CHECKED_FS) | (this.isFlat(GS) ? 0 : MODE_CHECKED_GS);
  }

  /** Every offset of a data segment may be read and written. */
  private isFlat(segment: number): boolean {
    const data = ATTR_P | ATTR_S | ATTR_TYPE_WRITE;
    const attributes = this.attributes(segment) & (data | ATTR_TYPE_CODE | ATTR_TYPE_DOWN);
    return attributes === data && this.limit(segment) === 0xffffffff;
  }

  /**
   * What the code at RIP is decoded for: bits of MODE_*. Whoever is about to execute asks: RFLAGS.AC, CR0.AM and the
   * privilege level decide whether alignment is checked, and any of them may have changed.
   */
  codeMode(): number {
    const mode = this.word(CPU_MODE);
    const aligns =
      (this.word(CPU_FLAGS_OTHER) & FLAG_AC) !== 0 && this.cpl === 3 && (this.cr0 & CR0_AM) !== 0;
    this.i32[(this.base + CPU_ALIGN) >> 2] = aligns ? -1 : 0;
    return aligns ? (mode & (MODE_LONG | MODE_CODE16)) | MODE_CHECKED : mode;
  }

  /** True in 64-bit mode, false in compatibility or legacy mode. */
  get longMode(): boolean {
    return this.word(CPU_LONG) !== 0;
  }
  get cpl(): number {
    return this.word(CPU_CPL);
  }
  set cpl(value: number) {
    this.i32[(this.base + CPU_CPL) >> 2] = value;
  }

  // -------------------------------------------------------------- control registers

  get cr0(): number {
    return this.low(CPU_CR0) >>> 0;
  }
  set cr0(value: number) {
    this.set(CPU_CR0, value | 0, 0);
    this.refreshFpuBlocked();
  }
  get cr4(): number {
    return this.low(CPU_CR4) >>> 0;
  }
  set cr4(value: number) {
    this.set(CPU_CR4, value | 0, 0);
    this.refreshFpuBlocked();
  }

  /** Which exception each class of FPU instruction raises under CR0 and CR4 (Intel SDM 3A, table 2-2 and 13.1). */
  private refreshFpuBlocked(): void {
    const { cr0, cr4 } = this;
    const emulated = (cr0 & CR0_EM) !== 0;
    const switched = (cr0 & CR0_TS) !== 0;
    const sse = emulated || (cr4 & CR4_OSFXSR) === 0 ? VECTOR_UD : switched ? VECTOR_NM : 0;
    const mmx = emulated ? VECTOR_UD : switched ? VECTOR_NM : 0;
    const x87 = emulated || switched ? VECTOR_NM : 0;
    const wait = switched && (cr0 & CR0_MP) !== 0 ? VECTOR_NM : 0;
    this.i32[(this.base + CPU_FPU_BLOCKED) >> 2] = sse | (mmx << 8) | (x87 << 16) | (wait << 24);
  }
  /** Machine address of the root table. */
  get cr3(): number {
    return this.address(CPU_CR3);
  }
  get cr2(): Gva {
    return this.address(CPU_CR2);
  }
  set cr2(value: Gva) {
    this.setAddress(CPU_CR2, value);
  }
  get efer(): number {
    return this.low(CPU_EFER) >>> 0;
  }

  // -------------------------------------------------------------- the last exit

  /** Notes an exception as generated code does. */
  noteException(vector: number, error: number): void {
    this.i32[(this.base + CPU_EXIT_VECTOR) >> 2] = vector;
    this.i32[(this.base + CPU_EXIT_ERROR) >> 2] = error;
  }
  get exitVector(): number {
    return this.word(CPU_EXIT_VECTOR);
  }
  get exitError(): number {
    return this.word(CPU_EXIT_ERROR);
  }
  get exitLength(): number {
    return this.word(CPU_EXIT_LENGTH);
  }
  /** The address of a page fault. */
  get exitAddress(): Gva {
    return this.address(CPU_EXIT_ADDRESS);
  }
  /** Instructions retired so far. */
  get retired(): number {
    return this.address(CPU_RETIRED);
  }
  /** One more, which generated code has not counted. */
  retire(): void {
    this.setAddress(CPU_RETIRED, this.retired + 1);
  }
}
