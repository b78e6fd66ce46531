/** vm_assist: a guest switches small changes of the interface on and off (Xen 4.17, xen/common/domain.c: do_vm_assist). */
import {
  __HYPERVISOR_vm_assist,
  VMASST_CMD_disable,
  VMASST_CMD_enable,
  VMASST_TYPE_4gb_segments,
  VMASST_TYPE_4gb_segments_notify,
  VMASST_TYPE_architectural_iopl,
  VMASST_TYPE_m2p_strict,
  VMASST_TYPE_pae_extended_cr3,
  VMASST_TYPE_runstate_update_flag,
  VMASST_TYPE_writable_pagetables,
  XEN_EINVAL,
  XEN_ENOSYS,
} from '../../abi/xen/numbers/index.ts';
import type { HypercallFamily } from './dispatch.ts';

/** Some mean nothing to a 64-bit guest; it may still ask for them. */
const PV32_TYPES: readonly number[] = [
  VMASST_TYPE_4gb_segments,
  VMASST_TYPE_4gb_segments_notify,
  VMASST_TYPE_writable_pagetables,
  VMASST_TYPE_pae_extended_cr3,
  VMASST_TYPE_architectural_iopl,
  VMASST_TYPE_runstate_update_flag,
];
const PV64_TYPES: readonly number[] = [...PV32_TYPES, VMASST_TYPE_m2p_strict];

export const handlers: HypercallFamily = {
  [__HYPERVISOR_vm_assist]: ({ domain }, args) => {
    const command = args.u32(0);
    const type = args.u32(1);
    if (!(domain.is64 ? PV64_TYPES : PV32_TYPES).includes(type)) return -XEN_EINVAL;
    if (command !== VMASST_CMD_enable && command !== VMASST_CMD_disable) return -XEN_ENOSYS;
    const on = command === VMASST_CMD_enable;
    const bit = 1 << (type & 31);
    if (type < 32) domain.vmAssist = on ? domain.vmAssist | bit : domain.vmAssist & ~bit;
    else domain.vmAssistHigh = on ? domain.vmAssistHigh | bit : domain.vmAssistHigh & ~bit;
    return 0;
  },
};
