import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  EVTCHNSTAT_closed,
  EVTCHNSTAT_interdomain,
  EVTCHNSTAT_ipi,
  EVTCHNSTAT_unbound,
  EVTCHNSTAT_virq,
  NR_VIRQS,
  VIRQ_CONSOLE,
  VIRQ_DEBUG,
  VIRQ_TIMER,
  VIRQ_XENOPROF,
  VIRQ_XENPMU,
  XEN_EEXIST,
  XEN_EINVAL,
  XEN_ENOENT,
  XEN_ENOSPC,
  XEN_ENOSYS,
  XEN_EPERM,
  XEN_ESRCH,
} from '../../abi/xen/numbers/index.ts';
import { shared_info, vcpu_info } from '../../abi/xen/structures/shared-info.ts';
import { MachineMemory, PAGE_SIZE } from '../../machine/memory.ts';
import { EventChannelError, EventChannels, type EventDomain, type EventVcpu, NR_PIRQS } from './index.ts';
import { isMasked, isPending, needsDelivery, setUpcallMask } from './two-level.ts';

class TestVcpu implements EventVcpu {
  pollPort = 0;
  wakes = 0;
  readonly id: number;
  vcpuInfo: number;
  constructor(id: number, vcpuInfo: number) {
    this.id = id;
    this.vcpuInfo = vcpuInfo;
  }
  wake(): void {
    this.wakes++;
  }
}

class TestDomain implements EventDomain {
  readonly vcpus: TestVcpu[] = [];
  readonly events: EventChannels;
  readonly id: number;
  readonly is64: boolean;
  readonly sharedInfo: number;
  constructor(world: World, id: number, { is64 = true, vcpus = 2, maxPort = 1023 } = {}) {
    this.id = id;
    this.is64 = is64;
    this.sharedInfo = id * PAGE_SIZE;
    for (let i = 0; i < vcpus; i++) this.vcpus.push(new TestVcpu(i, this.sharedInfo + i * 64));
    this.events = new EventChannels(this, world.memory, world, maxPort);
    world.domains.set(id, this);
  }
}

class World {
  readonly memory = new MachineMemory({ frames: 16, codeCacheBytes: 65536 });
  readonly domains = new Map<number, TestDomain>();
  channelsOf(id: number): EventChannels | undefined {
    return this.domains.get(id)?.events;
  }
  mask(domain: TestDomain, port: number): void {
    const layout = shared_info[domain.is64 ? 'x64' : 'x32'];
    const at = domain.sharedInfo + layout.offset.evtchn_mask + (port >> 5) * 4;
    this.memory.write32(at, this.memory.read32(at) | (1 << (port & 31)));
  }
  selector(vcpu: TestVcpu): number {
    return this.memory.read32(vcpu.vcpuInfo + vcpu_info.x64.offset.evtchn_pending_sel);
  }
  /** What a guest's upcall handler does first. */
  take(domain: TestDomain, vcpu: TestVcpu, port: number): void {
    this.memory.write8(vcpu.vcpuInfo, 0);
    this.memory.write32(vcpu.vcpuInfo + vcpu_info.x64.offset.evtchn_pending_sel, 0);
    const at = domain.sharedInfo + shared_info.x64.offset.evtchn_pending + (port >> 5) * 4;
    this.memory.write32(at, this.memory.read32(at) & ~(1 << (port & 31)));
  }
}

describe('raising an event', () => {
  it('sets the pending bit, the selector bit and the upcall, and wakes the vCPU once', () => {
    const world = new World();
    const domain = new TestDomain(world, 1);
    const vcpu = domain.vcpus[1]!;
    const port = domain.events.bindIpi(1);
    assert.equal(domain.events.send(port), 0);
    assert.equal(isPending(world.memory, domain, port), true);
    assert.equal(world.selector(vcpu), 1);
    assert.equal(world.memory.read8(vcpu.vcpuInfo), 1);
    assert.equal(vcpu.wakes, 1);
    domain.events.send(port);
    assert.equal(vcpu.wakes, 1, 'an event that is pending already raises nothing');
    let far = port;
    while (far < 64) far = domain.events.bindIpi(1);
    domain.events.send(far);
    assert.equal(world.selector(vcpu), 3);
    assert.equal(vcpu.wakes, 1, 'nor does one that finds the upcall requested');
    world.take(domain, vcpu, port);
    domain.events.send(port);
    assert.equal(vcpu.wakes, 2);
    assert.equal(domain.vcpus[0]!.wakes, 0);
  });

  it('selects by words of 64 bits for a 64-bit domain and of 32 for a 32-bit one', () => {
    for (const is64 of [true, false]) {
      const world = new World();
      const domain = new TestDomain(world, 1, { is64, vcpus: 1 });
      let port = 0;
      while (port < 70) port = domain.events.bindIpi(0);
      domain.events.send(port);
      const offset = vcpu_info[is64 ? 'x64' : 'x32'].offset.evtchn_pending_sel;
      const selector = world.memory.read32(domain.vcpus[0]!.vcpuInfo + offset);
      assert.equal(selector, is64 ? 1 << 1 : 1 << 2);
      assert.equal(isPending(world.memory, domain, port), true);
    }
  });

  it('only notes an event whose port is masked, until it is unmasked', () => {
    const world = new World();
    const domain = new TestDomain(world, 1);
    const vcpu = domain.vcpus[0]!;
    const port = domain.events.bindIpi(0);
    world.mask(domain, port);
    domain.events.send(port);
    assert.equal(isPending(world.memory, domain, port), true);
    assert.equal(world.selector(vcpu), 0);
    assert.equal(vcpu.wakes, 0);
    assert.equal(domain.events.unmask(port), 0);
    assert.equal(isMasked(world.memory, domain, port), false);
    assert.equal(world.selector(vcpu), 1);
    assert.equal(vcpu.wakes, 1);
    assert.equal(needsDelivery(world.memory, vcpu), true);
    setUpcallMask(world.memory, vcpu, true);
    assert.equal(needsDelivery(world.memory, vcpu), false);
  });

  it('is not raised again by unmasking what was not masked', () => {
    const world = new World();
    const domain = new TestDomain(world, 1);
    const vcpu = domain.vcpus[0]!;
    const port = domain.events.bindIpi(0);
    domain.events.send(port);
    // The guest has begun to look, and not yet come to this port.
    world.memory.write8(vcpu.vcpuInfo, 0);
    world.memory.write32(vcpu.vcpuInfo + vcpu_info.x64.offset.evtchn_pending_sel, 0);
    assert.equal(domain.events.unmask(port), 0);
    assert.deepEqual([world.selector(vcpu), vcpu.wakes], [0, 1]);
  });

  it('asks for no upcall while the guest has yet to look at the word of the port', () => {
    const world = new World();
    const domain = new TestDomain(world, 1);
    const vcpu = domain.vcpus[0]!;
    const port = domain.events.bindIpi(0);
    const other = domain.events.bindIpi(0);
    domain.events.send(port);
    world.memory.write8(vcpu.vcpuInfo, 0);
    domain.events.send(other);
    assert.equal(isPending(world.memory, domain, other), true);
    assert.deepEqual([world.memory.read8(vcpu.vcpuInfo), vcpu.wakes], [0, 1]);
  });

  it('wakes a vCPU that polls for the port even if the port is masked', () => {
    const world = new World();
    const domain = new TestDomain(world, 1);
    const [first, second] = domain.vcpus as [TestVcpu, TestVcpu];
    const port = domain.events.bindIpi(0);
    const other = domain.events.bindIpi(0);
    world.mask(domain, port);
    world.mask(domain, other);
    first.pollPort = port;
    second.pollPort = -1;
    domain.events.send(other);
    assert.deepEqual([first.wakes, second.wakes, second.pollPort], [0, 1, 0]);
    domain.events.send(port);
    assert.deepEqual([first.wakes, second.wakes, first.pollPort], [1, 1, 0]);
  });

  it('does nothing to a vCPU that has no vcpu_info', () => {
    const world = new World();
    const domain = new TestDomain(world, 1);
    domain.vcpus[1]!.vcpuInfo = 0;
    const port = domain.events.bindIpi(1);
    assert.equal(domain.events.send(port), 0);
    assert.equal(world.memory.read8(0), 0);
  });
});

describe('the table of ports', () => {
  it('gives out the lowest free port, never port 0', () => {
    const world = new World();
    const { events } = new TestDomain(world, 1);
    assert.deepEqual([events.bindIpi(0), events.bindIpi(0), events.bindIpi(0)], [1, 2, 3]);
    assert.equal(events.close(2), 0);
    assert.equal(events.bindIpi(0), 2);
    assert.equal(events.active, 3);
  });

  it('ends at the configured limit, and at 1024 ports for a 32-bit domain', () => {
    const world = new World();
    const small = new TestDomain(world, 1, { maxPort: 3 }).events;
    for (let i = 0; i < 3; i++) assert.equal(small.bindIpi(0) > 0, true);
    assert.equal(small.bindIpi(0), -XEN_ENOSPC);
    for (const [is64, limit] of [
      [true, 4096],
      [false, 1024],
    ] as const) {
      const { events } = new TestDomain(world, 2, { is64, maxPort: 1 << 20 });
      for (let port = 1; port < limit; port++) assert.equal(events.bindIpi(0), port);
      assert.equal(events.bindIpi(0), -XEN_ENOSPC);
    }
  });

  it('tells a closed port from one that was never there', () => {
    const world = new World();
    const domain = new TestDomain(world, 1);
    const { events } = domain;
    assert.equal(events.status(5)!.status, EVTCHNSTAT_closed);
    assert.equal(events.status(64), undefined);
    for (const port of [0, 5, 64, 0xffffffff]) {
      assert.equal(events.close(port), -XEN_EINVAL);
      assert.equal(events.send(port), -XEN_EINVAL);
      assert.equal(events.bindVcpu(port, 0), -XEN_EINVAL);
      assert.equal(events.poll(port), -XEN_EINVAL);
    }
    world.mask(domain, 5);
    assert.equal(events.unmask(5), 0);
    assert.equal(isMasked(world.memory, domain, 5), true, 'the mask of a port that nobody uses stays');
    assert.equal(events.unmask(64), -XEN_EINVAL);
    assert.equal(events.setPriority(5), -XEN_ENOSYS);
    assert.equal(events.setPriority(64), -XEN_EINVAL);
  });

  it('forgets a pending event when its port closes', () => {
    const world = new World();
    const domain = new TestDomain(world, 1);
    const port = domain.events.bindIpi(0);
    domain.events.send(port);
    domain.events.close(port);
    assert.equal(isPending(world.memory, domain, port), false);
  });

  it('closes everything on reset', () => {
    const world = new World();
    const { events } = new TestDomain(world, 1);
    events.bindIpi(0);
    events.bindVirq(VIRQ_TIMER, 0);
    events.allocUnbound(0);
    assert.equal(events.reset(), 0);
    assert.equal(events.active, 0);
    assert.equal(events.bindVirq(VIRQ_TIMER, 0), 1);
  });
});

describe('virtual interrupts and IPIs', () => {
  it('bind once for each vCPU, or once for the domain, and raise their port', () => {
    const world = new World();
    const domain = new TestDomain(world, 1);
    const { events } = domain;
    const first = events.bindVirq(VIRQ_TIMER, 0);
    const second = events.bindVirq(VIRQ_TIMER, 1);
    assert.deepEqual([first, second], [1, 2]);
    assert.equal(events.bindVirq(VIRQ_TIMER, 1), -XEN_EEXIST);
    events.sendVirq(1, VIRQ_TIMER);
    assert.equal(isPending(world.memory, domain, first), false);
    assert.equal(isPending(world.memory, domain, second), true);
    assert.deepEqual(
      domain.vcpus.map((vcpu) => vcpu.wakes),
      [0, 1],
    );
    assert.deepEqual(events.status(second), {
      status: EVTCHNSTAT_virq,
      vcpuId: 1,
      remoteDomain: 0,
      remotePort: 0,
      virq: VIRQ_TIMER,
    });
    events.close(second);
    events.sendVirq(1, VIRQ_TIMER);
    assert.equal(events.bindVirq(VIRQ_TIMER, 1), second);
  });

  it('move to another vCPU only if they are global', () => {
    const world = new World();
    const domain = new TestDomain(world, 1);
    const { events } = domain;
    assert.equal(events.bindVirq(VIRQ_CONSOLE, 1), -XEN_EINVAL);
    const console = events.bindVirq(VIRQ_CONSOLE, 0);
    const timer = events.bindVirq(VIRQ_TIMER, 0);
    const ipi = events.bindIpi(0);
    assert.equal(events.bindVcpu(console, 1), 0);
    assert.equal(events.bindVcpu(timer, 1), -XEN_EINVAL);
    assert.equal(events.bindVcpu(ipi, 1), -XEN_EINVAL);
    assert.equal(events.bindVcpu(console, 2), -XEN_ENOENT);
    events.sendGlobalVirq(VIRQ_CONSOLE);
    assert.equal(domain.vcpus[1]!.wakes, 1);
    events.close(console);
    assert.equal(events.bindVirq(VIRQ_CONSOLE, 0), console, 'closing forgets it at vCPU 0');
  });

  it('belong to a vCPU each if they are the timer, debugging or profiling', () => {
    const { events } = new TestDomain(new World(), 1);
    for (const virq of [VIRQ_TIMER, VIRQ_DEBUG, VIRQ_XENOPROF, VIRQ_XENPMU]) {
      assert.equal(events.bindVirq(virq, 1) > 0, true);
      assert.equal(events.bindVirq(virq, 0) > 0, true);
    }
  });

  it('refuse numbers and vCPUs that do not exist, and every physical interrupt', () => {
    const { events } = new TestDomain(new World(), 1);
    assert.equal(events.bindVirq(NR_VIRQS, 0), -XEN_EINVAL);
    assert.equal(events.bindVirq(VIRQ_TIMER, 2), -XEN_ENOENT);
    assert.equal(events.bindIpi(2), -XEN_ENOENT);
    assert.equal(events.bindPirq(NR_PIRQS - 1), -XEN_EPERM);
    assert.equal(events.bindPirq(NR_PIRQS), -XEN_EINVAL);
    const ipi = events.bindIpi(1);
    assert.equal(events.status(ipi)!.status, EVTCHNSTAT_ipi);
  });
});

describe('channels between domains', () => {
  it('carry an event to the other side and fall back to unbound when one side closes', () => {
    const world = new World();
    const one = new TestDomain(world, 1);
    const two = new TestDomain(world, 2);
    one.events.bindIpi(0);
    const offered = one.events.allocUnbound(2);
    assert.equal(one.events.send(offered), 0, 'nobody hears it, and that is no error');
    const bound = two.events.bindInterdomain(1, offered);
    assert.equal(bound, 1);
    assert.ok(isPending(world.memory, two, bound), 'the binder is told, for it may have missed an event');
    assert.deepEqual(one.events.status(offered), {
      status: EVTCHNSTAT_interdomain,
      vcpuId: 0,
      remoteDomain: 2,
      remotePort: bound,
      virq: 0,
    });
    two.events.send(bound);
    assert.equal(isPending(world.memory, one, offered), true);
    two.events.close(bound);
    assert.equal(one.events.status(offered)!.status, EVTCHNSTAT_unbound);
    assert.equal(one.events.status(offered)!.remoteDomain, 2);
    assert.equal(two.events.bindInterdomain(1, offered), bound, 'and may be bound again');
  });

  it('may tell another vCPU while they wait; the next use of the port begins at vCPU 0 again', () => {
    const { events } = new TestDomain(new World(), 1);
    const offered = events.allocUnbound(7);
    assert.equal(events.bindVcpu(offered, 1), 0);
    assert.equal(events.status(offered)!.vcpuId, 1);
    events.close(offered);
    assert.equal(events.allocUnbound(7), offered);
    assert.equal(events.status(offered)!.vcpuId, 0);
  });

  it('join two ports of one domain', () => {
    const world = new World();
    const domain = new TestDomain(world, 1);
    const offered = domain.events.allocUnbound(1);
    const bound = domain.events.bindInterdomain(1, offered);
    domain.events.send(bound);
    assert.equal(isPending(world.memory, domain, offered), true);
    domain.events.close(offered);
    assert.equal(domain.events.status(bound)!.status, EVTCHNSTAT_unbound);
  });

  it('cannot be bound by a domain that they do not wait for', () => {
    const world = new World();
    const one = new TestDomain(world, 1);
    const two = new TestDomain(world, 2);
    new TestDomain(world, 3);
    const offered = one.events.allocUnbound(3);
    assert.equal(two.events.bindInterdomain(1, offered), -XEN_EINVAL);
    assert.equal(two.events.bindInterdomain(1, 999), -XEN_EINVAL);
    assert.equal(two.events.bindInterdomain(9, 1), -XEN_ESRCH);
    assert.equal(two.events.bindInterdomain(0, 1), -XEN_EINVAL);
    assert.equal(two.events.active, 0, 'a refused binding leaves no port behind');
  });

  it('are unbound at the far side when a domain is destroyed, which gets no port again', () => {
    const world = new World();
    const one = new TestDomain(world, 1);
    const two = new TestDomain(world, 2);
    const offered = one.events.allocUnbound(2);
    two.events.bindInterdomain(1, offered);
    two.events.release();
    assert.equal(one.events.status(offered)!.status, EVTCHNSTAT_unbound);
    assert.equal(two.events.bindIpi(0), -XEN_EINVAL);
  });
});

describe('the host as the far end', () => {
  it('hears what the guest sends and raises events in it', () => {
    const world = new World();
    const domain = new TestDomain(world, 1);
    const port = domain.events.allocUnbound(0);
    let heard = 0;
    const channel = domain.events.bindHost(port, () => heard++);
    assert.equal(domain.events.status(port)!.status, EVTCHNSTAT_interdomain);
    assert.equal(domain.events.status(port)!.remoteDomain, 0);
    domain.events.send(port);
    domain.events.send(port);
    assert.equal(heard, 2);
    assert.equal(isPending(world.memory, domain, port), false);
    channel.notify();
    assert.equal(isPending(world.memory, domain, port), true);
    channel.close();
    assert.equal(domain.events.status(port)!.status, EVTCHNSTAT_unbound);
    channel.notify();
    domain.events.bindHost(port, () => {});
  });

  it('loses a channel that the guest closes, whatever the port becomes next', () => {
    const world = new World();
    const domain = new TestDomain(world, 1);
    const port = domain.events.allocUnbound(0);
    const channel = domain.events.bindHost(port, () => {});
    domain.events.close(port);
    assert.equal(channel.open, false);
    assert.equal(domain.events.bindIpi(0), port);
    channel.notify();
    channel.close();
    assert.equal(isPending(world.memory, domain, port), false);
    assert.equal(domain.events.status(port)!.status, EVTCHNSTAT_ipi);
  });

  it('cannot be bound to a port that does not wait for it', () => {
    const { events } = new TestDomain(new World(), 1);
    const ipi = events.bindIpi(0);
    const foreign = events.allocUnbound(7);
    for (const port of [ipi, foreign, 30, 5000]) {
      assert.throws(() => events.bindHost(port, () => {}), EventChannelError);
    }
  });
});
