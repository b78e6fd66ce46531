/**
 * xenstore: the small tree of names and values through which a host and its guests tell each other what there
 * is.
 *
 * Reading order of this folder:
 *   wire, paths, permissions, quota        the vocabulary
 *   store, operations, transaction, watches    the database
 *   connection, requests, control, ring    a guest's way in: bytes, messages, the shared page
 *   client                                 the toolstack's way in: calls
 *   xenstored                              the daemon that ties them together
 *   domain-entries                         what a new domain finds about itself
 * `wire-client` is for tests.
 */

export type { Subscription, WatchCallback, XenstoreClient, XenstoreTransaction } from './client.ts';
export { type Connection, ConnectionFault } from './connection.ts';
export {
  type DomainEntries,
  type GuestChannel,
  removeDomainEntries,
  writeDomainEntries,
} from './domain-entries.ts';
export { DEFAULT_QUOTA, type Quota } from './quota.ts';
export { type ErrorName, XenstoreError } from './wire.ts';
export { type RingCarrier, Xenstored, type XenstoredOptions } from './xenstored.ts';
