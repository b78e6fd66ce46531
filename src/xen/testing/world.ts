/**
 * A small Xen for tests: a host with a scripted processor, and one domain with real page tables.
 *
 *     kernel root   KERNEL .. 16 pages (code, data and stack of the kernel), USER .. 4 pages
 *     user root     USER .. 4 pages
 *
 * All pages are the guest's, present, writable and user-accessible, as a PV kernel's are. Memory types are not kept: the
 * stand-in for `mm/` counts who takes a descriptor page, and refuses frames that the domain does not own.
 */
import { VMASST_TYPE_writable_pagetables, x86_64 as wide } from '../../abi/xen/numbers/index.ts';
import { VirtualClock } from '../../hypervisor/clock.ts';
import type { CrashReport } from '../../hypervisor/crash-report.ts';
import { Host } from '../../hypervisor/host.ts';
import { PTE_PRESENT, PTE_USER, PTE_WRITE } from '../../machine/layout.ts';
import { type Gva, MachineMemory, type Mfn, PAGE_SIZE } from '../../machine/memory.ts';
import { RSP, SS } from '../../machine/x86/registers.ts';
import type { VcpuState } from '../../machine/x86/state.ts';
import { XenDomain } from '../domain.ts';
import { type HypercallFamily, HypercallTable } from '../hypercalls/dispatch.ts';
import type { DomainMemory } from '../parts.ts';
import { loadFlatCode, loadFlatStack } from '../segments.ts';
import type { XenVcpu } from '../vcpu.ts';
import { FakeProcessor, type Step } from './fake-processor.ts';

/** 0xffffffff81000000 */
export const KERNEL: Gva = -0x7f000000;
export const KERNEL_PAGES = 16;
/** Where tests put code, and the top of the stack that the kernel runs on. */
export const KERNEL_CODE: Gva = KERNEL;
export const KERNEL_STACK: Gva = KERNEL + 8 * PAGE_SIZE;
/** The stack of stack_switch. */
export const ENTRY_STACK: Gva = KERNEL + 12 * PAGE_SIZE;
export const USER: Gva = 0x400000;
export const USER_PAGES = 4;

const FRAMES = 256;
const ENTRY_FLAGS = PTE_PRESENT | PTE_WRITE | PTE_USER;

/** Stands for `mm/`. */
export class StandInMemory implements DomainMemory {
  readonly owned = new Set<Mfn>();
  /** References taken on descriptor pages and the like, by frame. */
  readonly references = new Map<Mfn, number>();
  /** Page faults that it claims to have dealt with. */
  handled: (address: Gva, error: number) => boolean = () => false;
  ldtFrames: readonly Mfn[] = [];
  private readonly world: XenWorld;

  constructor(world: XenWorld) {
    this.world = world;
  }
  getPageAndType(mfn: Mfn): boolean {
    if (!this.owned.has(mfn)) return false;
    this.references.set(mfn, (this.references.get(mfn) ?? 0) + 1);
    return true;
  }
  putPageAndType(mfn: Mfn): void {
    this.references.set(mfn, this.references.get(mfn)! - 1);
  }
  pageType(): number {
    return 0;
  }
  installRoots(vcpu: XenVcpu, kernelTable: Mfn, userTable: Mfn): number {
    if (!this.owned.has(kernelTable)) return -22;
    vcpu.kernelTable = kernelTable;
    vcpu.userTable = userTable;
    return 0;
  }
  newKernelTable(vcpuId: number, mfn: Mfn): number {
    if (!this.owned.has(mfn)) return -22;
    const vcpu = this.world.domain.vcpus[vcpuId]!;
    vcpu.kernelTable = mfn;
    vcpu.loadAddressSpace();
    return 0;
  }
  handlePageFault(_vcpuId: number, address: Gva, error: number): boolean {
    return this.handled(address, error);
  }
  ldtFrame(_vcpuId: number, offset: number): Mfn {
    return this.ldtFrames[Math.floor(offset / PAGE_SIZE)] ?? 0;
  }
  release(): void {}
}

export interface WorldOptions {
  readonly families?: readonly HypercallFamily[];
  readonly vcpus?: number;
}

export class XenWorld {
  readonly memory = new MachineMemory({ frames: FRAMES, codeCacheBytes: 1 << 16 });
  readonly processor = new FakeProcessor(this.memory);
  readonly clock = new VirtualClock();
  readonly host: Host;
  readonly domain: XenDomain;
  readonly mm: StandInMemory;
  readonly kernelRoot: Mfn;
  readonly userRoot: Mfn;

  constructor(options: WorldOptions = {}) {
    this.host = new Host({
      memory: this.memory,
      processor: this.processor,
      clock: this.clock,
      surroundings: { monotonicNs: () => 0, giveWay: () => Promise.resolve(), after: () => () => {} },
    });
    this.domain = new XenDomain(this.host, {
      name: 'test',
      is64: true,
      vcpus: options.vcpus ?? 1,
      maxPages: FRAMES,
      hypercalls: new HypercallTable(options.families ?? []),
    });
    this.mm = new StandInMemory(this);
    this.domain.mm = this.mm;
    this.domain.vmAssist = 1 << VMASST_TYPE_writable_pagetables;
    this.domain.sharedInfo = this.frame() * PAGE_SIZE;
    this.kernelRoot = this.frame();
    this.userRoot = this.frame();
    // Neighbouring pages are not neighbouring frames: what crosses from one into the other must be translated twice.
    const kernel = Array.from({ length: KERNEL_PAGES }, () => this.frame()).reverse();
    for (const [i, mfn] of kernel.entries()) this.map(this.kernelRoot, KERNEL + i * PAGE_SIZE, mfn);
    for (let i = 0; i < USER_PAGES; i++) {
      const mfn = this.frame();
      this.map(this.kernelRoot, USER + i * PAGE_SIZE, mfn);
      this.map(this.userRoot, USER + i * PAGE_SIZE, mfn);
    }
    for (const vcpu of this.domain.vcpus) vcpu.vcpuInfo = this.domain.sharedInfo + vcpu.id * 64;
    this.startKernel();
  }

  get vcpu(): XenVcpu {
    return this.domain.vcpus[0]!;
  }
  get state(): VcpuState {
    return this.vcpu.state;
  }

  /** A zeroed frame that the domain owns. */
  frame(): Mfn {
    const mfn = this.host.frames.tryAllocate();
    this.mm?.owned.add(mfn);
    return mfn;
  }

  /** Maps a frame; `flags` as in a page-table entry. */
  map(root: Mfn, gva: Gva, mfn: Mfn, flags: number = ENTRY_FLAGS): void {
    const address = gva < 0 ? gva + 2 ** 48 : gva;
    let table = root;
    for (let level = 3; level > 0; level--) {
      const at = table * PAGE_SIZE + (Math.floor(address / 2 ** (12 + level * 9)) % 512) * 8;
      if (this.memory.read32(at) === 0) this.memory.write64(at, (this.frame() * PAGE_SIZE) | ENTRY_FLAGS, 0);
      table = this.memory.readU32(at) >>> 12;
    }
    this.memory.write64(
      table * PAGE_SIZE + (Math.floor(address / PAGE_SIZE) % 512) * 8,
      (mfn * PAGE_SIZE) | flags,
      0,
    );
  }

  /** Puts vCPU 0 into its kernel, at KERNEL_CODE, with a stack and everything else at rest, and makes it active. */
  private startKernel(): void {
    const { vcpu } = this;
    vcpu.kernelTable = this.kernelRoot;
    vcpu.userTable = this.userRoot;
    vcpu.kernelSs = wide.FLAT_KERNEL_SS;
    vcpu.kernelSp = ENTRY_STACK;
    vcpu.initialised = true;
    vcpu.online = true;
    vcpu.upcallMask = 1;
    this.host.schedule(vcpu);
    loadFlatCode(vcpu, wide.FLAT_KERNEL_CS);
    loadFlatStack(vcpu);
    vcpu.noteLoaded();
    vcpu.setFlags(0x202);
    this.state.rip = KERNEL_CODE;
    this.state.setRegNumber(RSP, KERNEL_STACK);
  }

  /** Puts vCPU 0 into its user, at USER, with the stack in the user's last page. */
  startUser(): void {
    const { vcpu, state } = this;
    if (vcpu.kernelMode) vcpu.toggleMode();
    state.rip = USER;
    state.setRegNumber(RSP, USER + USER_PAGES * PAGE_SIZE - 0x100);
    vcpu.setSelector(SS, wide.FLAT_USER_SS);
  }

  /** Registers handlers for all vectors: vector n at KERNEL_CODE + 0x800 + n * 8, reachable from user mode. */
  setHandlers(flags = 3): void {
    for (let vector = 0; vector < 256; vector++) {
      this.vcpu.traps.set(vector, wide.FLAT_KERNEL_CS, flags, handlerOf(vector));
    }
  }

  /** Lets the processor stop once, handles it, and prepares the next entry, as the run loop does. */
  step(step: Step): void {
    this.processor.script(step);
    const exit = this.processor.run(1000);
    this.vcpu.handleExit(exit);
    if (this.vcpu.runnable) this.vcpu.prepare();
  }

  /** Writes bytes at a guest address, in the loaded address space. */
  poke(gva: Gva, ...bytes: number[]): void {
    this.vcpu.guest.writeBytes(gva, Uint8Array.from(bytes));
  }

  /** 64-bit words at a guest address, each as 16 hexadecimal digits: exact, and easy to read in a failure. */
  words(gva: Gva, count: number): string[] {
    const { guest } = this.vcpu;
    return Array.from({ length: count }, (_, i) =>
      hex64(guest.read32(gva + i * 8), guest.read32(gva + i * 8 + 4)),
    );
  }

  /** A general register in the same form. */
  register(n: number): string {
    return hex64(this.state.regLow(n), this.state.regHigh(n));
  }

  /** How the domain crashed; raises if it did not. */
  async crash(): Promise<CrashReport> {
    if (this.domain.live) throw new Error('expected the domain to have crashed, but it is running');
    const { report } = await this.domain.exited;
    if (report === undefined) throw new Error('expected a crash report, found an exit without one');
    return report;
  }
}

/** Where `setHandlers` puts the handler of a vector. */
export function handlerOf(vector: number): Gva {
  return KERNEL_CODE + 0x800 + vector * 8;
}

/** Sixteen hexadecimal digits of a 64-bit value. */
export function hex64(low: number, high: number): string {
  return (high >>> 0).toString(16).padStart(8, '0') + (low >>> 0).toString(16).padStart(8, '0');
}

/** The same of a guest address or another number of at most 53 bits. */
export function hexOf(value: number): string {
  return hex64(value | 0, Math.floor(value / 4294967296) | 0);
}
