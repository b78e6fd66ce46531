/** Numbers at random that are the same each time. */

/** A small deterministic generator (xorshift32). */
export class RandomNumbers {
  private state: number;

  constructor(seed: number) {
    this.state = Math.imul(seed + 1, 0x9e3779b9) | 1;
  }

  next(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return x;
  }

  /** From 0 to `limit` - 1. */
  below(limit: number): number {
    return (this.next() >>> 0) % limit;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
}
