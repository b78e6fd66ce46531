/**
 * Operands, stack and memory of the instructions that are executed in TypeScript (`system.ts`). Every access is compared
 * with its segment's bounds, and aligned where it has to be; in 64-bit mode the bounds let everything pass.
 */
import {
  CPU_ALIGN,
  CPU_OFFSET_MASKS,
  CPU_SEG_BOUNDS,
  CPU_SEG_SLOTS,
  CPU_STACK_KEEP,
  CPU_STACK_MASK,
  SEG_BOUNDS_SIZE,
  SEG_SLOT_FLAT,
  SEG_SLOT_SIZE,
} from '../layout.ts';
import type { Gva } from '../memory.ts';
import type { Exit } from './exits.ts';
import {
  REC_DISPLACEMENT,
  REC_EXTRA,
  REC_IMMEDIATE,
  REC_INDEX,
  REC_MASK,
  REC_RM,
  REC_SCALE,
  REC_SEGMENT,
} from './record.ts';
import { RSP, SS, VECTOR_AC, VECTOR_GP, VECTOR_SS } from './registers.ts';
import type { VcpuState } from './state.ts';
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

/** What executing such an instruction needs of the engine. */
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
export const NOTED = Symbol('exception noted');
/** The same, for an exception that is still to be noted. */
export class Raised {
  readonly vector: number;
  readonly error: number;
  constructor(vector: number, error: number) {
    this.vector = vector;
    this.error = error;
  }
}

/** A place in memory: the segment's slot, as a number, and the offset in it. */
export interface Place {
  readonly slot: number;
  readonly offset: bigint;
}

const STACK_SLOT = 1 + SS;

export class SystemOperands {
  protected readonly host: SystemHost;
  protected readonly cpu: VcpuState;
  protected readonly record: number;
  protected readonly variant: Variant;
  protected readonly size: number;

  constructor(host: SystemHost, record: number, variant: Variant) {
    this.host = host;
    this.cpu = host.cpu;
    this.record = record;
    this.variant = variant;
    this.size = variant.shape.size;
  }

  // -------------------------------------------------------------- operands

  protected field8(offset: number): number {
    return this.host.memory.u8[this.record + offset]!;
  }
  protected extra(): number {
    return this.host.memory.view.getUint16(this.record + REC_EXTRA, true);
  }
  protected immediate16(): number {
    return this.host.memory.view.getUint16(this.record + REC_IMMEDIATE, true);
  }
  protected mask(value: bigint, size: number): bigint {
    return BigInt.asUintN(size * 8, value);
  }
  private state64(offset: number): bigint {
    return this.host.memory.view.getBigUint64(this.cpu.base + offset, true);
  }
  protected register(offset: number, size: number): bigint {
    return this.mask(this.state64(offset), size);
  }
  protected setRegister(offset: number, value: bigint, size: number): void {
    const { view } = this.host.memory;
    const at = this.cpu.base + offset;
    if (size === 2) view.setUint16(at, Number(value & 0xffffn), true);
    else view.setBigUint64(at, this.mask(value, size), true);
  }
  /** Where the operand that ModRM names lies. */
  protected memoryOperand(): Place {
    const { view } = this.host.memory;
    const base = this.state64(this.field8(REC_RM));
    const index = this.state64(this.field8(REC_INDEX)) << BigInt(this.field8(REC_SCALE));
    const displacement = BigInt(view.getInt32(this.record + REC_DISPLACEMENT, true));
    const offset = (base + index + displacement) & this.offsetMask();
    return { slot: this.field8(REC_SEGMENT) / SEG_SLOT_SIZE, offset };
  }
  private offsetMask(): bigint {
    return this.state64(CPU_OFFSET_MASKS + this.field8(REC_MASK));
  }
  /** `bytes` further on than a memory operand. */
  protected further(place: Place, bytes: number): Place {
    return { slot: place.slot, offset: (place.offset + BigInt(bytes)) & this.offsetMask() };
  }
  protected loadRm(size: number): bigint {
    if (this.variant.shape.memory) return this.read(this.memoryOperand(), size);
    return this.register(this.field8(REC_RM), size);
  }
  /** Memory gets 16 bits; a register as many as the operand size says. */
  protected storeRm(value: bigint): void {
    if (this.variant.shape.memory) this.write(this.memoryOperand(), value, 2);
    else this.setRegister(this.field8(REC_RM), value, this.size);
  }

  // -------------------------------------------------------------- memory

  /** The linear address of `size` bytes, if the segment lets them be accessed. */
  private linear(place: Place, size: number, write: boolean): bigint {
    const { slot, offset } = place;
    const bounds = CPU_SEG_BOUNDS + slot * SEG_BOUNDS_SIZE;
    const end = this.state64(bounds + (write ? 16 : 8));
    if (offset < this.state64(bounds) || this.mask(offset + BigInt(size), 8) > end) {
      throw new Raised(slot === STACK_SLOT ? VECTOR_SS : VECTOR_GP, 0);
    }
    const at = CPU_SEG_SLOTS + slot * SEG_SLOT_SIZE;
    const address = (offset + this.state64(at)) & this.state64(at + 8);
    const aligns = (size & (size - 1)) === 0 && this.cpu.low(CPU_ALIGN) !== 0;
    if (aligns && (address & BigInt(size - 1)) !== 0n) throw new Raised(VECTOR_AC, 0);
    return address;
  }
  private translate(address: bigint, write: boolean): number {
    const at = this.mask(address, this.cpu.longMode ? 8 : 4);
    const host = this.host.translate(Number(at & 0xffffffffn) | 0, Number(at >> 32n) | 0, write);
    if (host === 0) throw NOTED;
    return host;
  }
  protected read(place: Place, size: number): bigint {
    const address = this.linear(place, size, false);
    if (size === 8 && (address & 0xfffn) <= 0xff8n) {
      return this.host.memory.view.getBigUint64(this.translate(address, false), true);
    }
    // Upwards: a fault is at the first byte that cannot be read.
    let value = 0n;
    for (let i = 0; i < size; i++) {
      const byte = this.host.memory.u8[this.translate(address + BigInt(i), false)]!;
      value |= BigInt(byte) << BigInt(8 * i);
    }
    return value;
  }
  protected write(place: Place, value: bigint, size: number): void {
    const address = this.linear(place, size, true);
    const hosts: number[] = [];
    for (let i = 0; i < size; i++) hosts.push(this.translate(address + BigInt(i), true));
    for (const [i, host] of hosts.entries()) {
      this.host.memory.u8[host] = Number((value >> BigInt(8 * i)) & 0xffn);
      this.host.memory.noteWrite(host - this.host.memory.framesBase, 1);
    }
  }

  // -------------------------------------------------------------- the stack

  /** rSP moved by so many bytes: only as much of it moves as the stack is wide. `long`: the stack is that of 64-bit mode. */
  protected movedStack(bytes: number, long = this.cpu.longMode): bigint {
    const whole = this.register(RSP * 8, 8);
    if (long) return this.mask(whole + BigInt(bytes), 8);
    return (whole & this.state64(CPU_STACK_KEEP)) | ((whole + BigInt(bytes)) & this.state64(CPU_STACK_MASK));
  }
  /** The place `depth` bytes above the top of the stack. */
  protected stackTop(depth: number, long = this.cpu.longMode): Place {
    const moved = this.movedStack(depth, long);
    if (long) return { slot: SEG_SLOT_FLAT, offset: moved };
    return { slot: STACK_SLOT, offset: moved & this.state64(CPU_STACK_MASK) };
  }
  protected peek(size: number, depth: number): bigint {
    return this.read(this.stackTop(depth), size);
  }
}
