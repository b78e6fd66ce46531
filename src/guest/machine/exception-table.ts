/** What a trap handler asks first: whether the instruction that faulted was one that may (`probe…` of memory.ts). */
import { exceptionsEnd, exceptionsStart } from './image';
import { TrapFrame } from './trap-frame';

/** Lets a probing access that faulted go on with its failure. False: it was no such instruction. */
export function fixException(frame: usize): bool {
  const registers = changetype<TrapFrame>(frame);
  for (let entry = exceptionsStart(); entry < exceptionsEnd(); entry += 8) {
    if (<u64>(<i64>load<i32>(entry)) != registers.rip) continue;
    registers.rip = <u64>(<i64>load<i32>(entry + 4));
    return true;
  }
  return false;
}
