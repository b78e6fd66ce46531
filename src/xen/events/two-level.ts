/**
 * The two-level event ABI: which bits Xen sets where when a port becomes pending.
 *
 *     shared_info                                    vcpu_info of the vCPU that the port notifies
 *     evtchn_pending [ word 0 | word 1 | … ]  --->   evtchn_pending_sel: one bit for each word
 *     evtchn_mask    [ word 0 | word 1 | … ]         evtchn_upcall_pending: look at the selector
 *                                                    evtchn_upcall_mask: but do not call me now
 *
 * A word has 64 bits for a 64-bit domain and 32 for a 32-bit one, and there are as many words as a word has bits: 4096
 * or 1024 ports. The order of the tests is Xen's (4.17, xen/common/event_2l.c): a port that is already pending raises
 * nothing again, a masked one only stays pending, and a word that is already selected needs no second upcall.
 */
import { shared_info, vcpu_info } from '../../abi/xen/structures/shared-info.ts';
import type { MachineMemory, Maddr } from '../../machine/memory.ts';

/** What event delivery needs to know of a vCPU. */
export interface EventVcpu {
  readonly id: number;
  /** Where its vcpu_info is; 0 if it has none yet. */
  readonly vcpuInfo: Maddr;
  /** What it waits for in SCHEDOP_poll: 0 nothing, -1 several ports, else one port. */
  pollPort: number;
  /** Makes it runnable if it is blocked, or has it look at its events soon if it runs. */
  wake(): void;
}

/** What event delivery needs to know of a domain. */
export interface EventDomain {
  readonly id: number;
  readonly is64: boolean;
  /** Machine address of the shared_info page. */
  readonly sharedInfo: Maddr;
  readonly vcpus: readonly EventVcpu[];
}

const UPCALL_PENDING = vcpu_info.x64.offset.evtchn_upcall_pending;
const UPCALL_MASK = vcpu_info.x64.offset.evtchn_upcall_mask;

/** Ports that a domain can have at most. */
export function portLimit(domain: EventDomain): number {
  return domain.is64 ? 4096 : 1024;
}

function pendingWords(domain: EventDomain): Maddr {
  return domain.sharedInfo + shared_info[domain.is64 ? 'x64' : 'x32'].offset.evtchn_pending;
}

function maskWords(domain: EventDomain): Maddr {
  return domain.sharedInfo + shared_info[domain.is64 ? 'x64' : 'x32'].offset.evtchn_mask;
}

/** The bits as 32-bit words: little-endian, so bit n of the 64-bit form is bit n & 31 of word n >> 5. */
function testBit(memory: MachineMemory, words: Maddr, bit: number): boolean {
  return ((memory.read32(words + (bit >>> 5) * 4) >>> (bit & 31)) & 1) !== 0;
}

function testAndSetBit(memory: MachineMemory, words: Maddr, bit: number): boolean {
  const at = words + (bit >>> 5) * 4;
  const word = memory.read32(at);
  memory.write32(at, word | (1 << (bit & 31)));
  return ((word >>> (bit & 31)) & 1) !== 0;
}

function testAndClearBit(memory: MachineMemory, words: Maddr, bit: number): boolean {
  const at = words + (bit >>> 5) * 4;
  const word = memory.read32(at);
  memory.write32(at, word & ~(1 << (bit & 31)));
  return ((word >>> (bit & 31)) & 1) !== 0;
}

export function isPending(memory: MachineMemory, domain: EventDomain, port: number): boolean {
  return testBit(memory, pendingWords(domain), port);
}

export function isMasked(memory: MachineMemory, domain: EventDomain, port: number): boolean {
  return testBit(memory, maskWords(domain), port);
}

/** Raises `port` towards `vcpu`. Returns false if it was pending already, so that nothing happened. */
export function setPending(
  memory: MachineMemory,
  domain: EventDomain,
  vcpu: EventVcpu,
  port: number,
): boolean {
  if (testAndSetBit(memory, pendingWords(domain), port)) return false;
  if (!isMasked(memory, domain, port)) select(memory, domain, vcpu, port);
  return true;
}

export function clearPending(memory: MachineMemory, domain: EventDomain, port: number): void {
  testAndClearBit(memory, pendingWords(domain), port);
}

/** Clears the mask of `port`, and raises it if it became pending meanwhile. */
export function unmask(memory: MachineMemory, domain: EventDomain, vcpu: EventVcpu, port: number): void {
  if (testAndClearBit(memory, maskWords(domain), port) && isPending(memory, domain, port)) {
    select(memory, domain, vcpu, port);
  }
}

function select(memory: MachineMemory, domain: EventDomain, vcpu: EventVcpu, port: number): void {
  if (vcpu.vcpuInfo === 0) return;
  const selector = vcpu.vcpuInfo + vcpu_info[domain.is64 ? 'x64' : 'x32'].offset.evtchn_pending_sel;
  const word = port >>> (domain.is64 ? 6 : 5);
  if (!testAndSetBit(memory, selector, word)) markEventsPending(memory, vcpu);
}

/** Asks for an upcall, and wakes the vCPU even if it has upcalls masked: it may be waiting in SCHEDOP_poll. */
export function markEventsPending(memory: MachineMemory, vcpu: EventVcpu): void {
  if (vcpu.vcpuInfo === 0) return;
  const at = vcpu.vcpuInfo + UPCALL_PENDING;
  const already = memory.read8(at) !== 0;
  memory.write8(at, 1);
  if (!already) vcpu.wake();
}

/** Whether an upcall is wanted and allowed: what Xen calls local_events_need_delivery. */
export function needsDelivery(memory: MachineMemory, vcpu: EventVcpu): boolean {
  return (
    vcpu.vcpuInfo !== 0 &&
    memory.read8(vcpu.vcpuInfo + UPCALL_PENDING) !== 0 &&
    memory.read8(vcpu.vcpuInfo + UPCALL_MASK) === 0
  );
}

/** Whether upcalls are masked. A vCPU without a vcpu_info takes none. */
export function upcallsMasked(memory: MachineMemory, vcpu: EventVcpu): boolean {
  return vcpu.vcpuInfo === 0 || memory.read8(vcpu.vcpuInfo + UPCALL_MASK) !== 0;
}

/** Sets or clears the upcall mask. */
export function setUpcallMask(memory: MachineMemory, vcpu: EventVcpu, masked: boolean): void {
  if (vcpu.vcpuInfo !== 0) memory.write8(vcpu.vcpuInfo + UPCALL_MASK, masked ? 1 : 0);
}
