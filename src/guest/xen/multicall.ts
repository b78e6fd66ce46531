/**
 * Batches of hypercalls: what is asked for while a lazy mode is on is written down here and made by one multicall.
 *
 *     mcBatch()                        interrupts off
 *       entry = mcEntry(bytes)         a call, with room for what its arguments point to (mcArguments())
 *       MULTI_…(entry, …)
 *     mcIssue(LAZY_MMU)                made now, unless that mode is on; interrupts as before
 *
 * Rules. A batch is made when its mode ends, when it is full, and when somebody asks for a call that must not wait: then
 * everything before it is made first, in order (`mcFlush`). Requests for the same hypercall grow together where they can
 * (`mcExtend`): 64 page-table entries are one mmu_update with 64 requests, and one hypercall. A batch of a single call is
 * made as that call. What has to happen after a batch, such as giving back a page that Xen looked at until then, is a
 * callback. What Xen refuses is reported entry by entry.
 *
 * The batch belongs to the processor, not to a task: between mcBatch and mcIssue nothing may interrupt.
 * (Linux: arch/x86/xen/multicalls.c)
 */
import {
  multicall_entry_args,
  multicall_entry_op,
  multicall_entry_result,
  SIZEOF_multicall_entry,
} from '../abi/structures';
import { hypercall5 } from '../machine/hypercall';
import { lazyMode } from '../paravirt/lazy';
import { xenDisableInterrupts, xenRestoreInterrupts, xenSaveInterrupts } from './event-mask';
import { HYPERVISOR_multicall } from './hypercall';
import { WORD_BYTES } from './types';

/** Calls in a batch. */
export const MC_BATCH: usize = 32;
/** Bytes that their arguments point to: 64 page-table updates of 16 bytes each. Linux has room for 31. */
export const MC_ARGUMENTS: usize = 1024;

const entries: usize = memory.data(32 * SIZEOF_multicall_entry, 64);
const room: usize = memory.data(1024, 16);
/** Pairs of a table index of `(data: usize) => void` and its data. */
const callbacks: usize = memory.data(32 * 8, 8);

let entryCount: usize = 0;
let roomUsed: usize = 0;
let callbackCount: usize = 0;
/** Where the room of the last entry begins. */
let lastRoom: usize = 0;
let interrupts: u64 = 0;

/** Batches made, calls in them, and calls that Xen refused. */
export let batchesMade: u64 = 0;
export let callsMade: u64 = 0;
export let callsRefused: u64 = 0;
let reporter: u32 = 0;

/**
 * From now on `report(number, result, index, count)` is told of each call of a batch that Xen refuses: entry `index` of
 * `count`. Without it such a call stops the kernel: what it believes of its page tables is not true any more.
 */
export function onRefusedCall(report: (number: u32, result: i64, index: u32, count: u32) => void): void {
  reporter = report.index;
}

/** Begins a request: nobody interrupts until `mcIssue`. */
export function mcBatch(): void {
  const state = xenSaveInterrupts();
  xenDisableInterrupts();
  interrupts = state;
}

/** Ends a request: the batch is made now, unless lazy mode `mode` is on and will do so at its end. */
export function mcIssue(mode: u32): void {
  const state = interrupts;
  if ((lazyMode() & mode) === 0) mcFlush();
  xenRestoreInterrupts(state);
}

/** A new call with `bytes` (at most MC_ARGUMENTS) of room. What was there before is made first if it does not fit. */
export function mcEntry(bytes: usize): usize {
  // Only the beginning is aligned: what `mcExtend` adds must follow without a gap.
  let start = (roomUsed + 7) & ~7;
  // More than once if what is called back asks for calls itself.
  while (entryCount === MC_BATCH || start + bytes > MC_ARGUMENTS) {
    mcFlush();
    start = (roomUsed + 7) & ~7;
  }
  const entry = entries + entryCount * SIZEOF_multicall_entry;
  entryCount++;
  lastRoom = room + start;
  roomUsed = start + bytes;
  return entry;
}

/** The room of the entry that `mcEntry` or `mcExtend` gave last. */
export function mcArguments(): usize {
  return lastRoom;
}

/**
 * The last call of the batch, if it is one of hypercall `number`, with `bytes` more of room behind what it has; otherwise 0.
 * For hypercalls whose arguments are a list and its length.
 */
export function mcExtend(number: u32, bytes: usize): usize {
  if (entryCount === 0 || roomUsed + bytes > MC_ARGUMENTS) return 0;
  const entry = entries + (entryCount - 1) * SIZEOF_multicall_entry;
  if (<u32>load<Word>(entry, multicall_entry_op) !== number) return 0;
  lastRoom = room + roomUsed;
  roomUsed += bytes;
  return entry;
}

/** Has `callback(data)` called after the batch was made; it may ask for one callback more. */
export function mcCallback(callback: (data: usize) => void, data: usize): void {
  while (callbackCount === MC_BATCH) mcFlush();
  const at = callbacks + callbackCount * 8;
  store<u32>(at, callback.index);
  store<usize>(at, data, 4);
  callbackCount++;
}

/** Makes what was written down, if there is anything. With interrupts off. */
export function mcFlush(): void {
  const count = entryCount;
  if (count > 0) {
    // Before anything else: what is called back below may begin a batch. (Whoever is told of refusals may not.)
    entryCount = 0;
    roomUsed = 0;
    batchesMade++;
    callsMade += <u64>count;
    if (count === 1) makeOne(entries);
    else if (HYPERVISOR_multicall(entries, <u32>count) !== 0) unreachable();
    for (let i: usize = 0; i < count; i++) check(i, count);
  }
  const called = callbackCount;
  callbackCount = 0;
  // This may be in the middle of a request, and a callback may make one of its own.
  const state = interrupts;
  for (let i: usize = 0; i < called; i++) {
    const at = callbacks + i * 8;
    call_indirect<void>(load<u32>(at), load<usize>(at, 4));
  }
  interrupts = state;
}

/** A batch of one needs no multicall around it. */
function makeOne(entry: usize): void {
  const result = hypercall5(
    <u32>load<Word>(entry, multicall_entry_op),
    argument(entry, 0),
    argument(entry, 1),
    argument(entry, 2),
    argument(entry, 3),
    argument(entry, 4),
  );
  store<Word>(entry, <Word>result, multicall_entry_result);
}

function argument(entry: usize, index: usize): u64 {
  return <u64>load<Word>(entry + index * WORD_BYTES, multicall_entry_args);
}

function check(index: usize, count: usize): void {
  const entry = entries + index * SIZEOF_multicall_entry;
  const word = load<Word>(entry, multicall_entry_result);
  const result: i64 = WORD_BITS === 64 ? <i64>word : <i64>(<i32>word);
  if (result >= 0) return;
  callsRefused++;
  if (reporter === 0) unreachable();
  call_indirect<void>(reporter, <u32>load<Word>(entry, multicall_entry_op), result, <u32>index, <u32>count);
}
