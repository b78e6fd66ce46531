/**
 * The kernel's entry file: what Xen starts, and what entry stubs call.
 *
 * For now it says where it is, on the emergency console and on its own, and powers off.
 */

import { CONSOLEIO_write } from '../../abi/xen/numbers/domain.ts';
import { EVTCHNOP_send } from '../../abi/xen/numbers/event_channel.ts';
import {
  __HYPERVISOR_console_io,
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_sched_op,
} from '../../abi/xen/numbers/hypercalls.ts';
import { SCHEDOP_shutdown, SHUTDOWN_poweroff } from '../../abi/xen/numbers/sched.ts';
import { hypercall2, hypercall3, load32, load64, native, store8, store32 } from '../machine/index';

/** start_info (Xen 4.17, public/xen.h): bytes from its start. */
const NR_PAGES: usize = 32;
const CONSOLE_MFN: usize = 72;
const CONSOLE_PORT: usize = 80;
const MACHINE_TO_PHYSICAL: u64 = 0xffff800000000000;
/** xencons_interface: bytes from its start. */
const OUT: u64 = 1024;
const OUT_BYTES: u32 = 2048;
const OUT_PRODUCED: u64 = 3084;

const line = memory.data(128);
const argument = memory.data(8, 8);

let lineBytes: u32 = 0;

function append(text: string): void {
  for (let i = 0; i < text.length; i++)
    store<u8>(line + lineBytes++, load<u16>(changetype<usize>(text) + 2 * i));
}

function appendNumber(value: u64): void {
  if (value >= 10) appendNumber(value / 10);
  store<u8>(line + lineBytes++, <u8>(48 + (value % 10)));
}

/** Started by Xen on the boot stack, events masked. */
export function xenStart(startInfo: usize): void {
  append('ringone: a kernel from TypeScript, ');
  appendNumber(load<u64>(startInfo + NR_PAGES) >> 8);
  append(' MiB\n');
  hypercall3(__HYPERVISOR_console_io, CONSOLEIO_write, lineBytes, native(line));
  const port = load<u32>(startInfo + CONSOLE_PORT);
  if (port != 0) writeConsole(load<u64>(startInfo + CONSOLE_MFN), port);
  store<u32>(argument, SHUTDOWN_poweroff);
  hypercall2(__HYPERVISOR_sched_op, SCHEDOP_shutdown, native(argument));
  unreachable();
}

/** Writes the line to the console's ring, which a machine frame holds that is ours. */
function writeConsole(mfn: u64, port: u32): void {
  const ring = native(<usize>(KERNEL_BASE + <u32>(load64(MACHINE_TO_PHYSICAL + 8 * mfn) << 12)));
  let produced = load32(ring + OUT_PRODUCED);
  for (let i: u32 = 0; i < lineBytes; i++) {
    store8(ring + OUT + (produced++ & (OUT_BYTES - 1)), load<u8>(line + i));
  }
  store32(ring + OUT_PRODUCED, produced);
  store<u32>(argument, port);
  hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_send, native(argument));
}
