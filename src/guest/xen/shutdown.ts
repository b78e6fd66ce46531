/** The ways to end, and to wait. */
import {
  SCHEDOP_block,
  SCHEDOP_shutdown,
  SHUTDOWN_crash,
  SHUTDOWN_poweroff,
  SHUTDOWN_reboot,
} from '../../abi/xen/numbers/sched.ts';
import { VCPUOP_down } from '../../abi/xen/numbers/vcpu.ts';
import { SIZEOF_sched_shutdown, sched_shutdown_reason } from '../abi/structures';
import { xenDisableInterrupts } from './event-mask';
import { HYPERVISOR_sched_op, HYPERVISOR_vcpu_op } from './hypercall';

const FIRST_VCPU: u32 = 0;
const argument: usize = memory.data(SIZEOF_sched_shutdown, 4);

function shutdown(reason: u32): void {
  xenDisableInterrupts();
  store<u32>(argument, reason, sched_shutdown_reason);
  HYPERVISOR_sched_op(SCHEDOP_shutdown, argument);
  unreachable();
}

/** machine.power_off */
export function xenPowerOff(): void {
  shutdown(SHUTDOWN_poweroff);
}

/** machine.restart */
export function xenRestart(): void {
  shutdown(SHUTDOWN_reboot);
}

/** machine.crash */
export function xenCrash(): void {
  shutdown(SHUTDOWN_crash);
}

/** irq.safe_halt: unmasks and waits, in one hypercall, so no event falls in between. */
export function xenSafeHalt(): void {
  if (HYPERVISOR_sched_op(SCHEDOP_block, 0) !== 0) unreachable();
}

/** irq.halt: this vCPU goes down. The last one that does takes the domain with it: nothing could ever wake it. */
export function xenHaltProcessor(): void {
  xenDisableInterrupts();
  for (;;) HYPERVISOR_vcpu_op(VCPUOP_down, FIRST_VCPU, 0);
}
