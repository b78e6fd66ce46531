import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CpuidFeature,
  DecoderOptions,
  Decoder as IndependentDecoder,
  type Instruction,
  Mnemonic,
} from 'iced-x86';
import { MODE_LONG } from '../layout.ts';
import { Decoder, Decoding } from './decoder.ts';
import { instructionSet } from './instructions/index.ts';
import { PSEUDO_TOO_LONG, PSEUDO_UNDEFINED, REC_HANDLER } from './record.ts';
import { VariantTable } from './variants.ts';

const RECORD = 4096;
const set = instructionSet();
const variants = new VariantTable(set);
const buffer = new ArrayBuffer(8192);
const memory = { u8: new Uint8Array(buffer), view: new DataView(buffer) };
const decoder = new Decoder(set, variants, memory);

interface Outcome {
  readonly valid: boolean;
  readonly length: number;
  readonly name: string;
}

function decode(bytes: Uint8Array, long: boolean): Outcome {
  memory.u8.set(bytes, 0);
  const decoding = decoder.decode(0, bytes.length, 0, long ? MODE_LONG : 0, RECORD);
  if (decoding !== Decoding.Done) return { valid: false, length: 0, name: 'more bytes needed' };
  const handler = memory.view.getUint16(RECORD + REC_HANDLER, true);
  if (handler === PSEUDO_UNDEFINED) return { valid: false, length: 0, name: '#UD' };
  if (handler === PSEUDO_TOO_LONG) return { valid: false, length: 0, name: '#GP' };
  const { definition } = variants.variantOf(handler)!;
  return { valid: true, length: decoder.length, name: `${definition.mnemonic} ${definition.encoding}` };
}

// ------------------------------------------------------------------ against an independent decoder

const named = (list: string): Set<CpuidFeature> =>
  new Set(list.split(' ').map((name) => (CpuidFeature as unknown as Record<string, CpuidFeature>)[name]!));

/** What the processor has, in the other decoder's names. */
const SUPPORTED = named(
  'INTEL8086 INTEL8086_ONLY INTEL186 INTEL286 INTEL386 INTEL486 X64 CPUID TSC MSR CMOV CX8 CMPXCHG16B FPU FPU287 FPU387 ' +
    'SEP SYSCALL RDTSCP RDPMC MMX FXSR SSE SSE2 SSE3 SSSE3 SSE4_1 SSE4_2 POPCNT CLFSH MULTIBYTENOP PAUSE PREFETCHW',
);
/** Later instructions whose encodings older processors execute as something else, a hint or the plain instruction. */
const EXECUTED_AS_OLDER = named('BMI1 LZCNT CET_IBT CET_SS MPX CLDEMOTE PREFETCHITI PREFETCHWT1 WBNOINVD');

/** Where the two differ on purpose. */
const EXCEPTIONS: readonly { readonly names: RegExp; readonly why: string }[] = [
  { names: /^VMM?CALL/, why: 'of VMX and SVM only the hypercalls exist, for the hypervisor to answer' },
  { names: /^MOV 8E/, why: 'a load of CS decodes, and raises #UD when it is executed' },
];

/** xorshift32. */
function generator(seed: number): () => number {
  let s = seed;
  return () => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return s >>> 0;
  };
}

const PREFIXES = [0x66, 0xf2, 0xf3, 0xf0, 0x67, 0x2e, 0x3e, 0x64, 0x65, 0x26, 0x36];

/** Fifteen bytes that begin like an instruction: prefixes, REX, an escape; the rest is anything. */
function randomBytes(random: () => number): Uint8Array {
  const bytes = new Uint8Array(15);
  for (let i = 0; i < bytes.length; i++) bytes[i] = random() >>> 11;
  let p = 0;
  while (random() % 3 === 0 && p < 4) bytes[p++] = PREFIXES[random() % PREFIXES.length]!;
  if (random() % 3 === 0) bytes[p++] = 0x40 | (random() & 15);
  const map = random() % 6;
  if (map >= 2) bytes[p++] = 0x0f;
  if (map >= 4) bytes[p++] = map === 4 ? 0x38 : 0x3a;
  return bytes;
}

/** What is wrong, or undefined. */
function disagreement(bytes: Uint8Array, long: boolean, other: Instruction): string | undefined {
  const ours = decode(bytes, long);
  let expected = !other.isInvalid;
  if (expected) {
    const features = Array.from(other.cpuidFeatures()) as CpuidFeature[];
    const older = features.some((f) => EXECUTED_AS_OLDER.has(f));
    expected = features.every((f) => SUPPORTED.has(f) || EXECUTED_AS_OLDER.has(f));
    if (older && !ours.valid) return undefined;
  }
  const name = other.isInvalid ? '(bad)' : Mnemonic[other.mnemonic];
  if (ours.valid !== expected) {
    if (EXCEPTIONS.some(({ names }) => names.test(ours.name))) return undefined;
    return `${ours.name}, expected ${expected ? name : `#UD (${name})`}`;
  }
  if (ours.valid && ours.length !== other.length)
    return `${ours.name}: ${ours.length} bytes, ${name}: ${other.length}`;
  return undefined;
}

for (const long of [true, false]) {
  test(`random bytes decode as another decoder decodes them, in ${long ? '64-bit' : 'compatibility'} mode`, () => {
    const random = generator(long ? 64 : 32);
    const found = new Map<string, string>();
    for (let i = 0; i < 150000; i++) {
      const bytes = randomBytes(random);
      const independent = new IndependentDecoder(long ? 64 : 32, bytes, DecoderOptions.None);
      const instruction = independent.decode();
      const wrong = disagreement(bytes, long, instruction);
      if (wrong !== undefined && !found.has(wrong)) found.set(wrong, Buffer.from(bytes).toString('hex'));
      instruction.free();
      independent.free();
    }
    assert.deepEqual([...found].slice(0, 40), []);
  });
}

// ------------------------------------------------------------------ by hand

const bytes = (hex: string): Uint8Array => {
  const list = new Uint8Array(16).fill(0x90);
  list.set(hex.split(' ').map((text) => Number.parseInt(text, 16)));
  return list;
};

test('encodings that older processors execute are no #UD', () => {
  for (const [hex, name] of [
    ['f3 0f bc c1', 'BSF 0F BC'], // TZCNT with BMI1
    ['f3 0f bd c1', 'BSR 0F BD'], // LZCNT
    ['f3 0f 1e fa', 'NOP 0F 1E'], // ENDBR64
    ['0f 1f 44 00 00', 'NOP 0F 1F'],
    ['f3 90', 'NOP 90'], // PAUSE
    ['f3 c3', 'RET C3'],
    ['0f 18 08', 'PREFETCH 0F 18'],
  ] as const) {
    assert.equal(decode(bytes(hex), true).name, name, hex);
  }
});

test('LOCK is legal only where memory is read, changed and written', () => {
  assert.equal(decode(bytes('f0 01 03'), true).valid, true); // lock add [rbx], eax
  for (const hex of ['f0 01 c3', 'f0 89 03', 'f0 03 03', 'f0 39 03', 'f0 0f a3 03', 'f0 90']) {
    assert.equal(decode(bytes(hex), true).name, '#UD', hex);
  }
});

test('a REX prefix counts only right before the opcode', () => {
  assert.equal(decode(bytes('48 66 01 c3'), true).length, 4);
  assert.equal(variants.variant(memory.view.getUint16(RECORD + REC_HANDLER, true))!.shape.size, 2);
  decode(bytes('66 48 01 c3'), true);
  assert.equal(variants.variant(memory.view.getUint16(RECORD + REC_HANDLER, true))!.shape.size, 8);
});

test('fifteen bytes are the longest instruction', () => {
  const prefixes = '66 '.repeat(13);
  assert.equal(decode(bytes(`${prefixes}01 c3`), true).length, 15);
  assert.equal(decode(bytes(`66 ${prefixes}01 c3`), true).name, '#GP');
});

test('an instruction that ends after the bytes at hand is not decoded', () => {
  memory.u8.set(bytes('48 b8 01 02 03 04 05 06 07 08'), 0);
  for (let available = 1; available < 10; available++) {
    assert.equal(decoder.decode(0, available, 0, MODE_LONG, RECORD), Decoding.NeedMore);
  }
  assert.equal(decoder.decode(0, 10, 0, MODE_LONG, RECORD), Decoding.Done);
});
