/** Canonical addresses: bits 47 to 63 alike (Intel SDM 1, 3.3.7.1). */

const TWO_32 = 4294967296;

/** Whether an address with this upper half is canonical. */
export function isCanonicalHigh(high: number): boolean {
  const top = high >> 15;
  return top === 0 || top === -1;
}

/** Whether a 64-bit number, held as a signed double, is a canonical address. */
export function isCanonical(address: number): boolean {
  return isCanonicalHigh(Math.floor(address / TWO_32) | 0) && Math.abs(address) <= 2 ** 47;
}
