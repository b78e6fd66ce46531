/**
 * Breakpoints of the debug registers (Intel SDM 3B, 17.2; AMD APM 2, 13.1): which are enabled, and which of them an
 * instruction's address meets. Those of data are looked at where the TLB is missed (`../assembly/paging.ts`), for the TLB
 * keeps no page that one watches; those of instructions by the engine, which executes one instruction at a time in such a
 * page and never has it in the TLB either. Breakpoints of ports are nobody's.
 */
import { CPU_DR, DR7_ENABLED } from '../layout.ts';
import { PAGE_SIZE } from '../memory.ts';
import type { VcpuState } from './state.ts';

const DR7 = CPU_DR + 7 * 8;
/** Two bits for each: enabled locally, globally. Its kind: four bits each from bit 16 on, the lower two of them. */
const ENABLED = 3;
const KIND = 3;
const KIND_INSTRUCTION = 0;

/** True if DR7 enables any breakpoint. */
export function hasBreakpoints(state: VcpuState): boolean {
  return (state.low(DR7) & DR7_ENABLED) !== 0;
}

/** Loads debug register `n`. The TLB knows no page in which data is watched, so what it knows goes if that may change. */
export function setDebugRegister(
  state: VcpuState,
  n: number,
  low: number,
  high: number,
  tlb: { invalidateAll(): void },
): void {
  const before = hasBreakpoints(state);
  state.set(CPU_DR + n * 8, low, high);
  if (n !== 6 && (before || hasBreakpoints(state))) tlb.invalidateAll();
}

/** The breakpoints of instructions, by number, that DR7 enables and that `meets` says yes to, as DR6 shows them. */
function instructionBreakpoints(state: VcpuState, meets: (low: number, high: number) => boolean): number {
  const dr7 = state.low(DR7);
  let met = 0;
  for (let n = 0; n < 4; n++) {
    if (((dr7 >>> (2 * n)) & ENABLED) === 0 || ((dr7 >>> (16 + 4 * n)) & KIND) !== KIND_INSTRUCTION) continue;
    const at = CPU_DR + n * 8;
    if (meets(state.low(at), state.high(at))) met |= 1 << n;
  }
  return met;
}

/** The breakpoints that an instruction at a linear address meets, as DR6 shows them: bit n for DRn. */
export function breakpointsAt(state: VcpuState, low: number, high: number): number {
  if (!hasBreakpoints(state)) return 0;
  return instructionBreakpoints(state, (atLow, atHigh) => atLow === low && atHigh === high);
}

/**
 * True if an instruction that begins in the page of a linear address, or ends in the one behind it, might meet a breakpoint
 * of instructions, or has one before it.
 */
export function isNearBreakpoint(state: VcpuState, low: number, high: number): boolean {
  if (!hasBreakpoints(state)) return false;
  const page = low & -PAGE_SIZE;
  const next = (page + PAGE_SIZE) | 0;
  const nextHigh = next === 0 ? high + 1 : high;
  const meets = (atLow: number, atHigh: number): boolean => {
    const atPage = atLow & -PAGE_SIZE;
    return (atPage === page && atHigh === high) || (atPage === next && atHigh === nextHigh);
  };
  return instructionBreakpoints(state, meets) !== 0;
}
