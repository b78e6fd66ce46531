/** What loading a segment register takes from a descriptor. */
import { ATTR_DPL_SHIFT, ATTR_G } from './state.ts';

export interface LoadedDescriptor {
  readonly attributes: number;
  readonly limit: number;
  readonly base: number;
  readonly dpl: number;
}

/** Base, limit in bytes and attributes of a segment descriptor (Intel SDM 3A, figure 3-8). */
export function parseDescriptor(low: number, high: number): LoadedDescriptor {
  const attributes = (high >>> 8) & 0xf0ff;
  let limit = (low & 0xffff) | (high & 0xf0000);
  if ((attributes & ATTR_G) !== 0) limit = ((limit << 12) | 0xfff) >>> 0;
  const base = ((low >>> 16) | ((high & 0xff) << 16) | (high & 0xff000000)) >>> 0;
  return { attributes, limit, base, dpl: (attributes >> ATTR_DPL_SHIFT) & 3 };
}
