/**
 * Delivery of exceptions and interrupts through the IDT, as 64-bit mode does it (Intel SDM 3A, 6.14; 2A, INT n):
 *
 *     SS                 <- top: IST n of the TSS, or RSP0 to 2 if the privilege rises, or RSP; then down to a multiple of 16
 *     RSP
 *     RFLAGS             RF is set for faults
 *     CS
 *     RIP
 *     [error code]       <- RSP on entry
 *
 * An interrupt gate clears IF, a trap gate does not. What goes wrong on the way is an exception itself: two that follow
 * from each other become a double fault (6.15, table 6-5), and one more shuts the processor down: the domain crashes with
 * a report.
 */
import { CPU_FLAGS_OTHER } from '../machine/layout.ts';
import type { Gva } from '../machine/memory.ts';
import { parseDescriptor } from '../machine/x86/descriptor.ts';
import { formatGva, GuestFault } from '../machine/x86/guest-memory.ts';
import {
  CS,
  FLAG_IF,
  FLAG_NT,
  FLAG_RF,
  FLAG_TF,
  FLAG_VM,
  RSP,
  SS,
  VECTOR_AC,
  VECTOR_DE,
  VECTOR_DF,
  VECTOR_GP,
  VECTOR_NP,
  VECTOR_PF,
  VECTOR_SS,
  VECTOR_TS,
} from '../machine/x86/registers.ts';
import { ATTR_D, ATTR_DPL_SHIFT, ATTR_L, ATTR_P, ATTR_S, ATTR_TYPE_CODE } from '../machine/x86/state.ts';
import { CpuFault, isCanonicalHigh } from './fault.ts';
import type { NativeVcpu } from './vcpu.ts';

/** What an event is. */
export const Source = {
  /** An exception at an instruction, which can be executed again. */
  Fault: 0,
  /** An exception after an instruction. */
  Trap: 1,
  /** INT n, INT3, INTO: the gate's privilege level counts. RIP is behind the instruction. */
  Software: 2,
  /** From the interrupt controller. */
  External: 3,
} as const;
export type Source = (typeof Source)[keyof typeof Source];

/** Exceptions that push an error code. */
const WITH_ERROR_CODE =
  (1 << VECTOR_DF) |
  (1 << VECTOR_TS) |
  (1 << VECTOR_NP) |
  (1 << VECTOR_SS) |
  (1 << VECTOR_GP) |
  (1 << VECTOR_PF) |
  (1 << VECTOR_AC);
/** Those that make a double fault of a second one (table 6-4). */
const CONTRIBUTORY =
  (1 << VECTOR_DE) | (1 << VECTOR_TS) | (1 << VECTOR_NP) | (1 << VECTOR_SS) | (1 << VECTOR_GP);

const ERROR_EXTERNAL = 1;
const ERROR_IDT = 2;
const GATE_BYTES = 16;
const GATE_INTERRUPT = 0x0e;
const GATE_TRAP = 0x0f;
const ATTR_TYPE_CONFORMING = 0x004;
/** Byte offsets in a 64-bit TSS (figure 7-11). */
const TSS_RSP0 = 4;
const TSS_IST1 = 36;
const CLEARED = FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM;
const TWO_32 = 4294967296;

const NAMES = '#DE #DB NMI #BP #OF #BR #UD #NM #DF 9 #TS #NP #SS #GP #PF 15 #MF #AC #MC #XM'.split(' ');

/** An event, with how it is told in a crash report. */
interface Event {
  readonly vector: number;
  /** Of an exception that has one. */
  readonly error: number;
  readonly source: Source;
}

/**
 * Delivers an event to the guest's handler. `error` counts for exceptions that push one; a page fault's address stands
 * in CR2 already. `length` is that of a software interrupt's instruction. Crashes the domain on a triple fault.
 */
export function deliver(vcpu: NativeVcpu, vector: number, error: number, source: Source, length = 0): void {
  const { state, domain } = vcpu;
  const { trace, stats } = domain.host;
  const history: Event[] = [];
  let event: Event = { vector, error, source };
  for (;;) {
    if (event.source !== Source.External && event.vector < 32) stats.exceptions.counts[event.vector]!++;
    if (trace.traps) trace.sink.trap(vcpu, event.vector, event.error, state.cr2);
    const failure = attempt(vcpu, event);
    if (failure === undefined) return;
    history.push(event);
    // The interrupted program is to be left at the instruction that could not interrupt it.
    if (event.source === Source.Software) state.rip = state.rip - length;
    if (event.vector === VECTOR_DF && isException(event)) {
      vcpu.crash(`triple fault: ${describe(vcpu, [...history, failure])}`);
      return;
    }
    event = makesDouble(event, failure) ? { vector: VECTOR_DF, error: 0, source: Source.Fault } : failure;
  }
}

function isException({ source }: Event): boolean {
  return source === Source.Fault || source === Source.Trap;
}

function makesDouble(first: Event, second: Event): boolean {
  if (!isException(first)) return false;
  const contributes = ((CONTRIBUTORY >>> second.vector) & 1) !== 0;
  if (first.vector === VECTOR_PF) return contributes || second.vector === VECTOR_PF;
  return ((CONTRIBUTORY >>> first.vector) & 1) !== 0 && contributes;
}

/** The exceptions in the order they came. */
function describe({ state }: NativeVcpu, events: readonly Event[]): string {
  const names = events.map(({ vector, error, source }) => {
    if (source === Source.External) return `interrupt 0x${vector.toString(16)}`;
    const name = NAMES[vector] ?? `INT 0x${vector.toString(16)}`;
    return vector < 32 && hasErrorCode(vector) && error !== 0
      ? `${name} (error code 0x${error.toString(16)})`
      : name;
  });
  return `${names.join(', then ')}, at RIP ${formatGva(state.rip)}, CR2 ${formatGva(state.cr2)}`;
}

function hasErrorCode(vector: number): boolean {
  return ((WITH_ERROR_CODE >>> vector) & 1) !== 0;
}

/** Undefined: delivered. Else the exception that came of it; nothing else has happened then. */
function attempt(vcpu: NativeVcpu, event: Event): Event | undefined {
  const cpl = vcpu.enterSupervisor();
  try {
    enter(vcpu, event, cpl);
    return undefined;
  } catch (error) {
    vcpu.leaveSupervisor(cpl);
    if (error instanceof CpuFault) return { vector: error.vector, error: error.error, source: Source.Fault };
    if (!(error instanceof GuestFault)) throw error;
    if (vcpu.state.exitVector === VECTOR_PF) vcpu.setCr2(vcpu.state.exitAddress);
    return { vector: vcpu.state.exitVector, error: vcpu.state.exitError, source: Source.Fault };
  }
}

/** Enters the handler; the processor reads and writes as a supervisor already. Raises CpuFault and GuestFault. */
function enter(vcpu: NativeVcpu, event: Event, cpl: number): void {
  const { state, tables, guest, domain } = vcpu;
  const { vector, source } = event;
  const software = source === Source.Software;
  const external = software ? 0 : ERROR_EXTERNAL;
  const gateError = vector * 8 + ERROR_IDT + external;
  if (vector * GATE_BYTES + GATE_BYTES - 1 > tables.idtLimit) throw new CpuFault(VECTOR_GP, gateError);
  const gate = tables.idtBase + vector * GATE_BYTES;
  const first = guest.read32(gate);
  const second = guest.read32(gate + 4);
  const kind = (second >>> 8) & 0x1f;
  if (kind !== GATE_INTERRUPT && kind !== GATE_TRAP) throw new CpuFault(VECTOR_GP, gateError);
  if (software && ((second >>> 13) & 3) < cpl) throw new CpuFault(VECTOR_GP, gateError);
  if ((second & 0x8000) === 0) throw new CpuFault(VECTOR_NP, gateError);

  const selector = first >>> 16;
  const code = codeSegment(vcpu, selector, cpl, external);
  const conforming = (code.attributes & ATTR_TYPE_CONFORMING) !== 0;
  const level = conforming ? cpl : code.dpl;
  const top = stackTop(vcpu, second & 7, level, cpl, external);
  const high = guest.read32(gate + 8);
  if (!isCanonicalHigh(high)) throw new CpuFault(VECTOR_GP, external);

  const rflags = state.rflags | (source === Source.Fault ? FLAG_RF : 0);
  const frame = [
    state.selector(SS),
    0,
    state.regLow(RSP),
    state.regHigh(RSP),
    rflags,
    0,
    state.selector(CS),
    0,
    vcpu.ripLow(),
    vcpu.ripHigh(),
  ];
  if (isException(event) && vector < 32 && hasErrorCode(vector)) frame.push(event.error, 0);
  const bottom = top - frame.length * 4;
  pushFrame(vcpu, bottom, top, frame);

  const { i32 } = domain.host.memory;
  i32[(state.base + CPU_FLAGS_OTHER) >> 2]! &= kind === GATE_INTERRUPT ? ~(CLEARED | FLAG_IF) : ~CLEARED;
  state.setRegNumber(RSP, bottom);
  if (level !== cpl) state.setSegment(SS, level, 0, 0, 0);
  state.setSegment(CS, (selector & 0xfffc) | level, code.attributes, code.limit, code.base);
  vcpu.setRip((first & 0xffff) | (second & 0xffff0000), high);
  vcpu.leaveSupervisor(level);
}

/** The handler's code segment, checked. Raises CpuFault and GuestFault. */
function codeSegment(vcpu: NativeVcpu, selector: number, cpl: number, external: number) {
  if ((selector & 0xfffc) === 0) throw new CpuFault(VECTOR_GP, external);
  const error = (selector & 0xfffc) | external;
  const words = vcpu.tables.readDescriptor(selector);
  if (words === undefined) throw new CpuFault(VECTOR_GP, error);
  const code = parseDescriptor(words.low, words.high);
  const { attributes } = code;
  const wanted = ATTR_S | ATTR_TYPE_CODE;
  const dpl = (attributes >> ATTR_DPL_SHIFT) & 3;
  if ((attributes & wanted) !== wanted || dpl > cpl) throw new CpuFault(VECTOR_GP, error);
  if ((attributes & ATTR_P) === 0) throw new CpuFault(VECTOR_NP, error);
  if ((attributes & (ATTR_L | ATTR_D)) !== ATTR_L) throw new CpuFault(VECTOR_GP, error);
  if ((attributes & 1) === 0) vcpu.tables.noteAccessed(selector);
  return code;
}

/** Where the frame goes: from the TSS if the gate names a stack or the privilege rises. Raises CpuFault and GuestFault. */
function stackTop(vcpu: NativeVcpu, ist: number, level: number, cpl: number, external: number): Gva {
  const { state, tables, guest } = vcpu;
  let low = state.regLow(RSP);
  let high = state.regHigh(RSP);
  if (ist !== 0 || level < cpl) {
    const at = ist !== 0 ? TSS_IST1 + (ist - 1) * 8 : TSS_RSP0 + level * 8;
    if (at + 7 > tables.taskLimit) throw new CpuFault(VECTOR_TS, (tables.taskSelector & 0xfffc) | external);
    low = guest.read32(tables.taskBase + at);
    high = guest.read32(tables.taskBase + at + 4);
  }
  if (!isCanonicalHigh(high)) throw new CpuFault(VECTOR_SS, external);
  return high * TWO_32 + ((low & ~15) >>> 0);
}

/** Pushes words, given as halves, the first one on top. Nothing is written if any of it cannot be. Raises GuestFault. */
function pushFrame({ guest }: NativeVcpu, bottom: Gva, top: Gva, frame: readonly number[]): void {
  guest.host(top - 8, true);
  guest.host(bottom, true);
  for (let i = 0; i < frame.length; i += 2) guest.write64(top - 8 - i * 4, frame[i]!, frame[i + 1]!);
}
