/**
 * Segmentation as a PV guest has it: its own GDT and LDT, checked by Xen, with Xen's flat segments at the end of the GDT.
 *
 *     entry 0 .. gdtEntries        the guest's frames (set_gdt), type PGT_seg_desc_page: never writable to the guest
 *     gdtEntries .. 0x1c00         zero
 *     0x1c00 ..                    Xen's: FLAT_RING3_CS32, FLAT_RING3_SS, FLAT_RING3_CS64 ... the same for every guest
 *
 * A descriptor is checked when it is written (`mm/descriptors.ts`), so that a selector the guest loads later can name
 * nothing dangerous. Follows Xen 4.17, arch/x86/pv/descriptor-tables.c, arch/x86/include/asm/desc.h and the tables in
 * arch/x86/desc.c.
 */
import { FIRST_RESERVED_GDT_ENTRY, x86_64 as wide } from '../abi/xen/numbers/index.ts';
import type { Descriptor, ProcessorHooks } from '../hypervisor/processor.ts';
import { CPU_SEGMENTS, SEGMENT_SIZE } from '../machine/layout.ts';
import { type Gva, type Mfn, PAGE_SIZE } from '../machine/memory.ts';
import { CS, SS } from '../machine/x86/registers.ts';
import { ATTR_D, ATTR_L, ATTR_P, ATTR_S, ATTR_TYPE_CODE, ATTR_TYPE_WRITE } from '../machine/x86/state.ts';
import { PGT_seg_desc_page } from './mm/page-info.ts';
import type { XenVcpu } from './vcpu.ts';

/** Bit of a descriptor's high word: the limit counts pages (Intel SDM 3A, 3.4.5). */
const SEGMENT_G = 0x800000;

const DESCRIPTOR_BYTES = 8;
export const DESCRIPTORS_PER_FRAME = PAGE_SIZE / DESCRIPTOR_BYTES;
export const GDT_FRAMES = 16;
const TABLE_LOCAL = 4;

/** Code and data of a flat segment with DPL 3 or 1, as high words of descriptors; the low word is always 0xffff. */
const CODE64_RING3 = 0x00affb00;
const CODE32_RING3 = 0x00cffb00;
const DATA_RING3 = 0x00cff300;
const CODE32_RING1 = 0x00cfbb00;
const DATA_RING1 = 0x00cfb300;
/** Xen's own, of no use to a guest: loading them is #GP, for their DPL is 0. */
const CODE64_RING0 = 0x00af9b00;
const DATA_RING0 = 0x00cf9300;

/** High words of the reserved entries, from entry 0x1c00 on. */
const RESERVED_64 = [0, CODE64_RING0, DATA_RING0, 0, CODE32_RING3, DATA_RING3, CODE64_RING3];
const RESERVED_32 = [0, CODE64_RING0, DATA_RING0, CODE32_RING1, DATA_RING1, CODE32_RING3, DATA_RING3];

/** `__fixup_guest_selector`: a kernel's selector has at least the privilege level that its kernel runs at. */
export function fixupSelector(selector: number, is64: boolean): number {
  const rpl = is64 ? 3 : 1;
  return (selector & 3) >= rpl ? selector : (selector & ~3) | rpl;
}

/** The tables of one vCPU, and the loading of segment registers from them. */
export class DescriptorTables implements ProcessorHooks {
  readonly gdtFrames: Mfn[] = new Array(GDT_FRAMES).fill(0);
  gdtEntries = 0;
  ldtBase: Gva = 0;
  ldtEntries = 0;
  private readonly vcpu: XenVcpu;
  /** What `readDescriptor` hands out; valid until the next call. */
  private readonly found = { low: 0, high: 0 };

  constructor(vcpu: XenVcpu) {
    this.vcpu = vcpu;
  }

  /**
   * set_gdt: replaces the GDT. Every frame must be the domain's own and free of other uses. Returns false, and changes
   * nothing, if one is not.
   */
  setGdt(frames: ArrayLike<Mfn>, entries: number): boolean {
    const { mm } = this.vcpu.domain;
    const count = Math.ceil(entries / DESCRIPTORS_PER_FRAME);
    for (let i = 0; i < count; i++) {
      if (!mm.getPageAndType(frames[i]!, PGT_seg_desc_page)) {
        while (i-- > 0) mm.putPageAndType(frames[i]!);
        return false;
      }
    }
    this.releaseGdt();
    for (let i = 0; i < count; i++) this.gdtFrames[i] = frames[i]!;
    this.gdtEntries = entries;
    this.vcpu.segmentsChanged();
    return true;
  }

  /** MMUEXT_SET_LDT. The arguments have been checked, and the frames of the old LDT released, by `mm`. */
  setLdt(base: Gva, entries: number): void {
    this.ldtBase = base;
    this.ldtEntries = entries;
    this.vcpu.segmentsChanged();
  }

  /** Empties the GDT; also done by `mm` when the domain ends. */
  releaseGdt(): void {
    for (let i = 0; i < GDT_FRAMES; i++) {
      const mfn = this.gdtFrames[i]!;
      if (mfn !== 0) this.vcpu.domain.mm.putPageAndType(mfn);
      this.gdtFrames[i] = 0;
    }
    this.gdtEntries = 0;
  }

  /** The descriptor of a selector, or undefined beyond its table. The object is reused by the next call. */
  readDescriptor(selector: number): Descriptor | undefined {
    const index = (selector & 0xffff) >>> 3;
    return (selector & TABLE_LOCAL) !== 0 ? this.readLocal(index) : this.readGlobal(index);
  }

  private readGlobal(index: number): Descriptor | undefined {
    const { found } = this;
    if (index >= FIRST_RESERVED_GDT_ENTRY) {
      const high = (this.vcpu.domain.is64 ? RESERVED_64 : RESERVED_32)[index - FIRST_RESERVED_GDT_ENTRY] ?? 0;
      found.high = high;
      found.low = high === 0 ? 0 : 0xffff;
      return found;
    }
    const mfn = this.gdtFrames[Math.floor(index / DESCRIPTORS_PER_FRAME)]!;
    return this.readFrame(mfn, index);
  }

  private readLocal(index: number): Descriptor | undefined {
    if (index >= this.ldtEntries) return undefined;
    const mfn = this.vcpu.domain.mm.ldtFrame(this.vcpu.id, index * DESCRIPTOR_BYTES);
    if (mfn === 0) return undefined;
    return this.readFrame(mfn, index);
  }

  private readFrame(mfn: Mfn, index: number): Descriptor {
    const { found } = this;
    if (mfn === 0) {
      found.low = found.high = 0;
      return found;
    }
    const { memory } = this.vcpu.domain.host;
    const maddr = mfn * PAGE_SIZE + (index % DESCRIPTORS_PER_FRAME) * DESCRIPTOR_BYTES;
    found.low = memory.read32(maddr);
    found.high = memory.read32(maddr + 4);
    return found;
  }
}

/** Attributes, limit and base out of a descriptor, into a segment register of the vCPU. */
function loadHidden(vcpu: XenVcpu, segment: number, selector: number, d: Descriptor): void {
  const raw = (d.high & 0xf0000) | (d.low & 0xffff);
  const limit = (d.high & SEGMENT_G) !== 0 ? ((raw << 12) | 0xfff) >>> 0 : raw;
  const base = ((d.high & 0xff000000) | ((d.high & 0xff) << 16) | (d.low >>> 16)) >>> 0;
  vcpu.state.setSegment(segment, selector, (d.high >>> 8) & 0xf0ff, limit, base);
}

/** What keeps a segment register from being loaded: a vector and an error code, or nothing. */
export const SEGMENT_OK = 0;
const VECTOR_NP = 11;
const VECTOR_SS = 12;
const VECTOR_GP = 13;

/** vector << 16 | error code. */
function fault(vector: number, selector: number): number {
  return (vector << 16) | (selector & 0xfffc);
}

/**
 * Loads CS and SS as IRET to ring 3 does (Intel SDM 2A, IRET). Returns SEGMENT_OK, or vector << 16 | error code with
 * neither register loaded.
 */
export function loadReturnSegments(vcpu: XenVcpu, cs: number, ss: number): number {
  const { tables } = vcpu;
  if ((cs & 0xfffc) === 0) return fault(VECTOR_GP, 0);
  const code = tables.readDescriptor(cs);
  if (code === undefined) return fault(VECTOR_GP, cs);
  const codeHigh = code.high;
  const codeLow = code.low;
  const attributes = codeHigh >>> 8;
  if ((attributes & ATTR_S) === 0 || (attributes & ATTR_TYPE_CODE) === 0) return fault(VECTOR_GP, cs);
  const conforming = (attributes & 4) !== 0;
  if (!conforming && ((attributes >>> 5) & 3) !== 3) return fault(VECTOR_GP, cs);
  if ((attributes & ATTR_L) !== 0 && (attributes & ATTR_D) !== 0) return fault(VECTOR_GP, cs);
  if ((attributes & ATTR_P) === 0) return fault(VECTOR_NP, cs);
  // A null SS is allowed only in rings 0 to 2 of 64-bit mode.
  if ((ss & 0xfffc) === 0) return fault(VECTOR_GP, 0);
  const stack = tables.readDescriptor(ss);
  if (stack === undefined || (ss & 3) !== 3) return fault(VECTOR_GP, ss);
  const stackAttributes = stack.high >>> 8;
  const wanted = ATTR_S | ATTR_TYPE_WRITE;
  if ((stackAttributes & (wanted | ATTR_TYPE_CODE)) !== wanted || ((stackAttributes >>> 5) & 3) !== 3) {
    return fault(VECTOR_GP, ss);
  }
  if ((stackAttributes & ATTR_P) === 0) return fault(VECTOR_SS, ss);
  loadHidden(vcpu, SS, ss, stack);
  loadHidden(vcpu, CS, cs, { low: codeLow, high: codeHigh });
  return SEGMENT_OK;
}

/**
 * Loads DS, ES, FS or GS as MOV to a segment register does in ring 3. On a fault the register becomes null, and the
 * result is false. A null selector leaves the base of FS and GS as Intel's processors do: zero.
 */
export function loadDataSegment(vcpu: XenVcpu, segment: number, selector: number): boolean {
  const { state } = vcpu;
  if ((selector & 0xfffc) === 0) {
    state.setSegment(segment, selector, 0, 0, 0);
    return true;
  }
  const d = vcpu.tables.readDescriptor(selector);
  if (d !== undefined) {
    const attributes = d.high >>> 8;
    const dpl = (attributes >>> 5) & 3;
    const code = (attributes & ATTR_TYPE_CODE) !== 0;
    const readable = !code || (attributes & ATTR_TYPE_WRITE) !== 0;
    const conforming = code && (attributes & 4) !== 0;
    if ((attributes & ATTR_S) !== 0 && readable && (conforming || dpl === 3) && (attributes & ATTR_P) !== 0) {
      loadHidden(vcpu, segment, selector, d);
      return true;
    }
  }
  state.setSegment(segment, 0, 0, 0, 0);
  return false;
}

/** Offset of the base in a segment register of the vCPU's state. */
const SEGMENT_BASE = 16;
const FLAT_LIMIT = 0xffffffff;

/** Xen's flat code segment for ring 3: 64-bit, or compatibility mode. */
export function loadFlatCode(vcpu: XenVcpu, selector: number): void {
  const high = selector === wide.FLAT_USER_CS32 ? CODE32_RING3 : CODE64_RING3;
  vcpu.state.setSegment(CS, selector, (high >>> 8) & 0xf0ff, FLAT_LIMIT, 0);
}

/** Xen's flat stack segment for ring 3. */
export function loadFlatStack(vcpu: XenVcpu): void {
  vcpu.state.setSegment(SS, wide.FLAT_KERNEL_SS, (DATA_RING3 >>> 8) & 0xf0ff, FLAT_LIMIT, 0);
}

/** The base of a segment register, as halves. */
export function segmentBaseLow(vcpu: XenVcpu, segment: number): number {
  return vcpu.state.low(CPU_SEGMENTS + segment * SEGMENT_SIZE + SEGMENT_BASE);
}
export function segmentBaseHigh(vcpu: XenVcpu, segment: number): number {
  return vcpu.state.high(CPU_SEGMENTS + segment * SEGMENT_SIZE + SEGMENT_BASE);
}
