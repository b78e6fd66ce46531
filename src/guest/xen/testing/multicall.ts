/** Batches and lazy modes, with a reporter and a callback that write down what they hear, for their test. */

import { LAZY_MMU } from '../../paravirt/lazy';
import { MULTI_fpu_taskswitch } from '../multi';
import { mcArguments, mcBatch, mcCallback, mcEntry, mcIssue, onRefusedCall } from '../multicall';

export * from '../../paravirt/lazy';
export * from '../multi';
export * from '../multicall';
export * from '../vcpu-info';

const heard: usize = memory.data(1024, 8);
let count: usize = 0;

function hear(what: u64): void {
  store<u64>(heard + count * 8, what);
  count++;
}

export function heardCount(): usize {
  return count;
}
export function heardAt(index: usize): u64 {
  return load<u64>(heard + index * 8);
}

function refused(number: u32, result: i64, index: u32, calls: u32): void {
  hear(((<u64>number) << 48) | ((<u64>index) << 32) | ((<u64>calls) << 16) | <u64>-result);
}

function called(data: usize): void {
  hear(data);
}

/** A callback that asks for a call of its own. */
function calledAgain(data: usize): void {
  hear(data);
  MULTI_fpu_taskswitch(mcEntry(0), <u32>data);
}

/** A callback that makes a whole request, with room, which a lazy mode keeps back. */
function requests(data: usize): void {
  hear(data);
  mcBatch();
  MULTI_fpu_taskswitch(mcEntry(600), <u32>data);
  store<u64>(mcArguments(), <u64>data);
  mcIssue(LAZY_MMU);
}

export function listenToRefusals(): void {
  onRefusedCall(refused);
}
export function callBack(data: usize, again: bool): void {
  if (again) mcCallback(calledAgain, data);
  else mcCallback(called, data);
}
export function callBackForRequest(data: usize): void {
  mcCallback(requests, data);
}

function calledOnceMore(data: usize): void {
  hear(data);
  mcCallback(called, data + 200);
}

export function callBackOnceMore(data: usize): void {
  mcCallback(calledOnceMore, data);
}
