/**
 * Unwinding a Linux kernel's stack by the tables that it carries for itself: ORC, which distribution kernels have instead of
 * frame pointers (Linux, Documentation/x86/orc-unwinder.rst).
 *
 *     .orc_unwind_ip   i32 for each entry: the address that it holds from, relative to the i32 itself; sorted
 *     .orc_unwind      six bytes for each: where the caller's stack pointer and frame pointer are to be found
 *                      i16 sp_offset, i16 bp_offset, u16 of bit fields: sp_reg 0–3, bp_reg 4–7, type from 8 on
 *
 * The tables are read from the image, the stack from the guest, who may have written anything there: each step up must go to
 * a higher address, and the caller limits their number.
 */
import type { Gva } from '../../machine/memory.ts';
import type { QuietMemory } from '../../machine/x86/quiet-memory.ts';
import type { KernelImage, SymbolTable } from '../images/index.ts';

/** Where a stack stands. */
export interface Place {
  readonly rip: Gva;
  readonly rsp: Gva;
  readonly rbp: Gva;
  /** RIP is an instruction that was interrupted, not one that is returned to. */
  readonly exact: boolean;
  /** The code at RIP is the user's. */
  readonly user: boolean;
  /** General registers by number, where all are known. */
  readonly register?: (number: number) => Gva;
}

const ENTRY_BYTES = 6;
/** What sp_reg and bp_reg say. */
const UNDEFINED = 0;
const PREVIOUS_SP = 1;
const RBP_BASED = 4;
const RSP_BASED = 5;
const RBP_INDIRECT = 8;
const RSP_INDIRECT = 9;
/** sp_reg → number of the general register that holds the caller's stack pointer: rdx, rdi, r10, r13. */
const IN_REGISTER: Readonly<Record<number, number>> = { 2: 2, 3: 7, 6: 10, 7: 13 };

/** Kinds of frames. Linux 6.4 put two kinds before these, and made the field a bit wider. */
const KINDS = {
  old: { mask: 3, call: 0, registers: 1, interrupt: 2 },
  new: { mask: 7, call: 2, registers: 3, interrupt: 4 },
} as const;

/** In struct pt_regs; the last five words are what the processor (here: Xen) pushes at an interrupt. */
const PT_RBP = 32;
const PT_RIP = 128;
const CS_AFTER_RIP = 8;
const RSP_AFTER_RIP = 24;

export class OrcTables {
  private readonly ips: DataView;
  private readonly ipsAt: Gva;
  private readonly entries: DataView;
  private readonly count: number;
  private readonly kinds: (typeof KINDS)[keyof typeof KINDS];

  private constructor(ips: DataView, ipsAt: Gva, entries: DataView) {
    this.ips = ips;
    this.ipsAt = ipsAt;
    this.entries = entries;
    this.count = Math.min(ips.byteLength / 4, Math.floor(entries.byteLength / ENTRY_BYTES));
    // Nearly all frames are those of calls.
    let old = 0;
    for (let i = 0; i < this.count; i++) if ((this.flags(i) & 0x700) === 0) old++;
    this.kinds = old > this.count / 2 ? KINDS.old : KINDS.new;
  }

  /** The tables of a kernel; undefined if it has none. */
  static of({ segments }: Pick<KernelImage, 'segments'>, symbols: SymbolTable): OrcTables | undefined {
    const from = symbols.addressOf('__start_orc_unwind_ip');
    const to = symbols.addressOf('__stop_orc_unwind_ip');
    const table = symbols.addressOf('__start_orc_unwind');
    if (from === undefined || to === undefined || table === undefined || to <= from) return undefined;
    const view = (start: Gva, length: number): DataView | undefined => {
      const holder = segments.find(
        ({ virtual, bytes }) => start >= virtual && start + length <= virtual + bytes.length,
      );
      return (
        holder &&
        new DataView(holder.bytes.buffer, holder.bytes.byteOffset + (start - holder.virtual), length)
      );
    };
    const count = Math.floor((to - from) / 4);
    const ips = view(from, count * 4);
    const entries = view(table, count * ENTRY_BYTES);
    return ips && entries && new OrcTables(ips, from, entries);
  }

  private flags(entry: number): number {
    return this.entries.getUint16(entry * ENTRY_BYTES + 4, true);
  }

  private startOf(entry: number): Gva {
    return this.ipsAt + entry * 4 + this.ips.getInt32(entry * 4, true);
  }

  /** The entry that holds at an address; −1 below the first. */
  private find(address: Gva): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.startOf(middle) <= address) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Where the caller stands; undefined where the stack ends, or cannot be followed. */
  caller(place: Place, memory: QuietMemory): Place | undefined {
    const entry = this.find(place.exact ? place.rip : place.rip - 1);
    if (entry < 0) return undefined;
    const flags = this.flags(entry);
    const spOffset = this.entries.getInt16(entry * ENTRY_BYTES, true);
    const bpOffset = this.entries.getInt16(entry * ENTRY_BYTES + 2, true);
    const frame = stackBase(place, flags & 15, spOffset, memory);
    if (frame === undefined || Number.isNaN(frame)) return undefined;
    const { kinds } = this;
    const kind = (flags >> 8) & kinds.mask;
    const rbp = this.framePointer(place, (flags >> 4) & 15, bpOffset, frame, memory);
    if (kind === kinds.call) {
      const rip = memory.word(frame - 8);
      return upwards(place, { rip, rsp: frame, rbp, exact: false, user: false });
    }
    if (kind !== kinds.registers && kind !== kinds.interrupt) return undefined;
    const at = kind === kinds.registers ? frame + PT_RIP : frame;
    const above = {
      rip: memory.word(at),
      rsp: memory.word(at + RSP_AFTER_RIP),
      rbp: kind === kinds.registers ? memory.word(frame + PT_RBP) : rbp,
      exact: true,
      user: (memory.half(at + CS_AFTER_RIP) & 3) !== 0,
    };
    return above.user ? known(above) : upwards(place, above);
  }

  private framePointer(place: Place, register: number, offset: number, frame: Gva, memory: QuietMemory): Gva {
    if (register === PREVIOUS_SP) return memory.word(frame + offset);
    if (register === RBP_BASED) return memory.word(place.rbp + offset);
    return place.rbp;
  }
}

/** The caller's stack pointer, or where the registers lie. */
function stackBase(
  { rsp, rbp, register }: Place,
  base: number,
  offset: number,
  memory: QuietMemory,
): Gva | undefined {
  switch (base) {
    case UNDEFINED:
      return undefined;
    case RSP_BASED:
      return rsp + offset;
    case RBP_BASED:
      return rbp + offset;
    case RSP_INDIRECT:
      return memory.word(rsp) + offset;
    case RBP_INDIRECT:
      return memory.word(rbp + offset);
    default: {
      const number = IN_REGISTER[base];
      return number === undefined ? undefined : register?.(number);
    }
  }
}

/** A stack that does not grow towards its end is none. Linux has several; it goes from one to another through memory anyway. */
function upwards(below: Place, above: Place): Place | undefined {
  const stays = above.rsp <= below.rsp && below.rsp - above.rsp < STACK_BYTES;
  return stays ? undefined : known(above);
}
const STACK_BYTES = 16384;

function known(place: Place): Place | undefined {
  return Number.isNaN(place.rip) || Number.isNaN(place.rsp) ? undefined : place;
}
