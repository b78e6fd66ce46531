/**
 * SSE arithmetic on the lanes of a vector, softly: where the instructions go when WebAssembly's own arithmetic is not
 * provably the processor's. Operands lie at CPU_WIDE and 16 bytes on, the result is left 32 bytes on. Each function works
 * on the first `count` lanes (1 for a scalar instruction) as one instruction does, and gives what `sseCommit` gives: if
 * not 0, an unmasked exception, and no result counts.
 */

import { CPU, CPU_WIDE } from '../layout';
import { f32Reciprocal, f32ReciprocalSqrt } from './float/sse-approximate';
import {
  f32Add,
  f32Divide,
  f32Max,
  f32Min,
  f32Multiply,
  f32Predicate,
  f32Sqrt,
  f32Subtract,
  f64Add,
  f64Divide,
  f64Max,
  f64Min,
  f64Multiply,
  f64Predicate,
  f64Sqrt,
  f64Subtract,
} from './float/sse-arithmetic';
import {
  f32Round,
  f32ToF64,
  f32ToI32,
  f32TruncateToI32,
  f64Round,
  f64ToF32,
  f64ToI32,
  f64TruncateToI32,
  i32ToF32,
} from './float/sse-convert';
import { sseBegin, sseCommit } from './float/sse-state';

const A: usize = CPU + CPU_WIDE;
const B: usize = A + 16;
const RESULT: usize = A + 32;

function binary<T>(operation: (a: T, b: T) => T, count: i32): u32 {
  sseBegin();
  for (let i: usize = 0; i < usize(count) * sizeof<T>(); i += sizeof<T>()) {
    store<T>(RESULT + i, operation(load<T>(A + i), load<T>(B + i)));
  }
  return sseCommit();
}

/** With an immediate: the predicate of a compare. */
function compared<T>(operation: (a: T, b: T, immediate: u32) => T, count: i32, immediate: u32): u32 {
  sseBegin();
  for (let i: usize = 0; i < usize(count) * sizeof<T>(); i += sizeof<T>()) {
    store<T>(RESULT + i, operation(load<T>(A + i), load<T>(B + i), immediate));
  }
  return sseCommit();
}

/** From lanes of one type to lanes of another. */
function unary<T, U>(operation: (a: T) => U, count: i32): u32 {
  sseBegin();
  for (let i: usize = 0; i < usize(count); i++) {
    store<U>(RESULT + i * sizeof<U>(), operation(load<T>(A + i * sizeof<T>())));
  }
  return sseCommit();
}

function rounded<T>(operation: (a: T, immediate: u32) => T, count: i32, immediate: u32): u32 {
  sseBegin();
  for (let i: usize = 0; i < usize(count) * sizeof<T>(); i += sizeof<T>()) {
    store<T>(RESULT + i, operation(load<T>(A + i), immediate));
  }
  return sseCommit();
}

/** ADDSUBPS and ADDSUBPD: even lanes are subtracted, odd ones added. */
function alternating<T>(subtract: (a: T, b: T) => T, add: (a: T, b: T) => T): u32 {
  sseBegin();
  for (let i: usize = 0; i < 16; i += 2 * sizeof<T>()) {
    store<T>(RESULT + i, subtract(load<T>(A + i), load<T>(B + i)));
    store<T>(RESULT + i, add(load<T>(A + i + sizeof<T>()), load<T>(B + i + sizeof<T>())), sizeof<T>());
  }
  return sseCommit();
}

/**
 * DPPS and DPPD. Bits 4 up of the immediate choose the products, the others are zero; bits 0 up choose the lanes that
 * get the sum. Each step reports its exceptions before the next begins (SDM 2, DPPS).
 */
function dotProduct<T>(multiply: (a: T, b: T) => T, add: (a: T, b: T) => T, immediate: u32): u32 {
  const size: usize = sizeof<T>();
  sseBegin();
  for (let i: usize = 0; i < 16; i += size) {
    const wanted = (immediate >> (4 + u32(i / size))) & 1;
    store<T>(RESULT + i, wanted != 0 ? multiply(load<T>(A + i), load<T>(B + i)) : (0 as T));
  }
  let raised = sseCommit();
  // Pairs of neighbours, then pairs of pairs.
  for (let distance = size; distance < 16 && raised == 0; distance <<= 1) {
    sseBegin();
    for (let i: usize = 0; i < 16; i += 2 * distance) {
      store<T>(RESULT + i, add(load<T>(RESULT + i), load<T>(RESULT + i + distance)));
    }
    raised = sseCommit();
  }
  const sum = load<T>(RESULT);
  for (let i: usize = 0; i < 16; i += size) {
    store<T>(RESULT + i, ((immediate >> u32(i / size)) & 1) != 0 ? sum : (0 as T));
  }
  return raised;
}

export function f32LanesAdd(count: i32): u32 {
  return binary<u32>(f32Add, count);
}
export function f32LanesSubtract(count: i32): u32 {
  return binary<u32>(f32Subtract, count);
}
export function f32LanesMultiply(count: i32): u32 {
  return binary<u32>(f32Multiply, count);
}
export function f32LanesDivide(count: i32): u32 {
  return binary<u32>(f32Divide, count);
}
export function f32LanesMin(count: i32): u32 {
  return binary<u32>(f32Min, count);
}
export function f32LanesMax(count: i32): u32 {
  return binary<u32>(f32Max, count);
}
export function f32LanesSqrt(count: i32): u32 {
  return unary<u32, u32>(f32Sqrt, count);
}
export function f32LanesPredicate(count: i32, immediate: u32): u32 {
  return compared<u32>(f32Predicate, count, immediate);
}
export function f32LanesRound(count: i32, immediate: u32): u32 {
  return rounded<u32>(f32Round, count, immediate);
}
export function f32LanesAddSubtract(): u32 {
  return alternating<u32>(f32Subtract, f32Add);
}
export function f32LanesDotProduct(immediate: u32): u32 {
  return dotProduct<u32>(f32Multiply, f32Add, immediate);
}

export function f64LanesAdd(count: i32): u32 {
  return binary<u64>(f64Add, count);
}
export function f64LanesSubtract(count: i32): u32 {
  return binary<u64>(f64Subtract, count);
}
export function f64LanesMultiply(count: i32): u32 {
  return binary<u64>(f64Multiply, count);
}
export function f64LanesDivide(count: i32): u32 {
  return binary<u64>(f64Divide, count);
}
export function f64LanesMin(count: i32): u32 {
  return binary<u64>(f64Min, count);
}
export function f64LanesMax(count: i32): u32 {
  return binary<u64>(f64Max, count);
}
export function f64LanesSqrt(count: i32): u32 {
  return unary<u64, u64>(f64Sqrt, count);
}
export function f64LanesPredicate(count: i32, immediate: u32): u32 {
  return compared<u64>(f64Predicate, count, immediate);
}
export function f64LanesRound(count: i32, immediate: u32): u32 {
  return rounded<u64>(f64Round, count, immediate);
}
export function f64LanesAddSubtract(): u32 {
  return alternating<u64>(f64Subtract, f64Add);
}
export function f64LanesDotProduct(immediate: u32): u32 {
  return dotProduct<u64>(f64Multiply, f64Add, immediate);
}

/** RCPPS and RSQRTPS have neither modes nor exceptions. */
export function f32LanesReciprocal(count: i32): void {
  for (let i: usize = 0; i < usize(count) * 4; i += 4)
    store<u32>(RESULT + i, f32Reciprocal(load<u32>(A + i)));
}
export function f32LanesReciprocalSqrt(count: i32): void {
  for (let i: usize = 0; i < usize(count) * 4; i += 4) {
    store<u32>(RESULT + i, f32ReciprocalSqrt(load<u32>(A + i)));
  }
}

export function lanesI32ToF32(count: i32): u32 {
  return unary<i32, u32>(i32ToF32, count);
}
export function lanesF32ToI32(count: i32): u32 {
  return unary<u32, i32>(f32ToI32, count);
}
export function lanesF32TruncateToI32(count: i32): u32 {
  return unary<u32, i32>(f32TruncateToI32, count);
}
export function lanesF64ToI32(count: i32): u32 {
  return unary<u64, i32>(f64ToI32, count);
}
export function lanesF64TruncateToI32(count: i32): u32 {
  return unary<u64, i32>(f64TruncateToI32, count);
}
export function lanesF32ToF64(count: i32): u32 {
  return unary<u32, u64>(f32ToF64, count);
}
export function lanesF64ToF32(count: i32): u32 {
  return unary<u64, u32>(f64ToF32, count);
}
