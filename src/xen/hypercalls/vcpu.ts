/**
 * vcpu_op: one hypercall number, two subjects. Giving a vCPU its first state and bringing it up or down stands here; its
 * timers and what Xen records about it stand in `vcpu-timers.ts`.
 * (Xen 4.17, common/domain.c: common_vcpu_op; arch/x86/domain.c: do_vcpu_op; public/vcpu.h.)
 */
import {
  __HYPERVISOR_vcpu_op,
  SHUTDOWN_poweroff,
  VCPUOP_down,
  VCPUOP_initialise,
  VCPUOP_is_up,
  VCPUOP_send_nmi,
  VCPUOP_up,
  XEN_EEXIST,
  XEN_EINVAL,
  XEN_ENOENT,
  XEN_ENOSYS,
} from '../../abi/xen/numbers/index.ts';
import { vcpu_guest_context } from '../../abi/xen/structures/index.ts';
import { shutdownDomain } from '../lifecycle.ts';
import type { XenVcpu } from '../vcpu.ts';
import { applyVcpuContext } from '../vcpu-context.ts';
import type { HypercallArguments } from './arguments.ts';
import type { HypercallFamily } from './dispatch.ts';
import { commands as timerCommands, type VcpuCommand } from './vcpu-timers.ts';

const commands: Readonly<Record<number, VcpuCommand>> = {
  ...timerCommands,

  [VCPUOP_initialise]: (caller, target, at) => {
    if (target.vcpuInfo === 0) return -XEN_EINVAL;
    const context = new Uint8Array(vcpu_guest_context.x64.size);
    caller.guest.readBytes(at, context);
    return target.initialised ? -XEN_EEXIST : applyVcpuContext(target, context);
  },

  [VCPUOP_up]: (_caller, target) => {
    if (!target.initialised) return -XEN_EINVAL;
    target.setOnline(true);
    return 0;
  },

  [VCPUOP_down]: (caller, target) => {
    const others = target.domain.vcpus.some((vcpu) => vcpu !== target && vcpu.online);
    if (others) target.setOnline(false);
    else shutdownDomain(target.domain, SHUTDOWN_poweroff, caller);
    return 0;
  },

  [VCPUOP_is_up]: (_caller, target) => (target.online ? 1 : 0),

  [VCPUOP_send_nmi]: (_caller, target, at) => {
    if (at !== 0) return -XEN_EINVAL;
    target.nmiPending = true;
    target.wake();
    return 0;
  },
};

/** vcpu_op(cmd, vCPU number, pointer). A number past the last vCPU is -ENOENT: so guests count their vCPUs. */
function vcpuOp(vcpu: XenVcpu, args: HypercallArguments): number {
  const target = vcpu.domain.vcpus[args.u32(1)];
  if (target === undefined) return -XEN_ENOENT;
  const command = commands[args.i32(0)];
  return command === undefined ? -XEN_ENOSYS : command(vcpu, target, args.gva(2));
}

export const handlers: HypercallFamily = { [__HYPERVISOR_vcpu_op]: vcpuOp };
