/**
 * grant_table_op: a domain sets its table up, and copies pages that others lend it.
 *
 * Each command takes an array of operations; an operation fails by its own status (GNTST_*), the hypercall only where
 * its memory cannot be reached. Mapping another domain's frame, and giving frames away for good, are not here yet:
 * -ENOSYS. (Xen 4.17, xen/common/grant_table.c: do_grant_table_op.)
 */
import {
  __HYPERVISOR_grant_table_op,
  DOMID_SELF,
  GNTCOPY_dest_gref,
  GNTCOPY_source_gref,
  GNTST_bad_copy_arg,
  GNTST_bad_domain,
  GNTST_bad_virt_addr,
  GNTST_general_error,
  GNTST_okay,
  GNTST_permission_denied,
  GNTTABOP_cache_flush,
  GNTTABOP_copy,
  GNTTABOP_get_status_frames,
  GNTTABOP_get_version,
  GNTTABOP_query_size,
  GNTTABOP_set_version,
  GNTTABOP_setup_table,
  GNTTABOP_swap_grant_ref,
  XEN_EINVAL,
  XEN_ENOSYS,
  XEN_EPERM,
  XEN_ESRCH,
} from '../../abi/xen/numbers/index.ts';
import {
  gnttab_cache_flush,
  gnttab_copy,
  gnttab_get_status_frames,
  gnttab_get_version,
  gnttab_query_size,
  gnttab_set_version,
  gnttab_setup_table,
  gnttab_swap_grant_ref,
} from '../../abi/xen/structures/grant_table.ts';
import type { Gva } from '../../machine/memory.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import { GuestFault } from '../../machine/x86/guest-memory.ts';
import type { XenDomain } from '../domain.ts';
import { HOST_DOMAIN } from '../events/index.ts';
import { type Claim, claimCopyEnd, dropClaim } from '../grants/copy.ts';
import { frameTableOf } from '../mm/frame-table.ts';
import type { XenVcpu } from '../vcpu.ts';
import { CONTINUE, type HypercallFamily } from './dispatch.ts';
import { grantsOf } from './full-parts.ts';
import { copyFromGuest, layoutFor } from './guest-structure.ts';

/** One command on `count` operations from `at` on. A positive result: so many are done, the rest is to be continued. */
type Command = (vcpu: XenVcpu, at: Gva, count: number) => number;

const COMMANDS: Readonly<Record<number, Command>> = {
  [GNTTABOP_setup_table]: setupTable,

  [GNTTABOP_query_size]: (vcpu, at, count) => {
    if (count !== 1) return -XEN_EINVAL;
    const operation = copyFromGuest(vcpu, gnttab_query_size, at);
    const status = mayAct(vcpu, operation.get('dom'));
    if (status === GNTST_okay) {
      const { frames, maxFrames } = grantsOf(vcpu.domain);
      operation.set('nr_frames', frames.length);
      operation.set('max_nr_frames', maxFrames);
    }
    operation.set('status', status);
    operation.store();
    return 0;
  },

  [GNTTABOP_set_version]: (vcpu, at) => {
    const operation = copyFromGuest(vcpu, gnttab_set_version, at);
    const wanted = operation.get('version');
    operation.set('version', grantsOf(vcpu.domain).version);
    operation.store();
    if (wanted === 1) return 0;
    return wanted === 2 ? -XEN_ENOSYS : -XEN_EINVAL;
  },

  [GNTTABOP_get_version]: (vcpu, at) => {
    const operation = copyFromGuest(vcpu, gnttab_get_version, at);
    const status = mayAct(vcpu, operation.get('dom'));
    if (status !== GNTST_okay) return status === GNTST_bad_domain ? -XEN_ESRCH : -XEN_EPERM;
    operation.set('version', grantsOf(vcpu.domain).version);
    operation.store();
    return 0;
  },

  // Version 1 has no status frames, so only "none of them" can be asked for.
  [GNTTABOP_get_status_frames]: (vcpu, at, count) => {
    if (count !== 1) return -XEN_EINVAL;
    const operation = copyFromGuest(vcpu, gnttab_get_status_frames, at);
    const status = mayAct(vcpu, operation.get('dom'));
    const wanted = operation.get('nr_frames');
    operation.set('status', status === GNTST_okay && wanted > 0 ? GNTST_general_error : status);
    operation.store();
    return 0;
  },

  [GNTTABOP_copy]: copy,

  [GNTTABOP_swap_grant_ref]: (vcpu, at, count) => {
    const { size } = layoutFor(vcpu, gnttab_swap_grant_ref);
    for (let i = 0; i < count; i++) {
      if (i > 0 && vcpu.preemptionDue()) return i;
      const operation = copyFromGuest(vcpu, gnttab_swap_grant_ref, at + i * size);
      operation.set('status', grantsOf(vcpu.domain).swap(operation.get('ref_a'), operation.get('ref_b')));
      operation.store();
    }
    return 0;
  },

  // Our caches are always coherent; what remains are the checks.
  [GNTTABOP_cache_flush]: (vcpu, at, count) => {
    const { size } = layoutFor(vcpu, gnttab_cache_flush);
    for (let i = 0; i < count; i++) {
      if (i > 0 && vcpu.preemptionDue()) return i;
      const result = checkCacheFlush(vcpu, at + i * size);
      if (result !== 0) return result;
    }
    return 0;
  },
};

/** Bytes of one operation, for the commands that may stop halfway. */
const RESUMABLE = {
  [GNTTABOP_copy]: gnttab_copy,
  [GNTTABOP_swap_grant_ref]: gnttab_swap_grant_ref,
  [GNTTABOP_cache_flush]: gnttab_cache_flush,
} as const;

/** Makes the table as long as asked and tells its frames. */
function setupTable(vcpu: XenVcpu, at: Gva, count: number): number {
  if (count !== 1) return -XEN_EINVAL;
  const operation = copyFromGuest(vcpu, gnttab_setup_table, at);
  const wanted = operation.get('nr_frames');
  let status = mayAct(vcpu, operation.get('dom'));
  if (status === GNTST_okay) {
    const grants = grantsOf(vcpu.domain);
    if (wanted > grants.maxFrames || !grants.grow(wanted)) status = GNTST_general_error;
    else status = listFrames(vcpu, operation.get('frame_list'), grants.frames.slice(0, wanted));
  }
  operation.set('status', status);
  operation.store();
  return 0;
}

function listFrames(vcpu: XenVcpu, list: Gva, frames: readonly number[]): number {
  const width = vcpu.domain.is64 ? 8 : 4;
  try {
    for (const [i, mfn] of frames.entries()) {
      if (width === 8) vcpu.guest.write64(list + i * 8, mfn, 0);
      else vcpu.guest.write32(list + i * 4, mfn);
    }
  } catch (error) {
    if (!(error instanceof GuestFault)) throw error;
    return GNTST_bad_virt_addr;
  }
  return GNTST_okay;
}

function copy(vcpu: XenVcpu, at: Gva, count: number): number {
  const { size } = layoutFor(vcpu, gnttab_copy);
  for (let i = 0; i < count; i++) {
    if (i > 0 && vcpu.preemptionDue()) return i;
    const operation = copyFromGuest(vcpu, gnttab_copy, at + i * size);
    operation.set('status', copyOne(vcpu, operation));
    operation.store();
  }
  return 0;
}

type CopyOperation = ReturnType<typeof copyFromGuest<CopyField, CopyField>>;
type CopyField = keyof typeof gnttab_copy.x64.offset;

/** Copies bytes between two pages, each the caller's own or lent to it. Returns GNTST_*. */
function copyOne(vcpu: XenVcpu, operation: CopyOperation): number {
  const flags = operation.get('flags');
  const from = claimOf(vcpu, operation, 'source', (flags & GNTCOPY_source_gref) !== 0);
  if (typeof from === 'number') return from;
  const to = claimOf(vcpu, operation, 'dest', (flags & GNTCOPY_dest_gref) !== 0);
  if (typeof to === 'number') return to;
  let status = claimCopyEnd(from, vcpu.domain.id);
  if (status !== GNTST_okay) return status;
  status = claimCopyEnd(to, vcpu.domain.id);
  if (status === GNTST_okay) {
    status = moveBytes(vcpu, operation, from, to);
    dropClaim(to);
  }
  dropClaim(from);
  return status;
}

function moveBytes(vcpu: XenVcpu, operation: CopyOperation, from: Claim, to: Claim): number {
  const { memory } = vcpu.domain.host;
  const length = operation.get('len');
  const source = operation.get('source_offset');
  const dest = operation.get('dest_offset');
  if (source + length > PAGE_SIZE || dest + length > PAGE_SIZE) return GNTST_bad_copy_arg;
  if (length === 0) return GNTST_okay;
  const bytes = new Uint8Array(length);
  memory.readBytes(from.mfn! * PAGE_SIZE + source, bytes);
  memory.writeBytes(to.mfn! * PAGE_SIZE + dest, bytes);
  return GNTST_okay;
}

/** One end of a copy, or the GNTST_* that says why it cannot be one. */
function claimOf(
  vcpu: XenVcpu,
  operation: CopyOperation,
  which: 'source' | 'dest',
  byRef: boolean,
): Claim | number {
  const id = operation.get(`${which}_domid`);
  // A frame may be named directly only by its owner, and only as DOMID_SELF.
  if (!byRef && id !== DOMID_SELF) return GNTST_permission_denied;
  const domain = id === DOMID_SELF ? vcpu.domain : vcpu.domain.host.domains.get(id);
  if (domain === undefined) return GNTST_bad_domain;
  const name = operation.get(byRef ? `${which}_u_ref` : `${which}_u_gmfn`);
  return { domain: domain as XenDomain, byRef, name, readOnly: which === 'source' };
}

function checkCacheFlush(vcpu: XenVcpu, at: Gva): number {
  const operation = copyFromGuest(vcpu, gnttab_cache_flush, at);
  const [offset, length] = [operation.get('offset'), operation.get('length')];
  if (offset >= PAGE_SIZE || offset + length > PAGE_SIZE || (operation.get('op') & ~3) !== 0)
    return -XEN_EINVAL;
  if (length === 0 || operation.get('op') === 0) return 0;
  const mfn = Math.floor(operation.get('a_dev_bus_addr') / PAGE_SIZE);
  const table = frameTableOf(vcpu.domain.host);
  if (!table.isValid(mfn)) return -XEN_EINVAL;
  return table.owner[mfn] === vcpu.domain.id ? 0 : -XEN_EPERM;
}

/** A domain may set up its own table; another's, only the toolstack. */
function mayAct(vcpu: XenVcpu, domain: number): number {
  if (domain === DOMID_SELF || domain === vcpu.domain.id) return GNTST_okay;
  const exists = domain === HOST_DOMAIN || vcpu.domain.host.domains.has(domain);
  return exists ? GNTST_permission_denied : GNTST_bad_domain;
}

export const handlers: HypercallFamily = {
  [__HYPERVISOR_grant_table_op]: (vcpu, args) => {
    const command = args.u32(0);
    const at = args.gva(1);
    const count = args.u32(2);
    if (count > 0x7fffffff) return -XEN_EINVAL;
    const done = COMMANDS[command]?.(vcpu, at, count) ?? -XEN_ENOSYS;
    if (done <= 0) return done;
    const { x32, x64 } = RESUMABLE[command as keyof typeof RESUMABLE];
    const { size } = vcpu.domain.is64 ? x64 : x32;
    args.set(1, at + done * size);
    args.set(2, count - done);
    return CONTINUE;
  },
};
