/**
 * What a read-modify-write does to eight bytes of a page table: old value and source in, new value and flags out. All
 * 64-bit values are pairs of 32-bit halves.
 *
 * An operand narrower than an entry is cut out of it, computed with, and put back. Flags come out in the form the
 * processor keeps them in (`machine/x86/flags.ts`): the result and the vector of carries; or, for instructions that
 * leave some flags alone, as a mask and values.
 */

import { decodeFlags } from '../../machine/x86/flags.ts';
import { FLAG_AF, FLAG_CF, FLAG_OF, FLAG_PF, FLAG_SF, FLAG_ZF } from '../../machine/x86/registers.ts';
import { Operation } from './ptwr-instruction.ts';

const ALL_BUT_CARRY = FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF;

export class StoreResult {
  /** `flags`: none changes. */
  static readonly NO_FLAGS = 0;
  /** `flags`: all arithmetic flags change, to what result and carries say. */
  static readonly VECTORS = -1;

  // In:
  sourceLow = 0;
  sourceHigh = 0;
  /** What CMPXCHG compares with. */
  accumulatorLow = 0;
  accumulatorHigh = 0;

  // Out:
  /** False for a compare-and-exchange that found something else. */
  stores = true;
  /** The entry as it is to be. */
  newLow = 0;
  newHigh = 0;
  /** The operand as it was. */
  oldLow = 0;
  oldHigh = 0;
  /** NO_FLAGS, VECTORS, or a mask of RFLAGS whose values are in `flagValues`. */
  flags = 0;
  flagValues = 0;
  resultLow = 0;
  resultHigh = 0;
  carryLow = 0;
  carryHigh = 0;
  /** Number of the operand's top bit. */
  topBit = 63;

  private low = 0;
  private high = 0;

  /**
   * Performs `operation` on the `size` bytes that start at bit `shift` of the entry (entryLow, entryHigh). `rflags` is
   * what ADC and SBB take their carry from.
   */
  compute(
    operation: Operation,
    size: number,
    shift: number,
    entryLow: number,
    entryHigh: number,
    rflags: number,
  ): void {
    const maskLow = size >= 4 ? -1 : size === 2 ? 0xffff : 0xff;
    const maskHigh = size === 8 ? -1 : 0;
    this.oldLow = shift >= 32 ? (entryHigh >>> (shift - 32)) & maskLow : (entryLow >>> shift) & maskLow;
    this.oldHigh = entryHigh & maskHigh;
    const sourceLow = this.sourceLow & maskLow;
    const sourceHigh = this.sourceHigh & maskHigh;
    this.topBit = size * 8 - 1;
    this.stores = true;
    this.flags = StoreResult.NO_FLAGS;
    this.low = sourceLow;
    this.high = sourceHigh;
    this.operate(operation, sourceLow, sourceHigh, rflags & FLAG_CF);
    this.low &= maskLow;
    this.high &= maskHigh;

    if (size === 8) {
      this.newLow = this.low;
      this.newHigh = this.high;
    } else if (shift >= 32) {
      const mask = maskLow << (shift - 32);
      this.newLow = entryLow;
      this.newHigh = (entryHigh & ~mask) | (this.low << (shift - 32));
    } else {
      const mask = maskLow << shift;
      this.newLow = (entryLow & ~mask) | (this.low << shift);
      this.newHigh = entryHigh;
    }
  }

  private operate(operation: Operation, low: number, high: number, carry: number): void {
    const { oldLow, oldHigh } = this;
    switch (operation) {
      case Operation.Add:
      case Operation.Xadd:
        this.add(oldLow, oldHigh, low, high, 0);
        break;
      case Operation.Adc:
        this.add(oldLow, oldHigh, low, high, carry);
        break;
      case Operation.Sub:
        this.subtract(oldLow, oldHigh, low, high, 0);
        break;
      case Operation.Sbb:
        this.subtract(oldLow, oldHigh, low, high, carry);
        break;
      case Operation.Neg:
        this.subtract(0, 0, oldLow, oldHigh, 0);
        break;
      case Operation.Or:
        this.logic(oldLow | low, oldHigh | high);
        break;
      case Operation.And:
        this.logic(oldLow & low, oldHigh & high);
        break;
      case Operation.Xor:
        this.logic(oldLow ^ low, oldHigh ^ high);
        break;
      case Operation.Inc:
        this.add(oldLow, oldHigh, 1, 0, 0);
        this.keepCarry();
        break;
      case Operation.Dec:
        this.subtract(oldLow, oldHigh, 1, 0, 0);
        this.keepCarry();
        break;
      case Operation.Not:
        this.low = ~oldLow;
        this.high = ~oldHigh;
        break;
      case Operation.Bts:
      case Operation.Btr:
      case Operation.Btc:
        this.changeBit(operation, low);
        break;
      case Operation.Cmpxchg:
        this.compareExchange(low, high);
        break;
      case Operation.Cmpxchg8b:
        this.stores = oldLow === this.accumulatorLow && oldHigh === this.accumulatorHigh;
        this.flags = FLAG_ZF;
        this.flagValues = this.stores ? FLAG_ZF : 0;
        break;
      default:
        // MOV, XCHG, STOS, MOVS: the source as it is.
        break;
    }
  }

  private add(aLow: number, aHigh: number, bLow: number, bHigh: number, carry: number): void {
    const sum = (aLow >>> 0) + (bLow >>> 0) + carry;
    const low = sum | 0;
    const high = (aHigh + bHigh + (sum > 0xffffffff ? 1 : 0)) | 0;
    this.carryLow = (aLow & bLow) | ((aLow | bLow) & ~low);
    this.carryHigh = (aHigh & bHigh) | ((aHigh | bHigh) & ~high);
    this.arithmetic(low, high);
  }

  private subtract(aLow: number, aHigh: number, bLow: number, bHigh: number, borrow: number): void {
    const difference = (aLow >>> 0) - (bLow >>> 0) - borrow;
    const low = difference | 0;
    const high = (aHigh - bHigh - (difference < 0 ? 1 : 0)) | 0;
    this.carryLow = (~aLow & bLow) | ((~aLow | bLow) & low);
    this.carryHigh = (~aHigh & bHigh) | ((~aHigh | bHigh) & high);
    this.arithmetic(low, high);
  }

  private logic(low: number, high: number): void {
    this.carryLow = 0;
    this.carryHigh = 0;
    this.arithmetic(low, high);
  }

  private arithmetic(low: number, high: number): void {
    this.low = low;
    this.high = high;
    const unused = 31 - this.topBit;
    // Sign-extended from the operand's size.
    this.resultLow = unused > 0 ? (low << unused) >> unused : low;
    this.resultHigh = this.topBit === 63 ? high : this.resultLow >> 31;
    this.flags = StoreResult.VECTORS;
  }

  /** INC and DEC leave CF as it is. */
  private keepCarry(): void {
    this.flagValues = decodeFlags(
      this.resultLow,
      this.resultHigh,
      this.carryLow,
      this.carryHigh,
      this.topBit,
    );
    this.flags = ALL_BUT_CARRY;
  }

  private changeBit(operation: Operation, number: number): void {
    const bitLow = number < 32 ? 1 << number : 0;
    const bitHigh = number < 32 ? 0 : 1 << (number - 32);
    const { oldLow, oldHigh } = this;
    this.flags = FLAG_CF;
    this.flagValues = ((oldLow & bitLow) | (oldHigh & bitHigh)) !== 0 ? FLAG_CF : 0;
    if (operation === Operation.Bts) {
      this.low = oldLow | bitLow;
      this.high = oldHigh | bitHigh;
    } else if (operation === Operation.Btr) {
      this.low = oldLow & ~bitLow;
      this.high = oldHigh & ~bitHigh;
    } else {
      this.low = oldLow ^ bitLow;
      this.high = oldHigh ^ bitHigh;
    }
  }

  /** Compares the accumulator with the operand; the flags are those of CMP. */
  private compareExchange(low: number, high: number): void {
    const maskLow = this.topBit >= 31 ? -1 : this.topBit === 15 ? 0xffff : 0xff;
    const maskHigh = this.topBit === 63 ? -1 : 0;
    this.subtract(
      this.accumulatorLow & maskLow,
      this.accumulatorHigh & maskHigh,
      this.oldLow,
      this.oldHigh,
      0,
    );
    this.stores = ((this.low & maskLow) | (this.high & maskHigh)) === 0;
    this.low = low;
    this.high = high;
  }
}
