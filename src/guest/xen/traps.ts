/**
 * The trap table: an IDT in Xen's form. Xen wants of each gate its vector, the privilege that may call it, whether events
 * are masked on the way in, and the address; it keeps the real table. (Linux: cvt_gate_to_trap, xen_load_idt.)
 *
 *     a gate of 64 bits      63     48 47 46 45 44 43  40 39    32 31     16 15      0
 *     low half               offset    P  DPL   0  type   0   IST  selector  offset
 *                            31..16                                          15..0
 *     high half                                               offset 63..32
 */
import {
  CALLBACKF_mask_events,
  CALLBACKOP_register,
  CALLBACKTYPE_syscall,
} from '../../abi/xen/numbers/callback.ts';
import {
  callback_register_address,
  callback_register_flags,
  callback_register_type,
  SIZEOF_callback_register,
  SIZEOF_trap_info,
  trap_info_address,
  trap_info_cs,
  trap_info_flags,
  trap_info_vector,
} from '../abi/structures';
import { ENTRY_STUB_BYTES } from '../machine/trap-frame';
import { kernelCs } from '../paravirt/info';
import { eventEntry, failsafeEntry, systemCallEntry, trapEntries } from './entries';
import { xenDisableInterrupts, xenRestoreInterrupts, xenSaveInterrupts } from './event-mask';
import { HYPERVISOR_callback_op, HYPERVISOR_set_callbacks, HYPERVISOR_set_trap_table } from './hypercall';
import { nothingBefore, onSuspend } from './suspend-hooks';

const VECTORS: u32 = 256;
/** Bytes of a gate. */
const GATE_BYTES: usize = WORD_BITS === 64 ? 16 : 8;
const GATE_INTERRUPT: u64 = 14;
const GATE_TRAP: u64 = 15;
/** trap_info.flags: events are masked on entry. */
const TRAP_MASKS_EVENTS: u64 = 4;

/** A table for one call: every vector, and the entry with address 0 that ends it. Used with events masked. */
const table: usize = memory.data(257 * SIZEOF_trap_info, 8);
const callback: usize = memory.data(SIZEOF_callback_register, 8);
/** The IDT that is loaded, and its length. */
let idt: usize = 0;
let idtEntries: u32 = 0;

/** Whether it is one that Xen takes: a present interrupt or trap gate. */
function isGate(low: u64): bool {
  const type = (low >> 40) & 0x1f;
  return ((low >> 47) & 1) !== 0 && (type === GATE_INTERRUPT || type === GATE_TRAP);
}

/** Writes a gate as an entry of a trap table, at `at`. Returns whether it is one that Xen takes. */
export function gateToTrap(vector: u32, low: u64, high: u64, at: usize): bool {
  if (!isGate(low)) return false;
  const type = (low >> 40) & 0x1f;
  const offset = (low & 0xffff) | ((low >> 32) & 0xffff0000);
  const dpl = (low >> 45) & 3;
  store<u8>(at, vector, trap_info_vector);
  store<u8>(at, <u8>(dpl | (type === GATE_INTERRUPT ? TRAP_MASKS_EVENTS : 0)), trap_info_flags);
  store<u16>(at, <u16>(low >> 16), trap_info_cs);
  store<Word>(at, <Word>(WORD_BITS === 64 ? offset | (high << 32) : offset), trap_info_address);
  return true;
}

function gate(idtTable: usize, vector: u32, at: usize): bool {
  const entry = idtTable + vector * GATE_BYTES;
  return gateToTrap(vector, load<u64>(entry), WORD_BITS === 64 ? load<u64>(entry, 8) : 0, at);
}

/**
 * Tells Xen of the gates from `first` up to, and not including, `entries`; `anew`: and of no others. A table adds to what
 * Xen has, the null pointer takes all away.
 */
function setTable(idtTable: usize, first: u32, entries: u32, anew: bool): void {
  const state = xenSaveInterrupts();
  xenDisableInterrupts();
  let at = table;
  for (let vector = first; vector < entries && vector < VECTORS; vector++) {
    if (gate(idtTable, vector, at)) at += SIZEOF_trap_info;
  }
  memory.fill(at, 0, SIZEOF_trap_info);
  if (anew && HYPERVISOR_set_trap_table(0) !== 0) unreachable();
  if (HYPERVISOR_set_trap_table(table) !== 0) unreachable();
  xenRestoreInterrupts(state);
}

/** cpu.load_idt: all gates in one call, and of the table before it none. */
export function xenLoadIdt(idtTable: usize, entries: u32): void {
  setTable(idtTable, 0, entries, idt !== 0);
  idt = idtTable;
  idtEntries = entries;
}

/**
 * cpu.write_idt_entry: of a table that is loaded Xen hears. A single gate cannot be taken away from it, for an entry
 * without an address ends a table: all are, and the others given again.
 */
export function xenWriteIdtEntry(idtTable: usize, vector: u32, low: u64, high: u64): void {
  const entry = idtTable + vector * GATE_BYTES;
  store<u64>(entry, low);
  if (WORD_BITS === 64) store<u64>(entry, high, 8);
  if (idtTable !== idt) return;
  if (isGate(low)) setTable(idtTable, vector, vector + 1, false);
  else setTable(idtTable, 0, idtEntries, true);
}

/** cpu.trap_entry */
export function xenTrapEntry(vector: u32): u64 {
  return trapEntries() + <u64>vector * ENTRY_STUB_BYTES;
}

/** Tells Xen where events and failures go, and SYSCALL, which nobody makes before there is a user. */
function setCallbacks(): void {
  const result = HYPERVISOR_set_callbacks(
    kernelCs,
    eventEntry(),
    kernelCs,
    failsafeEntry(),
    systemCallEntry(),
  );
  if (result !== 0) unreachable();
}

/** Does so now and after a resume. */
export function startCallbacks(): void {
  setCallbacks();
  onSuspend(nothingBefore, setCallbacksAgain);
}

function setCallbacksAgain(cancelled: bool): void {
  if (cancelled) return;
  setCallbacks();
  if (systemCallsEnabled) xenEnableSystemCalls();
}

/** `set_callbacks` has SYSCALL come with events as they are. */
let systemCallsEnabled: bool = false;

/** cpu.enable_syscall: with events masked on the way in, as SFMASK would have it. */
export function xenEnableSystemCalls(): void {
  systemCallsEnabled = true;
  store<u16>(callback, CALLBACKTYPE_syscall, callback_register_type);
  store<u16>(callback, CALLBACKF_mask_events, callback_register_flags);
  store<Word>(callback, <Word>systemCallEntry(), callback_register_address);
  if (HYPERVISOR_callback_op(CALLBACKOP_register, callback) !== 0) unreachable();
}
