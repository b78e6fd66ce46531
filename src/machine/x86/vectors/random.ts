/**
 * Pseudo-random operands for the processor vectors: the generator, and integers and floating-point numbers biased to
 * corners. `generate.c` has the same; neither may change without the other.
 */

// ------------------------------------------------------------------ the generator: xoshiro128**

const state = new Uint32Array(4);

export function seed(text: string): void {
  for (let i = 0; i < 4; i++) {
    let h = (0x811c9dc5 + Math.imul(i, 0x9e3779b9)) | 0;
    for (let k = 0; k < text.length; k++) h = Math.imul(h ^ text.charCodeAt(k), 0x01000193);
    state[i] = h | 1;
  }
}

export function next(): number {
  const [s0, s1, s2, s3] = [state[0]!, state[1]!, state[2]!, state[3]!];
  const five = Math.imul(s1, 5);
  const result = Math.imul((five << 7) | (five >>> 25), 9) >>> 0;
  const t3 = s3 ^ s1;
  const t2 = s2 ^ s0;
  state[1] = s1 ^ t2;
  state[0] = s0 ^ t3;
  state[2] = t2 ^ (s1 << 9);
  state[3] = (t3 << 11) | (t3 >>> 21);
  return result;
}

// ------------------------------------------------------------------ values

/** Where 64-bit and 80-bit values are left: halves of the significand, and sign and exponent. */
export const value = { low: 0, high: 0, extra: 0 };

/** Corners of every integer size. */
const CORNERS: readonly (readonly [number, number])[] = [
  [0, 0],
  [1, 0],
  [-1, -1],
  [0x7f, 0],
  [0x80, 0],
  [0xff, 0],
  [0x100, 0],
  [0x7fff, 0],
  [0x8000, 0],
  [0xffff, 0],
  [0x10000, 0],
  [0x7fffffff, 0],
  [0x80000000 | 0, 0],
  [-1, 0],
  [0, 1],
  [-1, 0x7fffffff],
  [0, 0x80000000 | 0],
  [0x80000000 | 0, -1],
  [0x55555555, 0x55555555],
  [0xff00ff | 0, 0xff00ff],
  [-2, -1],
  [2, 0],
  [-128, -1],
  [-32768, -1],
];

/** A 64-bit integer, often a corner of some size. */
export function biased(): void {
  const r = next();
  switch (r & 7) {
    case 0:
      [value.low, value.high] = CORNERS[(r >>> 3) % CORNERS.length] as [number, number];
      return;
    case 1:
      value.low = ((r >>> 3) & 0xff) - 128;
      value.high = value.low >> 31;
      return;
    case 2:
    case 3: {
      const l = next();
      const h = next();
      const k = (r >>> 3) & 63;
      value.low = k === 0 ? l : k < 32 ? (l >>> k) | (h << (32 - k)) : h >>> (k - 32);
      value.high = k < 32 ? h >>> k : 0;
      if (((r >>> 9) & 1) !== 0) {
        value.low = ~value.low;
        value.high = ~value.high;
      }
      return;
    }
    case 4:
      value.low = value.high = Math.imul((r >>> 3) & 0xff, 0x01010101);
      return;
    case 5:
      value.low = next();
      value.high = (value.low | 0) >> 31;
      return;
    default:
      value.low = next();
      value.high = next();
  }
}

const SINGLES: readonly number[] = [
  0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001,
  0xffa00000, 0x00000001, 0x807fffff, 0x00800000, 0x7f7fffff, 0x3f000000, 0xbfc00000, 0x4effffff, 0x4f000000,
  0xcf000000, 0x4b000000, 0x4b7fffff, 0x5f000000, 0x33800000, 0x34000000,
];
/** A single; the result, not `value`. */
export function single(): number {
  const r = next();
  const sign = r & 0x80000000;
  switch (r & 7) {
    case 0:
    case 1:
      return SINGLES[(r >>> 3) % SINGLES.length]!;
    case 2:
    case 3:
      return sign | ((115 + ((r >>> 3) % 24)) << 23) | (next() & 0x7fffff);
    case 4:
      return sign | ((127 + ((r >>> 3) & 63)) << 23) | (next() & 0x7f0000);
    case 5:
      return sign | ((next() & 0x7fffff) >>> ((r >>> 3) % 24));
    default:
      return next();
  }
}

const DOUBLES: readonly (readonly [number, number])[] = [
  [0, 0],
  [0, 0x80000000],
  [0, 0x3ff00000],
  [0, 0xbff00000],
  [0, 0x7ff00000],
  [0, 0xfff00000],
  [0, 0x7ff80000],
  [0, 0xfff80000],
  [1, 0x7ff00000],
  [0, 0xfff40000],
  [1, 0],
  [0xffffffff, 0x800fffff],
  [0, 0x00100000],
  [0xffffffff, 0x7fefffff],
  [0, 0x3fe00000],
  [0, 0xbff80000],
  [0xffc00000, 0x41dfffff],
  [0, 0x41e00000],
  [0, 0xc1e00000],
  [0, 0x43e00000],
  [0, 0xc3e00000],
  [0, 0x43300000],
  [0xe0000000, 0x47efffff],
  [0, 0x36a00000],
];
/** A double. */
export function double(): void {
  const r = next();
  const sign = r & 0x80000000;
  switch (r & 7) {
    case 0:
    case 1:
      [value.low, value.high] = DOUBLES[(r >>> 3) % DOUBLES.length] as [number, number];
      return;
    case 2:
    case 3:
      value.low = next();
      value.high = sign | ((1011 + ((r >>> 3) % 24)) << 20) | (next() & 0xfffff);
      return;
    case 4:
      value.low = 0;
      value.high = sign | ((1023 + ((r >>> 3) & 63)) << 20) | (next() & 0xfffff);
      return;
    case 5:
      value.low = next();
      value.high = sign | ((next() & 0xfffff) >>> ((r >>> 3) % 21));
      return;
    case 6:
      value.low = next();
      value.high = next();
      return;
    default:
      // About a single's precision and range: halfway cases of narrowing.
      value.low = next() & 0xf0000000;
      value.high = sign | ((870 + ((r >>> 3) % 300)) << 20) | (next() & 0xfffff);
  }
}

/** Significand value.low, value.high, sign and exponent. The last rows are encodings that processors since the 387 refuse. */
const EXTENDEDS: readonly (readonly [number, number, number])[] = [
  [0, 0, 0],
  [0, 0, 0x8000],
  [0, 0x80000000, 0x3fff],
  [0, 0x80000000, 0xbfff],
  [0, 0x80000000, 0x7fff],
  [0, 0x80000000, 0xffff],
  [0, 0xc0000000, 0x7fff],
  [0, 0xc0000000, 0xffff],
  [1, 0x80000000, 0x7fff],
  [0, 0xa0000000, 0xffff],
  [1, 0, 0],
  [0xffffffff, 0x7fffffff, 0x8000],
  [0, 0x80000000, 1],
  [0xffffffff, 0xffffffff, 0x7ffe],
  [0, 0x80000000, 0x3ffe],
  [0, 0xc0000000, 0xbfff],
  [0, 0x80000000, 0x401e],
  [0, 0x80000000, 0xc03e],
  [0xffffffff, 0xffffffff, 0x403d],
  [0, 0x80000000, 0],
  [0, 0x40000000, 0x4000],
  [0, 0, 0x7fff],
  [1, 0x40000000, 0x7fff],
  [0, 0, 0x4000],
];
/** An 80-bit number, now and then one of the encodings that have no meaning. */
export function extended(): void {
  const r = next();
  const sign = (r >>> 16) & 0x8000;
  switch (r & 7) {
    case 0:
    case 1:
      [value.low, value.high, value.extra] = EXTENDEDS[(r >>> 3) % EXTENDEDS.length] as [
        number,
        number,
        number,
      ];
      return;
    case 2:
    case 3:
      value.low = next();
      value.high = next() | 0x80000000;
      value.extra = sign | (16371 + ((r >>> 3) % 24));
      return;
    case 4:
      value.low = 0;
      value.high = next() | 0x80000000;
      value.extra = sign | (16383 + ((r >>> 3) % 70));
      return;
    case 5:
      value.low = next();
      value.high = (next() & 0x7fffffff) >>> ((r >>> 3) & 31);
      value.extra = sign;
      return;
    case 6:
      value.low = next();
      value.high = next() | (r & 8 ? 0x80000000 : 0);
      value.extra = (r >>> 8) & 0xffff;
      return;
    default:
      value.low = next() & 0xfffff800;
      value.high = next() | 0x80000000;
      value.extra = sign | (15300 + ((r >>> 3) % 2200));
  }
}

/** Three times in four zero. */
export function sparse(): void {
  if ((next() & 3) === 0) biased();
  else value.low = value.high = 0;
}

/** Eight packed decimal digits. */
export function decimalDigits(): number {
  let r = next();
  for (let shift = 0; shift < 32; shift += 4) if (((r >>> shift) & 15) > 9) r -= 6 * 2 ** shift;
  return r;
}
