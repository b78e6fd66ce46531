/**
 * What a hypervisor asks of the CPU. The engine of `machine/x86` is one; tests script another.
 *
 * The processor runs guest code until something needs a decision and says why it stopped (`Exit`). It delivers nothing
 * by itself: exceptions, interrupts and system calls all come back to the hypervisor, which decides what the guest sees.
 */
import type { Gva, Maddr } from '../machine/memory.ts';
import type { Exit } from '../machine/x86/exits.ts';
import type { Translator } from '../machine/x86/guest-memory.ts';
import type { InstructionView } from '../machine/x86/instruction-view.ts';
import type { VcpuState } from '../machine/x86/state.ts';
import type { SystemHooks } from '../machine/x86/system.ts';

/** The two words of a segment descriptor, as they lie in a descriptor table. */
export interface Descriptor {
  readonly low: number;
  readonly high: number;
}

/** Questions that the processor asks while it executes. */
export type ProcessorHooks = SystemHooks;

export interface Processor extends Translator {
  /** The state at the active place. */
  readonly cpu: VcpuState;
  hooks: ProcessorHooks;
  /** Where RDTSC reads time under a real-time clock. */
  clock: { now(): number };
  /**
   * Decides on exits that guest code need not be left for, while `run` goes on: returns how many instructions the active
   * vCPU may execute from its RIP on, 0 to have `run` come back with Exit.Settled.
   */
  onExit?: ((exit: Exit) => number) | undefined;
  /** Makes `state` the active vCPU. */
  activate(state: VcpuState): void;
  /** Executes up to `budget` instructions of the active vCPU. */
  run(budget: number): Exit;
  /** Loads CR3 of the active vCPU; `cr3` is the machine address of a root table. */
  loadRoot(cr3: Maddr): void;
  /** INVLPG in the loaded address space. */
  invalidatePage(gva: Gva): void;
  /** INVLPG in the loaded address space, for both privileges, whatever the size of the page was. */
  invalidateRegion(gva: Gva): void;
  /** Drops every cached translation of every address space. */
  invalidateAll(): void;
  /**
   * A present page-table entry was changed, cleared or downgraded, in `slot` of a level-1 table or, without it, anywhere:
   * address spaces not loaded now are stale.
   */
  noteTableChange(slot?: number): void;
  /** The table at a machine address is no root any more: what was cached of its address space is good for nothing. */
  forgetRoot(root: Maddr): void;
  /** The instruction that the last exit is about; undefined where there is none. */
  instructionAtExit(): InstructionView | undefined;
  /** The active vCPU has retired an instruction that somebody else executed for it. */
  countRetired(): void;
}
