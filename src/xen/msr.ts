/**
 * Model-specific registers as a PV guest reads and writes them: a few are real, some read as constants, the rest is #GP.
 *
 * A kernel without a #GP handler would die of a harmless RDMSR, so until it has registered one a read that would fault
 * gives 0. (Xen 4.17, arch/x86/pv/emul-priv-op.c: read_msr, write_msr; arch/x86/msr.c: guest_rdmsr, guest_wrmsr;
 * arch/x86/cpu/mcheck/vmce.c.)
 */
import { CPU_TSC_AUX, CPU_TSC_OFFSET } from '../machine/layout.ts';
import { FS, GS, VECTOR_GP } from '../machine/x86/registers.ts';
import { isCanonicalHigh } from './canonical.ts';
import { EFER_INITIAL } from './control.ts';
import { writeHypercallPage } from './hypercall-page.ts';
import { PGT_writable_page } from './mm/page-info.ts';
import { segmentBaseHigh, segmentBaseLow } from './segments.ts';
import type { XenVcpu } from './vcpu.ts';

const MSR_P5_MC_ADDR = 0x0;
const MSR_P5_MC_TYPE = 0x1;
const MSR_TSC = 0x10;
const MSR_PLATFORM_ID = 0x17;
const MSR_APIC_BASE = 0x1b;
const MSR_FEATURE_CONTROL = 0x3a;
const MSR_UCODE_REV = 0x8b;
const MSR_PLATFORM_INFO = 0xce;
const MSR_MISC_FEATURES = 0x140;
const MSR_MCG_CAP = 0x179;
const MSR_MCG_STATUS = 0x17a;
const MSR_MCG_CTL = 0x17b;
const MSR_PERF_STATUS = 0x198;
const MSR_PERF_CTL = 0x199;
const MSR_THERM_CONTROL = 0x19a;
const MSR_THERM_STATUS = 0x19c;
const MSR_MISC_ENABLE = 0x1a0;
const MSR_ENERGY_PERF_BIAS = 0x1b0;
const MSR_PAT = 0x277;
const MSR_MC_CTL2_FIRST = 0x280;
const MSR_MC_CTL2_LAST = 0x29f;
const MSR_PERF_CAPABILITIES = 0x345;
const MSR_MC_FIRST = 0x400;
const MSR_MC_LAST = 0x47f;
const MSR_MPERF = 0xe7;
const MSR_APERF = 0xe8;
const MSR_XEN_HYPERCALL_PAGE = 0x40000000;
const MSR_XEN_LAST = 0x400002ff;
const MSR_EFER = 0xc0000080;
const MSR_FS_BASE = 0xc0000100;
const MSR_GS_BASE = 0xc0000101;
const MSR_KERNEL_GS_BASE = 0xc0000102;
const MSR_TSC_AUX = 0xc0000103;
const MSR_NB_CFG = 0xc001001f;

/** The PAT that Xen runs with: WB WT UC- UC WC WP. */
const PAT_LOW = 0x00070406;
const PAT_HIGH = 0x00000501;
/** Enabled, at the usual address; the first processor is also the bootstrap one. */
const APIC_BASE = 0xfee00800 | 0;
const APIC_BASE_BSP = 0x100;
/** Fast strings on; BTS, PEBS not there; xTPR off. */
const MISC_ENABLE = 0x00801801;
const FEATURE_CONTROL_LOCK = 1;
/** Two banks, CMCI, threshold status, recovery. */
const MCG_CAP = 0x01000c02;
const MC_BANKS = 2;
const MC_CTL = 0;

/** Reserved ranges read as zero before the guest has a #GP handler only where hardware has registers at all. */
const PLAUSIBLE_LOW = 0x2000;
const PLAUSIBLE_HIGH_FIRST = 0xc0000000;
const PLAUSIBLE_HIGH_LAST = 0xc0011fff;

/** The value of the last RDMSR. */
export const msrValue = { low: 0, high: 0 };

function give(low: number, high = 0): boolean {
  msrValue.low = low;
  msrValue.high = high;
  return true;
}

/** RDMSR into `msrValue`; false: it is #GP. */
export function readMsr(vcpu: XenVcpu, msr: number): boolean {
  if (readKnown(vcpu, msr)) return true;
  const exists = msr < PLAUSIBLE_LOW || (msr >= PLAUSIBLE_HIGH_FIRST && msr <= PLAUSIBLE_HIGH_LAST);
  return exists && vcpu.traps.address[VECTOR_GP] === 0 && give(0);
}

function readKnown(vcpu: XenVcpu, msr: number): boolean {
  const { state } = vcpu;
  switch (msr) {
    case MSR_FS_BASE:
      return give(segmentBaseLow(vcpu, FS), segmentBaseHigh(vcpu, FS));
    case MSR_GS_BASE:
      return give(segmentBaseLow(vcpu, GS), segmentBaseHigh(vcpu, GS));
    case MSR_KERNEL_GS_BASE:
      return give(vcpu.gsBaseInactiveLow, vcpu.gsBaseInactiveHigh);
    case MSR_EFER:
      return give(EFER_INITIAL);
    case MSR_TSC: {
      const tsc = readTsc(vcpu);
      return give(tsc | 0, Math.floor(tsc / 4294967296) | 0);
    }
    case MSR_TSC_AUX:
      return give(state.low(CPU_TSC_AUX));
    case MSR_PAT:
      return give(PAT_LOW, PAT_HIGH);
    case MSR_APIC_BASE:
      return give(vcpu.id === 0 ? APIC_BASE | APIC_BASE_BSP : APIC_BASE);
    case MSR_MISC_ENABLE:
      return give(MISC_ENABLE);
    case MSR_FEATURE_CONTROL:
      return give(FEATURE_CONTROL_LOCK);
    case MSR_MCG_CAP:
      return give(MCG_CAP);
    case MSR_P5_MC_ADDR:
    case MSR_P5_MC_TYPE:
    case MSR_PLATFORM_ID:
    case MSR_UCODE_REV:
    case MSR_PLATFORM_INFO:
    case MSR_MISC_FEATURES:
    case MSR_MCG_STATUS:
    case MSR_MCG_CTL:
    case MSR_PERF_STATUS:
    case MSR_PERF_CTL:
    case MSR_THERM_STATUS:
    case MSR_PERF_CAPABILITIES:
    case MSR_NB_CFG:
    case MSR_XEN_HYPERCALL_PAGE:
      return give(0);
    default:
      if (msr >= MSR_MC_CTL2_FIRST && msr <= MSR_MC_CTL2_LAST) return give(0);
      if (msr >= MSR_MC_FIRST && msr <= MSR_MC_LAST) {
        const control = msr < MSR_MC_FIRST + MC_BANKS * 4 && (msr & 3) === MC_CTL;
        return control ? give(-1, -1) : give(0);
      }
      return false;
  }
}

/** WRMSR; false: it is #GP. */
export function writeMsr(vcpu: XenVcpu, msr: number, low: number, high: number): boolean {
  const { state, domain } = vcpu;
  switch (msr) {
    case MSR_FS_BASE:
    case MSR_GS_BASE:
    case MSR_KERNEL_GS_BASE:
      if (!isCanonicalHigh(high)) return false;
      if (msr === MSR_KERNEL_GS_BASE) {
        vcpu.gsBaseInactiveLow = low;
        vcpu.gsBaseInactiveHigh = high;
      } else {
        state.setSegmentBase(msr === MSR_FS_BASE ? FS : GS, low, high);
      }
      return true;
    case MSR_EFER:
      // Writing back what it is, as Linux does, is all that is allowed.
      return low === EFER_INITIAL && high === 0;
    case MSR_TSC_AUX:
      if (high !== 0) return false;
      state.set(CPU_TSC_AUX, low, 0);
      return true;
    case MSR_UCODE_REV:
    case MSR_MISC_FEATURES:
      return (low | high) === 0;
    case MSR_MISC_ENABLE:
    case MSR_MCG_CAP:
    case MSR_MCG_STATUS:
    case MSR_MCG_CTL:
    case MSR_PERF_CTL:
    case MSR_THERM_CONTROL:
    case MSR_ENERGY_PERF_BIAS:
    case MSR_MPERF:
    case MSR_APERF:
    case MSR_NB_CFG:
      // Accepted and ignored.
      return true;
    case MSR_XEN_HYPERCALL_PAGE: {
      const mfn = Math.floor((high * 4294967296 + (low >>> 0)) / 4096);
      if ((low & 0xfff) !== 0) return false;
      if (!domain.mm.getPageAndType(mfn, PGT_writable_page)) return false;
      writeHypercallPage(domain.host.memory, mfn, domain.is64);
      domain.mm.putPageAndType(mfn);
      return true;
    }
    default:
      if (msr > MSR_XEN_HYPERCALL_PAGE && msr <= MSR_XEN_LAST) return false;
      if (msr >= MSR_MC_CTL2_FIRST && msr <= MSR_MC_CTL2_LAST) return true;
      // A bank's registers can be cleared, its control not changed; what is written to a bank that is not there is lost.
      if (msr >= MSR_MC_FIRST && msr <= MSR_MC_LAST) {
        const there = msr < MSR_MC_FIRST + MC_BANKS * 4;
        return !there || (msr & 3) === MC_CTL || (low | high) === 0;
      }
      return false;
  }
}

/** The TSC as the guest reads it: nanoseconds of the host plus the guest's offset. */
export function readTsc(vcpu: XenVcpu): number {
  const { state, domain } = vcpu;
  return (
    domain.host.clock.nowNs() + state.high(CPU_TSC_OFFSET) * 4294967296 + (state.low(CPU_TSC_OFFSET) >>> 0)
  );
}
