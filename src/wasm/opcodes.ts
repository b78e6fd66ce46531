/**
 * Names of WebAssembly's instructions as the text format has them, and how many operands each takes from the stack (core
 * specification, release 2.0, sections 5.4 and 6.5; tail calls from release 3.0). Control instructions are not here: a disassembler
 * has to know more of them than a name.
 */

export interface Opcode {
  readonly name: string;
  /** Operands that it takes from the stack. */
  readonly operands: number;
  /** Whether it leaves a value there. */
  readonly result: boolean;
  /** What follows the opcode. */
  readonly immediate: Immediate;
}

export type Immediate = 'none' | 'index' | 'memory' | 'lane' | 'memory lane' | 'bytes' | 'zero' | 'two zeros';

const opcodes = new Map<number, Opcode>();

/** What an opcode means; those behind a prefix byte are looked up as prefix · 0x10000 + number. */
export function opcodeOf(code: number): Opcode | undefined {
  return opcodes.get(code);
}

export const PREFIX_MISC = 0xfc;
export const PREFIX_SIMD = 0xfd;

interface Shape {
  readonly operands?: number;
  readonly result?: boolean;
  readonly immediate?: Immediate;
}

/** Enters consecutive opcodes; `-` leaves a number out. */
function enter(
  first: number,
  names: string,
  { operands = 2, result = true, immediate = 'none' }: Shape = {},
): void {
  for (const [i, name] of names.trim().split(/\s+/).entries()) {
    if (name !== '-') opcodes.set(first + i, { name, operands, result, immediate });
  }
}
const UNARY: Shape = { operands: 1 };

enter(0x01, 'nop', { operands: 0, result: false });
enter(0x1a, 'drop', { operands: 1, result: false });
enter(0x1b, 'select', { operands: 3 });
enter(0x20, 'local.get', { operands: 0, immediate: 'index' });
enter(0x21, 'local.set', { operands: 1, result: false, immediate: 'index' });
enter(0x22, 'local.tee', { operands: 1, immediate: 'index' });
enter(0x23, 'global.get', { operands: 0, immediate: 'index' });
enter(0x24, 'global.set', { operands: 1, result: false, immediate: 'index' });
enter(
  0x28,
  `i32.load i64.load f32.load f64.load i32.load8_s i32.load8_u i32.load16_s i32.load16_u
   i64.load8_s i64.load8_u i64.load16_s i64.load16_u i64.load32_s i64.load32_u`,
  { operands: 1, immediate: 'memory' },
);
enter(
  0x36,
  'i32.store i64.store f32.store f64.store i32.store8 i32.store16 i64.store8 i64.store16 i64.store32',
  { operands: 2, result: false, immediate: 'memory' },
);
enter(0x3f, 'memory.size', { operands: 0, immediate: 'zero' });
enter(0x40, 'memory.grow', { operands: 1, immediate: 'zero' });

const integer = (type: string): string =>
  'eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u'.replace(/\S+/g, (name) => `${type}.${name}`);
const float = (type: string, names: string): string => names.replace(/\S+/g, (name) => `${type}.${name}`);
enter(0x45, 'i32.eqz', UNARY);
enter(0x46, integer('i32'));
enter(0x50, 'i64.eqz', UNARY);
enter(0x51, integer('i64'));
enter(0x5b, float('f32', 'eq ne lt gt le ge'));
enter(0x61, float('f64', 'eq ne lt gt le ge'));
for (const [type, at] of [
  ['i32', 0x67],
  ['i64', 0x79],
] as const) {
  enter(at, float(type, 'clz ctz popcnt'), UNARY);
  enter(at + 3, float(type, 'add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr'));
}
for (const [type, at] of [
  ['f32', 0x8b],
  ['f64', 0x99],
] as const) {
  enter(at, float(type, 'abs neg ceil floor trunc nearest sqrt'), UNARY);
  enter(at + 7, float(type, 'add sub mul div min max copysign'));
}
enter(
  0xa7,
  `i32.wrap_i64 i32.trunc_f32_s i32.trunc_f32_u i32.trunc_f64_s i32.trunc_f64_u i64.extend_i32_s i64.extend_i32_u
   i64.trunc_f32_s i64.trunc_f32_u i64.trunc_f64_s i64.trunc_f64_u f32.convert_i32_s f32.convert_i32_u f32.convert_i64_s
   f32.convert_i64_u f32.demote_f64 f64.convert_i32_s f64.convert_i32_u f64.convert_i64_s f64.convert_i64_u
   f64.promote_f32 i32.reinterpret_f32 i64.reinterpret_f64 f32.reinterpret_i32 f64.reinterpret_i64
   i32.extend8_s i32.extend16_s i64.extend8_s i64.extend16_s i64.extend32_s`,
  UNARY,
);

const MISC = PREFIX_MISC * 0x10000;
enter(
  MISC,
  `i32.trunc_sat_f32_s i32.trunc_sat_f32_u i32.trunc_sat_f64_s i32.trunc_sat_f64_u
   i64.trunc_sat_f32_s i64.trunc_sat_f32_u i64.trunc_sat_f64_s i64.trunc_sat_f64_u`,
  UNARY,
);
enter(MISC + 0x0a, 'memory.copy', { operands: 3, result: false, immediate: 'two zeros' });
enter(MISC + 0x0b, 'memory.fill', { operands: 3, result: false, immediate: 'zero' });

const SIMD = PREFIX_SIMD * 0x10000;
const LOAD: Shape = { operands: 1, immediate: 'memory' };
enter(
  SIMD,
  `v128.load v128.load8x8_s v128.load8x8_u v128.load16x4_s v128.load16x4_u v128.load32x2_s v128.load32x2_u
   v128.load8_splat v128.load16_splat v128.load32_splat v128.load64_splat`,
  LOAD,
);
enter(SIMD + 11, 'v128.store', { operands: 2, result: false, immediate: 'memory' });
enter(SIMD + 12, 'v128.const', { operands: 0, immediate: 'bytes' });
enter(SIMD + 13, 'i8x16.shuffle', { operands: 2, immediate: 'bytes' });
enter(SIMD + 14, 'i8x16.swizzle');
enter(SIMD + 15, 'i8x16.splat i16x8.splat i32x4.splat i64x2.splat f32x4.splat f64x2.splat', UNARY);
for (const [at, names] of [
  [
    21,
    'i8x16.extract_lane_s i8x16.extract_lane_u i8x16.replace_lane i16x8.extract_lane_s i16x8.extract_lane_u',
  ],
  [26, 'i16x8.replace_lane i32x4.extract_lane i32x4.replace_lane i64x2.extract_lane i64x2.replace_lane'],
  [31, 'f32x4.extract_lane f32x4.replace_lane f64x2.extract_lane f64x2.replace_lane'],
] as const) {
  for (const [i, name] of names.split(' ').entries()) {
    enter(SIMD + at + i, name, { operands: name.includes('replace') ? 2 : 1, immediate: 'lane' });
  }
}
for (const [type, at] of [
  ['i8x16', 35],
  ['i16x8', 45],
  ['i32x4', 55],
] as const) {
  enter(SIMD + at, integer(type));
}
enter(SIMD + 65, float('f32x4', 'eq ne lt gt le ge'));
enter(SIMD + 71, float('f64x2', 'eq ne lt gt le ge'));
enter(SIMD + 77, 'v128.not', UNARY);
enter(SIMD + 78, 'v128.and v128.andnot v128.or v128.xor');
enter(SIMD + 82, 'v128.bitselect', { operands: 3 });
enter(SIMD + 83, 'v128.any_true', UNARY);
const LOAD_LANE: Shape = { operands: 2, immediate: 'memory lane' };
enter(SIMD + 84, 'v128.load8_lane v128.load16_lane v128.load32_lane v128.load64_lane', LOAD_LANE);
enter(SIMD + 88, 'v128.store8_lane v128.store16_lane v128.store32_lane v128.store64_lane', {
  ...LOAD_LANE,
  result: false,
});
enter(SIMD + 92, 'v128.load32_zero v128.load64_zero', LOAD);
enter(SIMD + 94, 'f32x4.demote_f64x2_zero f64x2.promote_low_f32x4', UNARY);
enter(SIMD + 96, 'i8x16.abs i8x16.neg i8x16.popcnt i8x16.all_true i8x16.bitmask', UNARY);
enter(SIMD + 101, 'i8x16.narrow_i16x8_s i8x16.narrow_i16x8_u');
enter(SIMD + 103, 'f32x4.ceil f32x4.floor f32x4.trunc f32x4.nearest', UNARY);
enter(
  SIMD + 107,
  `i8x16.shl i8x16.shr_s i8x16.shr_u i8x16.add i8x16.add_sat_s i8x16.add_sat_u i8x16.sub i8x16.sub_sat_s
   i8x16.sub_sat_u`,
);
enter(SIMD + 116, 'f64x2.ceil f64x2.floor', UNARY);
enter(SIMD + 118, 'i8x16.min_s i8x16.min_u i8x16.max_s i8x16.max_u');
enter(SIMD + 122, 'f64x2.trunc', UNARY);
enter(SIMD + 123, 'i8x16.avgr_u');
enter(
  SIMD + 124,
  `i16x8.extadd_pairwise_i8x16_s i16x8.extadd_pairwise_i8x16_u i32x4.extadd_pairwise_i16x8_s
   i32x4.extadd_pairwise_i16x8_u i16x8.abs i16x8.neg`,
  UNARY,
);
enter(SIMD + 130, 'i16x8.q15mulr_sat_s');
enter(SIMD + 131, 'i16x8.all_true i16x8.bitmask', UNARY);
enter(SIMD + 133, 'i16x8.narrow_i32x4_s i16x8.narrow_i32x4_u');
const extend = (to: string, from: string): string =>
  ['low', 'high']
    .flatMap((half) => ['s', 'u'].map((sign) => [half, sign]))
    .sort(([, a], [, b]) => a!.localeCompare(b!))
    .map(([half, sign]) => `${to}.extend_${half}_${from}_${sign}`)
    .join(' ');
enter(SIMD + 135, extend('i16x8', 'i8x16'), UNARY);
enter(
  SIMD + 139,
  `i16x8.shl i16x8.shr_s i16x8.shr_u i16x8.add i16x8.add_sat_s i16x8.add_sat_u i16x8.sub i16x8.sub_sat_s
   i16x8.sub_sat_u`,
);
enter(SIMD + 148, 'f64x2.nearest', UNARY);
const extmul = (to: string, from: string): string => extend(to, from).replaceAll('extend', 'extmul');
enter(
  SIMD + 149,
  `i16x8.mul i16x8.min_s i16x8.min_u i16x8.max_s i16x8.max_u - i16x8.avgr_u ${extmul('i16x8', 'i8x16')}`,
);
enter(SIMD + 160, 'i32x4.abs i32x4.neg - i32x4.all_true i32x4.bitmask', UNARY);
enter(SIMD + 167, extend('i32x4', 'i16x8'), UNARY);
enter(
  SIMD + 171,
  `i32x4.shl i32x4.shr_s i32x4.shr_u i32x4.add - - i32x4.sub - - - i32x4.mul i32x4.min_s i32x4.min_u i32x4.max_s
   i32x4.max_u i32x4.dot_i16x8_s - ${extmul('i32x4', 'i16x8')}`,
);
enter(SIMD + 192, 'i64x2.abs i64x2.neg - i64x2.all_true i64x2.bitmask', UNARY);
enter(SIMD + 199, extend('i64x2', 'i32x4'), UNARY);
enter(
  SIMD + 203,
  `i64x2.shl i64x2.shr_s i64x2.shr_u i64x2.add - - i64x2.sub - - - i64x2.mul i64x2.eq i64x2.ne i64x2.lt_s i64x2.gt_s
   i64x2.le_s i64x2.ge_s ${extmul('i64x2', 'i32x4')}`,
);
for (const [type, at] of [
  ['f32x4', 224],
  ['f64x2', 236],
] as const) {
  enter(SIMD + at, float(type, 'abs neg'), UNARY);
  enter(SIMD + at + 3, float(type, 'sqrt'), UNARY);
  enter(SIMD + at + 4, float(type, 'add sub mul div min max pmin pmax'));
}
enter(
  SIMD + 248,
  `i32x4.trunc_sat_f32x4_s i32x4.trunc_sat_f32x4_u f32x4.convert_i32x4_s f32x4.convert_i32x4_u
   i32x4.trunc_sat_f64x2_s_zero i32x4.trunc_sat_f64x2_u_zero f64x2.convert_low_i32x4_s f64x2.convert_low_i32x4_u`,
  UNARY,
);

/** All opcodes known here, for tests. */
export function allOpcodes(): ReadonlyMap<number, Opcode> {
  return opcodes;
}
