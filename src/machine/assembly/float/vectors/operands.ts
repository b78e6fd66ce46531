/**
 * The operand generator of generate.c, number by number, for the replay: the same seed gives the same operands. Change
 * both or neither.
 */

export type Extended = { significand: bigint; top: number };
export type Operand = number | bigint | Extended;

const ALL = (1n << 64n) - 1n;

export function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x9e3779b1);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}

export function nameHash(name: string): number {
  return [...name].reduce((hash, letter) => mix(hash, letter.charCodeAt(0)), 0);
}

/** Operands of the transcendental functions: lowest exponent and how many. */
const ORDINARY: Record<string, [number, number]> = {
  u: [-70, 70],
  n: [-70, 68],
  v: [-40, 103],
  p: [-4, 8],
  g: [-40, 80],
};

/**
 * Draws operands by letter: s d single and double bits, w i l integers, x e a extended, b packed BCD,
 * others ORDINARY.
 */
export class Operands {
  private previous = 0;
  private seed: number;

  constructor(seed: number) {
    this.seed = seed;
  }

  draw(letters: string): Operand[] {
    this.previous = 0;
    return [...letters].map((letter) => {
      if (letter === 's') return this.single();
      if (letter === 'd') return this.double();
      if (letter in ORDINARY) return this.ordinary(letter);
      if (letter === 'e') return this.without(-2, 16383);
      if (letter === 'a') return this.without(8, 62);
      if (letter === 'x') return this.extended();
      if (letter === 'b') return this.bcd();
      if (letter === 'w') return Number(BigInt.asIntN(16, this.integer()));
      if (letter === 'i') return Number(BigInt.asIntN(32, this.integer()));
      return BigInt.asIntN(64, this.integer());
    });
  }

  private next(): number {
    this.seed = (this.seed + 0x6d2b79f5) | 0;
    let t = this.seed;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  private next64(): bigint {
    const high = BigInt(this.next());
    return (high << 32n) | BigInt(this.next());
  }

  private fraction(bits: number): bigint {
    const all = (1n << BigInt(bits)) - 1n;
    const r = this.next();
    const random = this.next64();
    const place = BigInt((r >>> 8) % bits);
    switch (r & 7) {
      case 0:
        return 0n;
      case 1:
        return all;
      case 2:
        return 1n << place;
      case 3:
        return all & ~(1n << place);
      case 4:
        return ((random & all) >> place) << place;
      case 5:
        return all & (((random << 41n) & ALL) | (1n << 40n) | ((random >> 32n) & 1n));
      default:
        return random & all;
    }
  }

  private exponent(bias: number): number {
    const r = this.next();
    const some = r >>> 8;
    const fields = [
      () => 0,
      () => 0,
      () => 2 * bias + 1,
      () => 1 + (some & 3),
      () => 2 * bias - (some & 3),
      () => bias + this.previous + (some & 7) - 3,
      () => bias + this.previous + (some & 7) - 3,
      () => bias + this.previous + (some & 7) - 3,
      () => bias + (some & 63),
      () => bias + (some & 63),
      () => bias - 32 + (some & 63),
      () => bias - 32 + (some & 63),
      () => bias - this.previous + (some & 7) - 3,
    ];
    const choose = fields[r & 15] ?? (() => some & (2 * bias + 1));
    const chosen = choose();
    const field = chosen < 0 || chosen > 2 * bias + 1 ? bias : chosen;
    this.previous = field - bias;
    return field;
  }

  private single(): number {
    const field = this.exponent(127);
    const bits = Number(this.fraction(23));
    return ((this.next() & 0x80000000) | (field << 23) | bits) >>> 0;
  }

  private double(): bigint {
    const field = BigInt(this.exponent(1023));
    const bits = this.fraction(52);
    return (BigInt(this.next() >>> 31) << 63n) | (field << 52n) | bits;
  }

  private ordinary(letter: string): Extended {
    const [lowest, count] = ORDINARY[letter];
    const r = this.next();
    const sign = letter === 'p' ? 0 : (r & 1) << 15;
    const top = sign | (16383 + lowest + ((r >>> 8) % count));
    return { top, significand: (1n << 63n) | this.fraction(63) };
  }

  private without(lowest: number, highest: number): Extended {
    const x = this.extended();
    const field = (x.top & 0x7fff) - 16383;
    return field >= lowest && field <= highest ? { ...x, top: (x.top & 0x8000) | (16383 + lowest - 1) } : x;
  }

  private extended(): Extended {
    const field = this.exponent(16383);
    const bits = this.fraction(63);
    const r = this.next();
    const odd = (r & 0x1f0) === 0;
    const leading = (field !== 0) !== odd ? 1n << 63n : 0n;
    return { significand: leading | bits, top: ((r & 1) << 15) | field };
  }

  /** Ten bytes of packed BCD: eight in `significand`, two in `top`. */
  private bcd(): Extended {
    let significand = 0n;
    for (let i = 0; i < 8; i++) {
      const r = this.next();
      significand |= BigInt(((r % 10) << 4) | ((r >>> 8) % 10)) << BigInt(8 * i);
    }
    const r = this.next();
    return { significand, top: (((r >>> 16) << 8) | ((r % 10) << 4) | ((r >>> 8) % 10)) & 0xffff };
  }

  private integer(): bigint {
    const value = BigInt.asIntN(64, this.fraction(64));
    const r = this.next();
    return r & 1 ? value >> BigInt((r >>> 8) & 63) : value;
  }
}
