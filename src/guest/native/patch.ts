/**
 * The hot four as instructions, to be put in the place of calls. At a site the argument is in rdi, the result in rax, and
 * what a call may change these may change (../machine/operations.ts).
 */
import { patchDefault } from '../paravirt/patch';
import {
  slotOfDisableInterrupts,
  slotOfEnableInterrupts,
  slotOfRestoreFlags,
  slotOfSaveFlags,
} from '../paravirt/slots';

// irq.save_fl
//   9C                        pushf
//   58                        pop    rax
//   25 00 02 00 00            and    eax, 200h
const SAVE: usize = memory.data<u8>([0x9c, 0x58, 0x25, 0x00, 0x02, 0x00, 0x00]);
const SAVE_BYTES: u32 = 7;

// irq.restore_fl
//   F7 C7 00 02 00 00         test   edi, 200h
//   74 03                     je     1f
//   FB                        sti
//   EB 01                     jmp    2f
//   FA                     1: cli
//                          2:
const RESTORE: usize = memory.data<u8>([
  0xf7, 0xc7, 0x00, 0x02, 0x00, 0x00, 0x74, 0x03, 0xfb, 0xeb, 0x01, 0xfa,
]);
const RESTORE_BYTES: u32 = 12;

// irq.irq_disable: CLI. irq.irq_enable: STI.
const DISABLE: usize = memory.data<u8>([0xfa]);
const ENABLE: usize = memory.data<u8>([0xfb]);

/** Copies a template if there is room. Returns its length, or 0. */
function put(template: usize, templateBytes: u32, into: usize, bytes: u32): u32 {
  if (templateBytes > bytes) return 0;
  memory.copy(into, template, templateBytes);
  return templateBytes;
}

/** init.patch: a template for the hot four, a direct call for the rest. */
export function nativePatch(slot: usize, into: usize, address: u64, bytes: u32, _clobbers: u32): u32 {
  let written: u32 = 0;
  if (slot === slotOfSaveFlags()) written = put(SAVE, SAVE_BYTES, into, bytes);
  else if (slot === slotOfRestoreFlags()) written = put(RESTORE, RESTORE_BYTES, into, bytes);
  else if (slot === slotOfDisableInterrupts()) written = put(DISABLE, 1, into, bytes);
  else if (slot === slotOfEnableInterrupts()) written = put(ENABLE, 1, into, bytes);
  return written !== 0 ? written : patchDefault(slot, into, address, bytes);
}
