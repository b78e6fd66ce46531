/**
 * zstd, by zstddec: the reference decoder compiled to WebAssembly. (Pure JavaScript takes six times as long.)
 */

import { ZSTDDecoder } from 'zstddec';
import { ImageError } from './error.ts';

/** Unpacks a zstd frame of exactly `size` bytes; raises ImageError if it is corrupt or of another size. */
export async function unpackZstd(packed: Uint8Array, size: number, name: string): Promise<Uint8Array> {
  const decoder = new ZSTDDecoder();
  await decoder.init();
  let output: Uint8Array;
  try {
    output = decoder.decode(packed, size);
  } catch {
    throw new ImageError(name, `its zstd payload cannot be unpacked: no memory for ${size} bytes`);
  }
  // The decoder never writes more than `size` bytes, and on any error its result comes out short.
  if (output.length !== size) {
    throw new ImageError(
      name,
      `truncated or corrupt: its zstd payload does not unpack to the ${size} bytes it claims`,
    );
  }
  return output;
}
