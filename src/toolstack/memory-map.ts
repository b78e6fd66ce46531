/**
 * The memory map of a PV domain with `e820_host`: RAM from 0 up, as libxl has it, and below 4 GiB the hole in which a PC has
 * its devices. libxl takes the holes from the machine's own map; our machine has none, so they are those of any PC. The first
 * MiB stays RAM: Linux reads its tables there, and frames that are no RAM would be the machine's.
 *
 *     0                 3 GiB            4 GiB
 *     | RAM up to here  | reserved       | the rest of RAM
 */
import { XEN_HVM_MEMMAP_TYPE_RAM, XEN_HVM_MEMMAP_TYPE_RESERVED } from '../abi/xen/numbers/index.ts';
import type { MemoryMapEntry } from '../xen/mm/memory-map.ts';

const MIB = 2 ** 20;
const DEVICES = 3 * 1024 * MIB;
const ABOVE = 4 * 1024 * MIB;

/** The map of a domain that may have `mib` MiB. */
export function pcMemoryMap(mib: number): readonly MemoryMapEntry[] {
  const bytes = mib * MIB;
  const below = Math.min(bytes, DEVICES);
  return [
    { start: 0, bytes: below, type: XEN_HVM_MEMMAP_TYPE_RAM },
    { start: DEVICES, bytes: ABOVE - DEVICES, type: XEN_HVM_MEMMAP_TYPE_RESERVED },
    { start: ABOVE, bytes: bytes - below, type: XEN_HVM_MEMMAP_TYPE_RAM },
  ].filter((entry) => entry.bytes > 0);
}
