/**
 * xen_version: who we are. To a guest we are Xen 4.17, for that is whose interface we keep; the strings in which Xen
 * names its build name us.
 *
 * `xen_version(XENVER_version, NULL)` is also how Linux makes Xen look for pending events, so it must do nothing else.
 * (Xen 4.17, xen/common/kernel.c: do_xen_version; what an ordinary domain may ask: xen/include/xsm/dummy.h.)
 */
import {
  __HYPERVISOR_xen_version,
  VMASST_TYPE_pae_extended_cr3,
  XEN_CAPABILITIES_INFO_LEN,
  XEN_CHANGESET_INFO_LEN,
  XEN_EINVAL,
  XEN_ENOSYS,
  XEN_EPERM,
  XEN_EXTRAVERSION_LEN,
  XENFEAT_direct_mapped,
  XENFEAT_gnttab_map_avail_bits,
  XENFEAT_highmem_assist,
  XENFEAT_memory_op_vnode_supported,
  XENFEAT_mmu_pt_update_preserve_ad,
  XENFEAT_pae_pgdir_above_4gb,
  XENVER_build_id,
  XENVER_capabilities,
  XENVER_changeset,
  XENVER_commandline,
  XENVER_compile_info,
  XENVER_extraversion,
  XENVER_get_features,
  XENVER_guest_handle,
  XENVER_pagesize,
  XENVER_platform_parameters,
  XENVER_version,
  x86_32,
  x86_64,
} from '../../abi/xen/numbers/index.ts';
import {
  xen_compile_info,
  xen_feature_info,
  xen_platform_parameters,
} from '../../abi/xen/structures/version.ts';
import type { Gva } from '../../machine/memory.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import type { XenDomain } from '../domain.ts';
import type { XenVcpu } from '../vcpu.ts';
import type { HypercallFamily } from './dispatch.ts';
import { copyFromGuest, GuestStructure, layoutFor } from './guest-structure.ts';

export const XEN_MAJOR = 4;
export const XEN_MINOR = 17;
export const XEN_EXTRAVERSION = '.ringone';
/** Kinds of guest that can be built, each followed by a space, as Xen writes them. */
export const XEN_CAPABILITIES = 'xen-3.0-x86_64 ';
/** What an ordinary domain reads where it may not look. */
const DENIED = '<denied>';

type Command = (vcpu: XenVcpu, at: Gva) => number;

const COMMANDS: Readonly<Record<number, Command>> = {
  [XENVER_version]: () => (XEN_MAJOR << 16) | XEN_MINOR,

  [XENVER_extraversion]: (vcpu, at) => putString(vcpu, at, XEN_EXTRAVERSION, XEN_EXTRAVERSION_LEN),
  [XENVER_capabilities]: (vcpu, at) => putString(vcpu, at, XEN_CAPABILITIES, XEN_CAPABILITIES_INFO_LEN),
  [XENVER_changeset]: (vcpu, at) => putString(vcpu, at, 'unavailable', XEN_CHANGESET_INFO_LEN),
  // Xen writes only as many bytes as its answer has.
  [XENVER_commandline]: (vcpu, at) => putString(vcpu, at, DENIED, DENIED.length + 1),

  [XENVER_compile_info]: (vcpu, at) => {
    const info = new GuestStructure(vcpu, layoutFor(vcpu, xen_compile_info), at);
    info.bytes.set(encode('TypeScript', 64), info.address('compiler'));
    info.bytes.set(encode('ringone', 16), info.address('compile_by'));
    info.store();
    return 0;
  },

  [XENVER_platform_parameters]: (vcpu, at) => {
    const parameters = new GuestStructure(vcpu, layoutFor(vcpu, xen_platform_parameters), at);
    const { HYPERVISOR_VIRT_START } = vcpu.domain.is64 ? x86_64 : x86_32;
    parameters.set('virt_start', HYPERVISOR_VIRT_START);
    parameters.store();
    return 0;
  },

  [XENVER_get_features]: (vcpu, at) => {
    const info = copyFromGuest(vcpu, xen_feature_info, at);
    if (info.get('submap_idx') !== 0) return -XEN_EINVAL;
    info.set('submap', features(vcpu.domain));
    info.store();
    return 0;
  },

  [XENVER_pagesize]: (_vcpu, at) => (at === 0 ? PAGE_SIZE : -XEN_EINVAL),

  [XENVER_guest_handle]: (vcpu, at) => {
    vcpu.guest.writeBytes(at, vcpu.domain.handle);
    return 0;
  },

  [XENVER_build_id]: () => -XEN_EPERM,
};

/**
 * XENFEAT_* of a PV domain. Never writable_page_tables: that name belongs to guests whose tables are shadowed; writes to
 * pinned tables are emulated without it.
 */
function features(domain: XenDomain): number {
  let bits =
    (1 << XENFEAT_memory_op_vnode_supported) |
    (1 << XENFEAT_mmu_pt_update_preserve_ad) |
    (1 << XENFEAT_highmem_assist) |
    (1 << XENFEAT_gnttab_map_avail_bits) |
    (1 << XENFEAT_direct_mapped);
  if (domain.hasAssist(VMASST_TYPE_pae_extended_cr3)) bits |= 1 << XENFEAT_pae_pgdir_above_4gb;
  return bits;
}

/** ASCII, padded with NULs and cut so that one remains. */
function encode(text: string, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < Math.min(text.length, size - 1); i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function putString(vcpu: XenVcpu, at: Gva, text: string, size: number): number {
  vcpu.guest.writeBytes(at, encode(text, size));
  return 0;
}

export const handlers: HypercallFamily = {
  [__HYPERVISOR_xen_version]: (vcpu, args) => COMMANDS[args.u32(0)]?.(vcpu, args.gva(1)) ?? -XEN_ENOSYS,
};
