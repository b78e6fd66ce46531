/**
 * The hot four as instructions, to be put in the place of calls: what `event-mask.ts` does in a higher language.
 *
 * A template is a string of bytes in which some fields hold a distance, from the end of their instruction to a place that
 * is known at boot only. The table below it says where these are. At a site the argument is in rdi, the result in rax, and
 * what a call may change these may change (../machine/operations.ts).
 */
import { vcpu_info_evtchn_upcall_mask, vcpu_info_evtchn_upcall_pending } from '../abi/structures';
import { native } from '../machine/memory';
import { functionAddress } from '../machine/operations';
import { patchDefault } from '../paravirt/patch';
import {
  slotOfDisableInterrupts,
  slotOfEnableInterrupts,
  slotOfRestoreFlags,
  slotOfSaveFlags,
} from '../paravirt/slots';
import { forceUpcall } from './event-mask';
import { vcpuInfo } from './vcpu-info';

/** What a field's distance leads to. */
const TO_MASK: u32 = 0;
const TO_PENDING: u32 = 1;
const TO_UPCALL: u32 = 2;

// irq.save_fl: 0x200 if nothing is masked, or 0.
//   31 C0                     xor    eax, eax
//   80 3D mask 00             cmp    byte [mask], 0
//   0F 94 C4                  sete   ah
//   01 C0                     add    eax, eax
const SAVE: usize = memory.data<u8>([0x31, 0xc0, 0x80, 0x3d, 0, 0, 0, 0, 0, 0x0f, 0x94, 0xc4, 0x01, 0xc0]);
const SAVE_BYTES: u32 = 14;

// irq.irq_disable
//   C6 05 mask 01             mov    byte [mask], 1
const DISABLE: usize = memory.data<u8>([0xc6, 0x05, 0, 0, 0, 0, 0x01]);
const DISABLE_BYTES: u32 = 7;

// irq.irq_enable
//   C6 05 mask 00             mov    byte [mask], 0
//   80 3D pending 00          cmp    byte [pending], 0
//   74 05                     je     1f
//   E8 forceUpcall            call   forceUpcall
//                          1:
const ENABLE: usize = memory.data<u8>([
  0xc6, 0x05, 0, 0, 0, 0, 0x00, 0x80, 0x3d, 0, 0, 0, 0, 0x00, 0x74, 0x05, 0xe8, 0, 0, 0, 0,
]);
const ENABLE_BYTES: u32 = 21;

// irq.restore_fl: as enable, if the flag in rdi is set; the mask is its opposite.
//   F7 C7 00 02 00 00         test   edi, 200h
//   0F 94 05 mask             sete   byte [mask]
//   74 0E                     je     1f
//   80 3D pending 00          cmp    byte [pending], 0
//   74 05                     je     1f
//   E8 forceUpcall            call   forceUpcall
//                          1:
const RESTORE: usize = memory.data<u8>([
  0xf7, 0xc7, 0x00, 0x02, 0x00, 0x00, 0x0f, 0x94, 0x05, 0, 0, 0, 0, 0x74, 0x0e, 0x80, 0x3d, 0, 0, 0, 0, 0x00,
  0x74, 0x05, 0xe8, 0, 0, 0, 0,
]);
const RESTORE_BYTES: u32 = 29;

/** Copies a template if there is room. */
function copyTemplate(template: usize, templateBytes: u32, into: usize, bytes: u32): bool {
  if (templateBytes > bytes) return false;
  memory.copy(into, template, templateBytes);
  return true;
}

/** Fills in the field at `field`, whose instruction ends at `end`, both counted from the template's start. */
function relocate(into: usize, address: u64, field: u32, end: u32, to: u32): void {
  let target: u64 = 0;
  if (to === TO_MASK) target = native(vcpuInfo + vcpu_info_evtchn_upcall_mask);
  else if (to === TO_PENDING) target = native(vcpuInfo + vcpu_info_evtchn_upcall_pending);
  else target = functionAddress(forceUpcall.index);
  store<u32>(into + field, <u32>(target - (address + end)));
}

/** init.patch: a template for the hot four, a direct call for the rest. The templates are for 64 bits. */
export function xenPatch(slot: usize, into: usize, address: u64, bytes: u32, _clobbers: u32): u32 {
  if (WORD_BITS === 64) {
    if (slot === slotOfSaveFlags() && copyTemplate(SAVE, SAVE_BYTES, into, bytes)) {
      relocate(into, address, 4, 9, TO_MASK);
      return SAVE_BYTES;
    }
    if (slot === slotOfDisableInterrupts() && copyTemplate(DISABLE, DISABLE_BYTES, into, bytes)) {
      relocate(into, address, 2, 7, TO_MASK);
      return DISABLE_BYTES;
    }
    if (slot === slotOfEnableInterrupts() && copyTemplate(ENABLE, ENABLE_BYTES, into, bytes)) {
      relocate(into, address, 2, 7, TO_MASK);
      relocate(into, address, 9, 14, TO_PENDING);
      relocate(into, address, 17, 21, TO_UPCALL);
      return ENABLE_BYTES;
    }
    if (slot === slotOfRestoreFlags() && copyTemplate(RESTORE, RESTORE_BYTES, into, bytes)) {
      relocate(into, address, 9, 13, TO_MASK);
      relocate(into, address, 17, 22, TO_PENDING);
      relocate(into, address, 25, 29, TO_UPCALL);
      return RESTORE_BYTES;
    }
  }
  return patchDefault(slot, into, address, bytes);
}
