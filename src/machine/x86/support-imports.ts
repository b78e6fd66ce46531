/**
 * The functions that generated code calls: those of the support module (`../assembly`), described by the signatures
 * that the compiled module itself declares, and the few that the engine provides.
 */
import { F64, type ValueType } from '../../wasm/expression.ts';
import type { FunctionReference } from '../../wasm/function.ts';
import type { ModuleBuilder } from '../../wasm/module.ts';
import { fromBase64 } from '../base64.ts';
import { SUPPORT_WASM } from '../support.generated.ts';

interface Signature {
  readonly name: string;
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/** The bytes of the support module. */
export function supportModuleBytes(): Uint8Array<ArrayBuffer> {
  return fromBase64(SUPPORT_WASM);
}

/** Reads the exported functions and their types out of a module's binary (type, import, function and export sections). */
export function exportedSignatures(bytes: Uint8Array): Signature[] {
  let p = 8;
  const number = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[p++]!;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  };
  const text = (): string => {
    const length = number();
    const value = new TextDecoder().decode(bytes.subarray(p, p + length));
    p += length;
    return value;
  };
  const types: { parameters: ValueType[]; results: ValueType[] }[] = [];
  const functions: number[] = [];
  const found: Signature[] = [];
  const limits = (): void => {
    const flags = number();
    number();
    if ((flags & 1) !== 0) number();
  };
  while (p < bytes.length) {
    const id = number();
    const length = number();
    const end = p + length;
    if (id === 1) {
      for (let n = number(); n > 0; n--) {
        p++;
        const lists: ValueType[][] = [];
        for (let k = 0; k < 2; k++) {
          const list: ValueType[] = [];
          for (let m = number(); m > 0; m--) list.push(bytes[p++] as ValueType);
          lists.push(list);
        }
        types.push({ parameters: lists[0]!, results: lists[1]! });
      }
    } else if (id === 2) {
      for (let n = number(); n > 0; n--) {
        text();
        text();
        const kind = number();
        if (kind === 0) functions.push(number());
        else if (kind === 1) {
          p++;
          limits();
        } else if (kind === 2) limits();
        else p += 2;
      }
    } else if (id === 3) {
      for (let n = number(); n > 0; n--) functions.push(number());
    } else if (id === 7) {
      for (let n = number(); n > 0; n--) {
        const name = text();
        const kind = number();
        const index = number();
        if (kind === 0) found.push({ name, ...types[functions[index]!]! });
      }
    }
    p = end;
  }
  return found;
}

/** Declares every support function as an import of a module that is being built. */
export function importSupport(
  module: ModuleBuilder,
  signatures: readonly Signature[],
): Readonly<Record<string, FunctionReference>> {
  const functions: Record<string, FunctionReference> = {};
  for (const { name, parameters, results } of signatures) {
    functions[name] = module.import('support', name, parameters, results);
  }
  functions.hostNow = module.import('engine', 'hostNow', [], [F64]);
  return functions;
}
