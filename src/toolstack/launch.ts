/**
 * From a kernel image to a domain that its toolstack serves: the domain is built, its entries stand in the store, and
 * both of its rings have someone at the other end. What `xl create` does, as far as a PV domain without devices needs it.
 */

import type { Domain } from '../hypervisor/domain.ts';
import type { Host } from '../hypervisor/host.ts';
import { type BuiltDomain, buildDomain, DomainBuildError } from '../xen/builder/index.ts';
import type { HostChannel } from '../xen/events/index.ts';
import { flushConsole } from '../xen/hypercalls/console-io.ts';
import type { HypercallTable } from '../xen/hypercalls/dispatch.ts';
import type { MemoryMapEntry } from '../xen/mm/memory-map.ts';
import { PvConsole } from './console/console.ts';
import type { KernelImage } from './images/index.ts';
import { MachinePage } from './machine-page.ts';
import { removeDomainEntries, writeDomainEntries } from './xenstore/domain-entries.ts';
import { XenstoreError } from './xenstore/wire.ts';
import type { Xenstored } from './xenstore/xenstored.ts';

export interface LaunchOptions {
  readonly name: string;
  /** Undefined: one that follows from the domain's number. */
  readonly uuid?: string | undefined;
  readonly kernel: KernelImage;
  readonly ramdisk?: Uint8Array | undefined;
  readonly ramdiskName?: string | undefined;
  readonly commandLine: string;
  readonly memoryMib: number;
  readonly maxMemoryMib: number;
  readonly memoryMap?: readonly MemoryMapEntry[] | undefined;
  /** Milliseconds since 1970 at the host's start. */
  readonly wallClockMs: number;
  readonly hypercalls: HypercallTable;
  /** What the guest prints on its PV console. */
  readonly onOutput: (bytes: Uint8Array) => void;
  /** The console takes input again after it had refused some. */
  readonly onDrain: () => void;
  /** What it writes to the hypervisor's console: whole lines. */
  readonly onEmergencyOutput: (line: Uint8Array) => void;
}

/** The other end of a guest's console. */
export interface ConsoleEnd {
  /** Types bytes to the guest. Gives how many were taken; after fewer than given, `onDrain` tells when to try the rest. */
  write(bytes: Uint8Array): number;
  /** Stops taking output: a guest that prints on has to wait. */
  pauseOutput(): void;
  resumeOutput(): void;
}

/** A guest that runs, and what its toolstack needs to serve it. */
export interface Launched {
  readonly domain: Domain;
  readonly console: ConsoleEnd;
  /** The domain has ended: takes its last words, and tells the store. */
  conclude(): void;
  /** Ends the domain if it lives, and removes every trace of it. */
  destroy(): void;
}

const PAGES_PER_MIB = 256;
const KIB_PER_MIB = 1024;
/** As the builder does for `memoryMib`: libxl lets a domain own a megabyte more than it asked for. */
const SPARE_PAGES = PAGES_PER_MIB;

/** Builds a domain and lets it go. Raises what the domain builder raises, also for words that are too long for the store. */
export function launch(host: Host, store: Xenstored, options: LaunchOptions): Launched {
  const { kernel, name, commandLine, memoryMib, wallClockMs } = options;
  const built = buildDomain(host, {
    name,
    kernel,
    commandLine,
    memoryMib,
    hypercalls: options.hypercalls,
    wallClock: { seconds: Math.floor(wallClockMs / 1000), nanoseconds: (wallClockMs % 1000) * 1e6 },
    ...(options.ramdisk !== undefined && { initrd: options.ramdisk }),
    ...(options.memoryMap !== undefined && { memoryMap: options.memoryMap }),
  });
  try {
    return serve(host, store, options, built);
  } catch (error) {
    built.domain.destroy();
    store.destroyDomain(built.domain.id);
    if (!(error instanceof XenstoreError)) throw error;
    throw new DomainBuildError(`the store cannot take what the domain is told: ${error.message}`);
  }
}

/** Puts a domain's entries into the store and someone at the other end of its rings, and lets it go. */
function serve(host: Host, store: Xenstored, options: LaunchOptions, built: BuiltDomain): Launched {
  const { kernel, name, commandLine, memoryMib, maxMemoryMib, wallClockMs, onOutput, onDrain } = options;
  const { domain, events } = built;
  const domid = domain.id;
  const uuid = options.uuid ?? defaultUuid(domid);
  domain.handle.set(uuidBytes(uuid));
  domain.maxPages = maxMemoryMib * PAGES_PER_MIB + SPARE_PAGES;
  domain.consoleSink = options.onEmergencyOutput;

  const consolePage = new MachinePage(host.memory, built.console.mfn);
  const consoleChannel: HostChannel = events.bindHost(built.console.port, () => console.poll());
  const console = new PvConsole(consolePage, () => consoleChannel.notify(), { onOutput, onDrain });

  writeDomainEntries(store, {
    domid,
    name,
    uuid,
    memoryKib: memoryMib * KIB_PER_MIB,
    maxMemoryKib: maxMemoryMib * KIB_PER_MIB,
    vcpus: domain.vcpus.length,
    store: { frame: built.xenstore.mfn, port: built.xenstore.port },
    console: { frame: built.console.mfn, port: built.console.port },
    kernel: kernel.name,
    commandLine,
    startTime: wallClockMs / 1000 + host.clock.nowNs() / 1e9,
    ...(options.ramdiskName !== undefined && { ramdisk: options.ramdiskName }),
  });
  const storeChannel: HostChannel = events.bindHost(built.xenstore.port, () => store.poll(domid));
  const storePage = new MachinePage(host.memory, built.xenstore.mfn);
  store.introduce(domid, { page: storePage, notify: () => storeChannel.notify() });

  let concluded = false;
  const conclude = () => {
    if (concluded) return;
    concluded = true;
    console.resumeOutput();
    console.poll();
    flushConsole(domain);
    store.domainShutdown(domid);
  };
  const destroy = () => {
    if (domain.state === 'destroyed') return;
    conclude();
    domain.destroy();
    store.destroyDomain(domid);
    const client = store.client();
    removeDomainEntries(client, { domid, uuid });
    client.close();
  };
  domain.unpause();
  return { domain, console, conclude, destroy };
}

/** A run shall be repeatable, so nothing here is random; the version and variant bits are those of a random UUID. */
function defaultUuid(domid: number): string {
  return `72696e67-6f6e-4500-8000-${domid.toString(16).padStart(12, '0')}`;
}

function uuidBytes(uuid: string): Uint8Array {
  const digits = uuid.replaceAll('-', '');
  return Uint8Array.from({ length: 16 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}
