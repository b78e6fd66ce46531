/** A place of a guest that somebody wants to look at: what it means as an address, and what the engine holds for it. */
import type { Domain } from '../hypervisor/domain.ts';
import type { Gva } from '../machine/memory.ts';
import type { Inspector } from '../machine/x86/inspection.ts';
import type { Disassembler } from './crash-text.ts';
import { hex64 } from './hex.ts';
import type { SymbolTable } from './images/index.ts';
import { inspectionText } from './inspection-text.ts';
import { quoted } from './quoted.ts';

const TWO_32 = 4294967296;
const ADDRESS = /^(?:0x([0-9a-f]{1,16})|([0-9a-f]{16}))$/i;
const SYMBOL = /^(.*?)(?:\+(0x[0-9a-f]+|\d+))?$/i;

/** The address that a text means: see `Domain.inspect`; undefined if it means none. */
export function addressOf(text: string, symbols: SymbolTable, rip: Gva): Gva | undefined {
  if (text === 'rip') return rip;
  const digits = ADDRESS.exec(text);
  if (digits !== null) {
    const all = (digits[1] ?? digits[2]!).padStart(16, '0');
    return (Number.parseInt(all.slice(0, 8), 16) | 0) * TWO_32 + Number.parseInt(all.slice(8), 16);
  }
  const [, name = '', offset = '0'] = SYMBOL.exec(text) ?? [];
  const start = symbols.addressOf(name);
  return start === undefined ? undefined : start + Number(offset);
}

/** The lines for one place of a domain, seen from its first vCPU. */
export function inspectDomain(
  { state: life, vcpus }: Domain,
  inspector: Inspector,
  symbols: SymbolTable,
  place: string,
  disassemble?: Disassembler,
): string[] {
  const [vcpu] = vcpus;
  if (vcpu === undefined || life === 'destroyed') return [`${quoted(place)}: the guest is gone`];
  const { state } = vcpu;
  const address = addressOf(place, symbols, state.rip);
  if (address === undefined) return [`${quoted(place)}: neither an address (0x…) nor a symbol of the kernel`];
  const found = inspector.inspect(state, address < 0 ? vcpu.kernelRoot : state.cr3, address);
  if (typeof found === 'string') return [`${hex64(address)}: ${found}`];
  return inspectionText(found, { symbols, calls: inspector.calls, disassemble });
}
