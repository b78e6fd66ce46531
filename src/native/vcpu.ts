/**
 * The processor of a bare machine: the registers that the engine does not hold, and the steps before guest code runs.
 *
 * The guest's kernel runs in ring 0 and its page tables are its own. What the processor cannot do by itself is done here
 * as the manuals say; nothing is virtualized.
 */
import { Vcpu } from '../hypervisor/domain.ts';
import {
  CPU_CR2,
  CPU_DR,
  CPU_EFER,
  CPU_FLAGS_OTHER,
  CPU_INTERRUPT_SHADOW,
  CPU_INTERRUPT_WAITS,
  CPU_RIP,
} from '../machine/layout.ts';
import type { Gva } from '../machine/memory.ts';
import type { Exit } from '../machine/x86/exits.ts';
import { GuestMemory } from '../machine/x86/guest-memory.ts';
import { DR6_STEP, FLAG_IF, FLAG_RF, FLAG_TF, VECTOR_DB } from '../machine/x86/registers.ts';
import { CR0_INITIAL, CR4_PAE, DR6_INITIAL, DR7_INITIAL, EFER_INITIAL, refreshPaging } from './control.ts';
import { buildCrashReport } from './crash.ts';
import { deliver, Source } from './deliver.ts';
import type { NativeDomain } from './domain.ts';
import { handleExit } from './exceptions.ts';
import { ModelSpecificRegisters } from './msr.ts';
import { DescriptorTables } from './tables.ts';

const TWO_32 = 4294967296;

export class NativeVcpu extends Vcpu {
  override readonly domain: NativeDomain;
  /** Memory by guest virtual address, with the rights of the current privilege level. */
  readonly guest: GuestMemory;
  readonly tables: DescriptorTables;
  readonly msrs = new ModelSpecificRegisters();
  /** CR8. */
  taskPriority = 0;

  constructor(domain: NativeDomain, id: number) {
    super(id, domain.host.newVcpuState());
    this.domain = domain;
    this.guest = new GuestMemory(domain.host.memory, domain.host.processor);
    this.tables = new DescriptorTables(this);
    const { state } = this;
    state.setPhysicalMemory(domain.host.memory.host(domain.firstByte), domain.frames);
    state.cpl = 0;
    state.cr0 = CR0_INITIAL;
    state.cr4 = CR4_PAE;
    state.set(CPU_EFER, EFER_INITIAL, 0);
    state.set(CPU_DR + 6 * 8, DR6_INITIAL, 0);
    state.set(CPU_DR + 7 * 8, DR7_INITIAL, 0);
    refreshPaging(this);
  }

  // -------------------------------------------------------------- registers

  ripLow(): number {
    return this.state.low(CPU_RIP);
  }
  ripHigh(): number {
    return this.state.high(CPU_RIP);
  }
  setRip(low: number, high: number): void {
    this.state.set(CPU_RIP, low, high);
  }

  setCr2(address: Gva): void {
    this.state.set(CPU_CR2, address | 0, Math.floor(address / TWO_32) | 0);
  }

  /** Sets conditions in DR6. */
  noteDebug(conditions: number): void {
    const dr6 = CPU_DR + 6 * 8;
    this.state.set(dr6, this.state.low(dr6) | conditions, 0);
  }

  /** RFLAGS without the arithmetic flags. */
  private get otherFlags(): number {
    return this.domain.host.memory.i32[(this.state.base + CPU_FLAGS_OTHER) >> 2]!;
  }

  override get kernelGsBase(): Gva {
    if (this.inKernel) return super.kernelGsBase;
    const { high, low } = this.msrs.kernelGsBase;
    return high * TWO_32 + (low >>> 0);
  }

  // -------------------------------------------------------------- privilege

  /** Changes the privilege level; the processor then looks at page tables with its rights. */
  setPrivilege(cpl: number): void {
    const { state, domain } = this;
    if (state.cpl === cpl) return;
    state.cpl = cpl;
    domain.host.processor.loadRoot(state.cr3);
  }

  /** From here to `leaveSupervisor`, memory is accessed with a supervisor's rights. Returns the level to go back to. */
  enterSupervisor(): number {
    const { cpl } = this.state;
    if (cpl === 3) this.setPrivilege(0);
    return cpl;
  }
  leaveSupervisor(cpl: number): void {
    this.setPrivilege(cpl);
  }

  // -------------------------------------------------------------- instructions executed outside the engine

  /** Moves RIP behind an instruction. */
  skip(length: number): void {
    const { state } = this;
    state.rip = state.longMode ? state.rip + length : (state.rip + length) % TWO_32;
    this.domain.host.memory.i32[(state.base + CPU_FLAGS_OTHER) >> 2]! &= ~FLAG_RF;
  }

  /** An instruction has been executed: it counts, and takes its time, like any other. */
  countRetired(): void {
    const { processor, stats, clock } = this.domain.host;
    processor.countRetired();
    stats.instructions++;
    clock.advance(1);
  }

  get isStepping(): boolean {
    return (this.otherFlags & FLAG_TF) !== 0;
  }

  /** The trap behind a single step. */
  step(): void {
    this.noteDebug(DR6_STEP);
    deliver(this, VECTOR_DB, 0, Source.Trap);
  }

  /** HLT, with interrupts enabled. */
  sleep(): void {
    this.domain.board.serial.flush();
    if (!this.domain.board.pic.requesting) this.block();
  }

  // -------------------------------------------------------------- the run loop

  /** Delivers an interrupt, if one waits and may come. */
  override prepare(): void {
    const { pic } = this.domain.board;
    this.longestRun = Number.POSITIVE_INFINITY;
    while (pic.requesting && (this.otherFlags & FLAG_IF) !== 0) {
      if (this.inShadow()) {
        // One instruction more, then we are asked again.
        this.longestRun = 1;
        this.stirred = true;
        break;
      }
      deliver(this, pic.acknowledge(), 0, Source.External);
      if (!this.domain.live) return;
    }
    const { memory } = this.domain.host;
    memory.i32[(this.state.base + CPU_INTERRUPT_WAITS) >> 2] = pic.requesting ? 1 : 0;
  }

  /** True right behind STI or a load of SS, once. */
  private inShadow(): boolean {
    const { state } = this;
    const low = state.low(CPU_INTERRUPT_SHADOW);
    const high = state.high(CPU_INTERRUPT_SHADOW);
    if ((low | high) === 0 || low !== this.ripLow() || high !== this.ripHigh()) return false;
    state.set(CPU_INTERRUPT_SHADOW, 0, 0);
    return true;
  }

  override handleExit(exit: Exit): void {
    handleExit(this, exit);
  }

  override onScheduled(): void {
    this.domain.host.processor.hooks = this.tables;
  }
  override onDescheduled(): void {}
  protected override onBlock(): void {}
  protected override onWake(): void {}
  protected override onOnlineChange(): void {}

  /** Ends the domain with a report of where the processor stands. `reason` is one line. */
  crash(reason: string): void {
    if (this.domain.live) this.domain.crash(buildCrashReport(this, reason));
  }
}
