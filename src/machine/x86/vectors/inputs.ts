/**
 * Random operands for the processor vectors, drawn exactly as `generate.c` draws them.
 *
 * Both sides build the inputs of a record from a pseudo-random generator that is seeded with the text of the form, so
 * only what the processor answered needs to be kept. Change one side and the other must follow; every hash changes too.
 */

import { biased, decimalDigits, double, extended, next, single, sparse, value } from './random.ts';

/** Where the code under test lies: a page of INT3 with the instruction in its middle. */
export const CODE_PAGE = 0x100000;
export const CODE = 0x100800;
/** Code of a form has at most this many bytes. */
export const CODE_LIMIT = 96;
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
  /** Segments with limits, and alignment checks: letters, see `drawLimits`. Left out: flat segments, no checks. */
  readonly limits?: string;
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
  const limits = form.limits === undefined ? [] : [form.limits];
  return [name, ...words, count, direction ? 1 : 0, status.toString(16), ...limits].join('\t');
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
  readonly code = new Uint8Array(CODE_LIMIT);
  codeLength = 0;
  /** Selectors of ES CS SS DS FS GS, and the error code of an exception; compared where a form's fix-ups say `G`. */
  readonly segments = new Int32Array(7);
  /** What the record is executed with: ES CS SS DS FS GS. */
  readonly selectors = new Int32Array(6);
}

function pointer(): void {
  const r = next();
  value.low = MIDDLE - 32 + ((r & 1) !== 0 ? (r >>> 1) & 63 : 32);
  value.high = 0;
}

function registerValue(kind: string, into: Registers): void {
  switch (kind) {
    case 'p':
      pointer();
      return;
    case 'P':
      pointer();
      value.high = next();
      return;
    case 'q': {
      const r = next();
      value.low = (MIDDLE - WINDOW - 32 + (r & 63)) | (r & 0x7fff0000);
      value.high = 0;
      return;
    }
    case 'a':
      value.low = MIDDLE - 32 + ((next() & 3) << 4);
      value.high = 0;
      return;
    case 'w':
      value.low = WINDOW;
      value.high = 0;
      return;
    case 'i':
      value.low = (next() & 7) - 4;
      value.high = value.low >> 31;
      return;
    case 'c':
      value.low = next() % 13;
      value.high = 0;
      return;
    case 'C':
      value.low = next() % 13;
      value.high = next();
      return;
    case 'n':
      value.low = next();
      value.high = next();
      return;
    case 'm':
      value.low = next() % 17;
      value.high = next();
      return;
    case 'b':
      value.low = (next() & 0x7ff) - 0x400;
      value.high = value.low >> 31;
      return;
    case 'S':
      value.low = selector(next());
      value.high = 0;
      return;
    case 'j':
      value.low = CODE_TARGET + (next() & 0xff);
      value.high = 0;
      return;
    case '=':
      if ((next() & 1) === 0) biased();
      else [value.low, value.high] = [into.general[0]!, into.general[1]!];
      return;
    case 'z':
      sparse();
      return;
    case 'd': {
      const r = next();
      if ((r & 3) === 0) biased();
      else if ((r & 3) === 1) value.low = value.high = 0;
      else if ((r & 3) === 2) value.low = value.high = (r & 4 ? into.general[1]! : into.general[0]!) >> 31;
      else {
        value.low = next() >>> ((r >>> 2) & 31);
        value.high = 0;
      }
      return;
    }
    default:
      biased();
  }
}

function fillMemory(kind: string, memory: Int32Array): void {
  for (let i = 0; i < WINDOW_WORDS; i += 2) {
    if (kind === 'z') sparse();
    else if (kind === 'b') {
      memory[i] = decimalDigits();
      memory[i + 1] = decimalDigits();
      i += 2;
      value.low = decimalDigits() & 0x80ff;
      value.high = 0;
    } else if (kind === 's') {
      value.low = single();
      value.high = single();
    } else if (kind === 'd') double();
    else if (kind === 'x') {
      extended();
      memory[i] = value.low;
      memory[i + 1] = value.high;
      i += 2;
      value.low = value.extra;
      value.high = 0;
    } else biased();
    memory[i] = value.low;
    memory[i + 1] = value.high;
  }
}

/** Where a form's segments may have a base of 16 or −16, what is stored for it lies in all three places. */
const EVERYWHERE = [-16, 0, 16];
const HERE = [0];
let places = HERE;

function store(memory: Int32Array, address: number, bytes: number, l: number, h: number): void {
  const view = new DataView(memory.buffer);
  for (const place of places) {
    const at = address - WINDOW + place;
    view.setInt32(at, l, true);
    if (bytes === 8) view.setInt32(at + 4, h, true);
  }
}

/** Segments of every kind, with both privileges, null ones, empty ones, and ones beyond the tables: see `segments.ts`. */
const SELECTORS: readonly number[] = [
  0x23, 0x2b, 0x33, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x4f, 0, 1, 2, 3, 0x20, 0x28, 0x0c, 0x24,
  0xffff, 0xfff8, 0x44,
];
const selector = (r: number): number => SELECTORS[r % SELECTORS.length]!;
/** Where a far transfer leads: half the time to code that is there. */
const codeSelector = (r: number): number => (r & 1 ? [0x23, 0x33, 0x27][(r >>> 1) % 3]! : selector(r >>> 1));
/** The stack segment that IRET finds: mostly the flat one, never the 16-bit one. */
const stackSelector = (r: number): number => {
  const s = r & 3 ? 0x2b : selector(r >>> 2);
  return s === 0x3f ? 0x2b : s;
};

function fixUp(form: Form, into: Registers): void {
  const { general, memory } = into;
  const narrow = form.limits?.includes('w') === true;
  places = form.limits?.includes('d') === true ? EVERYWHERE : HERE;
  const rbx = narrow ? WINDOW + (general[6]! & 0xffff) : general[6]!;
  const rsp = narrow ? WINDOW + (general[8]! & 0xffff) : general[8]!;
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
      case 'k': // a selector in memory
        store(memory, rbx, 4, selector(r), 0);
        break;
      case 'K': // on the stack
        store(memory, rsp, 4, selector(r), 0);
        break;
      case 't': // behind an offset of four bytes, or two
        store(memory, rbx + 4, 4, selector(r), 0);
        break;
      case 'u':
        store(memory, rbx + 2, 4, selector(r), 0);
        break;
      case 'T': // a far pointer to code
        store(memory, rbx, 8, CODE_TARGET + (r & 0xff), codeSelector(r >>> 8));
        break;
      case 'V': // a far return address; of eight bytes each
        store(memory, rsp, 8, CODE_TARGET + (r & 0xff), codeSelector(r >>> 8));
        break;
      case 'W':
        store(memory, rsp, 8, CODE_TARGET + (r & 0xff), 0);
        store(memory, rsp + 8, 8, codeSelector(r >>> 8), 0);
        break;
      case 'o': // what IRET pops: outside 64-bit mode, in it, and there with eight bytes each
      case 'i':
        store(memory, rsp, 8, CODE_TARGET + (r & 0xff), codeSelector(r >>> 8));
        store(memory, rsp + 8, 4, (next() & 0xcd5) | 0x202, 0);
        if (letter === 'i') store(memory, rsp + 12, 8, next(), stackSelector(next()));
        break;
      case 'I':
        store(memory, rsp, 8, CODE_TARGET + (r & 0xff), 0);
        store(memory, rsp + 8, 8, codeSelector(r >>> 8), 0);
        store(memory, rsp + 16, 8, (next() & 0xcd5) | 0x202, 0);
        store(memory, rsp + 24, 8, next(), next());
        store(memory, rsp + 32, 8, stackSelector(next()), 0);
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
      value.low = next() & 0x03030303;
      value.high = next() & 0x03030303;
    } else {
      value.low = single();
      value.high = single();
    }
    xmm[i] = value.low;
    xmm[i + 1] = value.high;
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
      value.extra = 0xffff;
    } else extended();
    x87[i] = value.low;
    x87[i + 1] = value.high;
    x87[i + 2] = value.extra;
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

const local = (entry: number): number => (entry << 3) | 7;
/** Selectors of the LDT in `segments.ts`: data and stacks around the window, and code, with limits that are met. */
const WIDE_DATA = [0x2b, 0x2b, local(10), local(11), local(12), local(13), local(2), local(4), local(3), 0];
const WIDE_STACKS = [0x2b, 0x2b, local(10), local(11), local(12), local(13)];
const NARROW_DATA = [local(16), local(16), local(14), local(15), local(18), local(19), 0];
const NARROW_STACKS = [local(16), local(16), local(14), local(15), local(17)];
const CODE32 = [0x23, 0x23, local(20), local(21), local(22), local(23)];
const CODE16 = [local(24), local(24), local(25)];
const AC = 0x40000;

/**
 * The segments of a record, and whether alignment is checked: `d` data and stacks that 32-bit offsets reach, `w` those
 * for 16-bit offsets, `c` 32-bit code, `h` 16-bit code, `a` RFLAGS.AC in every other record.
 */
function drawLimits(form: Form, into: Registers): void {
  const { selectors } = into;
  const pick = (list: readonly number[], r: number): number => list[(r >>> 0) % list.length]!;
  selectors.set([0x2b, form.long ? 0x33 : 0x23, 0x2b, 0x2b, 0, 0]);
  for (const letter of form.limits ?? '') {
    const r = next();
    const data = letter === 'd' ? WIDE_DATA : letter === 'w' ? NARROW_DATA : undefined;
    if (data !== undefined) {
      for (const [i, segment] of [0, 3, 4, 5].entries()) {
        selectors[segment] = pick(data, (r >>> (8 * i)) & 0xff);
      }
      selectors[2] = pick(letter === 'd' ? WIDE_STACKS : NARROW_STACKS, next());
    }
    if (letter === 'c') selectors[1] = pick(CODE32, r);
    if (letter === 'h') selectors[1] = pick(CODE16, r);
    if (letter === 'a' && (r & 1) !== 0) into.flags |= AC;
  }
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
    into.general[n * 2] = value.low;
    into.general[n * 2 + 1] = form.long ? value.high : 0;
  }
  const r = next();
  into.flags = (r & 0x8d5) | (form.direction && (r & 0x10000) !== 0 ? 0x400 : 0);
  fillMemory(form.memory, into.memory);
  fixUp(form, into);
  if (form.fpu[0] !== '-') fillXmm(form.fpu[0]!, into);
  if (form.fpu[1] !== '-') fillX87(form.fpu[1]!, into);
  drawLimits(form, into);
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
