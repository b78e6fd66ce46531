/** The last hypercalls of a vCPU, kept for the report of a crash: a ring in typed arrays, so that keeping it is cheap. */
import type { Abi } from '../abi/xen/layout.ts';
import type { HypercallRecord } from '../hypervisor/crash-report.ts';
import type { HypercallArguments } from './hypercalls/arguments.ts';
import { CONTINUE, NO_RESULT } from './hypercalls/dispatch.ts';
import { hypercallName } from './hypercalls/names.ts';
import { TRACED_ARGUMENTS, tracedArguments } from './hypercalls/traced.ts';

const LENGTH = 16;
const TWO_32 = 4294967296;

export class HypercallTrail {
  private readonly numbers = new Uint8Array(LENGTH);
  private readonly words = new Int32Array(LENGTH * TRACED_ARGUMENTS * 2);
  private readonly results = new Float64Array(LENGTH);
  private next = 0;
  private count = 0;

  begin(number: number, args: HypercallArguments): void {
    const slot = this.next;
    this.numbers[slot] = number;
    for (let i = 0; i < TRACED_ARGUMENTS; i++) {
      const at = (slot * TRACED_ARGUMENTS + i) * 2;
      this.words[at] = args.low[i]!;
      this.words[at + 1] = args.high[i]!;
    }
    this.results[slot] = NO_RESULT;
    this.next = (slot + 1) % LENGTH;
    if (this.count < LENGTH) this.count++;
  }

  /** The result of the last one begun. */
  end(result: number): void {
    this.results[(this.next + LENGTH - 1) % LENGTH] = result;
  }

  /** Oldest first, each with the arguments that a call of this width takes. */
  records(abi: Abi): HypercallRecord[] {
    const records: HypercallRecord[] = [];
    for (let i = 0; i < this.count; i++) {
      const slot = (this.next + LENGTH - this.count + i) % LENGTH;
      const args: number[] = [];
      for (let j = 0; j < TRACED_ARGUMENTS; j++) {
        const at = (slot * TRACED_ARGUMENTS + j) * 2;
        args.push(this.words[at + 1]! * TWO_32 + (this.words[at]! >>> 0));
      }
      const number = this.numbers[slot]!;
      const result = this.results[slot]!;
      records.push({
        number,
        name: hypercallName(number),
        arguments: tracedArguments(number, args, abi),
        result: result === NO_RESULT || result === CONTINUE ? undefined : result,
      });
    }
    return records;
  }
}
