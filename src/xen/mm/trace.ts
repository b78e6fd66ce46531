/** Page-table updates in words, for whoever watches. Nothing here runs unless somebody does. */
import * as numbers from '../../abi/xen/numbers/mmu.ts';
import type { Gva, Mfn } from '../../machine/memory.ts';
import { formatGva } from '../../machine/x86/guest-memory.ts';
import {
  HIGH_GUEST_KERNEL,
  HIGH_NX,
  PAGE_ACCESSED,
  PAGE_DIRTY,
  PAGE_GLOBAL,
  PAGE_PRESENT,
  PAGE_PSE,
  PAGE_RW,
  PAGE_USER,
} from './page-info.ts';

/** Where updates are reported, and whether anybody wants them; `Trace` of `hypervisor/` is one. */
export interface UpdateTrace {
  readonly pageTables: boolean;
  readonly sink: { pageTable(vcpu: object, what: string): void };
}

export const NO_TRACE: UpdateTrace = { pageTables: false, sink: { pageTable() {} } };

const FLAG_NAMES: readonly (readonly [number, string])[] = [
  [PAGE_PRESENT, 'P'],
  [PAGE_RW, 'RW'],
  [PAGE_USER, 'U'],
  [0x008, 'PWT'],
  [0x010, 'PCD'],
  [PAGE_ACCESSED, 'A'],
  [PAGE_DIRTY, 'D'],
  [PAGE_PSE, 'PSE'],
  [PAGE_GLOBAL, 'G'],
];

const EXTENDED_NAMES: string[] = [];
for (const [name, number] of Object.entries(numbers)) {
  if (name.startsWith('MMUEXT_')) EXTENDED_NAMES[number] = name.slice('MMUEXT_'.length).toLowerCase();
}

/** `1a3 P RW A D NX` for an entry; `0` for an empty one. */
export function describeEntry(low: number, high: number): string {
  if ((low | high) === 0) return '0';
  const mfn = (high & 0xfffff) * 0x100000 + (low >>> 12);
  const flags = FLAG_NAMES.filter(([bit]) => (low & bit) !== 0).map(([, name]) => name);
  if ((high & HIGH_GUEST_KERNEL) !== 0) flags.push('K');
  if ((high & HIGH_NX) !== 0) flags.push('NX');
  return [mfn.toString(16), ...flags].join(' ');
}

function outcome(error: number): string {
  return error === 0 ? '' : ` refused: ${error}`;
}

/** A request of mmu_update. `ptr` is the machine address with the command in its low bits. */
export function traceRequest(
  trace: UpdateTrace,
  vcpu: object,
  words: Int32Array,
  level: number,
  error: number,
): void {
  const [ptrLow, ptrHigh, low, high] = words as unknown as [number, number, number, number];
  const mfn = (ptrHigh * 0x100000 + (ptrLow >>> 12)).toString(16);
  const what =
    (ptrLow & 7) === numbers.MMU_MACHPHYS_UPDATE
      ? `m2p[${mfn}] = ${((high >>> 0) * 4294967296 + (low >>> 0)).toString(16)}`
      : `l${level} ${mfn}[${(ptrLow & 0xfff) >>> 3}] = ${describeEntry(low, high)}`;
  trace.sink.pageTable(vcpu, `mmu_update ${what}${outcome(error)}`);
}

/** An entry that was changed by its address: `kind` says how. */
export function traceAddress(
  trace: UpdateTrace,
  vcpu: object,
  kind: string,
  gva: Gva,
  low: number,
  high: number,
  error: number,
): void {
  trace.sink.pageTable(vcpu, `${kind} ${formatGva(gva)} = ${describeEntry(low, high)}${outcome(error)}`);
}

/** An operation of mmuext_op; `mfn` is its first argument. */
export function traceExtended(
  trace: UpdateTrace,
  vcpu: object,
  command: number,
  mfn: Mfn,
  error: number,
): void {
  const name = EXTENDED_NAMES[command] ?? `command ${command}`;
  trace.sink.pageTable(vcpu, `mmuext_op ${name} ${(mfn >>> 0).toString(16)}${outcome(error)}`);
}
