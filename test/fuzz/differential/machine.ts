/**
 * A machine for differential programs: one engine, the memory of `layout.ts`, and a small host. The host does the same in
 * every run of a program: it mends pages, lets the program go on behind what faulted, and answers INTs and the program's
 * events with actions that an engine with a memory might overlook.
 */
import {
  CPU,
  CPU_CLOCK_VIRTUAL,
  CPU_DR,
  CPU_EFER,
  CPU_FPU_CONTROL,
  CPU_INTERRUPT_WAITS,
  CPU_MXCSR,
  CPU_PAGING,
  CPU_REGS,
  CPU_XMM,
  PAGING_LONG,
  PAGING_NX,
  PAGING_ON,
  PAGING_WRITE_PROTECT,
  PF_PRESENT,
  PTE_PRESENT,
  PTE_USER,
  PTE_WRITE,
} from '../../../src/machine/layout.ts';
import { MachineMemory, type Mfn, PAGE_SIZE } from '../../../src/machine/memory.ts';
import { Engine, type EngineOptions } from '../../../src/machine/x86/engine.ts';
import { Exit } from '../../../src/machine/x86/exits.ts';
import { CS, DS, ES, FLAG_RF, FS, GS, RSP, SS } from '../../../src/machine/x86/registers.ts';
import {
  biased,
  double,
  extended,
  next,
  seed,
  single,
  value,
} from '../../../src/machine/x86/vectors/random.ts';
import { readDescriptor } from '../../../src/machine/x86/vectors/segments.ts';
import {
  ABSENT,
  CODE,
  CODE_PAGES,
  COUNTER_COUNT,
  COUNTERS,
  DATA,
  MIDDLE,
  NO_CODE,
  OTHER,
  PAGE_TABLE,
  READ_ONLY,
  STACK,
  STACK_TOP,
  SUPERVISOR,
  TABLE,
  TWIN,
} from './layout.ts';
import type { Image, Program } from './program.ts';

const FRAMES = 24;
const ROOTS = [1, 2];
const UPPER: Mfn = 3;
const MIDDLE_TABLE: Mfn = 4;
const LOW_TABLE: Mfn = 5;
const TWIN_TABLE: Mfn = 6;

const RO = PTE_PRESENT | PTE_USER;
const RW = RO | PTE_WRITE;
const KERNEL = PTE_PRESENT | PTE_WRITE;
const NX = 0x80000000 | 0;

interface Page {
  readonly at: number;
  readonly mfn: Mfn;
  readonly rights: number;
  readonly noCode?: boolean;
}
/** Frames that follow each other in memory are not neighbours among the addresses. */
const CODE_FRAMES = [8, 10, 7] as const;
const OTHER_FRAMES = [9, 11] as const;
const SPARE_CODE: Mfn = 12;
const DATA_FRAME: Mfn = 14;
const MIDDLE_FRAME: Mfn = 13;
const NO_CODE_FRAME: Mfn = 16;
const TABLE_FRAME: Mfn = 18;
const PAGES: readonly Page[] = [
  { at: CODE, mfn: CODE_FRAMES[0], rights: RW },
  { at: CODE + PAGE_SIZE, mfn: CODE_FRAMES[1], rights: RW },
  { at: CODE + 2 * PAGE_SIZE, mfn: CODE_FRAMES[2], rights: RW },
  { at: OTHER, mfn: OTHER_FRAMES[0], rights: RW },
  { at: DATA, mfn: DATA_FRAME, rights: RW },
  { at: MIDDLE, mfn: MIDDLE_FRAME, rights: RW },
  { at: READ_ONLY, mfn: 15, rights: RO },
  { at: NO_CODE, mfn: NO_CODE_FRAME, rights: RW, noCode: true },
  { at: SUPERVISOR, mfn: 17, rights: KERNEL },
  { at: TABLE, mfn: TABLE_FRAME, rights: RW },
  { at: STACK, mfn: 20, rights: RW },
  { at: STACK + PAGE_SIZE, mfn: 19, rights: RW },
];
/** Pages that are absent until somebody wants them, and their frames. */
const MENDED: ReadonlyMap<number, Mfn> = new Map([
  [ABSENT, 21],
  [DATA - PAGE_SIZE, 22],
  [STACK - PAGE_SIZE, 23],
  [MIDDLE, MIDDLE_FRAME],
]);

/** DR7: accesses to 8 bytes, stores to 4, an instruction, stores to 2. */
const DR7_WATCHING = 0x50db04aa | 0;

export const VECTOR_ACTIONS = 0x60;
export const ACTION_FLUSH = 0;

/** What the host does at an INT with the vector VECTOR_ACTIONS + its index here, or at an event. */
const ACTION_TABLE: readonly ((m: DifferentialMachine) => void)[] = [
  (m) => m.engine.invalidateAll(),
  (m) => m.exchange(OTHER, OTHER_FRAMES[0] ^ OTHER_FRAMES[1]),
  (m) => m.exchange(CODE + PAGE_SIZE, CODE_FRAMES[1] ^ SPARE_CODE),
  (m) => m.toggle(OTHER, 0, NX),
  (m) => m.writeCode(),
  (m) => m.toggle(DATA, PTE_WRITE, 0),
  (m) => m.toggle(MIDDLE, PTE_PRESENT, 0),
  (m) => m.loadRoot(0),
  (m) => m.forgetUse(),
  (m) => (m.engine.cpu.cr0 ^= 8),
  (m) => m.swapData(),
  (m) => m.engine.invalidatePage(CODE),
  (m) => m.exchange(CODE + TWIN, CODE_FRAMES[0] ^ CODE_FRAMES[1]),
  (m) => m.engine.codeCache.flush(),
  (m) => m.wantInterrupts(),
  (m) => m.loadRoot(1),
  (m) => m.divert(),
  (m) => m.toggle(CODE + 2 * PAGE_SIZE, PTE_USER, 0),
  (m) => m.engine.invalidateRegion(MIDDLE),
  (m) => m.watch(),
];
export const ACTIONS = ACTION_TABLE.length;

export class DifferentialMachine {
  readonly engine: Engine;
  readonly memory: MachineMemory;
  /** What is compiled arrives when the event loop has turned. */
  readonly asynchronous: boolean;
  /** What the frames hold before a program runs. */
  private readonly initial = new Uint8Array(FRAMES * PAGE_SIZE);
  private readonly initialWords = new Int32Array(this.initial.buffer);
  private program!: Program;
  private image!: Image;
  /** Piece addresses of each part, rising. */
  private landings: readonly number[] = [];
  private diversions = 0;

  private constructor(engine: Engine, asynchronous: boolean) {
    this.engine = engine;
    this.memory = engine.memory;
    this.asynchronous = asynchronous;
  }

  static async create(options: EngineOptions): Promise<DifferentialMachine> {
    const memory = new MachineMemory({ frames: FRAMES, codeCacheBytes: 2 << 20 });
    const engine = await Engine.create(memory, { ...options, hooks: { readDescriptor } });
    return new DifferentialMachine(engine, options.kind === 'auto');
  }

  // ---------------------------------------------------------------- the state before

  /** Drops what was decoded and compiled: a run that fails must fail again, whatever ran before. */
  forget(): void {
    this.engine.codeCache.flush();
  }

  /** Puts a program and its data into memory. Frames that hold what they should keep their decoded code. */
  load(program: Program, image: Image): void {
    this.program = program;
    this.image = image;
    this.landings = [...image.addresses.values()].sort((a, b) => a - b);
    this.diversions = 0;
    this.fill();
    const { memory, engine, initial } = this;
    for (let mfn = 0; mfn < FRAMES; mfn++) {
      const wanted = initial.subarray(mfn * PAGE_SIZE, (mfn + 1) * PAGE_SIZE);
      const host = memory.host(mfn * PAGE_SIZE);
      const held = memory.u8.subarray(host, host + PAGE_SIZE);
      if (Buffer.compare(held, wanted) !== 0) memory.writeBytes(mfn * PAGE_SIZE, wanted);
    }
    engine.noteTableChange();
    engine.invalidateAll();
    this.loadProcessor();
  }

  private fill(): void {
    const { program, image, initial, initialWords } = this;
    initial.fill(0);
    seed(`differential ${program.seed}`);
    const numbers = (mfn: Mfn): void => {
      const end = ((mfn + 1) * PAGE_SIZE) >> 2;
      for (let at = (mfn * PAGE_SIZE) >> 2; at < end; at += 4) {
        const kind = next() & 7;
        if (kind === 0) extended();
        else if (kind < 3) double();
        else biased();
        if (kind === 3) value.low = single();
        initialWords[at] = value.low;
        initialWords[at + 1] = value.high;
        initialWords[at + 2] = kind === 0 ? value.extra : next() & 0xff;
        initialWords[at + 3] = kind === 0 ? 0 : next();
      }
    };
    for (const mfn of [13, 14, 15, 17, 19, 20, 21, 22, 23]) numbers(mfn);
    for (let page = 0; page < CODE_PAGES; page++) {
      initial.set(
        image.code.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE),
        CODE_FRAMES[page]! * PAGE_SIZE,
      );
    }
    initial.set(image.other, OTHER_FRAMES[0] * PAGE_SIZE);
    // The exchange pages hold the same code with other instructions here and there.
    const spare = (from: Mfn, to: Mfn): void => {
      initial.copyWithin(to * PAGE_SIZE, from * PAGE_SIZE, (from + 1) * PAGE_SIZE);
      for (let i = next() & 31; i < PAGE_SIZE; i += 1 + (next() & 127))
        initial[to * PAGE_SIZE + i]! ^= next() & 8;
    };
    spare(OTHER_FRAMES[0], OTHER_FRAMES[1]);
    spare(CODE_FRAMES[1], SPARE_CODE);
    const word = (maddr: number, low: number, high = 0): void => {
      initialWords[maddr >> 2] = low;
      initialWords[(maddr >> 2) + 1] = high;
    };
    const { pieces } = program;
    for (let i = 0; i < PAGE_SIZE / 8; i++) {
      const { number } = pieces[next() % pieces.length] ?? { number: 0 };
      word(TABLE_FRAME * PAGE_SIZE + 8 * i, image.resolve(number) + ((next() & 15) === 0 ? TWIN : 0));
    }
    for (let i = 0; i < COUNTER_COUNT; i++)
      word(NO_CODE_FRAME * PAGE_SIZE + COUNTERS - NO_CODE + 8 * i, 1 + (next() % 12));
    for (const root of ROOTS) word(root * PAGE_SIZE, (UPPER * PAGE_SIZE) | RW);
    word(UPPER * PAGE_SIZE, (MIDDLE_TABLE * PAGE_SIZE) | RW);
    word(MIDDLE_TABLE * PAGE_SIZE, (LOW_TABLE * PAGE_SIZE) | RW);
    word(MIDDLE_TABLE * PAGE_SIZE + (TWIN / 0x200000) * 8, (TWIN_TABLE * PAGE_SIZE) | RW);
    for (const { at, mfn, rights, noCode } of PAGES) {
      const entry = (at / PAGE_SIZE) * 8;
      for (const table of [LOW_TABLE, TWIN_TABLE]) {
        word(table * PAGE_SIZE + entry, (mfn * PAGE_SIZE) | rights, noCode ? NX : 0);
      }
    }
    word(LOW_TABLE * PAGE_SIZE + (PAGE_TABLE / PAGE_SIZE) * 8, (LOW_TABLE * PAGE_SIZE) | RW, NX);
  }

  private loadProcessor(): void {
    const { engine, program, memory } = this;
    const { cpu } = engine;
    cpu.reset();
    cpu.cr0 = 0x80010033;
    cpu.cr4 = 0x6b0;
    cpu.set(CPU_EFER, 0xd01, 0);
    memory.u32[(CPU + CPU_PAGING) >> 2] = PAGING_ON | PAGING_LONG | PAGING_NX | PAGING_WRITE_PROTECT;
    memory.u32[(CPU + CPU_CLOCK_VIRTUAL) >> 2] = 1;
    this.loadMode();
    cpu.setSegment(FS, 0, 0xc0f3, 0xffffffff, 0x1230);
    cpu.setSegment(GS, 0, 0xc0f3, 0xffffffff, -64);
    const long = program.mode !== 'compatibility';
    for (let n = 0; n < 16; n++) {
      biased();
      cpu.setReg(n, value.low, long ? value.high : 0);
    }
    for (const n of [3, 5, 6, 7]) {
      cpu.setReg(n, (n === 3 ? MIDDLE : n === 5 ? STACK + PAGE_SIZE : DATA) + (next() & 0x3ff), 0);
    }
    cpu.setReg(RSP, STACK_TOP, 0);
    for (let i = 0; i < 64; i += 2) {
      if ((next() & 1) === 0) double();
      else [value.low, value.high] = [single(), single()];
      memory.i32[(CPU + CPU_XMM + i * 4) >> 2] = value.low;
      memory.i32[(CPU + CPU_XMM + i * 4 + 4) >> 2] = value.high;
    }
    memory.u32[(CPU + CPU_MXCSR) >> 2] = program.mxcsr;
    memory.view.setUint16(CPU + CPU_FPU_CONTROL, program.control, true);
    cpu.rflags = program.flags | (program.mode === 'ring 0' ? 0 : 0x200);
    cpu.rip = this.image.resolve(program.entry) + (program.inTwin ? TWIN : 0);
    memory.i32[(CPU + CPU_REGS) >> 2] = program.seed;
    this.setRoot(0);
  }

  private loadMode(): void {
    const { cpu } = this.engine;
    const { mode } = this.program;
    const ring = mode === 'ring 0' ? 0 : 3;
    cpu.cpl = ring;
    const code = mode === 'compatibility' ? 0xc09b : 0xa09b;
    cpu.setSegment(
      CS,
      mode === 'compatibility' ? 0x23 : (0x33 & ~3) | ring,
      code | (ring << 5),
      0xffffffff,
      0,
    );
    for (const segment of [ES, SS, DS]) {
      cpu.setSegment(segment, 0x28 | ring, 0xc093 | (ring << 5), 0xffffffff, 0);
    }
  }

  private setRoot(which: number): void {
    this.engine.loadRoot(ROOTS[which]! * PAGE_SIZE);
  }

  /** Makes the pages absent that a process has none of. */
  hideSystem(): void {
    for (const page of [SUPERVISOR, SUPERVISOR + TWIN, PAGE_TABLE]) this.toggle(page, PTE_PRESENT, 0);
  }

  /** What a process maps to be in the same place: rights are 1 read, 2 write, 4 execute, 8 absent until wanted. */
  nativePages(): readonly { readonly at: number; readonly mfn: Mfn; readonly rights: number }[] {
    const pages = [...PAGES]
      .filter(({ rights }) => (rights & PTE_USER) !== 0)
      .map(({ at, mfn, rights, noCode }) => {
        return { at, mfn, rights: 1 | ((rights & PTE_WRITE) !== 0 ? 2 : 0) | (noCode ? 0 : 4) };
      });
    const absent = [...MENDED]
      .filter(([at]) => at !== MIDDLE)
      .map(([at, mfn]) => ({ at, mfn, rights: 8 | 7 }));
    return [...pages, ...pages.map((page) => ({ ...page, at: page.at + TWIN })), ...absent];
  }

  // ---------------------------------------------------------------- the host

  /**
   * Answers an exit; false if the program has come to an end. What the host does depends on nothing but what the exit
   * shows.
   */
  answer(exit: Exit): boolean {
    const { engine } = this;
    const { cpu } = engine;
    switch (exit) {
      case Exit.Exception:
        if (cpu.exitVector === 1) {
          // Past a breakpoint, if it was one of the instruction.
          cpu.rflags |= FLAG_RF;
          // Single steps come to an end.
          if ((cpu.retired & 7) === 0) cpu.rflags &= ~0x100;
          return true;
        }
        if (cpu.exitVector === 7) cpu.cr0 &= ~8;
        else if (cpu.exitVector === 16) cpu.resetFpu();
        else if (cpu.exitVector === 19) this.memory.u32[(CPU + CPU_MXCSR) >> 2] = 0x1f80;
        else if (cpu.exitVector !== 14 || !this.mend()) this.goOn();
        return true;
      case Exit.Interrupt: {
        const action = ACTION_TABLE[cpu.exitVector - VECTOR_ACTIONS];
        if (cpu.exitVector === 3) this.goOn();
        else action?.(this);
        return true;
      }
      case Exit.Cpuid:
        for (const n of [0, 1, 2, 3]) cpu.setReg(n, n + 1, 0);
        return true;
      case Exit.Syscall:
        cpu.setRegNumber(1, cpu.rip);
        return true;
      case Exit.InterruptWindow:
        this.memory.u32[(CPU + CPU_INTERRUPT_WAITS) >> 2] = 0;
        return true;
      default:
        this.goOn();
        return true;
    }
  }

  /** Does what an event of the program asks for. */
  act(action: number): void {
    ACTION_TABLE[action]!(this);
  }

  /** Makes an absent page present, once for each page, and a written page writable at times. */
  private mend(): boolean {
    const { cpu } = this.engine;
    const { exitAddress: address, exitError: error } = cpu;
    const page = Math.floor(address / PAGE_SIZE) * PAGE_SIZE;
    const mfn = MENDED.get(page);
    if (mfn === undefined || (error & PF_PRESENT) !== 0) return false;
    this.memory.write64(this.entry(page), (mfn * PAGE_SIZE) | RW, 0);
    return true;
  }

  /** Lets the program go on with the piece after the one that failed, in its own mode, with a stack. */
  private goOn(): void {
    const { cpu } = this.engine;
    const { rip } = cpu;
    const twin = rip >= TWIN && rip < TWIN + OTHER + PAGE_SIZE ? TWIN : 0;
    let next = this.landings.find((address) => address > rip - twin);
    if (next === undefined || rip - twin < CODE) {
      next = this.landings[(7 * ++this.diversions) % Math.max(1, this.landings.length)] ?? CODE;
    }
    this.loadMode();
    cpu.rip = next + twin;
    const stack = cpu.reg(RSP);
    if (stack < STACK + 64 || stack > STACK + 2 * PAGE_SIZE - 64) cpu.setReg(RSP, STACK_TOP, 0);
  }

  // ---------------------------------------------------------------- actions

  private entry(page: number): number {
    return page >= TWIN
      ? TWIN_TABLE * PAGE_SIZE + ((page - TWIN) / PAGE_SIZE) * 8
      : LOW_TABLE * PAGE_SIZE + (page / PAGE_SIZE) * 8;
  }

  /** Changes bits of a page's entry, and says so. */
  toggle(page: number, low: number, high: number): void {
    const { memory, engine } = this;
    const at = this.entry(page);
    memory.write64(at, memory.read32(at) ^ low, memory.read32(at + 4) ^ high);
    engine.noteTableChange();
    engine.invalidatePage(page);
  }

  /** Maps another frame to a page: its number is changed in these bits. */
  exchange(page: number, mfnBits: number): void {
    this.toggle(page, mfnBits * PAGE_SIZE, 0);
  }

  swapData(): void {
    this.exchange(DATA, DATA_FRAME ^ MIDDLE_FRAME);
    this.exchange(MIDDLE, DATA_FRAME ^ MIDDLE_FRAME);
  }

  /** The host writes to a page of code, at a piece. */
  writeCode(): void {
    const at = this.landings[(11 * ++this.diversions) % Math.max(1, this.landings.length)] ?? CODE;
    const mfn = at >= OTHER ? OTHER_FRAMES[0] : CODE_FRAMES[(at - CODE) >> 12]!;
    this.memory.write8(mfn * PAGE_SIZE + (at & 0xfff), 0x90);
  }

  /** Loads a root, as after a change of page tables. */
  loadRoot(which: number): void {
    this.engine.noteTableChange();
    this.setRoot(which);
  }

  /** Clears all accessed and dirty bits. */
  forgetUse(): void {
    for (const table of [LOW_TABLE, TWIN_TABLE]) {
      for (let at = table * PAGE_SIZE; at < (table + 1) * PAGE_SIZE; at += 8) {
        this.memory.write32(at, this.memory.read32(at) & ~0x60);
      }
    }
    this.engine.noteTableChange();
    this.engine.invalidateAll();
  }

  /** Sets breakpoints: two of data, one of the stack and one of an instruction, others each time; now and then none. */
  watch(): void {
    const { engine, landings } = this;
    const n = ++this.diversions;
    const instruction = landings[(3 * n) % Math.max(1, landings.length)] ?? CODE;
    const places = [DATA + 8 * (n & 511), STACK_TOP - 8 * (n & 7), instruction, MIDDLE - 8 + (n & 7)];
    for (const [i, at] of places.entries()) engine.cpu.set(CPU_DR + 8 * i, at, 0);
    engine.cpu.set(CPU_DR + 7 * 8, n % 4 === 0 ? 0x400 : DR7_WATCHING, 0);
    engine.invalidateAll();
  }

  wantInterrupts(): void {
    this.memory.u32[(CPU + CPU_INTERRUPT_WAITS) >> 2] = 1;
  }

  /** As an event would: elsewhere, with the address of where it was in a register. */
  divert(): void {
    const { cpu } = this.engine;
    cpu.setRegNumber(2, cpu.rip);
    cpu.rip = this.landings[(5 * ++this.diversions) % Math.max(1, this.landings.length)] ?? CODE;
  }
}
