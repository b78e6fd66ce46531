/** gzip, both ways, by the platform's own streams: Node and browsers carry zlib already. */

import { ImageError } from './error.ts';

/** Unpacks a gzip member of exactly `size` bytes; raises ImageError if it is corrupt or of another size. */
export async function unpackGzip(packed: Uint8Array, size: number, name: string): Promise<Uint8Array> {
  const output = new Uint8Array(size);
  let filled = 0;
  const reader = streamOf(packed).pipeThrough(new DecompressionStream('gzip')).getReader();
  for (;;) {
    let chunk: Uint8Array | undefined;
    try {
      chunk = (await reader.read()).value;
    } catch {
      throw new ImageError(name, 'truncated or corrupt: bad gzip data');
    }
    if (chunk === undefined) break;
    if (chunk.length > size - filled) {
      void reader.cancel().catch(() => {});
      throw new ImageError(name, `corrupt: its gzip data unpacks to more than the ${size} bytes it claims`);
    }
    output.set(chunk, filled);
    filled += chunk.length;
  }
  if (filled !== size) {
    throw new ImageError(
      name,
      `corrupt: its gzip data unpacks to ${filled} bytes, not to the ${size} it claims`,
    );
  }
  return output;
}

/** Packs `bytes` as one gzip member. */
export async function packGzip(bytes: Uint8Array): Promise<Uint8Array> {
  const packed = streamOf(bytes).pipeThrough(new CompressionStream('gzip'));
  return new Uint8Array(await new Response(packed).arrayBuffer());
}

/** `bytes` as a stream, in pieces small enough that the consumer's buffers stay small. */
export function streamOf(...parts: Uint8Array[]): ReadableStream<Uint8Array<ArrayBuffer>> {
  const pieceBytes = 1 << 20;
  let part = 0;
  let offset = 0;
  return new ReadableStream({
    pull(controller) {
      while (part < parts.length && offset >= parts[part].length) {
        part++;
        offset = 0;
      }
      if (part === parts.length) {
        controller.close();
        return;
      }
      const piece = parts[part].subarray(offset, offset + pieceBytes);
      offset += piece.length;
      controller.enqueue(piece as Uint8Array<ArrayBuffer>);
    },
  });
}
