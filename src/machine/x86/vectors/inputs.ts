/**
 * Random operands for the processor vectors, drawn exactly as `generate.c` draws them.
 *
 * Both sides build the inputs of a record from a pseudo-random generator that is seeded with the text of the form, so
 * only what the processor answered needs to be kept. Change one side and the other must follow; every hash changes too.
 */

/** Where the code under test lies: a page of INT3 with the instruction in its middle. */
export const CODE_PAGE = 0x100000;
export const CODE = 0x100800;
/** The data window, 512 bytes around a page boundary; pointers start near its middle. */
export const WINDOW = 0x110f00;
export const WINDOW_WORDS = 128;
export const MIDDLE = 0x111000;
/** Targets of indirect jumps: CODE_TARGET … + 255. */
const CODE_TARGET = 0x100900;

/** An instruction to try, in one encoding, with what its operands should look like. The letters are those of `generate.c`. */
export interface Form {
  /** Mnemonic, operands, size in bytes, register or memory form, variant. */
  readonly name: string;
  readonly long: boolean;
  /** Code bytes in hex; `??` is drawn for each record. */
  readonly code: string;
  /** A letter for each of the sixteen general registers. */
  readonly registers: string;
  /** A letter for what memory holds. */
  readonly memory: string;
  /** Corrections that give an instruction operands it can work with, a letter each; `-` for none. */
  readonly fixups: string;
  /** A letter for the XMM registers, one for the x87 and MMX registers; `--`: not looked at. */
  readonly fpu: string;
  /** RFLAGS bits that the manual defines after the instruction, before `count` is looked at. */
  readonly flags: number;
  /** How flags depend on a shift count: class, source and operand bits, as `sc64`; `-` if they do not. */
  readonly count: string;
  /** DF may be set. */
  readonly direction: boolean;
  /** Bits of the x87 status word that are compared. */
  readonly status: number;
}

/** The line that describes a form to the generator; it is also what the random numbers are seeded with. */
export function formLine(form: Form): string {
  const { name, long, code, registers, memory, fixups, fpu, flags, count, direction, status } = form;
  const words = [
    long ? 64 : 32,
    code.replaceAll(' ', ''),
    registers,
    memory,
    fixups,
    fpu,
    flags.toString(16),
  ];
  return [name, ...words, count, direction ? 1 : 0, status.toString(16)].join('\t');
}

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

// ------------------------------------------------------------------ values; 64-bit ones come as low and high

let low = 0;
let high = 0;
let extra = 0;

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

function biased(): void {
  const r = next();
  switch (r & 7) {
    case 0:
      [low, high] = CORNERS[(r >>> 3) % CORNERS.length] as [number, number];
      return;
    case 1:
      low = ((r >>> 3) & 0xff) - 128;
      high = low >> 31;
      return;
    case 2:
    case 3: {
      const l = next();
      const h = next();
      const k = (r >>> 3) & 63;
      low = k === 0 ? l : k < 32 ? (l >>> k) | (h << (32 - k)) : h >>> (k - 32);
      high = k < 32 ? h >>> k : 0;
      if (((r >>> 9) & 1) !== 0) {
        low = ~low;
        high = ~high;
      }
      return;
    }
    case 4:
      low = high = Math.imul((r >>> 3) & 0xff, 0x01010101);
      return;
    case 5:
      low = next();
      high = (low | 0) >> 31;
      return;
    default:
      low = next();
      high = next();
  }
}

const SINGLES: readonly number[] = [
  0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001,
  0xffa00000, 0x00000001, 0x807fffff, 0x00800000, 0x7f7fffff, 0x3f000000, 0xbfc00000, 0x4effffff, 0x4f000000,
  0xcf000000, 0x4b000000, 0x4b7fffff, 0x5f000000, 0x33800000, 0x34000000,
];
function single(): number {
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
function double(): void {
  const r = next();
  const sign = r & 0x80000000;
  switch (r & 7) {
    case 0:
    case 1:
      [low, high] = DOUBLES[(r >>> 3) % DOUBLES.length] as [number, number];
      return;
    case 2:
    case 3:
      low = next();
      high = sign | ((1011 + ((r >>> 3) % 24)) << 20) | (next() & 0xfffff);
      return;
    case 4:
      low = 0;
      high = sign | ((1023 + ((r >>> 3) & 63)) << 20) | (next() & 0xfffff);
      return;
    case 5:
      low = next();
      high = sign | ((next() & 0xfffff) >>> ((r >>> 3) % 21));
      return;
    case 6:
      low = next();
      high = next();
      return;
    default:
      // About a single's precision and range: halfway cases of narrowing.
      low = next() & 0xf0000000;
      high = sign | ((870 + ((r >>> 3) % 300)) << 20) | (next() & 0xfffff);
  }
}

/** Significand low, high, sign and exponent. The last rows are encodings that processors since the 387 refuse. */
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
function extended(): void {
  const r = next();
  const sign = (r >>> 16) & 0x8000;
  switch (r & 7) {
    case 0:
    case 1:
      [low, high, extra] = EXTENDEDS[(r >>> 3) % EXTENDEDS.length] as [number, number, number];
      return;
    case 2:
    case 3:
      low = next();
      high = next() | 0x80000000;
      extra = sign | (16371 + ((r >>> 3) % 24));
      return;
    case 4:
      low = 0;
      high = next() | 0x80000000;
      extra = sign | (16383 + ((r >>> 3) % 70));
      return;
    case 5:
      low = next();
      high = (next() & 0x7fffffff) >>> ((r >>> 3) & 31);
      extra = sign;
      return;
    case 6:
      low = next();
      high = next() | (r & 8 ? 0x80000000 : 0);
      extra = (r >>> 8) & 0xffff;
      return;
    default:
      low = next() & 0xfffff800;
      high = next() | 0x80000000;
      extra = sign | (15300 + ((r >>> 3) % 2200));
  }
}

// ------------------------------------------------------------------ a record

/** The inputs of one record; after a run, the same shape holds its outputs. */
export class Registers {
  /** Low and high halves of the sixteen registers. */
  readonly general = new Int32Array(32);
  flags = 0;
  readonly memory = new Int32Array(WINDOW_WORDS);
  readonly xmm = new Int32Array(64);
  mxcsr = 0x1f80;
  /** Eight x87 registers by stack position: significand low, high, sign and exponent. */
  readonly x87 = new Int32Array(24);
  control = 0x37f;
  status = 0;
  /** Bit i set: physical register i holds a value. */
  tags = 0;
  /** The instruction's bytes. */
  readonly code = new Uint8Array(16);
  codeLength = 0;
}

function pointer(): void {
  const r = next();
  low = MIDDLE - 32 + ((r & 1) !== 0 ? (r >>> 1) & 63 : 32);
  high = 0;
}

function registerValue(kind: string, into: Registers): void {
  switch (kind) {
    case 'p':
      pointer();
      return;
    case 'P':
      pointer();
      high = next();
      return;
    case 'a':
      low = MIDDLE - 32 + ((next() & 3) << 4);
      high = 0;
      return;
    case 'w':
      low = WINDOW;
      high = 0;
      return;
    case 'i':
      low = (next() & 7) - 4;
      high = low >> 31;
      return;
    case 'c':
      low = next() % 13;
      high = 0;
      return;
    case 'C':
      low = next() % 13;
      high = next();
      return;
    case 'n':
      low = next();
      high = next();
      return;
    case 'm':
      low = next() % 17;
      high = next();
      return;
    case 'b':
      low = (next() & 0x7ff) - 0x400;
      high = low >> 31;
      return;
    case 'j':
      low = CODE_TARGET + (next() & 0xff);
      high = 0;
      return;
    case '=':
      if ((next() & 1) === 0) biased();
      else [low, high] = [into.general[0]!, into.general[1]!];
      return;
    case 'z':
      sparse();
      return;
    case 'd': {
      const r = next();
      if ((r & 3) === 0) biased();
      else if ((r & 3) === 1) low = high = 0;
      else if ((r & 3) === 2) low = high = (r & 4 ? into.general[1]! : into.general[0]!) >> 31;
      else {
        low = next() >>> ((r >>> 2) & 31);
        high = 0;
      }
      return;
    }
    default:
      biased();
  }
}

function sparse(): void {
  if ((next() & 3) === 0) biased();
  else low = high = 0;
}

function decimalDigits(): number {
  let r = next();
  for (let shift = 0; shift < 32; shift += 4) if (((r >>> shift) & 15) > 9) r -= 6 * 2 ** shift;
  return r;
}

function fillMemory(kind: string, memory: Int32Array): void {
  for (let i = 0; i < WINDOW_WORDS; i += 2) {
    if (kind === 'z') sparse();
    else if (kind === 'b') {
      memory[i] = decimalDigits();
      memory[i + 1] = decimalDigits();
      i += 2;
      low = decimalDigits() & 0x80ff;
      high = 0;
    } else if (kind === 's') {
      low = single();
      high = single();
    } else if (kind === 'd') double();
    else if (kind === 'x') {
      extended();
      memory[i] = low;
      memory[i + 1] = high;
      i += 2;
      low = extra;
      high = 0;
    } else biased();
    memory[i] = low;
    memory[i + 1] = high;
  }
}

function store(memory: Int32Array, address: number, bytes: number, l: number, h: number): void {
  const view = new DataView(memory.buffer);
  const at = address - WINDOW;
  view.setInt32(at, l, true);
  if (bytes === 8) view.setInt32(at + 4, h, true);
}

function fixUp(form: Form, into: Registers): void {
  const { general, memory } = into;
  const rbx = general[6]!;
  const rsp = general[8]!;
  const width = form.long ? 8 : 4;
  for (const letter of form.fixups) {
    const r = letter === '-' ? 0 : next();
    switch (letter) {
      case 'x': // memory equals the accumulator
        if (r & 1) store(memory, rbx, 8, general[0]!, general[1]!);
        break;
      case 'y': // CMPXCHG8B finds what it expects
        if (r & 1) store(memory, rbx, 8, general[0]!, general[4]!);
        break;
      case 'z': // CMPXCHG16B
        if (r & 1) {
          store(memory, rbx, 8, general[0]!, general[1]!);
          store(memory, rbx + 8, 8, general[4]!, general[5]!);
        }
        break;
      case 'J': // a jump target in memory
        store(memory, rbx, width, CODE_TARGET + (r & 0xff), 0);
        break;
      case 'R': // a return address
        store(memory, rsp, width, CODE_TARGET + (r & 0xff), 0);
        break;
      case 'm': // an MXCSR, now and then with a reserved bit
        store(memory, rbx, 4, (r & 0xffff) | (r & 0xf0000 ? 0 : 0x100000), 0);
        break;
      case 'M': // the same in an FXSAVE image
        store(memory, WINDOW + 24, 4, (r & 0xffff) | (r & 0xf0000 ? 0 : 0x100000), 0);
        break;
      case 'F': // flags that may be popped: arithmetic ones and DF
        store(memory, rsp, 8, (r & 0xcd5) | 0x202, 0);
        break;
      default:
        break;
    }
  }
}

function fillXmm(kind: string, into: Registers): void {
  const { xmm } = into;
  const r = next();
  for (let i = 0; i < 64; i += 2) {
    if (kind === 'i' || kind === 'I') biased();
    else if (kind === 'd') double();
    else if (kind === 'c') {
      low = next() & 0x03030303;
      high = next() & 0x03030303;
    } else {
      low = single();
      high = single();
    }
    xmm[i] = low;
    xmm[i + 1] = high;
  }
  into.mxcsr = 0x1f80;
  if (kind === 'i' || kind === 'c') return;
  // Every rounding mode, now and then FZ and DAZ; one record in eight has exceptions unmasked.
  const modes = (r & 0x6000) | (r & 0x30000 ? 0 : 0x8000) | (r & 0xc0000 ? 0 : 0x40);
  into.mxcsr = modes | (r & 0x700000 ? 0x1f80 : r & 0x1f80);
  if (r & 0x1000000) into.mxcsr |= r & 0x3f;
}

function fillX87(kind: string, into: Registers): void {
  const { x87 } = into;
  const r = next();
  for (let i = 0; i < 24; i += 3) {
    if (kind === 'm') {
      biased();
      extra = 0xffff;
    } else extended();
    x87[i] = low;
    x87[i + 1] = high;
    x87[i + 2] = extra;
  }
  const top = (r >>> 8) & 7;
  if (kind === 'm') {
    into.control = 0x37f;
    into.status = top << 11;
    into.tags = r & 0xff;
    return;
  }
  // Every rounding and precision mode; some records have unmasked exceptions, some have one pending.
  const precision = (r >>> 11) & 3;
  const masks = r & 0x38000 ? 0x3f : (r >>> 18) & 0x3f;
  into.control = masks | 0x40 | ((precision === 1 ? 3 : precision) << 8) | (((r >>> 13) & 3) << 10);
  const sticky = r & 0x1000000 ? next() & 0x3f & (r & 0x1c000000 ? masks : 0x3f) : 0;
  into.status = (top << 11) | ((r >>> 8) & 0x4700) | sticky | (sticky & ~masks ? 0x8080 : 0);
  into.tags = r & 0x2000000 ? 0xff : next() & 0xff;
}

/** Draws the inputs of the next record of a form. */
export function drawInputs(form: Form, code: Int16Array, into: Registers): void {
  const choice = next() & 7;
  into.codeLength = code.length;
  for (let i = 0; i < code.length; i++) {
    let byte = code[i]!;
    if (byte < 0) {
      const last = i === code.length - 1 || code[i + 1]! >= 0;
      const random = next() & 0xff;
      byte =
        choice === 0
          ? 0
          : choice === 1
            ? 0xff
            : choice === 2
              ? last
                ? 0x7f
                : 0xff
              : choice === 3
                ? last
                  ? 0x80
                  : 0
                : random;
    }
    into.code[i] = byte;
  }
  for (let n = 0; n < 16; n++) {
    registerValue(form.registers[n]!, into);
    into.general[n * 2] = low;
    into.general[n * 2 + 1] = form.long ? high : 0;
  }
  const r = next();
  into.flags = (r & 0x8d5) | (form.direction && (r & 0x10000) !== 0 ? 0x400 : 0);
  fillMemory(form.memory, into.memory);
  fixUp(form, into);
  if (form.fpu[0] !== '-') fillXmm(form.fpu[0]!, into);
  if (form.fpu[1] !== '-') fillX87(form.fpu[1]!, into);
}

/** Code bytes of a form, −1 where a byte is drawn. */
export function codeTemplate(form: Form): Int16Array {
  const hex = form.code.replaceAll(' ', '');
  const bytes = new Int16Array(hex.length / 2);
  for (let i = 0; i < bytes.length; i++) {
    const text = hex.slice(2 * i, 2 * i + 2);
    bytes[i] = text === '??' ? -1 : Number.parseInt(text, 16);
  }
  return bytes;
}

/** RFLAGS bits to compare after a record: shifts leave some undefined, by their count (Intel SDM 2, SAL and RCL). */
export function definedFlags(form: Form, inputs: Registers): number {
  if (form.count === '-') return form.flags;
  const bits = Number(form.count.slice(2));
  const given = form.count[1] === 'c' ? inputs.general[2]! : inputs.code[inputs.codeLength - 1]!;
  const n = given & (bits === 64 ? 63 : 31);
  if (n === 0) return form.flags;
  let undefinedFlags = n > 1 ? 0x800 : 0;
  if (form.count[0] !== 'r') undefinedFlags |= 0x10;
  if (form.count[0] === 's' && n >= bits) undefinedFlags |= 1;
  return form.flags & ~undefinedFlags;
}

/** Bytes of FPU images that differ from one processor to the next: instruction and data pointers, MXCSR_MASK. */
const FORGOTTEN: Readonly<Record<string, readonly (readonly [number, number])[]>> = {
  X: [
    [6, 24],
    [28, 32],
    [416, 512],
  ],
  E: [[12, 28]],
  e: [[6, 14]],
};
/** Clears what is not compared of the memory that a form left. */
export function forgetPointers(form: Form, memory: Int32Array): void {
  const bytes = new Uint8Array(memory.buffer);
  for (const letter of form.fixups) {
    for (const [from, to] of FORGOTTEN[letter] ?? []) bytes.fill(0, from, to);
  }
}

// ------------------------------------------------------------------ hashing

/** A running hash of 32-bit words, two lanes. */
export class Hash {
  a = 0x12345678;
  b = 0x9abcdef0 | 0;
  word(w: number): void {
    const a = Math.imul(this.a ^ w, 0x9e3779b1);
    this.a = (a << 13) | (a >>> 19);
    const b = Math.imul((this.b + w) | 0, 0x85ebca6b);
    this.b = b ^ (b >>> 15);
  }
  get text(): string {
    return (this.a >>> 0).toString(16).padStart(8, '0') + (this.b >>> 0).toString(16).padStart(8, '0');
  }
}
