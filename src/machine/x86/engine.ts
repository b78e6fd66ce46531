/**
 * The processor: runs the active vCPU until something needs a decision.
 *
 * `run(budget)` goes round a small loop: find or decode the record at RIP, let the generated interpreter run from
 * there, and act on the exits that concern the engine alone (code to decode, a run to cut short). All other exits are
 * the hypervisor's.
 *
 * Reading order of this folder: registers, flags, definition, instructions/, emitter, interpreter-emitter, variants,
 * decoder, record, code-cache, breakpoints, instruction-fetch, interpreter, tlb-banks, generated-modules, engine.
 */
import {
  BREAKPOINT_AHEAD,
  CPU,
  CPU_BUDGET,
  CPU_CODE_BASE,
  CPU_CODE_CHANGED,
  CPU_CR3,
  CPU_EXIT_ADDRESS,
  CPU_EXIT_KIND,
  CPU_EXIT_RECORD,
  CPU_FLAGS_OTHER,
  CPU_INTERRUPT_WAITS,
  CPU_PHYSICAL_BASE,
  CPU_PHYSICAL_FRAMES,
  CPU_REPEAT_AGAIN,
  CPU_RIP,
  CPU_SIZE,
  ENGINE_BREAKPOINTS_MET,
  ENGINE_INTERPRETED,
  ENGINE_NOTES_BREAKPOINTS,
  STEP_RECORDS,
  TLB_CODE,
  TLB_EXECUTE,
} from '../layout.ts';
import type { Gva, HostAddress, MachineMemory, Maddr } from '../memory.ts';
import { PAGE_SIZE } from '../memory.ts';
import { breakpointsAt, hasBreakpoints } from './breakpoints.ts';
import { CheckedHandlers } from './checked-handlers.ts';
import { CodeCache } from './code-cache.ts';
import { Compiler } from './compiler.ts';
import { copyRun } from './cut-run.ts';
import { Decoder } from './decoder.ts';
import { Exit } from './exits.ts';
import { type GeneratedModules, generateModules } from './generated-modules.ts';
import type { Translator } from './guest-memory.ts';
import { Inspector } from './inspection.ts';
import { InstructionFetch } from './instruction-fetch.ts';
import { InstructionView } from './instruction-view.ts';
import { DR6_STEP, FLAG_IF, FLAG_RF, FLAG_TF, VECTOR_DB, VECTOR_GP, VECTOR_SS } from './registers.ts';
import { addressedStack, isBeyond } from './stack-fault.ts';
import { VcpuState } from './state.ts';
import { ACCESS_READ, ACCESS_WRITE, type SupportExports } from './support-exports.ts';
import { executeSystem, type SystemHooks } from './system.ts';
import { CompilerTier, handlerOf, type TierLink, type TierStats } from './tier.ts';
import { TlbBanks } from './tlb-banks.ts';
import { tlbEntryAt } from './tlb-entry.ts';
import type { Variant, VariantTable } from './variants.ts';

const TWO_32 = 4294967296;
/** The root of an address space whose CR3 lies outside the guest's memory: no walk of it comes to an end. */
const NOWHERE = 2 ** 51;

/**
 * What executes guest code: the interpreter alone; compiled code wherever possible, compiled at the first entry; or the
 * interpreter with hot code compiled meanwhile. A guest cannot tell them apart.
 */
export type EngineKind = 'interpreter' | 'compiler' | 'auto';

/** How often a run begins at a record before it is compiled; 0 = never. */
export const HEAT_LIMITS: Readonly<Record<EngineKind, number>> = { interpreter: 0, compiler: 1, auto: 3_000 };

type Execute = (record: number, budget: number) => number;

export interface EngineOptions {
  readonly kind?: EngineKind;
  readonly hooks?: SystemHooks;
  /** Compiled code gets notes for `inspector`; they cost memory. */
  readonly annotates?: boolean;
  /** How often a run begins at a record before it is compiled; without it, what suits the kind. For tests. */
  readonly heatLimit?: number;
  /** Milliseconds by which hot code waits for more of it; without it, the host's. For tests. */
  readonly now?: () => number;
}

/** Who retired instructions, and what was compiled. What is in neither count here, compiled code retired. */
export interface EngineCounts {
  readonly kind: EngineKind;
  /** Instructions retired by the interpreter. */
  readonly interpreted: number;
  /** Instructions retired in TypeScript: segment loads, far transfers and the like. */
  readonly system: number;
  /** Undefined for the interpreter alone. */
  readonly tier: Readonly<TierStats> | undefined;
}

export class Engine implements Translator {
  readonly memory: MachineMemory;
  /** The state at the active place. */
  readonly cpu: VcpuState;
  readonly codeCache: CodeCache;
  readonly variants: VariantTable;
  readonly decoder: Decoder;
  hooks: SystemHooks;
  /** Nanoseconds that RDTSC reads when time is not virtual. */
  clock: { now(): number } = { now: () => 0 };
  private readonly support: SupportExports;
  private readonly imports: WebAssembly.Imports;
  private readonly banks: TlbBanks;
  private readonly fetch: InstructionFetch;
  /** The dispatcher: runs from a record, compiled or interpreted. */
  private execute: Execute;
  /**
   * Decides what happens next when the guest has made an exit of those that the running code can wait for: returns how
   * many instructions the vCPU may execute from its RIP on, 0 to come back from `run` with Exit.Settled. Without it such
   * exits come back from `run` as all others do.
   */
  onExit: ((exit: Exit) => number) | undefined;
  /** The last exit has been decided upon, and so many instructions were granted. */
  private decided = false;
  private granted = 0;
  /** What compiles hot code; undefined for the interpreter alone. */
  readonly tier: CompilerTier | undefined;
  /** Shows what is held for an address of the guest. */
  readonly inspector: Inspector;
  private readonly kind: EngineKind;
  /** Instructions that `executeSystem` retired. */
  private systemRetired = 0;
  private active: VcpuState | undefined;
  /** RFLAGS.TF is seen to: one instruction is being executed, and its trap comes behind it. */
  private stepping = false;
  /** RF holds breakpoints off the instruction that is being executed. */
  private resumes = false;

  private constructor(
    memory: MachineMemory,
    options: EngineOptions,
    modules: GeneratedModules,
    first: TierLink,
  ) {
    const { support, set, variants, signatures } = modules;
    this.memory = memory;
    this.kind = options.kind ?? 'auto';
    this.imports = modules.imports;
    this.support = support;
    this.variants = variants;
    this.decoder = new Decoder(set, variants, memory);
    this.execute = first.run;
    this.hooks = options.hooks ?? { readDescriptor: () => undefined };
    this.cpu = new VcpuState(memory, CPU);
    this.cpu.reset();
    this.banks = new TlbBanks(memory, (bank) => support.emptyBank(bank));
    this.banks.select(0, 0);
    this.codeCache = new CodeCache(memory, this.decoder);
    this.codeCache.onFlush = () => support.forgetCode(0, this.banks.used);
    this.codeCache.onFirstCode = (page) => support.forbidInlineWrites(page, this.banks.used);
    this.fetch = new InstructionFetch(memory, this.cpu, support, this.banks, this.codeCache);
    memory.onCodeWrite = (maddr, length) => this.codeCache.written(maddr, length);
    const checked = new CheckedHandlers(variants, signatures, modules.memoryPages, modules.handlerImports);
    this.decoder.onChecked = (handler) => checked.ensure(handler);
    let compiler: Compiler | undefined;
    if (this.kind !== 'interpreter') {
      compiler = new Compiler(memory, this.codeCache, variants, signatures);
      compiler.annotates = options.annotates === true;
      this.tier = new CompilerTier(memory, this.codeCache, compiler, modules.link, first, {
        synchronous: this.kind === 'compiler',
        now: options.now ?? (() => performance.now()),
      });
      this.tier.onLink = (run) => {
        this.execute = run;
      };
    }
    this.inspector = new Inspector(memory, this.codeCache, variants, this.tier, compiler?.calls);
  }

  /** Generates the interpreter and links it to the memory. */
  static async create(memory: MachineMemory, options: EngineOptions = {}): Promise<Engine> {
    const kind = options.kind ?? 'auto';
    const heatLimit = kind === 'interpreter' ? 0 : (options.heatLimit ?? HEAT_LIMITS[kind]);
    let engine: Engine | undefined;
    const modules = await generateModules(memory, heatLimit, {
      codeWritten: (host, size) => engine?.codeCache.written((host >>> 0) - memory.framesBase, size),
      hostNow: () => engine?.clock.now() ?? 0,
      find: (stop) => engine!.find(stop >>> 0),
      decide: () => engine!.decide(),
      execute: () => engine!.executeInPlace(),
    });
    const first = modules.link(new WebAssembly.Table({ initial: 1024, element: 'anyfunc' }));
    engine = new Engine(memory, options, modules, first);
    return engine;
  }

  // -------------------------------------------------------------- which vCPU runs

  /** Makes a vCPU the one that runs: its state moves to the active place. */
  activate(state: VcpuState): void {
    if (this.active === state) return;
    this.deactivate();
    // What one vCPU watches, the TLB may know from another.
    if (hasBreakpoints(this.cpu) || hasBreakpoints(state)) this.banks.emptyAll();
    const { u8 } = this.memory;
    u8.copyWithin(CPU, state.home, state.home + CPU_SIZE);
    state.base = CPU;
    this.active = state;
    this.loadRoot(state.cr3);
  }

  /** Moves the active vCPU's state back to its own place. */
  deactivate(): void {
    const { active } = this;
    if (active === undefined) return;
    if (!active.released) this.memory.u8.copyWithin(active.home, CPU, CPU + CPU_SIZE);
    active.base = active.home;
    this.active = undefined;
  }

  // -------------------------------------------------------------- address spaces

  /** Loads CR3: the address space's TLB bank becomes the active one, emptied if any page table changed meanwhile. */
  loadRoot(cr3: Maddr): void {
    this.cpu.set(CPU_CR3, cr3 | 0, Math.floor(cr3 / TWO_32) | 0);
    this.banks.select(this.rootOf(cr3), this.cpu.cpl === 3 ? 1 : 0);
  }

  /** The machine address behind a CR3: a bank belongs to the table, whatever the guest that loads it calls its address. */
  private rootOf(cr3: Maddr): Maddr {
    const { memory } = this;
    const frames = memory.u32[(CPU + CPU_PHYSICAL_FRAMES) >> 2]!;
    if (cr3 >= frames * PAGE_SIZE) return NOWHERE;
    return cr3 + memory.u32[(CPU + CPU_PHYSICAL_BASE) >> 2]! - memory.framesBase;
  }

  /**
   * A present entry was changed, cleared or restricted: of a lowest-level table in `slot`, or of any table. Address spaces
   * that are loaded from now on know nothing that it made stale.
   */
  noteTableChange(slot?: number): void {
    this.banks.noteTableChange(slot);
  }

  /** A table is no root any more. */
  forgetRoot(root: Maddr): void {
    this.banks.forgetRoot(this.rootOf(root));
  }

  /** INVLPG in the active address space. */
  invalidatePage(gva: Gva): void {
    this.support.invalidatePage(gva | 0, Math.floor(gva / TWO_32) | 0);
  }

  /**
   * INVLPG for page tables that nobody watches: a large page may lie at the address, and the other privilege's bank knows
   * it too.
   */
  invalidateRegion(gva: Gva): void {
    const root = this.rootOf(this.cpu.cr3);
    this.banks.emptyRegion(root, 0, gva | 0);
    this.banks.emptyRegion(root, 1, gva | 0);
  }

  /** Empties every bank. */
  invalidateAll(): void {
    this.banks.emptyAll();
  }

  translate(low: number, high: number, write: boolean): HostAddress {
    return this.support.translate(low, high, write ? ACCESS_WRITE : ACCESS_READ) >>> 0;
  }

  // -------------------------------------------------------------- running

  /**
   * Executes up to `budget` instructions of the active vCPU. RIP, flags and CPU_RETIRED are exact afterwards; for the
   * meaning of the exits see exits.ts.
   */
  run(budget: number): Exit {
    const { memory } = this;
    this.tier?.poll();
    if (this.isStepping()) return this.singleStep(budget);
    const budgetWord = (CPU + CPU_BUDGET) >> 2;
    memory.u32[budgetWord] = budget;
    memory.i32[(CPU + CPU_EXIT_ADDRESS + 4) >> 2] = 0;
    let stopped = 0;
    let generation = 0;
    for (;;) {
      const record = this.fetch.record();
      if (record === 0) return Exit.Exception;
      if (stopped !== 0 && generation === this.codeCache.generation) this.fetch.linkStop(stopped, record);
      stopped = 0;
      const met = this.breakpointsHere();
      if (met !== 0) return this.raise(VECTOR_DB, met);
      const kind =
        this.fetch.isNearBreakpoint || this.resumes
          ? this.executeOne(record, memory.u32[budgetWord]!)
          : this.executeWithin(record, memory.u32[budgetWord]!);
      switch (kind) {
        case Exit.Decode:
          stopped = memory.u32[(CPU + CPU_EXIT_RECORD) >> 2]!;
          generation = this.codeCache.generation;
          break;
        case Exit.Hot:
          this.requestCompilation();
          break;
        case Exit.Thrashing:
          this.tier?.requestLongForm(memory.u32[(CPU + CPU_EXIT_RECORD) >> 2]!);
          break;
        case Exit.Settled:
          if (!this.decided) return memory.i32[(CPU + CPU_EXIT_KIND) >> 2]! as Exit;
          if (this.granted === 0) return Exit.Settled;
          memory.u32[budgetWord] = this.granted;
          break;
        case Exit.System: {
          const outcome = this.executeSystem();
          if (outcome !== Exit.Decode) return outcome;
          break;
        }
        case Exit.Exception: {
          const outcome = this.exception();
          if (outcome !== Exit.Decode) return outcome;
          break;
        }
        default:
          return kind;
      }
      const left = memory.u32[budgetWord]!;
      if (this.isStepping()) return this.singleStep(left);
      // Looking for the next record would access its page.
      if (left === 0) return Exit.Budget;
    }
  }

  /** Runs from a record, or only the beginning of its run if the budget does not reach to its end. */
  private executeWithin(record: HostAddress, budget: number): Exit {
    const { memory } = this;
    const kind = this.executeFrom(record, budget);
    if (kind !== Exit.Step) return kind;
    const left = memory.u32[(CPU + CPU_BUDGET) >> 2]!;
    if (left === 0) return Exit.Budget;
    return this.executeCopy(memory.u32[(CPU + CPU_EXIT_RECORD) >> 2]!, left);
  }

  /** Executes the first `count` instructions of a run that has more. */
  private executeCopy(record: HostAddress, count: number): Exit {
    const { memory } = this;
    copyRun(memory, record, count);
    const kind = this.executeFrom(STEP_RECORDS, count);
    // Steps that branch elsewhere may meet another long run; what is left decides again.
    if (kind === Exit.Step) return Exit.Decode;
    if (kind === Exit.Decode) memory.u32[(CPU + CPU_EXIT_RECORD) >> 2] = 0;
    return kind;
  }

  /** Executes one instruction, or an iteration of one that repeats, where there may be a breakpoint before the next. */
  private executeOne(record: HostAddress, budget: number): Exit {
    const { u32 } = this.memory;
    u32[(CPU + CPU_REPEAT_AGAIN) >> 2] = 0;
    const kind = this.executeCopy(record, 1);
    this.fetch.forgetNext();
    // An instruction that repeats has met its breakpoint before the first iteration.
    if (u32[(CPU + CPU_REPEAT_AGAIN) >> 2] !== 0) this.setResumeFlag();
    if (kind !== Exit.Settled) u32[(CPU + CPU_BUDGET) >> 2]! += budget - 1;
    return kind === Exit.Budget ? Exit.Decode : kind;
  }

  /** Executes an instruction that generated code has left to TypeScript. Exit.Decode: done, it goes on at RIP. */
  private executeSystem(): Exit {
    const { cpu } = this;
    const { cpl } = cpu;
    const outcome = executeSystem(this);
    if (outcome === Exit.Exception) return this.exception();
    if (outcome !== Exit.Decode) return outcome;
    this.retireSystem();
    if (cpu.cpl !== cpl) this.loadRoot(cpu.cr3);
    return this.interruptWindow() ? Exit.InterruptWindow : Exit.Decode;
  }

  /**
   * For compiled code that waits: the record at RIP, found or decoded now. 0 if it had better not wait any longer: the
   * budget is spent, fetching faults, or code that is being waited in may have changed. The interpreter stopped at `stop`,
   * if that is not 0.
   */
  private find(stop: HostAddress): HostAddress {
    const { memory } = this;
    if (memory.u32[(CPU + CPU_BUDGET) >> 2] === 0 || this.needsCare()) return 0;
    // Compiled code is of one mode, and RIP of checked code is not an offset yet.
    if (this.fetch.isChecked || this.cpu.codeMode() !== this.fetch.mode) return 0;
    const record = this.fetch.record();
    if (record === 0 || memory.u32[(CPU + CPU_CODE_CHANGED) >> 2] !== 0) return 0;
    if (this.fetch.isNearBreakpoint) return 0;
    if (stop !== 0) this.fetch.linkStop(stop, record);
    return record;
  }

  /**
   * For code that waits: has the hypervisor decide. Returns what is left of the budget where the vCPU goes on as if nothing
   * had happened; 0 otherwise, and `run` sees to the rest.
   */
  private decide(): number {
    const { memory, cpu, onExit } = this;
    this.decided = onExit !== undefined && !this.fetch.isChecked;
    if (onExit === undefined || !this.decided) return 0;
    const low = cpu.low(CPU_RIP);
    const high = cpu.high(CPU_RIP);
    const bank = this.banks.current;
    this.granted = onExit(memory.i32[(CPU + CPU_EXIT_KIND) >> 2]! as Exit);
    memory.i32[(CPU + CPU_EXIT_ADDRESS + 4) >> 2] = 0;
    if (this.granted === 0 || cpu.low(CPU_RIP) !== low || cpu.high(CPU_RIP) !== high) return 0;
    if (this.banks.current !== bank || cpu.codeMode() !== this.fetch.mode) return 0;
    if (memory.u32[(CPU + CPU_CODE_CHANGED) >> 2] !== 0 || this.needsCare()) return 0;
    // The code that waits must be what would be fetched now.
    const { view } = memory;
    const tag = tlbEntryAt(low, bank) + TLB_EXECUTE;
    if (view.getInt32(tag, true) !== (low & -4096) || view.getInt32(tag + 4, true) !== high) return 0;
    return this.granted;
  }

  /**
   * For code that waits: executes the instruction that generated code has left to TypeScript. Returns what is left of the
   * budget; 0 if nobody had better wait any longer; the negated Exit if the instruction has not been executed.
   */
  private executeInPlace(): number {
    const { memory, cpu } = this;
    const { u32 } = memory;
    // Where a bare machine's kernel runs, more may come of it.
    if (cpu.cpl !== 3 || this.fetch.isChecked) return -Exit.System;
    const bank = this.banks.current;
    const outcome = executeSystem(this);
    if (outcome !== Exit.Decode) return -outcome;
    u32[(CPU + CPU_EXIT_RECORD) >> 2] = 0;
    const left = this.retireSystem();
    if (this.banks.current !== bank || cpu.codeMode() !== this.fetch.mode) return 0;
    return this.needsCare() || u32[(CPU + CPU_CODE_CHANGED) >> 2] !== 0 ? 0 : left;
  }

  private isStepping(): boolean {
    return !this.stepping && (this.memory.i32[(CPU + CPU_FLAGS_OTHER) >> 2]! & FLAG_TF) !== 0;
  }

  /** RFLAGS has something to say of the next instruction, which only `run` looks at: that it is a step, or past a breakpoint. */
  private needsCare(): boolean {
    return (this.memory.i32[(CPU + CPU_FLAGS_OTHER) >> 2]! & (FLAG_TF | FLAG_RF)) !== 0;
  }

  /** True if an interrupt waits for RFLAGS.IF, and it is set. */
  private interruptWindow(): boolean {
    const { i32 } = this.memory;
    return (
      i32[(CPU + CPU_INTERRUPT_WAITS) >> 2] !== 0 && (i32[(CPU + CPU_FLAGS_OTHER) >> 2]! & FLAG_IF) !== 0
    );
  }

  /**
   * Runs from a record. Generated code has linear addresses for RIP; everywhere else RIP is an offset in CS, which is the
   * same wherever the base of CS is zero.
   */
  private executeFrom(record: HostAddress, budget: number): Exit {
    // The base before: what a hypervisor has decided on meanwhile is an offset in the segment that it has loaded.
    const base = this.memory.i32[(CPU + CPU_CODE_BASE) >> 2]!;
    const kind = this.execute(record, budget) as Exit;
    if (base !== 0) this.cpu.set(CPU_RIP, (this.cpu.low(CPU_RIP) - base) | 0, 0);
    return kind;
  }

  /** The breakpoints of instructions that RIP meets, as DR6 shows them: none where RF holds them off for one instruction. */
  private breakpointsHere(): number {
    const { memory, cpu, fetch } = this;
    const flags = (CPU + CPU_FLAGS_OTHER) >> 2;
    this.resumes = (memory.i32[flags]! & FLAG_RF) !== 0;
    if (this.resumes) {
      memory.i32[flags]! &= ~FLAG_RF;
      return 0;
    }
    if (!fetch.isNearBreakpoint || memory.u32[ENGINE_NOTES_BREAKPOINTS >> 2] !== 0) return 0;
    return breakpointsAt(cpu, fetch.linearLow, cpu.high(CPU_RIP));
  }

  private setResumeFlag(): void {
    this.memory.i32[(CPU + CPU_FLAGS_OTHER) >> 2]! |= FLAG_RF;
  }

  /**
   * An instruction, or an iteration of one that repeats, is about to access what a breakpoint watches, and has done nothing
   * yet: executes it. #DB behind it if it has met the breakpoint; Exit.Decode if nothing has come of it.
   */
  private executeWatched(): Exit {
    const { memory, cpu } = this;
    const budgetWord = (CPU + CPU_BUDGET) >> 2;
    const left = memory.u32[budgetWord]!;
    const before = cpu.retired;
    memory.u32[ENGINE_BREAKPOINTS_MET >> 2] = 0;
    memory.u32[ENGINE_NOTES_BREAKPOINTS >> 2] = 1;
    const exit = this.runOne();
    memory.u32[ENGINE_NOTES_BREAKPOINTS >> 2] = 0;
    if (cpu.retired === before) return exit;
    memory.u32[budgetWord] = left - 1;
    const met = memory.u32[ENGINE_BREAKPOINTS_MET >> 2]!;
    if (met !== 0) return this.raise(VECTOR_DB, met);
    return exit === Exit.Budget ? Exit.Decode : exit;
  }

  /** An exception is noted; a non-canonical address used as a stack address is told from others here. */
  private exception(): Exit {
    const { memory, cpu } = this;
    // The instruction has not been executed: when it is again, RF is to hold its breakpoint off again.
    if (this.resumes) this.setResumeFlag();
    if (cpu.exitVector === BREAKPOINT_AHEAD) return this.executeWatched();
    if (cpu.exitVector === VECTOR_GP && isBeyond(memory)) {
      const record = memory.u32[(CPU + CPU_EXIT_RECORD) >> 2]!;
      const variant = this.variantAt(record);
      if (variant !== undefined && addressedStack(memory, record, variant)) return this.raise(VECTOR_SS, 0);
    }
    return Exit.Exception;
  }

  /** With RFLAGS.TF set, each instruction ends in a #DB trap (Intel SDM 3B, 17.3.1.4). */
  private singleStep(budget: number): Exit {
    if (budget === 0) return Exit.Budget;
    // The flag counts as it was before the instruction, which may push, load or clear it.
    this.stepping = true;
    const before = this.cpu.retired;
    const exit = this.runOne();
    this.stepping = false;
    if (this.cpu.retired === before) return exit;
    // An interrupt that waits comes behind the trap.
    if (exit === Exit.Budget || exit === Exit.InterruptWindow) return this.raise(VECTOR_DB, DR6_STEP);
    // Behind the instruction, breakpoints that it has met are reported along with the step.
    const isTrap = exit === Exit.Exception && this.cpu.exitVector === VECTOR_DB;
    return isTrap ? this.raise(VECTOR_DB, this.cpu.exitError | DR6_STEP) : exit;
  }

  /** Executes one instruction; who called decides what comes of it. */
  private runOne(): Exit {
    const { onExit } = this;
    this.onExit = undefined;
    const exit = this.run(1);
    this.onExit = onExit;
    return exit;
  }

  /** An instruction that was left to TypeScript has been executed: returns what is left of the budget. */
  private retireSystem(): number {
    const { u32 } = this.memory;
    const left = Math.max(0, u32[(CPU + CPU_BUDGET) >> 2]! - 1);
    u32[(CPU + CPU_BUDGET) >> 2] = left;
    this.countRetired();
    return left;
  }

  /** An instruction executed outside generated code, here or by a hypervisor, retires. */
  countRetired(): void {
    this.systemRetired++;
    this.cpu.retire();
  }

  /** The record at RIP is hot: asks for its region. */
  private requestCompilation(): void {
    const { memory, cpu, tier } = this;
    const record = memory.u32[(CPU + CPU_EXIT_RECORD) >> 2]!;
    if (tier === undefined || record < memory.codeCache || this.fetch.isChecked) return;
    const low = cpu.low(CPU_RIP);
    const page = this.codeCache.pageOfTable(
      memory.u32[(tlbEntryAt(low, this.banks.current) + TLB_CODE) >> 2]!,
    );
    const linear = cpu.high(CPU_RIP) * 2 ** 20 + (low >>> 12);
    if (page !== undefined) tier.request(page, low & (PAGE_SIZE - 1), linear);
  }

  /** The variant of a record's handler, for TypeScript that executes or explains an instruction. */
  variantAt(record: HostAddress): Variant | undefined {
    return this.variants.variantOf(handlerOf(this.memory, record));
  }

  /** The instruction that the last exit is about; undefined where there is none. */
  instructionAtExit(): InstructionView | undefined {
    const record = this.memory.u32[(CPU + CPU_EXIT_RECORD) >> 2]!;
    const variant = record === 0 ? undefined : this.variantAt(record);
    return variant === undefined ? undefined : new InstructionView(this.memory, this.cpu, record, variant);
  }

  /** What this engine has executed and compiled so far. */
  counts(): EngineCounts {
    const { u32 } = this.memory;
    const at = ENGINE_INTERPRETED >> 2;
    const interpreted = u32[at + 1]! * TWO_32 + u32[at]!;
    return { kind: this.kind, interpreted, system: this.systemRetired, tier: this.tier?.stats };
  }

  /** Instantiates a generated module: its memory, support functions and engine calls are this engine's. */
  async link(module: Uint8Array<ArrayBuffer>): Promise<WebAssembly.Exports> {
    return (await WebAssembly.instantiate(module, this.imports)).instance.exports;
  }

  /** Notes an exception as generated code would. */
  raise(vector: number, error: number): Exit {
    this.cpu.noteException(vector, error);
    return Exit.Exception;
  }
}
