/**
 * Compiles a straight line of decoded instructions to a WebAssembly module of one function, `run() → Status`.
 *
 * It shows that the definitions serve compiled code as they stand. Choosing what to compile, loops, linking and
 * eviction are a compiler tier's business, which does not exist yet.
 */
import { I32 } from '../../wasm/expression.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import { CompilerEmitter } from './compiler-emitter.ts';
import { PSEUDO_COUNT, REC_HANDLER, RECORD_SIZE } from './record.ts';
import { type exportedSignatures, importSupport } from './support-imports.ts';
import type { VariantTable } from './variants.ts';

/** Raised for a record that is not an instruction: there is nothing to compile. */
export class CompileError extends Error {
  override readonly name = 'CompileError';
}

/**
 * The module for `count` records from host address `first` on. Its function starts with the registers in the vCPU's
 * state and leaves them there, RIP and the count of retired instructions included; `Status.Jump` means "go on at RIP".
 */
export function compileRun(
  view: DataView,
  variants: VariantTable,
  signatures: ReturnType<typeof exportedSignatures>,
  memoryPages: number,
  first: number,
  count: number,
): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder(memoryPages);
  const support = importSupport(module, signatures);
  const f = module.function([], [I32]);
  const emitter = new CompilerEmitter(f, support, view);
  emitter.compile(() => {
    for (let n = 0; n < count; n++) {
      const record = first + n * RECORD_SIZE;
      const handler = view.getUint16(record + REC_HANDLER, true);
      const variant = variants.variant(handler);
      if (handler < PSEUDO_COUNT || variant === undefined) {
        throw new CompileError(
          `expected an instruction as number ${n} of the run, found record kind ${handler}`,
        );
      }
      emitter.at(record, n, variant.shape);
      f.scope(() => variant.definition.semantics(emitter));
    }
  });
  module.export('run', f);
  return module.finish();
}
