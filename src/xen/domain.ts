/**
 * A Xen PV domain: what its vCPUs share.
 *
 * The large parts stand in folders of their own and are hung in here by whoever builds the domain: memory and page
 * types (`mm`), event channels, grants. What is left is small: the shared_info frame, the assists the guest switched on
 * and the emergency console.
 */

import type { Abi } from '../abi/xen/layout.ts';
import { Domain } from '../hypervisor/domain.ts';
import type { Host } from '../hypervisor/host.ts';
import type { Maddr } from '../machine/memory.ts';
import { PAGE_SIZE } from '../machine/memory.ts';
import { CpuidPolicy } from './cpuid.ts';
import type { HypercallTable } from './hypercalls/dispatch.ts';
import { cancelWatchdogs } from './lifecycle.ts';
import type { DomainMemory, EventChannels, GrantTable } from './parts.ts';
import { XenVcpu } from './vcpu.ts';

export interface XenDomainOptions {
  readonly name: string;
  /** 64-bit PV, or 32-bit PAE. */
  readonly is64: boolean;
  readonly vcpus: number;
  /** Upper bound of `totPages`. */
  readonly maxPages: number;
  readonly hypercalls: HypercallTable;
  /** What CPUID shows; by default the policy of `cpuid.ts` for this machine. */
  readonly cpuid?: CpuidPolicy;
}

export class XenDomain extends Domain {
  override readonly vcpus: XenVcpu[] = [];
  readonly is64: boolean;
  readonly hypercalls: HypercallTable;
  readonly cpuid: CpuidPolicy;
  /** Set once by the domain builder, before the first vCPU runs. */
  mm!: DomainMemory;
  events!: EventChannels;
  grants!: GrantTable;
  /** Machine address of the shared_info frame. */
  sharedInfo: Maddr = 0;
  /** VMASST_TYPE_* that are on: types 0–31 as bits of `vmAssist`, 32–63 as bits of `vmAssistHigh`. */
  vmAssist = 0;
  vmAssistHigh = 0;
  /** Frames that the domain owns, and may own. */
  totPages = 0;
  maxPages: number;
  /** The 16 bytes of the domain's UUID. */
  readonly handle = new Uint8Array(16);
  /** Seconds and nanoseconds since 1970 at system time 0. */
  wallClockSeconds = 0;
  wallClockNanoseconds = 0;
  /** Where console_io goes, if the host lets this domain use it. */
  consoleSink: (bytes: Uint8Array) => void = () => {};

  constructor(host: Host, options: XenDomainOptions) {
    super(host, host.takeDomainId(), options.name);
    this.is64 = options.is64;
    this.maxPages = options.maxPages;
    this.hypercalls = options.hypercalls;
    this.cpuid = options.cpuid ?? new CpuidPolicy({ frames: host.memory.frames });
    for (let id = 0; id < options.vcpus; id++) this.vcpus.push(new XenVcpu(this, id));
    host.addDomain(this);
  }

  /** Whose structures and hypercall arguments the guest's are. */
  get abi(): Abi {
    return this.is64 ? 'x64' : 'x32';
  }

  /** VM_ASSIST(): whether the guest has switched an assist on. */
  hasAssist(type: number): boolean {
    return type < 32 ? ((this.vmAssist >>> type) & 1) !== 0 : ((this.vmAssistHigh >>> (type - 32)) & 1) !== 0;
  }

  /** Frame number of shared_info. */
  get sharedInfoMfn(): number {
    return this.sharedInfo / PAGE_SIZE;
  }

  protected override release(): void {
    cancelWatchdogs(this);
    for (const vcpu of this.vcpus) vcpu.time?.release();
    this.grants?.release();
    this.events?.release();
    this.mm?.release();
    for (const vcpu of this.vcpus) this.host.releaseVcpuState(vcpu.state);
  }
}
