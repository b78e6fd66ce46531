/**
 * The interpreter's module, generated ahead of time: that takes a third of a second, which every start would spend.
 *
 * `npm run build` puts it into `dist/`, in the place of `prebuilt-module.ts`, which says that there is none: whoever runs from
 * the sources gets what they generate.
 */
import { fromBase64 } from '../base64.ts';
import type { HostAddress } from '../memory.ts';
import { PREBUILT } from './prebuilt-module.ts';

/** The module, if the one that was generated is of this kind: see `buildInterpreter`. */
export function prebuiltInterpreter(
  heat: HostAddress,
  heatLimit: number,
): Uint8Array<ArrayBuffer> | undefined {
  if (PREBUILT?.heat !== heat || PREBUILT.heatLimit !== heatLimit) return undefined;
  return fromBase64(PREBUILT.module);
}
