/**
 * Symbols that a user gives beside the kernel: a System.map (as `nm` prints it), or an ELF file with a symbol table, which may
 * be an unstripped vmlinux or a program of the guest. Whether code in the guest is that program's is for its bytes to say.
 */
import type { Gva } from '../../machine/memory.ts';
import { isElf, parseElf, programTypes } from './elf.ts';
import { ImageError } from './error.ts';
import { ImageReader } from './reader.ts';
import { type NamedAddress, type SymbolTable, symbolTable, tableOf } from './symbols.ts';

export interface SymbolFile {
  readonly name: string;
  readonly symbols: SymbolTable;
  /** Where the file says that its code lies; none in a System.map. */
  readonly code: readonly CodeRange[];
}

export interface CodeRange {
  readonly start: Gva;
  readonly bytes: Uint8Array;
}

/** An executable that is loaded where it says. */
const EXECUTABLE = 2;
const FLAG_EXECUTE = 1;
const LINE = /^([0-9a-f]{8,16}) ([a-zA-Z?]) (\S+)$/;
const TWO_32 = 4294967296;

/** Reads a file of symbols. Raises ImageError if it is neither kind, or has none; `name` is what errors call it. */
export function readSymbolFile(bytes: Uint8Array, name: string): SymbolFile {
  const file = isElf(new ImageReader(bytes, name)) ? fromElf(bytes, name) : fromMap(bytes, name);
  if (file.symbols.size === 0)
    throw new ImageError(name, 'it has no symbols, or too many: expected a .symtab section');
  return file;
}

function fromElf(bytes: Uint8Array, name: string): SymbolFile {
  const elf = parseElf(bytes, name);
  if (elf.reader.u16(16, 'the ELF header') !== EXECUTABLE) {
    throw new ImageError(
      name,
      'no symbols for it: only an executable that is not relocated has its addresses',
    );
  }
  const code = elf.programHeaders
    .filter(({ type, flags }) => type === programTypes.load && (flags & FLAG_EXECUTE) !== 0)
    .filter(({ offset, fileSize }) => elf.reader.holds(offset, fileSize))
    .map(({ virtualAddress, offset, fileSize }) => ({
      start: virtualAddress,
      bytes: bytes.subarray(offset, offset + fileSize),
    }));
  return { name, symbols: symbolTable(elf), code };
}

function fromMap(bytes: Uint8Array, name: string): SymbolFile {
  const symbols: NamedAddress[] = [];
  for (const line of new TextDecoder('latin1').decode(bytes).split('\n')) {
    const match = LINE.exec(line);
    if (match === null) {
      if (line.trim() === '') continue;
      throw new ImageError(name, 'neither a System.map nor an ELF file');
    }
    const digits = match[1]!.padStart(16, '0');
    const high = Number.parseInt(digits.slice(0, 8), 16) | 0;
    symbols.push({ name: match[3]!, address: high * TWO_32 + Number.parseInt(digits.slice(8), 16) });
  }
  return { name, symbols: tableOf(symbols), code: [] };
}
