/**
 * Decodes a WebAssembly module into plain data (core specification, 5.5): what a kernel may be made of, and no more.
 *
 * Integers only. A float in a global, or in the signature or a local of a function, is refused here; a float instruction is
 * refused by the builder of the intermediate form. One memory and one table at most, as the MVP has it. Function bodies stay bytes.
 */
import { TranslationError } from '../error.ts';
import { WasmReader } from './reader.ts';

export type ValueType = 'i32' | 'i64';

export interface FunctionType {
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
}

export interface ImportedFunction {
  readonly module: string;
  readonly name: string;
  /** Index into `types`. */
  readonly type: number;
}

export interface DefinedFunction {
  /** Index into `types`. */
  readonly type: number;
  /** Types of the locals behind the parameters. */
  readonly locals: readonly ValueType[];
  /** The instructions, the last `end` included. */
  readonly body: Uint8Array;
}

export interface Global {
  readonly type: ValueType;
  readonly mutable: boolean;
  /** Its first value, as a signed number of its type. */
  readonly value: bigint;
}

export interface DataSegment {
  /** Address in the module's memory. */
  readonly address: number;
  readonly bytes: Uint8Array;
}

export interface WasmModule {
  readonly types: readonly FunctionType[];
  /** The first functions of the index space. */
  readonly imports: readonly ImportedFunction[];
  /** The functions behind the imported ones. */
  readonly functions: readonly DefinedFunction[];
  /** Entries of the table; each a function index, or undefined where nothing was placed. */
  readonly table: readonly (number | undefined)[];
  readonly globals: readonly Global[];
  /** Exported functions: name to function index. */
  readonly exports: ReadonlyMap<string, number>;
  /** The function that runs before any other. */
  readonly start: number | undefined;
  readonly data: readonly DataSegment[];
  /** Names of functions, from the "name" section. */
  readonly names: ReadonlyMap<number, string>;
  /** Names of globals, from the same section. */
  readonly globalNames: ReadonlyMap<number, string>;
}

const Section = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  global: 6,
  export: 7,
  start: 8,
  element: 9,
  code: 10,
  data: 11,
  dataCount: 12,
} as const;

/** What imports and exports are of. */
const External = { function: 0, table: 1, memory: 2, global: 3 } as const;

const VALUE_TYPES: Readonly<Record<number, ValueType | 'f32' | 'f64' | 'v128'>> = {
  127: 'i32',
  126: 'i64',
  125: 'f32',
  124: 'f64',
  123: 'v128',
};

/** Decodes a module. Raises TranslationError where it is malformed or asks for what a kernel cannot have. */
export function decodeModule(bytes: Uint8Array): WasmModule {
  return new ModuleDecoder(bytes).decode();
}

class ModuleDecoder {
  private readonly reader: WasmReader;
  private readonly types: FunctionType[] = [];
  private readonly imports: ImportedFunction[] = [];
  private functionTypes: number[] = [];
  private readonly functions: DefinedFunction[] = [];
  private readonly table: (number | undefined)[] = [];
  private readonly globals: Global[] = [];
  private readonly exports = new Map<string, number>();
  private start: number | undefined;
  private readonly data: DataSegment[] = [];
  private readonly names = new Map<number, string>();
  private readonly globalNames = new Map<number, string>();
  /** Types, and functions by index, that are not made of integers alone: what else was found. */
  private readonly oddTypes = new Map<number, string>();
  private readonly oddFunctions = new Map<number, string>();

  constructor(bytes: Uint8Array) {
    this.reader = new WasmReader(bytes);
  }

  decode(): WasmModule {
    const magic = [...this.reader.take(8)].join();
    if (magic !== '0,97,115,109,1,0,0,0') {
      throw new TranslationError('not a WebAssembly module: expected "\\0asm" and version 1');
    }
    while (!this.reader.atEnd) {
      const id = this.reader.byte();
      const section = new WasmReader(this.reader.take(this.reader.u32()));
      this.section(id, section);
    }
    this.refuseFloats();
    const { types, imports, functions, table, globals, exports, start, data, names, globalNames } = this;
    return { types, imports, functions, table, globals, exports, start, data, names, globalNames };
  }

  private section(id: number, reader: WasmReader): void {
    switch (id) {
      case Section.custom:
        if (reader.name() === 'name') this.nameSection(reader);
        return;
      case Section.type:
        reader.list(() => this.functionType(reader));
        return;
      case Section.import:
        reader.list(() => this.importEntry(reader));
        return;
      case Section.function:
        this.functionTypes = reader.list(() => reader.u32());
        return;
      case Section.table:
        reader.list(() => this.tableEntry(reader));
        return;
      case Section.memory:
      case Section.dataCount:
        return;
      case Section.global:
        this.globals.push(...reader.list(() => this.global(reader)));
        return;
      case Section.export:
        reader.list(() => this.exportEntry(reader));
        return;
      case Section.start:
        this.start = reader.u32();
        return;
      case Section.element:
        reader.list(() => this.elementSegment(reader));
        return;
      case Section.code:
        reader.list(() => this.functionBody(reader));
        return;
      case Section.data:
        reader.list(() => this.dataSegment(reader));
        return;
      default:
        throw new TranslationError(
          `expected a section of WebAssembly 1.0 with bulk memory, found section ${id}`,
        );
    }
  }

  private functionType(reader: WasmReader): void {
    if (reader.byte() !== 0x60) throw new TranslationError('expected a function type');
    const value = () => this.integerOr(reader, this.oddTypes, this.types.length);
    const parameters = reader.list(value);
    const results = reader.list(value);
    if (results.length > 1) {
      throw new TranslationError(`expected at most one result of a function, found ${results.length}`);
    }
    this.types.push({ parameters, results });
  }

  /** An integer type. Another is noted, to be refused when it is known whose it is. */
  private integerOr(reader: WasmReader, odd: Map<number, string>, index: number): ValueType {
    const code = reader.byte();
    const type = VALUE_TYPES[code];
    if (type === 'i32' || type === 'i64') return type;
    odd.set(index, type ?? `type ${code}`);
    return 'i32';
  }

  private refuseFloats(): void {
    const imported = this.imports.map(({ module, name, type }) => ({ name: `${module}.${name}`, type }));
    const defined = this.functions.map(({ type }, i) => {
      const index = imported.length + i;
      return { name: this.names.get(index) ?? `function ${index}`, type };
    });
    for (const [index, { name, type }] of [...imported, ...defined].entries()) {
      const found = this.oddTypes.get(type) ?? this.oddFunctions.get(index);
      if (found !== undefined) throw new TranslationError(`${name}: expected integers only, found ${found}`);
    }
  }

  private importEntry(reader: WasmReader): void {
    const module = reader.name();
    const name = reader.name();
    const kind = reader.byte();
    if (kind === External.function) this.imports.push({ module, name, type: reader.u32() });
    else if (kind === External.memory) limits(reader);
    else throw new TranslationError(`expected imports of functions and a memory, found ${module}.${name}`);
  }

  private tableEntry(reader: WasmReader): void {
    reader.byte(); // funcref
    if (this.table.length > 0) throw new TranslationError('expected one table, found two');
    const { least } = limits(reader);
    for (let i = 0; i < least; i++) this.table.push(undefined);
  }

  private global(reader: WasmReader): Global {
    const type = valueType(reader, 'a global');
    const mutable = reader.byte() === 1;
    return { type, mutable, value: this.constantExpression(reader) };
  }

  private exportEntry(reader: WasmReader): void {
    const name = reader.name();
    const kind = reader.byte();
    const index = reader.u32();
    if (kind === External.function) this.exports.set(name, index);
  }

  private elementSegment(reader: WasmReader): void {
    const flags = reader.u32();
    if (flags !== 0)
      throw new TranslationError(`expected active element segments of table 0, found kind ${flags}`);
    const first = Number(this.constantExpression(reader));
    reader
      .list(() => reader.u32())
      .forEach((index, i) => {
        if (first + i >= this.table.length) {
          throw new TranslationError(
            `expected elements within a table of ${this.table.length}, found ${first + i}`,
          );
        }
        this.table[first + i] = index;
      });
  }

  private functionBody(reader: WasmReader): void {
    const body = new WasmReader(reader.take(reader.u32()));
    const locals = body
      .list(() => ({
        count: body.u32(),
        type: this.integerOr(body, this.oddFunctions, this.imports.length + this.functions.length),
      }))
      .flatMap(({ count, type }) => Array.from({ length: count }, () => type));
    const type = this.functionTypes[this.functions.length];
    if (type === undefined) throw new TranslationError('malformed WebAssembly: more bodies than functions');
    this.functions.push({ type, locals, body: body.take(body.bytes.length - body.position) });
  }

  private dataSegment(reader: WasmReader): void {
    const flags = reader.u32();
    if (flags !== 0)
      throw new TranslationError(`expected active data segments of memory 0, found kind ${flags}`);
    const address = Number(BigInt.asUintN(32, this.constantExpression(reader)));
    this.data.push({ address, bytes: reader.take(reader.u32()) });
  }

  /** An initialiser: a constant, or an earlier global's value. */
  private constantExpression(reader: WasmReader): bigint {
    const opcode = reader.byte();
    let value: bigint;
    if (opcode === 0x41) value = reader.s32();
    else if (opcode === 0x42) value = reader.s64();
    else if (opcode === 0x23) value = this.globals[reader.u32()]!.value;
    else throw new TranslationError(`expected an integer constant as initialiser, found opcode ${opcode}`);
    if (reader.byte() !== 0x0b) throw new TranslationError('expected an initialiser of one instruction');
    return value;
  }

  /** Subsections 1 and 7: names of functions, names of globals. */
  private nameSection(reader: WasmReader): void {
    while (!reader.atEnd) {
      const id = reader.byte();
      const part = new WasmReader(reader.take(reader.u32()));
      const into = id === 1 ? this.names : id === 7 ? this.globalNames : undefined;
      if (into === undefined) continue;
      for (const [index, name] of part.list(() => [part.u32(), part.name()] as const)) into.set(index, name);
    }
  }
}

/** One value type; `where` says in an error whose it is. */
export function valueType(reader: WasmReader, where: string): ValueType {
  const code = reader.byte();
  const type = VALUE_TYPES[code];
  if (type !== 'i32' && type !== 'i64') {
    throw new TranslationError(`expected integers only, found ${type ?? `type ${code}`} in ${where}`);
  }
  return type;
}

function limits(reader: WasmReader): { least: number } {
  const flags = reader.byte();
  const least = reader.u32();
  if ((flags & 1) !== 0) reader.u32();
  return { least };
}
