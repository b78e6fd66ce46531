/**
 * What every kind of guest has: a domain, its virtual CPUs, and the ways in which both end.
 *
 * The run loop (`host.ts`) knows domains only through these two classes. `xen/` and its siblings extend them: a vCPU
 * says what happens before it enters the guest (`prepare`) and what an exit of the processor means (`handleExit`).
 *
 *              block()                    shutdown(), crash()
 *     running ---------> blocked          any ------------------> shutdown | crashed
 *             <---------                      destroy()
 *              wake()                     any ------------------> destroyed
 */
import type { Gva, Maddr } from '../machine/memory.ts';
import type { Exit } from '../machine/x86/exits.ts';
import { GS } from '../machine/x86/registers.ts';
import type { VcpuState } from '../machine/x86/state.ts';
import type { CrashReport } from './crash-report.ts';
import type { Host } from './host.ts';

/** Why a domain stopped by itself, in the words of Xen's SHUTDOWN_*. */
export type ShutdownReason = 'poweroff' | 'reboot' | 'suspend' | 'crash' | 'watchdog' | 'soft_reset';

export type DomainState = 'running' | 'paused' | 'shutdown' | 'crashed' | 'destroyed';

/** How a domain ended; `report` accompanies a crash that the hypervisor saw. */
export interface DomainExit {
  readonly reason: ShutdownReason | 'destroyed';
  readonly report?: CrashReport;
}

export abstract class Domain {
  readonly host: Host;
  readonly id: number;
  readonly name: string;
  abstract readonly vcpus: readonly Vcpu[];
  state: DomainState = 'running';
  /** Settles once, when the domain has shut down, crashed or been destroyed. */
  readonly exited: Promise<DomainExit>;
  private settle!: (exit: DomainExit) => void;
  private ended = false;
  private pauses = 0;

  constructor(host: Host, id: number, name: string) {
    this.host = host;
    this.id = id;
    this.name = name;
    this.exited = new Promise((resolve) => {
      this.settle = resolve;
    });
  }

  /** Whether its vCPUs may run. */
  get live(): boolean {
    return this.state === 'running';
  }

  /** Nested: as many `unpause` calls let it run again. */
  pause(): void {
    this.pauses++;
    if (this.state === 'running') this.state = 'paused';
    this.host.wake();
  }

  unpause(): void {
    if (this.pauses === 0) return;
    this.pauses--;
    if (this.pauses === 0 && this.state === 'paused') {
      this.state = 'running';
      this.host.wake();
    }
  }

  /** The guest asked to stop, or its kernel gave up. No vCPU of it runs again; its memory stays for inspection. */
  shutdown(reason: ShutdownReason): void {
    this.end(reason === 'crash' ? 'crashed' : 'shutdown', { reason });
  }

  /** The guest did what it must not: it stops at this instruction, and the report says where it stood. */
  crash(report: CrashReport): void {
    this.end('crashed', { reason: 'crash', report });
  }

  /** Ends the domain, if it has not ended, and gives its resources back. */
  destroy(): void {
    if (this.state === 'destroyed') return;
    this.end('destroyed', { reason: 'destroyed' });
    this.state = 'destroyed';
    this.release();
    this.host.removeDomain(this);
  }

  /** Gives frames, timers and event channels back; called once. */
  protected abstract release(): void;

  private end(state: DomainState, exit: DomainExit): void {
    if (this.ended) return;
    this.ended = true;
    this.state = state;
    this.settle(exit);
    this.host.wake();
  }
}

export abstract class Vcpu {
  readonly id: number;
  abstract readonly domain: Domain;
  /** Registers; valid whether or not this vCPU is the active one. */
  readonly state: VcpuState;
  /** Offline vCPUs are not scheduled: not yet initialised, or brought down. */
  online = false;
  /** Waiting for an event. */
  blocked = false;
  /** What has been done for it since its turn was last charged, beside executing it; in instructions, roughly. */
  work = 0;
  /** Instructions after which it wants to be asked again, whatever its turn still holds. */
  longestRun = Number.POSITIVE_INFINITY;
  /** Something may be there to deliver. A vCPU that merely had its turn cut in two enters the guest again as it left. */
  stirred = true;

  constructor(id: number, state: VcpuState) {
    this.id = id;
    this.state = state;
  }

  get runnable(): boolean {
    return this.online && !this.blocked && this.domain.live;
  }

  /** Stops running until `wake`. The run loop sees it at the next exit. */
  block(): void {
    if (this.blocked) return;
    this.blocked = true;
    this.onBlock();
  }

  /** Something has come for this vCPU: makes it runnable again if it is blocked. */
  wake(): void {
    this.stirred = true;
    if (this.blocked) {
      this.blocked = false;
      this.onWake();
    }
    this.domain.host.wake();
  }

  /** Brought on line, or taken off. */
  setOnline(online: boolean): void {
    if (this.online === online) return;
    this.online = online;
    this.stirred = true;
    this.onOnlineChange();
    if (online) this.domain.host.wake();
  }

  // For tools that look at a guest: which of its two halves runs, and how the kernel's memory and per-CPU data are found.

  /** Whether the guest's kernel is running, as opposed to its user. */
  get inKernel(): boolean {
    return this.state.cpl < 3;
  }
  /** The root of the page tables that the kernel uses. */
  get kernelRoot(): Maddr {
    return this.state.cr3;
  }
  /** The kernel's GS base, where it is known. */
  get kernelGsBase(): Gva {
    return this.state.segmentBase(GS);
  }

  /** This vCPU becomes the one that the processor holds. */
  abstract onScheduled(): void;
  /** Another vCPU takes the processor. */
  abstract onDescheduled(): void;
  protected abstract onBlock(): void;
  protected abstract onWake(): void;
  protected abstract onOnlineChange(): void;

  /** Called before the guest is entered, if it is `stirred`: deliver what is pending. The domain may crash in here. */
  abstract prepare(): void;
  /** Decides what an exit of the processor means. */
  abstract handleExit(exit: Exit): void;
}
