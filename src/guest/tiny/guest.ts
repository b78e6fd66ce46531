/**
 * The tiny guest: a complete 64-bit Xen PV kernel in some 200 instructions. It says hello on the PV console, echoes
 * what is typed, and knows a few commands. It needs no download, so it is what runs when no real kernel can be had, and
 * the first guest that any change to the hypervisor has to satisfy.
 *
 * Read it from the top: it does in order what every PV kernel does. `start` maps shared_info, finds its console through
 * the M2P, prints, and registers its event callback; `wait` is the idle loop; `key` and what follows is the "shell";
 * then come the console and event routines, and last the data.
 *
 * Registers that keep their meaning throughout:
 *
 *     RBX  the console ring           R13  start_info
 *     RBP  shared_info                R14  characters in the line so far
 *     R12  the console's event port   R15  the line
 *
 * All others are scratch, and a hypercall also loses RAX, RCX and R11.
 */
import { MACH2PHYS_VIRT_START } from '../../abi/xen/numbers/arch-x86_64.ts';
import { CONSOLEIO_write } from '../../abi/xen/numbers/domain.ts';
import { EVTCHNOP_send, EVTCHNOP_unmask } from '../../abi/xen/numbers/event_channel.ts';
import {
  __HYPERVISOR_console_io,
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_iret,
  __HYPERVISOR_sched_op,
  __HYPERVISOR_set_callbacks,
  __HYPERVISOR_update_va_mapping,
} from '../../abi/xen/numbers/hypercalls.ts';
import { UVMF_INVLPG } from '../../abi/xen/numbers/mmu.ts';
import {
  SCHEDOP_block,
  SCHEDOP_shutdown,
  SCHEDOP_yield,
  SHUTDOWN_poweroff,
  SHUTDOWN_reboot,
} from '../../abi/xen/numbers/sched.ts';

import { xencons_interface } from '../../abi/xen/structures/io.ts';
import { shared_info, vcpu_info } from '../../abi/xen/structures/shared-info.ts';
import { start_info } from '../../abi/xen/structures/start-info.ts';
import {
  Assembler,
  at,
  Condition,
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
} from './assembler.ts';
import { makeXenElf } from './elf.ts';

/** Where Linux has its own: the top 2 GiB, so that every address is a sign-extended 32-bit number. */
export const VIRT_BASE = -0x80000000;

const LINE_BYTES = 256;
const IN_BYTES = xencons_interface.x64.width.in;
const OUT_BYTES = xencons_interface.x64.width.out;
const PAGE_BYTES = 4096;
const PAGE_SHIFT = 12;
/** Present, writable, accessed, dirty. */
const PAGE_FLAGS = 0x63;

const info = start_info.x64.offset;
const ring = xencons_interface.x64.offset;
const shared = shared_info.x64.offset;
const UPCALL_PENDING = shared.vcpu_info + vcpu_info.x64.offset.evtchn_upcall_pending;
const UPCALL_MASK = shared.vcpu_info + vcpu_info.x64.offset.evtchn_upcall_mask;
const PENDING_SELECTOR = shared.vcpu_info + vcpu_info.x64.offset.evtchn_pending_sel;

const GREETING = 'ringone: hello from the tiny guest. Type help.\r\n';
const PROMPT = '> ';
const LOG_LINE = 'the tiny guest is well\n';

/** What can be typed: a name, what `help` says, and the label of the code. */
const COMMANDS = [
  { name: 'help', help: 'shows this' },
  { name: 'memory', help: 'says how much memory there is' },
  { name: 'args', help: 'shows the command line it was started with' },
  { name: 'log', help: 'writes a line to the emergency console' },
  { name: 'halt', help: 'powers off' },
  { name: 'reboot', help: 'asks to be started again' },
  { name: 'crash', help: 'executes an undefined instruction' },
] as const;

/** The kernel as an ELF64 image with Xen notes and a symbol table. Every call gives the same bytes. */
export function buildTinyGuest(): Uint8Array {
  const { bytes, codeBytes, labels } = assembleTinyGuest();
  const entry = labels.get('start')!;
  return makeXenElf({ bytes, codeBytes, labels, virtualBase: VIRT_BASE, entry, name: 'tiny' });
}

/** The program alone, where its labels stand in it, and how much of it is code; the rest is data. */
export function assembleTinyGuest(): {
  bytes: Uint8Array;
  codeBytes: number;
  labels: ReadonlyMap<string, number>;
} {
  const a = new Assembler();
  start(a);
  idleLoop(a);
  shell(a);
  commands(a);
  consoleOutput(a);
  events(a);
  const codeBytes = a.size;
  data(a);
  return { bytes: a.assemble(), codeBytes, labels: a.labels };
}

/** hypercall(number; arguments…): RDI, RSI, RDX are already loaded. The result comes back in RAX. */
function hypercall(a: Assembler, number: number): void {
  a.movImmediate(RAX, number);
  a.syscall();
}

/** RSI = start_info, RSP = a stack of at least a page, events masked (Xen 4.17, docs and public/arch-x86/xen.h). */
function start(a: Assembler): void {
  a.label('start');
  a.mov(R13, RSI);

  // update_va_mapping(shared_page, shared_info | flags, UVMF_INVLPG): our own page gives way to the shared one.
  a.lea(RBP, 'shared_page');
  a.mov(RDI, RBP);
  a.load(RSI, at(R13, info.shared_info));
  a.orImmediate(RSI, PAGE_FLAGS);
  a.movImmediate(RDX, UVMF_INVLPG);
  hypercall(a, __HYPERVISOR_update_va_mapping);
  a.compareImmediate(RAX, 0);
  a.jumpIf(Condition.notEqual, 'failsafe');

  // The ring is given as a machine frame. The M2P knows its pseudo-physical frame, and that is mapped from VIRT_BASE on.
  a.load(RAX, at(R13, info.console_domU_mfn));
  a.shiftLeft(RAX, 3);
  a.movImmediate64(RBX, MACH2PHYS_VIRT_START);
  a.load(RBX, at(RBX, 0, RAX));
  a.shiftLeft(RBX, PAGE_SHIFT);
  a.movImmediate(RAX, VIRT_BASE);
  a.add(RBX, RAX);
  a.load32(R12, at(R13, info.console_domU_evtchn));

  a.lea(R15, 'line');
  a.clear(R14);
  a.lea(RSI, 'greeting');
  a.call('print');
  a.call('notify');

  // set_callbacks(event, failsafe, syscall): no user mode, no system calls.
  a.lea(RDI, 'event');
  a.lea(RSI, 'failsafe');
  a.clear(RDX);
  hypercall(a, __HYPERVISOR_set_callbacks);

  // event_channel_op(EVTCHNOP_unmask, &{ port }): the structure is just the port, on the stack.
  a.push(R12);
  a.movImmediate(RDI, EVTCHNOP_unmask);
  a.mov(RSI, RSP);
  hypercall(a, __HYPERVISOR_event_channel_op);
  a.pop(RAX);
}

/**
 * Takes one character at a time, with events masked. When there is none, SCHEDOP_block unmasks and sleeps in one step,
 * so an event that arrives after the test cannot be slept through.
 */
function idleLoop(a: Assembler): void {
  a.label('wait');
  a.store8Immediate(at(RBP, UPCALL_MASK), 1);
  a.load32(RCX, at(RBX, ring.in_cons));
  a.load32(RAX, at(RBX, ring.in_prod));
  a.compare32(RAX, RCX);
  a.jumpIf(Condition.notEqual, 'take');
  a.movImmediate(RDI, SCHEDOP_block);
  a.clear(RSI);
  hypercall(a, __HYPERVISOR_sched_op);
  a.jump('wait');

  a.label('take');
  a.mov(RDX, RCX);
  a.andImmediate(RDX, IN_BYTES - 1);
  a.load8(RAX, at(RBX, ring.in, RDX));
  a.addImmediate(RCX, 1);
  a.store32(at(RBX, ring.in_cons), RCX);
  a.call('key');
  a.call('notify'); // there is output, and there is room for input
  a.jump('wait');
}

/** What to do with the character in RAX. */
function shell(a: Assembler): void {
  a.label('key');
  a.compareImmediate(RAX, 13); // carriage return
  a.jumpIf(Condition.equal, 'enter');
  a.compareImmediate(RAX, 10); // line feed
  a.jumpIf(Condition.equal, 'enter');
  a.compareImmediate(RAX, 127); // delete
  a.jumpIf(Condition.equal, 'erase');
  a.compareImmediate(RAX, 8); // backspace
  a.jumpIf(Condition.equal, 'erase');
  a.compareImmediate(R14, LINE_BYTES - 1);
  a.jumpIf(Condition.equal, 'done'); // the line is full
  a.store8(at(R15, 0, R14), RAX);
  a.addImmediate(R14, 1);
  a.jump('put');

  a.label('erase');
  a.compareImmediate(R14, 0);
  a.jumpIf(Condition.equal, 'done');
  a.subtractImmediate(R14, 1);
  a.lea(RSI, 'rub_out');
  a.jump('print');

  a.label('enter');
  a.store8Immediate(at(R15, 0, R14), 0);
  a.lea(RSI, 'newline');
  a.call('print');
  for (const { name } of COMMANDS) {
    a.lea(RSI, `name_${name}`);
    a.mov(RDI, R15);
    a.movImmediate(RCX, name.length + 1); // with its NUL
    a.compareBytes();
    a.jumpIf(Condition.equal, `do_${name}`);
  }
  a.compareImmediate(R14, 0);
  a.jumpIf(Condition.equal, 'prompt');
  a.mov(RSI, R15);
  a.call('print');

  a.label('end_line');
  a.lea(RSI, 'newline');
  a.call('print');
  a.label('prompt');
  a.clear(R14);
  a.lea(RSI, 'prompt_text');
  a.jump('print');
  a.label('done');
  a.ret();
}

function commands(a: Assembler): void {
  a.label('do_help');
  a.lea(RSI, 'help_text');
  a.call('print');
  a.jump('prompt');

  a.label('do_memory');
  a.load(RAX, at(R13, info.nr_pages));
  a.shiftRight(RAX, 20 - PAGE_SHIFT);
  a.call('print_number');
  a.lea(RSI, 'mebibytes');
  a.call('print');
  a.jump('end_line');

  a.label('do_args');
  a.lea(RSI, at(R13, info.cmd_line));
  a.call('print');
  a.jump('end_line');

  // console_io(CONSOLEIO_write, length, text)
  a.label('do_log');
  a.movImmediate(RDI, CONSOLEIO_write);
  a.movImmediate(RSI, LOG_LINE.length);
  a.lea(RDX, 'log_line');
  hypercall(a, __HYPERVISOR_console_io);
  a.jump('prompt');

  // sched_op(SCHEDOP_shutdown, &{ reason }); it does not return
  a.label('do_halt');
  a.pushImmediate(SHUTDOWN_poweroff);
  a.jump('shutdown');
  a.label('do_reboot');
  a.pushImmediate(SHUTDOWN_reboot);
  a.label('shutdown');
  a.call('notify');
  a.movImmediate(RDI, SCHEDOP_shutdown);
  a.mov(RSI, RSP);
  hypercall(a, __HYPERVISOR_sched_op);

  // There is no trap table, so Xen has nowhere to send this and crashes the domain.
  a.label('do_crash');
  a.undefined();
}

function consoleOutput(a: Assembler): void {
  // print: the NUL-terminated text at RSI
  a.label('print');
  a.load8(RAX, at(RSI));
  a.compareImmediate(RAX, 0);
  a.jumpIf(Condition.equal, 'done');
  a.push(RSI);
  a.call('put');
  a.pop(RSI);
  a.addImmediate(RSI, 1);
  a.jump('print');

  // print_number: RAX in decimal; the digits wait on the stack, for they come last first
  a.label('print_number');
  a.movImmediate(RDI, 10);
  a.clear(RCX);
  a.label('divide');
  a.clear(RDX);
  a.divide(RDI);
  a.addImmediate(RDX, 0x30);
  a.push(RDX);
  a.addImmediate(RCX, 1);
  a.compareImmediate(RAX, 0);
  a.jumpIf(Condition.notEqual, 'divide');
  a.label('digit');
  a.pop(RAX);
  a.push(RCX);
  a.call('put');
  a.pop(RCX);
  a.subtractImmediate(RCX, 1);
  a.jumpIf(Condition.notEqual, 'digit');
  a.ret();

  // put: the character in RAX. Indices run freely, so the ring is full when they are its size apart.
  a.label('put');
  a.load32(RCX, at(RBX, ring.out_prod));
  a.load32(RDI, at(RBX, ring.out_cons));
  a.mov(RDX, RCX);
  a.subtract(RDX, RDI);
  a.andImmediate(RDX, 2 * OUT_BYTES - 1);
  a.compareImmediate(RDX, OUT_BYTES);
  a.jumpIf(Condition.equal, 'full');
  a.mov(RDX, RCX);
  a.andImmediate(RDX, OUT_BYTES - 1);
  a.store8(at(RBX, ring.out, RDX), RAX);
  a.addImmediate(RCX, 1);
  a.store32(at(RBX, ring.out_prod), RCX);
  a.ret();

  a.label('full');
  a.push(RAX);
  a.call('notify');
  a.movImmediate(RDI, SCHEDOP_yield);
  a.clear(RSI);
  hypercall(a, __HYPERVISOR_sched_op);
  a.pop(RAX);
  a.jump('put');

  // notify: event_channel_op(EVTCHNOP_send, &{ port }) wakes the other end of the console
  a.label('notify');
  a.push(R12);
  a.movImmediate(RDI, EVTCHNOP_send);
  a.mov(RSI, RSP);
  hypercall(a, __HYPERVISOR_event_channel_op);
  a.pop(RAX);
  a.ret();
}

/**
 * The event callback. Xen has pushed, from the top of the stack: RCX, R11, RIP, CS, RFLAGS, RSP, SS. The `iret`
 * hypercall wants RAX, R11, RCX and a word of flags in front of RIP; it restores all of them, and events are unmasked
 * again because RFLAGS has IF. There is nothing to do but acknowledge: the idle loop looks at the ring itself.
 */
function events(a: Assembler): void {
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
  hypercall(a, __HYPERVISOR_iret);

  // Xen could not return to us as we asked, or has refused us our own shared page. Neither can happen.
  a.label('failsafe');
  a.undefined();
}

function data(a: Assembler): void {
  const text = (label: string, value: string) => {
    a.label(label);
    a.ascii(`${value}\0`);
  };
  const column = Math.max(...COMMANDS.map(({ name }) => name.length)) + 2;
  const help = COMMANDS.map((command) => `  ${command.name.padEnd(column)}${command.help}\r\n`);
  text('greeting', GREETING + PROMPT);
  text('prompt_text', PROMPT);
  text('newline', '\r\n');
  text('rub_out', '\b \b');
  text('mebibytes', ' MiB');
  text('log_line', LOG_LINE);
  text('help_text', `${help.join('')}Any other line is sent back.\r\n`);
  for (const { name } of COMMANDS) text(`name_${name}`, name);
  a.label('line');
  a.reserve(LINE_BYTES);
  a.align(PAGE_BYTES);
  a.label('shared_page');
  a.reserve(PAGE_BYTES);
}
