/**
 * The ways into the hypervisor that are measured: for each the code that goes that way once. `guest.ts` puts a loop
 * and a clock around it, and says which registers and which data a body may use.
 */

import { FLAT_KERNEL_SS, SEGBASE_GS_USER } from '../../src/abi/xen/numbers/arch-x86_64.ts';
import { CALLBACKOP_register } from '../../src/abi/xen/numbers/callback.ts';
import { DOMID_SELF } from '../../src/abi/xen/numbers/domain.ts';
import { XEN_ENOSYS } from '../../src/abi/xen/numbers/errno.ts';
import { EVTCHNOP_send, EVTCHNOP_unmask } from '../../src/abi/xen/numbers/event_channel.ts';
import * as hypercalls from '../../src/abi/xen/numbers/hypercalls.ts';
import { XENMEM_maximum_reservation } from '../../src/abi/xen/numbers/memory.ts';
import { UVMF_INVLPG } from '../../src/abi/xen/numbers/mmu.ts';
import { SCHEDOP_yield } from '../../src/abi/xen/numbers/sched.ts';
import { VCPUOP_get_runstate_info, VCPUOP_stop_singleshot_timer } from '../../src/abi/xen/numbers/vcpu.ts';
import { XENVER_version } from '../../src/abi/xen/numbers/version.ts';
import { shared_info, vcpu_info } from '../../src/abi/xen/structures/shared-info.ts';
import {
  type Assembler,
  at,
  R8,
  R10,
  R14,
  RAX,
  RBP,
  RBX,
  RDI,
  RDX,
  type Register,
  RSI,
} from '../../src/guest/tiny/assembler.ts';

/** Where RBP, that is shared_info, has the first vCPU's mask. */
export const UPCALL_MASK = shared_info.x64.offset.vcpu_info + vcpu_info.x64.offset.evtchn_upcall_mask;
/** No page of the guest is here. */
const UNMAPPED = 0x1000;

/** How many entries the guest's batches hold: what fork and exec typically hand over at once. */
export const BATCH = 32;
/** How many calls its multicall holds. */
export const CALLS = 8;

export interface Kind {
  /** What the table says. */
  readonly title: string;
  /** How often it goes its way in one run. */
  readonly iterations: number;
  /** Into how many equal parts one iteration's time is divided. */
  readonly parts?: number;
  /** What RAX must hold in the end: 0 unless said, and undefined where that says nothing. */
  readonly answer?: number | undefined;
  /** Runs in user mode. */
  readonly user?: boolean;
  /** Once before the loop, and once after it. */
  readonly before?: (a: Assembler) => void;
  readonly after?: (a: Assembler) => void;
  readonly body: (a: Assembler) => void;
}

/** An argument: a number, the address of a label, a register, or what lies at a label. */
export type Argument =
  | number
  | { readonly address: string }
  | { readonly value: string }
  | { readonly register: Register };

const ARGUMENT_REGISTERS = [RDI, RSI, RDX, R10, R8] as const;

/** Loads the arguments and issues a hypercall. RAX, RCX, R11 are lost, and the arguments' registers. */
export function hypercall(a: Assembler, number: number, ...list: readonly Argument[]): void {
  list.forEach((argument, i) => {
    const to = ARGUMENT_REGISTERS[i]!;
    if (typeof argument === 'number') a.movImmediate(to, argument);
    else if ('address' in argument) a.lea(to, argument.address);
    else if ('value' in argument) a.load(to, argument.value);
    else a.mov(to, argument.register);
  });
  a.movImmediate(RAX, number);
  a.syscall();
}

const simple = (title: string, number: number, ...list: Argument[]): Kind => ({
  title,
  iterations: 60_000,
  body: (a) => hypercall(a, number, ...list),
});

const mmuUpdate = (request: string, count: number) => (a: Assembler) =>
  hypercall(a, hypercalls.__HYPERVISOR_mmu_update, { address: request }, count, 0, DOMID_SELF);

const mmuext =
  (operation: string, count = 1) =>
  (a: Assembler) =>
    hypercall(a, hypercalls.__HYPERVISOR_mmuext_op, { address: operation }, count, 0, DOMID_SELF);

const updateMapping = (entry: Argument) => (a: Assembler) =>
  hypercall(a, hypercalls.__HYPERVISOR_update_va_mapping, { address: 'scratch' }, entry, UVMF_INVLPG);

const both = (first: (a: Assembler) => void, second: (a: Assembler) => void) => (a: Assembler) => {
  first(a);
  second(a);
};

/** Whether events wait (1) or reach the vCPU (0). */
const maskEvents = (mask: number) => (a: Assembler) => a.store8Immediate(at(RBP, UPCALL_MASK), mask);

/** What the loop costs by itself: taken off from all the others. */
export const EMPTY: Kind = {
  title: 'the loop itself',
  iterations: 1_000_000,
  answer: undefined,
  body: () => {},
};

export const KINDS: readonly Kind[] = [
  { ...simple('xen_version', hypercalls.__HYPERVISOR_xen_version, XENVER_version, 0), answer: 0x40011 },
  { ...simple('a hypercall that nobody handles', 63), answer: -XEN_ENOSYS },
  simple('sched_op: yield', hypercalls.__HYPERVISOR_sched_op, SCHEDOP_yield, 0),
  simple('set_timer_op: none', hypercalls.__HYPERVISOR_set_timer_op, 0),
  simple('vcpu_op: get_runstate_info', hypercalls.__HYPERVISOR_vcpu_op, VCPUOP_get_runstate_info, 0, {
    address: 'runstate',
  }),
  simple(
    'vcpu_op: stop_singleshot_timer',
    hypercalls.__HYPERVISOR_vcpu_op,
    VCPUOP_stop_singleshot_timer,
    0,
    0,
  ),
  {
    ...simple(
      'memory_op: maximum_reservation',
      hypercalls.__HYPERVISOR_memory_op,
      XENMEM_maximum_reservation,
      {
        address: 'self',
      },
    ),
    answer: undefined,
  },
  simple('callback_op: register', hypercalls.__HYPERVISOR_callback_op, CALLBACKOP_register, {
    address: 'callback',
  }),
  simple('stack_switch', hypercalls.__HYPERVISOR_stack_switch, FLAT_KERNEL_SS, { address: 'kernel_stack' }),
  simple('set_segment_base: GS of the user', hypercalls.__HYPERVISOR_set_segment_base, SEGBASE_GS_USER, 0),
  simple('fpu_taskswitch', hypercalls.__HYPERVISOR_fpu_taskswitch, 0),
  simple('event_channel_op: unmask', hypercalls.__HYPERVISOR_event_channel_op, EVTCHNOP_unmask, {
    address: 'port',
  }),
  {
    ...simple(
      'event_channel_op: send, events masked',
      hypercalls.__HYPERVISOR_event_channel_op,
      EVTCHNOP_send,
      {
        address: 'port',
      },
    ),
    before: maskEvents(1),
  },
  {
    ...simple('an event: send, upcall, iret', hypercalls.__HYPERVISOR_event_channel_op, EVTCHNOP_send, {
      address: 'port',
    }),
    before: maskEvents(0),
    after: maskEvents(1),
  },
  {
    title: 'iret, kernel to kernel',
    iterations: 60_000,
    body: (a) => a.call('iret_here'),
  },
  {
    title: 'an exception in the kernel (#UD): bounce, handler, iret',
    iterations: 60_000,
    answer: undefined,
    body: (a) => a.undefined(),
  },
  {
    title: 'a page fault in the kernel: bounce, handler, iret',
    iterations: 60_000,
    answer: undefined,
    before: (a) => a.movImmediate(R14, UNMAPPED),
    body: (a) => a.load(RAX, at(R14)),
  },
  {
    title: 'a page fault in user mode: bounce, handler, iret',
    iterations: 60_000,
    answer: undefined,
    user: true,
    before: (a) => a.movImmediate(R14, UNMAPPED),
    body: (a) => a.load(RAX, at(R14)),
  },
  {
    title: 'a system call: syscall, handler, iret',
    iterations: 60_000,
    answer: undefined,
    user: true,
    body: (a) => {
      a.clear(RAX);
      a.syscall();
    },
  },
  {
    title: 'CPUID',
    iterations: 30_000,
    answer: undefined,
    body: (a) => {
      a.clear(RAX);
      a.push(RBX);
      a.cpuid();
      a.pop(RBX);
    },
  },
  { title: 'mmuext_op: tlb_flush_local', iterations: 60_000, body: mmuext('flush') },
  { title: 'mmuext_op: invlpg_local', iterations: 60_000, body: mmuext('invalidate') },
  {
    title: 'mmuext_op: new_baseptr, a switch of cr3',
    iterations: 30_000,
    parts: 2,
    body: both(mmuext('load_second_root'), mmuext('load_root')),
  },
  {
    title: 'mmuext_op: pin and unpin an L1 table with 512 entries',
    iterations: 2_000,
    body: both(mmuext('pin'), mmuext('unpin')),
  },
  {
    title: 'update_va_mapping: map or unmap a page',
    iterations: 30_000,
    parts: 2,
    body: both(updateMapping(0), updateMapping({ value: 'scratch_entry' })),
  },
  {
    title: 'mmu_update: map or unmap a page',
    iterations: 30_000,
    parts: 2,
    body: both(mmuUpdate('unmap', 1), mmuUpdate('map', 1)),
  },
  {
    title: `mmu_update: one of ${BATCH} entries in a batch`,
    iterations: 2_000,
    parts: BATCH,
    body: mmuUpdate('batch', BATCH),
  },
  {
    title: 'a page-table write, emulated: map or unmap a page',
    iterations: 30_000,
    parts: 2,
    answer: undefined,
    before: (a) => a.load(R14, 'entry_address'),
    body: (a) => {
      a.clear(RAX);
      a.store(at(R14), RAX);
      a.load(RAX, 'scratch_entry');
      a.store(at(R14), RAX);
    },
  },
  {
    title: `multicall: one of ${CALLS} calls of xen_version`,
    iterations: 10_000,
    parts: CALLS,
    body: (a) => hypercall(a, hypercalls.__HYPERVISOR_multicall, { address: 'calls' }, CALLS),
  },
];
