/**
 * Reading arrays of requests out of guest memory, without allocating anything.
 *
 * An array is translated once per page and then read through the host's view. A request may change the mapping of the
 * page that it stands in; like a processor with a cached translation, the reader notices at the next page.
 */
import type { Gva, HostAddress, MachineMemory, Mfn } from '../../machine/memory.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import type { GuestMemory } from '../../machine/x86/guest-memory.ts';
import { GuestFault } from '../../machine/x86/guest-memory.ts';
import { INVALID_MFN } from './page-info.ts';
import type { MmuVcpu } from './vcpu.ts';

export class RequestReader {
  /** The request that was read last, as 32-bit words. */
  readonly words: Int32Array;
  /** Number of the request to read next; the caller counts it up. */
  index = 0;
  private guest!: GuestMemory;
  private memory!: MachineMemory;
  private start: Gva = 0;
  private stride = 0;
  private page: Gva = Number.NaN;
  private host: HostAddress = 0;

  /** `size` is the number of 32-bit words in a request. */
  constructor(size: number) {
    this.words = new Int32Array(size);
  }

  /** `stride` is the bytes of a request. */
  begin(guest: GuestMemory, memory: MachineMemory, start: Gva, stride: number): void {
    this.guest = guest;
    this.memory = memory;
    this.start = start;
    this.stride = stride;
    this.index = 0;
    this.page = Number.NaN;
  }

  /** Reads request `index` into `words`; false where guest memory cannot be read. */
  read(): boolean {
    const gva = this.start + this.index * this.stride;
    const offset = (gva | 0) & (PAGE_SIZE - 1);
    const { words } = this;
    if (offset + words.length * 4 > PAGE_SIZE || (offset & 3) !== 0) return this.readUnaligned(gva);
    const page = gva - offset;
    if (page !== this.page) {
      this.host = this.guest.tryHost(page, false);
      if (this.host === 0) return false;
      this.page = page;
    }
    const { i32 } = this.memory;
    const at = (this.host + offset) >>> 2;
    for (let i = 0; i < words.length; i++) words[i] = i32[at + i]!;
    return true;
  }

  private readUnaligned(gva: Gva): boolean {
    const { words, guest } = this;
    if (guest.tryHost(gva, false) === 0 || guest.tryHost(gva + words.length * 4 - 1, false) === 0)
      return false;
    for (let i = 0; i < words.length; i++) words[i] = guest.read32(gva + i * 4);
    return true;
  }
}

/** Tells the guest how many requests were done; a bad pointer is its own loss. */
export function writeDone(vcpu: MmuVcpu, at: Gva, done: number): void {
  try {
    vcpu.guest.write32(at, done | 0);
  } catch (error) {
    if (!(error instanceof GuestFault)) throw error;
  }
}

/** An `unsigned long` as a number: exact up to 2^53, larger ones stay large. */
export function readWord(vcpu: MmuVcpu, at: Gva): number {
  return vcpu.guest.readU32(at + 4) * 4294967296 + vcpu.guest.readU32(at);
}

/** A frame number of a list; INVALID_MFN where it cannot be read or names no frame. */
export function readMfn(vcpu: MmuVcpu, at: Gva): Mfn {
  const { guest } = vcpu;
  if (guest.tryHost(at, false) === 0 || guest.tryHost(at + 7, false) === 0) return INVALID_MFN;
  return guest.readU32(at + 4) === 0 ? guest.readU32(at) : INVALID_MFN;
}

/** False where the list cannot be written. */
export function writeMfn(vcpu: MmuVcpu, at: Gva, mfn: Mfn): boolean {
  const { guest } = vcpu;
  if (guest.tryHost(at, true) === 0 || guest.tryHost(at + 7, true) === 0) return false;
  guest.write64(at, mfn, 0);
  return true;
}
