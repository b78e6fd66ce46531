/** The memory map of the domain, E820's entries as Xen writes them. An ordinary domain has none, and is one piece of RAM. */
import { XEN_HVM_MEMMAP_TYPE_RAM, XENMEM_memory_map } from '../../abi/xen/numbers/memory.ts';
import { SIZEOF_xen_memory_map, xen_memory_map_buffer, xen_memory_map_nr_entries } from '../abi/structures';
import { native } from '../machine/memory';
import { HYPERVISOR_memory_op } from './hypercall';
import { IDENTITY_LIMIT, SIZEOF_e820_entry } from './p2m-identity';
import { maxPfn } from './page';
import { PAGE_SHIFT, PAGE_SIZE, Pfn } from './types';

const MOST_ENTRIES: u32 = 128;
const argument: usize = memory.data(SIZEOF_xen_memory_map, 8);
const map: usize = memory.data(128 * 20, 8);
let entries: u32 = 0;

/** Asks Xen for the map. Returns how many entries it has; 0: there is none. */
export function readMemoryMap(): u32 {
  store<u32>(argument, MOST_ENTRIES, xen_memory_map_nr_entries);
  store<Word>(argument, <Word>native(map), xen_memory_map_buffer);
  entries =
    HYPERVISOR_memory_op(XENMEM_memory_map, argument) === 0
      ? load<u32>(argument, xen_memory_map_nr_entries)
      : 0;
  return entries;
}

/** Its entries. */
export function memoryMap(): usize {
  return map;
}

/** One past the highest frame that the map says anything of, as far as we listen. */
export function memoryMapEnd(): Pfn {
  let end: u64 = 0;
  for (let i: u32 = 0; i < entries; i++) {
    const entry = map + i * SIZEOF_e820_entry;
    const last = load<u64>(entry) + load<u64>(entry, 8);
    if (last > end) end = last;
  }
  const frames = <Pfn>((end + <u64>PAGE_SIZE - 1) >> PAGE_SHIFT);
  return frames < IDENTITY_LIMIT ? frames : IDENTITY_LIMIT;
}

/** RAM that the map allows and the builder did not make is no memory yet: no bytes of it, until the balloon gets some. */
function clip(entry: usize): void {
  if (load<u32>(entry, 16) !== XEN_HVM_MEMMAP_TYPE_RAM) return;
  const most = (<u64>maxPfn) << PAGE_SHIFT;
  const start = load<u64>(entry);
  if (start + load<u64>(entry, 8) > most) store<u64>(entry, start < most ? most - start : 0, 8);
}

/** init.memory_setup */
export function xenMemorySetup(into: usize, room: u32): u32 {
  if (entries > 0) {
    const count = entries < room ? entries : room;
    memory.copy(into, map, count * SIZEOF_e820_entry);
    for (let i: u32 = 0; i < count; i++) clip(into + i * SIZEOF_e820_entry);
    return entries;
  }
  if (room > 0) {
    store<u64>(into, 0);
    store<u64>(into, (<u64>maxPfn) << PAGE_SHIFT, 8);
    store<u32>(into, XEN_HVM_MEMMAP_TYPE_RAM, 16);
  }
  return 1;
}
