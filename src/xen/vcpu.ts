/**
 * A vCPU of a Xen PV domain: its registers, what its kernel has told Xen about it, and its two modes.
 *
 * A 64-bit PV kernel and its user both run in ring 3; which of the two runs is Xen's knowledge (`kernelMode`), and each
 * has a root page table and a GS base of its own. How the guest's kernel is entered is `bounce.ts` and `entry.ts`, what an
 * exit of the processor means is `exceptions.ts`.
 */

import { vcpu_info } from '../abi/xen/structures/index.ts';
import type { HypercallRecord } from '../hypervisor/crash-report.ts';
import { Vcpu } from '../hypervisor/domain.ts';
import {
  CPU_CR0,
  CPU_CR2,
  CPU_DR,
  CPU_EFER,
  CPU_FLAGS_OTHER,
  CPU_PAGING,
  CPU_RIP,
  CPU_SEGMENTS,
  PAGING_LONG,
  PAGING_NX,
  PAGING_ON,
  PAGING_PAE,
  PAGING_WRITE_PROTECT,
  SEGMENT_SIZE,
} from '../machine/layout.ts';
import type { Gva, HostAddress, Maddr, Mfn } from '../machine/memory.ts';
import { PAGE_SIZE } from '../machine/memory.ts';
import type { Exit } from '../machine/x86/exits.ts';
import { GuestMemory } from '../machine/x86/guest-memory.ts';
import { CS, GS, SS } from '../machine/x86/registers.ts';
import { isCanonicalHigh } from './canonical.ts';
import {
  CR0_INITIAL,
  CR0_TS,
  CR4_HARDWARE,
  CR4_VISIBLE,
  DR6_INITIAL,
  DR7_INITIAL,
  EFER_INITIAL,
} from './control.ts';
import { buildCrashReport } from './crash.ts';
import type { XenDomain } from './domain.ts';
import { enterGuest } from './entry.ts';
import { handleExit } from './exceptions.ts';
import { HypercallArguments } from './hypercalls/arguments.ts';
import { CONTINUE, HYPERCALL_COUNT, NO_RESULT } from './hypercalls/dispatch.ts';
import { hypercallName } from './hypercalls/names.ts';
import { TRACED_ARGUMENTS, tracedArguments, tracedStructure } from './hypercalls/traced.ts';
import type { VcpuTime } from './parts.ts';
import { DescriptorTables } from './segments.ts';
import { HypercallTrail } from './trail.ts';
import { Callbacks, TrapTable } from './traps.ts';

const MASK_OFFSET = vcpu_info.x64.offset.evtchn_upcall_mask;
const CR2_OFFSET = vcpu_info.x64.offset.arch_cr2;
const RUNSTATE_running = 0;
const RUNSTATE_runnable = 1;
const RUNSTATE_blocked = 2;
const RUNSTATE_offline = 3;
const TWO_32 = 4294967296;

/** A hypercall may do this many units of work (entries updated, say) before it should let others run. */
const PREEMPTION_UNITS = 4096;
/** What a unit costs of the vCPU's turn, in instructions. */
const UNIT_COST = 20;
/** Words of the largest frame that Xen pushes: a failsafe callback's. */
const FRAME_WORDS = 16;

export class XenVcpu extends Vcpu {
  override readonly domain: XenDomain;
  /** Memory by guest virtual address, in the address space that the processor has loaded. */
  readonly guest: GuestMemory;
  /** Arguments of the hypercall being served, and of the multicall entry being served. */
  readonly args = new HypercallArguments();
  readonly multicallArgs = new HypercallArguments();
  inMulticall = false;
  /** TF_kernel_mode: the guest's kernel, as opposed to its user, is running. */
  kernelMode = true;
  readonly traps = new TrapTable();
  readonly callbacks = new Callbacks();
  readonly tables: DescriptorTables;
  /** Where a bounce from user mode puts its frame: stack_switch. */
  kernelSs = 0;
  kernelSp: Gva = 0;
  /** guest_table and guest_table_user: frames of the L4 tables; 0 = none. `mm` holds their references. */
  kernelTable: Mfn = 0;
  userTable: Mfn = 0;
  /** The GS base that is not loaded: the user's while the kernel runs, the kernel's while the user runs. */
  gsBaseInactiveLow = 0;
  gsBaseInactiveHigh = 0;
  /** CR4 as the guest sees it. */
  cr4 = CR4_VISIBLE;
  /** Debug-register conditions that Xen itself watches: I/O breakpoints. */
  dr7Emulated = 0;
  /** I/O privilege level that the guest gave itself: 0 to 3. */
  iopl = 0;
  /** PHYSDEVOP_set_iobitmap: address, and number of ports. */
  ioBitmap: Gva = 0;
  ioBitmapPorts = 0;
  /** Machine address of this vCPU's vcpu_info; 0 = none yet. */
  vcpuInfo: Maddr = 0;
  /** Whether VCPUOP_register_vcpu_info moved it. */
  vcpuInfoRegistered = false;
  /** VCPUOP_initialise, or the builder, has given it a state. */
  initialised = false;
  nmiPending = false;
  /** From the entry of the NMI handler to the next iret. */
  nmiMasked = false;
  /** Ports that SCHEDOP_poll waits for: 0 none, -1 several, else the port. */
  pollPort = 0;
  /** Clocks and timers; hung in by the domain builder. */
  time: VcpuTime | undefined;

  /** The guest is to be entered by SYSRET: see `entry.ts`. */
  returnsBySysret = false;
  /** DS, ES, FS and GS are selectors only: they are loaded when the vCPU first runs. */
  dataSegmentsPending = false;
  /** Selectors whose hidden parts CS and SS hold; -1: unknown, load again. */
  loadedCs = -1;
  loadedSs = -1;
  /** Words of a frame being built. */
  readonly frame = new Int32Array(FRAME_WORDS * 2);
  readonly trail = new HypercallTrail();
  private units = 0;
  private readonly hypercallCounts: Float64Array;

  constructor(domain: XenDomain, id: number) {
    super(id, domain.host.newVcpuState());
    this.domain = domain;
    this.guest = new GuestMemory(domain.host.memory, domain.host.processor);
    this.tables = new DescriptorTables(this);
    this.hypercallCounts = domain.host.stats.hypercallsOf('xen', HYPERCALL_COUNT + 1, hypercallName).counts;
    const { state } = this;
    state.cpl = 3;
    state.cr0 = CR0_INITIAL;
    state.cr4 = CR4_HARDWARE;
    state.set(CPU_EFER, EFER_INITIAL, 0);
    state.set(CPU_DR + 6 * 8, DR6_INITIAL, 0);
    state.set(CPU_DR + 7 * 8, DR7_INITIAL, 0);
    domain.host.memory.i32[(state.base + CPU_PAGING) >>> 2] =
      PAGING_ON | PAGING_PAE | PAGING_LONG | PAGING_NX | PAGING_WRITE_PROTECT;
  }

  /** The same as `state`. */
  get cpu() {
    return this.state;
  }

  /** Host address of vcpu_info, for byte accesses by the offsets of abi's `vcpu_info`. */
  get vcpuInfoHost(): HostAddress {
    return this.domain.host.memory.framesBase + this.vcpuInfo;
  }

  /** vcpu_info.evtchn_upcall_mask: non-zero holds upcalls back. */
  get upcallMask(): number {
    return this.domain.host.memory.u8[this.vcpuInfoHost + MASK_OFFSET]!;
  }
  set upcallMask(mask: number) {
    this.domain.host.memory.u8[this.vcpuInfoHost + MASK_OFFSET] = mask;
  }

  /** Frames of the GDT, 0 = none. */
  get gdtFrames(): Mfn[] {
    return this.tables.gdtFrames;
  }
  get ldtBase(): Gva {
    return this.tables.ldtBase;
  }
  get ldtEntries(): number {
    return this.tables.ldtEntries;
  }

  /** CR0.TS: the next FPU instruction is #NM. */
  get taskSwitched(): boolean {
    return (this.state.low(CPU_CR0) & CR0_TS) !== 0;
  }
  set taskSwitched(set: boolean) {
    const { cr0 } = this.state;
    this.state.cr0 = set ? cr0 | CR0_TS : cr0 & ~CR0_TS;
  }

  // -------------------------------------------------------------- modes and address spaces

  /** Switches between the guest's kernel and its user: tables and GS base. (`toggle_guest_mode`) */
  toggleMode(): void {
    const { state } = this;
    const at = CPU_SEGMENTS + GS * SEGMENT_SIZE + 16;
    const low = state.low(at);
    const high = state.high(at);
    state.setSegmentBase(GS, this.gsBaseInactiveLow, this.gsBaseInactiveHigh);
    this.gsBaseInactiveLow = low;
    this.gsBaseInactiveHigh = high;
    this.toggleTables();
  }

  /** Switches the page tables alone. (`toggle_guest_pt`) */
  toggleTables(): void {
    this.kernelMode = !this.kernelMode;
    this.loadAddressSpace();
    if (this.kernelMode) this.time?.kernelEntered();
  }

  override get inKernel(): boolean {
    return this.kernelMode;
  }
  override get kernelRoot(): Maddr {
    return this.kernelTable * PAGE_SIZE;
  }
  override get kernelGsBase(): Gva {
    if (this.kernelMode) return this.state.segmentBase(GS);
    return this.gsBaseInactiveHigh * TWO_32 + (this.gsBaseInactiveLow >>> 0);
  }

  /** Loads the root of the current mode into the processor; this vCPU must be the active one. */
  loadAddressSpace(): void {
    const mfn = this.kernelMode || !this.domain.is64 ? this.kernelTable : this.userTable;
    this.domain.host.processor.loadRoot(mfn * PAGE_SIZE);
  }

  // -------------------------------------------------------------- registers between exits

  ripLow(): number {
    return this.state.low(CPU_RIP);
  }
  ripHigh(): number {
    return this.state.high(CPU_RIP);
  }
  /** Whether bits 47 to 63 of RIP are alike. */
  ripCanonical(): boolean {
    return isCanonicalHigh(this.ripHigh());
  }

  /** CR2, where both the guest's instructions and its vcpu_info show it. */
  setCr2(low: number, high: number): void {
    this.state.set(CPU_CR2, low, high);
    const { i32 } = this.domain.host.memory;
    const at = (this.vcpuInfoHost + CR2_OFFSET) >>> 2;
    i32[at] = low;
    i32[at + 1] = high;
  }

  /** Sets all of RFLAGS. */
  setFlags(value: number): void {
    this.state.rflags = value;
  }

  /** Clears bits of RFLAGS other than the arithmetic ones. */
  clearFlags(mask: number): void {
    this.domain.host.memory.i32[(this.state.base + CPU_FLAGS_OTHER) >>> 2]! &= ~mask;
  }

  /** Notes a selector without loading its descriptor; `entry.ts` does that. */
  setSelector(segment: number, selector: number): void {
    this.domain.host.memory.i32[(this.state.base + CPU_SEGMENTS + segment * SEGMENT_SIZE) >>> 2] = selector;
  }

  /** The hidden parts of CS and SS are those of their selectors now. */
  noteLoaded(): void {
    this.loadedCs = this.state.selector(CS);
    this.loadedSs = this.state.selector(SS);
  }

  /** A descriptor table has changed: the next return loads CS and SS from it again. */
  segmentsChanged(): void {
    this.loadedCs = -1;
    this.loadedSs = -1;
  }

  /**
   * Copies `words` 64-bit words of `frame` to the guest's stack at `bottom`. `first` and `last` are the host addresses
   * of its first and of its last word, which may lie in two pages.
   */
  storeFrame(words: number, bottom: Gva, first: HostAddress, last: HostAddress): void {
    const { memory } = this.domain.host;
    const { frame } = this;
    const { i32 } = memory;
    const inFirst = Math.min(words, (PAGE_SIZE - ((bottom | 0) & (PAGE_SIZE - 1))) / 8);
    const start = first >>> 2;
    for (let i = 0; i < inFirst * 2; i++) i32[start + i] = frame[i]!;
    memory.noteWrite(first - memory.framesBase, inFirst * 8);
    if (inFirst === words) return;
    const second = last - (words - 1 - inFirst) * 8;
    for (let i = inFirst * 2; i < words * 2; i++) i32[(second >>> 2) + i - inFirst * 2] = frame[i]!;
    memory.noteWrite(second - memory.framesBase, (words - inFirst) * 8);
  }

  // -------------------------------------------------------------- hypercalls

  /** Counts one unit of a hypercall's work. True when it has done enough: note the progress and return CONTINUE. */
  preemptionDue(): boolean {
    this.work += UNIT_COST;
    return ++this.units > PREEMPTION_UNITS;
  }

  /** MMUEXT_SET_LDT. */
  setLdt(base: Gva, entries: number): void {
    this.tables.setLdt(base, entries);
  }

  /** `number` is HYPERCALL_COUNT for one that is in no table. */
  beginHypercall(number: number): void {
    this.units = 0;
    this.hypercallCounts[number]!++;
    this.trail.begin(number, this.args);
  }

  endHypercall(number: number, result: number): void {
    this.trail.end(result);
    const { trace } = this.domain.host;
    if (trace.hypercalls) this.traceHypercall(number, this.args, result);
  }

  /** Counts and traces one entry of a multicall. */
  noteMulticallEntry(number: number, result: number): void {
    this.hypercallCounts[Math.min(number, HYPERCALL_COUNT)]!++;
    const { trace } = this.domain.host;
    if (trace.hypercalls) this.traceHypercall(number, this.multicallArgs, result);
  }

  private traceHypercall(number: number, args: HypercallArguments, result: number): void {
    const { abi } = this.domain;
    const registers = Array.from({ length: TRACED_ARGUMENTS }, (_, i) => args.number(i));
    const taken = tracedArguments(number, registers, abi);
    const shown = result === NO_RESULT || result === CONTINUE ? undefined : result;
    const structure = tracedStructure(number, taken, shown, this.guest, abi);
    this.domain.host.trace.sink.hypercall(this, hypercallName(number), taken, shown, structure);
  }

  // -------------------------------------------------------------- the run loop

  override onScheduled(): void {
    this.domain.host.processor.hooks = this.tables;
    this.loadAddressSpace();
    this.time?.changeRunstate(RUNSTATE_running);
    this.time?.update();
  }
  override onDescheduled(): void {
    this.time?.changeRunstate(this.restState());
  }
  protected override onBlock(): void {
    this.time?.changeRunstate(RUNSTATE_blocked);
  }
  protected override onWake(): void {
    this.time?.changeRunstate(this.restState());
  }
  protected override onOnlineChange(): void {
    this.time?.changeRunstate(this.restState());
  }

  private restState(): number {
    if (!this.online) return RUNSTATE_offline;
    return this.blocked ? RUNSTATE_blocked : RUNSTATE_runnable;
  }

  override prepare(): void {
    enterGuest(this);
  }

  override handleExit(exit: Exit): void {
    // The guest may have loaded other segments; what it has is loaded by definition.
    this.noteLoaded();
    this.returnsBySysret = false;
    handleExit(this, exit);
  }

  /** Ends the domain with a report of where this vCPU stands. `reason` is one line. */
  crash(reason: string): void {
    if (this.domain.live) this.domain.crash(buildCrashReport(this, reason));
  }

  /** The last hypercalls, oldest first, for the crash report. */
  lastHypercalls(): HypercallRecord[] {
    return this.trail.records(this.domain.abi);
  }
}
