/** The names of the hypercalls, as traces, counters and crash reports show them. */
import * as numbers from '../../abi/xen/numbers/hypercalls.ts';

const PREFIX = '__HYPERVISOR_';

const NAMES: string[] = [];
for (const [name, number] of Object.entries(numbers)) {
  if (name.startsWith(PREFIX)) NAMES[number] = name.slice(PREFIX.length);
}

/** `mmu_update` for 1; `hypercall_11` for a number without a name. */
export function hypercallName(number: number): string {
  return NAMES[number] ?? `hypercall_${number}`;
}
