/** What a bare machine's crash report holds, gathered from its processor. */
import { type CrashReport, readCrashState } from '../hypervisor/crash-report.ts';
import type { NativeVcpu } from './vcpu.ts';

const TWO_32 = 4294967296;
const USER = 3;

export function buildCrashReport(vcpu: NativeVcpu, reason: string): CrashReport {
  const { state, domain, guest, msrs } = vcpu;
  const cpl = vcpu.enterSupervisor();
  try {
    return {
      ...readCrashState(state, guest),
      reason,
      domainId: domain.id,
      domainName: domain.name,
      vcpuId: vcpu.id,
      kernelMode: cpl !== USER,
      gsBaseInactive: msrs.kernelGsBase.high * TWO_32 + (msrs.kernelGsBase.low >>> 0),
      cr4: state.cr4,
      hypercalls: [],
    };
  } finally {
    vcpu.leaveSupervisor(cpl);
  }
}
