/** An address space as kernel and back end share it. The kernel makes the record, which is its own otherwise. */

@unmanaged
export class AddressSpace {
  /** The root table: a page of the kernel. 0: none. */
  root: usize;
  /** The back end's: a second root, with the user's half alone, where user mode has one of its own. */
  userRoot: usize;
  /** The back end's: whether the hypervisor has checked the tables and watches them. */
  pinned: bool;
}

export const SIZEOF_AddressSpace: usize = offsetof<AddressSpace>();
