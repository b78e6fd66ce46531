/**
 * A small machine for the tests of this folder: memory, a processor that does nothing but translate, domains with one
 * vCPU, and a guest whose address space maps all its frames.
 *
 * The processor keeps every translation it has ever made until it is told to drop it, as a real one may, so a missing
 * flush shows. The guest's address space: page i of the domain at GUEST_BASE + i * 4096, page tables read-only.
 */
import assert from 'node:assert/strict';
import { VMASST_TYPE_writable_pagetables } from '../../../abi/xen/numbers/index.ts';
import { FrameAllocator } from '../../../hypervisor/frames.ts';
import { CPU, CPU_CR3 } from '../../../machine/layout.ts';
import { type Gva, type HostAddress, MachineMemory, type Maddr, type Mfn } from '../../../machine/memory.ts';
import { GuestMemory, type Translator } from '../../../machine/x86/guest-memory.ts';
import { VcpuState } from '../../../machine/x86/state.ts';
import { HypercallArguments } from '../../hypercalls/arguments.ts';
import { audit } from '../auditor.ts';
import { DomainMemory } from '../domain-memory.ts';
import { FrameTable, type TlbControl } from '../frame-table.ts';
import { mmuUpdate } from '../mmu-update.ts';
import { mmuextOp } from '../mmuext-op.ts';
import { HIGH_NX, PAGE_ACCESSED, PAGE_DIRTY, PAGE_PRESENT, PAGE_RW, PAGE_USER } from '../page-info.ts';
import { updateVaMapping } from '../update-va-mapping.ts';
import type { MmuDomain, MmuHypercall, MmuVcpu } from '../vcpu.ts';

const TWO_32 = 4294967296;
export const P = PAGE_PRESENT;
export const RW = PAGE_RW;
export const USER = PAGE_USER;
export const A = PAGE_ACCESSED;
export const D = PAGE_DIRTY;
/** Flags of an ordinary writable page and of an ordinary table. */
export const DATA = P | RW | A | D;
export const TABLE = P | RW | USER | A | D;
export const GUEST_BASE: Gva = 0x40000000;

export interface Entry {
  low: number;
  high: number;
}
export function entry(mfn: Mfn, flags: number, high = 0): Entry {
  return { low: (mfn << 12) | flags | 0, high };
}

/** What a machine of these tests runs on: `TestProcessor`, or the engine. */
export interface MachineProcessor extends TlbControl, Translator {
  readonly memory: MachineMemory;
  readonly cpu: VcpuState;
}

/** Translates by walking the tables, with an unlimited cache per root. */
export class TestProcessor implements MachineProcessor {
  readonly memory: MachineMemory;
  readonly cpu: VcpuState;
  /** By root: host address and write permission of a page. */
  private readonly banks = new Map<number, Map<Gva, { host: HostAddress; write: boolean }>>();
  private readonly epochs = new Map<number, number>();
  private epoch = 0;
  changes = 0;

  constructor(memory: MachineMemory) {
    this.memory = memory;
    this.cpu = new VcpuState(memory, CPU);
    this.cpu.reset();
  }

  noteTableChange(): void {
    this.epoch++;
    this.changes++;
  }
  forgetRoot(): void {
    this.noteTableChange();
  }
  loadRoot(root: Maddr): void {
    this.cpu.set(CPU_CR3, root | 0, 0);
    if (this.epochs.get(root) !== this.epoch) this.banks.set(root, new Map());
    this.epochs.set(root, this.epoch);
  }
  invalidatePage(gva: Gva): void {
    this.banks.get(this.cpu.cr3)?.delete(gva - ((gva | 0) & 0xfff));
  }

  /** Every translation that could be used before something empties it: where it leads and whether writes may go there. */
  *usable(): Iterable<{ host: HostAddress; write: boolean; root: Maddr }> {
    for (const [root, bank] of this.banks) {
      // A bank of an older epoch is emptied when its root is loaded.
      if (root !== this.cpu.cr3 && this.epochs.get(root) !== this.epoch) continue;
      for (const { host, write } of bank.values()) yield { host, write, root };
    }
  }

  translate(low: number, high: number, write: boolean): HostAddress {
    const gva = high * TWO_32 + (low >>> 0);
    const page = gva - (low & 0xfff);
    const bank = this.banks.get(this.cpu.cr3) ?? new Map();
    this.banks.set(this.cpu.cr3, bank);
    let known = bank.get(page);
    if (known === undefined || (write && !known.write)) {
      known = this.walk(page);
      if (known === undefined) return 0;
      bank.set(page, known);
    }
    return write && !known.write ? 0 : known.host + (low & 0xfff);
  }

  private walk(gva: Gva): { host: HostAddress; write: boolean } | undefined {
    let table = this.cpu.cr3;
    let write = true;
    for (let level = 4; level >= 1; level--) {
      const slot = Math.floor(gva / 4096 / 512 ** (level - 1)) & 511;
      const low = this.memory.read32(table + slot * 8);
      if ((low & (P | USER)) !== (P | USER)) return undefined;
      write &&= (low & RW) !== 0;
      table = (low >>> 12) * 4096;
    }
    return { host: this.memory.host(table), write };
  }
}

export class TestDomain implements MmuDomain {
  readonly id: number;
  readonly vcpus: TestVcpu[] = [];
  totPages = 0;
  maxPages: number;
  sharedInfo = 0;
  readonly assists = new Set<number>([VMASST_TYPE_writable_pagetables]);
  readonly mm: DomainMemory;

  constructor(table: FrameTable, id: number, maxPages: number) {
    this.id = id;
    this.maxPages = maxPages;
    this.mm = new DomainMemory(table, this);
  }
  hasAssist(type: number): boolean {
    return this.assists.has(type);
  }
}

/** Where `ArgumentPage` stands, in every address space. */
export const ARGUMENTS: Gva = 0x1000;

/** A page for arguments and code that no guest's tables can lose: the host's own, at ARGUMENTS. */
export class ArgumentPage implements Translator {
  private readonly host: HostAddress;

  constructor(machine: TestMachine) {
    this.host = machine.memory.host(machine.heap.tryAllocate() * 4096);
  }
  translate(low: number, high: number): HostAddress {
    return high === 0 && low - ARGUMENTS >= 0 && low - ARGUMENTS < 4096 ? this.host + low - ARGUMENTS : 0;
  }
}

export class TestVcpu implements MmuVcpu {
  readonly id: number;
  readonly domain: TestDomain;
  readonly state: VcpuState;
  guest: GuestMemory;
  kernelMode = true;
  kernelTable: Mfn = 0;
  userTable: Mfn = 0;
  readonly gdtFrames: Mfn[] = new Array(16).fill(0);
  ldtBase: Gva = 0;
  ldtEntries = 0;
  readonly args = new HypercallArguments();

  constructor(domain: TestDomain, processor: MachineProcessor) {
    this.id = domain.vcpus.length;
    this.domain = domain;
    this.state = processor.cpu;
    this.guest = new GuestMemory(processor.memory, processor);
    domain.vcpus.push(this);
  }
  /** How often `preemptionDue` still says no. */
  patience = Number.POSITIVE_INFINITY;
  preemptionDue(): boolean {
    return --this.patience < 0;
  }
  setLdt(base: Gva, entries: number): void {
    this.ldtBase = base;
    this.ldtEntries = entries;
  }

  /** Issues a hypercall; an argument is a number or the two halves of one. */
  call(handler: MmuHypercall, ...values: (number | Entry)[]): number {
    values.forEach((value, i) => {
      if (typeof value === 'number') this.args.set(i, value);
      else this.args.setHalves(i, value.low, value.high);
    });
    return handler(this, this.args);
  }
}

export class TestMachine<P extends MachineProcessor = MachineProcessor> {
  readonly memory: MachineMemory;
  readonly processor: P;
  readonly heap: FrameAllocator;
  readonly table: FrameTable;
  /** Page-table updates in words, while `trace.pageTables` is on. */
  readonly traced: string[] = [];
  readonly trace = {
    pageTables: false,
    sink: { pageTable: (_vcpu: object, what: string) => void this.traced.push(what) },
  };
  private readonly framesAtStart: number;

  constructor(processor: P) {
    this.memory = processor.memory;
    this.processor = processor;
    this.heap = new FrameAllocator(this.memory.frames, (mfn) => this.memory.zeroFrame(mfn));
    this.table = new FrameTable({
      memory: this.memory,
      heap: this.heap,
      tlb: this.processor,
      trace: this.trace,
    });
    this.framesAtStart = this.heap.available;
  }

  /** A machine with the processor of this file. */
  static create(frames = 1024): TestMachine<TestProcessor> {
    const memory = new MachineMemory({ frames, codeCacheBytes: 65536 });
    return new TestMachine(new TestProcessor(memory));
  }

  /** A domain with a running guest of so many pages. */
  guest(id: number, pages = 64): TestGuest {
    return new TestGuest(this, id, pages);
  }

  /** Fails with the auditor's findings, if it has any. */
  assertSound(): void {
    assert.deepEqual(audit(this.table), []);
  }
  assertAllFree(): void {
    this.assertSound();
    assert.equal(this.heap.available, this.framesAtStart);
  }

  read(mfn: Mfn, slot: number): Entry {
    const at = mfn * 4096 + slot * 8;
    return { low: this.memory.read32(at), high: this.memory.read32(at + 4) };
  }
  write(mfn: Mfn, slot: number, { low, high }: Entry): void {
    this.memory.write64(mfn * 4096 + slot * 8, low, high);
  }
}

/**
 * A guest whose first pages are its tables: page 0 L4, 1 L3, 2 L2, 3 L1; the rest is data. The L4 is pinned and loaded.
 */
export class TestGuest {
  readonly machine: TestMachine;
  readonly domain: TestDomain;
  readonly vcpu: TestVcpu;
  readonly frames: Mfn[];
  readonly l4: Mfn;
  readonly l3: Mfn;
  readonly l2: Mfn;
  readonly l1: Mfn;
  /** The next data page that `page()` gives. */
  private nextPage = 4;

  constructor(machine: TestMachine, id: number, pages: number) {
    this.machine = machine;
    this.domain = new TestDomain(machine.table, id, pages + 64);
    this.vcpu = new TestVcpu(this.domain, machine.processor);
    const { mm } = this.domain;
    // Neighbouring pages are not neighbouring frames: what crosses from one into the other must be translated twice.
    this.frames = Array.from({ length: pages }, () => mm.allocatePages()).reverse();
    for (const [pfn, mfn] of this.frames.entries()) {
      assert.notEqual(mfn, 0);
      mm.setPfn(mfn, pfn);
    }
    [this.l4, this.l3, this.l2, this.l1] = this.frames as [Mfn, Mfn, Mfn, Mfn];
    machine.write(this.l4, 0, entry(this.l3, TABLE));
    machine.write(this.l3, 1, entry(this.l2, TABLE));
    machine.write(this.l2, 0, entry(this.l1, TABLE));
    for (let i = 0; i < pages; i++) {
      machine.write(this.l1, i, entry(this.frames[i]!, i < 4 ? DATA & ~RW : DATA));
    }
    assert.equal(mm.pinTable(this.l4, 4), 0);
    assert.equal(mm.installRoots(this.vcpu, this.l4), 0);
    this.run();
  }

  /** Makes this guest's vCPU the one that the processor runs. */
  run(): void {
    this.machine.processor.loadRoot(this.vcpu.kernelTable * 4096);
  }

  /** A data page that no test has used yet: where it is mapped, its frame and its slot in the L1. */
  page(): { gva: Gva; mfn: Mfn; slot: number } {
    const slot = this.nextPage++;
    return { gva: GUEST_BASE + slot * 4096, mfn: this.frames[slot]!, slot };
  }

  /** A data page that is mapped nowhere, so it may take any type. */
  unmapped(): Mfn {
    const { gva, mfn } = this.page();
    assert.equal(this.map(gva, { low: 0, high: 0 }), 0);
    return mfn;
  }

  /** A table without entries, mapped nowhere. */
  emptyTable(): Mfn {
    const mfn = this.unmapped();
    this.machine.memory.zeroFrame(mfn);
    return mfn;
  }

  /** update_va_mapping without a flush. */
  map(gva: Gva, value: Entry): number {
    return this.vcpu.call(updateVaMapping, gva, value, 0);
  }

  /** One mmu_update request. */
  update(mfn: Mfn, slot: number, value: Entry, command = 0): number {
    return this.updateMany([{ mfn, slot, value, command }]);
  }

  /** mmu_update; `this.done` has the number done afterwards. */
  updateMany(requests: { mfn: Mfn; slot: number; value: Entry; command?: number }[], domid = 0x7ff0): number {
    const { guest } = this.vcpu;
    const at = this.scratch();
    requests.forEach(({ mfn, slot, value, command = 0 }, i) => {
      const ptr = mfn * 4096 + slot * 8 + command;
      guest.write64(at + i * 16, ptr | 0, Math.floor(ptr / TWO_32));
      guest.write64(at + i * 16 + 8, value.low, value.high);
    });
    return this.vcpu.call(mmuUpdate, at, requests.length, at + 4088, domid);
  }

  /** mmuext_op with one operation. */
  extended(cmd: number, arg1 = 0, arg2 = 0, domid = 0x7ff0): number {
    const { guest } = this.vcpu;
    const at = this.scratch();
    guest.write64(at, cmd, 0);
    guest.write64(at + 8, arg1 | 0, Math.floor(arg1 / TWO_32));
    guest.write64(at + 16, arg2 | 0, Math.floor(arg2 / TWO_32));
    return this.vcpu.call(mmuextOp, at, 1, at + 4088, domid);
  }

  get done(): number {
    return this.vcpu.guest.read32(this.scratch() + 4088);
  }

  /** The last page of the guest holds arguments of hypercalls. */
  scratch(): Gva {
    return GUEST_BASE + (this.frames.length - 1) * 4096;
  }
}

export const NX = HIGH_NX;
