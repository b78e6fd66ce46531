/**
 * A client of xenstore: a tree of small strings that the toolstack keeps, and by which domains find their devices. A page
 * with two rings of bytes and an event channel carries messages, a header and its payload each way. (public/io/xs_wire.h)
 *
 * One request at a time: it is written, and whoever asks waits for the reply, in Xen (SCHEDOP_poll), so this works before
 * interrupts do. Events of watches that come in between are counted, and their paths forgotten: whoever watches reads anew.
 */
import { SCHEDOP_poll } from '../../abi/xen/numbers/sched.ts';
import {
  XENSTORE_RING_SIZE,
  XS_ERROR,
  XS_READ,
  XS_RM,
  XS_WATCH,
  XS_WATCH_EVENT,
  XS_WRITE,
} from '../../abi/xen/numbers/xenstore.ts';
import {
  SIZEOF_sched_poll,
  SIZEOF_xsd_sockmsg,
  sched_poll_nr_ports,
  sched_poll_ports,
  sched_poll_timeout,
  xenstore_domain_interface_req,
  xenstore_domain_interface_req_cons,
  xenstore_domain_interface_req_prod,
  xenstore_domain_interface_rsp,
  xenstore_domain_interface_rsp_cons,
  xenstore_domain_interface_rsp_prod,
  xsd_sockmsg_len,
  xsd_sockmsg_req_id,
  xsd_sockmsg_tx_id,
  xsd_sockmsg_type,
} from '../abi/structures';
import { fence, native } from '../machine/memory';
import { xenDisableInterrupts, xenRestoreInterrupts, xenSaveInterrupts } from './event-mask';
import { clearPending, notifyPort } from './events';
import { HYPERVISOR_sched_op } from './hypercall';

const MASK: u32 = XENSTORE_RING_SIZE - 1;
/** What a call returns that failed. */
export const XENSTORE_FAILED: i32 = -1;

let ring: usize = 0;
let port: u32 = 0;
let lastRequest: u32 = 0;
/** Watch events that came. */
export let watchEvents: u32 = 0;

const header: usize = memory.data(SIZEOF_xsd_sockmsg, 8);
const poll: usize = memory.data(SIZEOF_sched_poll, 8);
const polled: usize = memory.data(4, 4);

/** The page and port of start_info. */
export function setXenstore(page: usize, storePort: u32): void {
  ring = page;
  port = storePort;
}

/** Whether there is one to ask. */
export function hasXenstore(): bool {
  return ring !== 0;
}

/** Sleeps in Xen until our port is signalled; one that is pending already wakes it at once. */
function wait(): void {
  store<u32>(polled, port);
  store<Word>(poll, <Word>native(polled), sched_poll_ports);
  store<u32>(poll, 1, sched_poll_nr_ports);
  store<u64>(poll, 0, sched_poll_timeout);
  HYPERVISOR_sched_op(SCHEDOP_poll, poll);
  clearPending(port);
}

function send(from: usize, bytes: u32): void {
  for (let i: u32 = 0; i < bytes; i++) {
    let produced = load<u32>(ring, xenstore_domain_interface_req_prod);
    while (produced - load<u32>(ring, xenstore_domain_interface_req_cons) === <u32>XENSTORE_RING_SIZE) {
      notifyPort(port);
      wait();
    }
    store<u8>(ring + (produced & MASK), load<u8>(from + i), xenstore_domain_interface_req);
    fence();
    produced++;
    store<u32>(ring, produced, xenstore_domain_interface_req_prod);
  }
}

/** Takes `bytes` bytes; those beyond `room` are dropped. */
function receive(into: usize, bytes: u32, room: u32): void {
  for (let i: u32 = 0; i < bytes; i++) {
    const consumed = load<u32>(ring, xenstore_domain_interface_rsp_cons);
    while (load<u32>(ring, xenstore_domain_interface_rsp_prod) === consumed) wait();
    fence();
    if (i < room) store<u8>(into + i, load<u8>(ring + (consumed & MASK), xenstore_domain_interface_rsp));
    store<u32>(ring, consumed + 1, xenstore_domain_interface_rsp_cons);
  }
  notifyPort(port);
}

/**
 * Sends a request of two parts (the second may have no bytes) and writes up to `room` bytes of the reply to `into`. Returns
 * how many bytes the reply had, or XENSTORE_FAILED if it was an error, whose name stands at `into` then.
 */
function request(
  type: u32,
  first: usize,
  firstBytes: u32,
  second: usize,
  secondBytes: u32,
  into: usize,
  room: u32,
): i32 {
  if (ring === 0) return XENSTORE_FAILED;
  const state = xenSaveInterrupts();
  xenDisableInterrupts();
  const id = ++lastRequest;
  store<u32>(header, type, xsd_sockmsg_type);
  store<u32>(header, id, xsd_sockmsg_req_id);
  store<u32>(header, 0, xsd_sockmsg_tx_id);
  store<u32>(header, firstBytes + secondBytes, xsd_sockmsg_len);
  send(header, <u32>SIZEOF_xsd_sockmsg);
  send(first, firstBytes);
  send(second, secondBytes);
  notifyPort(port);
  for (;;) {
    receive(header, <u32>SIZEOF_xsd_sockmsg, <u32>SIZEOF_xsd_sockmsg);
    const replied = load<u32>(header, xsd_sockmsg_type);
    const bytes = load<u32>(header, xsd_sockmsg_len);
    if (replied === XS_WATCH_EVENT || load<u32>(header, xsd_sockmsg_req_id) !== id) {
      watchEvents++;
      receive(into, bytes, 0);
      continue;
    }
    receive(into, bytes, room);
    xenRestoreInterrupts(state);
    return replied === XS_ERROR ? XENSTORE_FAILED : <i32>bytes;
  }
}

/** Bytes of a string that ends with a zero byte, without it. */
function length(text: usize): u32 {
  let bytes: u32 = 0;
  while (load<u8>(text + bytes) !== 0) bytes++;
  return bytes;
}

/** Reads the node at `path` (zero-terminated) to `into`. Returns how many bytes it has, or XENSTORE_FAILED. */
export function xenstoreRead(path: usize, into: usize, room: u32): i32 {
  return request(XS_READ, path, length(path) + 1, 0, 0, into, room);
}

/** Writes `bytes` bytes to the node at `path`. Returns 0 or more, or XENSTORE_FAILED. */
export function xenstoreWrite(path: usize, value: usize, bytes: u32): i32 {
  return request(XS_WRITE, path, length(path) + 1, value, bytes, 0, 0);
}

/** Removes the node at `path` and all below it. */
export function xenstoreRemove(path: usize): i32 {
  return request(XS_RM, path, length(path) + 1, 0, 0, 0, 0);
}

/** Has changes below `path` told, by the port's event; `token` (zero-terminated) is ours to choose. */
export function xenstoreWatch(path: usize, token: usize): i32 {
  return request(XS_WATCH, path, length(path) + 1, token, length(token) + 1, 0, 0);
}
