/**
 * Where things stand that an address leads to: its entry in a bank of the TLB, and its record in the table of the decoded
 * page that the entry names. For generated code as expressions, for TypeScript as numbers (layout.ts has the formats).
 */
import { add, and, type Expression, i32, load32, shl, shrU, wrap } from '../../wasm/expression.ts';
import { TLB_CODE, TLB_INDEX_MASK, TLB_INDEX_SHIFT } from '../layout.ts';
import { type HostAddress, PAGE_SIZE } from '../memory.ts';

/** The TLB entry of an address (i64) in the bank at `bank`. */
export function tlbEntry(address: Expression, bank: Expression): Expression {
  return add(and(shrU(wrap(address), i32(TLB_INDEX_SHIFT)), i32(TLB_INDEX_MASK)), bank);
}

/** The same for the low half of an address. */
export function tlbEntryAt(low: number, bank: HostAddress): HostAddress {
  return bank + ((low >>> TLB_INDEX_SHIFT) & TLB_INDEX_MASK);
}

/** Where the table of the decoded page that a TLB entry names holds the record of an address (i64). */
export function recordSlot(entry: Expression, address: Expression): Expression {
  return recordSlotIn(load32(entry, TLB_CODE), address);
}

/** Where the table of a decoded page holds the record of an address (i64). */
export function recordSlotIn(table: Expression, address: Expression): Expression {
  return add(table, shl(and(wrap(address), i32(PAGE_SIZE - 1)), i32(2)));
}
