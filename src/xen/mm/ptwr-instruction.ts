/**
 * Decoding the instructions that kernels use to store into a page table: as much of the opcode map as writes memory with
 * general registers, and no more.
 *
 *     prefixes  opcode  ModRM  SIB  displacement  immediate
 *
 * The result is one record that is used again and again: what to do (`operation`), with what, and where. Everything else,
 * vector stores and the far corners of the map included, is not recognized, and the guest gets its page fault.
 * (Intel SDM volume 2, chapter 2 and appendix A.)
 */

import { CS, DS, ES, FS, GS, RBP, RDI, RSP, SS } from '../../machine/x86/registers.ts';
import type { VcpuState } from '../../machine/x86/state.ts';

/** What an instruction does to its memory operand. The first seven are numbered as the opcodes number them. */
export const Operation = {
  Add: 0,
  Or: 1,
  Adc: 2,
  Sbb: 3,
  And: 4,
  Sub: 5,
  Xor: 6,
  /** Not a store: CMP has the eighth number. */
  None: 7,
  Mov: 8,
  Xchg: 9,
  Inc: 10,
  Dec: 11,
  Not: 12,
  Neg: 13,
  Bts: 14,
  Btr: 15,
  Btc: 16,
  Cmpxchg: 17,
  Xadd: 18,
  Stos: 19,
  Movs: 20,
  Cmpxchg8b: 21,
} as const;
export type Operation = (typeof Operation)[keyof typeof Operation];

/** The source is the immediate, not a register. */
export const NO_REGISTER = -1;
export const LONGEST_INSTRUCTION = 15;
const NO_OVERRIDE = -1;
/** Attribute bit D of a code segment: 32-bit operands and addresses. */
const ATTR_D = 0x4000;

/** ADD, OR, ADC, SBB, AND, SUB, XOR r/m, r: opcodes 00 to 31 with the low three bits 0 (bytes) or 1. */
const ALU_LIMIT = 0x32;

export class PtwrInstruction {
  operation: Operation = Operation.None;
  /** Bytes of the memory operand. */
  size = 0;
  /** Bytes of the instruction. */
  length = 0;
  /** Source register, or NO_REGISTER. */
  register = NO_REGISTER;
  /** The immediate, sign-extended to 64 bits. */
  immediateLow = 0;
  immediateHigh = 0;
  /** Linear address of the memory operand. For MOVS, the source is at `sourceLow`. */
  addressLow = 0;
  addressHigh = 0;
  /** Whether a REX prefix is there: it renames four byte registers. */
  rex = false;
  repeated = false;
  /** Addresses are 64 bits wide, else 32. */
  wideAddress = true;
  /** Segment of MOVS's source. */
  sourceSegment = DS as number;

  readonly code = new Uint8Array(LONGEST_INSTRUCTION);
  private available = 0;
  private at = 0;
  private rexBits = 0;
  private operandSize = 4;
  private segment = NO_OVERRIDE;
  private long = true;
  private modrmReg = 0;

  /** Decodes `code`, of which `available` bytes are there; false if it is none of ours. */
  decode(state: VcpuState, available: number): boolean {
    this.available = available;
    this.at = 0;
    this.long = state.longMode;
    this.register = NO_REGISTER;
    this.operation = Operation.None;
    // 16-bit code segments are not worth their own addressing forms.
    if (!this.long && (state.attributes(CS) & ATTR_D) === 0) return false;
    const recognized = this.decodeOpcode(state, this.decodePrefixes());
    this.length = this.at;
    return recognized && this.operation !== Operation.None && this.at <= this.available;
  }

  private next(): number {
    const { at } = this;
    this.at = at + 1;
    // Running off the end is noticed once, in `decode`.
    return at < this.available ? this.code[at]! : 0;
  }

  private decodePrefixes(): number {
    let narrow = false;
    let addressOverride = false;
    this.rexBits = 0;
    this.rex = false;
    this.repeated = false;
    this.segment = NO_OVERRIDE;
    let byte = this.next();
    for (; this.at <= this.available; byte = this.next()) {
      if (byte === 0x66) narrow = true;
      else if (byte === 0x67) addressOverride = true;
      else if (byte === 0xf3 || byte === 0xf2) this.repeated = true;
      else if (byte === 0x26) this.segment = ES;
      else if (byte === 0x2e) this.segment = CS;
      else if (byte === 0x36) this.segment = SS;
      else if (byte === 0x3e) this.segment = DS;
      else if (byte === 0x64) this.segment = FS;
      else if (byte === 0x65) this.segment = GS;
      else if (byte !== 0xf0) break;
    }
    if (this.long && (byte & 0xf0) === 0x40) {
      this.rex = true;
      this.rexBits = byte & 15;
      byte = this.next();
    }
    this.operandSize = (this.rexBits & 8) !== 0 ? 8 : narrow ? 2 : 4;
    this.wideAddress = this.long && !addressOverride;
    // Outside 64-bit mode the prefix would select 16-bit addresses: refused in `decodeAddress`.
    if (!this.long && addressOverride) this.at = this.available + 1;
    return byte;
  }

  private decodeOpcode(state: VcpuState, opcode: number): boolean {
    // Bit 0 of most opcodes: 0 bytes, 1 the operand size.
    const sized = (opcode & 1) === 0 ? 1 : this.operandSize;
    if (opcode < ALU_LIMIT && (opcode & 7) < 2) {
      return this.store((opcode >> 3) as Operation, sized, state);
    }
    switch (opcode) {
      case 0x0f:
        return this.decodeTwoByte(state, this.next());
      case 0x80:
      case 0x81:
      case 0x83:
        this.decodeModRM(state, opcode === 0x81 ? Math.min(sized, 4) : 1);
        return this.immediate((this.modrmReg & 7) as Operation, sized, opcode === 0x81 ? sized : 1);
      case 0x86:
      case 0x87:
        return this.store(Operation.Xchg, sized, state);
      case 0x88:
      case 0x89:
        return this.store(Operation.Mov, sized, state);
      case 0xa2:
      case 0xa3:
        return this.storeAccumulator(sized, state);
      case 0xa4:
      case 0xa5:
      case 0xaa:
      case 0xab:
        return this.decodeString(opcode < 0xa8 ? Operation.Movs : Operation.Stos, sized, state);
      case 0xc6:
      case 0xc7:
        this.decodeModRM(state, Math.min(sized, 4));
        return (this.modrmReg & 7) === 0 && this.immediate(Operation.Mov, sized, sized);
      case 0xf6:
      case 0xf7:
        this.decodeModRM(state, 0);
        this.size = sized;
        this.operation =
          (this.modrmReg & 7) === 2
            ? Operation.Not
            : (this.modrmReg & 7) === 3
              ? Operation.Neg
              : Operation.None;
        return true;
      case 0xfe:
      case 0xff:
        this.decodeModRM(state, 0);
        this.size = sized;
        this.operation =
          (this.modrmReg & 7) === 0
            ? Operation.Inc
            : (this.modrmReg & 7) === 1
              ? Operation.Dec
              : Operation.None;
        return true;
      default:
        return false;
    }
  }

  private decodeTwoByte(state: VcpuState, opcode: number): boolean {
    const sized = (opcode & 1) === 0 ? 1 : this.operandSize;
    switch (opcode) {
      case 0xab:
        return this.bitString(Operation.Bts, state);
      case 0xb3:
        return this.bitString(Operation.Btr, state);
      case 0xbb:
        return this.bitString(Operation.Btc, state);
      case 0xba: {
        this.decodeModRM(state, 1);
        const which = this.modrmReg & 7;
        if (which < 5) return false;
        this.immediate((Operation.Bts + which - 5) as Operation, this.operandSize, 1);
        this.immediateLow &= this.operandSize * 8 - 1;
        return true;
      }
      case 0xb0:
      case 0xb1:
        return this.store(Operation.Cmpxchg, sized, state);
      case 0xc0:
      case 0xc1:
        return this.store(Operation.Xadd, sized, state);
      case 0xc3:
        // MOVNTI has no 16-bit form.
        return this.store(Operation.Mov, this.operandSize === 8 ? 8 : 4, state);
      case 0xc7:
        this.decodeModRM(state, 0);
        this.size = 8;
        // With REX.W it is CMPXCHG16B, which is wider than an entry.
        this.operation =
          (this.modrmReg & 7) === 1 && (this.rexBits & 8) === 0 ? Operation.Cmpxchg8b : Operation.None;
        return true;
      default:
        return false;
    }
  }

  /** `operation` r/m, r. */
  private store(operation: Operation, size: number, state: VcpuState): boolean {
    this.decodeModRM(state, 0);
    this.operation = operation;
    this.size = size;
    this.register = this.modrmReg;
    return true;
  }

  /** Reads an immediate of `bytes` (8 means 4, sign-extended) for `operation` on `size` bytes. */
  private immediate(operation: Operation, size: number, bytes: number): boolean {
    this.operation = operation;
    this.size = size;
    this.immediateLow = this.signed(Math.min(bytes, 4));
    this.immediateHigh = this.immediateLow >> 31;
    return true;
  }

  private signed(bytes: number): number {
    let value = 0;
    for (let i = 0; i < bytes; i++) value |= this.next() << (i * 8);
    const unused = 32 - bytes * 8;
    return (value << unused) >> unused;
  }

  /** MOV moffs, accumulator. */
  private storeAccumulator(size: number, state: VcpuState): boolean {
    this.addressLow = this.signed(4);
    this.addressHigh = this.wideAddress ? this.signed(4) : 0;
    this.addSegment(state, DS);
    this.operation = Operation.Mov;
    this.size = size;
    this.register = 0;
    return true;
  }

  private decodeString(operation: Operation, size: number, state: VcpuState): boolean {
    this.operation = operation;
    this.size = size;
    this.sourceSegment = this.segment === NO_OVERRIDE ? DS : this.segment;
    this.segment = NO_OVERRIDE;
    this.addressLow = 0;
    this.addressHigh = 0;
    this.addRegister(state, RDI, 0);
    this.addSegment(state, ES);
    return true;
  }

  /** BTS, BTR, BTC with a register: its value reaches beyond the operand, counting bits from its start. */
  private bitString(operation: Operation, state: VcpuState): boolean {
    const { operandSize } = this;
    this.store(operation, operandSize, state);
    const low = state.regLow(this.register);
    const high = state.regHigh(this.register);
    const shift = operandSize === 8 ? 6 : operandSize === 4 ? 5 : 4;
    // Signed number of whole operands, by the operand's size in bytes.
    const wide = operandSize === 8;
    const bits = operandSize === 2 ? (low << 16) >> 16 : low;
    const units = bits >> shift;
    if (wide) {
      const unitsLow = (low >>> shift) | (high << (32 - shift));
      this.add(unitsLow << 3, ((high >> shift) << 3) | (unitsLow >>> 29));
    } else this.add(units * operandSize, units < 0 ? -1 : 0);
    this.immediateLow = low & (operandSize * 8 - 1);
    this.immediateHigh = 0;
    this.register = NO_REGISTER;
    return true;
  }

  /**
   * Reads ModRM and what follows, and computes the linear address of its memory operand. `immediateBytes` are still to
   * come: an address relative to RIP counts from the instruction's end. A register operand is not a store to memory.
   */
  private decodeModRM(state: VcpuState, immediateBytes: number): void {
    const modrm = this.next();
    const mod = modrm >> 6;
    const rm = modrm & 7;
    this.modrmReg = ((modrm >> 3) & 7) | ((this.rexBits & 4) << 1);
    this.addressLow = 0;
    this.addressHigh = 0;
    if (mod === 3) {
      this.at = this.available + 1;
      return;
    }
    let segment = DS as number;
    let displacementBytes = mod === 1 ? 1 : mod === 2 ? 4 : 0;
    let ripRelative = false;
    if (rm === 4) {
      const sib = this.next();
      const index = ((sib >> 3) & 7) | ((this.rexBits & 2) << 2);
      const base = (sib & 7) | ((this.rexBits & 1) << 3);
      if (index !== RSP) this.addRegister(state, index, sib >> 6);
      if ((sib & 7) === RBP && mod === 0) displacementBytes = 4;
      else {
        this.addRegister(state, base, 0);
        if (base === RSP || base === RBP) segment = SS;
      }
    } else if (rm === 5 && mod === 0) {
      displacementBytes = 4;
      ripRelative = this.long;
    } else {
      const base = rm | ((this.rexBits & 1) << 3);
      this.addRegister(state, base, 0);
      if (base === RBP) segment = SS;
    }
    const displacement = displacementBytes === 0 ? 0 : this.signed(displacementBytes);
    this.add(displacement, displacement >> 31);
    if (ripRelative) {
      const end = state.rip + this.at + immediateBytes;
      this.add(end | 0, Math.floor(end / 4294967296) | 0);
    }
    if (!this.wideAddress) this.addressHigh = 0;
    this.addSegment(state, segment);
  }

  private add(low: number, high: number): void {
    const sum = (this.addressLow >>> 0) + (low >>> 0);
    this.addressLow = sum | 0;
    this.addressHigh = (this.addressHigh + high + (sum > 0xffffffff ? 1 : 0)) | 0;
  }

  private addRegister(state: VcpuState, register: number, shift: number): void {
    const low = state.regLow(register);
    const high = state.regHigh(register);
    this.add(low << shift, shift === 0 ? high : (high << shift) | (low >>> (32 - shift)));
    if (!this.wideAddress) this.addressHigh = 0;
  }

  private addSegment(state: VcpuState, standard: number): void {
    if (!this.wideAddress) this.addressHigh = 0;
    const segment = this.segment === NO_OVERRIDE ? standard : this.segment;
    // In 64-bit mode only FS and GS have a base.
    if (this.long && segment !== FS && segment !== GS) return;
    const base = state.segmentBase(segment);
    this.add(base | 0, Math.floor(base / 4294967296) | 0);
    if (!this.long) this.addressHigh = 0;
  }
}
