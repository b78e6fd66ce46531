/**
 * Hypercalls written down for later: each MULTI_ function fills in one multicall_entry, as the HYPERVISOR_ function of the
 * same name would have made the call. (Linux, asm/xen/hypercall.h)
 */
import {
  __HYPERVISOR_fpu_taskswitch,
  __HYPERVISOR_grant_table_op,
  __HYPERVISOR_memory_op,
  __HYPERVISOR_mmu_update,
  __HYPERVISOR_mmuext_op,
  __HYPERVISOR_set_gdt,
  __HYPERVISOR_set_segment_base,
  __HYPERVISOR_stack_switch,
  __HYPERVISOR_update_descriptor,
  __HYPERVISOR_update_va_mapping,
  __HYPERVISOR_update_va_mapping_otherdomain,
} from '../../abi/xen/numbers/hypercalls.ts';
import { multicall_entry_args, multicall_entry_op } from '../abi/structures';
import { native } from '../machine/memory';
import { Vaddr, WORD_BYTES } from './types';

/** Sets the number of the call. */
function setOperation(entry: usize, number: i32): void {
  store<Word>(entry, <Word>number, multicall_entry_op);
}

/** Sets argument `index`; of a value that is too wide for a word its low half. */
function setArgument(entry: usize, index: usize, value: u64): void {
  store<Word>(entry + index * WORD_BYTES, <Word>value, multicall_entry_args);
}

/** Sets a 64-bit argument: one word, or two. Returns the index of the next. */
function setWide(entry: usize, index: usize, value: u64): usize {
  setArgument(entry, index, value);
  if (WORD_BITS === 64) return index + 1;
  setArgument(entry, index + 1, value >> 32);
  return index + 2;
}

function setPointer(entry: usize, index: usize, pointer: usize): void {
  setArgument(entry, index, pointer === 0 ? 0 : native(pointer));
}

export function MULTI_update_va_mapping(entry: usize, va: Vaddr, value: u64, flags: Word): void {
  setOperation(entry, __HYPERVISOR_update_va_mapping);
  setArgument(entry, 0, va);
  setArgument(entry, setWide(entry, 1, value), flags);
}

export function MULTI_update_va_mapping_otherdomain(
  entry: usize,
  va: Vaddr,
  value: u64,
  flags: Word,
  domain: u32,
): void {
  setOperation(entry, __HYPERVISOR_update_va_mapping_otherdomain);
  setArgument(entry, 0, va);
  const next = setWide(entry, 1, value);
  setArgument(entry, next, flags);
  setArgument(entry, next + 1, domain);
}

export function MULTI_grant_table_op(entry: usize, command: u32, operations: usize, count: u32): void {
  setOperation(entry, __HYPERVISOR_grant_table_op);
  setArgument(entry, 0, command);
  setPointer(entry, 1, operations);
  setArgument(entry, 2, count);
}

export function MULTI_update_descriptor(entry: usize, maddr: u64, descriptor: u64): void {
  setOperation(entry, __HYPERVISOR_update_descriptor);
  setWide(entry, setWide(entry, 0, maddr), descriptor);
}

export function MULTI_memory_op(entry: usize, command: u32, argument: usize): void {
  setOperation(entry, __HYPERVISOR_memory_op);
  setArgument(entry, 0, command);
  setPointer(entry, 1, argument);
}

export function MULTI_mmu_update(entry: usize, requests: usize, count: u32, done: usize, domain: u32): void {
  setOperation(entry, __HYPERVISOR_mmu_update);
  setList(entry, requests, count, done, domain);
}

export function MULTI_mmuext_op(entry: usize, operations: usize, count: u32, done: usize, domain: u32): void {
  setOperation(entry, __HYPERVISOR_mmuext_op);
  setList(entry, operations, count, done, domain);
}

function setList(entry: usize, list: usize, count: u32, done: usize, domain: u32): void {
  setPointer(entry, 0, list);
  setArgument(entry, 1, count);
  setPointer(entry, 2, done);
  setArgument(entry, 3, domain);
}

export function MULTI_set_gdt(entry: usize, frames: usize, entries: u32): void {
  setOperation(entry, __HYPERVISOR_set_gdt);
  setPointer(entry, 0, frames);
  setArgument(entry, 1, entries);
}

export function MULTI_stack_switch(entry: usize, ss: u32, stack: Vaddr): void {
  setOperation(entry, __HYPERVISOR_stack_switch);
  setArgument(entry, 0, ss);
  setArgument(entry, 1, stack);
}

// Not in the header, whose kernel did these otherwise: a switch of tasks wants them in its batch.

export function MULTI_fpu_taskswitch(entry: usize, set: u32): void {
  setOperation(entry, __HYPERVISOR_fpu_taskswitch);
  setArgument(entry, 0, set);
}

/** 64 bits only. */
export function MULTI_set_segment_base(entry: usize, which: u32, base: u64): void {
  setOperation(entry, __HYPERVISOR_set_segment_base);
  setArgument(entry, 0, which);
  setArgument(entry, 1, base);
}
