/** A guest source for the tests of the test machine: a little of everything. */
import { hypercall2, load64, probeLoad64 } from '../../machine/index';
import { setOperation } from '../../machine/operations';
import { cli } from '../../machine/processor';

@external("operation", "sample.add") declare function add(value: i32): i32;
@external("operation.slot", "sample.add") declare function addSlot(): usize;

const probed = memory.data(8, 8);

function increment(value: i32): i32 {
  return value + 1;
}

export function readFar(address: u64): u64 {
  return load64(address);
}

export function probeFar(address: u64): i32 {
  return probeLoad64(address, probed);
}

export function lastProbed(): u64 {
  return load<u64>(probed);
}

export function fillTable(): void {
  setOperation(addSlot(), increment.index);
}

export function callOperation(value: i32): i32 {
  return add(value);
}

export function ask(value: u64): i64 {
  return hypercall2(29, value, u64.MAX_VALUE);
}

export function mask(): void {
  cli();
}

export function wordBytes(): i32 {
  return WORD_BITS / 8;
}
