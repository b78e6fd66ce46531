/**
 * A domain holds its parts behind the narrow interfaces of `parts.ts`. The hypercalls that serve one part need all of
 * it; this is the one place where the narrow type becomes the class that the domain builder hung in.
 */
import type { XenDomain } from '../domain.ts';
import type { EventChannels } from '../events/index.ts';
import type { GrantTable } from '../grants/table.ts';
import type { VcpuClock } from '../time.ts';
import type { XenVcpu } from '../vcpu.ts';

export function channelsOf(domain: XenDomain): EventChannels {
  return domain.events as EventChannels;
}

export function clockOf(vcpu: XenVcpu): VcpuClock {
  return vcpu.time as VcpuClock;
}

export function grantsOf(domain: XenDomain): GrantTable {
  return domain.grants as GrantTable;
}
