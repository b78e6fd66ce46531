/** Random numbers for fuzzers: the same everywhere for the same seed. */

/** Marsaglia's xorshift, 32 bits. */
export class Random {
  private x: number;

  constructor(seed: number) {
    this.x = Math.imul(seed, 0x9e3779b1) | 0 || 1;
  }

  /** An unsigned 32-bit number. */
  next(): number {
    this.x ^= this.x << 13;
    this.x ^= this.x >>> 17;
    this.x ^= this.x << 5;
    return this.x >>> 0;
  }
  /** 0 to `limit` - 1. */
  below(limit: number): number {
    return this.next() % limit;
  }
  /** True once in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
  fill(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.next() >>> 24;
  }
}

/** RINGONE_FUZZ multiplies the rounds of every fuzzer; RINGONE_FUZZ_SEED starts them elsewhere. */
export const LENGTH = Math.max(1, Number(process.env.RINGONE_FUZZ ?? 1) || 1);
export const SEED = Number(process.env.RINGONE_FUZZ_SEED ?? 1) || 1;
