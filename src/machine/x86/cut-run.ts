/** Runs that are cut short: a copy of the first instructions of one, for a budget that does not reach to its end. */
import { STEP_RECORDS } from '../layout.ts';
import type { HostAddress, MachineMemory } from '../memory.ts';
import { PSEUDO_STOP, PSEUDO_STRADDLE, REC_HANDLER, REC_HEAT, REC_RUN, RECORD_SIZE } from './record.ts';
import { handlerOf } from './tier.ts';

/** Copies the first `count` instructions of the run at `record` to STEP_RECORDS, with a STOP behind them. */
export function copyRun(memory: MachineMemory, record: HostAddress, count: number): void {
  const { u8, view } = memory;
  let from = record;
  let to = STEP_RECORDS;
  let left = count;
  for (; left > 0; from += RECORD_SIZE, to += RECORD_SIZE) {
    u8.copyWithin(to, from, from + RECORD_SIZE);
    view.setUint16(to + REC_HANDLER, handlerOf(memory, from), true);
    // A copy does not get hot: its next arrival is number 0.
    view.setUint16(to + REC_HEAT, 0xffff, true);
    if (view.getUint16(from + REC_HANDLER, true) > PSEUDO_STRADDLE) left--;
    u8[to + REC_RUN] = left + 1 < count ? left + 1 : count;
  }
  u8.copyWithin(to, from, from + RECORD_SIZE);
  view.setUint16(to + REC_HANDLER, PSEUDO_STOP, true);
  u8[to + REC_RUN] = 0;
}
