/**
 * The parts of a Xen domain that stand in folders of their own, as the rest of the domain knows them.
 *
 * `domain.ts` and `vcpu.ts` hold these parts but must not depend on how they are made, or files would import each other
 * in circles; so each is named here by what is asked of it.
 */
import type { Gva, Mfn } from '../machine/memory.ts';
import type { XenVcpu } from './vcpu.ts';

/** Frame ownership, page types and the guest's tables: `mm/`. */
export interface DomainMemory {
  /** Takes a reference and a type reference on a frame of this domain; false where it is not ours or has another type. */
  getPageAndType(mfn: Mfn, type: number): boolean;
  putPageAndType(mfn: Mfn): void;
  /** The type (PGT_*) that a frame has now, without its counts. */
  pageType(mfn: Mfn): number;
  /**
   * The first roots of a vCPU: takes their references and sets its `kernelTable` and `userTable`; `userTable` 0: none.
   * Returns 0 or a negative errno. (arch_set_info_guest)
   */
  installRoots(vcpu: XenVcpu, kernelTable: Mfn, userTable: Mfn): number;
  /**
   * MOV to CR3 by the guest's kernel, or MMUEXT_NEW_BASEPTR: checks and installs a new root.
   * `mfn` is a frame of an L4 table. Returns 0 or a negative errno.
   */
  newKernelTable(vcpuId: number, mfn: Mfn): number;
  /**
   * A #PF that the guest must not see: a write to a page table of its own that Xen emulates. Returns true when the
   * instruction was dealt with (or may be retried).
   */
  handlePageFault(vcpuId: number, address: Gva, errorCode: number): boolean;
  /** The frame of a vCPU's LDT that holds byte `offset` of it, checked; 0 if the guest has none there. */
  ldtFrame(vcpuId: number, offset: number): Mfn;
  /** Gives everything back when the domain is destroyed, the roots and descriptor tables of its vCPUs included. */
  release(): void;
}

/** Event channels: `events/`. */
export interface EventChannels {
  /** Raises VIRQ `virq` at a vCPU, if it is bound. */
  sendVirq(vcpuId: number, virq: number): void;
  release(): void;
}

/** Grant tables: `grants/`. */
export interface GrantTable {
  release(): void;
}

/** The clocks and timers of one vCPU: vcpu_time_info, runstate, the periodic and the one-shot timer. */
export interface VcpuTime {
  /** Publishes the clock in vcpu_time_info; called when the vCPU is put on the processor. */
  update(): void;
  /** The guest's kernel has been entered from its user: what only its address space shows can be written now. */
  kernelEntered(): void;
  /** RUNSTATE_*: 0 running, 1 runnable, 2 blocked, 3 offline. */
  changeRunstate(state: number): void;
  release(): void;
}
