/**
 * The interpreter's checked handlers (`checked-emitter.ts`): a second one for every variant, under its number plus
 * `VariantTable.count`. Few guests ever need one, so they are generated when code that uses them is first decoded, a
 * group of neighbours at a time, and put into the interpreter's table of handlers. None stands inline.
 */
import { I32, i32 } from '../../wasm/expression.ts';
import type { FunctionReference } from '../../wasm/function.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import { CheckedEmitter } from './checked-emitter.ts';
import type { Shape, SupportFunctions } from './emitter.ts';
import { functionFlow, Status } from './interpreter-emitter.ts';
import { PSEUDO_COUNT, PSEUDO_TOO_LONG, PSEUDO_UNDEFINED } from './record.ts';
import { VECTOR_GP, VECTOR_UD } from './registers.ts';
import { type exportedSignatures, importSupport } from './support-imports.ts';
import type { VariantTable } from './variants.ts';

/** Handlers of one module: one that is generated for each alone would cost half a millisecond of set-up every time. */
const GROUP = 64;

const NO_OPERANDS: Shape = {
  size: 4,
  memory: false,
  plain: false,
  addressSize: 8,
  long: true,
  repeat: 0,
};

export class CheckedHandlers {
  private readonly variants: VariantTable;
  private readonly signatures: ReturnType<typeof exportedSignatures>;
  private readonly memoryPages: number;
  private readonly imports: WebAssembly.Imports;
  private readonly made = new Set<number>();

  /** `imports` are those of generated modules; `engine.handlers` is the interpreter's table of handlers. */
  constructor(
    variants: VariantTable,
    signatures: ReturnType<typeof exportedSignatures>,
    memoryPages: number,
    imports: WebAssembly.Imports,
  ) {
    this.variants = variants;
    this.signatures = signatures;
    this.memoryPages = memoryPages;
    this.imports = imports;
  }

  /** Sees to it that a checked handler, by its number, is in the table. */
  ensure(handler: number): void {
    const group = Math.floor((handler - this.variants.count) / GROUP);
    if (this.made.has(group)) return;
    this.made.add(group);
    new WebAssembly.Instance(new WebAssembly.Module(this.build(group)), this.imports);
  }

  private build(group: number): Uint8Array<ArrayBuffer> {
    const { variants } = this;
    const module = new ModuleBuilder(this.memoryPages);
    const support = importSupport(module, this.signatures);
    const handlers = module.importTable('engine', 'handlers', 0);
    const functions: FunctionReference[] = [];
    const first = group * GROUP;
    for (let n = first; n < Math.min(first + GROUP, variants.count); n++) {
      functions.push(this.handler(module, support, n));
    }
    module.place(handlers, variants.count + first, functions);
    return module.finish();
  }

  /** The checked twin of the handler with a number. */
  private handler(module: ModuleBuilder, support: SupportFunctions, number: number): FunctionReference {
    const variant = this.variants.variant(number);
    const f = module.function([I32], [I32]);
    const shape = variant?.shape ?? NO_OPERANDS;
    const emitter = new CheckedEmitter(f, shape, support, f.parameter(0), functionFlow(f));
    emitter.begin();
    if (variant !== undefined) variant.definition.semantics(emitter);
    else if (number === PSEUDO_UNDEFINED) emitter.raise(VECTOR_UD);
    else if (number === PSEUDO_TOO_LONG) emitter.raise(VECTOR_GP);
    else if (number < PSEUDO_COUNT) f.unreachable();
    f.return(i32(Status.Next));
    return f;
  }
}
