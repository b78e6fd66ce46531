/**
 * A WebAssembly module as pieces of machine code with symbols, and what the layout must know besides: data, globals, the
 * table of functions. Nothing has an address yet but the module's own memory.
 */
import { TranslationError } from './error.ts';
import { FunctionBuilder } from './ir/builder.ts';
import { imageSymbol, importMeaning } from './ir/imports.ts';
import { simplify } from './ir/simplify.ts';
import { decodeModule, type WasmModule } from './wasm/module.ts';
import type { Code } from './x86/encoder.ts';
import { ENTRY_KINDS, entryStubs, sharedEntryCode } from './x86/entries.ts';
import { lowerFunction } from './x86/lower.ts';
import type { CodeMark } from './x86/marks.ts';
import { routines } from './x86/routines.ts';
import type { Target } from './x86/target.ts';

/** The export by which src/guest/machine/image-end.ts tells where static data ends. */
const DATA_END_EXPORT = '__image_data_end';
/** Each global has a machine word, whatever its type. */
const GLOBAL_ALIGNMENT = 8;

export interface Piece {
  readonly symbol: string;
  readonly code: Code<CodeMark>;
}

/** A global of the module as a word of its memory. */
export interface GlobalWord {
  readonly symbol: string;
  readonly address: number;
  readonly bytes: 4 | 8;
  readonly value: bigint;
}

export interface CompiledModule {
  readonly module: WasmModule;
  /** All functions of the module that have code, in its order. */
  readonly functions: readonly Piece[];
  /** Symbols of all functions by index. */
  readonly symbols: readonly string[];
  readonly globals: readonly GlobalWord[];
  /** Where the module's data ends, globals included: an unsigned address of its memory. */
  readonly dataEnd: number;
  /** Names of the operations that are called or whose slot is asked for, sorted. */
  readonly operations: readonly string[];
  /** A piece that a symbol asks for and the module does not have: a routine of the machine, entry stubs. */
  readonly library: (symbol: string) => Piece | undefined;
}

export interface CompileOptions {
  readonly target: Target;
  /** Where static data begins if the module has none: an unsigned address of its memory. */
  readonly dataBase: number;
}

/** Compiles a module. Raises TranslationError where it cannot become machine code; the message names the function. */
export function compileModule(wasm: Uint8Array, { target, dataBase }: CompileOptions): CompiledModule {
  const module = decodeModule(wasm);
  const symbols = functionSymbols(module);
  const globals = placeGlobals(module, staticDataEnd(module, dataBase));
  const meanings = module.imports.map(importMeaning);
  const context = {
    module,
    symbols,
    meanings,
    globalAddresses: globals.map((global) => global?.address ?? 0),
    memoryPages: 0,
  };
  const functions = module.functions.flatMap((_, i): Piece[] => {
    const index = module.imports.length + i;
    if (index === module.exports.get(DATA_END_EXPORT)) return [];
    const symbol = symbols[index]!;
    const code = named(symbol, () => {
      const ir = simplify(new FunctionBuilder(context, index).build());
      return lowerFunction(ir, target, module.table.length).finish(symbol);
    });
    return [{ symbol, code }];
  });
  const placed = globals.filter((global) => global !== undefined);
  const last = placed.at(-1);
  return {
    module,
    functions,
    symbols,
    globals: placed,
    dataEnd: last === undefined ? staticDataEnd(module, dataBase) : last.address + GLOBAL_ALIGNMENT,
    operations: operationNames(module),
    library: libraryOf(module, symbols, target),
  };
}

/** Says in an error whose function it is about. */
function named<T>(symbol: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof TranslationError)) throw error;
    throw new TranslationError(`${symbol}: ${error.message}`);
  }
}

/** The compiler's names without the path to the guest's sources; "function 7" for one that has none. */
function functionSymbols({ imports, functions, names }: WasmModule): string[] {
  return Array.from({ length: imports.length + functions.length }, (_, index) => {
    const name = names.get(index) ?? `function ${index}`;
    return name.replace(/^(?:src\/guest\/|~)/, '');
  });
}

/** The end of static data: what the module says itself, else behind the last segment. Zeros at its end are no segment. */
function staticDataEnd({ exports, imports, functions, data }: WasmModule, dataBase: number): number {
  const index = exports.get(DATA_END_EXPORT);
  if (index !== undefined) {
    const [opcode, ...constant] = functions[index - imports.length]!.body;
    if (opcode === 0x41) return signedLeb128(constant) >>> 0;
    throw new TranslationError(`expected ${DATA_END_EXPORT} to be a constant, found opcode ${opcode}`);
  }
  return data.reduce((end, { address, bytes }) => Math.max(end, address + bytes.length), dataBase);
}

function signedLeb128(bytes: readonly number[]): number {
  let value = 0;
  let shift = 0;
  for (const byte of bytes) {
    value |= (byte & 0x7f) << shift;
    shift += 7;
    if ((byte & 0x80) !== 0) continue;
    return shift < 32 && (byte & 0x40) !== 0 ? value | (-1 << shift) : value;
  }
  return value;
}

/** A word behind the static data for each global that changes. */
function placeGlobals({ globals, globalNames }: WasmModule, from: number): (GlobalWord | undefined)[] {
  let next = roundUp(from, GLOBAL_ALIGNMENT);
  return globals.map(({ type, mutable, value }, i) => {
    if (!mutable) return undefined;
    const address = next;
    next += GLOBAL_ALIGNMENT;
    const name = globalNames.get(i)?.replace(/^src\/guest\//, '') ?? `global ${i}`;
    return { symbol: name, address, bytes: type === 'i32' ? 4 : 8, value };
  });
}

function operationNames({ imports }: WasmModule): string[] {
  const names = imports.filter(({ module }) => module.startsWith('operation')).map(({ name }) => name);
  const entered = imports.some(({ module, name }) => module.startsWith('entry.') || name === 'resumeFrame');
  return [...new Set(entered ? [...names, 'cpu.iret'] : names)].sort();
}

function libraryOf(
  module: WasmModule,
  symbols: readonly string[],
  target: Target,
): CompiledModule['library'] {
  const known = new Map([...routines(target), ...sharedEntryCode()]);
  return (symbol) => {
    const make = known.get(symbol);
    if (make !== undefined) return { symbol, code: make().finish(symbol) };
    const dot = symbol.lastIndexOf('.');
    const kind = symbol.slice(dot + 1);
    if (dot < 0 || symbol.startsWith(imageSymbol(''))) return undefined;
    if (!ENTRY_KINDS.includes(kind)) return undefined;
    const handler = module.exports.get(symbol.slice(0, dot));
    if (handler === undefined) {
      throw new TranslationError(
        `expected an exported function ${symbol.slice(0, dot)} for its ${kind}, found none`,
      );
    }
    return { symbol, code: entryStubs(kind, symbols[handler]!).finish(symbol) };
  };
}

export function roundUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}
