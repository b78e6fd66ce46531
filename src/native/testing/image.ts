/**
 * A program as a kernel image: an ELF64 file that a bare machine starts by the 64-bit boot protocol, and that others start
 * by PVH (a note with a 32-bit entry point, whose code turns long mode on and goes to the same place).
 */
import type { Program } from './program.ts';

export const LOAD_ADDRESS = 0x100000;
const PAGE = 4096;
const HEADER = 64;
const PROGRAM_HEADER = 56;
const NOTE_PHYS32_ENTRY = 18;
const TEXT_AT = PAGE;
const TABLES = 3 * PAGE;

const u16 = (value: number) => [value & 0xff, (value >>> 8) & 0xff];
const u32 = (value: number) => [...u16(value), ...u16(value >>> 16)];
const u64 = (value: number) => [...u32(value), ...u32(Math.floor(value / 4294967296))];

/** 32-bit code at `base`: page tables at `tables`, long mode, then `entry`. */
function longModeStub(base: number, tables: number, entry: number): number[] {
  const gdt = base + 0x80;
  const code = [
    ...[0xfa, 0x0f, 0x01, 0x15, ...u32(gdt + 32)], // cli; lgdt
    ...[0x0f, 0x20, 0xe0, 0x83, 0xc8, 0x20, 0x0f, 0x22, 0xe0], // cr4 |= PAE
    ...[0xb8, ...u32(tables), 0x0f, 0x22, 0xd8], // cr3
    ...[0xb9, ...u32(0xc0000080), 0x0f, 0x32, 0x0d, ...u32(0x100), 0x0f, 0x30], // EFER.LME
    ...[0xb8, ...u32(0x80000011), 0x0f, 0x22, 0xc0], // cr0 = PG ET PE
    ...[0xea, ...u32(base + 0x60), 0x10, 0x00],
  ];
  while (code.length < 0x60) code.push(0x90);
  code.push(0x66, 0xb8, 0x18, 0x00, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0x31, 0xf6); // ds es ss; rsi = 0
  code.push(0xe9, ...u32(entry - (base + code.length + 5)));
  while (code.length < 0x80) code.push(0x90);
  code.push(...u64(0), ...u64(0), ...u32(0xffff), ...u32(0x00af9b00), ...u32(0xffff), ...u32(0x00cf9300));
  code.push(...u16(31), ...u32(gdt));
  return code;
}

/** Identity map of 1 GiB in pages of 2 MiB. */
function pageTables(at: number): Uint8Array {
  const bytes = new Uint8Array(TABLES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, (at + PAGE) | 3, true);
  view.setUint32(PAGE, (at + 2 * PAGE) | 3, true);
  for (let i = 0; i < 512; i++) view.setUint32(2 * PAGE + i * 8, (i * 0x200000) | 0x83, true);
  return bytes;
}

/** The image. Its label `start` is the entry point. */
export function makeKernelImage(program: Program): Uint8Array {
  const text = program.assemble();
  const entry = LOAD_ADDRESS + program.labels.get('start')!;
  const stubAt = Math.ceil(text.length / PAGE) * PAGE;
  const tablesAt = stubAt + PAGE;
  const size = tablesAt + TABLES;
  const bytes = new Uint8Array(TEXT_AT + size);
  const note = [
    ...u32(4),
    ...u32(8),
    ...u32(NOTE_PHYS32_ENTRY),
    0x58,
    0x65,
    0x6e,
    0,
    ...u64(LOAD_ADDRESS + stubAt),
  ];
  const noteAt = HEADER + 2 * PROGRAM_HEADER;
  bytes.set([
    ...[0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ...[...u16(2), ...u16(62), ...u32(1), ...u64(entry), ...u64(HEADER), ...u64(0), ...u32(0)],
    ...[...u16(HEADER), ...u16(PROGRAM_HEADER), ...u16(2), ...u16(0), ...u16(0), ...u16(0)],
    ...[...u32(1), ...u32(7), ...u64(TEXT_AT), ...u64(LOAD_ADDRESS), ...u64(LOAD_ADDRESS)],
    ...[...u64(size), ...u64(size), ...u64(PAGE)],
    ...[...u32(4), ...u32(4), ...u64(noteAt), ...u64(LOAD_ADDRESS), ...u64(LOAD_ADDRESS)],
    ...[...u64(note.length), ...u64(note.length), ...u64(4)],
    ...note,
  ]);
  bytes.set(text, TEXT_AT);
  bytes.set(longModeStub(LOAD_ADDRESS + stubAt, LOAD_ADDRESS + tablesAt, entry), TEXT_AT + stubAt);
  bytes.set(pageTables(LOAD_ADDRESS + tablesAt), TEXT_AT + tablesAt);
  return bytes;
}
