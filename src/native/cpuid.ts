/**
 * What CPUID shows on the bare machine: the same plain x86-64-v2 processor that a PV guest sees, with what only a kernel
 * in ring 0 can use: large and global pages, the page attribute table. What is not here is not there: no local APIC, no MTRR,
 * no SYSENTER, no XSAVE, no SMEP and SMAP, no pages of 1 GiB. (Intel SDM 2A, CPUID.)
 */

/** The TSC ticks once per nanosecond. */
export const TSC_HZ = 1_000_000_000;
const CRYSTAL_HZ = 25_000_000;

type Leaf = readonly [eax: number, ebx: number, ecx: number, edx: number];
const EMPTY: Leaf = [0, 0, 0, 0];

function bits(...numbers: number[]): number {
  return numbers.reduce((mask, bit) => mask | (1 << bit), 0);
}

/** Four ASCII characters as a register holds them. */
function packed(text: string, at: number): number {
  let word = 0;
  for (let i = 3; i >= 0; i--) word = (word << 8) | (text.charCodeAt(at + i) || 0);
  return word;
}

const CACHE_LINE = 64;

/** One cache of leaf 4 (type 1 data, 2 instructions, 3 both), of one core with one thread. */
function cache(type: number, level: number, ways: number, sets: number): Leaf {
  return [type | (level << 5) | (1 << 8), ((ways - 1) << 22) | (CACHE_LINE - 1), sets - 1, 0];
}

const VENDOR = 'GenuineIntel';
const HYPERVISOR = 'ringone     ';
const BRAND = 'ringone bare x86-64-v2 processor';
const L2_KIB = 1024;
/** Family 6, extended model 3, model 6, stepping 1: a processor that does not speculate, so needs no mitigations. */
const SIGNATURE = 0x00030661;
/** SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT; 31: under a hypervisor. */
const FEATURES_ECX = bits(0, 9, 13, 19, 20, 23, 31);
/** FPU DE PSE TSC MSR PAE MCE CX8 PGE CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2. */
const FEATURES_EDX = bits(0, 2, 3, 4, 5, 6, 7, 8, 13, 15, 16, 17, 19, 23, 24, 25, 26);
/** LAHF in 64-bit mode. */
const EXTENDED_ECX = bits(0);
/** SYSCALL NX RDTSCP LM. */
const EXTENDED_EDX = bits(11, 20, 27, 29);

const LAST_BASIC = 0x16;
const HYPERVISOR_FIRST = 0x40000000;

const BASIC: ReadonlyMap<number, readonly Leaf[]> = new Map([
  [0, [[LAST_BASIC, packed(VENDOR, 0), packed(VENDOR, 8), packed(VENDOR, 4)]]],
  // EBX: cache line in quadwords, one logical processor.
  [1, [[SIGNATURE, (1 << 16) | ((CACHE_LINE / 8) << 8), FEATURES_ECX, FEATURES_EDX]]],
  // "See leaf 4 for the caches."
  [2, [[0x01, 0, 0, 0xff]]],
  [4, [cache(1, 1, 8, 64), cache(2, 1, 8, 64), cache(3, 2, 16, L2_KIB)]],
  // The TSC is so many times as fast as the crystal.
  [0x15, [[1, TSC_HZ / CRYSTAL_HZ, CRYSTAL_HZ, 0]]],
  // MHz: base, highest, bus.
  [0x16, [[TSC_HZ / 1e6, TSC_HZ / 1e6, 100, 0]]],
]);

const EXTENDED: readonly Leaf[] = [
  [0x80000008 | 0, 0, 0, 0],
  [0, 0, EXTENDED_ECX, EXTENDED_EDX],
  ...[0, 16, 32].map(
    (at): Leaf => [packed(BRAND, at), packed(BRAND, at + 4), packed(BRAND, at + 8), packed(BRAND, at + 12)],
  ),
  EMPTY,
  // L2: KiB, 16 ways (8 in this encoding), bytes a line.
  [0, 0, (L2_KIB << 16) | (8 << 12) | CACHE_LINE, 0],
  // The TSC's frequency never changes.
  [0, 0, 0, bits(8)],
  // 36 bits of physical address, 48 of linear.
  [0x3024, 0, 0, 0],
];

/** EAX EBX ECX EDX of a leaf. Both numbers are unsigned. */
export function cpuid(leaf: number, subleaf: number): Leaf {
  if (leaf >= 0x80000000) return EXTENDED[leaf - 0x80000000] ?? EMPTY;
  if (leaf === HYPERVISOR_FIRST) {
    return [HYPERVISOR_FIRST, packed(HYPERVISOR, 0), packed(HYPERVISOR, 4), packed(HYPERVISOR, 8)];
  }
  const subleaves = BASIC.get(leaf);
  if (subleaves === undefined) return EMPTY;
  // Only leaf 4 looks at the subleaf.
  return leaf === 4 ? (subleaves[subleaf] ?? EMPTY) : subleaves[0]!;
}
