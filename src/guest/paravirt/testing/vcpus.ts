/** Xen only: a vcpu_info elsewhere, and a second vCPU that starts with a segment that cannot be loaded. */
import { VCPUOP_down, VCPUOP_initialise, VCPUOP_is_up, VCPUOP_up } from '../../../abi/xen/numbers/vcpu.ts';
import {
  SIZEOF_vcpu_guest_context,
  SIZEOF_vcpu_info,
  shared_info_vcpu_info,
  vcpu_guest_context_ctrlreg,
  vcpu_guest_context_event_callback_eip,
  vcpu_guest_context_failsafe_callback_eip,
  vcpu_guest_context_flags,
  vcpu_guest_context_kernel_sp,
  vcpu_guest_context_kernel_ss,
  vcpu_guest_context_user_regs_cs,
  vcpu_guest_context_user_regs_fs,
  vcpu_guest_context_user_regs_r15,
  vcpu_guest_context_user_regs_rflags,
  vcpu_guest_context_user_regs_rip,
  vcpu_guest_context_user_regs_rsp,
  vcpu_guest_context_user_regs_ss,
  vcpu_info_evtchn_upcall_mask,
} from '../../abi/structures';
import { takePage } from '../../kernel/selftest/memory';
import { check, checkEqual } from '../../kernel/selftest/output';
import { native } from '../../machine/memory';
import { functionAddress } from '../../machine/operations';
import { eventEntry, failsafeEntry } from '../../xen/entries';
import { bindIpi, closePort, notifyPort, onEvent, unmaskPort } from '../../xen/events';
import { HYPERVISOR_sched_op, HYPERVISOR_vcpu_op } from '../../xen/hypercall';
import { pfnToMfn } from '../../xen/page';
import { Pfn } from '../../xen/types';
import { failsafeUpcalls } from '../../xen/upcalls';
import { sharedInfo } from '../../xen/vcpu-info';
import { placeVcpuInfo } from '../../xen/vcpu-placement';
import { kernelCs, kernelSs } from '../info';
import { disableInterrupts, enableInterrupts, readCr3, saveFlags } from '../operations';

const PAGE_BYTES: usize = 4096;
const SCHEDOP_YIELD: i32 = 0;
const SECOND: u32 = 1;
/** In the kernel's mode; not yet online (0x20), or Xen would find nothing to wake. */
const FLAGS: u32 = 4;
/** A selector of a GDT that this vCPU does not have. */
const MISSING: u16 = 0x7b;
const PATIENCE = 100000;

let events: u32 = 0;

function event(_port: u32): void {
  events++;
}

/** Events come as before, and the mask is where they look. */
export function testPlacement(): void {
  const port = bindIpi(0);
  onEvent(port, event);
  unmaskPort(port);
  disableInterrupts();
  check('register_vcpu_info', placeVcpuInfo(takePage() + 64));
  checkEqual('it is masked as before', saveFlags(), 0);
  notifyPort(port);
  checkEqual('no event while it is', events, 0);
  enableInterrupts();
  checkEqual('an event comes by the new place', events, 1);
  notifyPort(port);
  checkEqual('and another', events, 2);
  disableInterrupts();
  closePort(port);
}

const context: usize = memory.data(SIZEOF_vcpu_guest_context, 16);
const started: usize = memory.data(4, 4);

/** The second vCPU, after the failsafe upcall. */
function second(): void {
  store<u32>(started, 1);
  for (;;) HYPERVISOR_vcpu_op(VCPUOP_down, SECOND, 0);
}

/** Whether the domain was given one. */
export function hasSecondVcpu(): bool {
  return HYPERVISOR_vcpu_op(VCPUOP_is_up, SECOND, 0) >= 0;
}

/** Xen loads the segments of a vCPU when it gets the processor: what it cannot load it asks about. */
export function testFailsafe(): void {
  const top = native(takePage() + PAGE_BYTES);
  store<u32>(context, FLAGS, vcpu_guest_context_flags);
  store<u64>(context, 0xffffffff00000000, vcpu_guest_context_user_regs_r15);
  store<u64>(context, functionAddress(second.index), vcpu_guest_context_user_regs_rip);
  store<u16>(context, <u16>kernelCs, vcpu_guest_context_user_regs_cs);
  store<u64>(context, 0x202, vcpu_guest_context_user_regs_rflags);
  store<u64>(context, top - 8, vcpu_guest_context_user_regs_rsp);
  store<u16>(context, <u16>kernelSs, vcpu_guest_context_user_regs_ss);
  store<u16>(context, MISSING, vcpu_guest_context_user_regs_fs);
  store<u64>(context, kernelSs, vcpu_guest_context_kernel_ss);
  store<u64>(context, top, vcpu_guest_context_kernel_sp);
  store<u64>(context, (<u64>pfnToMfn(<Pfn>(readCr3() >> 12))) << 12, vcpu_guest_context_ctrlreg + 3 * 8);
  store<u64>(context, eventEntry(), vcpu_guest_context_event_callback_eip);
  store<u64>(context, failsafeEntry(), vcpu_guest_context_failsafe_callback_eip);
  const info = sharedInfo + shared_info_vcpu_info + SIZEOF_vcpu_info;
  store<u8>(info, 1, vcpu_info_evtchn_upcall_mask);
  checkEqual('a second vCPU', <u64>HYPERVISOR_vcpu_op(VCPUOP_initialise, SECOND, context), 0);
  checkEqual('is started', <u64>HYPERVISOR_vcpu_op(VCPUOP_up, SECOND, 0), 0);
  for (let i = 0; i < PATIENCE && load<u32>(started) === 0; i++) HYPERVISOR_sched_op(SCHEDOP_YIELD, 0);
  checkEqual('a segment that cannot be loaded: the failsafe upcall', failsafeUpcalls, 1);
  check('and it goes on after it', load<u32>(started) === 1);
}
