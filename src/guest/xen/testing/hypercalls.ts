/** The hypercalls and what builds them, for their tests. */
export * from '../event-mask';
export * from '../hypercall';
export * from '../hypercall-compat';
export * from '../multi';
export * from '../vcpu-info';

const room: usize = memory.data(4096, 16);

/** A page for arguments. */
export function argumentRoom(): usize {
  return room;
}
