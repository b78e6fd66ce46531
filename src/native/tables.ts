/**
 * GDT, IDT, LDT and TSS of a bare machine: the registers that name them, and reads of them in the guest's memory, which
 * the processor makes with a supervisor's rights whatever the privilege level. (Intel SDM 3A, 2.4, 3.5 and 7.2.)
 */
import type { Descriptor, ProcessorHooks } from '../hypervisor/processor.ts';
import type { Gva } from '../machine/memory.ts';
import { VECTOR_GP, VECTOR_NP } from '../machine/x86/registers.ts';
import type { SystemTables } from '../machine/x86/system.ts';
import { CpuFault, isCanonicalHigh } from './fault.ts';
import type { NativeVcpu } from './vcpu.ts';

const TABLE_LOCAL = 4;
const DESCRIPTOR_BYTES = 8;
const SYSTEM_DESCRIPTOR_BYTES = 16;
/** Bits of a descriptor's high word. */
const HIGH_PRESENT = 0x8000;
const HIGH_ACCESSED = 0x100;
const HIGH_BUSY = 0x200;
/** S and type. */
const HIGH_KIND = 0x1f00;
const KIND_LDT = 0x0200;
const KIND_TSS_AVAILABLE = 0x0900;
const HIGH_GRANULAR = 0x800000;
/** Of the fourth word of a system descriptor: must be zero. */
const TOP_RESERVED = 0x1f00;

/** A limit that nothing lies within. */
const NO_TABLE = -1;
const TWO_32 = 4294967296;

export class DescriptorTables implements ProcessorHooks, SystemTables {
  gdtBase: Gva = 0;
  gdtLimit = 0xffff;
  idtBase: Gva = 0;
  idtLimit = 0xffff;
  ldtSelector = 0;
  ldtBase: Gva = 0;
  ldtLimit = NO_TABLE;
  taskSelector = 0;
  taskBase: Gva = 0;
  taskLimit = NO_TABLE;
  private readonly vcpu: NativeVcpu;
  /** What `readDescriptor` hands out; valid until the next call. */
  private readonly found = { low: 0, high: 0 };

  constructor(vcpu: NativeVcpu) {
    this.vcpu = vcpu;
  }

  get tables(): SystemTables {
    return this;
  }

  /** The descriptor of a selector, or undefined beyond its table. The object is reused by the next call. Raises GuestFault. */
  readDescriptor(selector: number): Descriptor | undefined {
    if (!this.contains(selector, DESCRIPTOR_BYTES)) return undefined;
    const { found, vcpu } = this;
    const at = this.addressOf(selector);
    const cpl = vcpu.enterSupervisor();
    try {
      found.low = vcpu.guest.read32(at);
      found.high = vcpu.guest.read32(at + 4);
    } finally {
      vcpu.leaveSupervisor(cpl);
    }
    return found;
  }

  /** Sets the accessed bit of a descriptor. Raises GuestFault. */
  noteAccessed(selector: number): void {
    this.setBits(selector, HIGH_ACCESSED);
  }

  /** LLDT. Raises CpuFault and GuestFault. */
  loadLocal(selector: number): void {
    if ((selector & 0xfffc) === 0) {
      this.ldtSelector = selector;
      this.ldtLimit = NO_TABLE;
      return;
    }
    const { base, limit } = this.systemDescriptor(selector, KIND_LDT);
    this.ldtSelector = selector;
    this.ldtBase = base;
    this.ldtLimit = limit;
  }

  /** LTR. Raises CpuFault and GuestFault. */
  loadTask(selector: number): void {
    if ((selector & 0xfffc) === 0) throw new CpuFault(VECTOR_GP, 0);
    const { base, limit } = this.systemDescriptor(selector, KIND_TSS_AVAILABLE);
    this.setBits(selector, HIGH_BUSY);
    this.taskSelector = selector;
    this.taskBase = base;
    this.taskLimit = limit;
  }

  /** A descriptor of the GDT that takes two entries. */
  private systemDescriptor(selector: number, kind: number): { base: Gva; limit: number } {
    const error = selector & 0xfffc;
    if ((selector & TABLE_LOCAL) !== 0 || !this.contains(selector, SYSTEM_DESCRIPTOR_BYTES)) {
      throw new CpuFault(VECTOR_GP, error);
    }
    const { guest } = this.vcpu;
    const at = this.addressOf(selector);
    const low = guest.read32(at);
    const high = guest.read32(at + 4);
    const top = guest.read32(at + 8);
    if ((high & HIGH_KIND) !== kind) throw new CpuFault(VECTOR_GP, error);
    if ((high & HIGH_PRESENT) === 0) throw new CpuFault(VECTOR_NP, error);
    if ((guest.read32(at + 12) & TOP_RESERVED) !== 0 || !isCanonicalHigh(top))
      throw new CpuFault(VECTOR_GP, error);
    const base = top * TWO_32 + (((low >>> 16) | ((high & 0xff) << 16) | (high & 0xff000000)) >>> 0);
    const pages = (high & 0xf0000) | (low & 0xffff);
    return { base, limit: (high & HIGH_GRANULAR) !== 0 ? pages * 4096 + 4095 : pages };
  }

  private contains(selector: number, bytes: number): boolean {
    const limit = (selector & TABLE_LOCAL) !== 0 ? this.ldtLimit : this.gdtLimit;
    return (selector & 0xfff8) + bytes - 1 <= limit;
  }

  private addressOf(selector: number): Gva {
    return ((selector & TABLE_LOCAL) !== 0 ? this.ldtBase : this.gdtBase) + (selector & 0xfff8);
  }

  private setBits(selector: number, bits: number): void {
    const { vcpu } = this;
    const at = this.addressOf(selector) + 4;
    const cpl = vcpu.enterSupervisor();
    try {
      vcpu.guest.write32(at, vcpu.guest.read32(at) | bits);
    } finally {
      vcpu.leaveSupervisor(cpl);
    }
  }
}
