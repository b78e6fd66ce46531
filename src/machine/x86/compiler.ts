/**
 * Compiles regions to a WebAssembly module: many functions, which the module puts into the shared table of compiled
 * functions when it is instantiated.
 */
import { I32 } from '../../wasm/expression.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import type { MachineMemory } from '../memory.ts';
import type { CodeCache, CodePage } from './code-cache.ts';
import { REGION_PARAMETERS, REGION_RESULTS } from './dispatcher.ts';
import { type Region, RegionBuilder } from './region.ts';
import { RegionEmitter } from './region-emitter.ts';
import { type exportedSignatures, importOnDemand, importSupport } from './support-imports.ts';
import type { VariantTable } from './variants.ts';

/** Where a region begins. */
export interface Entry {
  readonly page: CodePage;
  readonly offset: number;
}

export interface CompiledModule {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly regions: readonly Region[];
  /** Where their functions stand in the table. */
  readonly places: readonly number[];
}

export class Compiler {
  private readonly memory: MachineMemory;
  private readonly signatures: ReturnType<typeof exportedSignatures>;
  private readonly builder: RegionBuilder;

  constructor(
    memory: MachineMemory,
    codeCache: CodeCache,
    variants: VariantTable,
    signatures: ReturnType<typeof exportedSignatures>,
  ) {
    this.memory = memory;
    this.signatures = signatures;
    const support = importSupport(new ModuleBuilder(1), signatures);
    this.builder = new RegionBuilder(memory, codeCache, variants, support);
  }

  /** The module for the regions that begin at the given entries; its functions go into the table where `place` says. */
  compile(entries: readonly Entry[], place: () => number): CompiledModule {
    const module = new ModuleBuilder(this.memory.wasm.buffer.byteLength / 65536);
    const support = importOnDemand(module, this.signatures);
    const linkage = {
      regions: module.importTable('engine', 'regions', 0),
      handlers: module.importTable('engine', 'handlers', 0),
      regionType: module.signature(REGION_PARAMETERS, REGION_RESULTS),
      handlerType: module.signature([I32], [I32]),
    };
    const regions: Region[] = [];
    const places: number[] = [];
    for (const { page, offset } of entries) {
      const region = this.builder.build(page, offset);
      if (region === undefined) continue;
      const f = module.tableFunction(REGION_PARAMETERS, REGION_RESULTS);
      new RegionEmitter(f, this.memory, support, linkage, region).emit();
      regions.push(region);
      const at = place();
      places.push(at);
      module.place(linkage.regions, at, [f]);
    }
    return { bytes: module.finish(), regions, places };
  }
}
