/**
 * The support module alone, for the tests of this folder: with a memory, and with stubs for what else it imports.
 */

import { SUPPORT_WASM } from '../../../support.generated.ts';
import type { Support } from './operations.ts';

export function loadSupport(): { support: Support; view: DataView } {
  const memory = new WebAssembly.Memory({ initial: 16 });
  const module = new WebAssembly.Module(
    Uint8Array.from(atob(SUPPORT_WASM), (letter) => letter.charCodeAt(0)),
  );
  const imports: Record<string, Record<string, WebAssembly.ImportValue>> = { env: { memory } };
  for (const wanted of WebAssembly.Module.imports(module)) {
    if (wanted.kind === 'function') (imports[wanted.module] ??= {})[wanted.name] = () => 0;
  }
  const instance = new WebAssembly.Instance(module, imports);
  return { support: instance.exports as unknown as Support, view: new DataView(memory.buffer) };
}
