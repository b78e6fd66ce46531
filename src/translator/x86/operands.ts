/**
 * Operands of the intermediate form as operands of x86 instructions: registers, memory, immediates. What fits none of
 * these is brought to a scratch register first.
 */
import { TranslationError } from '../error.ts';
import type { Allocation } from '../ir/allocator.ts';
import type { Operand, Place, Register } from '../ir/instruction.ts';
import type { ValueType } from '../wasm/module.ts';
import { type Assembler, fits32 } from './assembler.ts';
import type { Memory, Rm } from './encoder.ts';
import type { Frame } from './frame.ts';
import type { CodeMark } from './marks.ts';
import type { Gpr } from './registers.ts';
import { SCRATCH, type Target } from './target.ts';

const TOP_HALF = 0x80000000n;

export class Operands {
  private readonly a: Assembler<CodeMark>;
  private readonly target: Target;
  private readonly allocation: Allocation;
  private readonly frame: Frame;

  constructor(a: Assembler<CodeMark>, target: Target, allocation: Allocation, frame: Frame) {
    this.a = a;
    this.target = target;
    this.allocation = allocation;
    this.frame = frame;
  }

  /** Where a virtual register is; undefined for one that is never live. */
  place({ id }: Register): Rm | undefined {
    const location = this.allocation.locations[id];
    return location === undefined ? undefined : this.frame.at(location);
  }

  /** The machine register that an operand is in, if it is in one. */
  registerOf(operand: Operand): Gpr | undefined {
    if (operand.kind !== 'register') return undefined;
    const place = this.place(operand);
    return typeof place === 'number' ? place : undefined;
  }

  /** The operand as an immediate of 32 bits that extends with its sign, if it is one. */
  immediate(operand: Operand): number | undefined {
    if (operand.kind !== 'constant' || !fits32(operand.value)) return undefined;
    return Number(operand.value);
  }

  /** Brings an operand to a machine register. `keepFlags`: flags stay what they are. */
  bring(to: Gpr, operand: Operand, keepFlags = false): void {
    const { a } = this;
    if (operand.kind === 'constant') {
      const value = operand.type === 'i32' ? BigInt.asUintN(32, operand.value) : operand.value;
      a.loadImmediate(to, value, keepFlags);
      return;
    }
    if (operand.kind === 'symbol') {
      a.loadSymbol(to, operand.symbol, 0, !operand.inModule);
      return;
    }
    const from = this.place(operand);
    if (from === undefined) throw new TranslationError('expected a value, found one that nothing gave');
    if (from !== to) a.load(sizeOf(operand.type), to, from);
  }

  /** The operand where it is, if that is a register or memory; else in `scratch`. */
  inPlace(operand: Operand, scratch: Gpr): Rm {
    const place = operand.kind === 'register' ? this.place(operand) : undefined;
    if (place !== undefined) return place;
    this.bring(scratch, operand);
    return scratch;
  }

  /** The operand in a register: its own, or `scratch`. */
  inRegister(operand: Operand, scratch: Gpr): Gpr {
    const own = this.registerOf(operand);
    if (own !== undefined) return own;
    this.bring(scratch, operand);
    return scratch;
  }

  /** Calls `compute` with the register in which a result is to be made, and stores it if that was not its own. */
  result(to: Register, scratch: Gpr, compute: (register: Gpr) => void): void {
    const place = this.place(to);
    const register = typeof place === 'number' ? place : scratch;
    compute(register);
    if (place !== undefined && register !== place) this.store(place, register, to.type);
  }

  /** Puts what a register holds to where a virtual register is. */
  keep(to: Register, from: Gpr): void {
    const place = this.place(to);
    if (place !== undefined && place !== from) this.store(place, from, to.type);
  }

  private store(place: Rm, from: Gpr, type: ValueType): void {
    if (typeof place === 'number') this.a.load(sizeOf(type), place, from);
    else this.a.store(sizeOf(type), place, from);
  }

  /** A place in memory. It may use the scratch register, which then must not change before the access. */
  memory({ address, offset }: Place): Memory {
    if (address.type === 'i64') return this.machineMemory(address, offset);
    const { base } = this.target;
    if (address.kind === 'symbol') return { displacement: offset, symbol: address.symbol };
    if (address.kind === 'constant') {
      const full = BigInt.asUintN(32, address.value) + BigInt(offset);
      if (full < TOP_HALF) return { base, displacement: Number(full) };
      if (base !== undefined && full < 2n * TOP_HALF)
        return { displacement: Number(BigInt.asIntN(32, full)) };
    }
    if (offset >= Number(TOP_HALF)) {
      throw new TranslationError(`expected an offset below 2 GiB, found ${offset}`);
    }
    const index = this.inRegister(address, SCRATCH);
    return base === undefined ? { base: index, displacement: offset } : { base, index, displacement: offset };
  }

  private machineMemory(address: Operand, offset: number): Memory {
    const displacement = this.immediate(address);
    if (displacement !== undefined && offset === 0) return { displacement };
    return { base: this.inRegister(address, SCRATCH), displacement: offset };
  }
}

export function sizeOf(type: ValueType): 4 | 8 {
  return type === 'i32' ? 4 : 8;
}
