/**
 * Hypercalls that deserve no file of their own: nmi_op, and those that only a control domain may issue.
 *
 * (Xen 4.17, xen/arch/x86/pv/callback.c: do_nmi_op; xen/include/xsm/dummy.h.) What is in no table at all is -ENOSYS:
 * hvm_op and dm_op, xsm_op, xenoprof_op, xenpmu_op, argo_op, tmem_op, hypfs_op.
 */
import {
  __HYPERVISOR_arch_0,
  __HYPERVISOR_domctl,
  __HYPERVISOR_kexec_op,
  __HYPERVISOR_nmi_op,
  __HYPERVISOR_platform_op,
  __HYPERVISOR_sysctl,
  XEN_EINVAL,
  XEN_ENOSYS,
  XEN_EPERM,
  XENNMI_register_callback,
  XENNMI_unregister_callback,
  x86_32,
  x86_64,
} from '../../abi/xen/numbers/index.ts';
import { VECTOR_NMI } from '../../machine/x86/registers.ts';
import { isCanonical } from '../canonical.ts';
import type { XenVcpu } from '../vcpu.ts';
import type { HypercallFamily, HypercallHandler } from './dispatch.ts';

/** trap_info.flags: mask events on entry. */
const MASK_EVENTS = 4;

/** Registers the NMI handler of the calling vCPU: an entry of its trap table. */
function nmiOp(vcpu: XenVcpu, command: number, at: number): number {
  if (command === XENNMI_unregister_callback) {
    vcpu.traps.set(VECTOR_NMI, 0, 0, 0);
    return 0;
  }
  if (command !== XENNMI_register_callback) return -XEN_ENOSYS;
  const { is64 } = vcpu.domain;
  const address = is64 ? vcpu.guest.readNumber64(at) : vcpu.guest.readU32(at);
  if (!isCanonical(address)) return -XEN_EINVAL;
  const { FLAT_KERNEL_CS } = is64 ? x86_64 : x86_32;
  vcpu.traps.set(VECTOR_NMI, FLAT_KERNEL_CS, MASK_EVENTS, address);
  return 0;
}

const refused: HypercallHandler = () => -XEN_EPERM;

export const handlers: HypercallFamily = {
  [__HYPERVISOR_nmi_op]: (vcpu, args) => nmiOp(vcpu, args.u32(0), args.gva(1)),
  [__HYPERVISOR_platform_op]: refused,
  [__HYPERVISOR_sysctl]: refused,
  [__HYPERVISOR_domctl]: refused,
  [__HYPERVISOR_kexec_op]: refused,
  /** Machine-check access. */
  [__HYPERVISOR_arch_0]: refused,
};
