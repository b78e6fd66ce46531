/**
 * A hash of the machine's frames: two runs that were alike leave the same one. Four lanes of multiplications and rotations,
 * mixed at the end as MurmurHash3 does; it finds accidents and is no defence against people who make collisions.
 */
import type { MachineMemory } from './memory.ts';
import { PAGE_SIZE } from './memory.ts';

const PRIMES = [0x9e3779b1, 0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f] as const;

/** All frames, as 32 hexadecimal digits. Takes about half a millisecond for each MiB. */
export function hashFrames({ i32, framesBase, frames }: MachineMemory): string {
  return hashWords(i32.subarray(framesBase >> 2, (framesBase + frames * PAGE_SIZE) >> 2));
}

/** Words, a multiple of four of them, as 32 hexadecimal digits. */
export function hashWords(words: Int32Array): string {
  let [a, b, c, d] = [words.length, 1, 2, 3];
  for (let i = 0; i < words.length; i += 4) {
    a = Math.imul(a ^ words[i]!, PRIMES[0]);
    b = Math.imul(b ^ words[i + 1]!, PRIMES[1]);
    c = Math.imul(c ^ words[i + 2]!, PRIMES[2]);
    d = Math.imul(d ^ words[i + 3]!, PRIMES[3]);
    // A rotation lets the upper bits of a product reach the lower ones of the next.
    a = (a << 13) | (a >>> 19);
    b = (b << 17) | (b >>> 15);
    c = (c << 11) | (c >>> 21);
    d = (d << 19) | (d >>> 13);
  }
  // Each lane into all others.
  const lanes = [a, b, c, d];
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 4; i++) lanes[i] = mixed((lanes[i]! + lanes[(i + 3) & 3]!) | 0);
  }
  return lanes.map((lane) => (lane >>> 0).toString(16).padStart(8, '0')).join('');
}

/** The finalizer of MurmurHash3: every bit of the argument changes each bit of the result half the time. */
function mixed(h: number): number {
  let x = h;
  x = Math.imul(x ^ (x >>> 16), PRIMES[1]);
  x = Math.imul(x ^ (x >>> 13), PRIMES[2]);
  return x ^ (x >>> 16);
}
