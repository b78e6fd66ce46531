/**
 * The guest that measures the hypervisor's paths: a Xen PV kernel without an operating system. It goes each way of
 * `kinds.ts` many times, reads the time-stamp counter before and after, and in the end writes its figures to the
 * console, 16 bytes a kind: nanoseconds, and RAX after the last time. Then it powers off. All kinds are gone through
 * twice and the second time counts: then compiled code is compiled.
 *
 * Registers that keep their meaning throughout:
 *
 *     RBX  the console ring          R12  the port of the event that it sends to itself
 *     RBP  shared_info               R13  start_info
 *     R14  for a kind's own use      R15  how often it still has to go
 *
 * Bodies may use all others, and these data:
 *
 *     scratch          a page; `scratch_entry` maps it, and lies at `entry_address`
 *     map, unmap       mmu_update requests for that entry; `batch` is many of them
 *     flush … unpin    mmuext_op operations; `load_root` and `load_second_root` switch between two equal address spaces
 *     calls            multicall entries
 */
import {
  FLAT_KERNEL_CS,
  FLAT_KERNEL_SS,
  MACH2PHYS_VIRT_START,
  VGCF_in_syscall,
} from '../../src/abi/xen/numbers/arch-x86_64.ts';
import { CALLBACKTYPE_event } from '../../src/abi/xen/numbers/callback.ts';
import { DOMID_SELF } from '../../src/abi/xen/numbers/domain.ts';
import {
  EVTCHNOP_bind_ipi,
  EVTCHNOP_send,
  EVTCHNOP_unmask,
} from '../../src/abi/xen/numbers/event_channel.ts';
import * as hypercalls from '../../src/abi/xen/numbers/hypercalls.ts';
import {
  MMUEXT_INVLPG_LOCAL,
  MMUEXT_NEW_BASEPTR,
  MMUEXT_NEW_USER_BASEPTR,
  MMUEXT_PIN_L1_TABLE,
  MMUEXT_TLB_FLUSH_LOCAL,
  MMUEXT_UNPIN_TABLE,
  UVMF_INVLPG,
} from '../../src/abi/xen/numbers/mmu.ts';
import { SCHEDOP_shutdown, SHUTDOWN_crash, SHUTDOWN_poweroff } from '../../src/abi/xen/numbers/sched.ts';
import { trap_info } from '../../src/abi/xen/structures/arch-x86.ts';
import { xencons_interface } from '../../src/abi/xen/structures/io.ts';
import { mmu_update, mmuext_op, multicall_entry } from '../../src/abi/xen/structures/mmu.ts';
import { shared_info, vcpu_info } from '../../src/abi/xen/structures/shared-info.ts';
import { start_info } from '../../src/abi/xen/structures/start-info.ts';
import {
  Assembler,
  at,
  Condition,
  R8,
  R10,
  R11,
  R12,
  R13,
  R14,
  R15,
  RAX,
  RBP,
  RBX,
  RCX,
  RDI,
  RDX,
  RSI,
  RSP,
} from '../../src/guest/tiny/assembler.ts';
import { makeXenElf } from '../../src/guest/tiny/elf.ts';
import { VIRT_BASE } from '../../src/guest/tiny/guest.ts';
import { BATCH, CALLS, EMPTY, hypercall, KINDS, type Kind, UPCALL_MASK } from './kinds.ts';

export const RESULT_BYTES = 16;

const PAGE_BYTES = 4096;
const PAGE_SHIFT = 12;
const TABLE_ENTRIES = 512;
/** Present and accessed, for user mode too; with and without the right to write. */
const READ_ONLY = 0x25;
const WRITABLE = 0x27;
const RFLAGS_MASKED = 2;
const RFLAGS_ENABLED = 0x202;
/** What user mode says in RAX when it wants back. */
const LEAVE_USER = 1;
const VECTOR_UNDEFINED = 6;
const VECTOR_PAGE_FAULT = 14;
const UD2_BYTES = 2;
/** A load from [R14] with a displacement of four bytes. */
const LOAD_BYTES = 7;

const info = start_info.x64.offset;
const ring = xencons_interface.x64.offset;
const OUT_BYTES = xencons_interface.x64.width.out;
const shared = shared_info.x64.offset;
const UPCALL_PENDING = shared.vcpu_info + vcpu_info.x64.offset.evtchn_upcall_pending;
const PENDING_SELECTOR = shared.vcpu_info + vcpu_info.x64.offset.evtchn_pending_sel;

/**
 * The guest as an ELF64 image. `divisor` makes every kind go its way less often. The first result is that of the
 * empty loop, then come those of `KINDS`.
 */
export function buildPathsGuest(divisor = 1): Uint8Array {
  const a = new Assembler();
  start(a);
  addressSpaces(a);
  requests(a);
  const measured = [EMPTY, ...KINDS];
  a.movImmediate(RAX, 2);
  a.store('passes', RAX);
  a.label('pass');
  for (const [i, kind] of measured.entries()) {
    loop(a, kind, i, Math.max(1, Math.floor(kind.iterations / divisor)));
  }
  a.load(RAX, 'passes');
  a.subtractImmediate(RAX, 1);
  a.store('passes', RAX);
  a.compareImmediate(RAX, 0);
  a.jumpIf(Condition.notEqual, 'pass');
  finish(a, measured.length * RESULT_BYTES);
  entries(a);
  const codeBytes = a.size;
  data(a, measured.length * RESULT_BYTES);
  const [bytes, { labels }] = [a.assemble(), a];
  const entry = labels.get('start')!;
  return makeXenElf({ bytes, codeBytes, labels, virtualBase: VIRT_BASE, entry, name: 'paths' });
}

/**
 * As every guest: shared_info, the console, the callbacks; then a port of its own, and a stack for what comes from
 * user mode.
 */
function start(a: Assembler): void {
  a.label('start');
  a.mov(R13, RSI);
  a.lea(RBP, 'shared_page');
  a.load(RSI, at(R13, info.shared_info));
  a.orImmediate(RSI, WRITABLE);
  checked(a, hypercalls.__HYPERVISOR_update_va_mapping, { register: RBP }, { register: RSI }, UVMF_INVLPG);

  a.load(RAX, at(R13, info.console_domU_mfn));
  a.shiftLeft(RAX, PAGE_SHIFT);
  a.call('address_of_machine');
  a.mov(RBX, RAX);

  checked(a, hypercalls.__HYPERVISOR_set_callbacks, ...labels('event', 'refused', 'system_call'));
  for (const [i, handler] of ['undefined_instruction', 'page_fault'].entries()) {
    a.lea(RAX, handler);
    a.lea(RDI, 'trap_table');
    a.store(at(RDI, i * trap_info.x64.size + trap_info.x64.offset.address), RAX);
  }
  checked(a, hypercalls.__HYPERVISOR_set_trap_table, ...labels('trap_table'));
  checked(a, hypercalls.__HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, ...labels('bind_ipi'));
  a.load32(R12, 'bound_port');
  a.store('port', R12);
  checked(a, hypercalls.__HYPERVISOR_event_channel_op, EVTCHNOP_unmask, ...labels('port'));
  checked(a, hypercalls.__HYPERVISOR_stack_switch, FLAT_KERNEL_SS, ...labels('kernel_stack'));
  a.lea(RAX, 'event');
  a.store('callback_address', RAX);
}

/** A second root beside the first, a table to pin, and where the entry of `scratch` lies. */
function addressSpaces(a: Assembler): void {
  // The second root: a copy of the first, which Xen lets us read. What Xen has for itself in it, Xen puts there again.
  a.load(RSI, at(R13, info.pt_base));
  a.lea(RDI, 'second_root');
  copyOrFill(a, 'copy_root', () => a.load(RAX, at(RSI)));
  a.load(RDI, at(R13, info.pt_base));
  a.call('machine_of');
  a.mov(R14, RAX);
  a.shiftRight(R14, PAGE_SHIFT);
  mmuextOperation(a, 'load_root', MMUEXT_NEW_BASEPTR, R14);
  mmuextOperation(a, 'load_user_root', MMUEXT_NEW_USER_BASEPTR, R14);
  protect(a, 'second_root');
  mmuextOperation(a, 'load_second_root', MMUEXT_NEW_BASEPTR, R14);
  checked(a, hypercalls.__HYPERVISOR_mmuext_op, ...labels('load_user_root'), 1, 0, DOMID_SELF);

  // The walk to the entry of `scratch`: from table to table by the address's four groups of nine bits.
  a.load(R10, at(R13, info.pt_base));
  for (const shift of [39, 30, 21, 12]) {
    a.lea(RDX, 'scratch');
    a.shiftRight(RDX, shift);
    a.andImmediate(RDX, TABLE_ENTRIES - 1);
    a.shiftLeft(RDX, 3);
    a.add(R10, RDX);
    if (shift === 12) break;
    a.load(RAX, at(R10));
    a.call('address_of_machine');
    a.mov(R10, RAX);
  }
  a.store('entry_address', R10);
  a.mov(RDI, R10);
  a.call('machine_of');
  a.store('entry_machine', RAX);
  a.lea(RDI, 'scratch');
  a.call('machine_of');
  a.orImmediate(RAX, WRITABLE);
  a.store('scratch_entry', RAX);

  // A table full of entries for one page, as a process has that maps much.
  a.subtractImmediate(RAX, WRITABLE - READ_ONLY);
  a.lea(RDI, 'table');
  copyOrFill(a, 'fill_table', () => {});
  protect(a, 'table');
  mmuextOperation(a, 'pin', MMUEXT_PIN_L1_TABLE, R14);
  mmuextOperation(a, 'unpin', MMUEXT_UNPIN_TABLE, R14);
  a.clear(R14);
  mmuextOperation(a, 'flush', MMUEXT_TLB_FLUSH_LOCAL, R14);
  a.lea(R14, 'scratch');
  mmuextOperation(a, 'invalidate', MMUEXT_INVLPG_LOCAL, R14);
}

/** The requests of the batches. */
function requests(a: Assembler): void {
  const { ptr, val } = mmu_update.x64.offset;
  a.clear(R14);
  a.load(RCX, 'entry_machine');
  a.load(RDX, 'scratch_entry');
  const request = (name: string, i: number, value: number) => {
    a.lea(RDI, name);
    a.store(at(RDI, i * mmu_update.x64.size + ptr), RCX);
    a.store(at(RDI, i * mmu_update.x64.size + val), value);
  };
  request('unmap', 0, R14);
  request('map', 0, RDX);
  for (let i = 0; i < BATCH; i++) request('batch', i, i % 2 === 0 ? R14 : RDX);
  a.lea(RDI, 'calls');
  a.movImmediate(RAX, hypercalls.__HYPERVISOR_xen_version);
  for (let i = 0; i < CALLS; i++) a.store(at(RDI, i * multicall_entry.x64.size), RAX);
}

/** Goes a kind's way so often and leaves nanoseconds and the last RAX in its result. */
function loop(a: Assembler, kind: Kind, index: number, iterations: number): void {
  const result = `result_${index}`;
  kind.before?.(a);
  a.movImmediate(R15, iterations);
  a.readTimestamp();
  a.shiftLeft(RDX, 32);
  a.add(RAX, RDX);
  a.store(result, RAX);
  if (kind.user === true) enterUser(a, `loop_${index}`);
  a.label(`loop_${index}`);
  kind.body(a);
  a.subtractImmediate(R15, 1);
  a.jumpIf(Condition.notEqual, `loop_${index}`);
  if (kind.user === true) leaveUser(a, `back_${index}`);
  a.store(`answer_${index}`, RAX);
  a.readTimestamp();
  a.shiftLeft(RDX, 32);
  a.add(RAX, RDX);
  a.load(RCX, result);
  a.subtract(RAX, RCX);
  a.store(result, RAX);
  kind.after?.(a);
}

/** Goes on at a label in user mode, with its own stack. */
function enterUser(a: Assembler, label: string): void {
  a.store('stack', RSP);
  a.lea(RDI, label);
  a.lea(RSI, 'user_stack');
  a.movImmediate(R8, RFLAGS_ENABLED);
  a.movImmediate(R10, FLAT_KERNEL_CS | 3);
  a.jump('iret_to');
}

/** In user mode: asks the kernel to go on here. */
function leaveUser(a: Assembler, label: string): void {
  a.lea(RDI, label);
  a.movImmediate(RAX, LEAVE_USER);
  a.syscall();
  a.label(label);
}

/** Writes the results to the console, wakes its reader, powers off. */
function finish(a: Assembler, bytes: number): void {
  a.lea(RSI, 'result_0');
  a.movImmediate(RCX, 0);
  a.load32(RDX, at(RBX, ring.out_prod));
  a.label('put');
  a.load8(RAX, at(RSI, 0, RCX));
  a.mov(RDI, RDX);
  a.andImmediate(RDI, OUT_BYTES - 1);
  a.store8(at(RBX, ring.out, RDI), RAX);
  a.addImmediate(RDX, 1);
  a.addImmediate(RCX, 1);
  a.compareImmediate(RCX, bytes);
  a.jumpIf(Condition.notEqual, 'put');
  a.store32(at(RBX, ring.out_prod), RDX);
  a.load32(RAX, at(R13, info.console_domU_evtchn));
  a.store('port', RAX);
  hypercall(a, hypercalls.__HYPERVISOR_event_channel_op, EVTCHNOP_send, ...labels('port'));
  shutdown(a, SHUTDOWN_poweroff);

  // Xen has refused what it must grant.
  a.label('refused');
  shutdown(a, SHUTDOWN_crash);
}

/** Where Xen enters the kernel, and two small routines. */
function entries(a: Assembler): void {
  // The frame, from the top of the stack: RCX, R11, [error code], RIP, CS, RFLAGS, RSP, SS.
  a.label('page_fault');
  a.pop(RCX);
  a.pop(R11);
  a.pop(RDX);
  skipInstruction(a, LOAD_BYTES);

  a.label('undefined_instruction');
  a.pop(RCX);
  a.pop(R11);
  skipInstruction(a, UD2_BYTES);

  a.label('event');
  a.pop(RCX);
  a.pop(R11);
  a.pushImmediate(0);
  a.push(RCX);
  a.push(R11);
  a.push(RAX);
  a.clear(RAX);
  a.exchange8(at(RBP, UPCALL_PENDING), RAX);
  a.clear(RAX);
  a.exchange(at(RBP, PENDING_SELECTOR), RAX);
  a.lockedBitReset(at(RBP, shared.evtchn_pending), R12);
  hypercall(a, hypercalls.__HYPERVISOR_iret);

  // A system call of user mode: back at once, or on at RDI in the kernel.
  a.label('system_call');
  a.compareImmediate(RAX, LEAVE_USER);
  a.jumpIf(Condition.equal, 'leave_user');
  a.pop(RCX);
  a.pop(R11);
  a.movImmediate(RDX, VGCF_in_syscall);
  a.push(RDX);
  a.push(RCX);
  a.push(R11);
  a.push(RAX);
  hypercall(a, hypercalls.__HYPERVISOR_iret);
  a.label('leave_user');
  a.store8Immediate(at(RBP, UPCALL_MASK), 1);
  a.load(RSP, 'stack');
  a.push(RDI);
  a.ret();

  // iret_here: returns to its caller, by the hypercall. iret_to: to RDI with stack RSI, flags R8, code segment R10.
  a.label('iret_here');
  a.pop(RDI);
  a.mov(RSI, RSP);
  a.movImmediate(R8, RFLAGS_MASKED);
  a.movImmediate(R10, FLAT_KERNEL_CS & ~3);
  a.label('iret_to');
  a.movImmediate(RAX, FLAT_KERNEL_SS);
  a.push(RAX);
  a.push(RSI);
  a.push(R8);
  a.push(R10);
  a.push(RDI);
  for (let i = 0; i < 4; i++) a.pushImmediate(0);
  hypercall(a, hypercalls.__HYPERVISOR_iret);

  // machine_of: the machine address of the address RDI, to RAX, by the list of our frames.
  a.label('machine_of');
  a.mov(RDX, RDI);
  a.movImmediate(RAX, VIRT_BASE);
  a.subtract(RDX, RAX);
  a.shiftRight(RDX, PAGE_SHIFT);
  a.shiftLeft(RDX, 3);
  a.load(RAX, at(R13, info.mfn_list));
  a.load(RAX, at(RAX, 0, RDX));
  a.shiftLeft(RAX, PAGE_SHIFT);
  a.andImmediate(RDI, PAGE_BYTES - 1);
  a.add(RAX, RDI);
  a.ret();

  // address_of_machine: the address at which we see the page of the machine address or table entry RAX, to RAX, by the M2P.
  a.label('address_of_machine');
  a.shiftLeft(RAX, PAGE_SHIFT);
  a.shiftRight(RAX, 2 * PAGE_SHIFT);
  a.shiftLeft(RAX, 3);
  a.movImmediate64(RDX, MACH2PHYS_VIRT_START);
  a.load(RAX, at(RDX, 0, RAX));
  a.shiftLeft(RAX, PAGE_SHIFT);
  a.movImmediate(RDX, VIRT_BASE);
  a.add(RAX, RDX);
  a.ret();
}

/**
 * The end of an exception's handler: RCX and R11 are popped, RIP is the next word; it goes on behind the
 * instruction.
 */
function skipInstruction(a: Assembler, bytes: number): void {
  a.pop(RDX);
  a.addImmediate(RDX, bytes);
  a.push(RDX);
  a.pushImmediate(0);
  a.push(RCX);
  a.push(R11);
  a.push(RAX);
  hypercall(a, hypercalls.__HYPERVISOR_iret);
}

function data(a: Assembler, resultBytes: number): void {
  const words = (label: string, count = 1) => {
    a.label(label);
    a.reserve(8 * count);
  };
  const bytes = (label: string, ...values: number[]) => {
    a.label(label);
    for (const value of values) a.ascii(String.fromCharCode(value));
  };
  a.align(8);
  // vector, flags, code segment; the addresses are put in at the start. An address of zero ends the table.
  a.label('trap_table');
  for (const vector of [VECTOR_UNDEFINED, VECTOR_PAGE_FAULT]) {
    bytes(`trap_${vector}`, vector, 0, FLAT_KERNEL_CS & 0xff, FLAT_KERNEL_CS >> 8);
    a.reserve(trap_info.x64.size - 4);
  }
  a.reserve(trap_info.x64.size);
  // evtchn_bind_ipi: vcpu and port.
  bytes('bind_ipi', 0, 0, 0, 0);
  bytes('bound_port', 0, 0, 0, 0);
  words('port');
  // callback_register: type and flags, then the address.
  bytes('callback', CALLBACKTYPE_event, 0, 0, 0, 0, 0, 0, 0);
  words('callback_address');
  bytes('self', DOMID_SELF & 0xff, DOMID_SELF >> 8, 0, 0, 0, 0, 0, 0);
  for (const name of ['passes', 'stack', 'entry_address', 'entry_machine', 'scratch_entry']) words(name);
  words('runstate', 8);
  for (const name of [
    'load_root',
    'load_second_root',
    'load_user_root',
    'pin',
    'unpin',
    'flush',
    'invalidate',
  ]) {
    words(name, mmuext_op.x64.size / 8);
  }
  words('map', 2);
  words('unmap', 2);
  words('batch', 2 * BATCH);
  words('calls', (CALLS * multicall_entry.x64.size) / 8);
  for (let i = 0; i < resultBytes / RESULT_BYTES; i++) {
    words(`result_${i}`);
    words(`answer_${i}`);
  }
  a.align(PAGE_BYTES);
  for (const page of ['shared_page', 'second_root', 'table', 'scratch', 'stacks']) {
    a.label(page);
    a.reserve(page === 'stacks' ? 0 : PAGE_BYTES);
  }
  a.reserve(PAGE_BYTES);
  a.label('kernel_stack');
  a.reserve(PAGE_BYTES);
  a.label('user_stack');
  a.reserve(PAGE_BYTES);
}

/** Addresses of labels, as arguments. */
function labels(...names: string[]): { readonly address: string }[] {
  return names.map((address) => ({ address }));
}

/** A hypercall that has to give 0. */
function checked(
  a: Assembler,
  ...call: Parameters<typeof hypercall> extends [unknown, ...infer Rest] ? Rest : never
): void {
  hypercall(a, ...call);
  a.compareImmediate(RAX, 0);
  a.jumpIf(Condition.notEqual, 'refused');
}

function shutdown(a: Assembler, reason: number): void {
  a.movImmediate(RAX, reason);
  a.store('port', RAX);
  hypercall(a, hypercalls.__HYPERVISOR_sched_op, SCHEDOP_shutdown, ...labels('port'));
}

/** Takes from a page of ours the right to write to it, and leaves its machine frame in R14. */
function protect(a: Assembler, label: string): void {
  a.lea(RDI, label);
  a.call('machine_of');
  a.mov(R14, RAX);
  a.orImmediate(RAX, READ_ONLY);
  a.mov(RSI, RAX);
  checked(a, hypercalls.__HYPERVISOR_update_va_mapping, ...labels(label), { register: RSI }, UVMF_INVLPG);
  a.shiftRight(R14, PAGE_SHIFT);
}

/** An mmuext_op whose first argument, a machine frame or an address, is in R14. */
function mmuextOperation(a: Assembler, label: string, command: number, argument: number): void {
  a.lea(RDI, label);
  a.movImmediate(RAX, command);
  a.store(at(RDI, mmuext_op.x64.offset.cmd), RAX);
  a.store(at(RDI, mmuext_op.x64.offset.arg1), argument);
}

/** Stores RAX to 512 words at RDI; `next` may load it anew, from RSI, which goes along. */
function copyOrFill(a: Assembler, label: string, next: () => void): void {
  a.movImmediate(RCX, TABLE_ENTRIES);
  a.label(label);
  next();
  a.store(at(RDI), RAX);
  a.addImmediate(RSI, 8);
  a.addImmediate(RDI, 8);
  a.subtractImmediate(RCX, 1);
  a.jumpIf(Condition.notEqual, label);
}
