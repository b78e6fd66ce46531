/**
 * PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM: comparisons of two vectors of characters. The first operand lies at
 * CPU_WIDE, the second 16 bytes on; the index (u32) or the mask (16 bytes) is left 32 bytes on, and the RFLAGS bits are
 * returned (Intel SDM 2, 4.1: the control byte, the aggregations, and what invalid characters override).
 */

import { CPU, CPU_WIDE } from '../layout';

const A: usize = CPU + CPU_WIDE;
const B: usize = A + 16;
const RESULT: usize = A + 32;

/** Fields of the control byte. */
const WORDS = 1;
const SIGNED = 2;
const EQUAL_ANY = 0;
const RANGES = 1;
const EQUAL_EACH = 2;
const NEGATIVE = 0x10;
const MASKED = 0x20;
const LAST_OR_EXPANDED = 0x40;

const FLAG_CF = 0x001;
const FLAG_ZF = 0x040;
const FLAG_SF = 0x080;
const FLAG_OF = 0x800;

function character(base: usize, control: u32, i: i32): i32 {
  if ((control & WORDS) != 0) {
    const at = base + (usize(i) << 1);
    return (control & SIGNED) != 0 ? i32(load<i16>(at)) : i32(load<u16>(at));
  }
  return (control & SIGNED) != 0 ? i32(load<i8>(base + i)) : i32(load<u8>(base + i));
}

/** Characters before the first null. */
function implicitLength(base: usize, control: u32, count: i32): i32 {
  for (let i = 0; i < count; i++) if (character(base, control, i) == 0) return i;
  return count;
}

/** The magnitude of a length register, at most `count`. */
function explicitLength(length: i64, count: i32): i32 {
  const limit = i64(count);
  return length >= limit || length <= -limit ? count : i32(length < 0 ? -length : length);
}

/** Whether character `j` of the second string is one of, or in one of the ranges of, the first. */
function matches(control: u32, lengthA: i32, j: i32): bool {
  const wanted = character(B, control, j);
  if (((control >> 2) & 3) == EQUAL_ANY) {
    for (let i = 0; i < lengthA; i++) if (character(A, control, i) == wanted) return true;
    return false;
  }
  for (let i = 0; i + 1 < lengthA; i += 2) {
    if (character(A, control, i) <= wanted && wanted <= character(A, control, i + 1)) return true;
  }
  return false;
}

/** Whether the first string begins at `j` in the second; past the end of the vector nothing is compared. */
function beginsAt(control: u32, lengthA: i32, lengthB: i32, count: i32, j: i32): bool {
  for (let i = 0; i < lengthA && i + j < count; i++) {
    if (i + j >= lengthB || character(A, control, i) != character(B, control, i + j)) return false;
  }
  return true;
}

function compare(control: u32, lengthA: i32, lengthB: i32, count: i32, wantMask: i32): u32 {
  const aggregation = (control >> 2) & 3;
  let found: u32 = 0;
  for (let j = 0; j < count; j++) {
    let holds = false;
    if (aggregation == EQUAL_ANY || aggregation == RANGES)
      holds = j < lengthB && matches(control, lengthA, j);
    else if (aggregation == EQUAL_EACH) {
      if (j < lengthA && j < lengthB) holds = character(A, control, j) == character(B, control, j);
      else holds = j >= lengthA && j >= lengthB;
    } else holds = beginsAt(control, lengthA, lengthB, count, j);
    found |= u32(holds) << j;
  }
  if ((control & NEGATIVE) != 0) found ^= ((1 as u32) << ((control & MASKED) != 0 ? lengthB : count)) - 1;

  if (wantMask != 0) storeMask(found, control);
  else if (found == 0) store<u32>(RESULT, count);
  else store<u32>(RESULT, (control & LAST_OR_EXPANDED) != 0 ? 31 - clz(found) : ctz(found));

  let flags: u32 = 0;
  if (found != 0) flags |= FLAG_CF;
  if (lengthB < count) flags |= FLAG_ZF;
  if (lengthA < count) flags |= FLAG_SF;
  if ((found & 1) != 0) flags |= FLAG_OF;
  return flags;
}

/** The result bits as they are, or each as wide as its character. */
function storeMask(found: u32, control: u32): void {
  if ((control & LAST_OR_EXPANDED) == 0) {
    store<u64>(RESULT, found);
    store<u64>(RESULT, 0, 8);
    return;
  }
  const shift: u32 = control & WORDS;
  for (let i: u32 = 0; i < 16; i++) store<u8>(RESULT + i, ((found >> (i >> shift)) & 1) != 0 ? 0xff : 0);
}

export function compareStringsImplicit(control: u32, wantMask: i32): u32 {
  const count = (control & WORDS) != 0 ? 8 : 16;
  const lengthA = implicitLength(A, control, count);
  return compare(control, lengthA, implicitLength(B, control, count), count, wantMask);
}

export function compareStringsExplicit(control: u32, lengthA: i64, lengthB: i64, wantMask: i32): u32 {
  const count = (control & WORDS) != 0 ? 8 : 16;
  return compare(control, explicitLength(lengthA, count), explicitLength(lengthB, count), count, wantMask);
}
