/**
 * The body of a random function: statements and expressions, nested, that end and do not trap. Divisors are made odd,
 * addresses are masked into the scratch memory, loops count, and a function calls only later ones while there is fuel.
 */
import { ByteWriter } from '../../wasm/bytes.ts';
import { codeEntry, constant, constantHalves, I32, I64, type Type } from './module-bytes.ts';
import type { RandomNumbers } from './random-numbers.ts';

/** Bytes that random accesses reach. */
export const SCRATCH_BYTES = 4096;
export const FUNCTIONS = 8;
/** Of every function; more than registers hold. */
export const PARAMETERS: readonly Type[] = [I32, I32, I64, I64, I32, I64, I64, I32];
/** Index of the first function. */
export const FIRST = 3;
/** Globals. */
export const HASH = 0;
export const FUEL_LEFT = 1;
/** Numbers at which arithmetic turns. */
export const CORNERS = [
  0, 1, -1, 2, 7, 8, 31, 32, 63, 64, 127, 128, 255, 256, 0x7fff, 0x8000, 0x7fffffff, -0x80000000,
];

const MOST_ROUNDS = 3;
const BINARY_32 = [0x6a, 0x6b, 0x6c, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78];
const BINARY_64 = [0x7c, 0x7d, 0x7e, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a];
/** Divisions, signed and unsigned, and remainders: their second operand is made odd, and positive for div_s. */
const DIVISION_32 = [0x6d, 0x6e, 0x6f, 0x70];
const DIVISION_64 = [0x7f, 0x80, 0x81, 0x82];
const UNARY_32 = [0x67, 0x68, 0x69, 0xc0, 0xc1];
const UNARY_64 = [0x79, 0x7a, 0x7b, 0xc2, 0xc3, 0xc4];
const COMPARE_32 = [0x46, 0x47, 0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f];
const COMPARE_64 = [0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a];
const LOADS: Readonly<Record<Type, readonly number[]>> = {
  [I32]: [0x28, 0x2c, 0x2d, 0x2e, 0x2f],
  [I64]: [0x29, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35],
};
const STORES: Readonly<Record<Type, readonly number[]>> = {
  [I32]: [0x36, 0x3a, 0x3b],
  [I64]: [0x37, 0x3c, 0x3d, 0x3e],
};

/** One random function. It calls only later ones. */
export class BodyWriter {
  private readonly random: RandomNumbers;
  private readonly dataBase: number;
  private readonly index: number;
  private readonly w = new ByteWriter();
  private readonly locals: readonly Type[];
  /** Counters of loops: locals that nothing else sets. */
  private counters = 0;
  /** Types of the values that blocks around take from a branch; undefined for a loop. */
  private readonly labels: ({ readonly result: Type | undefined } | undefined)[] = [];

  constructor(random: RandomNumbers, dataBase: number, index: number) {
    this.random = random;
    this.dataBase = dataBase;
    this.index = index;
    this.locals = [
      ...PARAMETERS,
      ...Array.from({ length: random.below(14) }, () => random.pick([I32, I64] as const)),
    ];
  }

  body(): Uint8Array {
    const { w } = this;
    // if (--fuel < 0) return
    w.append(Uint8Array.of(0x23, FUEL_LEFT, 0x41, 1, 0x6b, 0x24, FUEL_LEFT));
    w.append(Uint8Array.of(0x23, FUEL_LEFT, 0x41, 0, 0x48, 0x04, 0x40, 0x42, 3, 0x0f, 0x0b));
    const count = 2 + this.random.below(6);
    for (let i = 0; i < count; i++) this.statement(3);
    this.expression(I64, 4);
    const code = w.take();
    const own = this.locals.slice(PARAMETERS.length);
    return codeEntry([...own, ...Array<Type>(this.counters).fill(I32)], (entry) => entry.append(code));
  }

  private op(...bytes: readonly number[]): void {
    this.w.append(Uint8Array.from(bytes));
  }

  private statement(depth: number): void {
    const { random } = this;
    switch (random.below(depth > 0 ? 12 : 5)) {
      case 0:
      case 1: {
        const local = random.below(this.locals.length);
        this.expression(this.locals[local]!, depth + 1);
        this.op(0x21, local);
        return;
      }
      case 2: {
        const type = random.pick([I32, I64] as const);
        this.address();
        this.expression(type, depth);
        this.op(random.pick(STORES[type]), 0, random.below(64));
        return;
      }
      case 3:
        this.expression(I64, depth);
        this.op(0x24, HASH);
        return;
      case 4:
        this.expression(random.pick([I32, I64] as const), depth);
        this.op(0x1a);
        return;
      case 5:
      case 6:
        this.conditional(depth);
        return;
      case 7:
        this.loop(depth);
        return;
      case 8:
        this.table(depth);
        return;
      case 9:
        this.bulk();
        return;
      case 10:
        this.deadCode(depth);
        return;
      default:
        this.escape(depth);
        return;
    }
  }

  private conditional(depth: number): void {
    this.expression(I32, depth);
    this.op(0x04, 0x40);
    this.labels.push({ result: undefined });
    this.statement(depth - 1);
    if (this.random.below(2) === 0) {
      this.op(0x05);
      this.statement(depth - 1);
    }
    this.labels.pop();
    this.op(0x0b);
  }

  /** A loop of a few rounds, with a value or two of the outside on the stack meanwhile. */
  private loop(depth: number): void {
    const counter = this.locals.length + this.counters++;
    const rounds = 1 + this.random.below(MOST_ROUNDS);
    this.op(0x41, rounds, 0x21, counter, 0x03, 0x40);
    this.labels.push(undefined);
    this.statement(depth - 1);
    this.statement(depth - 1);
    this.op(0x20, counter, 0x41, 1, 0x6b, 0x22, counter, 0x0d, 0);
    this.labels.pop();
    this.op(0x0b);
  }

  /** br_table out of some blocks, each with a statement behind it. */
  private table(depth: number): void {
    const blocks = 2 + this.random.below(5);
    for (let i = 0; i < blocks; i++) {
      this.op(0x02, 0x40);
      this.labels.push({ result: undefined });
    }
    this.expression(I32, depth);
    const targets = Array.from({ length: this.random.below(7) }, () => this.random.below(blocks));
    this.op(0x0e, targets.length, ...targets, this.random.below(blocks));
    for (let i = 0; i < blocks; i++) {
      this.labels.pop();
      this.op(0x0b);
      if (this.random.below(2) === 0) this.statement(0);
    }
  }

  /** memory.copy, overlapping at times, or memory.fill. */
  private bulk(): void {
    const { random } = this;
    const copy = random.below(2) === 0;
    if (random.below(2) === 0) {
      this.address();
      if (copy) this.address();
      else this.expression(I32, 1);
    } else {
      const to = random.below(64);
      constant(this.w, I32, this.dataBase + to);
      constant(this.w, I32, copy ? this.dataBase + random.below(64) : to);
    }
    this.expression(I32, 1);
    constant(this.w, I32, 63);
    this.op(0x71);
    this.op(0xfc, ...(copy ? [10, 0, 0] : [11, 0]));
  }

  /** Instructions that nothing reaches, where the stack may have any shape. */
  private deadCode(depth: number): void {
    this.op(0x02, 0x40);
    this.labels.push({ result: undefined });
    this.op(0x0c, 0); // br
    if (this.random.below(2) === 0) this.op(0x6a, 0x1a);
    else this.statement(depth - 1);
    this.labels.pop();
    this.op(0x0b);
  }

  /** A conditional branch out of one of the blocks around that take nothing. */
  private escape(depth: number): void {
    const candidates = this.labels.flatMap((label, i) =>
      label !== undefined && label.result === undefined ? [this.labels.length - 1 - i] : [],
    );
    this.expression(I32, depth);
    if (candidates.length === 0) this.op(0x1a);
    else this.op(0x0d, this.random.pick(candidates));
  }

  /** An address of the scratch memory, from which 64 + 8 bytes are in it. */
  private address(): void {
    this.expression(I32, 1);
    constant(this.w, I32, SCRATCH_BYTES / 2 - 1);
    this.op(0x71);
    constant(this.w, I32, this.dataBase);
    this.op(0x6a);
  }

  private expression(type: Type, depth: number): void {
    const { random } = this;
    const wide = type === I64;
    if (depth <= 0 || random.below(6) === 0) {
      this.leaf(type);
      return;
    }
    switch (random.below(15)) {
      case 0:
      case 1:
      case 2:
      case 3:
        this.expression(type, depth - 1);
        this.expression(type, depth - 1);
        this.op(random.pick(wide ? BINARY_64 : BINARY_32));
        return;
      case 4: {
        const which = random.below(4);
        this.expression(type, depth - 1);
        this.expression(type, depth - 1);
        constant(this.w, type, random.pick([1, 1, -1]));
        this.op(wide ? 0x84 : 0x72);
        if (which === 0) {
          if (wide) constantHalves(this.w, -1, 0x7fffffff);
          else constant(this.w, I32, 0x7fffffff);
          this.op(wide ? 0x83 : 0x71);
        }
        this.op((wide ? DIVISION_64 : DIVISION_32)[which]!);
        return;
      }
      case 5:
        this.expression(type, depth - 1);
        this.op(random.pick(wide ? UNARY_64 : UNARY_32));
        return;
      case 6:
      case 7: {
        if (wide) {
          this.expression(I32, depth - 1);
          this.op(random.pick([0xac, 0xad]));
          return;
        }
        const operands = random.pick([I32, I64] as const);
        this.expression(operands, depth - 1);
        this.expression(operands, depth - 1);
        this.op(random.pick(operands === I64 ? COMPARE_64 : COMPARE_32));
        if (random.below(3) === 0) this.op(0x45);
        return;
      }
      case 8:
        this.address();
        this.op(random.pick(LOADS[type]), 0, random.below(64));
        return;
      case 9:
        this.expression(type, depth - 1);
        this.expression(type, depth - 1);
        this.expression(I32, depth - 1);
        this.op(0x1b);
        return;
      case 10: {
        const local = random.below(this.locals.length);
        if (this.locals[local] !== type) {
          this.leaf(type);
          return;
        }
        this.expression(type, depth - 1);
        this.op(0x22, local);
        return;
      }
      case 11:
        this.expression(I32, depth - 1);
        this.op(0x04, type);
        this.labels.push({ result: type });
        this.expression(type, depth - 1);
        this.op(0x05);
        this.expression(type, depth - 1);
        this.labels.pop();
        this.op(0x0b);
        return;
      case 12:
        this.blockWithExit(type, depth);
        return;
      case 13:
        if (!wide) {
          this.expression(I64, depth - 1);
          this.op(random.below(2) === 0 ? 0xa7 : 0x50);
          return;
        }
        this.call(depth);
        return;
      default:
        this.leaf(type);
        return;
    }
  }

  /** A block that gives its value at its end or from the middle. */
  private blockWithExit(type: Type, depth: number): void {
    this.op(0x02, type);
    this.labels.push({ result: type });
    this.expression(type, depth - 1);
    this.expression(I32, depth - 1);
    this.op(0x0d, 0); // br_if: the value stays for the path that goes on
    if (this.random.below(2) === 0) this.statement(0);
    this.op(0x1a);
    this.expression(type, depth - 1);
    this.labels.pop();
    this.op(0x0b);
  }

  private call(depth: number): void {
    const later = FUNCTIONS - 1 - this.index;
    if (later === 0) {
      this.leaf(I64);
      return;
    }
    for (const type of PARAMETERS) this.expression(type, Math.min(depth - 1, 1));
    const callee = this.index + 1 + this.random.below(later);
    if (this.random.below(2) === 0) {
      this.op(0x10, FIRST + callee);
    } else {
      constant(this.w, I32, 1 + callee);
      this.op(0x11, 3, 0);
    }
  }

  private leaf(type: Type): void {
    const { random } = this;
    const candidates = this.locals.flatMap((local, i) => (local === type ? [i] : []));
    switch (random.below(4)) {
      case 0:
        if (type === I64 && random.below(3) === 0) {
          constantHalves(
            this.w,
            random.pick([0, -1, random.next()]),
            random.pick([-0x80000000, random.next()]),
          );
          return;
        }
        constant(this.w, type, random.pick(CORNERS));
        return;
      case 1:
        type === I64 ? this.op(0x23, HASH) : constant(this.w, I32, random.next());
        return;
      default:
        candidates.length === 0 ? constant(this.w, type, 5) : this.op(0x20, random.pick(candidates));
        return;
    }
  }
}
