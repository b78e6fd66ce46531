/**
 * Instructions that generated code leaves to TypeScript (`Exit.System`): loads of segment registers, far transfers,
 * descriptor look-ups. They are rare in a 64-bit guest, so clarity wins: addresses here are BigInt.
 *
 * Follows the Intel SDM volume 2 (MOV, POP, LDS, JMP, CALL, RET, IRET, LAR, LSL, VERR) and volume 3A, chapter 5. A call
 * gate leads to code of the same privilege; one that leads inward is left to the hypervisor, who has the stacks for it.
 * There are no task switches: a far transfer to a task is #GP, as it is in long mode.
 */
import { CPU, CPU_CR0, CPU_EXIT_RECORD, CPU_INTERRUPT_SHADOW, CPU_RIP } from '../layout.ts';
import { type LoadedDescriptor, parseDescriptor } from './descriptor.ts';
import { Exit } from './exits.ts';
import { GuestFault } from './guest-memory.ts';
import { returnedFlags, returnToSameSegments } from './interrupt-return.ts';
import { REC_IMMEDIATE, REC_LENGTH, REC_REG, REC_RM } from './record.ts';
import {
  CS,
  DS,
  ES,
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
import {
  ATTR_D,
  ATTR_DPL_SHIFT,
  ATTR_L,
  ATTR_P,
  ATTR_S,
  ATTR_TYPE_CODE,
  ATTR_TYPE_CONFORMING,
  ATTR_TYPE_READ,
  ATTR_TYPE_WRITE,
} from './state.ts';
import { NOTED, Raised, type SystemHost, SystemOperands } from './system-operands.ts';

export type { SystemHooks, SystemTables } from './system-operands.ts';

const ATTR_TYPE_ACCESSED = 0x001;
/** Types of system descriptors. */
const TYPE_MASK = 0x00f;
const TYPE_CALL_GATE = 0x00c;
const EFER_LMA = 1 << 10;

/**
 * Executes the instruction at which the engine left with `Exit.System`. `Exit.Decode`: done, RIP moved on;
 * `Exit.Exception`: noted; `Exit.System`: not an instruction of this file.
 */
export function executeSystem(host: SystemHost): Exit {
  const record = host.memory.u32[(CPU + CPU_EXIT_RECORD) >> 2]!;
  const variant = host.variantAt(record);
  if (variant === undefined) return Exit.System;
  const isReturn = variant.definition.mnemonic === 'IRET' && variant.shape.size === 8;
  const instruction = new SystemInstruction(host, record, variant);
  try {
    if (isReturn && returnToSameSegments(host)) return Exit.Decode;
    return instruction.execute() ? Exit.Decode : Exit.System;
  } catch (error) {
    if (error === NOTED || error instanceof GuestFault) return Exit.Exception;
    if (error instanceof Raised) return host.raise(error.vector, error.error);
    throw error;
  }
}

class SystemInstruction extends SystemOperands {
  execute(): boolean {
    const { definition } = this.variant;
    const next = this.mask(BigInt(this.cpu.rip) + BigInt(this.field8(REC_LENGTH)), this.cpu.longMode ? 8 : 4);
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
        const moved = this.movedStack(this.size);
        this.loadSegment(segment, selector);
        this.setRegister(RSP * 8, moved, 8);
        if (segment === SS) this.shadow(next);
        break;
      }
      case 'LES':
      case 'LDS':
      case 'LSS':
      case 'LFS':
      case 'LGS': {
        const pointer = this.memoryOperand();
        const offset = this.read(pointer, this.size);
        const selector = Number(this.read(this.further(pointer, this.size), 2));
        const segment = { LES: ES, LDS: DS, LSS: SS, LFS: FS, LGS: GS }[definition.mnemonic];
        this.loadSegment(segment, selector);
        this.setRegister(this.field8(REC_REG), offset, this.size);
        break;
      }
      case 'JMPF':
      case 'CALLF':
        return this.farTransfer(definition.mnemonic === 'CALLF', next);
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
    this.cpu.set(CPU_RIP, Number(v & 0xffffffffn) | 0, Number(v >> 32n) | 0);
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

  /** Returns false where a call gate leads to a more privileged level. */
  private farTransfer(call: boolean, next: bigint): boolean {
    const { cpu, variant } = this;
    let { size } = this;
    let offset: bigint;
    let selector: number;
    if (variant.shape.memory) {
      const pointer = this.memoryOperand();
      offset = this.read(pointer, size);
      selector = Number(this.read(this.further(pointer, size), 2));
    } else {
      offset = BigInt(this.host.memory.view.getUint32(this.record + REC_IMMEDIATE, true));
      selector = this.extra() & 0xffff;
    }
    const gate = this.callGate(selector);
    if (gate !== undefined) {
      ({ selector, offset } = gate);
      size = 8;
      if (call && this.leadsInward(selector)) return false;
    }
    const code = this.codeSegment(selector, false);
    if (gate !== undefined && (code.attributes & ATTR_L) === 0)
      throw new Raised(VECTOR_GP, selector & 0xfffc);
    const entered = (selector & 0xfffc) | cpu.cpl;
    // A call from compatibility mode to 64-bit code pushes as 64-bit code does: the segment's limit does not matter.
    const long = cpu.longMode || (code.attributes & ATTR_L) !== 0;
    const moved = this.movedStack(-2 * size, long);
    if (call) {
      this.write(this.stackTop(-size, long), BigInt(cpu.selector(CS)), size);
      this.write(this.stackTop(-2 * size, long), next, size);
    }
    this.enterCode(entered, code, offset, size);
    if (call) this.setRegister(RSP * 8, moved, 8);
    return true;
  }

  /**
   * Where a call gate leads; undefined if the selector does not name one. In long mode a gate has 64 bits and takes two
   * entries (Intel SDM 3A, 5.8.3.1). The requested privilege of the selector in it is not looked at.
   */
  private callGate(selector: number): { selector: number; offset: bigint } | undefined {
    const { cpu, host } = this;
    const error = selector & 0xfffc;
    const words = error === 0 ? undefined : host.hooks.readDescriptor(selector);
    if (words === undefined || (cpu.efer & EFER_LMA) === 0) return undefined;
    const { low, high } = words;
    const { attributes, dpl } = parseDescriptor(low, high);
    if ((attributes & (ATTR_S | TYPE_MASK)) !== TYPE_CALL_GATE) return undefined;
    if (dpl < cpu.cpl || dpl < (selector & 3)) throw new Raised(VECTOR_GP, error);
    if ((attributes & ATTR_P) === 0) throw new Raised(VECTOR_NP, error);
    const upper = host.hooks.readDescriptor(selector + 8);
    if (upper === undefined || (upper.high & 0x1f00) !== 0) throw new Raised(VECTOR_GP, error);
    const offset = (BigInt(upper.low >>> 0) << 32n) | BigInt(((high & 0xffff0000) | (low & 0xffff)) >>> 0);
    return { selector: (low >>> 16) & 0xfffc, offset };
  }

  private leadsInward(selector: number): boolean {
    const words = (selector & 0xfffc) === 0 ? undefined : this.host.hooks.readDescriptor(selector);
    if (words === undefined) return false;
    const { attributes, dpl } = parseDescriptor(words.low, words.high);
    const kind = ATTR_S | ATTR_TYPE_CODE;
    return (attributes & (kind | ATTR_TYPE_CONFORMING)) === kind && dpl < this.cpu.cpl;
  }

  private farReturn(drop: number): void {
    const { cpu, size } = this;
    // In the order in which processors look: it shows where the segment ends in the middle.
    const selector = Number(this.peek(size, size) & 0xffffn);
    const rip = this.peek(size, 0);
    if ((selector & 3) === cpu.cpl) {
      const code = this.codeSegment(selector, true);
      this.moveStackLater(2 * size + drop, () => this.enterCode(selector, code, rip, size));
      return;
    }
    const rsp = this.peek(size, 2 * size + drop);
    const ss = Number(this.peek(size, 3 * size + drop) & 0xffffn);
    const code = this.codeSegment(selector, true);
    this.outward(selector, code, rip, size, rsp + BigInt(drop), ss);
  }

  /** The stack pointer's width is that of the mode left, so it moves before the mode changes, if nothing faults. */
  private moveStackLater(bytes: number, enter: () => void): void {
    const moved = this.movedStack(bytes);
    enter();
    this.setRegister(RSP * 8, moved, 8);
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
    for (const segment of [ES, DS, FS, GS]) this.forgetPrivileged(segment);
  }

  /** A data segment that the new privilege level must not use becomes null; the bases of FS and GS stay. */
  private forgetPrivileged(segment: number): void {
    const { cpu } = this;
    const attributes = cpu.attributes(segment);
    const code = (attributes & ATTR_TYPE_CODE) !== 0;
    const conforming = code && (attributes & ATTR_TYPE_CONFORMING) !== 0;
    if ((attributes & ATTR_S) === 0 || conforming) return;
    if (((attributes >> ATTR_DPL_SHIFT) & 3) < cpu.cpl) {
      cpu.setSegment(segment, 0, 0, 0, cpu.segmentBase(segment));
    }
  }

  private interruptReturn(): void {
    const { cpu, size } = this;
    const flags = Number(this.peek(size, 2 * size) & 0xffffffffn);
    const selector = Number(this.peek(size, size) & 0xffffn);
    const rip = this.peek(size, 0);
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
      this.moveStackLater(3 * size, () => this.enterCode(selector, code, rip, size));
    }
    cpu.rflags = returnedFlags(cpu, flags, before, size);
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
    this.write(this.memoryOperand(), value, 2 + size);
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
      if (this.variant.shape.memory) this.write(this.memoryOperand(), value, 2);
      else this.setRegister(this.field8(REC_RM), value, 2);
    }
    this.setZero(raise);
  }
}

const POPPED: Readonly<Record<number, number>> = { 7: ES, 23: SS, 31: DS, 417: FS, 425: GS };
