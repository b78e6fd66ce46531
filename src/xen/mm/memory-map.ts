/**
 * The memory map that a toolstack may give a PV domain: E820's entries, in pseudo-physical addresses. Xen keeps it and
 * hands it out, and makes nothing of it. (Xen 4.17, arch/x86/mm.c: XENMEM_set_memory_map, XENMEM_memory_map.)
 */
import { e820entry } from '../../abi/xen/structures/memory.ts';

export interface MemoryMapEntry {
  /** Bytes, from 0 up. */
  readonly start: number;
  readonly bytes: number;
  /** 1: RAM, 2: reserved, 3: ACPI tables, 4: ACPI's to keep, 5: broken. */
  readonly type: number;
}

/** E820MAX: what Xen takes of a domain's map. */
export const MOST_ENTRIES = 128;
const TYPES = 5;

/** What is wrong with a map, in a few words; undefined: nothing. */
export function memoryMapProblem(map: readonly MemoryMapEntry[]): string | undefined {
  if (map.length > MOST_ENTRIES) return `expected at most ${MOST_ENTRIES} entries, found ${map.length}`;
  let end = 0;
  for (const [i, { start, bytes, type }] of map.entries()) {
    const what = `entry ${i} of the memory map`;
    if (!Number.isSafeInteger(start) || start < end)
      return `expected ${what} to begin at ${end} or later, found ${start}`;
    if (!Number.isSafeInteger(bytes) || bytes < 1 || !Number.isSafeInteger(start + bytes))
      return `expected ${what} to have a positive number of bytes, found ${bytes}`;
    if (!Number.isInteger(type) || type < 1 || type > TYPES)
      return `expected ${what} to be of type 1 to ${TYPES}, found ${type}`;
    end = start + bytes;
  }
  return undefined;
}

/** The first `count` entries as a guest reads them. */
export function memoryMapBytes(map: readonly MemoryMapEntry[], count: number): Uint8Array {
  const { size, offset } = e820entry.x64;
  const bytes = new Uint8Array(size * count);
  const view = new DataView(bytes.buffer);
  for (const [i, entry] of map.slice(0, count).entries()) {
    view.setBigUint64(i * size + offset.addr, BigInt(entry.start), true);
    view.setBigUint64(i * size + offset.size, BigInt(entry.bytes), true);
    view.setUint32(i * size + offset.type, entry.type, true);
  }
  return bytes;
}
