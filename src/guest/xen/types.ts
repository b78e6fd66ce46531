/**
 * The numbers that Xen's guests must not mix up, under the names that Xen's documents use. AssemblyScript knows no branded
 * types, so these names say what is meant where a parameter stands, and no more.
 *
 * `Word` is the guest's `unsigned long`: u64 or u32, chosen when the sources are compiled, along with WORD_BITS.
 */

/** A machine frame number: a page of the real (well, the hypervisor's) memory. */
export type Mfn = Word;

/** A pseudo-physical frame number: a page of the domain's own memory, counted from 0. */
export type Pfn = Word;

/** A machine address in bytes (`xmaddr_t`): 64 bits for PAE too. */
export type Maddr = u64;

/** A pseudo-physical address in bytes (`xpaddr_t`). */
export type Paddr = u64;

/** A virtual address. Addresses of this module's memory are `usize`. */
export type Vaddr = u64;

/** Bytes of a Word. */
export const WORD_BYTES: usize = WORD_BITS / 8;

export const PAGE_SHIFT: usize = 12;
export const PAGE_SIZE: usize = 4096;
