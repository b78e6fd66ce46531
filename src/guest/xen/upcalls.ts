/**
 * The two upcalls that Xen makes: the event upcall, and the failsafe upcall. Entry stubs (entries.ts) call them, by name,
 * with the frame of who was interrupted; events are masked.
 */
import {
  shared_info_evtchn_mask,
  shared_info_evtchn_pending,
  vcpu_info_evtchn_pending_sel,
  vcpu_info_evtchn_upcall_pending,
} from '../abi/structures';
import { exchange32, exchange64, native } from '../machine/memory';
import { loadDs, loadEs, loadFs, loadGs } from '../machine/processor';
import { TrapFrame } from '../machine/trap-frame';
import { afterInterrupt } from '../paravirt/handlers';
import { enterInterrupt, leaveInterrupt } from '../paravirt/lazy';
import { clearPending, deliverEvent } from './events';
import { WORD_BYTES } from './types';
import { sharedInfo, vcpuInfo } from './vcpu-info';

/** How often each came. */
export let eventUpcalls: u64 = 0;
export let failsafeUpcalls: u64 = 0;

/**
 * Events are pending. The selector says in which words; Xen may add to any of it while we look, so it is taken by exchange,
 * and the flag that brought us here is cleared first: what comes later sets it again.
 */
export function xenEventUpcall(frame: usize): void {
  eventUpcalls++;
  enterInterrupt();
  do {
    store<u8>(vcpuInfo, 0, vcpu_info_evtchn_upcall_pending);
    scan(takeSelector());
  } while (load<u8>(vcpuInfo, vcpu_info_evtchn_upcall_pending) !== 0);
  leaveInterrupt();
  afterInterrupt(frame);
}

function takeSelector(): Word {
  const at = native(vcpuInfo + vcpu_info_evtchn_pending_sel);
  return <Word>(WORD_BITS === 64 ? exchange64(at, 0) : <u64>exchange32(at, 0));
}

function scan(selector: Word): void {
  for (let words = selector; words !== 0; words &= words - 1) {
    const word = <usize>ctz(words);
    // A port whose handler masks it, or another's, is not delivered again: look anew each time.
    for (let ready = readyIn(word); ready !== 0; ready = readyIn(word)) {
      const port = <u32>word * WORD_BITS + <u32>ctz(ready);
      clearPending(port);
      deliverEvent(port);
    }
  }
}

/** Ports of a word that are pending and not masked. */
function readyIn(word: usize): Word {
  const at = sharedInfo + word * WORD_BYTES;
  return load<Word>(at, shared_info_evtchn_pending) & ~load<Word>(at, shared_info_evtchn_mask);
}

/**
 * A data segment of who is to run could not be loaded: its descriptor went away since. Xen asks us, rather than kill it. The
 * selectors that are not null become null, and it goes on; if it needs the segment it gets a fault of its own.
 */
export function xenFailsafeUpcall(frame: usize): void {
  failsafeUpcalls++;
  const selectors = changetype<TrapFrame>(frame).error;
  if ((selectors & 0xffff) !== 0) loadDs(0);
  if (((selectors >> 16) & 0xffff) !== 0) loadEs(0);
  if (((selectors >> 32) & 0xffff) !== 0) loadFs(0);
  if (selectors >> 48 !== 0) loadGs(0);
}
