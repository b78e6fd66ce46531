/**
 * multicall: several hypercalls for the price of one trap. Each entry names a hypercall and its arguments, and gets its
 * result. Batches of page-table updates make this the hypercall that Linux uses most.
 *
 * A multicall within a multicall is -EINVAL in its entry. A sub-call that is preempted leaves its progress in its entry;
 * then, or when the whole has worked long enough, the multicall itself is preempted with the rest of the list.
 * (Xen 4.17, common/multicall.c; arch/x86/pv/hypercall.c: pv_do_multicall_call.)
 */
import { __HYPERVISOR_iret, __HYPERVISOR_multicall, XEN_EINVAL } from '../../abi/xen/numbers/index.ts';
import { multicall_entry } from '../../abi/xen/structures/index.ts';
import { type Gva, PAGE_SIZE } from '../../machine/memory.ts';
import type { XenVcpu } from '../vcpu.ts';
import type { HypercallArguments } from './arguments.ts';
import { CONTINUE, HYPERCALL_COUNT, type HypercallFamily, NO_RESULT } from './dispatch.ts';

const X64 = multicall_entry.x64;
const X32 = multicall_entry.x32;
/** Of the six argument words Xen uses five. */
const ARGUMENTS = 5;

function multicall(vcpu: XenVcpu, args: HypercallArguments): number {
  if (vcpu.inMulticall) return -XEN_EINVAL;
  vcpu.inMulticall = true;
  try {
    return runList(vcpu, args);
  } finally {
    vcpu.inMulticall = false;
  }
}

function runList(vcpu: XenVcpu, args: HypercallArguments): number {
  const { domain, multicallArgs } = vcpu;
  const layout = domain.is64 ? X64 : X32;
  const count = args.u32(1);
  let at = args.gva(0);
  for (let i = 0; i < count; i++) {
    // Something else wants to run, or this vCPU has just been put to sleep by an entry.
    if (i > 0 && (vcpu.preemptionDue() || !vcpu.runnable)) return preempt(args, at, count - i);
    const op = readEntry(vcpu, at);
    const result = domain.hypercalls.call(vcpu, op, multicallArgs);
    vcpu.noteMulticallEntry(op, result);
    // The registers are another mode's now: there is nobody to give results to.
    if (op === __HYPERVISOR_iret || result === NO_RESULT) return NO_RESULT;
    if (result === CONTINUE) {
      writeArguments(vcpu, at);
      return preempt(args, at, count - i);
    }
    writeWord(vcpu, at + layout.offset.result, result | 0, Math.floor(result / 4294967296) | 0);
    at += layout.size;
  }
  return 0;
}

function preempt(args: HypercallArguments, at: Gva, left: number): number {
  args.set(0, at);
  args.set(1, left);
  return CONTINUE;
}

/** Reads an entry's arguments into `multicallArgs` and returns its number; HYPERCALL_COUNT for one out of range. */
function readEntry(vcpu: XenVcpu, at: Gva): number {
  const { guest, domain, multicallArgs } = vcpu;
  if (!domain.is64) {
    for (let i = 0; i < ARGUMENTS; i++)
      multicallArgs.setHalves(i, guest.read32(at + X32.offset.args + i * 4), 0);
    return Math.min(guest.readU32(at + X32.offset.op), HYPERCALL_COUNT);
  }
  const offset = (at | 0) & (PAGE_SIZE - 1);
  if ((offset & 3) !== 0 || offset + X64.size > PAGE_SIZE) return readSplitEntry(vcpu, at);
  const { i32 } = domain.host.memory;
  const word = guest.host(at, false) >>> 2;
  const first = word + X64.offset.args / 4;
  for (let i = 0; i < ARGUMENTS; i++) {
    multicallArgs.low[i] = i32[first + i * 2]!;
    multicallArgs.high[i] = i32[first + i * 2 + 1]!;
  }
  return opNumber(i32[word]!, i32[word + 1]!);
}

/** An entry that lies in two pages. */
function readSplitEntry(vcpu: XenVcpu, at: Gva): number {
  const { guest, multicallArgs } = vcpu;
  for (let i = 0; i < ARGUMENTS; i++) {
    const word = at + X64.offset.args + i * 8;
    multicallArgs.setHalves(i, guest.read32(word), guest.read32(word + 4));
  }
  return opNumber(guest.read32(at), guest.read32(at + 4));
}

function opNumber(low: number, high: number): number {
  return high !== 0 || low >>> 0 > HYPERCALL_COUNT ? HYPERCALL_COUNT : low;
}

/** Puts the arguments of a preempted sub-call back into its entry. */
function writeArguments(vcpu: XenVcpu, at: Gva): void {
  const { domain, multicallArgs } = vcpu;
  const layout = domain.is64 ? X64 : X32;
  const wordBytes = domain.is64 ? 8 : 4;
  for (let i = 0; i < ARGUMENTS; i++) {
    writeWord(vcpu, at + layout.offset.args + i * wordBytes, multicallArgs.low[i]!, multicallArgs.high[i]!);
  }
}

function writeWord(vcpu: XenVcpu, at: Gva, low: number, high: number): void {
  if (vcpu.domain.is64) vcpu.guest.write64(at, low, high);
  else vcpu.guest.write32(at, low);
}

export const handlers: HypercallFamily = { [__HYPERVISOR_multicall]: multicall };
