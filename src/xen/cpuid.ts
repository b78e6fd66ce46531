/**
 * What CPUID shows a PV guest: one policy, whether the guest asks by the forced form or natively.
 *
 * The CPU is a plain x86-64-v2 part from Intel: family 6 model 0x36, which Linux knows not to speculate and so needs no
 * mitigations. Paravirtual guests must not see what they cannot use: large pages (PSE, PSE36), global pages (PGE), PCID,
 * MTRR; and we have no XSAVE, hence no AVX. Leaves beyond a range's last give zeros. (Xen 4.17, arch/x86/cpuid.c:
 * guest_cpuid; arch/x86/traps.c: cpuid_hypervisor_leaves; Intel SDM 2A, CPUID.)
 */
import {
  XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD,
  XEN_CPUID_FIRST_LEAF,
  XEN_CPUID_MAX_NUM_LEAVES,
  XEN_CPUID_SIGNATURE_EBX,
  XEN_CPUID_SIGNATURE_ECX,
  XEN_CPUID_SIGNATURE_EDX,
} from '../abi/xen/numbers/index.ts';
import { PAGE_SHIFT } from '../machine/memory.ts';

/** The version of Xen whose interface this is. */
export const XEN_MAJOR = 4;
export const XEN_MINOR = 17;
/** The TSC ticks once per nanosecond. */
export const TSC_KHZ = 1_000_000;

type Leaf = readonly [eax: number, ebx: number, ecx: number, edx: number];
const EMPTY: Leaf = [0, 0, 0, 0];

function bits(...numbers: number[]): number {
  return numbers.reduce((mask, bit) => mask | (1 << bit), 0);
}

/** Leaf 1, EAX: extended model 3, family 6, model 6, stepping 1. */
const SIGNATURE = 0x00030661;
/** SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT; 31: a hypervisor is present. */
const FEATURES_ECX = bits(0, 9, 13, 19, 20, 23, 31);
/** FPU DE TSC MSR PAE MCE CX8 APIC SEP MCA CMOV PAT CLFSH MMX FXSR SSE SSE2. */
const FEATURES_EDX = bits(0, 2, 4, 5, 6, 7, 8, 9, 11, 14, 15, 16, 19, 23, 24, 25, 26);
/** LAHF in 64-bit mode. */
const EXTENDED_ECX = bits(0);
/** SYSCALL NX RDTSCP LM. */
const EXTENDED_EDX = bits(11, 20, 27, 29);

const CACHE_LINE = 64;

/** One cache of leaf 4 (type 1 data, 2 instructions, 3 both), of one core with one thread. */
function cache(type: number, level: number, ways: number, sets: number): Leaf {
  return [type | (level << 5) | (1 << 8), ((ways - 1) << 22) | (CACHE_LINE - 1), sets - 1, 0];
}

/** Four ASCII characters as a register holds them. */
function packed(text: string, at: number): number {
  let word = 0;
  for (let i = 3; i >= 0; i--) word = (word << 8) | (text.charCodeAt(at + i) || 0);
  return word;
}

const VENDOR = 'GenuineIntel';
const BRAND = 'ringone paravirtual x86-64-v2 processor';
const L2_KIB = 1024;

/**
 * The last basic leaf tells the frequency. Xen 4.17 ends before it, and Linux then tries to measure the TSC against a
 * timer that is not there: 100,000 reads of its ports, each of them emulated.
 */
const LAST_BASIC = 0x16;

const BASIC: readonly (readonly Leaf[])[] = [
  // 0: the last leaf, and the vendor in EBX EDX ECX.
  [[LAST_BASIC, packed(VENDOR, 0), packed(VENDOR, 8), packed(VENDOR, 4)]],
  // 1: EBX: cache line in quadwords, one logical processor, APIC id 0.
  [[SIGNATURE, (1 << 16) | ((CACHE_LINE / 8) << 8), FEATURES_ECX, FEATURES_EDX]],
  // 2: "see leaf 4 for the caches".
  [[0x01, 0, 0, 0xff]],
  [EMPTY],
  [cache(1, 1, 8, 64), cache(2, 1, 8, 64), cache(3, 2, 16, L2_KIB)],
];

/** MHz: base, highest, bus. */
const FREQUENCIES: Leaf = [TSC_KHZ / 1000, TSC_KHZ / 1000, 100, 0];

const EXTENDED: readonly Leaf[] = [
  [0x80000008 | 0, 0, 0, 0],
  [0, 0, EXTENDED_ECX, EXTENDED_EDX],
  ...[0, 16, 32].map(
    (at): Leaf => [packed(BRAND, at), packed(BRAND, at + 4), packed(BRAND, at + 8), packed(BRAND, at + 12)],
  ),
  EMPTY,
  // L2: KiB, 16 ways (8 in this encoding), bytes a line.
  [0, 0, (L2_KIB << 16) | (8 << 12) | CACHE_LINE, 0],
  EMPTY,
  // 40 bits of physical address, 48 of linear.
  [0x3028, 0, 0, 0],
];

export interface CpuidOptions {
  /** Machine frames of the host: the width of a machine address that the guest may meet. */
  readonly frames?: number;
}

export class CpuidPolicy {
  private readonly addressBits: number;
  /** EAX EBX ECX EDX of the last query. */
  readonly result = new Int32Array(4);

  constructor(options: CpuidOptions = {}) {
    this.addressBits = 32 - Math.clz32(options.frames ?? 0xfffff) + PAGE_SHIFT;
  }

  /** Answers a leaf (unsigned) and subleaf into `result`. */
  query(leaf: number, subleaf: number): void {
    const found = this.find(leaf >>> 0, subleaf >>> 0);
    for (let i = 0; i < 4; i++) this.result[i] = found[i]!;
  }

  private find(leaf: number, subleaf: number): Leaf {
    if (leaf === LAST_BASIC) return FREQUENCIES;
    if (leaf < BASIC.length) {
      const subleaves = BASIC[leaf]!;
      // Only leaf 4 looks at the subleaf.
      return leaf === 4 ? (subleaves[subleaf] ?? EMPTY) : subleaves[0]!;
    }
    if (leaf >= XEN_CPUID_FIRST_LEAF && leaf <= XEN_CPUID_FIRST_LEAF + XEN_CPUID_MAX_NUM_LEAVES) {
      return this.hypervisorLeaf(leaf - XEN_CPUID_FIRST_LEAF, subleaf);
    }
    return leaf >= 0x80000000 ? (EXTENDED[leaf - 0x80000000] ?? EMPTY) : EMPTY;
  }

  private hypervisorLeaf(index: number, subleaf: number): Leaf {
    switch (index) {
      case 0:
        return [
          XEN_CPUID_FIRST_LEAF + XEN_CPUID_MAX_NUM_LEAVES,
          XEN_CPUID_SIGNATURE_EBX,
          XEN_CPUID_SIGNATURE_ECX,
          XEN_CPUID_SIGNATURE_EDX,
        ];
      case 1:
        return [(XEN_MAJOR << 16) | XEN_MINOR, 0, 0, 0];
      case 2:
        // One hypercall page, by this MSR.
        return [1, XEN_CPUID_FIRST_LEAF, XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD, 0];
      case 3:
        return timeLeaf(subleaf);
      case 5:
        return subleaf === 0 ? [0, this.addressBits, 0, 0] : EMPTY;
      default:
        return EMPTY;
    }
  }
}

/** TSC not emulated, safe (2), RDTSCP (4); mode "default"; its frequency; never migrated. */
function timeLeaf(subleaf: number): Leaf {
  if (subleaf === 0) return [6, 0, TSC_KHZ, 0];
  // ns = ((tsc << 1) * 2^31) >> 32: the identity.
  if (subleaf === 1) return [0, 0, 0x80000000 | 0, 1];
  return subleaf === 2 ? [TSC_KHZ, 0, 0, 0] : EMPTY;
}
