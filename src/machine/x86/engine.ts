/**
 * The processor: runs the active vCPU until something needs a decision.
 *
 * `run(budget)` goes round a small loop: find or decode the record at RIP, let the generated interpreter run from
 * there, and act on the exits that concern the engine alone (code to decode, a run to cut short). All other exits are
 * the hypervisor's.
 *
 * Reading order of this folder: registers, flags, definition, instructions/, emitter, interpreter-emitter, variants,
 * decoder, record, code-cache, interpreter, tlb-banks, engine.
 */
import type { Signatures } from '../../wasm/disassemble.ts';
import {
  CPU,
  CPU_BUDGET,
  CPU_CODE_BASE,
  CPU_CODE_CHANGED,
  CPU_CODE_LIMIT,
  CPU_CODE_SLOT,
  CPU_CR3,
  CPU_EXIT_ADDRESS,
  CPU_EXIT_ERROR,
  CPU_EXIT_KIND,
  CPU_EXIT_RECORD,
  CPU_EXIT_VECTOR,
  CPU_FLAGS_OTHER,
  CPU_INTERRUPT_WAITS,
  CPU_PHYSICAL_BASE,
  CPU_PHYSICAL_FRAMES,
  CPU_RIP,
  CPU_SIZE,
  ENGINE_INTERPRETED,
  MODE_CHECKED,
  MODE_LONG,
  REG_PAGE,
  STEP_RECORDS,
  TLB_CODE,
  TLB_EXECUTE,
} from '../layout.ts';
import type { Gva, HostAddress, MachineMemory, Maddr } from '../memory.ts';
import { PAGE_SIZE } from '../memory.ts';
import { CheckedHandlers } from './checked-handlers.ts';
import { CodeCache, codePageSlot, type FollowingPage } from './code-cache.ts';
import { Compiler } from './compiler.ts';
import { Decoder } from './decoder.ts';
import { buildDispatcher } from './dispatcher.ts';
import { Exit } from './exits.ts';
import type { Translator } from './guest-memory.ts';
import { Inspector } from './inspection.ts';
import { InstructionView } from './instruction-view.ts';
import { instructionSet } from './instructions/index.ts';
import { buildInterpreter } from './interpreter.ts';
import { prebuiltInterpreter } from './prebuilt.ts';
import {
  PSEUDO_LINK,
  PSEUDO_STOP,
  PSEUDO_STRADDLE,
  REC_DISPLACEMENT,
  REC_HANDLER,
  REC_HEAT,
  REC_LINK,
  REC_OFFSET,
  REC_RUN,
  RECORD_SIZE,
} from './record.ts';
import { FLAG_IF, FLAG_TF, VECTOR_DB, VECTOR_GP, VECTOR_SS } from './registers.ts';
import { addressedStack, isBeyond } from './stack-fault.ts';
import { VcpuState } from './state.ts';
import { exportedSignatures, supportModuleBytes } from './support-imports.ts';
import { executeSystem, type SystemHooks } from './system.ts';
import { CompilerTier, handlerOf, type TierLink, type TierStats } from './tier.ts';
import { TlbBanks } from './tlb-banks.ts';
import { type Variant, VariantTable } from './variants.ts';

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

/** What the support module exports that TypeScript calls; addresses as halves. */
interface SupportExports {
  translate(low: number, high: number, access: number): number;
  setCodePage(low: number, high: number, codePage: number): void;
  invalidatePage(low: number, high: number): void;
  emptyBank(bank: number): void;
  forbidInlineWrites(page: number, banks: number): void;
  forgetCode(codePage: number, banks: number): void;
}

const ACCESS_READ = 0;
const ACCESS_WRITE = 1;
const ACCESS_FETCH = 2;

export class Engine implements Translator, FollowingPage {
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
  tier: CompilerTier | undefined;
  /** Shows what is held for an address of the guest. */
  inspector!: Inspector;
  private readonly kind: EngineKind;
  /** Instructions that `executeSystem` retired. */
  private systemRetired = 0;
  private active: VcpuState | undefined;
  /** Page that is being decoded, and the mode, for `next`. */
  private fetchLow = 0;
  private fetchHigh = 0;
  private mode = MODE_LONG;
  /** Low half of the linear address that RIP stood for when its record was last looked for. */
  private linearLow = 0;

  private constructor(
    memory: MachineMemory,
    options: EngineOptions,
    imports: WebAssembly.Imports,
    variants: VariantTable,
    decoder: Decoder,
    execute: Execute,
  ) {
    this.memory = memory;
    this.kind = options.kind ?? 'auto';
    this.imports = imports;
    const support = imports.support as unknown as SupportExports;
    this.support = support;
    this.variants = variants;
    this.decoder = decoder;
    this.execute = execute;
    this.hooks = options.hooks ?? { readDescriptor: () => undefined };
    this.cpu = new VcpuState(memory, CPU);
    this.cpu.reset();
    this.banks = new TlbBanks(memory, (bank) => support.emptyBank(bank));
    this.banks.select(0, 0);
    this.codeCache = new CodeCache(memory, decoder);
    this.codeCache.onFlush = () => support.forgetCode(0, this.banks.used);
    this.codeCache.onFirstCode = (page) => support.forbidInlineWrites(page, this.banks.used);
    memory.onCodeWrite = (maddr, length) => this.codeWritten(maddr, length);
  }

  /** Generates the interpreter and links it to the memory. */
  static async create(memory: MachineMemory, options: EngineOptions = {}): Promise<Engine> {
    const kind = options.kind ?? 'auto';
    const heatLimit = kind === 'interpreter' ? 0 : (options.heatLimit ?? HEAT_LIMITS[kind]);
    // What takes longest comes first: it is compiled beside all that follows.
    const prebuilt = prebuiltInterpreter(memory.heat, heatLimit);
    const compiled = prebuilt && WebAssembly.compile(prebuilt);
    const set = instructionSet();
    const variants = new VariantTable(set);
    const decoder = new Decoder(set, variants, memory);
    const supportBytes = supportModuleBytes();
    let engine: Engine | undefined;
    const imports = {
      env: { memory: memory.wasm },
      engine: {
        codeWritten: (host: number, size: number) =>
          engine?.codeWritten((host >>> 0) - memory.framesBase, size),
        hostNow: () => engine?.clock.now() ?? 0,
      },
    };
    const support = await WebAssembly.instantiate(supportBytes, imports);
    const exports = support.instance.exports;
    const signatures = exportedSignatures(supportBytes);
    const pages = memory.wasm.buffer.byteLength / 65536;
    const linked: WebAssembly.Imports = { ...imports, support: exports };
    const compileInterpreter = () =>
      WebAssembly.compile(buildInterpreter(variants, signatures, pages, memory.heat, heatLimit));
    const interpreter = await (compiled ?? compileInterpreter());
    const { handlers, handle, interpret } = (await WebAssembly.instantiate(interpreter, linked)).exports;
    const calls = {
      ...imports.engine,
      interpret,
      find: (stop: number) => engine!.find(stop >>> 0),
      decide: () => engine!.decide(),
      execute: () => engine!.executeInPlace(),
    };
    const dispatcher = await WebAssembly.compile(buildDispatcher(signatures, pages, memory.heat));
    /** A dispatcher for a table of compiled functions. */
    const link = (regions: WebAssembly.Table): TierLink => {
      const own = { ...linked, engine: { ...calls, regions } } as WebAssembly.Imports;
      const { run, settle } = new WebAssembly.Instance(dispatcher, own).exports;
      const modules = { ...linked, engine: { ...imports.engine, handle, regions, settle } };
      return { table: regions, run: run as Execute, imports: modules as WebAssembly.Imports };
    };
    const first = link(new WebAssembly.Table({ initial: 1024, element: 'anyfunc' }));
    engine = new Engine(memory, options, linked, variants, decoder, first.run);
    let readable: Signatures | undefined;
    const checked = new CheckedHandlers(variants, signatures, pages, {
      ...linked,
      engine: { ...imports.engine, handlers },
    } as WebAssembly.Imports);
    decoder.onChecked = (handler) => checked.ensure(handler);
    if (kind !== 'interpreter') {
      const { codeCache } = engine;
      const compiler = new Compiler(memory, codeCache, variants, signatures);
      compiler.annotates = options.annotates === true;
      readable = compiler.calls;
      engine.tier = new CompilerTier(memory, codeCache, compiler, link, first, {
        synchronous: kind === 'compiler',
        now: options.now ?? (() => performance.now()),
      });
      engine.tier.onLink = (run) => {
        engine!.execute = run;
      };
    }
    engine.inspector = new Inspector(memory, engine.codeCache, variants, engine.tier, readable);
    return engine;
  }

  // -------------------------------------------------------------- which vCPU runs

  /** Makes a vCPU the one that runs: its state moves to the active place. */
  activate(state: VcpuState): void {
    if (this.active === state) return;
    this.deactivate();
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
    if ((memory.i32[(CPU + CPU_FLAGS_OTHER) >> 2]! & FLAG_TF) !== 0) return this.singleStep(budget);
    const budgetWord = (CPU + CPU_BUDGET) >> 2;
    memory.u32[budgetWord] = budget;
    memory.i32[(CPU + CPU_EXIT_ADDRESS + 4) >> 2] = 0;
    let stopped = 0;
    let generation = 0;
    for (;;) {
      const record = this.recordAtRip();
      if (record === 0) return Exit.Exception;
      if (stopped !== 0 && generation === this.codeCache.generation) this.linkStop(stopped, record);
      stopped = 0;
      let kind = this.executeFrom(record, memory.u32[budgetWord]!);
      if (kind === Exit.Step) {
        const left = memory.u32[budgetWord]!;
        if (left === 0) return Exit.Budget;
        this.copySteps(memory.u32[(CPU + CPU_EXIT_RECORD) >> 2]!, left);
        kind = this.executeFrom(STEP_RECORDS, left);
        // Steps that branch elsewhere may meet another long run; what is left decides again.
        if (kind === Exit.Step) kind = Exit.Decode;
        else if (kind === Exit.Decode) memory.u32[(CPU + CPU_EXIT_RECORD) >> 2] = 0;
      }
      if (kind === Exit.Settled) {
        if (!this.decided) return memory.i32[(CPU + CPU_EXIT_KIND) >> 2]! as Exit;
        if (this.granted === 0) return Exit.Settled;
        memory.u32[budgetWord] = this.granted;
        if ((memory.i32[(CPU + CPU_FLAGS_OTHER) >> 2]! & FLAG_TF) !== 0) return this.singleStep(this.granted);
        continue;
      }
      if (kind === Exit.Hot) {
        this.requestCompilation();
        // Looking for the record again would access its page.
        if (memory.u32[budgetWord] === 0) return Exit.Budget;
        continue;
      }
      if (kind === Exit.Thrashing) {
        this.tier?.requestLongForm(memory.u32[(CPU + CPU_EXIT_RECORD) >> 2]!);
        if (memory.u32[budgetWord] === 0) return Exit.Budget;
        continue;
      }
      if (kind === Exit.System) {
        const cpl = this.cpu.cpl;
        const outcome = executeSystem(this);
        if (outcome === Exit.Decode) {
          memory.u32[budgetWord] = Math.max(0, memory.u32[budgetWord]! - 1);
          this.countRetired();
          if (this.cpu.cpl !== cpl) this.loadRoot(this.cpu.cr3);
          if (this.interruptWindow()) return Exit.InterruptWindow;
          if (memory.u32[budgetWord] === 0) return Exit.Budget;
          if ((memory.i32[(CPU + CPU_FLAGS_OTHER) >> 2]! & FLAG_TF) !== 0) {
            return this.singleStep(memory.u32[budgetWord]!);
          }
          continue;
        }
        return outcome === Exit.Exception ? this.exception() : outcome;
      }
      if (kind === Exit.Exception) return this.exception();
      if (kind !== Exit.Decode) return kind as Exit;
      if ((memory.i32[(CPU + CPU_FLAGS_OTHER) >> 2]! & FLAG_TF) !== 0) {
        return this.singleStep(memory.u32[budgetWord]!);
      }
      stopped = memory.u32[(CPU + CPU_EXIT_RECORD) >> 2]!;
      generation = this.codeCache.generation;
      if (memory.u32[budgetWord] === 0) return Exit.Budget;
    }
  }

  /**
   * For compiled code that waits: the record at RIP, found or decoded now. 0 if it had better not wait any longer: the
   * budget is spent, fetching faults, or code that is being waited in may have changed. The interpreter stopped at `stop`,
   * if that is not 0.
   */
  private find(stop: HostAddress): HostAddress {
    const { memory } = this;
    if (memory.u32[(CPU + CPU_BUDGET) >> 2] === 0 || this.isStepping()) return 0;
    // Compiled code is of one mode, and RIP of checked code is not an offset yet.
    const { mode } = this;
    if ((mode & MODE_CHECKED) !== 0 || this.cpu.codeMode() !== mode) return 0;
    const record = this.recordAtRip();
    if (record === 0 || memory.u32[(CPU + CPU_CODE_CHANGED) >> 2] !== 0) return 0;
    if (stop !== 0) this.linkStop(stop, record);
    return record;
  }

  /**
   * For code that waits: has the hypervisor decide. Returns what is left of the budget where the vCPU goes on as if nothing
   * had happened; 0 otherwise, and `run` sees to the rest.
   */
  private decide(): number {
    const { memory, cpu, onExit } = this;
    this.decided = onExit !== undefined && (this.mode & MODE_CHECKED) === 0;
    if (onExit === undefined || !this.decided) return 0;
    const low = cpu.low(CPU_RIP);
    const high = cpu.high(CPU_RIP);
    const bank = this.banks.current;
    this.granted = onExit(memory.i32[(CPU + CPU_EXIT_KIND) >> 2]! as Exit);
    memory.i32[(CPU + CPU_EXIT_ADDRESS + 4) >> 2] = 0;
    if (this.granted === 0 || cpu.low(CPU_RIP) !== low || cpu.high(CPU_RIP) !== high) return 0;
    if (this.banks.current !== bank || cpu.codeMode() !== this.mode) return 0;
    if (memory.u32[(CPU + CPU_CODE_CHANGED) >> 2] !== 0 || this.isStepping()) return 0;
    // The code that waits must be what would be fetched now.
    const { view } = memory;
    const tag = bank + ((low >>> 7) & 0x7fe0) + TLB_EXECUTE;
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
    if (cpu.cpl !== 3 || (this.mode & MODE_CHECKED) !== 0) return -Exit.System;
    const bank = this.banks.current;
    const outcome = executeSystem(this);
    if (outcome !== Exit.Decode) return -outcome;
    const left = Math.max(0, u32[(CPU + CPU_BUDGET) >> 2]! - 1);
    u32[(CPU + CPU_BUDGET) >> 2] = left;
    u32[(CPU + CPU_EXIT_RECORD) >> 2] = 0;
    this.countRetired();
    if (this.banks.current !== bank || cpu.codeMode() !== this.mode) return 0;
    return this.isStepping() || u32[(CPU + CPU_CODE_CHANGED) >> 2] !== 0 ? 0 : left;
  }

  private isStepping(): boolean {
    return (this.memory.i32[(CPU + CPU_FLAGS_OTHER) >> 2]! & FLAG_TF) !== 0;
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
  private executeFrom(record: number, budget: number): number {
    // The base before: what a hypervisor has decided on meanwhile is an offset in the segment that it has loaded.
    const base = this.memory.i32[(CPU + CPU_CODE_BASE) >> 2]!;
    const kind = this.execute(record, budget);
    if (base !== 0) this.cpu.set(CPU_RIP, (this.cpu.low(CPU_RIP) - base) | 0, 0);
    return kind;
  }

  /** Whether an offset in CS lies outside its limit; only where limits are looked at. */
  private isBeyondLimit(low: number, high: number): boolean {
    if ((this.mode & (MODE_CHECKED | MODE_LONG)) !== MODE_CHECKED) return false;
    return high !== 0 || low >>> 0 > this.memory.u32[(CPU + CPU_CODE_LIMIT) >> 2]!;
  }

  /** An exception is noted; a non-canonical address used as a stack address is told from others here. */
  private exception(): Exit {
    const { memory, cpu } = this;
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
    const flags = (CPU + CPU_FLAGS_OTHER) >> 2;
    // The flag is set aside for the one instruction: it must not step itself into here again.
    this.memory.i32[flags]! &= ~FLAG_TF;
    const before = this.cpu.retired;
    const { onExit } = this;
    this.onExit = undefined;
    const exit = this.run(1);
    this.onExit = onExit;
    this.memory.i32[flags]! |= FLAG_TF;
    if (exit !== Exit.Budget || this.cpu.retired === before) return exit;
    return this.raise(VECTOR_DB, 0);
  }

  /** An instruction executed outside generated code, here or by a hypervisor, retires. */
  countRetired(): void {
    this.systemRetired++;
    const retired = this.cpu.retired + 1;
    this.cpu.set(0x258, retired | 0, Math.floor(retired / TWO_32) | 0);
  }

  /** The record at RIP: known, or decoded now. 0 if fetching faults; the exception is then noted. */
  private recordAtRip(): number {
    const { memory, cpu } = this;
    const { view } = memory;
    const mode = cpu.codeMode();
    this.mode = mode;
    memory.i32[(CPU + CPU_CODE_SLOT) >> 2] = codePageSlot(mode);
    let low = cpu.low(CPU_RIP);
    // Outside 64-bit mode the instruction after the last one of 4 GiB is the first.
    const high = (mode & MODE_LONG) !== 0 ? cpu.high(CPU_RIP) : 0;
    if (high !== cpu.high(CPU_RIP)) cpu.set(CPU_RIP, low, 0);
    if ((mode & MODE_CHECKED) !== 0) {
      if (this.isBeyondLimit(low, high)) {
        this.raise(VECTOR_GP, 0);
        return 0;
      }
      low = (low + memory.i32[(CPU + CPU_CODE_BASE) >> 2]!) | 0;
    }
    this.linearLow = low;
    const pageLow = low & -4096;
    // Before anything is looked up: even known code may be decoded afresh, and a flush forgets what was found.
    if (!this.codeCache.hasRoom()) this.codeCache.flush();
    this.banks.useMode(mode);
    const bank = this.banks.current;
    const entry = bank + ((low >>> 7) & 0x7fe0);
    const offset = low & 0xfff;
    cpu.set(REG_PAGE, pageLow, high);
    if (
      view.getInt32(entry + TLB_EXECUTE, true) === pageLow &&
      view.getInt32(entry + TLB_EXECUTE + 4, true) === high
    ) {
      const record = memory.u32[(view.getUint32(entry + TLB_CODE, true) + offset * 4) >>> 2]!;
      if (record !== 0) return this.straddlerStillGood(record, low, high);
    }
    const host = this.support.translate(low, high, ACCESS_FETCH) >>> 0;
    if (host === 0) return 0;
    const mfn = (host - offset - memory.framesBase) / PAGE_SIZE;
    const page = this.codeCache.page(mfn, mode);
    this.support.setCodePage(low, high, page.table);
    const known = this.codeCache.lookup(page, offset);
    if (known !== 0) return this.straddlerStillGood(known, low, high);
    this.fetchLow = pageLow;
    this.fetchHigh = high;
    return this.codeCache.decodeBlock(page, offset, this);
  }

  /** For the code cache: where the page after the one being decoded is fetched from. */
  next(): HostAddress {
    const low = (this.fetchLow + PAGE_SIZE) | 0;
    const high = low === 0 ? this.fetchHigh + 1 : this.fetchHigh;
    const wraps = low === 0 && (this.mode & MODE_LONG) === 0;
    if (wraps || this.isBeyondLimit((low - this.memory.i32[(CPU + CPU_CODE_BASE) >> 2]!) | 0, 0)) {
      this.raise(VECTOR_GP, 0);
      return 0;
    }
    const host = this.support.translate(low, high, ACCESS_FETCH) >>> 0;
    if (host === 0) return 0;
    this.markFetchable(low, high, host);
    return host;
  }

  /** Gives the page's TLB entry its execute tag, so that a guard can compare it. */
  private markFetchable(low: number, high: number, host: HostAddress): void {
    const mfn = Math.floor((host - this.memory.framesBase) / PAGE_SIZE);
    const page = this.codeCache.page(mfn, this.mode);
    this.support.setCodePage(low, high, page.table);
  }

  /** A guarded record that left because its guard failed must not be entered again unseen. */
  private straddlerStillGood(record: number, low: number, high: number): number {
    const { view } = this.memory;
    if (view.getUint16(record + REC_HANDLER, true) !== PSEUDO_STRADDLE) return record;
    this.fetchLow = low & -4096;
    this.fetchHigh = high;
    const next = this.next();
    if (next === 0) return 0;
    const nextMfn = Math.floor((next - this.memory.framesBase) / PAGE_SIZE);
    if (view.getUint32(record + REC_DISPLACEMENT, true) === this.codeCache.page(nextMfn, this.mode).table)
      return record;
    // Another frame follows here now: decode afresh.
    const host = this.support.translate(low, high, ACCESS_FETCH) >>> 0;
    const mfn = Math.floor((host - this.memory.framesBase) / PAGE_SIZE);
    this.codeCache.invalidate(mfn);
    return this.codeCache.decodeBlock(this.codeCache.page(mfn, this.mode), low & 0xfff, this);
  }

  /** The record at RIP is hot: asks for its region. */
  private requestCompilation(): void {
    const { memory, cpu, tier } = this;
    const record = memory.u32[(CPU + CPU_EXIT_RECORD) >> 2]!;
    if (tier === undefined || record < memory.codeCache || (this.mode & MODE_CHECKED) !== 0) return;
    const entry = this.banks.current + ((cpu.low(0x0a8) >>> 7) & 0x7fe0);
    const page = this.codeCache.pageOfTable(memory.u32[(entry + TLB_CODE) >> 2]!);
    const linear = cpu.high(0x0a8) * 2 ** 20 + (cpu.low(0x0a8) >>> 12);
    if (page !== undefined) tier.request(page, cpu.low(0x0a8) & 0xfff, linear);
  }

  /** A STOP in a page that is followed by decoded code becomes a link to it. */
  private linkStop(stop: number, record: number): void {
    const { view } = this.memory;
    if (view.getUint16(stop + REC_HANDLER, true) !== PSEUDO_STOP) return;
    if (view.getUint16(stop + REC_OFFSET, true) >= PAGE_SIZE) return;
    if (view.getUint16(stop + REC_OFFSET, true) !== (this.linearLow & 0xfff)) return;
    view.setUint16(stop + REC_HANDLER, PSEUDO_LINK, true);
    view.setUint32(stop + REC_LINK, record, true);
  }

  /** Copies the first `count` instructions of a run, with a STOP behind them. */
  private copySteps(record: number, count: number): void {
    const { u8, view } = this.memory;
    let from = record;
    let to = STEP_RECORDS;
    let left = count;
    for (; left > 0; from += RECORD_SIZE, to += RECORD_SIZE) {
      u8.copyWithin(to, from, from + RECORD_SIZE);
      view.setUint16(to + REC_HANDLER, handlerOf(this.memory, from), true);
      // A copy does not get hot: its next arrival is number 0.
      view.setUint16(to + REC_HEAT, 0xffff, true);
      if (view.getUint16(from + REC_HANDLER, true) > PSEUDO_STRADDLE) left--;
      u8[to + REC_RUN] = left + 1 < count ? left + 1 : count;
    }
    u8.copyWithin(to, from, from + RECORD_SIZE);
    view.setUint16(to + REC_HANDLER, PSEUDO_STOP, true);
    u8[to + REC_RUN] = 0;
  }

  /** Bytes of a frame that hold decoded code were written. */
  private codeWritten(maddr: Maddr, length: number): void {
    let at = maddr;
    const end = maddr + length;
    while (at < end) {
      const mfn = Math.floor(at / PAGE_SIZE);
      const offset = at - mfn * PAGE_SIZE;
      const count = Math.min(end - at, PAGE_SIZE - offset);
      if (this.codeCache.touches(mfn, offset, count)) {
        this.codeCache.invalidate(mfn);
      }
      at += count;
    }
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
    this.memory.i32[(CPU + CPU_EXIT_VECTOR) >> 2] = vector;
    this.memory.i32[(CPU + CPU_EXIT_ERROR) >> 2] = error;
    return Exit.Exception;
  }
}
