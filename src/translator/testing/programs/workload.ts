/** Ordinary programs, as compilers write them: hashing, sorting, searching, interpreting. Each prints one number. */

@external("machine", "systemCall3") declare function systemCall3(number: u32, a: u64, b: u64, c: u64): i64;
@external("machine", "systemCall1") declare function systemCall1(number: u32, a: u64): i64;

const WRITE = 1;
const EXIT = 60;

const line = memory.data(64);
const area = memory.data(1 << 20, 64);
const schedule = memory.data(256, 16);
const state = memory.data(32, 16);

const SHA256_CONSTANTS: StaticArray<u32> = [
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
  0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
  0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
  0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
  0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
  0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
  0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
  0xc67178f2,
];
const SHA256_START: StaticArray<u32> = [
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];

const BYTE_CODES: StaticArray<u8> = [1, 2, 3, 4, 5, 6, 7, 8, 9, 0];

function print(value: u64): void {
  for (let i = 15; i >= 0; i--) {
    const digit = <u32>(value & 15);
    store<u8>(line + i, digit < 10 ? 48 + digit : 87 + digit);
    value >>= 4;
  }
  store<u8>(line, 10, 16);
  systemCall3(WRITE, 1, line, 17);
}

function sha256Block(block: usize): void {
  for (let i = 0; i < 16; i++) store<u32>(schedule + 4 * i, bswap(load<u32>(block + 4 * i)));
  for (let i = 16; i < 64; i++) {
    const x = load<u32>(schedule + 4 * (i - 15));
    const y = load<u32>(schedule + 4 * (i - 2));
    const s0 = rotr(x, 7) ^ rotr(x, 18) ^ (x >> 3);
    const s1 = rotr(y, 17) ^ rotr(y, 19) ^ (y >> 10);
    store<u32>(
      schedule + 4 * i,
      load<u32>(schedule + 4 * (i - 16)) + s0 + load<u32>(schedule + 4 * (i - 7)) + s1,
    );
  }
  let a = load<u32>(state);
  let b = load<u32>(state, 4);
  let c = load<u32>(state, 8);
  let d = load<u32>(state, 12);
  let e = load<u32>(state, 16);
  let f = load<u32>(state, 20);
  let g = load<u32>(state, 24);
  let h = load<u32>(state, 28);
  for (let i = 0; i < 64; i++) {
    const s1 = rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25);
    const t1 = h + s1 + ((e & f) ^ (~e & g)) + unchecked(SHA256_CONSTANTS[i]) + load<u32>(schedule + 4 * i);
    const s0 = rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22);
    const t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + t2;
  }
  store<u32>(state, load<u32>(state) + a);
  store<u32>(state, load<u32>(state, 4) + b, 4);
  store<u32>(state, load<u32>(state, 8) + c, 8);
  store<u32>(state, load<u32>(state, 12) + d, 12);
  store<u32>(state, load<u32>(state, 16) + e, 16);
  store<u32>(state, load<u32>(state, 20) + f, 20);
  store<u32>(state, load<u32>(state, 24) + g, 24);
  store<u32>(state, load<u32>(state, 28) + h, 28);
}

/** The first 8 bytes of the hash of `bytes` bytes, a multiple of 64, without the padding. */
function sha256(bytes: usize, rounds: u32): u64 {
  for (let i = 0; i < 8; i++) store<u32>(state + 4 * i, unchecked(SHA256_START[i]));
  for (let round: u32 = 0; round < rounds; round++) {
    for (let at: usize = 0; at < bytes; at += 64) sha256Block(area + at);
  }
  return load<u64>(state);
}

function sort(low: i32, high: i32): void {
  while (low < high) {
    const pivot = load<i32>(area + 4 * ((low + high) >> 1));
    let i = low;
    let j = high;
    while (i <= j) {
      while (load<i32>(area + 4 * i) < pivot) i++;
      while (load<i32>(area + 4 * j) > pivot) j--;
      if (i > j) break;
      const swapped = load<i32>(area + 4 * i);
      store<i32>(area + 4 * i++, load<i32>(area + 4 * j));
      store<i32>(area + 4 * j--, swapped);
    }
    if (j - low < high - i) {
      sort(low, j);
      low = i;
    } else {
      sort(i, high);
      high = j;
    }
  }
}

function sortTest(count: i32): u64 {
  let seed: u32 = 12345;
  for (let i = 0; i < count; i++) {
    seed = seed * 1103515245 + 12345;
    store<u32>(area + 4 * i, seed);
  }
  sort(0, count - 1);
  let hash: u64 = 0;
  for (let i = 0; i < count; i++) hash = hash * 31 + load<u32>(area + 4 * i);
  return hash;
}

function sieve(limit: u32): u64 {
  memory.fill(area, 1, limit);
  let primes: u64 = 0;
  for (let i: u32 = 2; i < limit; i++) {
    if (load<u8>(area + i) == 0) continue;
    primes++;
    for (let k: u64 = <u64>i * i; k < limit; k += i) store<u8>(area + <usize>k, 0);
  }
  return primes;
}

/** A little machine: one byte code for each instruction. */
function interpret(rounds: i64): i64 {
  const program = area;
  memory.copy(program, changetype<usize>(BYTE_CODES), 10);
  let accumulator: i64 = 1;
  let counter = rounds;
  let at: usize = 0;
  while (true) {
    switch (load<u8>(program + at++)) {
      case 1:
        accumulator += counter;
        break;
      case 2:
        accumulator *= 3;
        break;
      case 3:
        accumulator ^= accumulator >> 7;
        break;
      case 4:
        accumulator -= 11;
        break;
      case 5:
        accumulator = rotl(accumulator, 5);
        break;
      case 6:
        accumulator += popcnt(accumulator);
        break;
      case 7:
        accumulator = accumulator & 1 ? -accumulator : accumulator;
        break;
      case 8:
        accumulator += accumulator % (counter + 1);
        break;
      case 9:
        counter--;
        break;
      default:
        if (counter == 0) return accumulator;
        at = 0;
    }
  }
}

function fibonacci(n: u32): u32 {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

/** With a larger `scale` each takes longer. */
function run(scale: u32): void {
  for (let i: usize = 0; i < 1 << 16; i++) store<u8>(area + i, <u8>(i * 7));
  print(sha256(1 << 16, scale));
  print(sortTest(20000 * scale));
  print(sieve(50000 * scale));
  print(interpret(20000 * scale));
  print(fibonacci(20 + scale));
}

/** Prints everything once. */
export function main(stack: u64): void {
  run(1);
  systemCall1(EXIT, 0);
}

/** The same for the clock, larger. */
export function mainLarge(stack: u64): void {
  run(10);
  systemCall1(EXIT, 0);
}
