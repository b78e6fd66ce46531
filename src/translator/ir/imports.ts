/**
 * What the functions that a module imports become. WebAssembly cannot say "machine memory", "hypercall" or "the address of
 * an entry point"; guest code says it by importing a function, and the translator puts something better in a call's place.
 *
 *     machine.load8 … load64, store8 … store64    an access at a machine address (u64)
 *     machine.<anything else>                     instructions that the target knows by that name
 *     image.<symbol>                              an address of the module's memory that only the layout knows
 *     entry.<kind>.<function>                     the machine address of entry stubs for an exported function
 *     operation.<name>, operation.roomN.<name>    a call through the operation table, recorded as a patch site
 *     operation.slot.<name>                       where that operation's slot stands, in the module's memory
 */
import { TranslationError } from '../error.ts';
import type { ImportedFunction } from '../wasm/module.ts';

export type ImportMeaning =
  | { readonly kind: 'load'; readonly bytes: number }
  | { readonly kind: 'store'; readonly bytes: number }
  | { readonly kind: 'address'; readonly symbol: string; readonly inModule: boolean }
  | { readonly kind: 'operation'; readonly name: string; readonly room: number }
  | { readonly kind: 'machine'; readonly name: string };

/** What a call of an imported function becomes. Whether the target knows a machine function is checked when it is lowered. */
export function importMeaning({ module, name }: ImportedFunction): ImportMeaning {
  if (module === 'machine') {
    const access = /^(load|store)(8|16|32|64)$/.exec(name);
    if (access !== null) return { kind: access[1] as 'load' | 'store', bytes: Number(access[2]) / 8 };
    return { kind: 'machine', name };
  }
  if (module === 'image') return { kind: 'address', symbol: imageSymbol(name), inModule: true };
  if (module === 'operation.slot') return { kind: 'address', symbol: operationSymbol(name), inModule: true };
  const operation = /^operation(?:\.room(\d+))?$/.exec(module);
  if (operation !== null) return { kind: 'operation', name, room: Number(operation[1] ?? 0) };
  if (module.startsWith('entry.')) {
    return { kind: 'address', symbol: entrySymbol(module.slice('entry.'.length), name), inModule: false };
  }
  throw new TranslationError(
    `expected imports from "machine", "image", "entry" or "operation", found ${module}.${name}`,
  );
}

/** The symbol of a place that the layout of the image decides. */
export function imageSymbol(name: string): string {
  return `image.${name}`;
}

/** The symbol of an operation's slot. */
export function operationSymbol(name: string): string {
  return `operation.${name}`;
}

/** The symbol of the stubs through which `kind` of entry reaches an exported function. */
export function entrySymbol(kind: string, exported: string): string {
  return `${exported}.${kind}`;
}
