/**
 * Traces as text: one line for each happening, with the names of the public headers in place of numbers.
 *
 *     d1v0 event_channel_op(EVTCHNOP_send, 0xffffffff80003fb8) = 0
 *     d1v0 trap 14 #PF error 0x6 address 0xffff888003200000 rip 0xffffffff81c0a2b4
 *     d1v0 port 2 pending
 */
import { commandName, HYPERCALLS } from '../abi/xen/hypercall-table.ts';
import * as errno from '../abi/xen/numbers/errno.ts';
import type { Vcpu } from '../hypervisor/domain.ts';
import type { TraceSink } from '../hypervisor/trace.ts';
import type { Gva } from '../machine/memory.ts';
import { hex } from './hex.ts';

const EXCEPTIONS = '#DE #DB NMI #BP #OF #BR #UD #NM #DF 9 #TS #NP #SS #GP #PF 15 #MF #AC #MC #XM'.split(' ');
const PAGE_FAULT = 14;
/** Those that push an error code: 8, 10 to 14 and 17. */
const WITH_ERROR_CODE = 0x27d00;

const byName = new Map(HYPERCALLS.map((hypercall) => [hypercall.name, hypercall]));

const errorNames = new Map(
  Object.entries(errno)
    .filter(([, value]) => typeof value === 'number')
    .map(([name, value]) => [value as number, name.replace(/^XEN_/, '')]),
);

/** A sink that renders what happens and passes each line to `onLine`. */
export function textTrace(onLine: (line: string) => void): TraceSink {
  return {
    hypercall: (vcpu, name, args, result) =>
      onLine(`${vcpuName(vcpu)} ${name}(${argumentsText(name, args)})${resultText(result)}`),
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

/** The command, where the first argument is one, and the rest in hexadecimal. */
export function argumentsText(name: string, args: readonly number[]): string {
  const hypercall = byName.get(name);
  const texts = args.map(hex);
  if (
    hypercall !== undefined &&
    hypercall.commands.length > 0 &&
    hypercall.commandMask !== 0 &&
    args.length > 0
  ) {
    texts[0] = commandName(hypercall.number, (args[0]! & hypercall.commandMask) >>> 0);
  }
  return texts.join(', ');
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
