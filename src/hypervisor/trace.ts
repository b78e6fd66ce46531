/**
 * Where what happens can be watched. Nothing is formatted or allocated while a kind of trace is off: the caller tests
 * its flag first.
 *
 *     if (trace.traps) trace.sink.trap(vcpu, vector, error, address);
 */
import type { Gva } from '../machine/memory.ts';
import type { Vcpu } from './domain.ts';

/** What the structure says that an argument of a hypercall points to. */
export interface TracedStructure {
  /** Which argument, from 0. */
  readonly argument: number;
  /** Names of the public headers, with 64-bit values as signed numbers. */
  readonly fields: readonly (readonly [name: string, value: number])[];
  /** It is the first of several. */
  readonly more: boolean;
}

export interface TraceSink {
  /**
   * A hypercall has returned. `args` are those that it takes. `result` is undefined if it replaced the registers or was
   * preempted.
   */
  hypercall(
    vcpu: Vcpu,
    name: string,
    args: readonly number[],
    result: number | undefined,
    structure?: TracedStructure,
  ): void;
  /** An exception or interrupt is bounced to the guest's kernel. `address` is that of a page fault. */
  trap(vcpu: Vcpu, vector: number, error: number, address: Gva): void;
  /** What happened to an event channel, in words: "port 3 pending", "upcall". */
  event(vcpu: Vcpu | undefined, what: string): void;
  /** A page-table update, in words. */
  pageTable(vcpu: Vcpu, what: string): void;
}

const NOWHERE: TraceSink = { hypercall() {}, trap() {}, event() {}, pageTable() {} };

export class Trace {
  hypercalls = false;
  traps = false;
  events = false;
  pageTables = false;
  sink: TraceSink = NOWHERE;
}
