/**
 * The library: `Host`, and the domains that it creates. The types are in `api.ts`; what happens underneath is in
 * `launch.ts` and in the hypervisor.
 */

import { type Clock, HostClock, VirtualClock } from '../hypervisor/clock.ts';
import type { DomainExit as HypervisorExit } from '../hypervisor/domain.ts';
import { Host as Hypervisor } from '../hypervisor/host.ts';
import { MachineMemory, MemoryError } from '../machine/memory.ts';
import { hashFrames } from '../machine/memory-hash.ts';
import { Engine, type EngineCounts } from '../machine/x86/engine.ts';
import type { Inspector } from '../machine/x86/inspection.ts';
import { MachineBuildError } from '../native/index.ts';
import type { HypercallTable } from '../xen/hypercalls/dispatch.ts';
import { VIRTUAL_EPOCH_SECONDS } from '../xen/time.ts';
import type {
  ConsoleStreams,
  Domain,
  DomainExit,
  DomainOptions,
  EngineStatistics,
  HostOptions,
  HostStatistics,
  ProfileFormat,
  TraceOptions,
} from './api.ts';
import { DEFAULT_MEMORY_MIB, DEFAULT_NAME } from './config/index.ts';
import { InputStream, OutputStream } from './console/streams.ts';
import type { Disassembler } from './crash-text.ts';
import {
  type KernelImage,
  loadKernelImage,
  loadNativeImage,
  type NativeImage,
  type SymbolTable,
} from './images/index.ts';
import { inspectDomain } from './inspect.ts';
import { type Launched, launch } from './launch.ts';
import { launchNative } from './launch-native.ts';
import { drawP2mOf } from './p2m.ts';
import { formatProfile, type KnownImage, type Profiler, profilerOf } from './profile/index.ts';
import { eventLoop } from './surroundings.ts';
import { textTrace } from './trace-text.ts';
import { xenHypercalls } from './xen-hypercalls.ts';
import { Xenstored } from './xenstore/xenstored.ts';

const FRAMES_PER_MIB = 256;
/**
 * What the hypervisor needs beside the guests' memory: eight bytes of M2P for each frame, and 8 MiB for shared pages, grant
 * tables, vCPU states, its own page tables, and the megabyte that each domain may own beyond what it asked for.
 */
const FRAMES_PER_M2P_FRAME = 512;
const OVERHEAD_FRAMES = 8 * FRAMES_PER_MIB;
const LONGEST_INTERVAL_MS = 0x7fffffff;

/** One machine with its hypervisor. All its domains take turns in `run`. */
export class Host {
  private readonly hypervisor: Hypervisor;
  private readonly engine: Engine;
  private readonly store = new Xenstored();
  private readonly hypercalls: HypercallTable = xenHypercalls();
  private readonly wallClockMs: number;
  private readonly profiler: Profiler | undefined;
  /** A kernel that is started again soon need not be unpacked again. */
  private readonly images: KnownImages<KernelImage> = new WeakMap();
  private readonly nativeImages: KnownImages<NativeImage> = new WeakMap();

  private constructor(hypervisor: Hypervisor, engine: Engine, wallClockMs: number, profiler?: Profiler) {
    this.hypervisor = hypervisor;
    this.engine = engine;
    this.wallClockMs = wallClockMs;
    this.profiler = profiler;
  }

  /** Makes a machine. Raises MemoryError if there is not so much memory, ImageError for a file of symbols that has none. */
  static async create(options: HostOptions): Promise<Host> {
    const memory = memoryFor(options.memoryMib);
    const virtual = options.clock === 'virtual';
    const clock: Clock = virtual ? new VirtualClock() : new HostClock(eventLoop.monotonicNs);
    const { engine: kind = 'auto', inspects = false } = options;
    const engine = await Engine.create(memory, { kind, annotates: inspects });
    const hypervisor = new Hypervisor({ memory, processor: engine, clock, surroundings: eventLoop });
    if (options.trace !== undefined) trace(hypervisor, options.trace);
    const wallClockMs = options.wallClockMs ?? (virtual ? VIRTUAL_EPOCH_SECONDS * 1000 : Date.now());
    const profiler = options.profile && profilerOf(options.profile);
    hypervisor.sampler = profiler;
    return new Host(hypervisor, engine, wallClockMs, profiler);
  }

  /**
   * Builds a domain around a kernel; it runs as soon as the host runs. Raises ImageError if the kernel cannot be used,
   * DomainBuildError or MachineBuildError if the domain cannot be built, above all for want of memory.
   */
  async createDomain(options: DomainOptions): Promise<Domain> {
    const { memoryMib = DEFAULT_MEMORY_MIB, ramdisk } = options;
    const { hypervisor, store, wallClockMs } = this;
    const name = options.name ?? DEFAULT_NAME;
    const common = { name, ramdisk, memoryMib, wallClockMs, commandLine: options.commandLine ?? '' };
    if (options.abi === 'native') {
      if (options.memoryMap !== undefined)
        throw new MachineBuildError('expected no memory map for a bare machine, which has its own');
      const kernel = await this.image(this.nativeImages, loadNativeImage, options);
      return new Guest(hypervisor, this.engine.inspector, kernel.symbols, (ends) =>
        this.watched(launchNative(hypervisor, { ...common, ...ends, kernel }), kernel),
      );
    }
    const kernel = await this.image(this.images, loadKernelImage, options);
    const rest = {
      uuid: options.uuid?.toLowerCase(),
      ramdiskName: options.ramdiskName,
      maxMemoryMib: options.maxMemoryMib ?? memoryMib,
      memoryMap: options.memoryMap,
      hypercalls: this.hypercalls,
    };
    return new Guest(hypervisor, this.engine.inspector, kernel.symbols, (ends) =>
      this.watched(launch(hypervisor, store, { ...common, ...rest, ...ends, kernel }), kernel),
    );
  }

  private watched(launched: Launched, kernel: KnownImage): Launched {
    this.profiler?.addDomain(launched.domain, kernel);
    return launched;
  }

  /** The kernel of some options. What it unpacks to is large: it is not kept from the collector when it has been built. */
  private async image<T extends object>(
    known: KnownImages<T>,
    load: (bytes: Uint8Array, name: string) => Promise<T>,
    { kernel, kernelName = 'kernel' }: DomainOptions,
  ): Promise<T> {
    const former = known.get(kernel);
    const image = former instanceof WeakRef ? former.deref() : former;
    if (image !== undefined) return image;
    const loading = load(kernel, kernelName);
    known.set(kernel, loading);
    const loaded = await loading;
    known.set(kernel, new WeakRef(loaded));
    return loaded;
  }

  /** Runs all domains until every one has ended, or `stop` is called. */
  async run(): Promise<void> {
    // When every guest waits for input, nothing else may be left to keep Node's event loop going.
    const hold = setInterval(() => {}, LONGEST_INTERVAL_MS);
    try {
      await this.hypervisor.run();
    } finally {
      clearInterval(hold);
    }
  }

  /** Makes `run` return soon; another `run` goes on from there. */
  stop(): void {
    this.hypervisor.stop();
  }

  /** What was sampled so far, as text for a viewer; undefined unless the host was made with `profile`. */
  profile(format: ProfileFormat): string | undefined {
    return this.profiler && formatProfile(this.profiler.tree, format, 'ringone');
  }

  /**
   * A hash of the machine's memory, 32 hexadecimal digits. Ended domains leave theirs as it was, so under the virtual clock runs
   * that were alike end with the same, whatever the engine. Takes half a millisecond for each MiB.
   */
  memoryHash(): string {
    return hashFrames(this.engine.memory);
  }

  statistics(): HostStatistics {
    const { stats } = this.hypervisor;
    return {
      instructions: stats.instructions,
      hypercalls: stats.hypercalls(),
      exits: stats.exits.toRecord(),
      engine: engineStatistics(stats.instructions, this.engine.counts()),
    };
  }
}

/** A machine with so much memory for guests. Raises MemoryError. */
function memoryFor(memoryMib: number): MachineMemory {
  const frames = memoryMib * FRAMES_PER_MIB;
  try {
    return new MachineMemory({
      frames: frames + Math.ceil(frames / FRAMES_PER_M2P_FRAME) + OVERHEAD_FRAMES,
    });
  } catch (error) {
    if (!(error instanceof MemoryError) || error.mostFrames === undefined) throw error;
    const framesPerMib = FRAMES_PER_MIB + FRAMES_PER_MIB / FRAMES_PER_M2P_FRAME;
    const mostMib = Math.floor((error.mostFrames - OVERHEAD_FRAMES) / framesPerMib);
    throw new MemoryError(
      `${memoryMib} MiB of memory wanted, but a host can have at most ${mostMib} MiB`,
      error.mostFrames,
    );
  }
}

/** `retired` instructions in all, as the hypervisor counted them. */
function engineStatistics(
  retired: number,
  { kind, interpreted, system, tier }: EngineCounts,
): EngineStatistics {
  const compiled = retired - interpreted - system;
  const share = (count: number) => (retired === 0 ? 0 : count / retired);
  return {
    kind,
    instructions: { interpreter: interpreted, compiled, system },
    share: { interpreter: share(interpreted), compiled: share(compiled) },
    modules: tier?.modules ?? 0,
    functions: tier?.functions ?? 0,
    wasmBytes: tier?.bytes ?? 0,
    compileMilliseconds: tier?.milliseconds ?? 0,
    regions: {
      requested: tier?.requested ?? 0,
      compiled: tier?.functions ?? 0,
      merged: tier?.merged ?? 0,
      evicted: tier?.evicted ?? 0,
      invalidated: tier?.invalidated ?? 0,
    },
  };
}

/** The kernels that files were read to, by the file's bytes; on the way, or as long as they are there. */
type KnownImages<T extends object> = WeakMap<Uint8Array, Promise<T> | WeakRef<T>>;

/** What a launched guest tells the streams around it. */
interface ConsoleEvents {
  readonly onOutput: (bytes: Uint8Array) => void;
  readonly onDrain: () => void;
  readonly onEmergencyOutput: (line: Uint8Array) => void;
}

/** A domain as the library's user sees it: streams around what `launch` built. */
class Guest implements Domain {
  readonly id: number;
  readonly name: string;
  readonly console: ConsoleStreams;
  readonly emergencyConsole: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly exited: Promise<DomainExit>;
  readonly symbols: SymbolTable;
  private readonly launched: Launched;
  private readonly inspector: Inspector;

  constructor(
    hypervisor: Hypervisor,
    inspector: Inspector,
    symbols: SymbolTable,
    launchWith: (ends: ConsoleEvents) => Launched,
  ) {
    const enter = (action: () => void) => hypervisor.enterInput(action);
    // Under a virtual clock the guest must not feel how fast it is read, or two runs would differ.
    const { virtual } = hypervisor.clock;
    const output = new OutputStream(
      () => virtual || console.pauseOutput(),
      () => virtual || enter(() => console.resumeOutput()),
    );
    const emergency = new OutputStream();
    const input = new InputStream((bytes) => console.write(bytes), enter);
    const launched = launchWith({
      onOutput: (bytes) => output.push(unshared(bytes)),
      onDrain: () => input.drained(),
      onEmergencyOutput: (line) => emergency.push(unshared(line)),
    });
    const { domain, console } = launched;
    this.launched = launched;
    this.inspector = inspector;
    this.id = domain.id;
    this.name = domain.name;
    this.symbols = symbols;
    this.console = { readable: output.readable, writable: input.writable };
    this.emergencyConsole = emergency.readable;
    this.exited = domain.exited.then((exit: HypervisorExit) => {
      launched.conclude();
      output.close();
      emergency.close();
      input.close();
      return exit;
    });
  }

  inspect(place: string, disassemble?: Disassembler): string[] {
    return inspectDomain(this.launched.domain, this.inspector, this.symbols, place, disassemble);
  }

  p2m(): string[] {
    return drawP2mOf(this.launched.domain, this.symbols);
  }

  pause(): void {
    this.launched.domain.pause();
  }
  unpause(): void {
    this.launched.domain.unpause();
  }
  destroy(): void {
    this.launched.destroy();
  }
}

/** What a console gives are copies of their own, never views of the machine's memory. */
function unshared(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>;
}

function trace(hypervisor: Hypervisor, { kinds, onLine }: TraceOptions): void {
  const flags = hypervisor.trace;
  flags.hypercalls = kinds.includes('hypercalls');
  flags.traps = kinds.includes('traps');
  flags.events = kinds.includes('events');
  flags.pageTables = kinds.includes('page-tables');
  flags.sink = textTrace(onLine);
}
