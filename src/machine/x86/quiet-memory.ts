/**
 * Reading a guest's memory without leaving a trace: no accessed bit is set, no TLB entry is filled, nothing faults. For tools that
 * look at a guest while it runs and must not change what it does (`GuestMemory` is for the hypervisor's own accesses, which a
 * guest may notice).
 *
 * The tables are read as they are, not as the TLB remembers them, and rights are not asked. The guest may have written anything
 * into them: every step is checked against the memory that the vCPU's page walks may reach.
 */
import {
  CPU_PAGING,
  CPU_PHYSICAL_BASE,
  CPU_PHYSICAL_FRAMES,
  PAGING_ON,
  PTE_PRESENT,
  PTE_PSE,
} from '../layout.ts';
import type { Gva, HostAddress, Maddr } from '../memory.ts';
import { PAGE_SIZE } from '../memory.ts';
import type { VcpuState } from './state.ts';

const TWO_32 = 4294967296;
/** Bits 12 to 51 of an entry, by halves. */
const ADDRESS_LOW = 0xfffff000;
const ADDRESS_HIGH = 0x000fffff;
const LARGEST_PAGE_SHIFT = 21;

export class QuietMemory {
  private readonly state: VcpuState;
  private readonly root: Maddr;
  private readonly base: HostAddress;
  private readonly frames: number;
  private readonly paged: boolean;
  /** The page found last. */
  private page = Number.NaN;
  private pageHost: HostAddress = 0;

  /** The address space whose top table is at `root`, as a vCPU would see it now. Use it at once: it remembers a page. */
  constructor(state: VcpuState, root: Maddr = state.cr3) {
    this.state = state;
    this.root = root;
    this.base = state.memory.u32[(state.base + CPU_PHYSICAL_BASE) >> 2]!;
    this.frames = state.memory.u32[(state.base + CPU_PHYSICAL_FRAMES) >> 2]!;
    this.paged = (state.memory.u32[(state.base + CPU_PAGING) >> 2]! & PAGING_ON) !== 0;
  }

  /** The host address of a byte, valid to the end of its page; 0 where nothing is mapped. */
  host(gva: Gva): HostAddress {
    const page = Math.floor(gva / PAGE_SIZE) * PAGE_SIZE;
    if (page !== this.page) {
      this.pageHost = this.walk(page);
      this.page = page;
    }
    return this.pageHost === 0 ? 0 : this.pageHost + (gva - page);
  }

  private walk(page: Gva): HostAddress {
    const { u32 } = this.state.memory;
    let table = Math.floor(this.root / PAGE_SIZE) * PAGE_SIZE;
    if (!this.paged) return this.inMemory(page);
    if (!Number.isSafeInteger(page) || page >= 2 ** 47 || page < -(2 ** 47)) return 0;
    for (let shift = 39; ; shift -= 9) {
      const host = this.inMemory(table);
      if (host === 0) return 0;
      const at = (host + (Math.floor(page / 2 ** shift) & 511) * 8) >>> 2;
      const low = u32[at]!;
      if ((low & PTE_PRESENT) === 0) return 0;
      const address = (u32[at + 1]! & ADDRESS_HIGH) * TWO_32 + ((low & ADDRESS_LOW) >>> 0);
      if (shift === 12) return this.inMemory(address);
      if ((low & PTE_PSE) !== 0) {
        if (shift > LARGEST_PAGE_SHIFT) return 0;
        const size = 2 ** shift;
        return this.inMemory(Math.floor(address / size) * size + (page - Math.floor(page / size) * size));
      }
      table = address;
    }
  }

  private inMemory(physical: number): HostAddress {
    return physical >= 0 && physical / PAGE_SIZE < this.frames ? this.base + physical : 0;
  }

  /** True if the `length` bytes at an address are mapped; `length` is a page at most. */
  holds(gva: Gva, length: number): boolean {
    return this.host(gva) !== 0 && this.host(gva + length - 1) !== 0;
  }

  /** Fills `into`; false, with nothing said about its contents, where not all of it is mapped. */
  read(gva: Gva, into: Uint8Array): boolean {
    for (let done = 0; done < into.length; ) {
      const host = this.host(gva + done);
      if (host === 0) return false;
      const inPage = gva + done - Math.floor((gva + done) / PAGE_SIZE) * PAGE_SIZE;
      const count = Math.min(into.length - done, PAGE_SIZE - inPage);
      into.set(this.state.memory.u8.subarray(host, host + count), done);
      done += count;
    }
    return true;
  }

  /** A 64-bit word as a signed number; NaN where it is not mapped, or no address (nor any other 53-bit number). */
  word(gva: Gva): number {
    if (!this.holds(gva, 8)) return Number.NaN;
    const { view } = this.state.memory;
    const host = this.host(gva);
    let low: number;
    let high: number;
    if (this.host(gva + 7) === host + 7) {
      low = view.getUint32(host, true);
      high = view.getInt32(host + 4, true);
    } else {
      const bytes = new DataView(new ArrayBuffer(8));
      for (let i = 0; i < 8; i++) bytes.setUint8(i, view.getUint8(this.host(gva + i)));
      low = bytes.getUint32(0, true);
      high = bytes.getInt32(4, true);
    }
    const value = high * TWO_32 + low;
    return Number.isSafeInteger(value) ? value : Number.NaN;
  }

  /** A 16-bit word; NaN where it is not mapped. */
  half(gva: Gva): number {
    if (!this.holds(gva, 2)) return Number.NaN;
    const { u8 } = this.state.memory;
    return u8[this.host(gva)]! | (u8[this.host(gva + 1)]! << 8);
  }
}
