/**
 * The hypercalls, each as a function: HYPERVISOR_ and the name in Xen's headers, as in Linux's asm/xen/hypercall.h.
 *
 * What differs by word size is hidden here. A 64-bit argument is one register of a 64-bit guest and two of a 32-bit one,
 * low half first; callbacks have a selector for 32 bits only, and a system call entry for 64 bits only. `native` makes a
 * machine address of a pointer to an argument structure, which must lie in this module's memory.
 *
 * They return what Xen returns: 0 or more, or a negated XEN_E* error. The two that fall back to an older form where Xen
 * does not know the newer one, event_channel_op and physdev_op, are in `hypercall-compat.ts`; MULTI_ builders, which write
 * a call down for later, in `multi.ts`.
 */
import {
  __HYPERVISOR_callback_op,
  __HYPERVISOR_console_io,
  __HYPERVISOR_fpu_taskswitch,
  __HYPERVISOR_get_debugreg,
  __HYPERVISOR_grant_table_op,
  __HYPERVISOR_memory_op,
  __HYPERVISOR_mmu_update,
  __HYPERVISOR_mmuext_op,
  __HYPERVISOR_multicall,
  __HYPERVISOR_nmi_op,
  __HYPERVISOR_sched_op,
  __HYPERVISOR_set_callbacks,
  __HYPERVISOR_set_debugreg,
  __HYPERVISOR_set_gdt,
  __HYPERVISOR_set_segment_base,
  __HYPERVISOR_set_timer_op,
  __HYPERVISOR_set_trap_table,
  __HYPERVISOR_stack_switch,
  __HYPERVISOR_update_descriptor,
  __HYPERVISOR_update_va_mapping,
  __HYPERVISOR_update_va_mapping_otherdomain,
  __HYPERVISOR_vcpu_op,
  __HYPERVISOR_vm_assist,
  __HYPERVISOR_xen_version,
} from '../../abi/xen/numbers/hypercalls.ts';
import { SCHEDOP_shutdown, SHUTDOWN_suspend } from '../../abi/xen/numbers/sched.ts';
import {
  multicall_entry_op,
  SIZEOF_multicall_entry,
  SIZEOF_sched_shutdown,
  sched_shutdown_reason,
} from '../abi/structures';
import {
  countHypercall,
  hypercall1,
  hypercall2,
  hypercall3,
  hypercall4,
  hypercall5,
} from '../machine/hypercall';
import { native } from '../machine/memory';
import { Mfn, Vaddr } from './types';

/** Sets the entries of the trap table that `table` lists; one with address 0 ends it. */
export function HYPERVISOR_set_trap_table(table: usize): i32 {
  return <i32>hypercall1(__HYPERVISOR_set_trap_table, native(table));
}

/** Makes `count` page-table updates. `done`, unless 0, is where Xen writes (u32) how many it made. */
export function HYPERVISOR_mmu_update(requests: usize, count: u32, done: usize, domain: u32): i32 {
  return <i32>hypercall4(__HYPERVISOR_mmu_update, native(requests), count, optional(done), domain);
}

/** Carries out `count` extended operations on page tables and TLBs. */
export function HYPERVISOR_mmuext_op(operations: usize, count: u32, done: usize, domain: u32): i32 {
  return <i32>hypercall4(__HYPERVISOR_mmuext_op, native(operations), count, optional(done), domain);
}

/** The GDT: a list of machine frames (words), and how many entries count. */
export function HYPERVISOR_set_gdt(frames: usize, entries: u32): i32 {
  return <i32>hypercall2(__HYPERVISOR_set_gdt, native(frames), entries);
}

/** Where the kernel's stack begins when it is entered from user mode. */
export function HYPERVISOR_stack_switch(ss: u32, stack: Vaddr): i32 {
  return <i32>hypercall2(__HYPERVISOR_stack_switch, ss, stack);
}

/** The entries for events, for failures, and (64 bits) for SYSCALL. The selectors are for 32 bits. */
export function HYPERVISOR_set_callbacks(
  eventSelector: u32,
  event: Vaddr,
  failsafeSelector: u32,
  failsafe: Vaddr,
  systemCall: Vaddr,
): i32 {
  if (WORD_BITS === 64) return <i32>hypercall3(__HYPERVISOR_set_callbacks, event, failsafe, systemCall);
  return <i32>hypercall4(__HYPERVISOR_set_callbacks, eventSelector, event, failsafeSelector, failsafe);
}

/** CALLBACKOP_* with its structure. */
export function HYPERVISOR_callback_op(command: i32, argument: usize): i32 {
  return <i32>hypercall2(__HYPERVISOR_callback_op, command, native(argument));
}

/** Sets (1) or clears (0) CR0.TS. */
export function HYPERVISOR_fpu_taskswitch(set: u32): i32 {
  return <i32>hypercall1(__HYPERVISOR_fpu_taskswitch, set);
}

/** SCHEDOP_* with its structure, or 0 where it has none: number 29, not the older 6, which passes values. */
export function HYPERVISOR_sched_op(command: i32, argument: usize): i32 {
  return <i32>hypercall2(__HYPERVISOR_sched_op, command, optional(argument));
}

/** A timer event at system time `timeout` in nanoseconds; 0: none. */
export function HYPERVISOR_set_timer_op(timeout: u64): i64 {
  if (WORD_BITS === 64) return hypercall1(__HYPERVISOR_set_timer_op, timeout);
  return hypercall2(__HYPERVISOR_set_timer_op, low(timeout), high(timeout));
}

export function HYPERVISOR_set_debugreg(register: i32, value: Word): i32 {
  return <i32>hypercall2(__HYPERVISOR_set_debugreg, register, value);
}

export function HYPERVISOR_get_debugreg(register: i32): Word {
  return <Word>hypercall1(__HYPERVISOR_get_debugreg, register);
}

/** Writes one descriptor, at a machine address within a descriptor table. */
export function HYPERVISOR_update_descriptor(maddr: u64, descriptor: u64): i32 {
  if (WORD_BITS === 64) return <i32>hypercall2(__HYPERVISOR_update_descriptor, maddr, descriptor);
  return <i32>(
    hypercall4(__HYPERVISOR_update_descriptor, low(maddr), high(maddr), low(descriptor), high(descriptor))
  );
}

/** XENMEM_* with its structure. Some return a count, so the result is as wide as a word. */
export function HYPERVISOR_memory_op(command: u32, argument: usize): i64 {
  return hypercall2(__HYPERVISOR_memory_op, command, optional(argument));
}

/** The calls of an array of multicall_entry, in their order, each with its own result. */
export function HYPERVISOR_multicall(calls: usize, count: u32): i32 {
  for (let i: u32 = 0; i < count; i++)
    countHypercall(<u32>load<Word>(calls + <usize>i * SIZEOF_multicall_entry, multicall_entry_op));
  return <i32>hypercall2(__HYPERVISOR_multicall, native(calls), count);
}

/** Sets the level-1 entry behind `va`, and flushes as UVMF_* say. */
export function HYPERVISOR_update_va_mapping(va: Vaddr, entry: u64, flags: Word): i32 {
  if (WORD_BITS === 64) return <i32>hypercall3(__HYPERVISOR_update_va_mapping, va, entry, flags);
  return <i32>hypercall4(__HYPERVISOR_update_va_mapping, va, low(entry), high(entry), flags);
}

/** XENVER_*. XENVER_version, which takes nothing, is also the hypercall to make for its side effect: pending events. */
export function HYPERVISOR_xen_version(command: i32, argument: usize): i32 {
  return <i32>hypercall2(__HYPERVISOR_xen_version, command, optional(argument));
}

/** CONSOLEIO_*: the hypervisor's own console, in so far as it lets us. */
export function HYPERVISOR_console_io(command: i32, count: i32, text: usize): i32 {
  return <i32>hypercall3(__HYPERVISOR_console_io, command, count, native(text));
}

/** GNTTABOP_* on an array of `count` structures. */
export function HYPERVISOR_grant_table_op(command: u32, operations: usize, count: u32): i32 {
  return <i32>hypercall3(__HYPERVISOR_grant_table_op, command, native(operations), count);
}

/** As update_va_mapping, for a frame of another domain. */
export function HYPERVISOR_update_va_mapping_otherdomain(
  va: Vaddr,
  entry: u64,
  flags: Word,
  domain: u32,
): i32 {
  if (WORD_BITS === 64) {
    return <i32>hypercall4(__HYPERVISOR_update_va_mapping_otherdomain, va, entry, flags, domain);
  }
  return <i32>(
    hypercall5(__HYPERVISOR_update_va_mapping_otherdomain, va, low(entry), high(entry), flags, domain)
  );
}

/** VMASST_CMD_* for VMASST_TYPE_*. */
export function HYPERVISOR_vm_assist(command: u32, type: u32): i32 {
  return <i32>hypercall2(__HYPERVISOR_vm_assist, command, type);
}

/** VCPUOP_* on a vCPU, with its structure or 0. */
export function HYPERVISOR_vcpu_op(command: i32, vcpu: u32, argument: usize): i32 {
  return <i32>hypercall3(__HYPERVISOR_vcpu_op, command, vcpu, optional(argument));
}

/** A base of FS or GS, or a user's GS selector: SEGBASE_*. 64 bits only. */
export function HYPERVISOR_set_segment_base(which: i32, base: u64): i32 {
  return <i32>hypercall2(__HYPERVISOR_set_segment_base, which, base);
}

const suspendArgument: usize = memory.data(SIZEOF_sched_shutdown);

/**
 * Suspends the domain: a shutdown for the reason "suspend", with the frame of start_info as third argument, where the
 * toolstack that resumes the domain writes anew. Returns 0 after a resume elsewhere, 1 if it was called off. Not to be
 * interrupted.
 */
export function HYPERVISOR_suspend(startInfo: Mfn): i32 {
  store<u32>(suspendArgument, SHUTDOWN_suspend, sched_shutdown_reason);
  return <i32>hypercall3(__HYPERVISOR_sched_op, SCHEDOP_shutdown, native(suspendArgument), startInfo);
}

/** XENNMI_* with its argument. */
export function HYPERVISOR_nmi_op(operation: u32, argument: usize): i32 {
  return <i32>hypercall2(__HYPERVISOR_nmi_op, operation, optional(argument));
}

/** A pointer that may be absent. */
function optional(pointer: usize): u64 {
  return pointer === 0 ? 0 : native(pointer);
}

function low(value: u64): u64 {
  return value & 0xffffffff;
}

function high(value: u64): u64 {
  return value >> 32;
}
