/**
 * TLB banks: one for each (root table, privilege) that was loaded lately, so that a switch of address space keeps what
 * it knew. A bank is only as good as the page tables it was filled from: every change that could make an entry stale
 * bumps an epoch, and loading a root whose bank is of an older epoch empties it, as loading CR3 does on a processor.
 */
import {
  CPU,
  CPU_TLB_BANK,
  ENGINE_TLB_EPOCH,
  TLB_BANK_COUNT,
  TLB_BANK_SIZE,
  TLB_BANKS,
  TLB_EMPTY,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
  TLB_EXECUTE,
  TLB_READ,
  TLB_WRITE,
} from '../layout.ts';
import type { HostAddress, MachineMemory, Maddr } from '../memory.ts';
import { PAGE_SHIFT } from '../memory.ts';

/** Pages of 4 KiB in one of 2 MiB. */
const REGION_PAGES = 512;

export class TlbBanks {
  private readonly memory: MachineMemory;
  private readonly empty: (bank: HostAddress) => void;
  private readonly keys = new Float64Array(TLB_BANK_COUNT).fill(-1);
  private readonly epochs = new Int32Array(TLB_BANK_COUNT);
  private readonly lastUse = new Float64Array(TLB_BANK_COUNT);
  private readonly byKey = new Map<number, number>();
  /** Mode of the code that a bank's execute tags lead to: 1 for 64-bit mode. */
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
    const epoch = this.memory.i32[ENGINE_TLB_EPOCH >> 2]!;
    if (bank === undefined) {
      bank = this.takeBank();
      this.byKey.delete(this.keys[bank]!);
      this.byKey.set(key, bank);
      this.keys[bank] = key;
      this.epochs[bank] = epoch;
      this.empty(TLB_BANKS + bank * TLB_BANK_SIZE);
    } else if (this.epochs[bank] !== epoch) {
      this.epochs[bank] = epoch;
      this.empty(TLB_BANKS + bank * TLB_BANK_SIZE);
    }
    this.lastUse[bank] = ++this.uses;
    this.memory.u32[(CPU + CPU_TLB_BANK) >> 2] = TLB_BANKS + bank * TLB_BANK_SIZE;
  }

  /**
   * The processor is about to execute in a mode. The decoded pages that the active bank knows of are those of one mode:
   * after a change they are forgotten.
   */
  useMode(long: number): void {
    const bank = (this.current - TLB_BANKS) / TLB_BANK_SIZE;
    if (this.modes[bank] === long) return;
    this.modes[bank] = long;
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

  noteTableChange(): void {
    this.memory.i32[ENGINE_TLB_EPOCH >> 2]!++;
  }

  emptyAll(): void {
    for (let bank = 0; bank < this.used; bank++) this.empty(TLB_BANKS + bank * TLB_BANK_SIZE);
  }
}
