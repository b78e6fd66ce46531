/**
 * Instructions that generated code leaves to TypeScript (`Exit.System`): loads of segment registers, far transfers,
 * descriptor look-ups. They are rare in a 64-bit guest, so clarity wins: addresses here are BigInt.
 *
 * Follows the Intel SDM volume 2 (MOV, POP, LDS, JMP, CALL, RET, IRET, LAR, LSL, VERR) and volume 3A, chapter 5. There
 * are no call gates and no task switches: a far transfer to one is #GP, as for a guest that cannot install them.
 */
import {
  CPU,
  CPU_CR0,
  CPU_EXIT_RECORD,
  CPU_INTERRUPT_SHADOW,
  CPU_OFFSET_MASKS,
  CPU_SEG_SLOTS,
  REG_PAGE,
  SEG_SLOT_SIZE,
} from '../layout.ts';
import type { Gva } from '../memory.ts';
import { Exit } from './exits.ts';
import { GuestFault } from './guest-memory.ts';
import {
  REC_DISPLACEMENT,
  REC_EXTRA,
  REC_IMMEDIATE,
  REC_INDEX,
  REC_LENGTH,
  REC_MASK,
  REC_REG,
  REC_RM,
  REC_SCALE,
  REC_SEGMENT,
} from './record.ts';
import {
  CS,
  DS,
  ES,
  FLAG_IF,
  FLAG_IOPL,
  FLAG_RF,
  FLAG_VM,
  FLAG_ZF,
  FS,
  GS,
  RSP,
  SS,
  VECTOR_GP,
  VECTOR_NP,
  VECTOR_SS,
  VECTOR_UD,
} from './registers.ts';
import type { VcpuState } from './state.ts';
import {
  ATTR_D,
  ATTR_DPL_SHIFT,
  ATTR_G,
  ATTR_L,
  ATTR_P,
  ATTR_S,
  ATTR_TYPE_CODE,
  ATTR_TYPE_WRITE,
} from './state.ts';
import type { Variant } from './variants.ts';

/** Questions that the processor asks while it executes. */
export interface SystemHooks {
  /**
   * The descriptor that a selector names, or undefined beyond the table's limit. May raise `GuestFault` where the table
   * cannot be read: the page fault is then the instruction's.
   */
  readDescriptor(selector: number): { readonly low: number; readonly high: number } | undefined;
  /** A segment register has been loaded from a descriptor whose accessed bit is clear. May raise `GuestFault`. */
  noteAccessed?(selector: number): void;
  /** What SLDT, STR, SGDT and SIDT tell; without it, null selectors and empty tables at address 0. */
  readonly tables?: SystemTables;
}

/** The system table registers, as far as they can be seen. */
export interface SystemTables {
  readonly ldtSelector: number;
  readonly taskSelector: number;
  readonly gdtLimit: number;
  readonly gdtBase: Gva;
  readonly idtLimit: number;
  readonly idtBase: Gva;
}

/** What this file needs of the engine. */
export interface SystemHost {
  readonly cpu: VcpuState;
  readonly memory: {
    readonly u8: Uint8Array;
    readonly view: DataView;
    readonly u32: Uint32Array;
    noteWrite(maddr: number, length: number): void;
    readonly framesBase: number;
  };
  readonly hooks: SystemHooks;
  translate(low: number, high: number, write: boolean): number;
  raise(vector: number, error: number): Exit;
  variantAt(record: number): Variant | undefined;
}

/** Unwinds to `executeSystem`; an exception is noted in the exit words. */
const NOTED = Symbol('exception noted');
class Raised {
  readonly vector: number;
  readonly error: number;
  constructor(vector: number, error: number) {
    this.vector = vector;
    this.error = error;
  }
}

const ATTR_TYPE_CONFORMING = 0x004;
const ATTR_TYPE_READ = 0x002;
const ATTR_TYPE_ACCESSED = 0x001;

interface LoadedDescriptor {
  readonly attributes: number;
  readonly limit: number;
  readonly base: number;
  readonly dpl: number;
}

/** Base, limit in bytes and attributes of a segment descriptor (Intel SDM 3A, figure 3-8). */
export function parseDescriptor(low: number, high: number): LoadedDescriptor {
  const attributes = (high >>> 8) & 0xf0ff;
  let limit = (low & 0xffff) | (high & 0xf0000);
  if ((attributes & ATTR_G) !== 0) limit = ((limit << 12) | 0xfff) >>> 0;
  const base = ((low >>> 16) | ((high & 0xff) << 16) | (high & 0xff000000)) >>> 0;
  return { attributes, limit, base, dpl: (attributes >> ATTR_DPL_SHIFT) & 3 };
}

/**
 * Executes the instruction at which the engine left with `Exit.System`. `Exit.Decode`: done, RIP moved on;
 * `Exit.Exception`: noted; `Exit.System`: not an instruction of this file.
 */
export function executeSystem(host: SystemHost): Exit {
  const record = host.memory.u32[(CPU + CPU_EXIT_RECORD) >> 2]!;
  const variant = host.variantAt(record);
  if (variant === undefined) return Exit.System;
  const instruction = new SystemInstruction(host, record, variant);
  try {
    return instruction.execute() ? Exit.Decode : Exit.System;
  } catch (error) {
    if (error === NOTED || error instanceof GuestFault) return Exit.Exception;
    if (error instanceof Raised) return host.raise(error.vector, error.error);
    throw error;
  }
}

class SystemInstruction {
  private readonly host: SystemHost;
  private readonly cpu: VcpuState;
  private readonly record: number;
  private readonly variant: Variant;
  private readonly size: number;

  constructor(host: SystemHost, record: number, variant: Variant) {
    this.host = host;
    this.cpu = host.cpu;
    this.record = record;
    this.variant = variant;
    this.size = variant.shape.size;
  }

  execute(): boolean {
    const { definition } = this.variant;
    const next = this.mask(BigInt(this.cpu.rip) + BigInt(this.field8(REC_LENGTH)), 8);
    switch (definition.mnemonic) {
      case 'MOV': {
        if (definition.opcode !== 0x8e) return false;
        const segment = this.extra();
        if (segment === CS) throw new Raised(VECTOR_UD, 0);
        this.loadSegment(segment, Number(this.loadRm(2)));
        if (segment === SS) this.shadow(next);
        break;
      }
      case 'POP': {
        const selector = Number(this.peek(this.size, 0) & 0xffffn);
        const segment = POPPED[definition.map * 256 + definition.opcode];
        if (segment === undefined) return false;
        this.loadSegment(segment, selector);
        this.dropStack(this.size);
        if (segment === SS) this.shadow(next);
        break;
      }
      case 'LES':
      case 'LDS':
      case 'LSS':
      case 'LFS':
      case 'LGS': {
        const address = this.effectiveAddress();
        const offset = this.read(address, this.size);
        const selector = Number(this.read(address + BigInt(this.size), 2));
        const segment = { LES: ES, LDS: DS, LSS: SS, LFS: FS, LGS: GS }[definition.mnemonic];
        this.loadSegment(segment, selector);
        this.setRegister(this.field8(REC_REG), offset, this.size);
        break;
      }
      case 'JMPF':
      case 'CALLF':
        this.farTransfer(definition.mnemonic === 'CALLF', next);
        return true;
      case 'RETF':
        this.farReturn(definition.operands.length > 0 ? this.immediate16() : 0);
        return true;
      case 'IRET':
        this.interruptReturn();
        return true;
      case 'LAR':
      case 'LSL':
      case 'VERR':
      case 'VERW':
        this.inspect(definition.mnemonic);
        break;
      case 'SLDT':
        this.storeRm(BigInt(this.host.hooks.tables?.ldtSelector ?? 0));
        break;
      case 'STR':
        this.storeRm(BigInt(this.host.hooks.tables?.taskSelector ?? 0));
        break;
      case 'SMSW':
        this.storeRm(BigInt(this.cpu.low(CPU_CR0) >>> 0));
        break;
      case 'SGDT':
      case 'SIDT':
        this.storeTable(definition.mnemonic === 'SIDT');
        break;
      case 'ARPL':
        this.adjustRpl();
        break;
      default:
        return false;
    }
    this.setRip(next);
    return true;
  }

  // -------------------------------------------------------------- operands

  private field8(offset: number): number {
    return this.host.memory.u8[this.record + offset]!;
  }
  private extra(): number {
    return this.host.memory.view.getInt32(this.record + REC_EXTRA, true);
  }
  private immediate16(): number {
    return this.host.memory.view.getUint16(this.record + REC_IMMEDIATE, true);
  }
  private mask(value: bigint, size: number): bigint {
    return BigInt.asUintN(size * 8, value);
  }
  private register(offset: number, size: number): bigint {
    const at = this.cpu.base + offset;
    return this.mask(this.host.memory.view.getBigUint64(at, true), size);
  }
  private setRegister(offset: number, value: bigint, size: number): void {
    const { view } = this.host.memory;
    const at = this.cpu.base + offset;
    if (size === 2) view.setUint16(at, Number(value & 0xffffn), true);
    else view.setBigUint64(at, this.mask(value, size), true);
  }
  private effectiveAddress(): bigint {
    const { view } = this.host.memory;
    const base = view.getBigUint64(this.cpu.base + this.field8(REC_RM), true);
    const index =
      view.getBigUint64(this.cpu.base + this.field8(REC_INDEX), true) << BigInt(this.field8(REC_SCALE));
    const displacement = BigInt(view.getInt32(this.record + REC_DISPLACEMENT, true));
    const mask = view.getBigUint64(this.cpu.base + CPU_OFFSET_MASKS + this.field8(REC_MASK), true);
    const offset = (base + index + displacement) & mask;
    return this.inSlot(this.field8(REC_SEGMENT), offset);
  }
  private inSlot(slot: number, offset: bigint): bigint {
    const { view } = this.host.memory;
    const at = this.cpu.base + CPU_SEG_SLOTS + slot;
    return (offset + view.getBigUint64(at, true)) & view.getBigUint64(at + 8, true);
  }
  private loadRm(size: number): bigint {
    if (this.variant.shape.memory) return this.read(this.effectiveAddress(), size);
    return this.register(this.field8(REC_RM), size);
  }
  /** Memory gets 16 bits; a register as many as the operand size says. */
  private storeRm(value: bigint): void {
    if (this.variant.shape.memory) this.write(this.effectiveAddress(), value, 2);
    else this.setRegister(this.field8(REC_RM), value, this.size);
  }

  // -------------------------------------------------------------- memory

  private translate(address: bigint, write: boolean): number {
    const at = BigInt.asUintN(64, address);
    const host = this.host.translate(Number(at & 0xffffffffn) | 0, Number(at >> 32n) | 0, write);
    if (host === 0) throw NOTED;
    return host;
  }
  private read(address: bigint, size: number): bigint {
    if (size === 8 && (address & 0xfffn) <= 0xff8n) {
      return this.host.memory.view.getBigUint64(this.translate(address, false), true);
    }
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) {
      value = (value << 8n) | BigInt(this.host.memory.u8[this.translate(address + BigInt(i), false)]!);
    }
    return value;
  }
  private write(address: bigint, value: bigint, size: number): void {
    const hosts: number[] = [];
    for (let i = 0; i < size; i++) hosts.push(this.translate(address + BigInt(i), true));
    for (const [i, host] of hosts.entries()) {
      this.host.memory.u8[host] = Number((value >> BigInt(8 * i)) & 0xffn);
      this.host.memory.noteWrite(host - this.host.memory.framesBase, 1);
    }
  }
  private stackAddress(depth: number): bigint {
    const long = this.cpu.longMode;
    const pointer = this.register(RSP * 8, long ? 8 : 4) + BigInt(depth);
    if (long) return this.mask(pointer, 8);
    return this.inSlot((1 + SS) * SEG_SLOT_SIZE, this.mask(pointer, 4));
  }
  private peek(size: number, depth: number): bigint {
    return this.read(this.stackAddress(depth), size);
  }
  private dropStack(bytes: number): void {
    const size = this.cpu.longMode ? 8 : 4;
    this.setRegister(RSP * 8, this.register(RSP * 8, size) + BigInt(bytes), size);
  }

  // -------------------------------------------------------------- segments

  private descriptor(selector: number, vector: number): LoadedDescriptor {
    const words = this.host.hooks.readDescriptor(selector);
    if (words === undefined) throw new Raised(vector, selector & 0xfffc);
    return parseDescriptor(words.low, words.high);
  }

  private loadSegment(segment: number, selector: number): void {
    const { cpu } = this;
    const rpl = selector & 3;
    const error = selector & 0xfffc;
    if (error === 0) {
      if (segment === SS && !(cpu.longMode && cpu.cpl < 3 && rpl === cpu.cpl)) throw new Raised(VECTOR_GP, 0);
      cpu.setSegment(segment, selector, 0, 0, 0);
      return;
    }
    const found = this.descriptor(selector, VECTOR_GP);
    const { attributes } = found;
    const code = (attributes & ATTR_TYPE_CODE) !== 0;
    if ((attributes & ATTR_S) === 0) throw new Raised(VECTOR_GP, error);
    if (segment === SS) {
      if (rpl !== cpu.cpl || found.dpl !== cpu.cpl || code || (attributes & ATTR_TYPE_WRITE) === 0) {
        throw new Raised(VECTOR_GP, error);
      }
      if ((attributes & ATTR_P) === 0) throw new Raised(VECTOR_SS, error);
    } else {
      if (code && (attributes & ATTR_TYPE_READ) === 0) throw new Raised(VECTOR_GP, error);
      const conforming = code && (attributes & ATTR_TYPE_CONFORMING) !== 0;
      if (!conforming && (rpl > found.dpl || cpu.cpl > found.dpl)) throw new Raised(VECTOR_GP, error);
      if ((attributes & ATTR_P) === 0) throw new Raised(VECTOR_NP, error);
    }
    this.noteAccessed(selector, attributes);
    cpu.setSegment(segment, selector, attributes, found.limit, found.base);
  }

  private noteAccessed(selector: number, attributes: number): void {
    if ((attributes & ATTR_TYPE_ACCESSED) === 0) this.host.hooks.noteAccessed?.(selector);
  }

  /** Checks a code segment for a transfer that keeps or lowers privilege; returns it. */
  private codeSegment(selector: number, returning: boolean): LoadedDescriptor {
    const { cpu } = this;
    const error = selector & 0xfffc;
    if (error === 0) throw new Raised(VECTOR_GP, 0);
    const found = this.descriptor(selector, VECTOR_GP);
    const { attributes, dpl } = found;
    if ((attributes & (ATTR_S | ATTR_TYPE_CODE)) !== (ATTR_S | ATTR_TYPE_CODE))
      throw new Raised(VECTOR_GP, error);
    const rpl = selector & 3;
    const conforming = (attributes & ATTR_TYPE_CONFORMING) !== 0;
    if (returning) {
      if (rpl < cpu.cpl || (conforming ? dpl > rpl : dpl !== rpl)) throw new Raised(VECTOR_GP, error);
    } else if (conforming ? dpl > cpu.cpl : rpl > cpu.cpl || dpl !== cpu.cpl) {
      throw new Raised(VECTOR_GP, error);
    }
    if ((attributes & ATTR_L) !== 0 && (attributes & ATTR_D) !== 0) throw new Raised(VECTOR_GP, error);
    if ((attributes & ATTR_P) === 0) throw new Raised(VECTOR_NP, error);
    return found;
  }

  private setRip(value: bigint): void {
    const v = BigInt.asUintN(64, value);
    this.cpu.set(0x0a8, Number(v & 0xffffffffn) | 0, Number(v >> 32n) | 0);
    this.cpu.set(REG_PAGE, Number(v & 0xfffff000n) | 0, Number(v >> 32n) | 0);
  }

  private enterCode(selector: number, code: LoadedDescriptor, rip: bigint, size: number): void {
    const long = (code.attributes & ATTR_L) !== 0;
    const target = this.mask(rip, Math.min(size, long ? 8 : 4));
    if (long && BigInt.asUintN(64, BigInt.asIntN(48, target)) !== target) throw new Raised(VECTOR_GP, 0);
    if (!long && target > BigInt(code.limit)) throw new Raised(VECTOR_GP, 0);
    this.noteAccessed(selector, code.attributes);
    this.cpu.setSegment(CS, selector, code.attributes, code.limit, code.base);
    this.setRip(target);
  }

  private farTransfer(call: boolean, next: bigint): void {
    const { cpu, variant } = this;
    let offset: bigint;
    let selector: number;
    if (variant.shape.memory) {
      const address = this.effectiveAddress();
      offset = this.read(address, this.size);
      selector = Number(this.read(address + BigInt(this.size), 2));
    } else {
      offset = BigInt(this.host.memory.view.getUint32(this.record + REC_IMMEDIATE, true));
      selector = this.extra() & 0xffff;
    }
    const code = this.codeSegment(selector, false);
    const entered = (selector & 0xfffc) | cpu.cpl;
    if (call) {
      this.write(this.stackAddress(-this.size), BigInt(cpu.selector(CS)), this.size);
      this.write(this.stackAddress(-2 * this.size), next, this.size);
      const stack = -2 * this.size;
      this.enterCode(entered, code, offset, this.size);
      this.dropStack(stack);
    } else {
      this.enterCode(entered, code, offset, this.size);
    }
  }

  private farReturn(drop: number): void {
    const { cpu, size } = this;
    const rip = this.peek(size, 0);
    const selector = Number(this.peek(size, size) & 0xffffn);
    const code = this.codeSegment(selector, true);
    if ((selector & 3) === cpu.cpl) {
      this.dropStackLater(2 * size + drop, () => this.enterCode(selector, code, rip, size));
      return;
    }
    const rsp = this.peek(size, 2 * size + drop);
    const ss = Number(this.peek(size, 3 * size + drop) & 0xffffn);
    this.outward(selector, code, rip, size, rsp + BigInt(drop), ss);
  }

  /** The stack pointer's width is that of the mode left, so it moves before the mode changes, if nothing faults. */
  private dropStackLater(bytes: number, enter: () => void): void {
    const width = this.cpu.longMode ? 8 : 4;
    const moved = this.register(RSP * 8, width) + BigInt(bytes);
    enter();
    this.setRegister(RSP * 8, moved, width);
  }

  /** Returns to a lower privilege: stack and data segments are reloaded. */
  private outward(
    selector: number,
    code: LoadedDescriptor,
    rip: bigint,
    size: number,
    rsp: bigint,
    ss: number,
  ): void {
    const { cpu } = this;
    const before = cpu.cpl;
    const oldCs = [cpu.selector(CS), cpu.attributes(CS), cpu.limit(CS), cpu.segmentBase(CS)] as const;
    const oldRip = BigInt(cpu.rip);
    this.enterCode(selector, code, rip, size);
    cpu.cpl = selector & 3;
    try {
      this.loadSegment(SS, ss);
    } catch (error) {
      cpu.cpl = before;
      cpu.setSegment(CS, ...oldCs);
      this.setRip(oldRip);
      throw error;
    }
    this.setRegister(RSP * 8, rsp, size);
  }

  private interruptReturn(): void {
    const { cpu, size } = this;
    const rip = this.peek(size, 0);
    const selector = Number(this.peek(size, size) & 0xffffn);
    const flags = Number(this.peek(size, 2 * size) & 0xffffffffn);
    const code = this.codeSegment(selector, true);
    const popsStack = cpu.longMode || (selector & 3) !== cpu.cpl;
    const before = cpu.cpl;
    if (popsStack) {
      const rsp = this.peek(size, 3 * size);
      const ss = Number(this.peek(size, 4 * size) & 0xffffn);
      if ((selector & 3) !== before) this.outward(selector, code, rip, size, rsp, ss);
      else {
        const keep = [cpu.selector(SS), cpu.attributes(SS), cpu.limit(SS), cpu.segmentBase(SS)] as const;
        this.loadSegment(SS, ss);
        try {
          this.enterCode(selector, code, rip, size);
        } catch (error) {
          cpu.setSegment(SS, ...keep);
          throw error;
        }
        this.setRegister(RSP * 8, rsp, size);
      }
    } else {
      this.dropStackLater(3 * size, () => this.enterCode(selector, code, rip, size));
    }
    const iopl = (cpu.rflags >> 12) & 3;
    let keep = FLAG_VM;
    if (before > 0) keep |= FLAG_IOPL;
    if (before > iopl) keep |= FLAG_IF;
    if (size === 2) keep |= ~0xffff | 0;
    cpu.rflags = (((flags & ~keep) | (cpu.rflags & keep)) & 0x3f7fd7 & ~FLAG_RF) | 2;
  }

  // -------------------------------------------------------------- descriptor look-ups

  private setZero(zero: boolean): void {
    this.cpu.rflags = (this.cpu.rflags & ~FLAG_ZF) | (zero ? FLAG_ZF : 0);
  }

  private inspect(mnemonic: string): void {
    const { cpu } = this;
    const selector = Number(this.loadRm(2));
    const words = (selector & 0xfffc) === 0 ? undefined : this.host.hooks.readDescriptor(selector);
    if (words === undefined) {
      this.setZero(false);
      return;
    }
    const found = parseDescriptor(words.low, words.high);
    const { attributes } = found;
    const system = (attributes & ATTR_S) === 0;
    const code = (attributes & ATTR_TYPE_CODE) !== 0;
    const conforming = !system && code && (attributes & ATTR_TYPE_CONFORMING) !== 0;
    let good = conforming || (found.dpl >= cpu.cpl && found.dpl >= (selector & 3));
    if (mnemonic === 'VERR') good &&= !system && (!code || (attributes & ATTR_TYPE_READ) !== 0);
    else if (mnemonic === 'VERW') good &&= !system && !code && (attributes & ATTR_TYPE_WRITE) !== 0;
    else if (system) {
      const type = attributes & 15;
      good &&= type === 2 || type === 9 || type === 11 || (mnemonic === 'LAR' && type === 12);
    }
    if (good) {
      if (mnemonic === 'LAR') {
        // Bits 16 to 19 are undefined by the manual; processors leave the limit's in them.
        this.setRegister(this.field8(REC_REG), BigInt((words.high & 0x00ffff00) >>> 0), this.size);
      } else if (mnemonic === 'LSL') this.setRegister(this.field8(REC_REG), BigInt(found.limit), this.size);
    }
    this.setZero(good);
  }

  /** SGDT, SIDT: the limit, and the base in 8 bytes or 4. */
  private storeTable(interrupts: boolean): void {
    const { tables } = this.host.hooks;
    const limit = (interrupts ? tables?.idtLimit : tables?.gdtLimit) ?? 0;
    const base = (interrupts ? tables?.idtBase : tables?.gdtBase) ?? 0;
    const size = this.cpu.longMode ? 8 : 4;
    const value = (this.mask(BigInt(base), size) << 16n) | BigInt(limit);
    this.write(this.effectiveAddress(), value, 2 + size);
  }

  /** No interrupt comes before the instruction at `next` has been executed. */
  private shadow(next: bigint): void {
    this.cpu.set(CPU_INTERRUPT_SHADOW, Number(next & 0xffffffffn) | 0, Number(next >> 32n) | 0);
  }

  private adjustRpl(): void {
    const destination = Number(this.loadRm(2));
    const source = Number(this.register(this.field8(REC_REG), 2));
    const raise = (destination & 3) < (source & 3);
    if (raise) {
      const value = BigInt((destination & ~3) | (source & 3));
      if (this.variant.shape.memory) this.write(this.effectiveAddress(), value, 2);
      else this.setRegister(this.field8(REC_RM), value, 2);
    }
    this.setZero(raise);
  }
}

const POPPED: Readonly<Record<number, number>> = { 7: ES, 23: SS, 31: DS, 417: FS, 425: GS };
