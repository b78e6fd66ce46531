/**
 * Puts functions together to a WebAssembly module: imports first, then functions, one imported memory, an optional
 * table of functions. It knows what a translator needs and no more (WebAssembly core specification, section 5.5).
 */
import { ByteWriter } from './bytes.ts';
import type { ValueType } from './expression.ts';
import { FunctionBuilder, type FunctionReference } from './function.ts';

interface Signature {
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
}

export class ModuleBuilder {
  private readonly types: Signature[] = [];
  private readonly typeIndex = new Map<string, number>();
  private readonly imports: { module: string; name: string; type: number }[] = [];
  private readonly functions: FunctionBuilder[] = [];
  private readonly exports: { name: string; index: number }[] = [];
  private elements: readonly FunctionReference[] = [];
  private readonly memoryPages: number;

  /** `memoryPages`: the least size of the imported memory `env.memory`, in 64 KiB pages. */
  constructor(memoryPages: number) {
    this.memoryPages = memoryPages;
  }

  /** The index of a signature, for calls through the table. */
  signature(parameters: readonly ValueType[], results: readonly ValueType[]): number {
    return this.type(parameters, results);
  }

  /** Gives the module a table that holds these functions from entry 0 on. */
  table(functions: readonly FunctionReference[]): void {
    this.elements = functions;
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
    if (this.functions.length > 0) throw new Error(`import ${name} after the first function`);
    const index = this.imports.push({ module, name, type: this.type(parameters, results) }) - 1;
    return { index, parameters, results };
  }

  function(parameters: readonly ValueType[], results: readonly ValueType[]): FunctionBuilder {
    const built = new FunctionBuilder(this.imports.length + this.functions.length, parameters, results);
    this.functions.push(built);
    return built;
  }

  export(name: string, target: FunctionReference): void {
    this.exports.push({ name, index: target.index });
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
      s.unsigned(this.imports.length + 1);
      for (const { module, name, type } of this.imports) {
        s.name(module);
        s.name(name);
        s.byte(0);
        s.unsigned(type);
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
        s.byte(0x70);
        s.byte(1);
        s.unsigned(elements.length);
        s.unsigned(elements.length);
      });
    }
    section(out, 7, (s) => {
      s.unsigned(this.exports.length);
      for (const { name, index } of this.exports) {
        s.name(name);
        s.byte(0);
        s.unsigned(index);
      }
    });
    if (elements.length > 0) {
      section(out, 9, (s) => {
        s.unsigned(1);
        s.unsigned(0); // active, table 0
        s.byte(0x41);
        s.signed(0);
        s.byte(0x0b);
        s.unsigned(elements.length);
        for (const { index } of elements) s.unsigned(index);
      });
    }
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
