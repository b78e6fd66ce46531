/** The CRC32 instruction: the polynomial of iSCSI (0x11EDC6F41), bits reflected, four bits at a time (SDM 2, CRC32). */

const REMAINDERS = memory.data<u32>([
  0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d, 0x82f63b78,
  0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
]);

/** Continues a checksum with the low `bytes` bytes of `data`, the lowest first. */
export function crc32(checksum: u32, data: u64, bytes: i32): u32 {
  let remainder = checksum;
  for (let i = 0; i < bytes; i++) {
    remainder ^= u32(data & 0xff);
    remainder = (remainder >> 4) ^ load<u32>(REMAINDERS + ((remainder & 15) << 2));
    remainder = (remainder >> 4) ^ load<u32>(REMAINDERS + ((remainder & 15) << 2));
    data >>= 8;
  }
  return remainder;
}
