/**
 * The handlers of the interpreter: every definition, once for each shape that a decoder can meet.
 *
 * A variant is (operand size, memory or register form, mode, address size, repeat prefix), as far as the definition's
 * meaning depends on them. The number of a variant is what a record's REC_HANDLER holds.
 */
import { type Definition, type InstructionSet, operandSizes } from './definition.ts';
import type { Shape } from './emitter.ts';
import { PSEUDO_COUNT } from './record.ts';

export interface Variant {
  readonly index: number;
  readonly definition: Definition;
  readonly shape: Shape;
  /** Stands inline in the main loop. */
  readonly hot: boolean;
}

const SIZE_CODES: readonly number[] = [0, 0, 1, 0, 2, 0, 0, 0, 3, 0, 4, 0, 0, 0, 0, 0, 5];

/** The key under which a definition's variant for a shape is found. */
export function variantKey(shape: Shape): number {
  const form = shape.memory ? (shape.plain ? 2 : 1) : 0;
  const address = shape.addressSize === 8 ? 2 : shape.addressSize === 4 ? 1 : 0;
  const repeat = shape.repeat === 0 ? 0 : shape.repeat === 0xf3 ? 1 : 2;
  return ((((SIZE_CODES[shape.size] ?? 0) * 3 + form) * 2 + (shape.long ? 1 : 0)) * 3 + address) * 3 + repeat;
}

export class VariantTable {
  readonly variants: Variant[] = [];
  private readonly byDefinition = new Map<Definition, Map<number, number>>();

  constructor(set: InstructionSet) {
    for (const definition of set.definitions) {
      const keys = new Map<number, number>();
      this.byDefinition.set(definition, keys);
      for (const shape of shapesOf(definition)) {
        const index = PSEUDO_COUNT + this.variants.length;
        const hot = definition.options.hot?.includes(shape.size) ?? false;
        this.variants.push({ index, definition, shape, hot: hot && shape.long });
        keys.set(variantKey(shape), index);
      }
    }
  }

  /** Numbers of handlers. A variant's checked handler has its number plus this one: see `checked-handlers.ts`. */
  get count(): number {
    return PSEUDO_COUNT + this.variants.length;
  }

  /** The handler of a definition for a shape, or -1: the encoding does not exist. */
  find(definition: Definition, key: number): number {
    return this.byDefinition.get(definition)?.get(key) ?? -1;
  }

  /** The variant that a handler stands for; undefined for pseudo handlers and checked ones. */
  variant(handler: number): Variant | undefined {
    return this.variants[handler - PSEUDO_COUNT];
  }

  /** The variant of a handler, checked or not. */
  variantOf(handler: number): Variant | undefined {
    return this.variant(handler < this.count ? handler : handler - this.count);
  }
}

/** What a definition's shape may leave out, so that equal handlers are emitted once. */
export function normalized(definition: Definition, shape: Shape): Shape {
  const { options } = definition;
  return {
    size: shape.size,
    memory: shape.memory,
    plain: shape.memory && shape.plain,
    addressSize: options.addressed === true ? shape.addressSize : 8,
    long: options.modal === true ? shape.long : true,
    repeat: options.repeatable === true ? shape.repeat : 0,
  };
}

function* shapesOf(definition: Definition): Generator<Shape> {
  const { options, rm } = definition;
  const modes = options.mode === 'long' ? [true] : options.mode === 'legacy' ? [false] : [true, false];
  const seen = new Set<number>();
  for (const long of modes) {
    for (const size of operandSizes(definition)) {
      if (size === 8 && !long && (options.default64 === true || options.force64 === true)) continue;
      if (long && options.force64 === true && size !== 8) continue;
      if (long && options.default64 === true && size === 4) continue;
      for (const memory of rm === 'both' ? [false, true] : [rm === 'memory']) {
        for (const plain of memory && long ? [true, false] : [false]) {
          for (const addressSize of options.addressed === true ? (long ? [8, 4] : [4, 2]) : [8]) {
            for (const repeat of options.repeatable === true ? [0, 0xf3, 0xf2] : [0]) {
              const shape = normalized(definition, { size, memory, plain, addressSize, long, repeat });
              const key = variantKey(shape);
              if (seen.has(key)) continue;
              seen.add(key);
              yield shape;
            }
          }
        }
      }
    }
  }
}
