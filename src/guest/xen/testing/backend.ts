/** Parts of the back end that a live host shows only in part, with handlers that write down what they hear. */

import { onConsoleInput, onTimer } from '../../paravirt/handlers';
import { onEvent } from '../events';
import { xenPatch } from '../patch';
import { onSuspend } from '../suspend-hooks';

export * from '../../paravirt/info';
export * from '../../paravirt/lazy';
export * from '../../paravirt/patch';
export * from '../../paravirt/slots';
export * from '../brk';
export * from '../console';
export * from '../event-mask';
export * from '../events';
export * from '../grants';
export * from '../mmu';
export * from '../mmu-entries';
export * from '../multicall';
export * from '../p2m-tree';
export * from '../page';
export * from '../page-walk';
export * from '../patch';
export * from '../segments';
export * from '../suspend';
export { callAfter, callBefore } from '../suspend-hooks';
export * from '../table-pages';
export * from '../time';
export * from '../traps';
export * from '../upcalls';
export * from '../vcpu-info';
export * from '../vcpu-placement';
export * from '../xenbus-console';
export * from '../xenstore';

const heard: usize = memory.data(1024, 4);
let count: usize = 0;

function hear(what: u32): void {
  store<u32>(heard + count * 4, what);
  count++;
}

export function heardCount(): usize {
  return count;
}
export function heardAt(index: usize): u32 {
  return load<u32>(heard + index * 4);
}

function event(port: u32): void {
  hear(port);
}

function timer(): void {
  hear(1001);
}
function input(): void {
  hear(1002);
}

export function listenToTimerAndConsole(): void {
  onTimer(timer);
  onConsoleInput(input);
}

export function listenToPort(port: u32): void {
  onEvent(port, event);
}

function beforeOne(): void {
  hear(1);
}
function afterOne(cancelled: bool): void {
  hear(cancelled ? 101 : 201);
}
function beforeTwo(): void {
  hear(2);
}
function afterTwo(cancelled: bool): void {
  hear(cancelled ? 102 : 202);
}

export function listenToSuspend(): void {
  onSuspend(beforeOne, afterOne);
  onSuspend(beforeTwo, afterTwo);
}

const room: usize = memory.data(8 * 4096, 16);

/** Four pages and more, from a page's boundary. */
export function pages(): usize {
  return (room + 4095) & ~4095;
}

/** The patcher's table index, for its slot. */
export function patchFunction(): u32 {
  return xenPatch.index;
}
