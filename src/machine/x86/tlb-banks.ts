/**
 * TLB banks: one for each (root table, privilege) that was loaded lately, so that a switch of address space keeps what
 * it knew. A bank is only as good as the page tables it was filled from: every change that could make an entry stale is
 * noted, and loading a root first drops from its bank whatever the changes since the last time could concern. Loading CR3
 * drops as much on a processor, and more.
 *
 * A change to an entry of a lowest-level table concerns only the two entries of a bank that addresses with this index
 * into such a table fall on, so those are dropped one by one; after any other change, the whole bank.
 */
import {
  CPU,
  CPU_TLB_BANK,
  PTE_PRESENT,
  TLB_ADDEND,
  TLB_BANK_COUNT,
  TLB_BANK_SIZE,
  TLB_BANKS,
  TLB_CODE,
  TLB_EMPTY,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
  TLB_EXECUTE,
  TLB_READ,
  TLB_WRITE,
} from '../layout.ts';
import type { HostAddress, MachineMemory, Maddr } from '../memory.ts';
import { PAGE_SHIFT, PAGE_SIZE } from '../memory.ts';

/** Pages of 4 KiB in one of 2 MiB. */
const REGION_PAGES = 512;

/** Entries of a page table; where those of the upper half of the address space begin in a root. */
const TABLE_ENTRIES = 512;
const KERNEL_SLOT = 256;
/** So many changes are remembered one by one. */
const LOG_SIZE = 1024;
/** No epoch. */
const NEVER = -1;

function addressOf(bank: number): HostAddress {
  return TLB_BANKS + bank * TLB_BANK_SIZE;
}
function bankAt(address: HostAddress): number {
  return (address - TLB_BANKS) / TLB_BANK_SIZE;
}

export class TlbBanks {
  private readonly memory: MachineMemory;
  private readonly empty: (bank: HostAddress) => void;
  private readonly keys = new Float64Array(TLB_BANK_COUNT).fill(-1);
  /** How many changes had been noted when a bank was loaded last, or NEVER. */
  private readonly epochs = new Float64Array(TLB_BANK_COUNT).fill(NEVER);
  private epoch = 0;
  /** The entries that the last changes were made to, and how many had been noted with the last one that is not in there. */
  private readonly log = new Uint16Array(LOG_SIZE);
  private lastUnknown = 0;
  /** By slot of a root: see `compareRoots`. */
  private readonly common = new Uint8Array(TABLE_ENTRIES);
  private readonly lastUse = new Float64Array(TLB_BANK_COUNT);
  private readonly byKey = new Map<number, number>();
  /** Mode of the code that a bank's execute tags lead to: bits of MODE_*. */
  private readonly modes = new Uint8Array(TLB_BANK_COUNT);
  private uses = 0;
  /** Banks below this number have been used. */
  used = 0;

  constructor(memory: MachineMemory, empty: (bank: HostAddress) => void) {
    this.memory = memory;
    this.empty = empty;
  }

  /** Address of the active bank. */
  get current(): HostAddress {
    return this.memory.u32[(CPU + CPU_TLB_BANK) >> 2]!;
  }

  /** Makes the bank of a root active. `privilege`: 1 for user, 0 for supervisor accesses. */
  select(root: Maddr, privilege: number): void {
    const key = root * 2 + privilege;
    let bank = this.byKey.get(key);
    if (bank === undefined) {
      bank = this.takeBank();
      this.byKey.delete(this.keys[bank]!);
      this.byKey.set(key, bank);
      this.keys[bank] = key;
      this.epochs[bank] = NEVER;
    }
    if (this.epochs[bank] === NEVER) this.begin(bank);
    else this.catchUp(bank);
    this.lastUse[bank] = ++this.uses;
    this.memory.u32[(CPU + CPU_TLB_BANK) >> 2] = addressOf(bank);
  }

  /** Drops from a bank what has changed since it was loaded last. */
  private catchUp(bank: number): void {
    const { epoch, log } = this;
    const seen = this.epochs[bank]!;
    this.epochs[bank] = epoch;
    if (seen < this.lastUnknown || epoch - seen > LOG_SIZE) {
      this.empty(addressOf(bank));
      return;
    }
    for (let change = seen; change < epoch; change++) {
      for (let entry = log[change % LOG_SIZE]!; entry < TLB_ENTRIES; entry += TABLE_ENTRIES) {
        this.emptyEntry((addressOf(bank) + entry * TLB_ENTRY_SIZE) >> 2);
      }
    }
  }

  private emptyEntry(word: number): void {
    const { i32 } = this.memory;
    i32[word + (TLB_READ >> 2)] = TLB_EMPTY;
    i32[word + (TLB_WRITE >> 2)] = TLB_EMPTY;
    i32[word + (TLB_EXECUTE >> 2)] = TLB_EMPTY;
  }

  /**
   * A root about which nothing is known. Where it agrees with the present one to the last bit, what the present bank knows is
   * good for it too: the kernel's half of the address space, as processes come and go.
   */
  private begin(bank: number): void {
    const { keys, epochs } = this;
    epochs[bank] = this.epoch;
    this.empty(addressOf(bank));
    if (this.current === 0) return;
    const source = bankAt(this.current);
    if (source === bank || epochs[source] === NEVER || ((keys[source]! ^ keys[bank]!) & 1) !== 0) return;
    this.catchUp(source);
    if (!this.compareRoots(Math.floor(keys[source]! / 2), Math.floor(keys[bank]! / 2))) return;
    this.modes[bank] = this.modes[source]!;
    this.inherit(addressOf(source), addressOf(bank));
  }

  /** Notes in `common` which present entries of the upper half two roots have in common. False if there are none. */
  private compareRoots(one: Maddr, other: Maddr): boolean {
    const { common, memory } = this;
    const { framesBase, frames, i32 } = memory;
    if (Math.max(one, other) >= frames * PAGE_SIZE) return false;
    let any = 0;
    for (let slot = KERNEL_SLOT; slot < TABLE_ENTRIES; slot++) {
      const a = (framesBase + one + slot * 8) >>> 2;
      const b = (framesBase + other + slot * 8) >>> 2;
      const same = i32[a] === i32[b] && i32[a + 1] === i32[b + 1] && (i32[a]! & PTE_PRESENT) !== 0;
      common[slot] = same ? 1 : 0;
      any |= common[slot]!;
    }
    return any !== 0;
  }

  private inherit(from: HostAddress, to: HostAddress): void {
    const { common, memory } = this;
    const { i32 } = memory;
    // A tag's high half tells the slot of the root; those of user addresses have no place in `common`.
    const isCommon = (tag: number): boolean =>
      i32[tag] !== TLB_EMPTY &&
      i32[tag + 1]! < 0 &&
      common[(i32[tag + 1]! >>> 7) & (TABLE_ENTRIES - 1)] === 1;
    const copy = (at: number, offset: number): void => {
      i32[((to - from) >> 2) + at + (offset >> 2)] = i32[at + (offset >> 2)]!;
    };
    for (let entry = 0; entry < TLB_ENTRIES; entry++) {
      const at = (from + entry * TLB_ENTRY_SIZE) >> 2;
      if (isCommon(at + (TLB_READ >> 2))) {
        for (const offset of [TLB_READ, TLB_READ + 4, TLB_WRITE, TLB_WRITE + 4, TLB_ADDEND]) copy(at, offset);
      }
      if (isCommon(at + (TLB_EXECUTE >> 2))) {
        for (const offset of [TLB_EXECUTE, TLB_EXECUTE + 4, TLB_CODE]) copy(at, offset);
      }
    }
  }

  /**
   * The processor is about to execute in a mode. The decoded pages that the active bank knows of are those of one mode:
   * after a change they are forgotten.
   */
  useMode(mode: number): void {
    const bank = bankAt(this.current);
    if (this.modes[bank] === mode) return;
    this.modes[bank] = mode;
    const { i32 } = this.memory;
    const first = (this.current + TLB_EXECUTE) >> 2;
    for (let entry = 0; entry < TLB_ENTRIES; entry++) i32[first + entry * (TLB_ENTRY_SIZE >> 2)] = TLB_EMPTY;
  }

  /** A free bank, or the one that was not used for the longest time. */
  private takeBank(): number {
    if (this.used < TLB_BANK_COUNT) return this.used++;
    let oldest = 0;
    for (let i = 1; i < TLB_BANK_COUNT; i++) if (this.lastUse[i]! < this.lastUse[oldest]!) oldest = i;
    return oldest;
  }

  /** Empties what the bank of a root, if there is one, knows of the 2 MiB around an address whose low half is `low`. */
  emptyRegion(root: Maddr, privilege: number, low: number): void {
    const bank = this.byKey.get(root * 2 + privilege);
    if (bank === undefined) return;
    const { i32 } = this.memory;
    const words = TLB_ENTRY_SIZE >> 2;
    const region = (low >>> PAGE_SHIFT) & (TLB_ENTRIES - 1) & -REGION_PAGES;
    let at = (TLB_BANKS + bank * TLB_BANK_SIZE + region * TLB_ENTRY_SIZE) >> 2;
    for (let page = 0; page < REGION_PAGES; page++, at += words) {
      i32[at + (TLB_READ >> 2)] = TLB_EMPTY;
      i32[at + (TLB_WRITE >> 2)] = TLB_EMPTY;
      i32[at + (TLB_EXECUTE >> 2)] = TLB_EMPTY;
    }
  }

  /**
   * A present entry of a page table was changed, cleared or restricted: of a lowest-level table in `slot`, or, without it,
   * of any table.
   */
  noteTableChange(slot?: number): void {
    if (slot === undefined) this.lastUnknown = ++this.epoch;
    else this.log[this.epoch++ % LOG_SIZE] = slot;
  }

  /** A table is no root any more; should its frame become one again, nothing is known of it. */
  forgetRoot(root: Maddr): void {
    for (const privilege of [0, 1]) {
      const bank = this.byKey.get(root * 2 + privilege);
      if (bank !== undefined) this.epochs[bank] = NEVER;
    }
  }

  emptyAll(): void {
    for (let bank = 0; bank < this.used; bank++) this.empty(addressOf(bank));
  }
}
