/**
 * The library's public types: what one gives to a host and gets from it. `library.ts` is the implementation; everything
 * else in this package may change without notice.
 */

import type { CrashReport } from '../hypervisor/crash-report.ts';
import type { ShutdownReason } from '../hypervisor/domain.ts';
import type { EngineKind } from '../machine/x86/engine.ts';
import type { MemoryMapEntry } from '../xen/mm/memory-map.ts';
import type { Disassembler } from './crash-text.ts';
import type { SymbolTable } from './images/index.ts';

export { PROFILE_FORMATS, type ProfileFormat } from './profile/formats.ts';

/** Kinds of happenings that can be traced. */
export const TRACE_KINDS = ['hypercalls', 'traps', 'events', 'page-tables'] as const;
export type TraceKind = (typeof TRACE_KINDS)[number];

/** Ways to execute guest code, the default first: a guest cannot tell them apart. */
export const ENGINES = ['auto', 'interpreter', 'compiler'] as const satisfies readonly EngineKind[];
export type EngineName = (typeof ENGINES)[number];

/** Interfaces that a guest can be built for, the default first: Xen's for paravirtual domains, or that of a bare machine. */
export const ABIS = ['xen', 'native'] as const;
export type AbiName = (typeof ABIS)[number];

/** Real time, or time as a function of the instructions executed. */
export const CLOCKS = ['host', 'virtual'] as const;
export type ClockName = (typeof CLOCKS)[number];

export interface TraceOptions {
  readonly kinds: readonly TraceKind[];
  /** Takes one line for each happening, without a newline. */
  readonly onLine: (line: string) => void;
}

export interface ProfileOptions {
  /** Retired instructions between two samples; 100,003 by default. */
  readonly interval?: number;
  /** Files with symbols beside the kernel's own: a System.map, a vmlinux, programs of the guest. */
  readonly symbolFiles?: readonly { readonly name: string; readonly bytes: Uint8Array }[];
}

export interface HostOptions {
  /** Memory for all domains together, in MiB. What the hypervisor needs for itself comes on top. */
  readonly memoryMib: number;
  /** `host` by default. Under `virtual`, the same inputs give the same run. */
  readonly clock?: ClockName;
  /**
   * `auto` by default: code is interpreted, and compiled once it is hot. `compiler` compiles at the first entry, `interpreter`
   * never.
   */
  readonly engine?: EngineName;
  readonly trace?: TraceOptions;
  /** Samples what the guests execute: see `Host.profile`. */
  readonly profile?: ProfileOptions;
  /** Notes in compiled code for `Domain.inspect`; they cost memory. */
  readonly inspects?: boolean;
  /** Milliseconds since 1970 that a domain's wall clock shows at the host's start; by default now, or 2024-01-01 if the clock is virtual. */
  readonly wallClockMs?: number;
}

export interface DomainOptions {
  /**
   * A kernel: a bzImage, an ELF file or a gzip'd one. Under the ABI `xen`, one for Xen PV; under `native`, a 64-bit one, loaded
   * at its physical addresses.
   */
  readonly kernel: Uint8Array;
  /** `xen` by default. */
  readonly abi?: AbiName;
  /** What errors call the kernel, and the store says about it; usually its path. */
  readonly kernelName?: string;
  /** The kernel's initial RAM disk. */
  readonly ramdisk?: Uint8Array | undefined;
  readonly ramdiskName?: string | undefined;
  /** The kernel's command line; empty by default. */
  readonly commandLine?: string;
  readonly name?: string;
  /** 8-4-4-4-12 hexadecimal digits; by default one that follows from the domain's number. */
  readonly uuid?: string | undefined;
  /** 512 by default. */
  readonly memoryMib?: number;
  /** What the domain may grow to; `memoryMib` by default. A bare machine does not grow. */
  readonly maxMemoryMib?: number;
  /**
   * What the domain is told of its memory, instead of how much it has: at most 128 entries by ascending address, with the types
   * of a PC's BIOS (1: RAM). Under the ABI `xen` only; `e820_host` of a configuration gives one with a PC's holes.
   */
  readonly memoryMap?: readonly MemoryMapEntry[] | undefined;
}

/** How a domain ended. */
export interface DomainExit {
  /** `destroyed`: from outside. The others are the guest's own doing. */
  readonly reason: ShutdownReason | 'destroyed';
  /** For a crash that the hypervisor saw: where the guest stood. */
  readonly report?: CrashReport;
}

/** Two byte streams. */
export interface ConsoleStreams {
  /**
   * What the guest prints. Read it: under the host clock, a guest whose output nobody reads has to wait once 64 KiB have
   * come together. Ends when the domain has ended.
   */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** What is typed to the guest. A write settles when the guest's console has room for it. Closing it changes nothing for the guest. */
  readonly writable: WritableStream<Uint8Array>;
}

/** One virtual machine. It runs while its host runs. */
export interface Domain {
  readonly id: number;
  readonly name: string;
  /** The PV console, which Linux calls hvc0; of a bare machine, its serial port, ttyS0. */
  readonly console: ConsoleStreams;
  /** What a kernel says through the hypervisor before its drivers run, and when it panics: whole lines. */
  readonly emergencyConsole: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Settles when the domain has ended, however it did. Its streams have got their last bytes by then. */
  readonly exited: Promise<DomainExit>;
  /** Names for addresses of the kernel; none if it is stripped. */
  readonly symbols: SymbolTable;
  /**
   * What the engine holds for an address of the guest, in the address space that it has loaded: decoded code with counters, beside the
   * WebAssembly that it was compiled to. `place` is a hexadecimal address, a symbol of the kernel with or without an
   * offset (`memcpy+0x10`), or `rip`. Lines of text; a single one if there is nothing to show. The host should have been made with
   * `inspects`.
   */
  inspect(place: string, disassemble?: Disassembler): string[];
  /** The kernel's P2M tree as it tells its toolstack of it, drawn as lines of text; a single one if it tells nothing. */
  p2m(): string[];
  /** Nested: as many `unpause` calls let it run again. */
  pause(): void;
  unpause(): void;
  /** Ends the domain if it still lives, and gives its memory back to the host. */
  destroy(): void;
}

/** What the engine did, and how. All but `kind` may differ between runs that are alike: when code is compiled is not the guest's to see. */
export interface EngineStatistics {
  readonly kind: EngineName;
  /** Retired instructions by who executed them; `system` is the engine's own code for segment loads and the like. */
  readonly instructions: { readonly interpreter: number; readonly compiled: number; readonly system: number };
  /** The same as shares of all: 0 to 1. */
  readonly share: { readonly interpreter: number; readonly compiled: number };
  /** Modules handed to the JavaScript engine, and functions and bytes of WebAssembly generated for them. */
  readonly modules: number;
  readonly functions: number;
  readonly wasmBytes: number;
  /** Milliseconds spent generating code and handing it over, while no guest ran. */
  readonly compileMilliseconds: number;
  /** A region is the guest code of one function. Counted since the start; `merged` counts each move to a larger module. */
  readonly regions: {
    readonly requested: number;
    readonly compiled: number;
    readonly merged: number;
    /** Dropped for want of room. */
    readonly evicted: number;
    /** Dropped because guest code was written or remapped. */
    readonly invalidated: number;
  };
}

export interface HostStatistics {
  /** Instructions retired by all domains. */
  readonly instructions: number;
  /** By name. */
  readonly hypercalls: Readonly<Record<string, number>>;
  /** How often guest code was left, by reason. */
  readonly exits: Readonly<Record<string, number>>;
  readonly engine: EngineStatistics;
}
