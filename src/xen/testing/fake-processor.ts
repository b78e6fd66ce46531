/**
 * A processor for tests of the hypervisor: it executes nothing, but stops as it is told, and translates addresses
 * through real page tables in machine memory, slowly.
 *
 *     processor.script(exits.syscall())          // what the next `run` does
 *     processor.script((state) => { ...; return Exit.Budget; })
 */
import type { Processor, ProcessorHooks } from '../../hypervisor/processor.ts';
import {
  CPU,
  CPU_CR3,
  CPU_EXIT_ADDRESS,
  CPU_EXIT_ERROR,
  CPU_EXIT_LENGTH,
  CPU_EXIT_VECTOR,
  CPU_RETIRED,
  CPU_SIZE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_USER,
  PTE_WRITE,
} from '../../machine/layout.ts';
import type { Gva, HostAddress, MachineMemory, Maddr } from '../../machine/memory.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import { Exit } from '../../machine/x86/exits.ts';
import { VECTOR_PF } from '../../machine/x86/registers.ts';
import { VcpuState } from '../../machine/x86/state.ts';

/** One run of the processor: may change the state, returns why it stopped. */
export type Step = (state: VcpuState, budget: number) => Exit;

const TWO_32 = 4294967296;
const LEVELS = 4;
const INDEX_BITS = 9;

export class FakeProcessor implements Processor {
  readonly cpu: VcpuState;
  hooks: ProcessorHooks = { readDescriptor: () => undefined };
  clock = { now: () => 0 };
  /** Roots loaded so far, machine addresses. */
  readonly roots: Maddr[] = [];
  private readonly memory: MachineMemory;
  private readonly steps: Step[] = [];
  private active: VcpuState | undefined;
  private home: HostAddress = 0;

  constructor(memory: MachineMemory) {
    this.memory = memory;
    this.cpu = new VcpuState(memory, CPU);
  }

  /** Appends what the next runs do. */
  script(...steps: Step[]): void {
    this.steps.push(...steps);
  }

  /** Whether all scripted steps have been run. */
  get done(): boolean {
    return this.steps.length === 0;
  }

  activate(state: VcpuState): void {
    if (state === this.active) return;
    const { u8 } = this.memory;
    if (this.active !== undefined) {
      u8.copyWithin(this.home, CPU, CPU + CPU_SIZE);
      this.active.base = this.home;
    }
    this.active = state;
    this.home = state.base;
    u8.copyWithin(CPU, state.base, state.base + CPU_SIZE);
    state.base = CPU;
  }

  /** Runs the next step of the script; without one, the whole budget passes. */
  run(budget: number): Exit {
    const state = this.active!;
    const before = state.retired;
    const step = this.steps.shift();
    const exit = step === undefined ? Exit.Budget : step(state, budget);
    if (state.retired === before) this.retire(exit === Exit.Budget ? budget : 1);
    return exit;
  }

  /** Adds to the count of retired instructions. */
  retire(instructions: number): void {
    const state = this.active!;
    const retired = state.retired + instructions;
    state.set(CPU_RETIRED, retired | 0, Math.floor(retired / TWO_32));
  }

  translate(low: number, high: number, write: boolean): HostAddress {
    const top = high >> 15;
    if (top !== 0 && top !== -1) return 0;
    const { memory } = this;
    const address = (high & 0xffff) * TWO_32 + (low >>> 0);
    const needed = PTE_PRESENT | PTE_USER | (write ? PTE_WRITE : 0);
    let table = this.cpu.cr3;
    for (let level = LEVELS - 1; level >= 0; level--) {
      const shift = 2 ** (12 + level * INDEX_BITS);
      const at = table + (Math.floor(address / shift) % 512) * 8;
      const entry = memory.read32(at);
      if ((entry & needed) !== needed) return 0;
      memory.write32(at, entry | PTE_ACCESSED | (write && level === 0 ? PTE_DIRTY : 0));
      table = (memory.readU32(at + 4) & 0xfffff) * TWO_32 + ((entry & -PAGE_SIZE) >>> 0);
    }
    return memory.host(table + (low & (PAGE_SIZE - 1)));
  }

  loadRoot(cr3: Maddr): void {
    this.roots.push(cr3);
    this.cpu.set(CPU_CR3, cr3 | 0, Math.floor(cr3 / TWO_32));
  }
  invalidatePage(): void {}
  invalidateRegion(): void {}
  instructionAtExit(): undefined {}
  countRetired(): void {}
  invalidateAll(): void {}
  noteTableChange(): void {}
  forgetRoot(): void {}
}

function word(state: VcpuState, offset: number, value: number): void {
  state.memory.i32[(state.base + offset) >>> 2] = value;
}

/** Steps that stop for one reason; RIP is where the test has put it. */
export const exits = {
  exception(vector: number, error = 0, address: Gva = 0): Step {
    return (state) => {
      word(state, CPU_EXIT_VECTOR, vector);
      word(state, CPU_EXIT_ERROR, error);
      state.set(CPU_EXIT_ADDRESS, address | 0, Math.floor(address / TWO_32) | 0);
      return Exit.Exception;
    };
  },
  pageFault(address: Gva, error: number): Step {
    return exits.exception(VECTOR_PF, error, address);
  },
  /** INT n: RIP is already behind it. */
  interrupt(vector: number, length = 2): Step {
    return (state) => {
      word(state, CPU_EXIT_VECTOR, vector);
      word(state, CPU_EXIT_LENGTH, length);
      return Exit.Interrupt;
    };
  },
  /** SYSCALL: RIP is already behind it. */
  syscall: (): Step => () => Exit.Syscall,
  sysenter: (): Step => () => Exit.Sysenter,
  cpuid: (): Step => () => Exit.Cpuid,
} as const;
