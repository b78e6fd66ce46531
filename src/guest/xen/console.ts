/**
 * The PV console: a page with two rings of bytes, and an event channel. Each index is written by one side alone and runs
 * freely; a ring's bytes are there before the index says so. (Xen 4.17, public/io/console.h)
 *
 * The initial domain of a machine has no such page; its words go to Xen's own console.
 */
import { CONSOLEIO_read, CONSOLEIO_write } from '../../abi/xen/numbers/domain.ts';
import { VIRQ_CONSOLE } from '../../abi/xen/numbers/event_channel.ts';
import {
  xencons_interface_in,
  xencons_interface_in_cons,
  xencons_interface_in_prod,
  xencons_interface_out,
  xencons_interface_out_cons,
  xencons_interface_out_prod,
} from '../abi/structures';
import { fence } from '../machine/memory';
import { consoleInputInterrupt } from '../paravirt/handlers';
import { bindVirq, notifyPort, onEvent, unmaskPort } from './events';
import { HYPERVISOR_console_io } from './hypercall';
import { nothingBefore, onSuspend } from './suspend-hooks';

const IN_BYTES: u32 = 1024;
const OUT_BYTES: u32 = 2048;

/** The page; 0: there is none. */
let ring: usize = 0;
let port: u32 = 0;

/**
 * The console's page and port, from start_info or from a xenbus front end; no page: Xen's own console. After a resume it is
 * start_info's, and one on the xenbus has to be connected anew.
 */
export function setConsole(page: usize, consolePort: u32): void {
  ring = page;
  port = consolePort;
}

function input(_port: u32): void {
  consoleInputInterrupt();
}

/** console.setup; and again after a resume, when start_info names another port. */
export function xenConsoleSetup(): void {
  onSuspend(nothingBefore, setupAgain);
  if (ring === 0) port = bindVirq(VIRQ_CONSOLE, 0);
  if (port === 0) return;
  onEvent(port, input);
  unmaskPort(port);
}

function setupAgain(cancelled: bool): void {
  if (!cancelled) xenConsoleSetup();
}

/** console.write */
export function xenConsoleWrite(text: usize, bytes: usize): usize {
  if (ring === 0) return HYPERVISOR_console_io(CONSOLEIO_write, <i32>bytes, text) === 0 ? bytes : 0;
  let produced = load<u32>(ring, xencons_interface_out_prod);
  const room = OUT_BYTES - (produced - load<u32>(ring, xencons_interface_out_cons));
  const count = <u32>bytes < room ? <u32>bytes : room;
  // The bytes' places are read by the other side until it says it is done with them.
  fence();
  for (let i: u32 = 0; i < count; i++) {
    store<u8>(ring + (produced & (OUT_BYTES - 1)), load<u8>(text + i), xencons_interface_out);
    produced++;
  }
  fence();
  store<u32>(ring, produced, xencons_interface_out_prod);
  if (count > 0) notifyPort(port);
  return count;
}

/** console.read */
export function xenConsoleRead(into: usize, bytes: usize): usize {
  if (ring === 0) {
    const result = HYPERVISOR_console_io(CONSOLEIO_read, <i32>bytes, into);
    return result > 0 ? <usize>result : 0;
  }
  let consumed = load<u32>(ring, xencons_interface_in_cons);
  const ready = load<u32>(ring, xencons_interface_in_prod) - consumed;
  const count = <u32>bytes < ready ? <u32>bytes : ready;
  fence();
  for (let i: u32 = 0; i < count; i++) {
    store<u8>(into + i, load<u8>(ring + (consumed & (IN_BYTES - 1)), xencons_interface_in));
    consumed++;
  }
  fence();
  store<u32>(ring, consumed, xencons_interface_in_cons);
  if (count > 0) notifyPort(port);
  return count;
}
