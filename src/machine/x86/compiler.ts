/**
 * Compiles regions, and puts compiled regions together to WebAssembly modules.
 *
 * A function's body stays valid in every module: types, tables and imported functions have the same numbers in all of
 * them. So the regions of several small modules can be put into one large one without compiling them again, which
 * matters: a call within a module costs a few nanoseconds, one from module to module many times as much.
 */
import type { Signatures } from '../../wasm/disassemble.ts';
import { I32 } from '../../wasm/expression.ts';
import { FunctionBuilder, type FunctionReference } from '../../wasm/function.ts';
import { type CallSite, linkCalls } from '../../wasm/linking.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import type { MachineMemory } from '../memory.ts';
import type { CodeCache, CodePage } from './code-cache.ts';
import { REGION_PARAMETERS, REGION_RESULTS } from './dispatcher.ts';
import type { SupportFunctions } from './emitter.ts';
import { type Region, RegionBuilder } from './region.ts';
import { type Linkage, RegionEmitter } from './region-emitter.ts';
import { type exportedSignatures, importSupport } from './support-imports.ts';
import type { VariantTable } from './variants.ts';

type SupportSignatures = ReturnType<typeof exportedSignatures>;

/** The same in every module; `assemble` sees to it. */
const LINKAGE: Linkage = {
  regionType: 0,
  regions: 0,
  settle: { index: 0, parameters: [I32], results: [I32] },
  handle: { index: 1, parameters: [I32, I32], results: [I32] },
};
/** Functions that every module imports ahead of the support functions. */
const OWN_IMPORTS = 2;

/** A region with the body of its function. */
export interface CompiledRegion {
  readonly page: CodePage;
  readonly offset: number;
  /** Guest instructions. */
  readonly instructions: number;
  readonly body: Uint8Array;
  /** Calls of other regions' functions; each callee is the offset, from this page, that it begins at. */
  readonly calls: readonly CallSite[];
  /** Branches in it that are hardly ever taken: see `FunctionBuilder.hints`. */
  readonly hints: readonly number[];
  readonly long: boolean;
  /** Which instruction the code belongs to, in the order of the code, if the compiler annotates. */
  readonly notes: readonly CodeNote[] | undefined;
}

/** From `at` on, in bytes of code, the function's code is that of the instruction at an offset of the page. */
export interface CodeNote {
  readonly at: number;
  readonly offset: number;
}

export class Compiler {
  private readonly memory: MachineMemory;
  private readonly builder: RegionBuilder;
  private readonly imports: NumberedImports;
  /** Whether compiled regions get notes: they cost memory, and only who reads the code wants them. */
  annotates = false;

  constructor(
    memory: MachineMemory,
    codeCache: CodeCache,
    variants: VariantTable,
    signatures: SupportSignatures,
  ) {
    this.memory = memory;
    this.imports = new NumberedImports(signatures);
    const support = importSupport(new ModuleBuilder(1), signatures);
    this.builder = new RegionBuilder(memory, codeCache, variants, support);
  }

  /** The region that begins at an offset of a page; undefined if nothing is decoded there. */
  region(page: CodePage, offset: number): Region | undefined {
    return this.builder.build(page, offset);
  }

  /** Compiles the region that begins at an offset of a page, in its short or its long form. */
  compile(page: CodePage, offset: number, long: boolean): CompiledRegion | undefined {
    const region = this.region(page, offset);
    if (region === undefined) return undefined;
    const f = new FunctionBuilder(0, REGION_PARAMETERS, REGION_RESULTS);
    const emitter = new RegionEmitter(f, this.memory, this.imports.functions, LINKAGE, region, long);
    const notes: CodeNote[] | undefined = this.annotates ? [] : undefined;
    if (notes !== undefined) emitter.onInstruction = ({ offset: of }, at) => notes.push({ at, offset: of });
    emitter.emit();
    return {
      page,
      offset,
      instructions: region.instructions,
      body: f.finish(),
      hints: f.hints(),
      calls: f.callSites(),
      long,
      notes,
    };
  }

  /** What the code of compiled functions calls, for those who read it. */
  readonly calls: Signatures = {
    function: (index) =>
      index < OWN_IMPORTS
        ? { name: index === 0 ? 'settle' : 'handle', operands: index + 1, results: 1 }
        : this.imports.describe(index - OWN_IMPORTS),
    type: (index) =>
      index === LINKAGE.regionType
        ? { operands: REGION_PARAMETERS.length, results: REGION_RESULTS.length }
        : { operands: 1, results: 1 },
  };

  /**
   * A module that puts each region's function into the table of compiled functions, at the place given for it. `find` says
   * which region begins at an offset from the page of another, if one of them does: it is called directly.
   */
  assemble(
    regions: readonly CompiledRegion[],
    places: readonly number[],
    find: (region: number, offset: number) => number | undefined,
  ): Uint8Array<ArrayBuffer> {
    const module = new ModuleBuilder(this.memory.wasm.buffer.byteLength / 65536);
    module.signature(REGION_PARAMETERS, REGION_RESULTS);
    module.importTable('engine', 'regions', 0);
    module.import('engine', 'settle', [I32], [I32]);
    module.import('engine', 'handle', [I32, I32], [I32]);
    this.imports.declare(module);
    const first = module.nextNumber();
    for (const [i, region] of regions.entries()) {
      const { body, hints } = linkCalls(region, region.calls, (offset) => {
        const callee = find(i, offset);
        return callee === undefined ? undefined : { entry: places[callee]!, index: first + callee };
      });
      module.place(LINKAGE.regions, places[i]!, [module.finished(LINKAGE.regionType, body, hints)]);
    }
    return module.finish();
  }
}

/** Support functions, numbered in the order in which compiled code first called them. */
class NumberedImports {
  private readonly signatures: SupportSignatures;
  private readonly order: string[] = [];
  readonly functions: SupportFunctions;

  constructor(signatures: SupportSignatures) {
    this.signatures = signatures;
    const known: Record<string, FunctionReference> = {};
    this.functions = new Proxy(known, {
      get: (_, name: string) => {
        known[name] ??= { index: OWN_IMPORTS + this.order.push(name) - 1, ...this.signature(name) };
        return known[name];
      },
    });
  }

  private signature(name: string): SupportSignatures[number] {
    const found = this.signatures.find((candidate) => candidate.name === name);
    if (found === undefined) throw new Error(`no support function ${name}`);
    return found;
  }

  describe(number: number): { name: string; operands: number; results: number } {
    const name = this.order[number]!;
    const { parameters, results } = this.signature(name);
    return { name, operands: parameters.length, results: results.length };
  }

  /** Imports those that were called so far, in their order. */
  declare(module: ModuleBuilder): void {
    for (const name of this.order) {
      const { parameters, results } = this.signature(name);
      module.import('support', name, parameters, results);
    }
  }
}
