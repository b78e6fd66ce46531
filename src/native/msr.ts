/**
 * Model-specific registers of the bare machine; an unknown one is #GP(0). (Intel SDM 4, chapter 2; AMD APM 2, 6.1.1.)
 *
 *     10 TSC            c0000080 EFER     c0000084 SFMASK       17, 8b, 1a0   read as constants, as
 *     277 PAT           c0000081 STAR     c0000100 FS_BASE                    kernels look at them
 *     c0000103 TSC_AUX  c0000082 LSTAR    c0000101 GS_BASE                    on any Intel processor
 *                       c0000083 CSTAR    c0000102 KERNEL_GS_BASE
 */
import { CPU_SEGMENTS, CPU_TSC_AUX, CPU_TSC_OFFSET, SEGMENT_SIZE } from '../machine/layout.ts';
import { FS, GS, VECTOR_GP } from '../machine/x86/registers.ts';
import { writeEfer } from './control.ts';
import { CpuFault, isCanonicalHigh } from './fault.ts';
import type { NativeVcpu } from './vcpu.ts';

const TSC = 0x10;
const PLATFORM_ID = 0x17;
const MICROCODE_REVISION = 0x8b;
const MISC_ENABLE = 0x1a0;
const PAT = 0x277;
const EFER = 0xc0000080;
const STAR = 0xc0000081;
const LSTAR = 0xc0000082;
const CSTAR = 0xc0000083;
const SFMASK = 0xc0000084;
const FS_BASE = 0xc0000100;
const GS_BASE = 0xc0000101;
const KERNEL_GS_BASE = 0xc0000102;
const TSC_AUX = 0xc0000103;

/** Fast strings. */
const MISC_ENABLE_VALUE = 1;
const SEGMENT_BASE = 16;
const TWO_32 = 4294967296;
/** WB WT UC- UC twice, the value after a reset. */
const PAT_INITIAL = 0x00070406;
/** Memory types that a byte of PAT may name: UC WC WT WP WB UC-. */
const PAT_TYPES = 0b11110011;

/** A 64-bit word as halves. */
export interface Halves {
  low: number;
  high: number;
}

/** The registers that nothing else of the processor holds. */
export class ModelSpecificRegisters {
  readonly star: Halves = { low: 0, high: 0 };
  readonly lstar: Halves = { low: 0, high: 0 };
  readonly cstar: Halves = { low: 0, high: 0 };
  readonly sfmask: Halves = { low: 0, high: 0 };
  readonly kernelGsBase: Halves = { low: 0, high: 0 };
  readonly pat: Halves = { low: PAT_INITIAL, high: PAT_INITIAL };

  /** One of those above, by number. */
  find(msr: number): Halves | undefined {
    switch (msr) {
      case STAR:
        return this.star;
      case LSTAR:
        return this.lstar;
      case CSTAR:
        return this.cstar;
      case SFMASK:
        return this.sfmask;
      case KERNEL_GS_BASE:
        return this.kernelGsBase;
      case PAT:
        return this.pat;
      default:
        return undefined;
    }
  }
}

/** RDMSR; the value goes to `into`. Raises CpuFault. */
export function readMsr(vcpu: NativeVcpu, msr: number, into: Halves): void {
  const { state } = vcpu;
  const held = vcpu.msrs.find(msr);
  into.low = held?.low ?? 0;
  into.high = held?.high ?? 0;
  if (held !== undefined) return;
  switch (msr) {
    case TSC: {
      const offset = state.high(CPU_TSC_OFFSET) * TWO_32 + (state.low(CPU_TSC_OFFSET) >>> 0);
      const now = vcpu.domain.host.clock.nowNs() + offset;
      into.low = now | 0;
      into.high = Math.floor(now / TWO_32) | 0;
      return;
    }
    case EFER:
      into.low = state.efer;
      return;
    case FS_BASE:
    case GS_BASE: {
      const at = CPU_SEGMENTS + (msr === FS_BASE ? FS : GS) * SEGMENT_SIZE + SEGMENT_BASE;
      into.low = state.low(at);
      into.high = state.high(at);
      return;
    }
    case TSC_AUX:
      into.low = state.low(CPU_TSC_AUX);
      return;
    case MISC_ENABLE:
      into.low = MISC_ENABLE_VALUE;
      return;
    case PLATFORM_ID:
    case MICROCODE_REVISION:
      return;
    default:
      throw new CpuFault(VECTOR_GP, 0);
  }
}

/** WRMSR. Raises CpuFault. */
export function writeMsr(vcpu: NativeVcpu, msr: number, low: number, high: number): void {
  const { state } = vcpu;
  switch (msr) {
    case TSC: {
      const offset = high * TWO_32 + (low >>> 0) - vcpu.domain.host.clock.nowNs();
      state.set(CPU_TSC_OFFSET, offset | 0, Math.floor(offset / TWO_32) | 0);
      return;
    }
    case EFER:
      writeEfer(vcpu, low, high);
      return;
    case FS_BASE:
    case GS_BASE:
      if (!isCanonicalHigh(high)) break;
      state.setSegmentBase(msr === FS_BASE ? FS : GS, low, high);
      return;
    case TSC_AUX:
      if (high !== 0) break;
      state.set(CPU_TSC_AUX, low, 0);
      return;
    case MISC_ENABLE:
    case MICROCODE_REVISION:
      return;
    default: {
      const held = vcpu.msrs.find(msr);
      if (held === undefined || !isAcceptable(msr, low, high)) break;
      held.low = low;
      held.high = high;
      return;
    }
  }
  throw new CpuFault(VECTOR_GP, 0);
}

function isAcceptable(msr: number, low: number, high: number): boolean {
  if (msr === LSTAR || msr === CSTAR || msr === KERNEL_GS_BASE) return isCanonicalHigh(high);
  if (msr === SFMASK) return high === 0;
  return msr !== PAT || (arePatTypes(low) && arePatTypes(high));
}

function arePatTypes(word: number): boolean {
  return [0, 8, 16, 24].every((at) => {
    const type = (word >>> at) & 0xff;
    return type < 8 && ((PAT_TYPES >> type) & 1) !== 0;
  });
}
