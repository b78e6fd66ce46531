/**
 * What a new PV domain finds about itself in the store, as `xl create` leaves it.
 *
 * The entries, their order and their permissions follow Xen 4.17's libxl: libxl__domain_make
 * (libxl_create.c), libxl__build_post (libxl_dom.c), libxl__device_console_add (libxl_console.c). In the
 * drawing r is readable for the guest, w is owned by it, - is for the control domain only:
 *
 *     /local/domain/N      r  name domid vm cpu/I/availability memory/… store/… console/… device
 *                          w  data drivers feature attr error device/suspend/event-channel control/shutdown, …
 *     /vm/UUID             r  uuid name image/… start_time
 *     /libxl/N             -  type dm-version device/console/0/…
 *     /local/domain/0/backend/console/N/0   r
 */

import type { XenstoreClient, XenstoreTransaction } from './client.ts';
import { domainPath } from './paths.ts';
import type { Xenstored } from './xenstored.ts';

/** A shared page as the guest knows it, and its end of the event channel. */
export interface GuestChannel {
  /** The frame number of the page (a PV guest's `ring-ref` is a machine frame). */
  readonly frame: number;
  readonly port: number;
}

export interface DomainEntries {
  readonly domid: number;
  readonly name: string;
  /** Lower case with hyphens. */
  readonly uuid: string;
  /** What the balloon driver aims at. */
  readonly memoryKib: number;
  /** At least `memoryKib`; the same if absent. */
  readonly maxMemoryKib?: number;
  readonly vcpus: number;
  /** vCPUs that are online at the start; all if absent. */
  readonly onlineVcpus?: number;
  readonly store: GuestChannel;
  readonly console: GuestChannel;
  /** Where the console goes, for `xl console`. */
  readonly consoleTty?: string;
  readonly kernel: string;
  readonly ramdisk?: string;
  readonly commandLine?: string;
  /** Seconds since 1970. */
  readonly startTime: number;
}

/**
 * Bytes of console output that xenconsoled keeps for a reader; the guest may read it, nothing depends on it.
 */
const CONSOLE_LIMIT = 1048576;
const XENBUS_STATE_INITIALISING = '1';

/**
 * Makes the domain known to the daemon and writes all its entries in one transaction, replacing old ones. To
 * be followed by `introduce`. Raises XenstoreError for names that are no path, such as a bad UUID.
 */
export function writeDomainEntries(xenstored: Xenstored, entries: DomainEntries): void {
  xenstored.createDomain(entries.domid);
  const client = xenstored.client();
  try {
    client.transact((view) => {
      writeControlDomain(view);
      writeSkeleton(view, entries);
      writeResources(view, entries);
      writeConsole(view, entries);
    });
  } finally {
    client.close();
  }
}

/** Removes what the domain's death has not removed: everything about it that the control domain owns. */
export function removeDomainEntries(
  client: XenstoreClient,
  { domid, uuid }: Pick<DomainEntries, 'domid' | 'uuid'>,
): void {
  client.transact((view) => {
    for (const path of [`/local/domain/${domid}`, `/vm/${uuid}`, `/libxl/${domid}`])
      removeIfThere(view, path);
    removeIfThere(view, `/local/domain/0/backend/console/${domid}`);
  });
}

/** What xen-init-dom0 leaves, once a host. */
function writeControlDomain(view: XenstoreTransaction): void {
  if (view.findText('/local/domain/0/domid') !== undefined) return;
  write(view, '/local/domain/0', { domid: '0', name: 'Domain-0' });
}

function writeSkeleton(view: XenstoreTransaction, { domid, name, uuid }: DomainEntries): void {
  const home = domainPath(domid);
  const readable = ['n0', `r${domid}`];
  const owned = [`n${domid}`];
  const make = (path: string, permissions: readonly string[]) => {
    view.mkdir(path);
    view.setPermissions(path, permissions);
  };
  for (const path of [home, `/vm/${uuid}`, `/libxl/${domid}`]) removeIfThere(view, path);
  make(home, readable);
  make(`/vm/${uuid}`, readable);
  make(`/libxl/${domid}`, ['n0']);
  make(`/libxl/${domid}/device`, ['n0']);
  write(view, home, { vm: `/vm/${uuid}`, name });
  for (const path of ['cpu', 'memory', 'device']) make(`${home}/${path}`, readable);
  make(`${home}/device/suspend/event-channel`, owned);
  make(`${home}/control`, readable);
  for (const path of ['shutdown', 'feature-poweroff', 'feature-reboot', 'feature-suspend', 'sysrq']) {
    make(`${home}/control/${path}`, owned);
  }
  for (const path of ['data', 'drivers', 'feature', 'attr', 'error']) make(`${home}/${path}`, owned);
  write(view, `/vm/${uuid}`, { uuid, name });
  write(view, `${home}/control`, {
    'platform-feature-multiprocessor-suspend': '1',
    'platform-feature-xs_reset_watches': '1',
  });
  write(view, `/libxl/${domid}`, { type: 'pv', 'dm-version': 'qemu_xen' });
}

function writeResources(view: XenstoreTransaction, entries: DomainEntries): void {
  const { domid, uuid, memoryKib, vcpus } = entries;
  write(view, domainPath(domid), {
    'memory/static-max': entries.maxMemoryKib ?? memoryKib,
    'memory/target': memoryKib,
    'memory/videoram': 0,
    domid,
    'store/port': entries.store.port,
    'store/ring-ref': entries.store.frame,
  });
  for (let i = 0; i < vcpus; i++) {
    const online = i < (entries.onlineVcpus ?? vcpus);
    write(view, domainPath(domid), { [`cpu/${i}/availability`]: online ? 'online' : 'offline' });
  }
  write(view, `/vm/${uuid}`, {
    'image/ostype': 'linux',
    'image/kernel': entries.kernel,
    start_time: entries.startTime.toFixed(2),
    ...(entries.ramdisk === undefined ? {} : { 'image/ramdisk': entries.ramdisk }),
    ...(entries.commandLine === undefined ? {} : { 'image/cmdline': entries.commandLine }),
  });
}

function writeConsole(view: XenstoreTransaction, { domid, console, consoleTty }: DomainEntries): void {
  const frontend = `${domainPath(domid)}/console`;
  const backend = `/local/domain/0/backend/console/${domid}/0`;
  const record = `/libxl/${domid}/device/console/0`;
  const backendEntries = {
    'frontend-id': domid,
    online: '1',
    state: XENBUS_STATE_INITIALISING,
    protocol: 'vt100',
  };
  for (const path of [frontend, backend]) {
    removeIfThere(view, path);
    view.mkdir(path);
    view.setPermissions(path, ['n0', `r${domid}`]);
  }
  write(view, frontend, { backend, 'backend-id': '0' });
  view.setPermissions(`${frontend}/backend-id`, [`n${domid}`, 'r0']);
  write(view, frontend, {
    limit: CONSOLE_LIMIT,
    type: 'xenconsoled',
    output: 'pty',
    tty: consoleTty ?? '',
    port: console.port,
    'ring-ref': console.frame,
  });
  write(view, backend, { frontend, ...backendEntries });
  write(view, record, { frontend, backend, ...backendEntries });
}

function write(
  view: XenstoreTransaction,
  path: string,
  values: Readonly<Record<string, string | number>>,
): void {
  for (const [name, value] of Object.entries(values)) view.write(`${path}/${name}`, `${value}`);
}

function removeIfThere(view: XenstoreTransaction, path: string): void {
  // Not even the parent need exist: nothing to remove then.
  if (view.findText(path) !== undefined) view.rm(path);
}
