/** Numbers as people read them in a kernel's log. Addresses and 64-bit words come as signed numbers, or as halves. */

const TWO_32 = 4294967296;

/** `0x1f`; of a negative number its 64-bit two's complement. */
export function hex(value: number): string {
  return `0x${hex64(value).replace(/^0+(?=.)/, '')}`;
}

/** Sixteen digits, without a prefix. */
export function hex64(value: number): string {
  return hexWord(value >>> 0, Math.floor(value / TWO_32) >>> 0);
}

/** Sixteen digits from two halves, without a prefix. */
export function hexWord(low: number, high: number): string {
  return digits(high, 8) + digits(low, 8);
}

/** The low `count` digits of a 32-bit value. */
export function digits(value: number, count: number): string {
  return (value >>> 0).toString(16).padStart(count, '0').slice(-count);
}
