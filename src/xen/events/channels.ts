/**
 * The event channels of one domain: its table of ports and what each is bound to.
 *
 * Follows Xen 4.17, xen/common/event_channel.c: the states, the checks and their order, and the errors. A port is
 *
 *     free --allocUnbound--> unbound --(the remote binds)--> interdomain --close--> free, and the remote is unbound again
 *     free --bindVirq, bindIpi--> virq, ipi --close--> free
 *
 * The far end of an interdomain port is a port of another domain, of the same one, or the host: the toolstack, which
 * stands where domain 0 would. How a pending port shows in the guest's memory is `two-level.ts`.
 *
 * Operations return 0 or a port, or a negative errno, as the hypercall does.
 */
import {
  XEN_EEXIST,
  XEN_EINVAL,
  XEN_ENOENT,
  XEN_ENOSPC,
  XEN_ENOSYS,
  XEN_EPERM,
  XEN_ESRCH,
} from '../../abi/xen/numbers/errno.ts';
import {
  EVTCHNSTAT_closed,
  EVTCHNSTAT_interdomain,
  EVTCHNSTAT_ipi,
  EVTCHNSTAT_unbound,
  EVTCHNSTAT_virq,
  NR_VIRQS,
  VIRQ_DEBUG,
  VIRQ_TIMER,
  VIRQ_XENOPROF,
  VIRQ_XENPMU,
} from '../../abi/xen/numbers/event_channel.ts';
import type { MachineMemory } from '../../machine/memory.ts';
import { EventChannelError, HostChannel } from './host-channel.ts';
import { clearPending, type EventDomain, isPending, portLimit, setPending, unmask } from './two-level.ts';

/** The domain that the toolstack would run in. */
export const HOST_DOMAIN = 0;

const State = { Free: 0, Reserved: 1, Unbound: 2, Interdomain: 3, Virq: 4, Ipi: 5 } as const;
type State = (typeof State)[keyof typeof State];

interface Channel {
  state: State;
  /** The vCPU that is told. */
  vcpuId: number;
  /** Unbound and interdomain: the domain at the far end. */
  remoteDomain: number;
  /** Interdomain: the far end. */
  remote: EventChannels | HostChannel | undefined;
  remotePort: number;
  virq: number;
}

/** What EVTCHNOP_status tells of a port. */
export interface ChannelStatus {
  /** EVTCHNSTAT_*. */
  readonly status: number;
  readonly vcpuId: number;
  /** Unbound and interdomain. */
  readonly remoteDomain: number;
  /** Interdomain. */
  readonly remotePort: number;
  readonly virq: number;
}

/** Finds the channels of the other domains of a host. */
export interface EventRegistry {
  channelsOf(domain: number): EventChannels | undefined;
}

/** Xen allocates records in buckets of a page. A port beyond those made so far is not even "closed": it is invalid. */
const BUCKET = 64;

/** xl's default for `max_event_channels`. */
export const DEFAULT_MAX_PORT = 1023;

/** Interrupts of hardware that a domU could name at all (16 of the platform, 32 of its own); it is allowed none. */
export const NR_PIRQS = 48;

/** Whether a virtual interrupt exists once for a domain rather than once for each vCPU. */
export function virqIsGlobal(virq: number): boolean {
  return virq !== VIRQ_TIMER && virq !== VIRQ_DEBUG && virq !== VIRQ_XENOPROF && virq !== VIRQ_XENPMU;
}

export class EventChannels {
  private readonly domain: EventDomain;
  private readonly memory: MachineMemory;
  private readonly registry: EventRegistry;
  /** The highest port that may be allocated. */
  readonly maxPort: number;
  private readonly channels: Channel[] = [];
  /** For each vCPU, the port of each virtual interrupt; 0 is none. */
  private readonly virqPorts: Uint16Array[] = [];
  private released = false;
  /** The page in which Xen would note interrupts that need an EOI, if the guest registered one; see `physdev.ts`. */
  eoiMap: { readonly mfn: number; release(): void } | undefined;
  /** Told of every event that is raised in this domain, for traces. */
  onRaise: ((port: number, vcpuId: number) => void) | undefined;

  constructor(
    domain: EventDomain,
    memory: MachineMemory,
    registry: EventRegistry,
    maxPort = DEFAULT_MAX_PORT,
  ) {
    this.domain = domain;
    this.memory = memory;
    this.registry = registry;
    this.maxPort = maxPort;
    this.addBucket();
    this.channels[0]!.state = State.Reserved;
  }

  // ---------------------------------------------------------------- binding

  /** A new port that waits for `remoteDomain` to bind to it. Returns the port. */
  allocUnbound(remoteDomain: number): number {
    const port = this.freePort();
    if (port < 0) return port;
    const channel = this.channels[port]!;
    channel.state = State.Unbound;
    channel.remoteDomain = remoteDomain;
    return port;
  }

  /** Joins a new port to `remotePort` of `remoteDomain`, which must wait for this domain. Returns the local port. */
  bindInterdomain(remoteDomain: number, remotePort: number): number {
    const far = this.registry.channelsOf(remoteDomain);
    // The host always exists, but none of its ports waits for anyone.
    if (far === undefined) return remoteDomain === HOST_DOMAIN ? -XEN_EINVAL : -XEN_ESRCH;
    const port = this.freePort();
    if (port < 0) return port;
    const other = far.channels[remotePort];
    if (other === undefined || other.state !== State.Unbound || other.remoteDomain !== this.domain.id) {
      return -XEN_EINVAL;
    }
    this.connect(this.channels[port]!, far.domain.id, far, remotePort);
    far.connect(other, this.domain.id, this, port);
    // The far end may have sent while nobody was there to hear it.
    this.raise(port);
    return port;
  }

  /** A port for a virtual interrupt of a vCPU (VIRQ_*); global ones belong to vCPU 0 at first. Returns the port. */
  bindVirq(virq: number, vcpuId: number): number {
    if (virq >= NR_VIRQS) return -XEN_EINVAL;
    if (virqIsGlobal(virq) && vcpuId !== 0) return -XEN_EINVAL;
    if (this.domain.vcpus[vcpuId] === undefined) return -XEN_ENOENT;
    const ports = (this.virqPorts[vcpuId] ??= new Uint16Array(NR_VIRQS));
    if (ports[virq] !== 0) return -XEN_EEXIST;
    const port = this.freePort();
    if (port < 0) return port;
    const channel = this.channels[port]!;
    channel.state = State.Virq;
    channel.vcpuId = vcpuId;
    channel.virq = virq;
    ports[virq] = port;
    return port;
  }

  /** A port by which the domain's vCPUs signal `vcpuId`. Returns the port. */
  bindIpi(vcpuId: number): number {
    if (this.domain.vcpus[vcpuId] === undefined) return -XEN_ENOENT;
    const port = this.freePort();
    if (port < 0) return port;
    const channel = this.channels[port]!;
    channel.state = State.Ipi;
    channel.vcpuId = vcpuId;
    return port;
  }

  /** No physical interrupt is ever passed through. */
  bindPirq(pirq: number): number {
    return pirq >= NR_PIRQS ? -XEN_EINVAL : -XEN_EPERM;
  }

  /** Has another vCPU told of a port; per-vCPU interrupts cannot move. */
  bindVcpu(port: number, vcpuId: number): number {
    if (this.domain.vcpus[vcpuId] === undefined) return -XEN_ENOENT;
    const channel = this.channels[port];
    if (channel === undefined) return -XEN_EINVAL;
    const movable =
      channel.state === State.Unbound ||
      channel.state === State.Interdomain ||
      (channel.state === State.Virq && virqIsGlobal(channel.virq));
    if (!movable) return -XEN_EINVAL;
    channel.vcpuId = vcpuId;
    return 0;
  }

  close(port: number): number {
    const channel = this.channels[port];
    if (channel === undefined || channel.state === State.Free || channel.state === State.Reserved) {
      return -XEN_EINVAL;
    }
    if (channel.state === State.Virq) {
      this.virqPorts[virqIsGlobal(channel.virq) ? 0 : channel.vcpuId]![channel.virq] = 0;
    }
    const { remote, remotePort } = channel;
    this.free(port, channel);
    if (remote instanceof EventChannels) remote.farEndClosed(remotePort, this.domain.id);
    else remote?.farEndClosed();
    return 0;
  }

  /** EVTCHNOP_reset: closes everything. */
  reset(): number {
    for (let port = 1; port < this.channels.length; port++) this.close(port);
    return 0;
  }

  /** When the domain is destroyed: every far end learns that nobody is there any more. */
  release(): void {
    this.reset();
    this.released = true;
    this.eoiMap?.release();
    this.eoiMap = undefined;
  }

  // ---------------------------------------------------------------- raising

  /** Signals the far end of a port (or the target vCPU of an IPI). */
  send(port: number): number {
    const channel = this.channels[port];
    if (channel === undefined) return -XEN_EINVAL;
    switch (channel.state) {
      case State.Interdomain:
        if (channel.remote instanceof EventChannels) channel.remote.raise(channel.remotePort);
        else channel.remote!.receive();
        return 0;
      case State.Ipi:
        this.raise(port);
        return 0;
      case State.Unbound:
        return 0; // Nobody hears it.
      default:
        return -XEN_EINVAL;
    }
  }

  /** Raises a per-vCPU virtual interrupt, if the guest bound it. */
  sendVirq(vcpuId: number, virq: number): void {
    const port = this.virqPorts[vcpuId]?.[virq] ?? 0;
    if (port !== 0) this.raise(port);
  }

  /** Raises a global virtual interrupt, if the guest bound it. */
  sendGlobalVirq(virq: number): void {
    this.sendVirq(0, virq);
  }

  /** Clears the mask of a port, which raises it if it was pending. */
  unmask(port: number): number {
    const channel = this.channels[port];
    if (channel === undefined) return -XEN_EINVAL;
    if (channel.state > State.Reserved) {
      unmask(this.memory, this.domain, this.domain.vcpus[channel.vcpuId]!, port);
    }
    return 0;
  }

  /** Ports of the two-level ABI have no priority. */
  setPriority(port: number): number {
    return this.channels[port] === undefined ? -XEN_EINVAL : -XEN_ENOSYS;
  }

  status(port: number): ChannelStatus | undefined {
    const channel = this.channels[port];
    if (channel === undefined) return undefined;
    return {
      status: STATUS[channel.state],
      vcpuId: channel.vcpuId,
      remoteDomain: channel.remoteDomain,
      remotePort: channel.remotePort,
      virq: channel.virq,
    };
  }

  /** Ports that are neither free nor reserved. */
  get active(): number {
    return this.channels.reduce((count, { state }) => count + (state > State.Reserved ? 1 : 0), 0);
  }

  // ---------------------------------------------------------------- SCHEDOP_poll

  /** 1 if the port is pending, 0 if not, or a negative errno for one that is not in use. */
  poll(port: number): number {
    const channel = this.channels[port];
    if (channel === undefined || channel.state <= State.Reserved) return -XEN_EINVAL;
    return isPending(this.memory, this.domain, port) ? 1 : 0;
  }

  // ---------------------------------------------------------------- the host's side

  /**
   * Binds the host to a port that waits for it; `onEvent` runs at each send of the guest. Sends before this call were
   * lost, so look at the shared ring afterwards. Raises `EventChannelError` if the port does not wait for the host.
   */
  bindHost(port: number, onEvent: () => void): HostChannel {
    const channel = this.channels[port];
    if (channel === undefined || channel.state !== State.Unbound || channel.remoteDomain !== HOST_DOMAIN) {
      throw new EventChannelError(
        `expected port ${port} of domain ${this.domain.id} to wait for the host, ` +
          `found it ${channel === undefined ? 'nonexistent' : STATE_NAMES[channel.state]}`,
      );
    }
    const host = new HostChannel(this, port, onEvent);
    this.connect(channel, HOST_DOMAIN, host, port);
    return host;
  }

  /** Raises a port in the guest: the end of `send` at the far side. */
  raise(port: number): void {
    const { vcpuId } = this.channels[port]!;
    const vcpu = this.domain.vcpus[vcpuId];
    if (vcpu === undefined) return;
    this.onRaise?.(port, vcpuId);
    if (setPending(this.memory, this.domain, vcpu, port)) this.wakePollers(port);
  }

  /** The far end of an interdomain port is gone: the port waits for it again. */
  farEndClosed(port: number, domain: number): void {
    const channel = this.channels[port]!;
    channel.state = State.Unbound;
    channel.remoteDomain = domain;
    channel.remote = undefined;
    channel.remotePort = 0;
  }

  // ---------------------------------------------------------------- the table

  private connect(
    channel: Channel,
    domain: number,
    remote: EventChannels | HostChannel,
    remotePort: number,
  ): void {
    channel.state = State.Interdomain;
    channel.remoteDomain = domain;
    channel.remote = remote;
    channel.remotePort = remotePort;
  }

  private freePort(): number {
    if (this.released) return -XEN_EINVAL;
    const last = Math.min(this.maxPort, portLimit(this.domain) - 1);
    for (let port = 0; port <= last; port++) {
      if (port === this.channels.length) this.addBucket();
      if (this.channels[port]!.state === State.Free) return port;
    }
    return -XEN_ENOSPC;
  }

  private addBucket(): void {
    for (let i = 0; i < BUCKET; i++) {
      this.channels.push({
        state: State.Free,
        vcpuId: 0,
        remoteDomain: 0,
        remote: undefined,
        remotePort: 0,
        virq: 0,
      });
    }
  }

  private free(port: number, channel: Channel): void {
    clearPending(this.memory, this.domain, port);
    channel.state = State.Free;
    channel.vcpuId = 0;
    channel.remoteDomain = 0;
    channel.remote = undefined;
    channel.remotePort = 0;
    channel.virq = 0;
  }

  private wakePollers(port: number): void {
    for (const vcpu of this.domain.vcpus) {
      if (vcpu.pollPort !== -1 && vcpu.pollPort !== port) continue;
      vcpu.pollPort = 0;
      vcpu.wake();
    }
  }
}

const STATUS: Readonly<Record<State, number>> = {
  [State.Free]: EVTCHNSTAT_closed,
  [State.Reserved]: EVTCHNSTAT_closed,
  [State.Unbound]: EVTCHNSTAT_unbound,
  [State.Interdomain]: EVTCHNSTAT_interdomain,
  [State.Virq]: EVTCHNSTAT_virq,
  [State.Ipi]: EVTCHNSTAT_ipi,
};

const STATE_NAMES = ['free', 'reserved', 'waiting for another domain', 'bound', 'bound to a virq', 'an ipi'];
