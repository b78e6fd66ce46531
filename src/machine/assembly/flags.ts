/**
 * Flags as compiled code leaves them: instead of the vector of carries, the operands that it could be computed from. This
 * turns them into the words that everybody else reads (see `x86/flags.ts`, and META_KIND_ADD in `layout.ts`).
 */
import {
  CPU,
  CPU_FLAG_CARRY,
  CPU_FLAG_META,
  CPU_FLAG_RESULT,
  META_KIND_ADD,
  META_KIND_DECREMENT,
  META_KIND_INCREMENT,
  META_KIND_MASK,
  META_KIND_SUBTRACT,
} from '../layout.ts';

/** Makes the flag words canonical; does nothing where they are. */
export function canonicalFlags(): void {
  const meta = load<i32>(CPU + CPU_FLAG_META);
  const kind = meta & META_KIND_MASK;
  if (kind == 0) return;
  const top = <i64>(meta & 63);
  const x = load<i64>(CPU + CPU_FLAG_RESULT);
  const y = load<i64>(CPU + CPU_FLAG_CARRY);
  let result = x;
  let carries: i64 = 0;
  if (kind == META_KIND_ADD) {
    const a = x - y;
    carries = (a & y) | ((a | y) & ~x);
  } else if (kind == META_KIND_SUBTRACT) {
    result = x - y;
    carries = (~x & y) | ((~x | y) & result);
  } else if (kind == META_KIND_INCREMENT || kind == META_KIND_DECREMENT) {
    const down = kind == META_KIND_DECREMENT;
    const edge = down ? ((<i64>1) << top) - 1 : (<i64>1) << top;
    const mask = ((<i64>2) << top) - 1;
    const overflow: i64 = (x & mask) == (edge & mask) ? 1 : 0;
    const adjust: i64 = (x & 15) == (down ? 15 : 0) ? 8 : 0;
    carries = adjust | (y << top) | ((y ^ overflow) << (top - 1));
  }
  const shift = 63 - top;
  store<i64>(CPU + CPU_FLAG_RESULT, (result << shift) >> shift);
  store<i64>(CPU + CPU_FLAG_CARRY, carries);
  store<i32>(CPU + CPU_FLAG_META, meta & 63);
}
