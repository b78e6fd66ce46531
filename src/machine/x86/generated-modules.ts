/**
 * The modules that are there before any guest runs: support (`../assembly`), interpreter and dispatcher; how they come about,
 * and how they are linked to the memory, to each other and to the engine.
 *
 *     support ◄── interpreter ◄── dispatcher ◄── modules of compiled code
 *        └─────────────┴───────────────┴──► the engine's calls
 */
import type { MachineMemory } from '../memory.ts';
import { buildDispatcher } from './dispatcher.ts';
import { instructionSet } from './instructions/index.ts';
import { buildInterpreter } from './interpreter.ts';
import { prebuiltInterpreter } from './prebuilt.ts';
import type { SupportExports } from './support-exports.ts';
import { exportedSignatures, supportModuleBytes } from './support-imports.ts';
import type { TierLink } from './tier.ts';
import { VariantTable } from './variants.ts';

/** What generated code calls in TypeScript; addresses are signed, as WebAssembly has them. */
export interface EngineCalls {
  /** Bytes that hold decoded code were written. */
  codeWritten(host: number, size: number): void;
  /** Nanoseconds that RDTSC reads when time is not virtual. */
  hostNow(): number;
  /** The record at RIP, for compiled code that waits: see `Engine`, as for the two others. */
  find(stop: number): number;
  decide(): number;
  execute(): number;
}

export interface GeneratedModules {
  readonly set: ReturnType<typeof instructionSet>;
  readonly variants: VariantTable;
  /** The least size of the imported memory, in WebAssembly's pages. */
  readonly memoryPages: number;
  readonly support: SupportExports;
  readonly signatures: ReturnType<typeof exportedSignatures>;
  /** What other generated modules import. */
  readonly imports: WebAssembly.Imports;
  /** The same for modules that add to the interpreter's table of handlers. */
  readonly handlerImports: WebAssembly.Imports;
  /** A dispatcher for a table of compiled functions. */
  link(regions: WebAssembly.Table): TierLink;
}

/** Generates, compiles and links them. `heatLimit`: see `buildInterpreter`. */
export async function generateModules(
  memory: MachineMemory,
  heatLimit: number,
  calls: EngineCalls,
): Promise<GeneratedModules> {
  // What takes longest comes first: it is compiled beside all that follows.
  const prebuilt = prebuiltInterpreter(memory.heat, heatLimit);
  const compiled = prebuilt && WebAssembly.compile(prebuilt);
  const set = instructionSet();
  const variants = new VariantTable(set);
  const supportBytes = supportModuleBytes();
  const { codeWritten, hostNow, find, decide, execute } = calls;
  const engine = { codeWritten, hostNow };
  const imports = { env: { memory: memory.wasm }, engine };
  const support = (await WebAssembly.instantiate(supportBytes, imports)).instance.exports;
  const signatures = exportedSignatures(supportBytes);
  const memoryPages = memory.wasm.buffer.byteLength / 65536;
  const linked: WebAssembly.Imports = { ...imports, support };
  const compileInterpreter = (): Promise<WebAssembly.Module> =>
    WebAssembly.compile(buildInterpreter(variants, signatures, memoryPages, memory.heat, heatLimit));
  const interpreter = await (compiled ?? compileInterpreter());
  const { handlers, handle, interpret } = (await WebAssembly.instantiate(interpreter, linked)).exports;
  const dispatcher = await WebAssembly.compile(buildDispatcher(signatures, memoryPages, memory.heat));
  const withEngine = (more: Record<string, unknown>): WebAssembly.Imports =>
    ({ ...linked, engine: { ...engine, ...more } }) as WebAssembly.Imports;
  return {
    set,
    variants,
    memoryPages,
    support: support as unknown as SupportExports,
    signatures,
    imports: linked,
    handlerImports: withEngine({ handlers }),
    link: (regions) => {
      const own = withEngine({ interpret, find, decide, execute, regions });
      const { run, settle } = new WebAssembly.Instance(dispatcher, own).exports;
      return {
        table: regions,
        run: run as TierLink['run'],
        imports: withEngine({ handle, regions, settle }),
      };
    },
  };
}
