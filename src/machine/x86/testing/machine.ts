/**
 * A bare machine for tests: page tables built by hand, code as bytes, one processor in ring 3 (or 0).
 *
 *     const machine = await TestMachine.create();
 *     machine.map(0x400000, machine.frame(), PAGE_RW);
 *     machine.code(0x400000, '48 01 d8');   // add rax, rbx
 *     machine.cpu.rip = 0x400000;
 *     machine.run();
 */
import {
  CPU,
  CPU_EFER,
  CPU_PAGING,
  PAGING_LONG,
  PAGING_NX,
  PAGING_ON,
  PAGING_WRITE_PROTECT,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_USER,
  PTE_WRITE,
} from '../../layout.ts';
import { type Gva, MachineMemory, type Maddr, type Mfn, PAGE_SIZE } from '../../memory.ts';
import { Engine, type EngineKind } from '../engine.ts';
import { EXIT_NAMES, Exit } from '../exits.ts';
import { CS, DS, ES, SS } from '../registers.ts';
import type { VcpuState } from '../state.ts';

const TWO_32 = 4294967296;

/** Rights of a page for `map`. */
export const PAGE_RO = PTE_PRESENT | PTE_USER;
export const PAGE_RW = PAGE_RO | PTE_WRITE;
export const PAGE_SUPERVISOR = PTE_PRESENT | PTE_WRITE;
/** Not a bit of the low word: sets NX, bit 63. */
export const PAGE_NX = 0x80000000;

/** How a run ended, small enough to compare. */
export interface Ending {
  readonly exit: string;
  readonly vector?: number;
  readonly error?: number;
  readonly address?: number;
}

const engines = new Map<string, Engine>();

export class TestMachine {
  readonly memory: MachineMemory;
  readonly engine: Engine;
  readonly cpu: VcpuState;
  readonly root: Mfn;
  private nextFrame: Mfn = 1;

  private constructor(engine: Engine) {
    this.engine = engine;
    this.memory = engine.memory;
    this.cpu = engine.cpu;
    this.root = this.frame();
  }

  /**
   * Long mode, paging with NX and write protection, ring 3, IF set, no page mapped. Machines share one engine of
   * each kind and heat limit, which takes a while to make: a new one ends the life of the one before.
   */
  static async create(kind: EngineKind = 'interpreter', heatLimit?: number): Promise<TestMachine> {
    const key = `${kind} ${heatLimit}`;
    let engine = engines.get(key);
    if (engine === undefined) {
      const memory = new MachineMemory({ frames: 1024, codeCacheBytes: 4 << 20 });
      const limit = heatLimit === undefined ? {} : { heatLimit };
      engine = await Engine.create(memory, { kind, annotates: true, ...limit });
      engines.set(key, engine);
    }
    engine.memory.fill(0, 0, 1024 * PAGE_SIZE);
    engine.codeCache.flush();
    engine.noteTableChange();
    engine.cpu.reset();
    const machine = new TestMachine(engine);
    const { cpu } = machine;
    cpu.cr0 = 0x80010033;
    cpu.cr4 = 0x6b0;
    cpu.set(CPU_EFER, 0xd01, 0);
    machine.paging(PAGING_ON | PAGING_LONG | PAGING_NX | PAGING_WRITE_PROTECT);
    cpu.setSegment(CS, 0x33, 0xa0fb, 0xffffffff, 0);
    for (const segment of [ES, SS, DS]) cpu.setSegment(segment, 0x2b, 0xc0f3, 0xffffffff, 0);
    cpu.rflags = 0x202;
    machine.ring(3);
    return machine;
  }

  paging(bits: number): void {
    this.memory.u32[(CPU + CPU_PAGING) >> 2] = bits;
  }

  ring(cpl: number): void {
    this.cpu.cpl = cpl;
    this.engine.loadRoot(this.root * PAGE_SIZE);
  }

  /** A zeroed frame. */
  frame(): Mfn {
    const mfn = this.nextFrame++;
    this.memory.zeroFrame(mfn);
    return mfn;
  }

  /** Machine address of the entry that maps `gva` at a level (1: its page), its tables made if need be. */
  entry(gva: Gva, level = 1): Maddr {
    let table = this.root;
    for (let l = 4; ; l--) {
      const index = Math.floor(gva / 2 ** (3 + 9 * l)) & 511;
      const at = table * PAGE_SIZE + index * 8;
      if (l === level) return at;
      if ((this.memory.read32(at) & PTE_PRESENT) === 0) {
        this.memory.write64(at, (this.frame() * PAGE_SIZE) | PAGE_RW, 0);
      }
      table = this.memory.readU32(at) >>> 12;
    }
  }

  /** Maps a page, or changes its mapping; tells the TLB. */
  map(gva: Gva, mfn: Mfn, rights: number, level = 1): void {
    const low = (mfn * PAGE_SIZE) | (rights & ~PAGE_NX);
    this.memory.write64(this.entry(gva, level), low, (rights & PAGE_NX) !== 0 ? 0x80000000 | 0 : 0);
    this.engine.invalidatePage(gva);
  }

  /** Maps `pages` new frames from `gva` on; returns the first. */
  mapNew(gva: Gva, rights: number, pages = 1): Mfn {
    const first = this.nextFrame;
    // Frames of page tables must not come between.
    for (let i = 0; i < pages; i++) this.entry(gva + i * PAGE_SIZE);
    const start = this.nextFrame;
    for (let i = 0; i < pages; i++) this.map(gva + i * PAGE_SIZE, this.frame(), rights);
    return start === first ? first : start;
  }

  unmap(gva: Gva): void {
    this.memory.write64(this.entry(gva), 0, 0);
    this.engine.invalidatePage(gva);
  }

  /** Accessed and dirty bits of the entry that maps `gva`: '', 'A' or 'AD'. */
  used(gva: Gva, level = 1): string {
    const entry = this.memory.read32(this.entry(gva, level));
    return ((entry & PTE_ACCESSED) !== 0 ? 'A' : '') + ((entry & PTE_DIRTY) !== 0 ? 'D' : '');
  }

  /** Machine address behind `gva`, as the tables say. */
  physical(gva: Gva): Maddr {
    const entry = this.memory.readU32(this.entry(gva));
    return (entry >>> 12) * PAGE_SIZE + (((gva % PAGE_SIZE) + PAGE_SIZE) % PAGE_SIZE);
  }

  /** Puts bytes, as hex text, at mapped addresses. */
  code(gva: Gva, hex: string): number {
    const bytes = hex
      .trim()
      .split(/\s+/)
      .map((text) => Number.parseInt(text, 16));
    for (const [i, byte] of bytes.entries()) this.memory.write8(this.physical(gva + i), byte);
    return bytes.length;
  }

  /** `length` bytes at mapped addresses, as hex text. */
  bytes(gva: Gva, length: number): string {
    const list = Array.from({ length }, (_, i) => this.memory.read8(this.physical(gva + i)));
    return list.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  }

  /** Runs from `rip`, or from where it is. */
  run(rip = this.cpu.rip, budget = 10000): Ending {
    const { cpu } = this;
    cpu.rip = rip;
    const kind = this.engine.run(budget);
    const exit = EXIT_NAMES[kind];
    if (kind === Exit.Interrupt) return { exit, vector: cpu.exitVector };
    if (kind !== Exit.Exception) return { exit };
    const { exitVector: vector, exitError: error } = cpu;
    return vector === 14 ? { exit, vector, error, address: cpu.exitAddress } : { exit, vector, error };
  }

  /** All general registers in hex, RIP, RFLAGS and the count of retired instructions. */
  state(): string {
    const { cpu } = this;
    const hex = (n: number): string => (n >>> 0).toString(16).padStart(8, '0');
    const registers = Array.from({ length: 16 }, (_, n) => hex(cpu.regHigh(n)) + hex(cpu.regLow(n)));
    const rip = cpu.rip < 0 ? cpu.rip + TWO_32 * TWO_32 : cpu.rip;
    return `${registers.join(' ')} rip=${rip.toString(16)} rflags=${hex(cpu.rflags)} retired=${cpu.retired}`;
  }
}
