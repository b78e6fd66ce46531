/**
 * Arguments of xen_version (Xen 4.17, public/version.h); those not listed are plain character arrays. All are
 * out.
 */
import { array, struct, u8, u32, ulong } from '../layout.ts';

/** Four NUL-terminated strings. */
export const xen_compile_info = struct('xen_compile_info', {
  compiler: array(u8, 64),
  compile_by: array(u8, 16),
  compile_domain: array(u8, 32),
  compile_date: array(u8, 32),
});

/** Lowest virtual address that belongs to Xen. */
export const xen_platform_parameters = struct('xen_platform_parameters', { virt_start: ulong });

/** In: submap_idx; out: 32 feature bits from 32 * submap_idx on. */
export const xen_feature_info = struct('xen_feature_info', { submap_idx: u32, submap: u32 });

/** In: bytes of `buf` that follow; the call returns the length. */
export const xen_build_id = struct('xen_build_id', { len: u32, buf: array(u8, 0) });
