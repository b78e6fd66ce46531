/**
 * Makes programs: pieces from `templates.ts`, and single instructions in every form that the vectors know, with registers
 * that mostly point somewhere.
 */
import { Decoder, DecoderOptions } from 'iced-x86';
import { PAGE_SIZE } from '../../../src/machine/memory.ts';
import { instructionSet } from '../../../src/machine/x86/instructions/index.ts';
import { exclusion, formsOf } from '../../../src/machine/x86/vectors/forms.ts';
import {
  CODE as FORM_CODE,
  WINDOW as FORM_WINDOW,
  type Form,
} from '../../../src/machine/x86/vectors/inputs.ts';
import { Random } from '../random.ts';
import {
  ABSENT,
  CODE,
  COUNTER_COUNT,
  COUNTERS,
  DATA,
  DATA_PAGES,
  MIDDLE,
  NO_CODE,
  PAGE_TABLE,
  READ_ONLY,
  STACK,
  STACK_PAGES,
  SUPERVISOR,
  TABLE,
  TWIN,
} from './layout.ts';
import { ACTION_FLUSH, ACTIONS, VECTOR_ACTIONS } from './machine.ts';
import { assemble, type HostEvent, type Mode, type Piece, type Program, type Reference } from './program.ts';
import { TEMPLATES } from './templates.ts';

const MODES: readonly Mode[] = ['long', 'long', 'long', 'compatibility', 'ring 0'];
const MXCSR = [0x1f80, 0x1f80, 0x1fa0, 0x1fbf, 0x3f80, 0x5fa0, 0x9f80, 0x1fc0, 0x1f00, 0x0000];
const CONTROL = [0x37f, 0x37f, 0x27f, 0x07f, 0xb7f, 0x37e, 0x340];
const RSP = 4;
/** One word of memory where operands of FLDCW and far jumps are put. */
const SCRATCH = COUNTERS - 64;
/** Forms that ask the system, change its flags, or whose results differ from one processor to the next. */
const NOT_NATIVE =
  /^(BSF|BSR|PUSHF|POPF|LAHF|DAA|DAS|AAA|AAS|INT|FXSAVE|FXRSTOR|FNSAVE|FRSTOR|FNSTENV|FLDENV|BOUND|CLFLUSH|LDMXCSR|MASKMOV|SH[LR]D .* 2[rm])|lock/;
/** Pages whose entries programs change. */
const CHANGED_PAGES = [DATA, MIDDLE, READ_ONLY, NO_CODE, STACK, CODE + PAGE_SIZE, TABLE];

/** All forms of a mode, by definition, so that each definition is drawn as often as another. */
const FORMS: Readonly<Record<'64' | '32', readonly (readonly Form[])[]>> = (() => {
  const lists = instructionSet()
    .definitions.filter((d) => exclusion(d) === undefined)
    .map(formsOf);
  const of = (long: boolean) =>
    lists.map((list) => list.filter((form) => form.long === long)).filter((list) => list.length > 0);
  return { 64: of(true), 32: of(false) };
})();

/** Offset of a form's RIP-relative displacement, −1 if it has none. */
const displacements = new Map<Form, number>();
function displacementOf(form: Form, bytes: readonly number[]): number {
  let at = displacements.get(form);
  if (at === undefined) {
    const decoder = new Decoder(64, Uint8Array.from(bytes), DecoderOptions.None);
    const instruction = decoder.decode();
    at = instruction.isIpRelMemoryOperand ? decoder.getConstantOffsets(instruction).displacementOffset : -1;
    instruction.free();
    decoder.free();
    displacements.set(form, at);
  }
  return at;
}

class Generator {
  private readonly random: Random;
  private readonly long: boolean;
  private readonly count: number;
  private readonly tame: boolean;
  /** For the real processor too: nothing that the manual leaves undefined. */
  private readonly native: boolean;
  private readonly templates: typeof TEMPLATES;
  private readonly weights: number;
  /** First pieces of the functions of a tame program; the last stands behind it. */
  private readonly starts: number[] = [];
  private readonly slots: number[] = [];
  private readonly pieces: Piece[] = [];
  /** The memory operand written last. */
  private last = DATA;
  /** The piece being written. */
  private bytes: number[] = [];
  private references: Reference[] = [];

  constructor(random: Random, mode: Mode, count: number, tame: boolean, native: boolean) {
    this.random = random;
    this.long = mode !== 'compatibility';
    this.count = count;
    this.tame = tame;
    this.native = native;
    this.templates = TEMPLATES.filter(
      (t) => (t.tame || !tame) && (t.native || !native) && (this.long || !t.longOnly),
    );
    this.weights = this.templates.reduce((sum, { weight }) => sum + weight, 0);
    for (let at = 0; at < count; at += 4 + random.below(20)) this.starts.push(at);
    this.starts.push(count);
  }

  make(): readonly Piece[] {
    const { random } = this;
    const otherFrom = Math.floor((this.count * 3) / 4);
    // Some programs consist of control flow for the most part, some of single instructions.
    const instructions = 1 + random.below(8);
    while (this.pieces.length < this.count) {
      const here = this.pieces.length;
      const other = here >= otherFrom;
      // The first function goes round for ever, the others return.
      if (this.tame && this.starts.includes(here + 1)) {
        if (here + 1 === this.starts[1]) this.again(0);
        else this.bytes.push(0xc3);
        this.close(other);
      } else if (here + 1 === otherFrom || here + 1 >= this.count) {
        this.again(random.below(this.count));
        this.close(other);
      } else if (random.below(10) < instructions) this.form(other);
      else this.template(other);
    }
    return this.pieces;
  }

  /** A jump to a piece. */
  private again(piece: number): void {
    this.bytes.push(0xe9, 0, 0, 0, 0);
    this.references.push({ at: 1, size: 4, from: 5, piece, plus: 0 });
  }

  private close(other: boolean): void {
    const { bytes, references } = this;
    this.pieces.push({ number: this.pieces.length, bytes, references, other });
    this.bytes = [];
    this.references = [];
  }

  // ---------------------------------------------------------------- single instructions

  private form(other: boolean): void {
    const { random, long } = this;
    const form = this.anyForm();
    // Pointers are loaded in pieces of their own, so that they can be left out.
    for (let n = 0; n < (long ? 16 : 8); n++) {
      const value = this.registerValue(form.registers[n]!);
      if (value === undefined || random.once(this.tame ? 40 : 5)) continue;
      if (n >= 8) this.bytes.push(0x41);
      this.bytes.push(0xb8 | (n & 7));
      this.word(value);
      this.close(other);
    }
    const code = form.code.replaceAll(' ', '');
    const corner = random.below(5);
    for (let i = 0; i < code.length; i += 2) {
      const text = code.slice(i, i + 2);
      const drawn = corner === 0 ? 0 : corner === 1 ? 0xff : random.next() >>> 24;
      this.bytes.push(text === '??' ? drawn : Number.parseInt(text, 16));
    }
    const at = long ? displacementOf(form, this.bytes) : -1;
    if (at >= 0) {
      const end = this.bytes.length;
      const target = FORM_CODE + end + new DataView(Uint8Array.from(this.bytes).buffer).getInt32(at, true);
      this.references.push({ at, size: 4, from: end, plus: target });
    }
    // Flags that the manual leaves undefined are not for others to see: cmp esp, 1.
    if (this.native && (form.count !== '-' || (form.flags & 0xcc5) !== 0xcc5)) this.bytes.push(0x83, 0xfc, 1);
    this.close(other);
  }

  private anyForm(): Form {
    const { random, tame, native, long } = this;
    for (;;) {
      const form = random.pick(random.pick(FORMS[long ? 64 : 32]));
      const { name } = form;
      // Of what uses the stack, tame programs have only what gives it back.
      const leads = form.registers[RSP] === 'p' || /^(J|LOOP|POP|RET|CALL)/.test(name);
      if ((leads && (tame || native)) || (native && NOT_NATIVE.test(name))) continue;
      return form;
    }
  }

  /** What a register should hold for a form; undefined for anything. */
  private registerValue(kind: string): number | undefined {
    const { random } = this;
    switch (kind) {
      case 'p':
      case 'P':
        return random.once(this.tame ? 60 : 5) ? this.anywhere() : MIDDLE - 48 + random.below(96);
      case 'a':
        return MIDDLE - 32 + random.below(4) * 16;
      case 'w':
        return FORM_WINDOW;
      case 'i':
        return random.below(8) - 4;
      case 'c':
      case 'C':
      case 'm':
        return random.below(17);
      case 'd':
        return random.once(2) ? 0 : undefined;
      case 'j':
        return undefined;
      default:
        return undefined;
    }
  }

  // ---------------------------------------------------------------- templates

  private template(other: boolean): void {
    const { random } = this;
    let at = random.below(this.weights);
    const template = this.templates.find(({ weight }) => (at -= weight) < 0)!;
    for (const word of template.words) this.put(word);
    this.close(other);
  }

  private put(word: string): void {
    const { random, bytes } = this;
    if (/^[0-9a-f]{2}$/.test(word)) {
      bytes.push(Number.parseInt(word, 16));
      return;
    }
    if (word.includes('+')) {
      const base = Number.parseInt(word, 16);
      const register = (): number => random.pick([0, 1, 2, 3, 5, 6, 7, 0, 1, 2, 3, 6, 7, RSP]);
      const kind = word.slice(3);
      bytes.push(
        base | (kind === 'c' ? random.below(16) : register() | (kind === 'm' ? register() << 3 : 0)),
      );
      return;
    }
    const [kind = '', ...rest] = word.split('/');
    switch (kind) {
      case 'slot':
        this.slots.push(this.pieces.length);
        bytes.push(0x0f, 0x1f, 0x40, 0);
        return;
      case '?':
        bytes.push(random.next() >>> 24);
        return;
      case 'W':
        if (this.long) bytes.push(0x48);
        return;
      case 'w':
        if (this.long && random.once(2)) bytes.push(0x48);
        else if (random.once(8)) bytes.splice(this.opcodeStart(), 0, 0x66);
        return;
      case 'small32':
        this.word(1 + random.below(12));
        return;
      case 'count32':
        this.word(random.once(4) ? random.below(600) : random.below(40));
        return;
      case 'int':
        bytes.push(0xcd, VECTOR_ACTIONS + (rest[0] === 'flush' ? ACTION_FLUSH : random.below(ACTIONS)));
        return;
      case 'near':
      case 'back':
      case 'short':
      case 'callee':
        this.jump(kind);
        return;
      case 'm':
        this.memory(rest[0]!, rest[1]!, Number(rest[2] ?? 0));
        return;
      default:
        this.reference(word.slice(1), 4, undefined);
    }
  }

  /** Where an operand-size prefix goes: before a repeat prefix, else here. */
  private opcodeStart(): number {
    const last = this.bytes.at(-1);
    return last === 0xf3 || last === 0xf2 || last === 0xf0 ? this.bytes.length - 1 : this.bytes.length;
  }

  private jump(kind: string): void {
    const { random, bytes } = this;
    const here = this.pieces.length;
    const size = kind === 'short' ? 1 : 4;
    const reach = kind === 'near' ? this.count : 10;
    let piece = here - random.below(reach);
    if (kind === 'short') piece = here + 4 - random.below(10);
    if (kind === 'near') piece = random.below(this.count);
    const [first, behind] = this.around(here);
    if (kind === 'callee') piece = this.callee();
    else if (this.tame && kind === 'near') piece = first + random.below(behind - first);
    else piece = Math.min(Math.max(piece, first), behind - 1);
    this.references.push({ at: bytes.length, size, from: bytes.length + size, piece, plus: 0 });
    for (let i = 0; i < size; i++) bytes.push(0);
  }

  /** The pieces among which a jump from a piece stays: those of its function, or all. */
  private around(piece: number): readonly [number, number] {
    if (!this.tame) return [0, this.count];
    const behind = this.starts.findIndex((start) => start > piece);
    return [this.starts[behind - 1]!, this.starts[behind]!];
  }

  /** The first piece of a function; of one further on, in a tame program, so that calls come to an end. */
  private callee(): number {
    const starts = this.tame
      ? this.starts.filter((start) => start > this.pieces.length && start < this.count)
      : this.starts.slice(0, -1);
    return starts.length === 0 ? this.count - 1 : this.random.pick(starts);
  }

  private memory(register: string, what: string, after: number): void {
    const { random, bytes, long } = this;
    const reg = register === 'r' ? random.below(8) : Number(register);
    bytes.push((reg << 3) | 5);
    this.reference(what, 4, long ? bytes.length + 4 + after : undefined);
  }

  private reference(what: string, size: 4 | 8, from: number | undefined): void {
    const { random, bytes } = this;
    const here = this.pieces.length;
    const at = bytes.length;
    const slot = what === 'slot' ? this.slots.at(-1 - random.below(3)) : undefined;
    const twin =
      what === 'twin' || (!this.native && !this.tame && /^(data|any|counter)$/.test(what) && random.once(12))
        ? TWIN
        : 0;
    for (let i = 0; i < size; i++) bytes.push(0);
    if (slot !== undefined) {
      this.references.push({ at, size, from, piece: slot, plus: 0 });
      return;
    }
    if (what === 'code' || what === 'twin' || what === 'ahead' || what === 'callee') {
      const piece =
        what === 'callee'
          ? this.callee()
          : what === 'ahead'
            ? here + random.below(4)
            : random.below(this.count);
      const plus =
        twin +
        (what === 'ahead' || (what !== 'callee' && !this.native && random.once(3)) ? random.below(8) : 0);
      this.references.push({ at, size, from, piece: Math.min(piece, this.count - 1), plus });
      return;
    }
    if (what !== 'same') this.last = this.address(what) + twin;
    this.references.push({ at, size, from, plus: this.last });
  }

  /** An address of some kind. */
  private address(what: string): number {
    const { random } = this;
    switch (what) {
      case 'counter':
        return COUNTERS + 8 * random.below(COUNTER_COUNT);
      case 'table':
        return TABLE + 8 * random.below(32);
      case 'scratch':
        return SCRATCH;
      case 'scratch4':
        return SCRATCH + 4;
      case 'aligned':
        return DATA + 16 * random.below((PAGE_SIZE * DATA_PAGES) / 16);
      case 'stack':
        return STACK + 8 * random.below((PAGE_SIZE * STACK_PAGES) / 8);
      case 'entry':
      case 'entry1':
      case 'entry7':
        return PAGE_TABLE + (random.pick(CHANGED_PAGES) >>> 12) * 8 + Number(what.slice(5) || 0);
      case 'any':
        return this.anywhere();
      default:
        return DATA + random.below(PAGE_SIZE * DATA_PAGES);
    }
  }

  /** An address of anything, at a page's edge more often than not. */
  private anywhere(): number {
    const { random } = this;
    if (this.native && !this.tame)
      return this.inPage(random.pick([DATA, MIDDLE, READ_ONLY, ABSENT, STACK, NO_CODE]));
    const page = random.pick(
      this.tame
        ? [DATA, MIDDLE, STACK]
        : [DATA, MIDDLE, DATA, MIDDLE, READ_ONLY, ABSENT, NO_CODE, SUPERVISOR, STACK, CODE, CODE + PAGE_SIZE],
    );
    return this.inPage(page) + (!this.native && random.once(10) ? TWIN : 0);
  }

  /** An address in a page, more often than not at its end. */
  private inPage(page: number): number {
    const { random } = this;
    return page + (random.once(2) ? PAGE_SIZE - 1 - random.below(24) : random.below(PAGE_SIZE));
  }

  private word(value: number): void {
    for (let i = 0; i < 4; i++) this.bytes.push((value >> (8 * i)) & 0xff);
  }
}

/** The program of a seed that the real processor can run too. */
export function generateNative(seed: number): Program {
  const random = new Random(seed);
  for (let i = 0; i < 5; i++) random.next();
  const mode = random.once(4) ? 'compatibility' : 'long';
  const count = random.pick([8, 16, 30, 60, 120]);
  let pieces = new Generator(random, mode, count, random.once(2), true).make();
  const program: Program = {
    seed,
    mode,
    pieces,
    offset: random.once(2) ? random.below(PAGE_SIZE) : PAGE_SIZE - 1 - random.below(60),
    entry: 0,
    inTwin: random.once(6),
    flags: 0x202 | (random.next() & 0x8c5),
    mxcsr: random.pick(MXCSR),
    control: random.pick(CONTROL),
    limit: random.pick([200, 600, 1500]),
    events: [],
  };
  // A jump that is too short for its way would lead into the middle of something.
  for (;;) {
    const { tooShort } = assemble({ ...program, pieces });
    if (tooShort.size === 0) return { ...program, pieces };
    pieces = pieces.filter(({ number }) => !tooShort.has(number));
  }
}

/** The program of a seed. */
export function generate(seed: number): Program {
  const random = new Random(seed);
  for (let i = 0; i < 4; i++) random.next();
  const mode = random.pick(MODES);
  const count = random.pick([8, 16, 30, 60, 120]);
  const tame = random.once(2);
  const pieces = new Generator(random, mode, count, tame, false).make();
  const limit = random.pick(tame ? [600, 1500, 4000] : [200, 600, 1000]);
  const events: HostEvent[] = [];
  if (random.once(2)) {
    for (let at = random.below(60); at < limit; at += 1 + random.below(Math.floor(limit / 3))) {
      events.push({ at, action: random.below(ACTIONS) });
    }
  }
  return {
    seed,
    mode,
    pieces,
    offset: random.once(2) ? random.below(PAGE_SIZE) : PAGE_SIZE - 1 - random.below(60),
    entry: random.once(4) ? random.below(count) : 0,
    inTwin: random.once(6),
    flags: 0x202 | (random.next() & 0xcd5 & (random.once(4) ? -1 : ~0x400)) | (random.once(40) ? 0x100 : 0),
    mxcsr: random.pick(MXCSR),
    control: random.pick(CONTROL),
    limit,
    events,
  };
}
