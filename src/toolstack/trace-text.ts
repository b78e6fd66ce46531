/**
 * Traces as text: one line for each happening, with the names of the public headers in place of numbers.
 *
 *     d1v0 event_channel_op(EVTCHNOP_send, 0xffffffff80003fb8 {port 2}) = 0
 *     d1v0 mmuext_op(0xffffffff80110580 {MMUEXT_PIN_L4_TABLE, mfn 0x3da, …}, 2, 0x0, DOMID_SELF) = 0
 *     d1v0 trap 14 #PF error 0x6 address 0xffff888003200000 rip 0xffffffff81c0a2b4
 *     d1v0 port 2 pending
 */
import { argumentKinds } from '../abi/xen/hypercall-arguments.ts';
import { commandName, HYPERCALLS } from '../abi/xen/hypercall-table.ts';
import * as callback from '../abi/xen/numbers/callback.ts';
import * as domain from '../abi/xen/numbers/domain.ts';
import * as errno from '../abi/xen/numbers/errno.ts';
import * as eventChannel from '../abi/xen/numbers/event_channel.ts';
import * as sched from '../abi/xen/numbers/sched.ts';
import type { Vcpu } from '../hypervisor/domain.ts';
import type { TracedStructure, TraceSink } from '../hypervisor/trace.ts';
import type { Gva } from '../machine/memory.ts';
import { hex } from './hex.ts';

const EXCEPTIONS = '#DE #DB NMI #BP #OF #BR #UD #NM #DF 9 #TS #NP #SS #GP #PF 15 #MF #AC #MC #XM'.split(' ');
const PAGE_FAULT = 14;
/** Those that push an error code: 8, 10 to 14 and 17. */
const WITH_ERROR_CODE = 0x27d00;

const byName = new Map(HYPERCALLS.map((hypercall) => [hypercall.name, hypercall]));

const errorNames = namesOf(errno, /^XEN_/, 'XEN_');
const domainNames = namesOf(domain, /^DOMID_(?!FIRST|MASK)/);

/** Fields of structures whose values have names. */
const FIELD_NAMES: Readonly<Record<string, ReadonlyMap<number, string>>> = {
  dom: domainNames,
  remote_dom: domainNames,
  domid: domainNames,
  reason: namesOf(sched, /^SHUTDOWN_(?!MAX)/),
  virq: namesOf(eventChannel, /^VIRQ_/),
  type: namesOf(callback, /^CALLBACKTYPE_/),
};
/** Fields that people know in hexadecimal: addresses, frames and sets of bits. */
const IN_HEX = /addr|eip|cs$|mfn|gfn|v_start|v_end|flags|submap$/;

function namesOf(
  module: Readonly<Record<string, number>>,
  names: RegExp,
  prefix = '',
): ReadonlyMap<number, string> {
  const named = Object.entries(module).filter(([name]) => names.test(name));
  return new Map(named.map(([name, value]) => [value, name.slice(prefix.length)]));
}

/** A sink that renders what happens and passes each line to `onLine`. */
export function textTrace(onLine: (line: string) => void): TraceSink {
  return {
    hypercall: (vcpu, name, args, result, structure) =>
      onLine(`${vcpuName(vcpu)} ${name}(${argumentsText(name, args, structure)})${resultText(result)}`),
    // The registers are still those at which it happened.
    trap: (vcpu, vector, error, address) =>
      onLine(`${vcpuName(vcpu)} ${trapText(vector, error, address)} rip ${hex(vcpu.state.rip)}`),
    event: (vcpu, what) => onLine(vcpu === undefined ? what : `${vcpuName(vcpu)} ${what}`),
    pageTable: (vcpu, what) => onLine(`${vcpuName(vcpu)} ${what}`),
  };
}

/** As Xen's own log: domain 1, vCPU 0 is d1v0. */
function vcpuName(vcpu: Vcpu): string {
  return `d${vcpu.domain.id}v${vcpu.id}`;
}

/** Each argument after its kind, and behind a pointer what it points to, if that is known. */
export function argumentsText(name: string, args: readonly number[], structure?: TracedStructure): string {
  const hypercall = byName.get(name);
  // The longer form is that of a 32-bit guest.
  const wide = argumentKinds(name, 'x64') ?? '';
  const kinds = args.length > wide.length ? (argumentKinds(name, 'x32') ?? '') : wide;
  const texts = args.map((value, i) => {
    switch (kinds[i]) {
      case 'c':
        return commandName(hypercall!.number, (value & hypercall!.commandMask) >>> 0);
      case 'n':
        return countText(value);
      case 'd':
        return domainNames.get(value) ?? countText(value);
      default:
        return hex(value);
    }
  });
  if (structure !== undefined) {
    const fields = structure.fields.map(([field, value]) => fieldText(hypercall?.number ?? 0, field, value));
    if (structure.more) fields.push('…');
    if (fields.length > 0) texts[structure.argument] += ` {${fields.join(', ')}}`;
  }
  return texts.join(', ');
}

/** A command says by itself what it is. */
function fieldText(hypercall: number, field: string, value: number): string {
  if (field === 'cmd') return commandName(hypercall, value);
  return `${field} ${FIELD_NAMES[field]?.get(value) ?? (IN_HEX.test(field) ? hex(value) : countText(value))}`;
}

/** What has its highest bits set is no count, and what a double cannot hold is none to read. */
function countText(value: number): string {
  return value >= 0 && Number.isSafeInteger(value) ? String(value) : hex(value);
}

/** ` = 0`, ` = -ENOSYS`; nothing for a hypercall that did not return. */
export function resultText(result: number | undefined): string {
  if (result === undefined) return '';
  const name = result < 0 ? errorNames.get(-result) : undefined;
  if (name !== undefined) return ` = -${name}`;
  return ` = ${Math.abs(result) < 4096 ? result : hex(result)}`;
}

function trapText(vector: number, error: number, address: Gva): string {
  const name = EXCEPTIONS[vector];
  const what = name === undefined ? `interrupt ${hex(vector)}` : `trap ${vector} ${name}`;
  const code = ((WITH_ERROR_CODE >>> vector) & 1) !== 0 && vector < 32 ? ` error ${hex(error)}` : '';
  return `${what}${code}${vector === PAGE_FAULT ? ` address ${hex(address)}` : ''}`;
}
