/**
 * Suspend and resume. A domain is suspended by asking for it; when the call returns the domain may be on another machine,
 * with other frames behind everything, a new start_info, no event channels and no grants. Or it was called off, and nothing
 * has changed. Parts of the kernel that hold what does not survive register hooks: `before` in their order, `after` in the
 * opposite one. (Linux: drivers/xen/manage.c, arch/x86/xen/suspend.c)
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
import { maskAllPorts } from './events';
import { HYPERVISOR_suspend } from './hypercall';
import { mapFrame, unmapFrame } from './mapping';
import { mcFlushBefore } from './mmu-entries';
import { buildFrameLists } from './p2m-frame-lists';
import { maxPfn, mfnToPfn, mfnToVirt, pfnToMfn, virtToMfn } from './page';
import { setCallbacks } from './traps';
import { Mfn, PAGE_SHIFT } from './types';
import { sharedInfo } from './vcpu-info';
import { setXenstore } from './xenstore';

const MOST_HOOKS: usize = 16;
/** Pairs of table indices: `() => void` and `(cancelled: bool) => void`. */
const hooks: usize = memory.data(16 * 8, 4);
let hookCount: usize = 0;

/** Registers a pair. `after` is told whether the suspend was called off. */
export function onSuspend(before: () => void, after: (cancelled: bool) => void): void {
  if (hookCount === MOST_HOOKS) unreachable();
  store<u32>(hooks + hookCount * 8, before.index);
  store<u32>(hooks + hookCount * 8, after.index, 4);
  hookCount++;
}

/** Writes into the shared page what the toolstack needs to find our memory. */
export function describeP2m(): void {
  store<Word>(sharedInfo, <Word>maxPfn, shared_info_arch_max_pfn);
  store<Word>(sharedInfo, buildFrameLists(), shared_info_arch_pfn_to_mfn_frame_list_list);
}

/** The rings that start_info names. Of the machine's initial domain it says something else in the same place. */
export function connectRings(startInfo: usize): void {
  if ((load<u32>(startInfo, start_info_flags) & SIF_INITDOMAIN) !== 0) return;
  const consoleMfn = load<Mfn>(startInfo, start_info_console_domU_mfn);
  const storeMfn = load<Mfn>(startInfo, start_info_store_mfn);
  if (consoleMfn !== 0)
    setConsole(mfnToVirt(consoleMfn), load<u32>(startInfo, start_info_console_domU_evtchn));
  if (storeMfn !== 0) setXenstore(mfnToVirt(storeMfn), load<u32>(startInfo, start_info_store_evtchn));
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
  for (let i: usize = 0; i < hookCount; i++) call_indirect<void>(load<u32>(hooks + i * 8));
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
    maskAllPorts();
    setCallbacks();
    connectRings(startInfo);
    describeP2m();
  }
  for (let i = hookCount; i > 0; i--) call_indirect<void>(load<u32>(hooks + (i - 1) * 8, 4), cancelled);
  xenRestoreInterrupts(state);
  return cancelled;
}
