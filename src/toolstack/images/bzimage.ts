/**
 * The Linux bzImage: a setup header of boot protocol 2.08 or later says where in the file the compressed
 * kernel lies. Follows Linux, Documentation/arch/x86/boot.rst, and Xen 4.17,
 * tools/libs/guest/xg_dom_bzimageloader.c.
 *
 *   0      1F1          202       248     24C       (setup_sects + 1) * 512
 *   ├──────┼────────────┼─────────┼───────┼─────────┼───────────────────────┬─────────────┬───┐
 *   │      │setup_sects │ "HdrS"  │offset │ length  │ protected-mode code   │  payload    │   │
 *   └──────┴────────────┴─────────┴───────┴─────────┴───────────────────────┴─────────────┴───┘
 *                                                   └──── payload_offset ───┘└─ length ───┘
 */

import type { ImageReader } from './reader.ts';

const headerMagic = 0x53726448; // "HdrS"
const fields = {
  setupSects: 0x1f1,
  magic: 0x202,
  version: 0x206,
  payloadOffset: 0x248,
  payloadLength: 0x24c,
};
/** The first boot protocol that tells where the payload is. */
const minVersion = 0x208;

/** Does the file carry the setup header's magic? */
export function isBzImage(reader: ImageReader): boolean {
  return reader.holds(fields.magic, 4) && reader.u32(fields.magic, 'the setup header') === headerMagic;
}

/**
 * The compressed payload of a bzImage, its 4 size bytes included (no copy). Raises ImageError if it is not
 * all there.
 */
export function bzImagePayload(reader: ImageReader): Uint8Array {
  const version = reader.u16(fields.version, 'the setup header');
  if (version < minVersion) {
    const found = `${version >> 8}.${String(version & 0xff).padStart(2, '0')}`;
    throw reader.error(`its boot protocol is ${found}; Xen PV needs 2.08 or later`);
  }
  const setupBytes = (reader.u8(fields.setupSects, 'the setup header') + 1) * 512;
  const offset = setupBytes + reader.u32(fields.payloadOffset, 'the setup header');
  const length = reader.u32(fields.payloadLength, 'the setup header');
  return reader.slice(offset, length, 'the compressed kernel');
}
