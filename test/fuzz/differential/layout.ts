/**
 * Where the memory of a differential program lies. Everything is below 4 GiB and small, so that one table maps it and
 * 32-bit code reaches it; the second half shows the same frames once more, 4 MiB higher, where each page shares its TLB
 * entry with its twin.
 *
 *     0x100000  three pages of code, in frames that are not neighbours
 *     0x104000  a page of code that can be exchanged for another
 *     0x10f000  absent · 0x110000 data · 0x111000 data · 0x112000 read-only · 0x113000 absent · 0x114000 no code here
 *     0x115000  of the supervisor · 0x116000 addresses of the program's pieces
 *     0x11f000  absent · 0x120000 two pages of stack · 0x122000 absent
 *     0x130000  the page table that maps all of this, for programs that change it themselves
 *     0x500000  the same code, data and stack again
 */
import { PAGE_SIZE } from '../../../src/machine/memory.ts';

export const CODE = 0x100000;
export const CODE_PAGES = 3;
export const OTHER = 0x104000;
/** Distance to the second mapping: as many pages as the TLB has entries. */
export const TWIN = 0x400000;
/** The middle of the data, a page's beginning; the instruction forms of the vectors know this address. */
export const MIDDLE = 0x111000;
export const DATA = 0x110000;
export const DATA_PAGES = 2;
export const READ_ONLY = 0x112000;
export const ABSENT = 0x113000;
export const NO_CODE = 0x114000;
export const SUPERVISOR = 0x115000;
export const TABLE = 0x116000;
export const STACK = 0x120000;
export const STACK_PAGES = 2;
export const STACK_TOP = STACK + PAGE_SIZE + 0x800;
export const PAGE_TABLE = 0x130000;
/** Words that branches backwards count down, so that most of them come to an end. */
export const COUNTERS = NO_CODE + 0x800;
export const COUNTER_COUNT = 32;
