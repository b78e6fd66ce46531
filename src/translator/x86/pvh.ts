/**
 * The start by PVH: how QEMU, Firecracker and Xen start a kernel without firmware. In 32-bit protected mode without paging,
 * EBX has the physical address of hvm_start_info (Xen 4.17, docs/misc/pvh.pandoc, public/arch-x86/hvm/start_info.h).
 *
 * 32-bit code makes page tables, the first GiB at its physical addresses and at -2 GiB, turns on long mode (Intel SDM, volume
 * 3A, 9.8.5), and goes on at the 64-bit start with that address in RSI. Nothing of the layout is near: every address here is
 * the physical one of a symbol.
 */
import { Alu, Assembler } from './assembler.ts';
import type { CodeMark } from './marks.ts';
import { Cc, RAX, RBX, RCX, RDI, RSI } from './registers.ts';

/** Three pages of zeros: root, its only table, and 512 large pages. */
export const PVH_TABLES = { symbol: 'pvh_tables', bytes: 3 * 4096 } as const;
const TABLES = `machine.${PVH_TABLES.symbol}`;

const PAGE_BYTES = 4096;
const TABLE_FLAGS = 3;
const LARGE_PAGE_FLAGS = 0x83n;
const LARGE_PAGE_BYTES = 0x200000;
const ENTRIES = 512;
/** Entries of the root and of its table through which -2 GiB is reached. */
const ROOT_OF_TOP = 511;
const TABLE_OF_TOP = 510;

const CODE_SELECTOR = 0x08;
const DATA_SELECTOR = 0x10;
/** The null descriptor, flat 64-bit code, flat data. */
const GDT = [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0x9b, 0xaf, 0, 0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0];

const CR4_PAE = 0x20;
const MSR_EFER = 0xc0000080n;
const EFER_LME = 0x100;

/** The 32-bit code; it ends by going to `next`. `physicalBase`: what physical addresses are less than the module's. */
export function pvhStart(next: string, physicalBase: number): Assembler<CodeMark> {
  const a = new Assembler<CodeMark>(32);
  const table = (index: number, entry = 0) => index * PAGE_BYTES + entry * 8 - physicalBase;
  const physical = (to: number, index: number) => a.loadSymbol(to, TABLES, table(index), false);
  const gdt = a.label();
  const descriptor = a.label();
  const wide = a.label();

  a.load(4, RSI, RBX);
  physical(RDI, 2);
  a.loadImmediate(RAX, LARGE_PAGE_FLAGS);
  a.loadImmediate(RCX, BigInt(ENTRIES));
  const fill = a.label();
  a.place(fill);
  a.store(4, { base: RDI, displacement: 0 }, RAX);
  a.aluImmediate(Alu.add, 4, RDI, 8);
  a.aluImmediate(Alu.add, 4, RAX, LARGE_PAGE_BYTES);
  a.aluImmediate(Alu.sub, 4, RCX, 1);
  a.jumpIf(Cc.notEqual, fill);
  link(a, table, 1, [0, TABLE_OF_TOP], 2);
  link(a, table, 0, [0, ROOT_OF_TOP], 1);

  a.raw(0x0f, 0x20, 0xe0); // mov eax, cr4
  a.aluImmediate(Alu.or, 4, RAX, CR4_PAE);
  a.raw(0x0f, 0x22, 0xe0); // mov cr4, eax
  physical(RAX, 0);
  a.raw(0x0f, 0x22, 0xd8); // mov cr3, eax
  a.loadImmediate(RCX, MSR_EFER);
  a.raw(0x0f, 0x32); // rdmsr
  a.aluImmediate(Alu.or, 4, RAX, EFER_LME);
  a.raw(0x0f, 0x30); // wrmsr
  a.raw(0x0f, 0x20, 0xc0); // mov eax, cr0
  a.aluImmediate(Alu.or, 4, RAX, -0x80000000); // PG
  a.raw(0x0f, 0x22, 0xc0); // mov cr0, eax
  a.raw(0x0f, 0x01, 0x15); // lgdt [descriptor]
  a.addressOfLabel(descriptor, -physicalBase);
  a.raw(0xea); // jmp far
  a.addressOfLabel(wide, -physicalBase);
  a.raw(CODE_SELECTOR, 0);

  a.place(wide); // 64-bit code from here on
  a.raw(0xb8, DATA_SELECTOR, 0, 0, 0); // mov eax, DATA_SELECTOR
  for (const segment of [0xd8, 0xc0, 0xd0]) a.raw(0x8e, segment); // mov ds, es, ss, eax
  a.raw(0x89, 0xf6); // mov esi, esi: its upper half was undefined
  a.raw(0x48, 0xc7, 0xc0); // mov rax, next: sign-extended
  a.symbolAddress(next);
  a.raw(0xff, 0xe0); // jmp rax

  a.place(gdt);
  a.raw(...GDT);
  a.place(descriptor);
  a.raw(GDT.length - 1, 0);
  a.addressOfLabel(gdt, -physicalBase);
  return a;
}

/** Lets entries of one table lead to the next. */
function link(
  a: Assembler<CodeMark>,
  table: (index: number, entry?: number) => number,
  from: number,
  entries: readonly number[],
  to: number,
): void {
  a.loadSymbol(RAX, TABLES, table(to), false);
  a.aluImmediate(Alu.or, 4, RAX, TABLE_FLAGS);
  for (const entry of entries) {
    a.store(4, { displacement: table(from, entry), symbol: TABLES }, RAX);
  }
}
