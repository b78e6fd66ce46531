/**
 * Expressions of WebAssembly: pure little trees that a function builder evaluates where they are consumed.
 *
 * A tree is evaluated each time that it is used. What must be evaluated once, or at a certain moment (a load before a
 * store), is bound with `FunctionBuilder.let`. The constructors here choose the opcode by the operands' types, so that
 * one piece of code serves 32 and 64 bits: `add(a, b)` is `i32.add` or `i64.add` as `a` is.
 */

export const I32 = 0x7f;
export const I64 = 0x7e;
export const F32 = 0x7d;
export const F64 = 0x7c;
export const V128 = 0x7b;
export type ValueType = typeof I32 | typeof I64 | typeof F32 | typeof F64 | typeof V128;

/** What kind of node an expression is; the emitter in `function.ts` switches on it. */
export const Kind = {
  Const: 0,
  Local: 1,
  Operation: 2,
  Load: 3,
  Call: 4,
  Select: 5,
  Simd: 6,
  CallIndirect: 7,
} as const;

export interface Expression {
  readonly kind: number;
  readonly type: ValueType;
  /** Opcode; local index; function index. */
  readonly code: number;
  /** Low and high half of a constant; offset of a load; lane of a SIMD operation. */
  readonly low: number;
  readonly high: number;
  readonly operands: readonly Expression[];
  /** Sixteen bytes: a v128 constant or the lanes of a shuffle. */
  readonly bytes?: Uint8Array;
}

const NONE: readonly Expression[] = [];

function node(
  kind: number,
  type: ValueType,
  code: number,
  operands: readonly Expression[],
  low = 0,
  high = 0,
): Expression {
  return { kind, type, code, low, high, operands };
}

/** A 32-bit constant. */
export function i32(value: number): Expression {
  return node(Kind.Const, I32, 0, NONE, value | 0);
}

/** A 64-bit constant from a number that a double holds exactly. */
export function i64(value: number): Expression {
  const low = value | 0;
  return node(Kind.Const, I64, 0, NONE, low, Math.floor((value - (low >>> 0)) / 4294967296) | 0);
}

/** A 64-bit constant from its halves. */
export function i64Halves(low: number, high: number): Expression {
  return node(Kind.Const, I64, 0, NONE, low | 0, high | 0);
}

/** A constant of the given integer type. */
export function constant(type: ValueType, value: number): Expression {
  return type === I64 ? i64(value) : i32(value);
}

export function f64(value: number): Expression {
  const words = new Int32Array(new Float64Array([value]).buffer);
  return node(Kind.Const, F64, 0, NONE, words[0]!, words[1]!);
}

export function f32(value: number): Expression {
  return node(Kind.Const, F32, 0, NONE, new Int32Array(new Float32Array([value]).buffer)[0]!);
}

/** A 128-bit constant, sixteen bytes in memory order. */
export function v128(bytes: Uint8Array): Expression {
  return { ...node(Kind.Simd, V128, 12, NONE), bytes };
}

export function isConstant(e: Expression): boolean {
  return e.kind === Kind.Const;
}

/** True for an integer constant of that (small) value. */
export function isValue(e: Expression, value: number): boolean {
  return (
    e.kind === Kind.Const && e.low === (value | 0) && (e.type !== I64 || e.high === (value < 0 ? -1 : 0))
  );
}

/** Opcodes by type: [i32, i64, f32, f64]. */
const ADD = [0x6a, 0x7c, 0x92, 0xa0];
const SUB = [0x6b, 0x7d, 0x93, 0xa1];
const MUL = [0x6c, 0x7e, 0x94, 0xa2];
const DIV_S = [0x6d, 0x7f];
const DIV_U = [0x6e, 0x80];
const REM_S = [0x6f, 0x81];
const REM_U = [0x70, 0x82];
const AND = [0x71, 0x83];
const OR = [0x72, 0x84];
const XOR = [0x73, 0x85];
const SHL = [0x74, 0x86];
const SHR_S = [0x75, 0x87];
const SHR_U = [0x76, 0x88];
const ROTL = [0x77, 0x89];
const ROTR = [0x78, 0x8a];
const EQZ = [0x45, 0x50];
const EQ = [0x46, 0x51, 0x5b, 0x61];
const NE = [0x47, 0x52, 0x5c, 0x62];
const LT_S = [0x48, 0x53, 0x5d, 0x63];
const LT_U = [0x49, 0x54];
const GT_S = [0x4a, 0x55, 0x5e, 0x64];
const GT_U = [0x4b, 0x56];
const LE_S = [0x4c, 0x57, 0x5f, 0x65];
const LE_U = [0x4d, 0x58];
const GE_S = [0x4e, 0x59, 0x60, 0x66];
const GE_U = [0x4f, 0x5a];
const CLZ = [0x67, 0x79];
const CTZ = [0x68, 0x7a];
const POPCNT = [0x69, 0x7b];

function binary(
  codes: readonly number[],
  a: Expression,
  b: Expression,
  type: ValueType = a.type,
): Expression {
  if (a.type !== b.type) {
    throw new TypeError(`operands differ in type: 0x${a.type.toString(16)} and 0x${b.type.toString(16)}`);
  }
  const code = codes[I32 - a.type];
  if (code === undefined) throw new TypeError(`no such operation on type 0x${a.type.toString(16)}`);
  return node(Kind.Operation, type, code, [a, b]);
}

function fold32(a: Expression, b: Expression, f: (x: number, y: number) => number): Expression | undefined {
  return a.kind === Kind.Const && b.kind === Kind.Const && a.type === I32 ? i32(f(a.low, b.low)) : undefined;
}

export function add(a: Expression, b: Expression): Expression {
  if (a.type >= I64) {
    if (isValue(b, 0)) return a;
    if (isValue(a, 0)) return b;
    const folded = fold32(a, b, (x, y) => x + y);
    if (folded !== undefined) return folded;
  }
  return binary(ADD, a, b);
}
export function sub(a: Expression, b: Expression): Expression {
  if (a.type >= I64 && isValue(b, 0)) return a;
  return fold32(a, b, (x, y) => x - y) ?? binary(SUB, a, b);
}
export function mul(a: Expression, b: Expression): Expression {
  return fold32(a, b, Math.imul) ?? binary(MUL, a, b);
}
export function and(a: Expression, b: Expression): Expression {
  if (isValue(b, -1)) return a;
  return fold32(a, b, (x, y) => x & y) ?? binary(AND, a, b);
}
export function or(a: Expression, b: Expression): Expression {
  if (isValue(b, 0)) return a;
  return fold32(a, b, (x, y) => x | y) ?? binary(OR, a, b);
}
export function xor(a: Expression, b: Expression): Expression {
  if (isValue(b, 0)) return a;
  return binary(XOR, a, b);
}
export function shl(a: Expression, b: Expression): Expression {
  if (isValue(b, 0)) return a;
  return fold32(a, b, (x, y) => x << y) ?? binary(SHL, a, b);
}
export function shrU(a: Expression, b: Expression): Expression {
  if (isValue(b, 0)) return a;
  return fold32(a, b, (x, y) => x >>> y) ?? binary(SHR_U, a, b);
}
export function shrS(a: Expression, b: Expression): Expression {
  if (isValue(b, 0)) return a;
  return fold32(a, b, (x, y) => x >> y) ?? binary(SHR_S, a, b);
}

type Binary = (a: Expression, b: Expression) => Expression;
type Unary = (a: Expression) => Expression;
const binaryOf =
  (codes: readonly number[]): Binary =>
  (a, b) =>
    binary(codes, a, b);
const compareOf =
  (codes: readonly number[]): Binary =>
  (a, b) =>
    binary(codes, a, b, I32);

export const divS = binaryOf(DIV_S);
export const divU = binaryOf(DIV_U);
export const remS = binaryOf(REM_S);
export const remU = binaryOf(REM_U);
export const rotl = binaryOf(ROTL);
export const rotr = binaryOf(ROTR);
export const eq: Binary = (a, b) => fold32(a, b, (x, y) => Number(x === y)) ?? compareOf(EQ)(a, b);
export const ne: Binary = (a, b) => fold32(a, b, (x, y) => Number(x !== y)) ?? compareOf(NE)(a, b);
export const ltS = compareOf(LT_S);
export const ltU = compareOf(LT_U);
export const gtS = compareOf(GT_S);
export const gtU = compareOf(GT_U);
export const leS = compareOf(LE_S);
export const leU = compareOf(LE_U);
export const geS = compareOf(GE_S);
export const geU = compareOf(GE_U);
/** Floating-point comparison and division share the tables: `ltS` on f64 is `f64.lt`. */
export const divF: Binary = (a, b) => node(Kind.Operation, a.type, a.type === F32 ? 0x95 : 0xa3, [a, b]);
export const sqrtF: Unary = (a) => node(Kind.Operation, a.type, a.type === F32 ? 0x91 : 0x9f, [a]);

export function eqz(a: Expression): Expression {
  if (a.kind === Kind.Const && a.type === I32) return i32(a.low === 0 ? 1 : 0);
  return node(Kind.Operation, I32, EQZ[I32 - a.type]!, [a]);
}
/** 1 where the value is not zero; as wide as a condition. */
export function nez(a: Expression): Expression {
  return ne(a, constant(a.type, 0));
}
const unaryOf =
  (codes: readonly number[]): Unary =>
  (a) =>
    node(Kind.Operation, a.type, codes[I32 - a.type]!, [a]);
export const clz = unaryOf(CLZ);
export const ctz = unaryOf(CTZ);
export const popcnt = unaryOf(POPCNT);

const convert =
  (code: number, from: ValueType, to: ValueType): Unary =>
  (a) => {
    if (a.type !== from) throw new TypeError(`conversion 0x${code.toString(16)} of the wrong type`);
    return node(Kind.Operation, to, code, [a]);
  };
/** i64 → i32, the low half. */
export const wrap: Unary = (a) =>
  a.kind === Kind.Const
    ? i32(a.low)
    : a.code === 0xad || a.code === 0xac
      ? unwrapped(a)
      : convert(0xa7, I64, I32)(a);
function unwrapped(a: Expression): Expression {
  return a.kind === Kind.Operation ? a.operands[0]! : convert(0xa7, I64, I32)(a);
}
/** i32 → i64 with zeros. */
export const extendU: Unary = (a) =>
  a.kind === Kind.Const ? i64Halves(a.low, 0) : convert(0xad, I32, I64)(a);
/** i32 → i64 with the sign. */
export const extendS: Unary = (a) =>
  a.kind === Kind.Const ? i64Halves(a.low, a.low >> 31) : convert(0xac, I32, I64)(a);
/** Sign extension within the type, from the low 8, 16 or 32 bits. */
export const extend8S: Unary = (a) => node(Kind.Operation, a.type, a.type === I32 ? 0xc0 : 0xc2, [a]);
export const extend16S: Unary = (a) => node(Kind.Operation, a.type, a.type === I32 ? 0xc1 : 0xc3, [a]);
export const extend32S: Unary = (a) => node(Kind.Operation, I64, 0xc4, [a]);
export const reinterpretI64ToF64 = convert(0xbf, I64, F64);
export const reinterpretF64ToI64 = convert(0xbd, F64, I64);
export const reinterpretI32ToF32 = convert(0xbe, I32, F32);
export const reinterpretF32ToI32 = convert(0xbc, F32, I32);
export const convertI32ToF64 = convert(0xb7, I32, F64);
export const convertI64ToF64 = convert(0xb9, I64, F64);
export const convertF64ToI64Saturating: Unary = (a) => node(Kind.Operation, I64, 0xfc06, [a]);

/** `condition ? a : b`, both evaluated. */
export function select(condition: Expression, a: Expression, b: Expression): Expression {
  return node(Kind.Select, a.type, 0x1b, [a, b, condition]);
}

export function localGet(index: number, type: ValueType): Expression {
  return node(Kind.Local, type, index, NONE);
}

/** A call of a function known to the module; see `ModuleBuilder`. */
export function call(
  target: { readonly index: number; readonly results: readonly ValueType[] },
  ...operands: Expression[]
): Expression {
  return node(Kind.Call, target.results[0] ?? I32, target.index, operands);
}

/** A call through a table, by its number: `type` is a signature's index, see `ModuleBuilder.signature`. */
export function callIndirect(
  type: number,
  result: ValueType,
  table: number,
  entry: Expression,
  ...operands: Expression[]
): Expression {
  return node(Kind.CallIndirect, result, type, [...operands, entry], table);
}

const loadOf =
  (code: number, type: ValueType) =>
  (address: Expression, offset = 0): Expression =>
    node(Kind.Load, type, code, [address], offset);

export const load32 = loadOf(0x28, I32);
export const load64 = loadOf(0x29, I64);
export const loadF32 = loadOf(0x2a, F32);
export const loadF64 = loadOf(0x2b, F64);
export const load8S = loadOf(0x2c, I32);
export const load8U = loadOf(0x2d, I32);
export const load16S = loadOf(0x2e, I32);
export const load16U = loadOf(0x2f, I32);
export const load64From8S = loadOf(0x30, I64);
export const load64From8U = loadOf(0x31, I64);
export const load64From16U = loadOf(0x33, I64);
export const load64From32S = loadOf(0x34, I64);
export const load64From32U = loadOf(0x35, I64);
export const load128 = (address: Expression, offset = 0): Expression =>
  node(Kind.Simd, V128, 0, [address], offset);

/** A SIMD operation by its number in the 0xFD space, without immediates. `type` is the type of the result. */
export function simd(code: number, type: ValueType, ...operands: Expression[]): Expression {
  return node(Kind.Simd, type, code, operands);
}
/** A SIMD operation with a lane immediate (extract_lane, replace_lane). */
export function simdLane(code: number, type: ValueType, lane: number, ...operands: Expression[]): Expression {
  return node(Kind.Simd, type, code, operands, lane);
}
/** i8x16.shuffle. */
export function shuffle(a: Expression, b: Expression, lanes: Uint8Array): Expression {
  return { ...node(Kind.Simd, V128, 13, [a, b]), bytes: lanes };
}
