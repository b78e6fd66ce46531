/**
 * What each message of the wire protocol asks for: a table from message type to handler.
 *
 * A handler takes the payload apart, does the work through operations.ts or the daemon, and gives the payload
 * of the answer. It raises XenstoreError, which becomes an ERROR message. The shapes are those of
 * docs/misc/xenstore.txt; where that text is silent, of tools/xenstore/xenstored_core.c in Xen 4.17.
 */

import type { Connection } from './connection.ts';
import {
  makeDirectory,
  type Request,
  readDirectory,
  readPermissions,
  readValue,
  removeNode,
  writePermissions,
  writeValue,
} from './operations.ts';
import { canonicalPath, domainPath } from './paths.ts';
import { formatPermissions, type Permission, parsePermissions } from './permissions.ts';
import type { Quota } from './quota.ts';
import type { Store } from './store.ts';
import { Transaction } from './transaction.ts';
import {
  bytesToText,
  decodeNumber,
  decodeOneString,
  decodeStrings,
  encodeStrings,
  type Message,
  MessageType,
  PAYLOAD_MAX,
  textToBytes,
  XenstoreError,
} from './wire.ts';

/** What handlers need of the daemon. */
export interface Services {
  readonly store: Store;
  readonly quota: Quota;
  domainExists(domid: number): boolean;
  introduceByFrame(domid: number, gfn: number, port: number): void;
  releaseDomain(domid: number): void;
  resumeDomain(domid: number): void;
  setTarget(domid: number, target: number): void;
  isIntroduced(domid: number): boolean;
  setSpecialPermissions(request: Request, path: string, permissions: readonly Permission[]): void;
  control(command: string, parameters: readonly string[]): string;
}

/** An answer's payload, and what must follow the answer. */
export interface Answer {
  readonly payload: Uint8Array;
  readonly afterwards?: () => void;
}

interface Call {
  readonly services: Services;
  readonly connection: Connection;
  readonly transaction: Transaction | undefined;
  readonly request: Request;
  readonly payload: Uint8Array;
}

interface Handler {
  readonly handle: (call: Call) => Uint8Array | Answer;
  /** The control domain only: EACCES for others. */
  readonly privileged?: true;
  /** The transaction number in the header means nothing. */
  readonly ignoresTransaction?: true;
}

const OK = encodeStrings(['OK']);
const DOMID_MAX = 0xffff;
/** The number by which a domain means itself. */
const DOMID_SELF = 0x7ff0;

/** Does what a message asks for. Raises XenstoreError. */
export function answer(services: Services, connection: Connection, message: Message): Answer {
  const handler = HANDLERS[message.type];
  if (!handler) throw new XenstoreError('ENOSYS', `there is no message type ${message.type}`);
  if (handler.privileged && !connection.privileged) {
    throw new XenstoreError('EACCES', `message type ${message.type} is for the control domain`);
  }
  const id = handler.ignoresTransaction ? 0 : message.transactionId;
  const transaction = connection.transactions.get(id);
  if (id !== 0 && !transaction) throw new XenstoreError('ENOENT', `there is no transaction ${id}`);
  const request: Request = {
    actor: connection,
    tree: transaction ?? services.store,
    quota: services.quota,
    domainExists: (domid) => services.domainExists(domid),
  };
  try {
    const result = handler.handle({ services, connection, transaction, request, payload: message.payload });
    const answer = result instanceof Uint8Array ? { payload: result } : result;
    if (answer.payload.length > PAYLOAD_MAX)
      throw new XenstoreError('E2BIG', 'the answer does not fit in a payload');
    return answer;
  } catch (error) {
    // A transaction that lacks one of its changes must not be committed as if it had them all.
    if (error instanceof XenstoreError && /^(ENOSPC|ENOMEM)$/.test(error.errorName)) transaction?.fail();
    throw error;
  }
}

function onlyPath({ connection, payload }: Call): string {
  return canonicalPath(decodeOneString(payload), connection.domid);
}

function directoryPart(call: Call): Uint8Array {
  const [path, offsetText, ...more] = decodeStrings(call.payload);
  if (path === undefined || offsetText === undefined || more.length > 0) {
    throw new XenstoreError('EINVAL', 'expected a path and an offset');
  }
  const node = readDirectory(call.request, canonicalPath(path, call.connection.domid));
  const generation = encodeStrings([`${node.generation}`]);
  const names = encodeStrings(node.children);
  const start = Math.min(decodeNumber(offsetText, Number.MAX_SAFE_INTEGER), names.length);
  // Whole names only, and room for the empty one that says that the list ends here.
  let end = Math.min(names.length, start + PAYLOAD_MAX - generation.length - 1);
  if (end < names.length) end = names.lastIndexOf(0, end - 1) + 1;
  const part = new Uint8Array(generation.length + (end - start) + (end === names.length ? 1 : 0));
  part.set(generation);
  part.set(names.subarray(start, end), generation.length);
  return part;
}

function write(call: Call): Uint8Array {
  const nul = call.payload.indexOf(0);
  if (nul < 0) throw new XenstoreError('EINVAL', 'expected a path that ends with a nul, then a value');
  const path = bytesToText(call.payload.subarray(0, nul));
  writeValue(call.request, canonicalPath(path, call.connection.domid), call.payload.slice(nul + 1));
  return OK;
}

function setPermissions({ services, connection, request, payload }: Call): Uint8Array {
  const [path, ...texts] = decodeStrings(payload);
  if (path === undefined) throw new XenstoreError('EINVAL', 'expected a path and permissions');
  if (!connection.privileged && texts.length > services.quota.permissions) {
    throw new XenstoreError('ENOSPC', `a node carries at most ${services.quota.permissions} permissions`);
  }
  const permissions = parsePermissions(texts);
  if (path.startsWith('@')) services.setSpecialPermissions(request, path, permissions);
  else writePermissions(request, canonicalPath(path, connection.domid), permissions);
  return OK;
}

function watch({ services, connection, payload }: Call): Answer {
  const [path, token, depthText, ...more] = decodeStrings(payload);
  if (path === undefined || token === undefined || more.length > 0) {
    throw new XenstoreError('EINVAL', 'expected a path, a token and maybe a depth');
  }
  const depth = depthText === undefined ? undefined : decodeNumber(depthText, 0xffffffff);
  const added = connection.watches.add(path, token, depth, services.quota);
  // Each watch fires once at the start, after its answer, so that no change before it can be missed.
  const reported = connection.watches.reportedPath(added, added.path);
  return { payload: OK, afterwards: () => connection.sendEvent(reported, token, null) };
}

function unwatch({ connection, payload }: Call): Uint8Array {
  const [path, token] = decodeStrings(payload);
  if (path === undefined || token === undefined)
    throw new XenstoreError('EINVAL', 'expected a path and a token');
  connection.watches.remove(path, token);
  return OK;
}

function transactionStart({ services, connection, transaction }: Call): Uint8Array {
  if (transaction) throw new XenstoreError('EBUSY', 'a transaction cannot be started inside another');
  if (!connection.privileged && connection.account.transactions >= services.quota.transactions) {
    throw new XenstoreError('ENOSPC', `at most ${services.quota.transactions} transactions may be open`);
  }
  const id = connection.newTransactionId();
  connection.transactions.set(id, new Transaction(id, services.store, connection, services.quota));
  return encodeStrings([`${id}`]);
}

function transactionEnd({ connection, transaction, payload }: Call): Uint8Array {
  const verdict = decodeOneString(payload);
  if (verdict !== 'T' && verdict !== 'F')
    throw new XenstoreError('EINVAL', 'expected T to commit or F to abort');
  if (!transaction) throw new XenstoreError('ENOENT', 'no transaction is named');
  connection.transactions.delete(transaction.id);
  if (verdict === 'T') transaction.commit();
  else transaction.abort();
  return OK;
}

function resetWatches({ connection }: Call): Uint8Array {
  connection.watches.clear();
  connection.dropTransactions();
  return OK;
}

function introduce({ services, payload }: Call): Uint8Array {
  const [domid, gfn, port] = decodeStrings(payload);
  if (domid === undefined || gfn === undefined || port === undefined || !/^-?\d{1,15}$/.test(gfn)) {
    throw new XenstoreError('EINVAL', 'expected a domain, a frame and an event channel');
  }
  services.introduceByFrame(decodeNumber(domid, DOMID_MAX), Number(gfn), decodeNumber(port, 0xffffffff));
  return OK;
}

function onlyDomid(payload: Uint8Array): number {
  return decodeNumber(decodeOneString(payload), DOMID_MAX);
}

function release({ services, payload }: Call): Uint8Array {
  services.releaseDomain(onlyDomid(payload));
  return OK;
}

function resume({ services, payload }: Call): Uint8Array {
  services.resumeDomain(onlyDomid(payload));
  return OK;
}

function setTarget({ services, payload }: Call): Uint8Array {
  const [domid, target] = decodeStrings(payload);
  if (domid === undefined || target === undefined) throw new XenstoreError('EINVAL', 'expected two domains');
  services.setTarget(decodeNumber(domid, DOMID_MAX), decodeNumber(target, DOMID_MAX));
  return OK;
}

function isDomainIntroduced({ services, payload }: Call): Uint8Array {
  const domid = onlyDomid(payload);
  return encodeStrings([domid === DOMID_SELF || services.isIntroduced(domid) ? 'T' : 'F']);
}

function control({ services, payload }: Call): Uint8Array {
  const [command, ...parameters] = decodeStrings(payload);
  if (command === undefined) throw new XenstoreError('EINVAL', 'expected a command');
  return textToBytes(`${services.control(command, parameters)}\0`);
}

function doing(operation: (request: Request, path: string) => void): (call: Call) => Uint8Array {
  return (call) => {
    operation(call.request, onlyPath(call));
    return OK;
  };
}

const HANDLERS: Readonly<Record<number, Handler>> = {
  [MessageType.CONTROL]: { handle: control, privileged: true },
  [MessageType.DIRECTORY]: {
    handle: (call) => encodeStrings(readDirectory(call.request, onlyPath(call)).children),
  },
  [MessageType.DIRECTORY_PART]: { handle: directoryPart },
  [MessageType.READ]: { handle: (call) => readValue(call.request, onlyPath(call)) },
  [MessageType.GET_PERMS]: {
    handle: (call) => encodeStrings(formatPermissions(readPermissions(call.request, onlyPath(call)))),
  },
  [MessageType.SET_PERMS]: { handle: setPermissions },
  [MessageType.WRITE]: { handle: write },
  [MessageType.MKDIR]: { handle: doing(makeDirectory) },
  [MessageType.RM]: { handle: doing(removeNode) },
  [MessageType.WATCH]: { handle: watch, ignoresTransaction: true },
  [MessageType.UNWATCH]: { handle: unwatch, ignoresTransaction: true },
  [MessageType.RESET_WATCHES]: { handle: resetWatches },
  [MessageType.TRANSACTION_START]: { handle: transactionStart },
  [MessageType.TRANSACTION_END]: { handle: transactionEnd },
  [MessageType.INTRODUCE]: { handle: introduce, privileged: true },
  [MessageType.RELEASE]: { handle: release, privileged: true },
  [MessageType.RESUME]: { handle: resume, privileged: true },
  [MessageType.SET_TARGET]: { handle: setTarget, privileged: true },
  [MessageType.IS_DOMAIN_INTRODUCED]: { handle: isDomainIntroduced, privileged: true },
  [MessageType.GET_DOMAIN_PATH]: { handle: ({ payload }) => encodeStrings([domainPath(onlyDomid(payload))]) },
};
