/**
 * Which exception an operand raises that no address space has, or no segment: a non-canonical one in 64-bit mode, one that
 * reaches beyond 4 GiB outside it: #SS(0) if it was addressed through the stack segment, by PUSH and its
 * kin or with rsp or rbp as the base, #GP(0) otherwise (Intel SDM 3A, 6.15, interrupt 12). The page walk knows only the
 * address, so the question is asked here, after the fact.
 */
import { CPU, CPU_EXIT_ADDRESS, CPU_LONG, CPU_OFFSET_MASKS, SEG_SLOT_SIZE } from '../layout.ts';
import type { HostAddress, MachineMemory } from '../memory.ts';
import { REC_DISPLACEMENT, REC_INDEX, REC_MASK, REC_RM, REC_SCALE, REC_SEGMENT } from './record.ts';
import { RBP, RSP, SS } from './registers.ts';
import type { Variant } from './variants.ts';

const USES_STACK = /^(PUSH|POP|CALL|RET|ENTER|LEAVE|PUSHF|POPF|PUSHA|POPA|CALLF|RETF|IRET)$/;
/** An operand of at most this many bytes may begin before the address that faulted. */
const OPERAND_LIMIT = 16n;

/** True if the address in CPU_EXIT_ADDRESS is not canonical, or beyond 4 GiB outside 64-bit mode. */
export function isBeyond(memory: MachineMemory): boolean {
  const high = memory.i32[(CPU + CPU_EXIT_ADDRESS + 4) >> 2]!;
  if (memory.i32[(CPU + CPU_LONG) >> 2] === 0) return high !== 0;
  return (high << 16) >> 16 !== high;
}

/** True if the instruction at `record`, which faulted on CPU_EXIT_ADDRESS, addressed the stack with it. */
export function addressedStack(memory: MachineMemory, record: HostAddress, variant: Variant): boolean {
  const { u8 } = memory;
  const implicit = USES_STACK.test(variant.definition.mnemonic);
  if (!variant.shape.memory) return implicit;
  if (u8[record + REC_SEGMENT] === (1 + SS) * SEG_SLOT_SIZE) return true;
  if (implicit && !isExplicitOperand(memory, record)) return true;
  const base = u8[record + REC_RM]!;
  return u8[record + REC_SEGMENT] === 0 && (base === RSP * 8 || base === RBP * 8);
}

/** True if the faulting address belongs to the operand that ModRM names. */
function isExplicitOperand(memory: MachineMemory, record: HostAddress): boolean {
  const { u8, view } = memory;
  const register = (offset: number): bigint => view.getBigUint64(CPU + u8[record + offset]!, true);
  const scaled = register(REC_INDEX) << BigInt(u8[record + REC_SCALE]!);
  const displacement = BigInt(view.getInt32(record + REC_DISPLACEMENT, true));
  const mask = view.getBigUint64(CPU + CPU_OFFSET_MASKS + u8[record + REC_MASK]!, true);
  const address = (register(REC_RM) + scaled + displacement) & mask;
  const faulted = view.getBigUint64(CPU + CPU_EXIT_ADDRESS, true);
  return BigInt.asUintN(64, faulted - address) < OPERAND_LIMIT;
}
