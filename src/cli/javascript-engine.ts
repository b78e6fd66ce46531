/**
 * What the command asks of V8: two settings that compiled guest code runs faster with, and to free what is left over. None of
 * it changes a result, only where machine code is made, how it is laid out, and how much memory is held.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Versions of V8 that know these settings; another one would complain on stderr. Node 20 has 11, Node 24 has 13. */
const KNOWN_VERSIONS = [11, 12, 13];

const SETTINGS = [
  // Branches that generated modules mark as hardly ever taken go out of the way: a tenth less time in hot loops.
  '--experimental-wasm-branch-hinting',
  // New modules are compiled by other threads when they are made, not by this one when they are first called.
  '--no-wasm-lazy-compilation',
];

/** Must come before anything generates code. */
export function tuneJavaScriptEngine(): void {
  const major = Number.parseInt(process.versions.v8 ?? '', 10);
  if (!KNOWN_VERSIONS.includes(major)) return;
  for (const setting of SETTINGS) setFlagsFromString(setting);
}

const COLLECT_AFTER_MS = 5000;

/**
 * Has V8 free, after a while, what nothing refers to any more. An unpacked kernel, and what unpacked it, are a hundred
 * megabytes; guests give it so little reason to look that it would find them much later. It takes some forty milliseconds: not
 * while the guest boots, and not at all in a run that is short.
 */
export function collectGarbageLater(): void {
  setTimeout(collectGarbage, COLLECT_AFTER_MS).unref();
}

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect === 'function') collect();
}
