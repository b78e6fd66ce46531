/**
 * IRET within 64-bit mode to the segments that are loaded already: what a kernel does to serialize its instructions, some
 * hundred thousand times while it boots. `system.ts` has the instruction as a whole; this is its well-trodden path, in 32-bit
 * halves, and it declines wherever anything else than a plain return could come of it.
 */
import { CPU_ALIGN, CPU_RIP } from '../layout.ts';
import { PAGE_SIZE } from '../memory.ts';
import { hasBreakpoints } from './breakpoints.ts';
import { parseDescriptor } from './descriptor.ts';
import { CS, FLAG_IF, FLAG_IOPL, FLAG_RF, FLAG_VM, RSP, SS } from './registers.ts';
import type { VcpuState } from './state.ts';
import type { SystemHost } from './system-operands.ts';

/** Bytes of the frame: RIP, CS, RFLAGS, RSP, SS. */
const FRAME = 40;

/** RFLAGS after a return that popped `flags`, made at privilege `cpl` with this operand size (bytes). */
export function returnedFlags(cpu: VcpuState, flags: number, cpl: number, size: number): number {
  const { rflags } = cpu;
  let keep = FLAG_VM;
  if (cpl > 0) keep |= FLAG_IOPL;
  if (cpl > ((rflags >> 12) & 3)) keep |= FLAG_IF;
  if (size === 2) keep |= ~0xffff | 0;
  // RF is gone after one instruction; all it holds off is a breakpoint at that.
  const permitted = hasBreakpoints(cpu) ? 0x3f7fd7 : 0x3f7fd7 & ~FLAG_RF;
  return (((flags & ~keep) | (rflags & keep)) & permitted) | 2;
}

/** Performs the IRET of 8-byte operands that RIP stands at; false, with nothing done, if it is not such a one. */
export function returnToSameSegments(host: SystemHost): boolean {
  const { cpu, memory } = host;
  const low = cpu.regLow(RSP);
  if (!cpu.longMode || (low & (PAGE_SIZE - 1)) > PAGE_SIZE - FRAME) return false;
  if ((low & 3) !== 0 || ((low & 7) !== 0 && cpu.low(CPU_ALIGN) !== 0)) return false;
  const at = host.translate(low, cpu.regHigh(RSP), false) >>> 2;
  if (at === 0) return false;
  const { u32 } = memory;
  const cs = u32[at + 2]! & 0xffff;
  const ss = u32[at + 8]! & 0xffff;
  const { cpl } = cpu;
  if (cs !== cpu.selector(CS) || ss !== cpu.selector(SS) || (cs & 3) !== cpl) return false;
  const ripHigh = u32[at + 1]! | 0;
  if (ripHigh >> 15 !== 0 && ripHigh >> 15 !== -1) return false;
  if (!isLoaded(host, CS, cs) || !isLoaded(host, SS, ss)) return false;
  const flags = returnedFlags(cpu, u32[at + 4]!, cpl, 8);
  cpu.set(CPU_RIP, u32[at]! | 0, ripHigh);
  cpu.setReg(RSP, u32[at + 6]! | 0, u32[at + 7]! | 0);
  cpu.rflags = flags;
  return true;
}

/** Whether loading the selector would leave the segment register as it is. */
function isLoaded({ cpu, hooks }: SystemHost, segment: number, selector: number): boolean {
  if ((selector & 0xfffc) === 0) return false;
  const words = hooks.readDescriptor(selector);
  if (words === undefined) return false;
  const { attributes, limit, base } = parseDescriptor(words.low, words.high);
  return (
    attributes === cpu.attributes(segment) &&
    limit === cpu.limit(segment) &&
    base === cpu.segmentBase(segment)
  );
}
