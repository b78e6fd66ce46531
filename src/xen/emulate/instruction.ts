/**
 * The bytes of an instruction being emulated: prefixes, opcode, and the ModRM byte of those that name two registers.
 * No more than the privileged instructions need: none of them has a memory operand. (Intel SDM 2A, chapter 2.)
 */
import type { Gva } from '../../machine/memory.ts';
import { CS, DS, ES, FS, GS, SS } from '../../machine/x86/registers.ts';
import type { XenVcpu } from '../vcpu.ts';

const LONGEST = 15;

/** The instruction at a vCPU's RIP; one object is used again and again. Reading may raise `GuestFault`. */
export class InstructionBytes {
  /** 64-bit mode, as opposed to compatibility mode. */
  long = true;
  /** 0x66: 16-bit operands. */
  operand16 = false;
  /** 0x67: 32-bit addresses in 64-bit mode, 16-bit ones otherwise. */
  shortAddress = false;
  locked = false;
  /** 0xF2 or 0xF3. */
  repeated = false;
  /** Segment of a memory operand that has a default of DS. */
  segment: number = DS;
  /** Operands of a ModRM byte with two registers, REX bits included. */
  reg = 0;
  rm = 0;
  /** A repeated instruction has iterations left. */
  repeatLeft = false;
  private rex = 0;
  private at: Gva = 0;
  private begin: Gva = 0;
  private vcpu!: XenVcpu;

  start(vcpu: XenVcpu): void {
    this.vcpu = vcpu;
    this.long = vcpu.state.longMode;
    this.begin = vcpu.state.rip;
    this.at = this.begin;
    this.operand16 = this.shortAddress = this.locked = this.repeated = this.repeatLeft = false;
    this.segment = DS;
    this.rex = 0;
  }

  /** Address behind what has been read. */
  get next(): Gva {
    return this.at;
  }

  /** The next byte. Beyond 15 bytes there is no instruction; what is read then matches nothing. */
  byte(): number {
    if (this.at - this.begin >= LONGEST) return -1;
    const base = this.long ? 0 : this.vcpu.state.segmentBase(CS);
    const linear = base + this.at;
    const value = this.vcpu.guest.read8(this.long ? linear : linear % 4294967296);
    this.at++;
    return value;
  }

  /** Reads prefixes and the opcode: 0x00–0xFF, or 0x0F00–0x0FFF for the two-byte map. */
  opcode(): number {
    for (;;) {
      const byte = this.byte();
      if (this.long && (byte & 0xf0) === 0x40) {
        this.rex = byte;
        continue;
      }
      if (!this.prefix(byte)) return byte === 0x0f ? 0x0f00 | this.byte() : byte;
      // A REX prefix counts only right before the opcode.
      this.rex = 0;
    }
  }

  /** Reads ModRM: its two registers. MOV to and from control registers ignores the mode bits. */
  registers(): void {
    const modrm = this.byte();
    this.reg = ((modrm >> 3) & 7) | ((this.rex & 4) << 1);
    this.rm = (modrm & 7) | ((this.rex & 1) << 3);
  }

  private prefix(byte: number): boolean {
    switch (byte) {
      case 0x66:
        this.operand16 = true;
        return true;
      case 0x67:
        this.shortAddress = true;
        return true;
      case 0xf0:
        this.locked = true;
        return true;
      case 0xf2:
      case 0xf3:
        this.repeated = true;
        return true;
      case 0x26:
        this.segment = ES;
        return true;
      case 0x2e:
        this.segment = CS;
        return true;
      case 0x36:
        this.segment = SS;
        return true;
      case 0x3e:
        this.segment = DS;
        return true;
      case 0x64:
        this.segment = FS;
        return true;
      case 0x65:
        this.segment = GS;
        return true;
      default:
        return false;
    }
  }
}
