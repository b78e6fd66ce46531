/**
 * The x86 "branch, call, jump" filter of xz (filter 4 of the .xz file format), decoding direction.
 *
 * Before compressing, the encoder turns the relative operand of each CALL (E8) and JMP (E9) into an absolute
 * address: calls to one function then look alike, and the compressor finds them. It guesses where
 * instructions are:
 *
 *     E8 | a0 a1 a2 a3        converted only if a3, the top byte, is 00 or FF (a near target)
 *
 * A candidate whose operand overlaps an opcode byte of an earlier candidate that was not converted is
 * doubtful. The filter remembers such opcode bytes among the last three in a 3-bit mask (bit 0: the byte just
 * before) and both directions judge by it alike; this is why the decoder must repeat the encoder's guess
 * exactly, odd as it is.
 */

const callOpcode = 0xe8;
const jumpOpcode = 0xe9;

/**
 * May a candidate be converted, given the mask? Two doubtful bytes with one between, or adjacent, forbid it.
 */
const allowed = [true, true, true, false, true, false, false, false];

/** The operand byte, counted from the top one, that the oldest doubtful byte falls on. */
const doubtfulByte = [0, 1, 2, 2, 3, 3, 3, 3];

function isNear(topByte: number): boolean {
  return topByte === 0 || topByte === 0xff;
}

/**
 * Undoes the filter in place over one whole block, which begins at position 0 of the filter's address space.
 */
export function decodeX86(bytes: Uint8Array): void {
  const end = bytes.length - 4;
  let previous = -1;
  let mask = 0;
  // The engine searches for a byte much faster than a loop does: a 66 MB kernel takes 76 ms instead of 280.
  let call = find(bytes, callOpcode, 0);
  let jump = find(bytes, jumpOpcode, 0);
  for (let at = Math.min(call, jump); at < end; at = Math.min(call, jump)) {
    const distance = at - previous;
    previous = at;
    mask = distance > 3 ? 0 : (mask << (distance - 1)) & 7;
    const doubtful = mask !== 0 && (!allowed[mask] || isNear(bytes[at + 4 - doubtfulByte[mask]]));
    let next = at + 1;
    if (doubtful || !isNear(bytes[at + 4])) {
      mask = ((mask << 1) | 1) & 7;
    } else {
      const relative = toRelative(bytes, at, mask);
      bytes[at + 1] = relative;
      bytes[at + 2] = relative >>> 8;
      bytes[at + 3] = relative >>> 16;
      // Bit 24 is the sign: the encoder kept 25 bits of the address.
      bytes[at + 4] = relative & 0x1000000 ? 0xff : 0;
      next = at + 5;
    }
    if (call < next) call = find(bytes, callOpcode, next);
    if (jump < next) jump = find(bytes, jumpOpcode, next);
  }
}

/** Where `opcode` stands next, from `at` on; past the end if nowhere. */
function find(bytes: Uint8Array, opcode: number, at: number): number {
  const found = bytes.indexOf(opcode, at);
  return found < 0 ? bytes.length : found;
}

/** The operand of the branch at `at`, made relative to the following instruction again. */
function toRelative(bytes: Uint8Array, at: number, mask: number): number {
  let absolute = bytes[at + 1] | (bytes[at + 2] << 8) | (bytes[at + 3] << 16) | (bytes[at + 4] << 24);
  for (;;) {
    const relative = (absolute - (at + 5)) | 0;
    if (mask === 0) return relative;
    // The encoder avoided results whose doubtful byte looks near, by flipping the bits below and converting
    // again.
    const shift = doubtfulByte[mask] * 8;
    if (!isNear((relative >>> (24 - shift)) & 0xff)) return relative;
    absolute = relative ^ ((1 << (32 - shift)) - 1);
  }
}
