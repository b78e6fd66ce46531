/**
 * The way from a guest's WebAssembly to a file that a machine loads: a kernel, for Xen and for the bare machine, or a
 * program for one. `wasm` → `ir` → `x86` → `image`; docs/guest.md says what the sources may rely on.
 *
 * The module must have been compiled for the addresses that it will have: its static data begins at `dataBase`.
 */
import {
  XEN_ELFNOTE_ENTRY,
  XEN_ELFNOTE_FEATURES,
  XEN_ELFNOTE_GUEST_OS,
  XEN_ELFNOTE_GUEST_VERSION,
  XEN_ELFNOTE_LOADER,
  XEN_ELFNOTE_PADDR_OFFSET,
  XEN_ELFNOTE_PHYS32_ENTRY,
  XEN_ELFNOTE_VIRT_BASE,
  XEN_ELFNOTE_XEN_VERSION,
} from '../abi/xen/numbers/elfnote.ts';
import { type CompiledModule, compileModule, type Piece } from './compile.ts';
import { TranslationError } from './error.ts';
import { type ElfNote, words64, writeElf } from './image/elf.ts';
import { type EmbeddedFile, layOut } from './image/layout.ts';
import { imageSymbol } from './ir/imports.ts';
import { kernelStart, programStart, type Start } from './x86/entries.ts';
import { PVH_TABLES, pvhStart } from './x86/pvh.ts';
import { type TargetName, targetOf } from './x86/target.ts';

export { TranslationError } from './error.ts';
export type { EmbeddedFile } from './image/layout.ts';
export type { TargetName } from './x86/target.ts';

/** The module's address of (pseudo-)physical 0. */
export const KERNEL_BASE = 0x80000000;
/** Where a kernel's static data begins: 1 MiB further, for a PC's first is not all memory. */
export const KERNEL_DATA_BASE = KERNEL_BASE + 0x100000;
/** Where a program's static data begins. */
export const PROGRAM_DATA_BASE = 0x400000;

const BOOT_STACK = { symbol: 'boot_stack', bytes: 16384 };

export interface KernelOptions {
  readonly target: TargetName;
  /** What the GUEST_OS note says. */
  readonly name: string;
  readonly version: string;
  /** The exported function that Xen starts, with the address of start_info (usize); without it there are no Xen notes. */
  readonly xenStart?: string | undefined;
  /**
   * The exported function that the ELF header's entry starts, with the address of boot_params (u64), as Linux's 64-bit boot
   * protocol has it; without it that is Xen's.
   */
  readonly nativeStart?: string | undefined;
  /** The exported function that PVH starts, with the physical address of hvm_start_info (u64); without it PVH cannot. */
  readonly pvhStart?: string | undefined;
  readonly files?: readonly EmbeddedFile[] | undefined;
}

/** A kernel as an ELF file with Xen notes. Raises TranslationError where the module cannot become one. */
export function translateKernel(wasm: Uint8Array, options: KernelOptions): Uint8Array {
  const compiled = compileModule(wasm, {
    target: targetOf(options.target, 'kernel'),
    dataBase: KERNEL_DATA_BASE,
  });
  const stack = imageSymbol('boot_stack_top');
  const start = (symbol: string, handler: string): Piece => ({
    symbol,
    code: kernelStart({ ...startOf(compiled, handler), stack }).finish(symbol),
  });
  const xen = options.xenStart === undefined ? undefined : start('machine.start_on_xen', options.xenStart);
  const native =
    options.nativeStart === undefined ? undefined : start('machine.start_on_native', options.nativeStart);
  const pvh = options.pvhStart === undefined ? undefined : start('machine.start_by_pvh', options.pvhStart);
  const stub = pvh === undefined ? undefined : pvhStub(pvh);
  const first = native ?? xen ?? pvh;
  if (first === undefined) throw new TranslationError('expected a function to start, found none');
  const { parts, symbols, addressOf } = layOut(compiled, {
    space: 'kernel',
    dataBase: KERNEL_DATA_BASE,
    physicalBase: KERNEL_BASE,
    roots: [xen, native, pvh, stub].filter((piece) => piece !== undefined),
    files: options.files ?? [],
    reserved: stub === undefined ? [BOOT_STACK] : [BOOT_STACK, PVH_TABLES],
  });
  const notes = [
    ...(xen === undefined ? [] : xenNotes(options, addressOf(xen.symbol))),
    ...(stub === undefined ? [] : [pvhNote(addressOf(stub.symbol))]),
  ];
  return writeElf({ entry: addressOf(first.symbol), parts, symbols, notes });
}

export interface ProgramOptions {
  readonly target: TargetName;
  /** The exported function to start, with the address of argc (u64). It must not return. */
  readonly start: string;
}

/** A program as a static ELF file. Raises TranslationError where the module cannot become one. */
export function translateProgram(wasm: Uint8Array, options: ProgramOptions): Uint8Array {
  const compiled = compileModule(wasm, {
    target: targetOf(options.target, 'program'),
    dataBase: PROGRAM_DATA_BASE,
  });
  const symbol = '_start';
  const root = { symbol, code: programStart(startOf(compiled, options.start)).finish(symbol) };
  const { parts, symbols, addressOf } = layOut(compiled, {
    space: 'program',
    dataBase: PROGRAM_DATA_BASE,
    physicalBase: 0,
    roots: [root],
    files: [],
    reserved: [],
  });
  return writeElf({ entry: addressOf(symbol), parts, symbols, notes: [] });
}

/** How an exported function of one parameter is started. */
function startOf({ module, symbols }: CompiledModule, exported: string): Start {
  const index = module.exports.get(exported);
  const defined = index === undefined ? undefined : module.functions[index - module.imports.length];
  if (index === undefined || defined === undefined) {
    throw new TranslationError(`expected an exported function ${exported} to start, found none`);
  }
  const { parameters } = module.types[defined.type]!;
  if (parameters.length !== 1) {
    throw new TranslationError(`expected ${exported} to have one parameter, found ${parameters.length}`);
  }
  return {
    handler: symbols[index]!,
    narrow: parameters[0] === 'i32',
    initialise: module.start === undefined ? undefined : symbols[module.start],
  };
}

function pvhStub({ symbol: next }: Piece): Piece {
  const symbol = 'machine.pvh_entry';
  return { symbol, code: pvhStart(next, KERNEL_BASE).finish(symbol) };
}

function note(type: number, description: Uint8Array): ElfNote {
  return { owner: 'Xen', type, description };
}

/** The 32-bit entry is a physical address. */
function pvhNote(entry: bigint): ElfNote {
  return note(XEN_ELFNOTE_PHYS32_ENTRY, words64(BigInt.asUintN(32, entry) - BigInt(KERNEL_BASE)));
}

/** Xen 4.17, public/elfnote.h */
function xenNotes({ name, version }: KernelOptions, entry: bigint): ElfNote[] {
  const text = (value: string) => new TextEncoder().encode(`${value}\0`);
  return [
    note(XEN_ELFNOTE_XEN_VERSION, text('xen-3.0')),
    note(XEN_ELFNOTE_GUEST_OS, text(name)),
    note(XEN_ELFNOTE_GUEST_VERSION, text(version)),
    note(XEN_ELFNOTE_LOADER, text('generic')),
    note(XEN_ELFNOTE_VIRT_BASE, words64(BigInt.asIntN(32, BigInt(KERNEL_BASE)))),
    note(XEN_ELFNOTE_PADDR_OFFSET, words64(0)),
    note(XEN_ELFNOTE_ENTRY, words64(entry)),
    note(XEN_ELFNOTE_FEATURES, text('!writable_page_tables|pae_pgdir_above_4gb')),
  ];
}
