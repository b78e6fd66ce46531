/** What a domain's crash report holds, gathered from the vCPU that crashed it. */
import { type CrashReport, readCrashState } from '../hypervisor/crash-report.ts';
import type { XenVcpu } from './vcpu.ts';

const TWO_32 = 4294967296;

export function buildCrashReport(vcpu: XenVcpu, reason: string): CrashReport {
  const { state, domain, guest } = vcpu;
  return {
    ...readCrashState(state, guest),
    reason,
    domainId: domain.id,
    domainName: domain.name,
    vcpuId: vcpu.id,
    kernelMode: vcpu.kernelMode,
    gsBaseInactive: vcpu.gsBaseInactiveHigh * TWO_32 + (vcpu.gsBaseInactiveLow >>> 0),
    cr4: vcpu.cr4,
    hypercalls: vcpu.lastHypercalls(),
  };
}
