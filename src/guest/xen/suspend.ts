/**
 * Suspend and resume. A domain is suspended by asking for it; when the call returns the domain may be on another machine,
 * with other frames behind everything, a new start_info, no event channels and no grants. Or it was called off, and nothing
 * has changed. What else has to be done before and after, those say who have to do it (suspend-hooks.ts): callbacks, event
 * channels, the clock, the console, grants, where the vcpu_info is. Watches in xenstore, and devices that the kernel has
 * found there, are the kernel's own to ask for again. (Linux: drivers/xen/manage.c, arch/x86/xen/suspend.c)
 */
import { SIF_INITDOMAIN } from '../../abi/xen/numbers/domain.ts';
import {
  shared_info_arch_max_pfn,
  shared_info_arch_pfn_to_mfn_frame_list_list,
  start_info_console_domU_evtchn,
  start_info_console_domU_mfn,
  start_info_flags,
  start_info_shared_info,
  start_info_store_evtchn,
  start_info_store_mfn,
} from '../abi/structures';
import { setConsole } from './console';
import { xenDisableInterrupts, xenRestoreInterrupts, xenSaveInterrupts } from './event-mask';
import { HYPERVISOR_suspend } from './hypercall';
import { mapFrame, unmapFrame } from './mapping';
import { mcFlushBefore } from './mmu-entries';
import { buildFrameLists } from './p2m-frame-lists';
import { maxPfn, mfnToPfn, mfnToVirt, pfnToMfn, virtToMfn } from './page';
import { callAfter, callBefore, nothingBefore, onSuspend } from './suspend-hooks';
import { Mfn, PAGE_SHIFT } from './types';
import { setSharedInfo, sharedInfo } from './vcpu-info';
import { setXenstore } from './xenstore';

let info: usize = 0;

/** What start_info says to us, and what we say to the toolstack: now, and again after a resume. */
export function startDescriptions(startInfo: usize): void {
  info = startInfo;
  describe(false);
  onSuspend(nothingBefore, describe);
}

function describe(cancelled: bool): void {
  if (cancelled) return;
  connectRings(info);
  describeP2m();
}

/** Writes into the shared page what the toolstack needs to find our memory. */
function describeP2m(): void {
  store<Word>(sharedInfo, <Word>maxPfn, shared_info_arch_max_pfn);
  store<Word>(sharedInfo, buildFrameLists(), shared_info_arch_pfn_to_mfn_frame_list_list);
}

/** The rings that start_info names. Of the machine's initial domain it says something else in the same place. */
function connectRings(startInfo: usize): void {
  if ((load<u32>(startInfo, start_info_flags) & SIF_INITDOMAIN) !== 0) return;
  const consoleMfn = load<Mfn>(startInfo, start_info_console_domU_mfn);
  const storeMfn = load<Mfn>(startInfo, start_info_store_mfn);
  setConsole(
    consoleMfn === 0 ? 0 : mfnToVirt(consoleMfn),
    load<u32>(startInfo, start_info_console_domU_evtchn),
  );
  setXenstore(storeMfn === 0 ? 0 : mfnToVirt(storeMfn), load<u32>(startInfo, start_info_store_evtchn));
}

/** Replaces a frame of start_info by its number for us, or back: the toolstack follows it when frames change. */
function translate(startInfo: usize, field: usize, toMachine: bool): void {
  const frame = load<Word>(startInfo + field);
  if (frame === 0) return;
  store<Word>(startInfo + field, toMachine ? pfnToMfn(frame) : mfnToPfn(frame));
}

/** Suspends. Returns whether it was called off; false: we were resumed, and the hooks have run. */
export function suspendDomain(startInfo: usize): bool {
  const state = xenSaveInterrupts();
  xenDisableInterrupts();
  mcFlushBefore();
  callBefore();
  translate(startInfo, start_info_store_mfn, false);
  translate(startInfo, start_info_console_domU_mfn, false);
  unmapFrame(sharedInfo);
  const cancelled = HYPERVISOR_suspend(virtToMfn(startInfo)) === 1;
  if (cancelled) {
    translate(startInfo, start_info_store_mfn, true);
    translate(startInfo, start_info_console_domU_mfn, true);
  }
  mapFrame(sharedInfo, <Mfn>(load<Word>(startInfo, start_info_shared_info) >> PAGE_SHIFT));
  if (!cancelled) {
    // Wherever the vcpu_info was, it is in the shared page now.
    setSharedInfo(sharedInfo);
    xenDisableInterrupts();
  }
  callAfter(cancelled);
  xenRestoreInterrupts(state);
  return cancelled;
}
