/** What this Xen offers, a byte for each of its feature flags (`xen_features` of Linux's xen/features.h). */
import { XENFEAT_NR_SUBMAPS } from '../../abi/xen/numbers/features.ts';

const FEATURES: usize = XENFEAT_NR_SUBMAPS * 32;
const flags: usize = memory.data(XENFEAT_NR_SUBMAPS * 32);

/** Whether a feature XENFEAT_* is there. */
export function feature(flag: i32): bool {
  return <usize>flag < FEATURES && load<u8>(flags + <usize>flag) !== 0;
}

/** Notes 32 flags: those from 32 * `submap` on. */
export function setFeatures(submap: usize, bits: u32): void {
  for (let i: usize = 0; i < 32; i++) store<u8>(flags + submap * 32 + i, (bits >> <u32>i) & 1);
}
