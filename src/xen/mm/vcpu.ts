/**
 * What `mm/` needs of a vCPU and of its domain; `XenVcpu` and `XenDomain` are such. Narrow on purpose: tests make
 * their own.
 */
import type { Gva, Maddr, Mfn } from '../../machine/memory.ts';
import type { GuestMemory } from '../../machine/x86/guest-memory.ts';
import type { VcpuState } from '../../machine/x86/state.ts';
import type { HypercallArguments } from '../hypercalls/arguments.ts';

export interface MmuDomain {
  readonly id: number;
  readonly vcpus: readonly MmuVcpu[];
  /** Frames the domain owns, and may own. */
  totPages: number;
  readonly maxPages: number;
  /** Machine address of the shared_info frame; 0 = none yet. */
  readonly sharedInfo: Maddr;
  /** Whether the guest switched VMASST_TYPE_* `type` on. */
  hasAssist(type: number): boolean;
  /** `DomainMemory` of this folder; the domain itself knows it by a narrower name. */
  readonly mm: object;
}

export interface MmuVcpu {
  readonly id: number;
  readonly domain: MmuDomain;
  readonly state: VcpuState;
  /** Memory by virtual address, in the loaded address space. */
  readonly guest: GuestMemory;
  readonly kernelMode: boolean;
  /** Roots of kernel and user mode; NO_MFN = none. Each holds a reference and a use as L4. */
  kernelTable: Mfn;
  userTable: Mfn;
  /** Frames of the GDT, each with a reference and a use as descriptor page; NO_MFN = none. */
  readonly gdtFrames: Mfn[];
  readonly ldtBase: Gva;
  readonly ldtEntries: number;
  setLdt(base: Gva, entries: number): void;
  /** Whether a hypercall over a list has worked long enough, and should return CONTINUE. */
  preemptionDue(): boolean;
}

/** A hypercall of this folder: a `HypercallHandler` that asks less of its vCPU. */
export type MmuHypercall = (vcpu: MmuVcpu, args: HypercallArguments) => number;
