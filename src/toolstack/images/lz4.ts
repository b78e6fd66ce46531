/**
 * The legacy LZ4 frame (magic 02 21 4C 18), the form in which Linux carries an LZ4 payload: after the magic
 * come blocks, each a 32-bit length and that many bytes, each unpacking by itself to at most 8 MiB. The
 * format is the LZ4 project's lz4_Frame_format.md and lz4_Block_format.md. It is small enough that 60 lines
 * of our own, bounded on both sides, beat the libraries there are, of which none both checks bounds and is
 * kept up.
 */

import { ImageError } from './error.ts';

const magic = 0x184c2102;
const maxBlockBytes = 8 << 20;
/** The shortest match; a token's low nibble counts from here. */
const minMatchBytes = 4;

/**
 * Unpacks a legacy LZ4 frame of exactly `size` bytes. Raises ImageError where a length or a distance leads
 * out of the input, the output, or the block, or the total is not `size`.
 */
export function unpackLz4(frame: Uint8Array, size: number, name: string): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const output = new Uint8Array(size);
  let filled = 0;
  // Frames may follow each other: then the next magic stands where a block's length would.
  for (let at = 0; at < frame.length; ) {
    if (frame.length - at < 4) throw corrupt(name);
    const blockBytes = view.getUint32(at, true);
    at += 4;
    if (blockBytes === magic) continue;
    if (blockBytes > frame.length - at) throw corrupt(name);
    filled = unpackBlock(frame.subarray(at, at + blockBytes), output, filled);
    if (filled < 0) throw corrupt(name);
    at += blockBytes;
  }
  if (filled !== size) {
    throw new ImageError(
      name,
      `corrupt: its LZ4 payload unpacks to ${filled} bytes, not to the ${size} it claims`,
    );
  }
  return output;
}

function corrupt(name: string): ImageError {
  return new ImageError(name, 'truncated or corrupt: bad LZ4 payload');
}

/**
 * Unpacks one block into `output` from `start` on, and returns the new end, or -1 if the block is corrupt. A
 * sequence is: token, literals, 16-bit distance, match; the last sequence ends after its literals.
 */
function unpackBlock(input: Uint8Array, output: Uint8Array, start: number): number {
  const inputEnd = input.length;
  const outputEnd = Math.min(output.length, start + maxBlockBytes);
  let from = 0;
  let to = start;
  while (from < inputEnd) {
    const token = input[from++];

    let literals = token >>> 4;
    if (literals === 15) {
      let more = 255;
      while (more === 255 && from < inputEnd) literals += more = input[from++];
    }
    if (literals > inputEnd - from || literals > outputEnd - to) return -1;
    if (literals > 32) {
      output.set(input.subarray(from, from + literals), to);
      to += literals;
      from += literals;
    } else {
      for (let n = literals; n > 0; n--) output[to++] = input[from++];
    }
    if (from === inputEnd) return to;

    if (inputEnd - from < 2) return -1;
    const distance = input[from] | (input[from + 1] << 8);
    from += 2;
    if (distance === 0 || distance > to - start) return -1;

    let match = token & 15;
    if (match === 15) {
      let more = 255;
      while (more === 255 && from < inputEnd) match += more = input[from++];
    }
    match += minMatchBytes;
    if (match > outputEnd - to) return -1;
    // A match may overlap what it produces (distance < length): then it repeats, and only a bytewise copy is
    // right.
    if (match > 64 && distance >= match) {
      output.copyWithin(to, to - distance, to - distance + match);
      to += match;
    } else {
      for (let n = match; n > 0; n--, to++) output[to] = output[to - distance];
    }
  }
  return -1;
}
