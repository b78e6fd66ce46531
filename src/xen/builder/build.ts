/**
 * Building a Xen PV domain: from a kernel image to a vCPU that stands at its entry point.
 *
 *     plan       where everything goes (`plan.ts`); nothing is made if it does not fit
 *     populate   the domain, its frames, their numbers in the M2P
 *     load       kernel, initrd, P2M list, page tables (`page-tables.ts`)
 *     connect    event channels, grants, shared_info, start_info (`start-info.ts`)
 *     start      the root is pinned, which checks all tables; vCPU 0 gets its registers
 *
 * This is work that Xen's toolstack does from domain 0, in its order and with its choices, so that a kernel finds what
 * it finds there. (Xen 4.17, tools/libs/guest/xg_dom_core.c, xg_dom_x86.c, xg_dom_boot.c; tools/libs/light/libxl_dom.c.)
 */
import {
  GNTTAB_RESERVED_CONSOLE,
  GNTTAB_RESERVED_XENSTORE,
  VGCF_in_kernel,
  VGCF_online,
  x86_64,
} from '../../abi/xen/numbers/index.ts';
import { vcpu_guest_context } from '../../abi/xen/structures/arch-x86.ts';
import { memoryOf, StructureView } from '../../abi/xen/view.ts';
import type { Host } from '../../hypervisor/host.ts';
import type { Gva, Mfn } from '../../machine/memory.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import { FLAG_IF } from '../../machine/x86/registers.ts';
import type { CpuidPolicy } from '../cpuid.ts';
import { XenDomain } from '../domain.ts';
import { DEFAULT_MAX_PORT, EventChannels, HOST_DOMAIN } from '../events/index.ts';
import { DEFAULT_MAX_FRAMES, GrantTable } from '../grants/table.ts';
import { writeHypercallPage } from '../hypercall-page.ts';
import type { HypercallTable } from '../hypercalls/dispatch.ts';
import { DomainMemory, type ReferenceReport } from '../mm/domain-memory.ts';
import { frameTableOf } from '../mm/frame-table.ts';
import { type MemoryMapEntry, memoryMapProblem } from '../mm/memory-map.ts';
import { PGT_writable_page } from '../mm/page-info.ts';
import { updateWallClock, VcpuClock, VIRTUAL_EPOCH_SECONDS } from '../time.ts';
import { applyVcpuContext, VCPU_CONTEXT_BYTES } from '../vcpu-context.ts';
import { DomainBuildError, TooLittleMemoryError } from './errors.ts';
import { PAGING_X86_64 } from './mappings.ts';
import { frameAt, writePageTables } from './page-tables.ts';
import { type DomainPlan, leastMebibytes, type PlanRequest, planDomain } from './plan.ts';
import { encodeCommandLine, initSharedInfo, type Ring, vcpuInfoSlot, writeStartInfo } from './start-info.ts';

/** What the builder needs to know of a kernel; the toolstack's images are such. */
export interface BuildableKernel {
  /** What errors call it. */
  readonly name: string;
  readonly width: 32 | 64;
  readonly segments: readonly {
    readonly virtual: Gva;
    /** Zeros follow, up to `memorySize`. */
    readonly bytes: Uint8Array;
    readonly memorySize: number;
  }[];
  readonly info: {
    readonly entry: Gva;
    readonly virtBase: Gva;
    /** From the first loaded byte to past the last. */
    readonly virtStart: Gva;
    readonly virtEnd: Gva;
    readonly hypercallPage: Gva | undefined;
    readonly initP2m: Gva | undefined;
    readonly modStartPfn: boolean;
  };
}

export interface DomainConfig {
  readonly name: string;
  readonly kernel: BuildableKernel;
  /** Given to the kernel as it is, compressed or not. */
  readonly initrd?: Uint8Array;
  readonly commandLine?: string;
  readonly memoryMib: number;
  /** What the domain is told of its memory (XENMEM_memory_map); empty: nothing. */
  readonly memoryMap?: readonly MemoryMapEntry[];
  /** Default 1. */
  readonly vcpus?: number;
  readonly hypercalls: HypercallTable;
  readonly cpuid?: CpuidPolicy;
  /** 16 bytes; zeros by default. */
  readonly uuid?: Uint8Array;
  /** Time since 1970 at system time 0; by default the epoch of the virtual clock. */
  readonly wallClock?: { readonly seconds: number; readonly nanoseconds: number };
  /** xl.cfg's max_event_channels and max_grant_frames. */
  readonly maxEventChannels?: number;
  readonly maxGrantFrames?: number;
}

/** A domain that is ready to run but paused, and what its toolstack needs to serve it. */
export interface BuiltDomain {
  readonly domain: XenDomain;
  readonly events: EventChannels;
  readonly grants: GrantTable;
  readonly mm: DomainMemory;
  /** The ports wait for the host: `events.bindHost`. */
  readonly console: Ring;
  readonly xenstore: Ring;
  readonly plan: DomainPlan;
}

const PAGES_PER_MIB = 256;
/** libxl lets a domain own a megabyte more than it asked for (LIBXL_MAXMEM_CONSTANT). */
const SPARE_PAGES = PAGES_PER_MIB;
/** Memory is populated in extents of 2 MiB as far as it goes. */
const EXTENT_ORDER = 9;
/** Frames that a domain costs beside its memory: shared_info, a grant table, vCPU states. */
const OVERHEAD_FRAMES = 16;

/**
 * Builds a domain. It is paused: `unpause` it when console and xenstore are served. Raises DomainBuildError if the
 * kernel cannot be run, or TooLittleMemoryError if the domain or the host is too small; nothing is left behind then.
 */
export function buildDomain(host: Host, config: DomainConfig): BuiltDomain {
  const request = requestFor(config);
  const plan = planOrExplain(config, request);
  encodeCommandLine(config.commandLine ?? '');
  const table = frameTableOf(host);
  if (host.frames.available < request.pages + OVERHEAD_FRAMES) {
    const free = Math.floor(Math.max(0, host.frames.available - OVERHEAD_FRAMES) / PAGES_PER_MIB);
    throw new TooLittleMemoryError(
      `too little memory: the domain wants ${config.memoryMib} MiB, but the host has ${free} MiB free`,
    );
  }
  const domain = new XenDomain(host, {
    name: config.name,
    is64: true,
    vcpus: config.vcpus ?? 1,
    maxPages: request.pages + SPARE_PAGES,
    hypercalls: config.hypercalls,
    ...(config.cpuid === undefined ? {} : { cpuid: config.cpuid }),
  });
  domain.pause();
  try {
    const mm = new DomainMemory(table, domain);
    mm.memoryMap = config.memoryMap ?? [];
    domain.mm = mm;
    return furnish(host, config, plan, domain, mm);
  } catch (error) {
    domain.destroy();
    throw error;
  }
}

function requestFor({ kernel, memoryMib, initrd, memoryMap = [] }: DomainConfig): PlanRequest {
  if (kernel.width !== 64) {
    throw new DomainBuildError(`${kernel.name}: 32-bit PV guests are not supported yet`);
  }
  if (!Number.isInteger(memoryMib) || memoryMib < 1) {
    throw new DomainBuildError(`expected the memory as a whole number of MiB, found ${memoryMib}`);
  }
  const problem = memoryMapProblem(memoryMap);
  if (problem !== undefined) throw new DomainBuildError(problem);
  const { info } = kernel;
  return {
    shape: PAGING_X86_64,
    wordBytes: 8,
    pages: memoryMib * PAGES_PER_MIB,
    virtBase: info.virtBase,
    kernelStart: info.virtStart,
    kernelEnd: info.virtEnd,
    initP2m: info.initP2m,
    modStartPfn: info.modStartPfn,
    initrdBytes: initrd?.length ?? 0,
  };
}

/** The plan, or an error that names the kernel and says how much memory would do. */
function planOrExplain({ kernel, memoryMib }: DomainConfig, request: PlanRequest): DomainPlan {
  try {
    return planDomain(request);
  } catch (error) {
    if (!(error instanceof TooLittleMemoryError)) {
      throw error instanceof DomainBuildError
        ? new DomainBuildError(`${kernel.name}: ${error.message}`)
        : error;
    }
    const least = leastMebibytes(request);
    const needs = least === undefined ? 'more than there can be' : `at least ${least} MiB`;
    throw new TooLittleMemoryError(
      `too little memory: the domain has ${memoryMib} MiB, but ${kernel.name} needs ${needs}`,
    );
  }
}

function furnish(
  host: Host,
  config: DomainConfig,
  plan: DomainPlan,
  domain: XenDomain,
  mm: DomainMemory,
): BuiltDomain {
  const { memory } = host;
  const { kernel } = config;
  const pages = config.memoryMib * PAGES_PER_MIB;
  if (config.uuid !== undefined) domain.handle.set(config.uuid);

  const p2m = populate(mm, pages);
  const image = new Loader(host, p2m);
  for (const { virtual, bytes } of kernel.segments) {
    image.store((virtual - kernel.info.virtBase) / PAGE_SIZE, bytes);
  }
  if (plan.initrd !== undefined) image.store(plan.initrd.pfn, config.initrd!);
  image.storeP2m(plan.p2m.pfn);
  writePageTables(memory, PAGING_X86_64, plan.mappings, p2m);

  const frame = mm.allocateSharedPage();
  if (frame === 0) throw new TooLittleMemoryError('too little memory: no frame is left for shared_info');
  domain.sharedInfo = frame * PAGE_SIZE;
  initSharedInfo(memory, domain.sharedInfo);
  const channelsOf = (id: number) =>
    (host.domains.get(id) as XenDomain | undefined)?.events as EventChannels | undefined;
  const events = new EventChannels(
    domain,
    memory,
    { channelsOf },
    config.maxEventChannels ?? DEFAULT_MAX_PORT,
  );
  domain.events = events;
  events.onRaise = (port, vcpuId) => {
    if (host.trace.events) host.trace.sink.event(domain.vcpus[vcpuId], `port ${port} pending`);
  };
  const xenstore = { mfn: frameAt(p2m, plan.xenstore.pfn), port: events.allocUnbound(HOST_DOMAIN) };
  const console = { mfn: frameAt(p2m, plan.console.pfn), port: events.allocUnbound(HOST_DOMAIN) };

  const grants = new GrantTable(mm, config.maxGrantFrames ?? DEFAULT_MAX_FRAMES);
  domain.grants = grants;
  grants.permit(GNTTAB_RESERVED_CONSOLE, HOST_DOMAIN, console.mfn);
  grants.permit(GNTTAB_RESERVED_XENSTORE, HOST_DOMAIN, xenstore.mfn);

  writeStartInfo(memory, frameAt(p2m, plan.startInfo.pfn), {
    plan,
    pages,
    sharedInfo: domain.sharedInfo,
    xenstore,
    console,
    initrdBytes: config.initrd?.length ?? 0,
    commandLine: config.commandLine ?? '',
  });
  storeHypercallPage(host, config, plan, p2m);
  mm.referenceSources.push((report) => reportReferences(domain, events, grants, report));
  startClocks(domain, config);
  startVcpu(domain, mm, kernel.info.entry, plan, p2m);
  for (const { mfn } of [console, xenstore]) {
    if (!mm.keepWritable(mfn)) {
      throw new DomainBuildError(`expected the ring in frame ${mfn} to be ordinary memory, found a table`);
    }
  }
  return { domain, events, grants, mm, console, xenstore, plan };
}

/** The references on a domain's frames that neither its tables nor `mm/` hold: the auditor asks. */
function reportReferences(
  domain: XenDomain,
  events: EventChannels,
  grants: GrantTable,
  report: ReferenceReport,
): void {
  if (events.eoiMap !== undefined) report(events.eoiMap.mfn, PGT_writable_page);
  for (const { vcpuInfo, vcpuInfoRegistered } of domain.vcpus) {
    if (vcpuInfoRegistered) report(Math.floor(vcpuInfo / PAGE_SIZE), PGT_writable_page);
  }
  grants.reportReferences(report);
}

/** Gives the domain its frames and returns them in the order of its own numbers. */
function populate(mm: DomainMemory, pages: number): Uint32Array {
  const p2m = new Uint32Array(pages);
  for (let pfn = 0; pfn < pages; ) {
    const room = pages - pfn >= 2 ** EXTENT_ORDER;
    let count = 2 ** EXTENT_ORDER;
    let mfn = room ? mm.allocatePages(EXTENT_ORDER) : 0;
    if (mfn === 0) {
      count = 1;
      mfn = mm.allocatePages(0);
    }
    if (mfn === 0) throw new TooLittleMemoryError('too little memory: the host ran out of machine frames');
    for (let i = 0; i < count; i++, pfn++) {
      p2m[pfn] = mfn + i;
      mm.setPfn(mfn + i, pfn);
    }
  }
  return p2m;
}

/** Writes to a domain's memory by its own frame numbers. */
class Loader {
  private readonly host: Host;
  private readonly p2m: Uint32Array;

  constructor(host: Host, p2m: Uint32Array) {
    this.host = host;
    this.p2m = p2m;
  }

  /** Stores bytes from frame `pfn` on; a fraction of it is an offset into the frame. */
  store(pfn: number, bytes: Uint8Array): void {
    const { memory } = this.host;
    let at = Math.round(pfn * PAGE_SIZE);
    for (let done = 0; done < bytes.length; ) {
      const offset = at % PAGE_SIZE;
      const count = Math.min(bytes.length - done, PAGE_SIZE - offset);
      const mfn = frameAt(this.p2m, (at - offset) / PAGE_SIZE);
      memory.writeBytes(mfn * PAGE_SIZE + offset, bytes.subarray(done, done + count));
      done += count;
      at += count;
    }
  }

  /** Stores the P2M list itself, in 64-bit words. */
  storeP2m(pfn: number): void {
    const words = new Uint32Array(this.p2m.length * 2);
    for (let i = 0; i < this.p2m.length; i++) words[i * 2] = this.p2m[i]!;
    this.store(pfn, new Uint8Array(words.buffer));
  }
}

/** Fills the page that the kernel reserved for hypercall stubs, if it did. */
function storeHypercallPage(host: Host, { kernel }: DomainConfig, plan: DomainPlan, p2m: Uint32Array): void {
  const { hypercallPage, virtBase } = kernel.info;
  if (hypercallPage === undefined) return;
  const pfn = Math.floor((hypercallPage - virtBase) / PAGE_SIZE);
  if (pfn < plan.kernel.pfn || pfn >= plan.kernel.pfn + plan.kernel.pages) {
    throw new DomainBuildError(`${kernel.name}: its hypercall page lies outside the kernel`);
  }
  writeHypercallPage(host.memory, frameAt(p2m, pfn), true);
}

function startClocks(domain: XenDomain, { wallClock }: DomainConfig): void {
  domain.wallClockSeconds = wallClock?.seconds ?? VIRTUAL_EPOCH_SECONDS;
  domain.wallClockNanoseconds = wallClock?.nanoseconds ?? 0;
  updateWallClock(domain);
  for (const vcpu of domain.vcpus) {
    vcpu.vcpuInfo = vcpuInfoSlot(domain.sharedInfo, vcpu.id);
    const clock = new VcpuClock(vcpu);
    vcpu.time = clock;
    clock.update();
  }
}

/** Pins the root and puts vCPU 0 at the kernel's entry; the others wait to be brought up. (vcpu_x86_64) */
function startVcpu(
  domain: XenDomain,
  mm: DomainMemory,
  entry: Gva,
  plan: DomainPlan,
  p2m: Uint32Array,
): void {
  const root: Mfn = frameAt(p2m, plan.pageTables.pfn);
  expectOkay('pinning the initial page tables', mm.pinTable(root, PAGING_X86_64.levels));
  const bytes = new Uint8Array(VCPU_CONTEXT_BYTES);
  const context = new StructureView(vcpu_guest_context.x64, memoryOf(new DataView(bytes.buffer)), 0);
  const stackTop = plan.stack.virtual + PAGE_SIZE;
  context.set('flags', VGCF_in_kernel | VGCF_online);
  context.set('user_regs_rip', entry);
  context.set('user_regs_rsp', stackTop);
  context.set('user_regs_rsi', plan.startInfo.virtual);
  context.set('user_regs_rflags', FLAG_IF);
  // The data segments are null selectors, as flat as 64-bit mode needs them.
  context.set('user_regs_cs', x86_64.FLAT_KERNEL_CS);
  context.set('user_regs_ss', x86_64.FLAT_KERNEL_SS);
  context.set('kernel_ss', x86_64.FLAT_KERNEL_SS);
  context.set('kernel_sp', stackTop);
  const cr3 = context.address('ctrlreg') + 3 * 8;
  const view = new DataView(bytes.buffer);
  view.setUint32(cr3, (root * PAGE_SIZE) >>> 0, true);
  view.setUint32(cr3 + 4, Math.floor((root * PAGE_SIZE) / 4294967296), true);
  expectOkay('setting the first vCPU up', applyVcpuContext(domain.vcpus[0]!, bytes));
}

/** The tables are our own work: if validation refuses them, the mistake is ours. */
function expectOkay(what: string, result: number): void {
  if (result !== 0)
    throw new DomainBuildError(
      `${what} failed with error ${result}; expected the planned tables to be valid`,
    );
}
