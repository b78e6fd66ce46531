/**
 * Descriptor tables in Xen's form. The GDT and an LDT are pages of ours that Xen has checked and that we may only read from
 * then on; every change is a hypercall. What could raise privilege is not in them: a segment's DPL is that of the ring that
 * we run in, and gates and task states of the processor do not exist for us.
 */
import { SEGBASE_FS } from '../../abi/xen/numbers/arch-x86_64.ts';
import { MMUEXT_SET_LDT } from '../../abi/xen/numbers/mmu.ts';
import { native } from '../machine/memory';
import { kernelRpl, kernelSs } from '../paravirt/info';
import { LAZY_CPU } from '../paravirt/lazy';
import {
  DESCRIPTOR_DPL,
  DESCRIPTOR_DPL_SHIFT,
  DESCRIPTOR_PRESENT,
  DESCRIPTOR_SEGMENT,
  GDT_TLS_FIRST,
  TLS_ENTRIES,
} from '../paravirt/segments';
import { HYPERVISOR_set_gdt, HYPERVISOR_update_descriptor } from './hypercall';
import { queueExtended } from './mmu-requests';
import { MULTI_set_segment_base, MULTI_stack_switch, MULTI_update_descriptor } from './multi';
import { mcBatch, mcEntry, mcIssue } from './multicall';
import { arbitraryVirtToMachine, makeLowmemPageReadonly } from './page-walk';
import { Maddr, PAGE_SHIFT, PAGE_SIZE, WORD_BYTES } from './types';

/** The pages of a GDT that are a guest's. */
const GDT_PAGES: usize = 14;
const frames: usize = memory.data(14 * 8, 8);

/** The GDT that is loaded. */
let gdt: usize = 0;

/** A descriptor as Xen will have it: at our ring at least, and nothing of the system's. */
export function descriptorForXen(descriptor: u64): u64 {
  if ((descriptor & DESCRIPTOR_PRESENT) === 0) return descriptor;
  if ((descriptor & DESCRIPTOR_SEGMENT) === 0) return 0;
  const dpl = (descriptor & DESCRIPTOR_DPL) >> DESCRIPTOR_DPL_SHIFT;
  if (dpl >= <u64>kernelRpl) return descriptor;
  return (descriptor & ~DESCRIPTOR_DPL) | ((<u64>kernelRpl) << DESCRIPTOR_DPL_SHIFT);
}

/** Brings the descriptors of a table into Xen's form and makes its pages read-only. */
function prepareTable(table: usize, entries: u32): void {
  for (let i: usize = 0; i < entries; i++) {
    const at = table + i * 8;
    const wanted = descriptorForXen(load<u64>(at));
    if (wanted !== load<u64>(at)) store<u64>(at, wanted);
  }
  for (let page = table; page < table + entries * 8; page += PAGE_SIZE) makeLowmemPageReadonly(page);
}

function descriptorAddress(table: usize, index: u32): Maddr {
  return arbitraryVirtToMachine(native(table + index * 8));
}

/** cpu.load_gdt */
export function xenLoadGdt(table: usize, entries: u32): void {
  const pages = (entries * 8 + PAGE_SIZE - 1) >> PAGE_SHIFT;
  if (pages > GDT_PAGES) unreachable();
  prepareTable(table, entries);
  for (let i: usize = 0; i < pages; i++) {
    const frame = arbitraryVirtToMachine(native(table + i * PAGE_SIZE)) >> PAGE_SHIFT;
    store<Word>(frames + i * WORD_BYTES, <Word>frame);
  }
  if (HYPERVISOR_set_gdt(frames, entries) !== 0) unreachable();
  gdt = table;
}

/** cpu.write_gdt_entry, cpu.write_ldt_entry: a store while the table is not loaded. */
export function xenWriteDescriptor(table: usize, index: u32, descriptor: u64): void {
  if (HYPERVISOR_update_descriptor(descriptorAddress(table, index), descriptorForXen(descriptor)) !== 0)
    unreachable();
}

/** cpu.set_ldt: a part of a switch of tasks. Its pages stay read-only until the kernel makes them writable again. */
export function xenSetLdt(table: usize, entries: u32): void {
  if (entries !== 0) prepareTable(table, entries);
  mcBatch();
  queueExtended(MMUEXT_SET_LDT, entries === 0 ? 0 : native(table), entries);
  mcIssue(LAZY_CPU);
}

/** cpu.load_tls: only descriptors that differ from those of the task before. */
export function xenLoadTls(tls: usize): void {
  if (gdt === 0) return;
  mcBatch();
  for (let i: u32 = 0; i < TLS_ENTRIES; i++) {
    const index = GDT_TLS_FIRST + i;
    const wanted = descriptorForXen(load<u64>(tls + i * 8));
    if (load<u64>(gdt + index * 8) === wanted) continue;
    MULTI_update_descriptor(mcEntry(0), descriptorAddress(gdt, index), wanted);
  }
  mcIssue(LAZY_CPU);
}

/** cpu.load_tr_desc: the task register is Xen's. */
export function xenLoadTaskRegister(): void {}

/** cpu.load_sp0: what Xen would take out of a TSS (`esp0`). */
export function xenLoadSp0(top: usize): void {
  mcBatch();
  MULTI_stack_switch(mcEntry(0), kernelSs, native(top));
  mcIssue(LAZY_CPU);
}

/** cpu.write_fs_base */
export function xenWriteFsBase(base: u64): void {
  mcBatch();
  MULTI_set_segment_base(mcEntry(0), SEGBASE_FS, base);
  mcIssue(LAZY_CPU);
}
