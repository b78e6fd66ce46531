/**
 * The last steps before the guest runs: pending events, and the segment registers.
 *
 * Xen keeps the guest's registers in a frame while it works, and selectors in it mean nothing until IRET or SYSRET loads
 * them. So here: hypercalls and bounces only note selectors, and `enterGuest` loads what changed, as the instruction
 * would that Xen leaves by:
 *
 *  - SYSRET, if the guest came by SYSCALL or is being entered by a bounce: RCX = RIP, R11 = RFLAGS, flat CS and SS;
 *  - IRET otherwise: CS and SS from the tables, with all the checks. What fails is an exception of the guest at the
 *    instruction that it was returning to.
 *
 * (Xen 4.17, arch/x86/x86_64/entry.S: test_all_events, restore_all_guest.)
 */
import { x86_64 as wide } from '../abi/xen/numbers/index.ts';
import { vcpu_info } from '../abi/xen/structures/index.ts';
import { CS, R11, RCX, SS, VECTOR_GP, VECTOR_NMI } from '../machine/x86/registers.ts';
import { bounce, injectException, NO_ERROR_CODE } from './bounce.ts';
import { loadDataSegments } from './failsafe.ts';
import { loadFlatCode, loadFlatStack, loadReturnSegments, SEGMENT_OK } from './segments.ts';
import type { XenVcpu } from './vcpu.ts';

const PENDING_OFFSET = vcpu_info.x64.offset.evtchn_upcall_pending;
const MASK_OFFSET = vcpu_info.x64.offset.evtchn_upcall_mask;

/** Delivers what is pending and completes the register state. The domain may have crashed afterwards. */
export function enterGuest(vcpu: XenVcpu): void {
  if (vcpu.dataSegmentsPending) {
    vcpu.dataSegmentsPending = false;
    loadDataSegments(vcpu);
  }
  // A failed return becomes an exception; its handler's address and segments are good, so the second round is the last.
  do {
    deliverEvents(vcpu);
  } while (vcpu.domain.live && !completeReturn(vcpu));
}

/** NMI first, then an event upcall if one is pending and not masked. */
function deliverEvents(vcpu: XenVcpu): void {
  const { domain } = vcpu;
  const { u8 } = domain.host.memory;
  if (vcpu.nmiPending && !vcpu.nmiMasked) {
    vcpu.nmiPending = false;
    // Without a handler the NMI is lost, as it is in Xen.
    if (!vcpu.traps.isNull(VECTOR_NMI, domain.is64)) {
      vcpu.nmiMasked = true;
      injectException(vcpu, VECTOR_NMI, 0);
      if (!domain.live) return;
    }
  }
  const info = vcpu.vcpuInfoHost;
  if (u8[info + PENDING_OFFSET] === 0 || u8[info + MASK_OFFSET] !== 0) return;
  const { trace } = domain.host;
  if (trace.events) trace.sink.event(vcpu, 'upcall');
  bounce(vcpu, vcpu.callbacks.event.address, NO_ERROR_CODE, true);
}

/** True if the guest can run; false if an exception has been bounced instead. */
function completeReturn(vcpu: XenVcpu): boolean {
  const { state } = vcpu;
  if (vcpu.returnsBySysret) {
    vcpu.returnsBySysret = false;
    if (vcpu.ripCanonical()) {
      const cs = state.selector(CS) === wide.FLAT_USER_CS32 ? wide.FLAT_USER_CS32 : wide.FLAT_USER_CS64;
      if (vcpu.loadedCs !== cs) loadFlatCode(vcpu, cs);
      else vcpu.setSelector(CS, cs);
      if (vcpu.loadedSs !== wide.FLAT_KERNEL_SS) loadFlatStack(vcpu);
      else vcpu.setSelector(SS, wide.FLAT_KERNEL_SS);
      vcpu.noteLoaded();
      state.setReg(RCX, vcpu.ripLow(), vcpu.ripHigh());
      state.setReg(R11, state.rflags, 0);
      return true;
    }
    // SYSRET must not be used with such an address: Xen leaves by IRET, which then faults.
    state.setReg(RCX, vcpu.ripLow(), vcpu.ripHigh());
  }
  const cs = state.selector(CS);
  const ss = state.selector(SS);
  if (cs === vcpu.loadedCs && ss === vcpu.loadedSs && vcpu.ripCanonical()) return true;
  const fault = vcpu.ripCanonical() ? loadReturnSegments(vcpu, cs, ss) : VECTOR_GP << 16;
  if (fault === SEGMENT_OK) {
    vcpu.noteLoaded();
    return true;
  }
  injectException(vcpu, fault >>> 16, fault & 0xffff);
  return false;
}
