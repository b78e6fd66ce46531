/**
 * The hypervisor's access to memory by guest virtual address: what Xen calls copy_from_guest and copy_to_guest.
 *
 * Addresses are translated in the address space that the active vCPU has loaded, with a guest's rights (user bit, write
 * protection), setting accessed and dirty bits as the processor would. An address that does not translate raises
 * `GuestFault`, which a hypercall dispatcher turns into -EFAULT.
 */
import type { Gva, HostAddress, MachineMemory } from '../memory.ts';
import { PAGE_SIZE } from '../memory.ts';

const TWO_32 = 4294967296;

/** Translates one page; the engine implements it. */
export interface Translator {
  /**
   * The host address of the byte at a linear address (given as halves), or 0 where the access would fault.
   * The result is valid up to the end of its page.
   */
  translate(low: number, high: number, write: boolean): HostAddress;
}

export class GuestFault extends Error {
  override readonly name = 'GuestFault';
  readonly address: Gva;
  readonly write: boolean;

  constructor(address: Gva, write: boolean) {
    super(`guest address ${formatGva(address)} is not ${write ? 'writable' : 'readable'}`);
    this.address = address;
    this.write = write;
  }
}

/** A guest address in hexadecimal, 16 digits, as a kernel's log shows it. */
export function formatGva(address: Gva): string {
  const low = address >>> 0;
  const high = Math.floor(address / TWO_32) >>> 0;
  return `0x${high.toString(16).padStart(8, '0')}${low.toString(16).padStart(8, '0')}`;
}

export class GuestMemory {
  private readonly memory: MachineMemory;
  private readonly translator: Translator;

  constructor(memory: MachineMemory, translator: Translator) {
    this.memory = memory;
    this.translator = translator;
  }

  /** The host address of `gva`, valid to the end of its page; raises `GuestFault`. */
  host(gva: Gva, write: boolean): HostAddress {
    const host = this.translator.translate(gva | 0, Math.floor(gva / TWO_32) | 0, write);
    if (host === 0) throw new GuestFault(gva, write);
    return host;
  }

  /** As `host`, but 0 instead of a fault. */
  tryHost(gva: Gva, write: boolean): HostAddress {
    return this.translator.translate(gva | 0, Math.floor(gva / TWO_32) | 0, write);
  }

  read8(gva: Gva): number {
    return this.memory.u8[this.host(gva, false)]!;
  }
  read16(gva: Gva): number {
    return inPage(gva, 2) ? this.memory.view.getUint16(this.host(gva, false), true) : this.readSplit(gva, 2);
  }
  /** Signed. */
  read32(gva: Gva): number {
    return inPage(gva, 4)
      ? this.memory.view.getInt32(this.host(gva, false), true)
      : this.readSplit(gva, 4) | 0;
  }
  readU32(gva: Gva): number {
    return this.read32(gva) >>> 0;
  }
  /** A 64-bit word as a signed number; exact for canonical addresses and anything below 2^53. */
  readNumber64(gva: Gva): number {
    return this.read32(gva + 4) * TWO_32 + this.readU32(gva);
  }

  write8(gva: Gva, value: number): void {
    const host = this.host(gva, true);
    this.memory.u8[host] = value;
    this.memory.noteWrite(host - this.memory.framesBase, 1);
  }
  write32(gva: Gva, value: number): void {
    if (!inPage(gva, 4)) {
      this.writeBytes(gva, new Uint8Array(Int32Array.of(value).buffer));
      return;
    }
    const host = this.host(gva, true);
    this.memory.view.setInt32(host, value, true);
    this.memory.noteWrite(host - this.memory.framesBase, 4);
  }
  write64(gva: Gva, low: number, high: number): void {
    if (!inPage(gva, 8)) {
      this.writeBytes(gva, new Uint8Array(Int32Array.of(low, high).buffer));
      return;
    }
    const host = this.host(gva, true);
    this.memory.view.setInt32(host, low, true);
    this.memory.view.setInt32(host + 4, high, true);
    this.memory.noteWrite(host - this.memory.framesBase, 8);
  }

  /** Fills `into` from guest memory; nothing is said about its contents if it raises. */
  readBytes(gva: Gva, into: Uint8Array): void {
    for (let done = 0; done < into.length; ) {
      const count = Math.min(into.length - done, PAGE_SIZE - pageOffset(gva + done));
      const host = this.host(gva + done, false);
      into.set(this.memory.u8.subarray(host, host + count), done);
      done += count;
    }
  }

  /** Writes all of `from`, or nothing: every page is probed before the first byte is stored. */
  writeBytes(gva: Gva, from: Uint8Array): void {
    for (let done = 0; done < from.length; done += PAGE_SIZE - pageOffset(gva + done)) {
      this.host(gva + done, true);
    }
    for (let done = 0; done < from.length; ) {
      const count = Math.min(from.length - done, PAGE_SIZE - pageOffset(gva + done));
      const host = this.host(gva + done, true);
      this.memory.u8.set(from.subarray(done, done + count), host);
      this.memory.noteWrite(host - this.memory.framesBase, count);
      done += count;
    }
  }

  private readSplit(gva: Gva, size: number): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + this.read8(gva + i);
    return value;
  }
}

function pageOffset(gva: Gva): number {
  return (gva | 0) & (PAGE_SIZE - 1);
}
function inPage(gva: Gva, size: number): boolean {
  return pageOffset(gva) <= PAGE_SIZE - size;
}
