/**
 * What an instruction does to registers and flags, found out by running its meaning against an emitter that only listens.
 *
 * The compiler needs to know, before it emits a region, which registers each instruction reads and writes. Nothing is
 * written down twice for that: the definition says it. The answer depends on the variant alone, in terms of the record's
 * fields (ModRM.reg, ModRM.rm, base, index) and of fixed registers; `effectsAt` applies it to one record.
 */
import { type Expression, I32, I64, i32, type ValueType } from '../../wasm/expression.ts';
import { FunctionBuilder } from '../../wasm/function.ts';
import type { HostAddress, MachineMemory } from '../memory.ts';
import { Emitter, type SupportFunctions } from './emitter.ts';
import { REC_INDEX, REC_REG, REC_RM } from './record.ts';
import type { Variant } from './variants.ts';

/** The place of the flags in a set of locations; registers have the bits below. */
export const FLAGS_BIT = 1 << 16;

/** Sets of locations: bit n is general register n, FLAGS_BIT the arithmetic flags. */
export interface Effects {
  /** Read before the instruction writes them. */
  readonly reads: number;
  /** Written, perhaps not always or not as a whole. */
  readonly writes: number;
  /** Written as a whole whenever the instruction retires. */
  readonly kills: number;
}

/** Of a variant. */
export interface VariantEffects {
  readonly fixed: Effects;
  readonly readsReg: boolean;
  readonly readsRm: boolean;
  readonly addresses: boolean;
  readonly writesReg: Write;
  readonly writesRm: Write;
  /** May leave in the middle: faults, exits. */
  readonly mayLeave: boolean;
  /** Reads flags, or leaves some of them as they were. */
  readonly needsFlags: boolean;
  /** Bytes of WebAssembly that it takes, about. */
  readonly length: number;
}

const Write = { None: 0, Partly: 1, Whole: 2 } as const;
type Write = (typeof Write)[keyof typeof Write];

const PARAMETERS: readonly ValueType[] = [I32, I64];

class Listener extends Emitter {
  reads = 0;
  writes = 0;
  kills = 0;
  readsReg = false;
  readsRm = false;
  addresses = false;
  writesReg: Write = Write.None;
  writesRm: Write = Write.None;
  mayLeave = false;
  /** The immediate byte, where the effects depend on it: a shift by zero sets no flags. */
  count: number | undefined;

  private value(size: number): Expression {
    return this.f.parameter(size === 8 ? 1 : 0);
  }
  private written(size: number): Write {
    return size >= 4 && this.f.nesting === 0 ? Write.Whole : Write.Partly;
  }
  private evaluate(value: Expression): void {
    this.f.run(value);
  }
  reg(size = this.size): Expression {
    this.readsReg = true;
    return this.value(size);
  }
  setReg(value: Expression, size = this.size): void {
    this.evaluate(value);
    this.writesReg = Math.max(this.writesReg, this.written(size)) as Write;
    if (size < 4) this.readsReg = true;
  }
  rm(size = this.size): Expression {
    this.readsRm = true;
    return this.value(size);
  }
  setRm(value: Expression, size = this.size): void {
    this.evaluate(value);
    this.writesRm = Math.max(this.writesRm, this.written(size)) as Write;
    if (size < 4) this.readsRm = true;
  }
  gpr(n: number, size = this.size): Expression {
    this.reads |= (1 << n) & ~this.kills;
    return this.value(size);
  }
  setGpr(n: number, value: Expression, size = this.size): void {
    this.evaluate(value);
    if (size < 4) this.reads |= (1 << n) & ~this.kills;
    this.writes |= 1 << n;
    if (this.written(size) === Write.Whole) this.kills |= 1 << n;
  }
  immediate(size = this.size): Expression {
    if (this.count !== undefined && size === 1) return i32(this.count);
    return this.value(size);
  }
  extra(): Expression {
    return this.value(4);
  }
  xmmReg(): Expression {
    return this.value(4);
  }
  xmmRm(): Expression {
    return this.value(4);
  }
  mmxReg(): Expression {
    return this.value(4);
  }
  mmxRm(): Expression {
    return this.value(4);
  }
  effectiveAddress(): Expression {
    this.addresses = true;
    return this.value(8);
  }
  effectiveOffset(): Expression {
    this.addresses = true;
    return this.value(8);
  }
  segmented(_segment: 'source' | 'es' | 'stack', offset: Expression): Expression {
    return offset;
  }
  rip(): Expression {
    return this.value(8);
  }
  nextRip(): Expression {
    return this.value(8);
  }
  fault(): void {
    this.mayLeave = true;
  }
  jumpToTarget(): void {}
  jumpTo(address: Expression): void {
    this.evaluate(address);
  }
  exit(): void {
    this.mayLeave = true;
  }
  exitAt(): void {
    this.mayLeave = true;
  }
  repeated(): void {
    this.mayLeave = true;
  }
  raise(): void {
    this.mayLeave = true;
  }
  budgetLeft(): Expression {
    return this.value(4);
  }
  setFlagWords(result: Expression, carry: Expression, meta: Expression): void {
    this.evaluate(result);
    this.evaluate(carry);
    this.evaluate(meta);
    this.writes |= FLAGS_BIT;
    if (this.f.nesting === 0) this.kills |= FLAGS_BIT;
  }
  private flag(size: number): Expression {
    this.reads |= FLAGS_BIT & ~this.kills;
    return this.value(size);
  }
  flagResult(): Expression {
    return this.flag(8);
  }
  flagCarry(): Expression {
    return this.flag(8);
  }
  flagMeta(): Expression {
    return this.flag(4);
  }
  otherFlags(): Expression {
    return this.value(4);
  }
  setOtherFlags(value: Expression): void {
    this.evaluate(value);
  }
  state32(): Expression {
    return this.value(4);
  }
  setState32(_offset: number, value: Expression): void {
    this.evaluate(value);
  }
  state64(): Expression {
    return this.value(8);
  }
  setState64(_offset: number, value: Expression): void {
    this.evaluate(value);
  }
  stateAddress(): Expression {
    return this.value(4);
  }
  protected tlbBank(): Expression {
    return this.value(4);
  }
}

const known = new WeakMap<Variant, Map<number, VariantEffects>>();
/** In `known`: whatever the immediate. */
const ANY_IMMEDIATE = -1;

/** Effects of a variant with that immediate byte. `support` only has to have the functions' types. */
export function effectsOf(variant: Variant, immediate: number, support: SupportFunctions): VariantEffects {
  const counts = variant.definition.options.keepsFlags === true && variant.definition.operands.includes('Ib');
  const key = counts ? immediate & 63 : ANY_IMMEDIATE;
  let byImmediate = known.get(variant);
  if (byImmediate === undefined) known.set(variant, (byImmediate = new Map()));
  let effects = byImmediate.get(key);
  if (effects === undefined) {
    const f = new FunctionBuilder(0, PARAMETERS, []);
    const listener = new Listener(f, variant.shape, support);
    if (counts) listener.count = key;
    variant.definition.semantics(listener);
    const { reads, writes, kills } = listener;
    effects = {
      fixed: { reads, writes, kills },
      readsReg: listener.readsReg,
      readsRm: listener.readsRm,
      addresses: listener.addresses,
      writesReg: listener.writesReg,
      writesRm: listener.writesRm,
      mayLeave: listener.mayLeave,
      needsFlags: (reads & FLAGS_BIT) !== 0 || (writes & FLAGS_BIT & ~kills) !== 0,
      length: f.codeLength,
    };
    byImmediate.set(key, effects);
  }
  return effects;
}

/** Effects of the instruction in a record. */
export function effectsAt(memory: MachineMemory, record: HostAddress, effects: VariantEffects): Effects {
  const { u8 } = memory;
  const bit = (field: number): number => {
    const offset = u8[record + field]!;
    return offset < 0x80 ? 1 << (offset >> 3) : 0;
  };
  let { reads, writes, kills } = effects.fixed;
  if (effects.readsReg) reads |= bit(REC_REG);
  if (effects.readsRm) reads |= bit(REC_RM);
  if (effects.addresses) reads |= bit(REC_RM) | bit(REC_INDEX);
  if (effects.writesReg !== Write.None) writes |= bit(REC_REG);
  if (effects.writesReg === Write.Whole) kills |= bit(REC_REG);
  if (effects.writesRm !== Write.None) writes |= bit(REC_RM);
  if (effects.writesRm === Write.Whole) kills |= bit(REC_RM);
  return { reads, writes, kills };
}
