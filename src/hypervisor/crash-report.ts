/**
 * What is known about a guest at the moment it crashed: data only. Rendering it, disassembling the code and finding
 * symbols is the work of whoever shows it.
 */
import type { Gva } from '../machine/memory.ts';
import type { GuestMemory } from '../machine/x86/guest-memory.ts';
import { REGISTER_NAMES, RSP } from '../machine/x86/registers.ts';
import type { VcpuState } from '../machine/x86/state.ts';

/** A 64-bit value as halves. */
export interface Word64 {
  readonly low: number;
  readonly high: number;
}

export interface SegmentReport {
  readonly selector: number;
  readonly base: Gva;
}

/** One hypercall in the trail that led here. */
export interface HypercallRecord {
  readonly number: number;
  readonly name: string;
  readonly arguments: readonly number[];
  /** What it returned; undefined for one that did not return. */
  readonly result: number | undefined;
}

export interface CrashReport {
  /** One line: what the guest did. */
  readonly reason: string;
  readonly domainId: number;
  readonly domainName: string;
  readonly vcpuId: number;
  /** Whether the guest's kernel was running, as opposed to its user. */
  readonly kernelMode: boolean;
  readonly rip: Gva;
  readonly rflags: number;
  /** rax rcx rdx rbx rsp rbp rsi rdi r8 … r15. */
  readonly registers: readonly Word64[];
  /** ES CS SS DS FS GS. */
  readonly segments: readonly SegmentReport[];
  readonly gsBaseInactive: Gva;
  readonly cr0: number;
  readonly cr2: Gva;
  readonly cr3: number;
  readonly cr4: number;
  /** Words at RSP and above, as many as are mapped. */
  readonly stack: readonly Word64[];
  /** Bytes around RIP, as many as are mapped; `codeStart` is the address of the first. */
  readonly code: Uint8Array;
  readonly codeStart: Gva;
  /** Instructions that this vCPU had retired. */
  readonly retired: number;
  /** The last hypercalls, oldest first. */
  readonly hypercalls: readonly HypercallRecord[];
}

const STACK_WORDS = 40;
const CODE_BEFORE = 16;
const CODE_BYTES = 64;
const SEGMENTS = 6;

/** The part of a report that can be read off any vCPU: registers, stack and code. It must be the active one. */
export function readCrashState(state: VcpuState, guest: GuestMemory) {
  const registers: Word64[] = REGISTER_NAMES.map((_, n) => ({
    low: state.regLow(n),
    high: state.regHigh(n),
  }));
  const segments = Array.from({ length: SEGMENTS }, (_, n) => ({
    selector: state.selector(n),
    base: state.segmentBase(n),
  }));
  const stack: Word64[] = [];
  const rsp = state.reg(RSP);
  for (let i = 0; i < STACK_WORDS; i++) {
    // Words are read by halves: an unaligned stack may cross a page in the middle of one.
    const low = guest.tryHost(rsp + i * 8, false);
    const high = guest.tryHost(rsp + i * 8 + 7, false);
    if (low === 0 || high === 0) break;
    stack.push({ low: guest.read32(rsp + i * 8), high: guest.read32(rsp + i * 8 + 4) });
  }
  let codeStart = state.rip;
  while (state.rip - codeStart < CODE_BEFORE && guest.tryHost(codeStart - 1, false) !== 0) codeStart--;
  const code: number[] = [];
  while (code.length < CODE_BYTES) {
    if (guest.tryHost(codeStart + code.length, false) === 0) break;
    code.push(guest.read8(codeStart + code.length));
  }
  return {
    rip: state.rip,
    rflags: state.rflags,
    registers,
    segments,
    cr0: state.cr0,
    cr2: state.cr2,
    cr3: state.cr3,
    stack,
    code: Uint8Array.from(code),
    codeStart,
    retired: state.retired,
  };
}
