/**
 * Patching: calls through the operation table are indirect, which costs more than what the hottest operations do. Once a
 * kernel knows on what it runs it rewrites the calls, which the build has written down one by one (PatchSite).
 *
 *     call *slot(%rip)    nop nop …            as compiled: 7 bytes, and room for something longer
 *     movb $1, mask(%rip)                      a template of the back end: the operation itself
 *     call operation      nop …                the default: a direct call, where there is no template or it does not fit
 *     call *slot(%rip)    nop nop …            and where not even that fits, all stays as it was
 *
 * (Linux, arch/x86/kernel/paravirt.c; lguest's boot.c, "Patching".)
 */

import { patchSitesEnd, patchSitesStart } from '../machine/image';
import { native } from '../machine/memory';
import { PatchSite } from '../machine/operations';
import { patchOperation } from './operations';

/** Bytes of the longest site. */
const MOST_BYTES: u32 = 64;
const CALL: u8 = 0xe8;
const CALL_BYTES: u32 = 5;

const buffer: usize = memory.data(64, 8);

/** Sites rewritten by a template or a direct call; sites that stayed. */
export let sitesPatched: u32 = 0;
export let sitesLeft: u32 = 0;

/** Rewrites all sites. With interrupts disabled, on a single processor, and text that may be written. */
export function applyPatches(): void {
  for (let at = patchSitesStart(); at < patchSitesEnd(); at += offsetof<PatchSite>())
    patchSite(changetype<PatchSite>(at));
}

function patchSite(site: PatchSite): void {
  const bytes = <u32>site.bytes;
  if (bytes > MOST_BYTES) {
    sitesLeft++;
    return;
  }
  const written = patchOperation(site.slot, buffer, native(site.address), bytes, site.clobbers);
  if (written === 0 || written > bytes) {
    sitesLeft++;
    return;
  }
  fillWithNops(buffer + written, bytes - written);
  memory.copy(site.address, buffer, bytes);
  sitesPatched++;
}

/** The recommended instructions of 1 to 9 bytes that do nothing, one after the other (Intel SDM, volume 2, NOP). */
const NOPS: usize = memory.data<u8>([
  0x90, 0x66, 0x90, 0x0f, 0x1f, 0x00, 0x0f, 0x1f, 0x40, 0x00, 0x0f, 0x1f, 0x44, 0x00, 0x00, 0x66, 0x0f, 0x1f,
  0x44, 0x00, 0x00, 0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00,
  0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00,
]);
const LONGEST_NOP: u32 = 9;

/** Fills a gap with as few of them as can be: each is an instruction to be executed. */
function fillWithNops(at: usize, bytes: u32): void {
  for (let left = bytes; left > 0; ) {
    const length = left < LONGEST_NOP ? left : LONGEST_NOP;
    memory.copy(at + (bytes - left), NOPS + (length * (length - 1)) / 2, length);
    left -= length;
  }
}

/** The default (paravirt_patch_default): a direct call of what stands in the slot, if there is room. For back ends. */
export function patchDefault(slot: usize, into: usize, address: u64, bytes: u32): u32 {
  const target: u64 = WORD_BITS === 64 ? load<u64>(slot) : <u64>load<u32>(slot);
  if (bytes < CALL_BYTES || target === 0) return 0;
  store<u8>(into, CALL);
  store<u32>(into, <u32>(target - (address + CALL_BYTES)), 1);
  return CALL_BYTES;
}
