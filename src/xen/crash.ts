/** What a domain's crash report holds, gathered from the vCPU that crashed it. */
import type { CrashReport, Word64 } from '../hypervisor/crash-report.ts';
import { REGISTER_NAMES, RSP } from '../machine/x86/registers.ts';
import type { XenVcpu } from './vcpu.ts';

const STACK_WORDS = 40;
const CODE_BEFORE = 16;
const CODE_BYTES = 64;
const SEGMENTS = 6;
const TWO_32 = 4294967296;

export function buildCrashReport(vcpu: XenVcpu, reason: string): CrashReport {
  const { state, domain, guest } = vcpu;
  const { memory } = domain.host;
  const registers: Word64[] = REGISTER_NAMES.map((_, n) => ({
    low: state.regLow(n),
    high: state.regHigh(n),
  }));
  const segments = Array.from({ length: SEGMENTS }, (_, n) => ({
    selector: state.selector(n),
    base: state.segmentBase(n),
  }));
  const stack: Word64[] = [];
  const rsp = state.reg(RSP);
  for (let i = 0; i < STACK_WORDS; i++) {
    // Words are read by halves: an unaligned stack may cross a page in the middle of one.
    const low = guest.tryHost(rsp + i * 8, false);
    const high = guest.tryHost(rsp + i * 8 + 7, false);
    if (low === 0 || high === 0) break;
    stack.push({ low: guest.read32(rsp + i * 8), high: guest.read32(rsp + i * 8 + 4) });
  }
  let codeStart = state.rip;
  while (state.rip - codeStart < CODE_BEFORE && guest.tryHost(codeStart - 1, false) !== 0) codeStart--;
  const code: number[] = [];
  while (code.length < CODE_BYTES) {
    const host = guest.tryHost(codeStart + code.length, false);
    if (host === 0) break;
    code.push(memory.u8[host]!);
  }
  return {
    reason,
    domainId: domain.id,
    domainName: domain.name,
    vcpuId: vcpu.id,
    kernelMode: vcpu.kernelMode,
    rip: state.rip,
    rflags: state.rflags,
    registers,
    segments,
    gsBaseInactive: vcpu.gsBaseInactiveHigh * TWO_32 + (vcpu.gsBaseInactiveLow >>> 0),
    cr0: state.cr0,
    cr2: state.cr2,
    cr3: state.cr3,
    cr4: vcpu.cr4,
    stack,
    code: Uint8Array.from(code),
    codeStart,
    retired: state.retired,
    hypercalls: vcpu.lastHypercalls(),
  };
}
