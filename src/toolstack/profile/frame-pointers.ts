/**
 * Unwinding by frame pointers, where code keeps them: RBP points at the caller's RBP, and above that stands the address that the
 * function returns to. Code that uses RBP for other things is told by what it does not point to.
 */
import type { Gva } from '../../machine/memory.ts';
import type { QuietMemory } from '../../machine/x86/quiet-memory.ts';
import type { Place } from './orc.ts';

/** A frame is not larger than this. */
const LARGEST_FRAME = 1 << 20;
const NEAR_CALL = 0xe8;
const GROUP_5 = 0xff;
/** Lengths of `call r/m`: opcode, ModRM, perhaps SIB, displacement and REX. */
const INDIRECT_LENGTHS = [2, 3, 4, 6, 7] as const;

/** Where the caller stands; undefined where there is no plausible one. */
export function callerByFramePointer({ rsp, rbp, user }: Place, memory: QuietMemory): Place | undefined {
  if (!(rbp >= rsp && rbp - rsp < LARGEST_FRAME) || rbp % 8 !== 0) return undefined;
  const rip = memory.word(rbp + 8);
  const outer = memory.word(rbp);
  if (Number.isNaN(rip) || Number.isNaN(outer) || (user && rip < 0)) return undefined;
  if (!isAfterCall(rip, memory)) return undefined;
  return { rip, rsp: rbp + 16, rbp: outer, exact: false, user };
}

/** True if the instruction before an address may be a call. */
function isAfterCall(address: Gva, memory: QuietMemory): boolean {
  const bytes = new Uint8Array(7);
  if (!memory.read(address - bytes.length, bytes)) return false;
  if (bytes[2] === NEAR_CALL) return true;
  return INDIRECT_LENGTHS.some((length) => {
    const at = bytes.length - length;
    return bytes[at] === GROUP_5 && ((bytes[at + 1]! >> 3) & 7) === 2;
  });
}
