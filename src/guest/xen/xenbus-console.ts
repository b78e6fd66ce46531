/**
 * A console found on the xenbus: the front end of one that the toolstack announces below `device/console/N`, as opposed to
 * the first, whose page the domain builder made. The front end makes the page and the event channel, lends the page to the
 * back end, writes both to its own nodes and switches its state; the back end switches its own when it has them mapped.
 *
 *     front end          Initialising ── ring-ref, port, Initialised ── Connected
 *     back end                      InitWait ─────────────────── Connected
 *
 * (Xen, docs/misc/console.txt; public/io/xenbus.h.)
 */
import {
  XenbusStateConnected,
  XenbusStateInitialised,
  XenbusStateInitWait,
} from '../../abi/xen/numbers/xenstore.ts';
import { setConsole } from './console';
import { allocateUnbound } from './events';
import { grantAccess, NO_GRANT } from './grants';
import { virtToMfn } from './page';
import { PAGE_SIZE } from './types';
import { XENSTORE_FAILED, xenstoreRead, xenstoreWrite } from './xenstore';

const PATH_BYTES: u32 = 256;
const path: usize = memory.data(256);
const text: usize = memory.data(256);

/** Writes `device` and `/name` to `path`, zero-terminated. `name` is one of the constants below, as bytes. */
function nodeOf(device: usize, name: usize): usize {
  let at: usize = 0;
  for (let i: usize = 0; load<u8>(device + i) !== 0 && at < PATH_BYTES - 32; i++)
    store<u8>(path + at++, load<u8>(device + i));
  store<u8>(path + at++, 0x2f);
  for (let i: usize = 0; load<u8>(name + i) !== 0; i++) store<u8>(path + at++, load<u8>(name + i));
  store<u8>(path + at, 0);
  return path;
}

/** Names of nodes, zero-terminated. */
const STATE: usize = memory.data<u8>([0x73, 0x74, 0x61, 0x74, 0x65, 0]);
const RING_REF: usize = memory.data<u8>([0x72, 0x69, 0x6e, 0x67, 0x2d, 0x72, 0x65, 0x66, 0]);
const PORT: usize = memory.data<u8>([0x70, 0x6f, 0x72, 0x74, 0]);
const BACKEND_ID: usize = memory.data<u8>([0x62, 0x61, 0x63, 0x6b, 0x65, 0x6e, 0x64, 0x2d, 0x69, 0x64, 0]);
const BACKEND: usize = memory.data<u8>([0x62, 0x61, 0x63, 0x6b, 0x65, 0x6e, 0x64, 0]);

function writeNumber(device: usize, name: usize, value: u32): bool {
  let digits: u32 = 1;
  for (let rest = value / 10; rest !== 0; rest /= 10) digits++;
  let rest = value;
  for (let i = digits; i > 0; i--) {
    store<u8>(text + i - 1, <u8>(0x30 + (rest % 10)));
    rest /= 10;
  }
  return xenstoreWrite(nodeOf(device, name), text, digits) !== XENSTORE_FAILED;
}

/** The number that stands in a node, or -1. */
function readNumber(device: usize, name: usize): i32 {
  const bytes = xenstoreRead(nodeOf(device, name), text, 16);
  if (bytes <= 0) return -1;
  let value: i32 = 0;
  for (let i = 0; i < bytes; i++) {
    const digit = <i32>load<u8>(text + i) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

const backend: usize = memory.data(256);

/** The state of the back end, whose path stands in our node; -1: it has none. */
function backendState(device: usize): i32 {
  const bytes = xenstoreRead(nodeOf(device, BACKEND), backend, PATH_BYTES - 1);
  if (bytes <= 0 || bytes >= <i32>PATH_BYTES - 32) return -1;
  store<u8>(backend + bytes, 0);
  return readNumber(backend, STATE);
}

/**
 * Connects the console whose nodes stand below `device` (zero-terminated), through `page`. Returns true once our side is
 * set up, false if the back end is not waiting for us. `xenbusConsoleConnected` says when the other side is there too.
 */
export function connectXenbusConsole(device: usize, page: usize): bool {
  const other = readNumber(device, BACKEND_ID);
  if (other < 0 || backendState(device) !== XenbusStateInitWait) return false;
  memory.fill(page, 0, PAGE_SIZE);
  const reference = grantAccess(other, virtToMfn(page), false);
  const port = allocateUnbound(other);
  if (reference === NO_GRANT || port === 0) return false;
  setConsole(page, port);
  return (
    writeNumber(device, RING_REF, reference) &&
    writeNumber(device, PORT, port) &&
    writeNumber(device, STATE, XenbusStateInitialised)
  );
}

/** Looks whether the back end is connected, and if so says that we are. */
export function xenbusConsoleConnected(device: usize): bool {
  return backendState(device) === XenbusStateConnected && writeNumber(device, STATE, XenbusStateConnected);
}
