/**
 * The instruction at which the processor stopped, for a hypervisor that executes it: what it is, and its operands. The
 * view reads the decoded record, so it is good until the processor runs again.
 */
import { CPU_OFFSET_MASKS, CPU_SEG_SLOTS } from '../layout.ts';
import type { Gva, HostAddress, MachineMemory } from '../memory.ts';
import {
  REC_DISPLACEMENT,
  REC_EXTRA,
  REC_IMMEDIATE,
  REC_INDEX,
  REC_LENGTH,
  REC_MASK,
  REC_RM,
  REC_SCALE,
  REC_SEGMENT,
} from './record.ts';
import { addressedStack } from './stack-fault.ts';
import type { VcpuState } from './state.ts';
import type { Variant } from './variants.ts';

export class InstructionView {
  /** As the manual writes it; see `instructions/`. */
  readonly mnemonic: string;
  /** The last byte of the opcode. */
  readonly opcode: number;
  /** Operand size in bytes: 2, 4 or 8. */
  readonly size: number;
  /** Address size in bytes of a string instruction: 2, 4 or 8. */
  readonly addressSize: number;
  /** A REP prefix: 0xf2 or 0xf3, else 0. */
  readonly repeat: number;
  /** ModRM.rm names memory, not a register. */
  readonly inMemory: boolean;
  /** Bytes. */
  readonly length: number;
  private readonly memory: MachineMemory;
  private readonly cpu: VcpuState;
  private readonly record: HostAddress;
  private readonly variant: Variant;

  constructor(memory: MachineMemory, cpu: VcpuState, record: HostAddress, variant: Variant) {
    const { definition, shape } = variant;
    this.memory = memory;
    this.cpu = cpu;
    this.record = record;
    this.variant = variant;
    this.mnemonic = definition.mnemonic;
    this.opcode = definition.opcode;
    this.size = shape.size;
    this.addressSize = shape.addressSize;
    this.repeat = shape.repeat;
    this.inMemory = shape.memory;
    this.length = memory.u8[record + REC_LENGTH]!;
  }

  /** The general register in ModRM.rm, by number. */
  get register(): number {
    return this.memory.u8[this.record + REC_RM]! >> 3;
  }

  /** The control or debug register in ModRM.reg, by number. */
  get specialRegister(): number {
    return this.memory.view.getUint16(this.record + REC_EXTRA, true);
  }

  /** An immediate byte, unsigned. */
  get immediate8(): number {
    return this.memory.u8[this.record + REC_IMMEDIATE]!;
  }

  /** Number in ES CS SS DS FS GS of the segment of a memory operand; −1 where it makes no difference. */
  get segment(): number {
    return (this.memory.u8[this.record + REC_SEGMENT]! >> 4) - 1;
  }

  /** The memory operand is in the stack segment: what is wrong with its address is #SS. */
  get addressesStack(): boolean {
    return addressedStack(this.memory, this.record, this.variant);
  }

  /** The linear address of the memory operand; undefined if it is not canonical. */
  address(): Gva | undefined {
    const { view, u8 } = this.memory;
    const { base } = this.cpu;
    const register = (field: number): bigint =>
      view.getBigUint64(base + u8[this.record + field]!, true) << (field === REC_INDEX ? this.scale() : 0n);
    const displacement = BigInt(view.getInt32(this.record + REC_DISPLACEMENT, true));
    const mask = view.getBigUint64(base + CPU_OFFSET_MASKS + u8[this.record + REC_MASK]!, true);
    const offset = (register(REC_RM) + register(REC_INDEX) + displacement) & mask;
    const slot = base + CPU_SEG_SLOTS + u8[this.record + REC_SEGMENT]!;
    const linear = (offset + view.getBigUint64(slot, true)) & view.getBigUint64(slot + 8, true);
    const signed = BigInt.asIntN(64, linear);
    return BigInt.asIntN(48, signed) === signed ? Number(signed) : undefined;
  }

  private scale(): bigint {
    return BigInt(this.memory.u8[this.record + REC_SCALE]!);
  }
}
