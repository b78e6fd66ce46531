/**
 * The bitmaps of vCPUs whose translations a guest wants dropped.
 *
 * vCPUs take turns on one processor, and a vCPU that comes back finds translations dropped that became stale while it
 * was away. So it is enough to know whether a bitmap names anyone at all, and then to drop what is loaded.
 * (Xen 4.17, arch/x86/mm.c: vcpumask_to_pcpumask.)
 */
import { XEN_EFAULT } from '../../abi/xen/numbers/index.ts';
import type { Gva } from '../../machine/memory.ts';
import type { MmuVcpu } from './vcpu.ts';

/** 1 if the bitmap at `gva` names a vCPU of the domain, 0 if none, -EFAULT if it cannot be read. */
export function anyVcpuIn(vcpu: MmuVcpu, gva: Gva): number {
  const { guest } = vcpu;
  const count = vcpu.domain.vcpus.length;
  let any = 0;
  for (let first = 0; first < count; first += 64) {
    const at = gva + first / 8;
    if (guest.tryHost(at, false) === 0 || guest.tryHost(at + 7, false) === 0) return -XEN_EFAULT;
    for (let half = 0; half < 2; half++) {
      const word = guest.read32(at + half * 4);
      for (let bit = 0; bit < 32; bit++) {
        if (((word >>> bit) & 1) !== 0 && first + half * 32 + bit < count) any = 1;
      }
    }
  }
  return any;
}
