/**
 * Puts functions together to a WebAssembly module: imports first, then functions, one imported memory, tables
 * of functions. It knows what a translator needs and no more (WebAssembly core specification, section 5.5).
 */
import { ByteWriter } from './bytes.ts';
import type { ValueType } from './expression.ts';
import { FunctionBuilder, type FunctionReference } from './function.ts';

/** Of a branch, in its hint. */
const UNLIKELY = 0;
const FUNCREF = 0x70;

interface Signature {
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
}

export class ModuleBuilder {
  private readonly types: Signature[] = [];
  private readonly typeIndex = new Map<string, number>();
  private readonly imports: { module: string; name: string; type: number }[] = [];
  private readonly functions: (FunctionReference & { finish(): Uint8Array })[] = [];
  private readonly exports: { name: string; index: number }[] = [];
  /** A function was given its number, which depends on the number of imports. */
  private numbered = false;
  private elements: readonly FunctionReference[] = [];
  private tableExport: string | undefined;
  private tableRoom = 0;
  private readonly tableImports: { module: string; name: string; least: number }[] = [];
  /** Branches that are hardly ever taken, by function. */
  private readonly hints: { readonly index: number; readonly hints: readonly number[] }[] = [];
  private placed: { table: number; at: number; functions: readonly FunctionReference[] }[] = [];
  private readonly memoryPages: number;

  /** `memoryPages`: the least size of the imported memory `env.memory`, in 64 KiB pages. */
  constructor(memoryPages: number) {
    this.memoryPages = memoryPages;
  }

  /** The index of a signature, for calls through the table. */
  signature(parameters: readonly ValueType[], results: readonly ValueType[]): number {
    return this.type(parameters, results);
  }

  /**
   * Gives the module a table that holds these functions from entry 0 on, and `room` empty entries behind them, under the
   * name `exported` if given. Imported tables come first in the numbering; returns the table's number.
   */
  table(functions: readonly FunctionReference[], exported?: string, room = 0): number {
    this.elements = functions;
    this.tableRoom = room;
    this.tableExport = exported;
    return this.tableImports.length;
  }

  /** Imports a table of at least `least` functions; returns its number. All come before a table of the module's own. */
  importTable(module: string, name: string, least: number): number {
    return this.tableImports.push({ module, name, least }) - 1;
  }

  /** Puts functions into an imported table, from entry `at` on, when the module is instantiated. */
  place(table: number, at: number, functions: readonly FunctionReference[]): void {
    this.placed.push({ table, at, functions });
  }

  private type(parameters: readonly ValueType[], results: readonly ValueType[]): number {
    const key = `${parameters.join()}:${results.join()}`;
    let index = this.typeIndex.get(key);
    if (index === undefined) {
      index = this.types.push({ parameters, results }) - 1;
      this.typeIndex.set(key, index);
    }
    return index;
  }

  /** Declares an imported function. All imports come before the first function. */
  import(
    module: string,
    name: string,
    parameters: readonly ValueType[],
    results: readonly ValueType[],
  ): FunctionReference {
    if (this.numbered) throw new Error(`import ${name} after the first function`);
    const index = this.imports.push({ module, name, type: this.type(parameters, results) }) - 1;
    return { index, parameters, results };
  }

  function(parameters: readonly ValueType[], results: readonly ValueType[]): FunctionBuilder {
    const built = new FunctionBuilder(this.nextNumber(), parameters, results);
    this.functions.push(built);
    return built;
  }

  /** A function whose body is there already, as `FunctionBuilder.finish` gave it. */
  finished(type: number, body: Uint8Array, hints: readonly number[] = []): FunctionReference {
    const { parameters, results } = this.types[type]!;
    const built = { index: this.nextNumber(), parameters, results, finish: () => body };
    if (hints.length > 0) this.hints.push({ index: built.index, hints });
    this.functions.push(built);
    return built;
  }

  /** The number of the next function. No import may come after this. */
  nextNumber(): number {
    this.numbered = true;
    return this.imports.length + this.functions.length;
  }

  export(name: string, target: FunctionReference): void {
    this.exports.push({ name, index: target.index });
  }

  /** The custom section of the branch hinting proposal. */
  private branchHints(s: ByteWriter): void {
    s.name('metadata.code.branch_hint');
    s.unsigned(this.hints.length);
    for (const { index, hints } of this.hints) {
      s.unsigned(index);
      s.unsigned(hints.length);
      for (const at of hints) {
        s.unsigned(at);
        s.unsigned(1);
        s.unsigned(UNLIKELY);
      }
    }
  }

  finish(): Uint8Array<ArrayBuffer> {
    const functionTypes = this.functions.map((f) => this.type(f.parameters, f.results));
    const out = new ByteWriter(1 << 16);
    out.append(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
    section(out, 1, (s) => {
      s.unsigned(this.types.length);
      for (const { parameters, results } of this.types) {
        s.byte(0x60);
        for (const list of [parameters, results]) {
          s.unsigned(list.length);
          for (const type of list) s.byte(type);
        }
      }
    });
    section(out, 2, (s) => {
      s.unsigned(this.imports.length + this.tableImports.length + 1);
      for (const { module, name, type } of this.imports) {
        s.name(module);
        s.name(name);
        s.byte(0);
        s.unsigned(type);
      }
      for (const { module, name, least } of this.tableImports) {
        s.name(module);
        s.name(name);
        s.byte(1);
        s.byte(FUNCREF);
        s.byte(0);
        s.unsigned(least);
      }
      s.name('env');
      s.name('memory');
      s.byte(2);
      s.byte(0);
      s.unsigned(this.memoryPages);
    });
    section(out, 3, (s) => {
      s.unsigned(functionTypes.length);
      for (const type of functionTypes) s.unsigned(type);
    });
    const { elements } = this;
    if (elements.length > 0) {
      section(out, 4, (s) => {
        s.unsigned(1);
        s.byte(FUNCREF);
        s.byte(1);
        s.unsigned(elements.length + this.tableRoom);
        s.unsigned(elements.length + this.tableRoom);
      });
    }
    section(out, 7, (s) => {
      s.unsigned(this.exports.length + (this.tableExport === undefined ? 0 : 1));
      if (this.tableExport !== undefined) {
        s.name(this.tableExport);
        s.byte(1);
        s.unsigned(this.tableImports.length);
      }
      for (const { name, index } of this.exports) {
        s.name(name);
        s.byte(0);
        s.unsigned(index);
      }
    });
    const segments = [...this.placed];
    if (elements.length > 0) segments.push({ table: this.tableImports.length, at: 0, functions: elements });
    if (segments.length > 0) {
      section(out, 9, (s) => {
        s.unsigned(segments.length);
        for (const { table, at, functions } of segments) {
          if (table === 0)
            s.unsigned(0); // active, table 0
          else {
            s.unsigned(2); // active, table given
            s.unsigned(table);
          }
          s.byte(0x41);
          s.signed(at);
          s.byte(0x0b);
          if (table !== 0) s.byte(0); // of functions
          s.unsigned(functions.length);
          for (const { index } of functions) s.unsigned(index);
        }
      });
    }
    if (this.hints.length > 0) section(out, 0, (s) => this.branchHints(s));
    section(out, 10, (s) => {
      s.unsigned(this.functions.length);
      for (const f of this.functions) s.append(f.finish());
    });
    return out.take();
  }
}

function section(out: ByteWriter, id: number, fill: (contents: ByteWriter) => void): void {
  const contents = new ByteWriter(1024);
  fill(contents);
  out.byte(id);
  out.unsigned(contents.length);
  out.append(contents.bytes.subarray(0, contents.length));
}
