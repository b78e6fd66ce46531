/**
 * The `__xen_guest` section: how kernels described themselves before there were notes, and how GNU Mach still
 * does. One string, `KEY=value,KEY=value,FLAG,…`. Follows Xen 4.17, xen/common/libelf/libelf-dominfo.c.
 */

import type { Elf } from './elf.ts';
import type { ImageReader } from './reader.ts';
import { addFeatures, noStatements, type XenStatements } from './statements.ts';

/** What each key does. Keys that are not here (GNU Mach's GUEST_VERSION) are passed over. */
const handlers: Readonly<Record<string, (to: XenStatements, value: string, reader: ImageReader) => void>> = {
  LOADER: (to, value) => (to.loader = value),
  GUEST_OS: (to, value) => (to.guestOs = value),
  GUEST_VER: (to, value) => (to.guestVersion = value),
  XEN_VER: (to, value) => (to.xenVersion = value),
  PAE: (to, value) => {
    if (value === 'yes[extended-cr3]') to.pae = 'extended-cr3';
    else if (value.startsWith('yes')) to.pae = 'yes';
  },
  BSD_SYMTAB: (to) => (to.bsdSymtab = true),
  VIRT_BASE: (to, value) => (to.virtBase = integer(value)),
  VIRT_ENTRY: (to, value) => (to.entry = integer(value)),
  ELF_PADDR_OFFSET: (to, value) => (to.paddrOffset = integer(value)),
  // A frame number above VIRT_BASE, which may come later in the string: made an address at the end.
  HYPERCALL_PAGE: (to, value) => (to.hypercallPage = integer(value) * 4096),
  FEATURES: (to, value, reader) => addFeatures(to, value, reader),
};

/**
 * What the `__xen_guest` section of `elf` states, or undefined if there is none. Raises ImageError if it is
 * cut short.
 */
export function readGuestInfo({ reader, sections }: Elf): XenStatements | undefined {
  const section = sections.find(({ name }) => name === '__xen_guest');
  if (section === undefined) return undefined;
  const text = reader.string(section.offset);
  if (text === undefined) throw reader.error('corrupt: its __xen_guest section does not end');
  const statements = noStatements();
  for (const item of text.split(',')) {
    const equals = item.indexOf('=');
    const [key, value] = equals < 0 ? [item, ''] : [item.slice(0, equals), item.slice(equals + 1)];
    if (Object.hasOwn(handlers, key)) handlers[key](statements, value, reader);
  }
  const { virtBase, hypercallPage } = statements;
  if (virtBase !== undefined && hypercallPage !== undefined)
    statements.hypercallPage = virtBase + hypercallPage;
  return statements;
}

/**
 * A C integer constant (0x…, 0…, or decimal) of 64 bits as a signed number. Anything else is 0, and what is too large the
 * largest, as with strtoull.
 */
function integer(text: string): number {
  if (!/^(0x[0-9a-f]+|\d+)$/i.test(text)) return 0;
  const value = BigInt(/^0[0-7]+$/.test(text) ? `0o${text}` : text);
  return Number(BigInt.asIntN(64, value > largest ? largest : value));
}
const largest = 2n ** 64n - 1n;
